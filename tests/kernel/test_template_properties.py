"""Laws of the grammar, tried on generated texts."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from promptlab_sdk.kernel import template
from promptlab_sdk.kernel.spec import Message
from promptlab_sdk.kernel.template import BadValue, MissingVariable, TemplateSyntaxError, parse

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,8}", fullmatch=True)
braced = st.text(alphabet="{}\\ab .\n\t😀", max_size=40)
texts = st.one_of(st.text(max_size=40), braced)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=4), inner), max_leaves=6
)
missing = st.sampled_from(["error", "keep", "empty"])


@st.composite
def templates(draw: st.DrawFn) -> tuple[str, list[str]]:
    """Return a well-formed template with the names of its blanks, repeats included."""
    parts: list[str] = []
    used: list[str] = []
    for _ in range(draw(st.integers(0, 5))):
        parts.append(template.escape(draw(texts)))
        name = draw(names)
        pad = draw(st.sampled_from(["", " ", "\t", "  "]))
        # The space keeps a backslash at the end of the text from escaping the blank.
        parts.append(f" {{{{{pad}{name}{pad}}}}} ")
        used.append(name)
    return "".join(parts), used


@given(text=texts, variables=st.dictionaries(names, values), mode=missing)
@settings(max_examples=300)
def test_rendering_raises_nothing_but_the_declared_errors(
    text: str, variables: dict[str, object], mode: template.Missing
) -> None:
    try:
        rendered = parse(text).render(variables, mode)
    except TemplateSyntaxError as error:
        assert 1 <= error.line <= text.count("\n") + 1
        assert text.split("\n")[error.line - 1][error.column - 1 :].startswith("{{")
    except MissingVariable as error:
        assert mode == "error"
        assert set(error.names) <= set(template.variables(text))
    except BadValue as error:
        assert error.name in template.variables(text)
    else:
        assert isinstance(rendered, str)


@given(text=texts)
@settings(max_examples=300)
def test_an_escaped_text_renders_to_itself(text: str) -> None:
    escaped = template.escape(text)
    assert template.variables(escaped) == ()
    assert parse(escaped).render({"a": "x"}) == text


@given(text=texts, more=texts, name=names, value=texts)
def test_escaped_text_around_a_blank_stays_itself(text: str, more: str, name: str, value: str) -> None:
    written = f"{template.escape(text)} {{{{{name}}}}}{template.escape(more)}"
    assert parse(written).render({name: value}) == f"{text} {value}{more}"


@given(made=templates())
def test_variables_are_the_names_in_order_of_first_appearance(made: tuple[str, list[str]]) -> None:
    text, used = made
    assert template.variables(text) == tuple(dict.fromkeys(used))


@given(made=templates(), mode=missing)
def test_naming_every_variable_is_enough(made: tuple[str, list[str]], mode: template.Missing) -> None:
    text, used = made
    full = parse(text).render(dict.fromkeys(used, "x"), mode)
    assert full == parse(text).render(dict.fromkeys(used, "x"), "error")


@given(made=templates())
def test_one_missing_name_is_reported_and_no_other(made: tuple[str, list[str]]) -> None:
    text, used = made
    if not used:
        return
    variables = {name: "x" for name in used if name != used[0] and not used[0].startswith(f"{name}.")}
    try:
        parse(text).render(variables)
    except MissingVariable as error:
        assert used[0] in error.names
        assert not set(error.names) & set(variables)
    else:
        raise AssertionError("nothing was missing")


@given(made=templates(), value=values)
def test_what_a_value_contains_is_not_looked_at(made: tuple[str, list[str]], value: object) -> None:
    text, used = made
    marked = parse(text).render(dict.fromkeys(used, "\x00"))
    try:
        shown = template.texts(used, dict.fromkeys(used, value))
        rendered = parse(text).render(dict.fromkeys(used, value))
    except BadValue:
        return
    pieces = marked.split("\x00")
    if len(pieces) == len(used) + 1:  # Else the text itself contains the mark.
        filled = [piece + shown[name] for piece, name in zip(pieces, used, strict=False)]
        assert rendered == "".join([*filled, pieces[-1]])


@given(
    contents=st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), templates()), max_size=4),
    value=values,
)
def test_variables_change_neither_number_nor_roles_of_messages(
    contents: list[tuple[str, tuple[str, list[str]]]], value: object
) -> None:
    messages = tuple(Message(role, text) for role, (text, _) in contents)
    variables = {name: value for _, (_, used) in contents for name in used}
    rendered = template.render_messages(messages, variables)
    assert [message.role for message in rendered] == [message.role for message in messages]
