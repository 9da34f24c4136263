"""What the vectors cannot say about templates: error texts, Python's own values, cost."""

from __future__ import annotations

import copy
import datetime
import decimal
import enum
import pickle
import time
import uuid
from collections import ChainMap
from types import MappingProxyType

import pytest
from promptlab_sdk.kernel import template
from promptlab_sdk.kernel.spec import Content, Message
from promptlab_sdk.kernel.template import BadValue, MissingVariable, TemplateSyntaxError, parse


def complaint(text: str) -> str:
    with pytest.raises(TemplateSyntaxError) as caught:
        parse(text)
    return caught.value.message


def test_an_unclosed_blank_is_named_in_plain_words() -> None:
    assert complaint("Hi {{name") == "A blank is not closed: every {{ needs a }}."


def test_a_space_in_a_name_comes_with_the_name_to_use() -> None:
    assert complaint("{{ customer  name }}") == "A blank cannot contain a space: use customer_name."


def test_an_empty_blank_is_named_in_plain_words() -> None:
    assert complaint("{{ }}") == "A blank is empty: write a name between {{ and }}."


def test_a_bad_name_is_shown_and_the_escape_is_taught() -> None:
    message = complaint('{{"a": 1}}')
    assert message.startswith('{{"a": 1}} is not a blank:')
    assert message.endswith(r"For braces as plain text write \{{.")


def test_a_very_long_bad_name_is_shortened() -> None:
    assert len(complaint("{{!" + "x" * 10_000 + "}}")) < 200


def test_a_syntax_error_prints_where_it_is_and_survives_pickling() -> None:
    error = TemplateSyntaxError("Wrong.", 4, 2)
    assert str(error) == "Wrong. (line 4, column 2)"
    again = pickle.loads(pickle.dumps(error))
    assert (again.message, again.line, again.column) == ("Wrong.", 4, 2)


def test_missing_variables_print_as_a_sentence_and_survive_pickling() -> None:
    error = MissingVariable(("a", "b"))
    assert str(error) == "No value for {{a}}, {{b}}."
    assert isinstance(error, KeyError)
    assert pickle.loads(pickle.dumps(error)).names == ("a", "b")


def test_the_same_text_is_parsed_once() -> None:
    assert parse("Hello {{once}}") is parse("Hello {{once}}")


def test_templates_are_equal_when_their_texts_are() -> None:
    first = parse("{{a}}")
    template._parse_short.cache_clear()
    assert first is not parse("{{a}}")
    assert first == parse("{{a}}")


class Mood(enum.StrEnum):
    CALM = "calm"


class Level(enum.IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Mood.CALM, "calm"),
        (Level.HIGH, "3"),
        (1.0, "1.0"),
        (decimal.Decimal("1.50"), "1.50"),
        (datetime.date(2026, 11, 21), "2026-11-21"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ((1, 2), "[1,2]"),
        ([decimal.Decimal("1.50"), datetime.date(2026, 11, 21)], '["1.50","2026-11-21"]'),
        (MappingProxyType({"a": MappingProxyType({"b": 1})}), '{"a":{"b":1}}'),
        ({1: "one", None: 0}, '{"1":"one","null":0}'),
    ],
)
def test_values_of_python_become_text(value: object, text: str) -> None:
    assert parse("{{a}}").render({"a": value}) == text


def test_a_value_that_cannot_be_text_is_named_without_being_shown() -> None:
    ring: list[object] = []
    ring.append(ring)
    deep: object = "x"
    for _ in range(200_000):
        deep = [deep]
    for value in (b"secret", bytearray(b"secret"), ring, deep, {("secret",): 1}, 10**5000):
        with pytest.raises(BadValue) as caught:
            parse("{{a}}").render({"a": value})
        assert caught.value.name == "a"
        assert "secret" not in str(caught.value)
    while isinstance(deep, list):  # Taken apart by hand: freeing it in one go would recurse.
        deep = deep.pop()


def test_any_mapping_will_do() -> None:
    assert parse("{{a}} {{b}}").render(ChainMap({"a": "1"}, {"b": "2"})) == "1 2"


def test_rendering_leaves_the_variables_alone() -> None:
    variables = {"a": {"b": [1]}, "c": None}
    before = copy.deepcopy(variables)
    parse("{{a}}{{a.b}}{{c}}").render(variables)
    assert variables == before


def test_placeholders_inside_given_messages_are_dropped() -> None:
    given = {"history": (Message(placeholder="history"), Message("user", "x"))}
    assert template.render_messages((Message(placeholder="history"),), {}, given) == (Message("user", "x"),)


def test_placeholders_of_a_content_are_listed_once() -> None:
    messages = (
        Message(placeholder="b"),
        Message("user", "x"),
        Message(placeholder="a"),
        Message(placeholder="b"),
    )
    assert template.content_placeholders(Content(type="chat", messages=messages)) == ("b", "a")
    assert template.content_placeholders(Content(text="{{a}}")) == ()


def test_texts_are_what_each_blank_is_filled_with() -> None:
    variables = {"a": 1, "user": {"name": "Alex"}, "surplus": "x"}
    assert template.texts(("a", "user.name", "absent"), variables) == {"a": "1", "user.name": "Alex"}


@pytest.mark.parametrize(
    "text",
    [
        "\\" * 200_000,
        "\\" * 200_000 + "{{a}}",
        "{" * 200_000,
        "\\{{" * 60_000,
        "}" * 200_000,
        "{{" + " " * 200_000,
        "{{" + "a" * 200_000,
        "{{" + "a " * 100_000 + "}}",
    ],
)
def test_hostile_texts_are_parsed_in_linear_time(text: str) -> None:
    started = time.process_time()
    try:
        template._parse(text)
    except TemplateSyntaxError as error:
        assert error.line == 1
    assert time.process_time() - started < 1.0
