"""Includes: found, refused while unresolved, and put in such that no seam changes what its neighbours say."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from promptlab_sdk.kernel import template
from promptlab_sdk.kernel.spec import JINJA2, Content, Message
from promptlab_sdk.kernel.template import OtherSyntax, TemplateSyntaxError, UnresolvedInclude, inline, parse

literals = st.text(alphabet="{}\\a\n", max_size=6)
blanks = st.sampled_from(["{{a}}", "{{ b }}", "{{{a}}", "\\\\{{b}}", "\\{{a}}"])
pieces = st.lists(st.one_of(literals.map(template.escape), blanks, literals), max_size=5).map("".join)


def readable(text: str) -> bool:
    try:
        return not parse(text).includes
    except TemplateSyntaxError:
        return False


def lets_a_tag_follow(text: str) -> bool:
    try:
        return "end" in template.variables(text + "{{end}}")
    except TemplateSyntaxError:
        return False


snippets = pieces.filter(readable)
openings = snippets.filter(lets_a_tag_follow)
VALUES = {"a": "\\{{", "b": "}}\\", "end": ""}


@given(first=openings, one=snippets, middle=openings, two=snippets, last=snippets)
@settings(max_examples=400)
def test_the_text_put_together_renders_to_what_its_pieces_do(
    first: str, one: str, middle: str, two: str, last: str
) -> None:
    whole = f"{first}{{{{>one}}}}{middle}{{{{> two }}}}{last}"
    apart = [first + "{{end}}", one, middle + "{{end}}", two, last]
    together = parse(inline(whole, {"one": one, "two": two}))
    assert together.includes == ()
    assert together.render(VALUES, "keep") == "".join(parse(piece).render(VALUES, "keep") for piece in apart)


@given(text=snippets)
def test_a_text_without_includes_stays_as_it_is(text: str) -> None:
    assert inline(text, {}) == text


@given(text=snippets)
def test_a_text_that_is_one_include_is_the_text_included(text: str) -> None:
    assert parse(inline("{{> x}}", {"x": text})).render(VALUES, "keep") == parse(text).render(VALUES, "keep")


def test_includes_are_named_once_in_order_and_are_no_blanks() -> None:
    found = parse("{{> tone}} {{name}} {{>legal.v2}} {{\t>\ttone\t}}")
    assert found.includes == ("tone", "legal.v2")
    assert found.variables == ("name",)


def test_a_name_may_begin_with_a_digit() -> None:
    assert parse("{{> 2fa_rules}}").includes == ("2fa_rules",)


def test_an_escaped_include_is_text() -> None:
    assert parse(r"\{{> tone}}").render({}) == "{{> tone}}"
    assert inline(r"\{{> tone}} {{> x}}", {"x": "y"}) == r"\{{> tone}} y"


def test_unresolved_includes_are_all_named() -> None:
    with pytest.raises(UnresolvedInclude) as caught:
        parse("{{> b}}{{name}}{{> a}}").render({"name": "x"})
    assert caught.value.names == ("b", "a")
    assert str(caught.value) == "No text for {{> b}}, {{> a}}."
    assert isinstance(caught.value, LookupError)
    assert pickle.loads(pickle.dumps(caught.value)).names == ("b", "a")
    with pytest.raises(UnresolvedInclude):
        parse("{{> b}}").render({}, "keep")


def test_inlining_wants_every_text_and_uses_no_other() -> None:
    with pytest.raises(UnresolvedInclude) as caught:
        inline("{{> a}}{{> b}}{{> c}}", {"b": "", "d": ""})
    assert caught.value.names == ("a", "c")


def test_an_include_within_a_given_text_stays_one() -> None:
    once = inline("[{{> a}}]", {"a": r"\\{{> b}}"})
    assert parse(once).includes == ("b",)
    assert parse(inline(once, {"b": "c"})).render({}) == "[\\c]"


@pytest.mark.parametrize(
    ("text", "line", "column"), [("{{> }}", 1, 1), ("x\n{{> two words}}", 2, 1), ("{{>.a}}", 1, 1)]
)
def test_a_wrong_include_is_explained(text: str, line: int, column: int) -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        parse(text)
    assert "is not an include" in caught.value.message
    assert (caught.value.line, caught.value.column) == (line, column)


def test_an_include_is_not_spread_over_lines() -> None:
    with pytest.raises(TemplateSyntaxError):
        parse("{{>\na}}")


def test_a_conversation_is_inlined_message_by_message() -> None:
    content = Content(
        type="chat",
        model="gpt-4o",
        messages=(Message("system", "{{> tone}}"), Message(placeholder="history"), Message("user", "{{> ask}}{{a}}")),
    )
    assert template.content_includes(content) == ("tone", "ask")
    whole = template.inline_content(content, {"tone": "Be kind.", "ask": "Well, {{b}}?"})
    assert [message.content for message in whole.messages] == ["Be kind.", "", "Well, {{b}}?{{a}}"]
    assert whole.messages[1].placeholder == "history"
    assert (whole.model, template.content_variables(whole)) == ("gpt-4o", ("b", "a"))
    with pytest.raises(UnresolvedInclude) as caught:
        template.inline_content(content, {})
    assert caught.value.names == ("tone", "ask")


def test_the_same_tag_includes_in_jinja() -> None:
    content = Content(text="{% if a %}{{> tone}}{% endif %}{{ a|upper }}", syntax=JINJA2, variables={"a": {}})
    assert template.content_includes(content) == ("tone",)
    assert template.inline_content(content, {"tone": "{{ b }}"}).text == "{% if a %}{{ b }}{% endif %}{{ a|upper }}"
    assert template.content_variables(content) == ("a",)


def test_a_seam_opens_no_tag_in_jinja() -> None:
    assert inline("{{{> x}}", {"x": "% if a %}"}, JINJA2) == "{{ '{' }}% if a %}"
    assert inline("{{> x}}{{ a }}", {"x": "{"}, JINJA2) == "{{ '{' }}{{ a }}"
    assert inline("{{> x}}{{> y}}", {"x": "{", "y": "# c"}, JINJA2) == "{{ '{' }}# c"


def test_jinja_is_not_filled_here() -> None:
    with pytest.raises(OtherSyntax):
        template.render_content(Content(text="{{ a }}", syntax=JINJA2), {"a": "x"})
