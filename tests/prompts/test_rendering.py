"""A prompt filled in: the contract first, whatever the syntax, and every problem told at once."""

from __future__ import annotations

from typing import Any

import pytest
from promptlab_sdk.kernel.spec import JINJA2, Content, Message
from promptlab_sdk.kernel.template import UnresolvedInclude

from prompts import rendering
from prompts.errors import TemplateFailed, TemplateTooCostly, TextInvalid, VariablesInvalid
from prompts.rendering import render
from prompts.services.contents import content_of

SYNTAXES = ("mustache-lite", JINJA2)


def refused(content: Content, values: dict[str, Any], **options: Any) -> VariablesInvalid:
    with pytest.raises(VariablesInvalid) as caught:
        render(content, values, **options)
    return caught.value


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_defaults_and_optional_values_are_filled_in(syntax: str) -> None:
    told = {"name": {"default": "you"}, "more": {"required": False}}
    content = content_of(text="Hi {{ name }}{{ more }} {{ n }}.", variables=told, syntax=syntax)
    assert render(content, {"n": 3, "surplus": 1}) == "Hi you 3."
    assert render(content, {"n": True, "name": None, "more": "!"}) == "Hi you! true."


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_only_missing_values_have_a_code_of_their_own(syntax: str) -> None:
    error = refused(content_of(text="{{ b }}{{ a }}{{ c }}", syntax=syntax), {"a": "x"})
    assert (error.status, error.code, error.detail) == (400, "missing_variable", "Missing: b, c.")
    assert [(one.field, one.code) for one in error.problems] == [
        ("variables.b", "missing_variable"),
        ("variables.c", "missing_variable"),
    ]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_problem_is_told_at_once_and_no_value(syntax: str) -> None:
    told = {"b": {"type": "number"}, "c": {"allowed": ["x"]}, "d": {"max_length": 2}}
    content = content_of(text="{{ a }}{{ b }}{{ c }}{{ d }}", variables=told, syntax=syntax)
    error = refused(content, {"b": "hunter2", "c": "hunter2", "d": "hunter2"})
    assert (error.code, error.detail) == ("invalid_variables", "Not as declared: a, b, c, d.")
    assert [one.code for one in error.problems] == ["missing_variable", "wrong_type", "not_allowed", "too_long"]
    assert "hunter2" not in f"{error.problems}{error.detail}"


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_what_is_missing_may_be_kept_or_empty_but_what_is_there_must_fit(syntax: str) -> None:
    content = content_of(text="[{{ a }}{{ b }}]", variables={"b": {"type": "number"}}, syntax=syntax)
    assert render(content, {"b": 1}, missing="keep") == "[{{ a }}1]"
    assert render(content, {"b": 1}, missing="empty") == "[1]"
    assert refused(content, {"b": "x"}, missing="keep").code == "invalid_variables"


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_conversations_keep_their_roles_and_take_messages_in_places(syntax: str) -> None:
    messages = [
        {"role": "system", "content": "For {{ a }}"},
        {"placeholder": "history"},
        {"role": "user", "content": "{{ b }}"},
    ]
    content = content_of(messages=messages, syntax=syntax)
    said = [Message("user", "{{ a }}"), Message(placeholder="history")]
    assert render(content, {"a": "x", "b": "{{ a }}"}, placeholders={"history": said}) == (
        Message("system", "For x"),
        Message("user", "{{ a }}"),
        Message("user", "{{ a }}"),
    )
    assert len(render(content, {"a": "x", "b": "y"})) == 2


def test_a_template_in_jinja_sees_numbers_and_truths_as_they_are() -> None:
    content = content_of(text="{% if vip and n > 3 %}yes{% else %}no{% endif %} {{ n }}", syntax=JINJA2)
    assert render(content, {"vip": True, "n": 5}) == "yes 5"
    assert render(content, {"vip": False, "n": 5}) == "no 5"


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_includes_have_to_be_put_in_before(syntax: str) -> None:
    with pytest.raises(UnresolvedInclude):
        render(content_of(text="{{> tone}}", syntax=syntax), {})


def test_what_costs_too_much_or_fails_is_the_callers_to_mend() -> None:
    costly = content_of(text="{% for x in xs %}{% for y in xs %}{% endfor %}{% endfor %}", syntax=JINJA2)
    with pytest.raises(TemplateTooCostly) as caught:
        render(costly, {"xs": list(range(1_000))})
    assert (caught.value.status, caught.value.code) == (400, "template_too_costly")
    with pytest.raises(TemplateFailed) as failed:
        render(content_of(text="\n{{ a < 3 }}", syntax=JINJA2), {"a": "hunter2"})
    assert (failed.value.status, failed.value.code) == (400, "template_failed")
    assert failed.value.detail.startswith("Line 2 of the template:")
    assert "hunter2" not in failed.value.detail


def test_a_content_that_was_never_checked_is_refused_all_the_same() -> None:
    with pytest.raises(TextInvalid):
        render(Content(text="{{ a.__class__ }}", syntax=JINJA2, variables={"a": {}}), {"a": "x"})


def test_a_value_that_is_no_text_is_named() -> None:
    content = content_of(text="{{a}}", variables={"a": {"type": "list"}})
    ring: list[object] = []
    ring.append(ring)
    error = refused(content, {"a": ring})
    assert (error.code, [one.field for one in error.problems]) == ("bad_value", ["variables.a"])


def test_blanks_of_a_conversation_are_typed_over_all_messages() -> None:
    texts = ["{{ xs }}", "{% for x in xs %}{{ x }}{% endfor %}{{ a }}{{> tone}}"]
    content = Content(type="chat", messages=tuple(Message("user", text) for text in texts), syntax=JINJA2)
    assert rendering.blanks_of(content) == {"xs": "list", "a": "string"}
