"""Templates in Jinja: what they do, what they may not say, and that none uses up the machine."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from promptlab_sdk.kernel.template import as_text

from prompts import sandbox
from prompts.sandbox import Failed, Refused, TooCostly, limits

BIG = "x" * 900_000


def fill(text: str, missing: Any = "error", **values: object) -> str:
    return sandbox.fill([text], values, missing)[0]


def refusal(text: str) -> str:
    with pytest.raises(Refused) as caught:
        sandbox.check(text)
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("Hi {{ name }}.\n", "Hi Ann.\n"),
        ("{% if vip %}Sir{% elif name == 'Ann' %}Ann{% else %}you{% endif %}", "Ann"),
        ("{% for x in xs %}{{ loop.index }}:{{ x.n }}{% if not loop.last %}, {% endif %}{% endfor %}", "1:a, 2:b"),
        ("{% for x in [] %}{{ x }}{% else %}none{% endfor %}", "none"),
        ("{% for x in xs if x.n != 'a' %}{{ loop.length }}{{ x.n }}{% endfor %}", "1b"),
        ("{% for k, v in user|items %}{{ k }}={{ v }};{% endfor %}", "name=Bo;items=3;"),
        ("{{ user.items }} {{ user['name'] }} {{ xs[1].n }} {{ name[0] }} {{ name[:2] }}", "3 Bo b A An"),
        ("{{ name|upper }} {{ name|lower|capitalize }} {{ 'a b'|title }} [{{ ' x '|trim }}]", "ANN Ann A B [x]"),
        ("{{ none_at_all|default('x') }} {{ ''|default('y', true) }} {{ ''|default('y') }}", "x y "),
        ("{{ tags|join(', ') }} {{ xs|join('+', attribute='n') }} {{ tags|length }}", "b, A, b a+b 3"),
        ("{{ tags|sort|join }} {{ tags|sort(reverse=true)|join }} {{ tags|unique|join }}", "Abb bbA bA"),
        ("{{ tags|first }}{{ tags|last }}{{ tags|reverse|join }}{{ [3, 1]|sort }}", "bbbAb[1,3]"),
        ("{{ 2.5|round }} {{ 2.345|round(2) }} {{ 2.1|round(0, 'ceil') }} {{ '7'|int + 1 }} {{ 'x'|int(3) }}", "2.0 2.35 3.0 8 3"),
        ("{{ '1.5'|float / 2 }} {{ 7 // 2 }} {{ 7 % 2 }} {{ -n }} {{ n > 4 and not vip }}", "0.75 3 1 -5 true"),
        ("{{ user|tojson }} {{ name|tojson }} {{ none }} {{ vip }}", '{"name":"Bo","items":3} "Ann"  false'),
        ("{{ 'a' if n is even else 'b' }} {{ user is mapping }} {{ gone is defined }} {{ 'b' in tags }}", "b true false true"),
        ("{% raw %}{{ name }}{% endraw %}{# said aside #}<b>&amp;", "{{ name }}<b>&amp;"),
        ("{{ markup }}", "<b>&"),
    ],
)  # fmt: skip
def test_templates_say_what_jinja_says(text: str, filled: str) -> None:
    values = {
        "name": "Ann",
        "vip": False,
        "n": 5,
        "xs": [{"n": "a"}, {"n": "b"}],
        "tags": ["b", "A", "b"],
        "user": {"name": "Bo", "items": 3},
        "markup": "<b>&",
    }
    assert fill(text, **values) == filled


@pytest.mark.parametrize("value", [None, True, 3, 0.1, "é\\{{x}}", [1, "é"], {"a": None}])
def test_a_value_is_written_as_the_other_syntax_writes_it(value: object) -> None:
    assert fill("{{ a }}", a=value) == as_text("a", value)


ESCAPES = [
    "{{ ''.__class__ }}",
    "{{ ''['__class__'] }}",
    "{{ x.__init__.__globals__ }}",
    "{{ x._private }}",
    "{{ (x).__class__.__mro__[1].__subclasses__() }}",
    "{{ x|attr('__class__') }}",
    "{{ x|map(attribute='__class__')|list }}",
    "{{ x|selectattr('__class__') }}",
    "{{ x|groupby('__class__') }}",
    "{{ '{0.__class__}'.format(x) }}",
    "{{ '{0.__class__}'.format_map(x) }}",
    "{{ '{0.__class__}'|format(x) }}",
    "{{ '%s'|format(x) }}",
    "{% set f = '{0.__class__}'.format %}{{ f(x) }}",
    "{% with f = ''.format %}{{ f(x) }}{% endwith %}",
    "{{ self._TemplateReference__context }}",
    "{{ self }}",
    "{{ cycler.__init__.__globals__.os }}",
    "{{ cycler() }}",
    "{{ namespace() }}",
    "{{ lipsum(n=200000) }}",
    "{{ range(10**9) }}",
    "{{ range(1000)|list }}",
    "{{ dict() }}",
    "{{ joiner() }}",
    "{{ loop.cycle('a') }}",
    "{{ __builtins__ }}",
    "{{ 'x' * 1000000000 }}",
    "{{ 9 ** 9 ** 9 }}",
    "{{ x ~ x }}",
    "{{ [x, x, x] }}",
    "{{ {'a': x}|tojson }}",
    "{{ (x, x)|list }}",
    "{{ x|indent(100000) }}",
    "{{ x|replace('', x) }}",
    "{{ x|center(1000000000) }}",
    "{{ x|wordwrap(1) }}",
    "{{ x|pprint }}",
    "{{ x|string|batch(2) }}",
    "{{ x|sum }}",
    "{{ x|safe }}",
    "{{ x|join(*x) }}",
    "{{ x|join(**x) }}",
    "{{ x is filter }}",
    "{{ x is callable }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% call m() %}{% endcall %}",
    "{% import 'x' as y %}",
    "{% from 'x' import y %}",
    "{% include 'x' %}",
    "{% extends 'x' %}",
    "{% block a %}{% endblock %}",
    "{% set a = 1 %}",
    "{% set a %}b{% endset %}",
    "{% filter upper %}a{% endfilter %}",
    "{% autoescape true %}{% endautoescape %}",
    "{% do x.append(1) %}",
    "{% for x in xs recursive %}{{ loop(x) }}{% endfor %}",
    "{% for a in x %}{% for b in x %}{% for c in x %}{% endfor %}{% endfor %}{% endfor %}",
    "{{ größe }}",
]


@pytest.mark.parametrize("text", ESCAPES)
def test_what_a_template_may_not_say_is_refused_when_saved_and_when_filled(text: str) -> None:
    assert refusal(text).endswith(".")
    with pytest.raises(Refused):
        fill(text, x="secret", xs=[1])


@pytest.mark.parametrize(
    "text",
    [
        "{{ x.format }}",
        "{{ x.upper }}",
        "{{ x[k] }}",
        "{{ d[k] }}",
        "{{ d.keys }}",
        "{{ d.get }}",
        "{{ d|sort(attribute=k)|list }}",
        "{{ [1]|join(attribute='__class__') }}",
        "{% for a in x %}{{ loop[k] }}{% endfor %}",
        "{% for a in x %}{{ loop.changed }}{% endfor %}",
    ],
)
def test_no_attribute_is_ever_read(text: str) -> None:
    with pytest.raises(Failed) as caught:
        fill(text, x="abc", d={"a": {}}, k="__class__")
    assert "__class__" not in caught.value.message


@pytest.mark.parametrize(
    "text", ["{{ x + x }}", "{{ xs + xs }}", "{{ '%1000000000s' % x }}", "{{ x - 1 }}", "{{ 1 / 0 }}"]
)
def test_arithmetic_is_for_numbers(text: str) -> None:
    with pytest.raises(Failed):
        fill(text, x="a", xs=[1])


@pytest.mark.parametrize(
    "text",
    [
        "{{ " + "(" * 5_000 + "a" + ")" * 5_000 + " }}",
        "{{ " + "[" * 5_000 + "]" * 5_000 + " }}",
        "{{ " + "not " * 5_000 + "a }}",
        "{{ " + "-" * 5_000 + "a }}",
        "{{ a" + "|upper" * 5_000 + " }}",
        "{{ a" + ".b" * 5_000 + " }}",
        "{% if a %}" * 500 + "{% endif %}" * 500,
        "{{ " + " and ".join(["a"] * 5_000) + " }}",
        "{{ a }}" * 20_000,
        "{{ " * 300_000,
        "{" * 1_000_000,
        "{%" * 400_000,
        "{#" * 400_000,
        "{% raw %}" * 100_000,
    ],
    ids=lambda text: text[:16],
)
def test_a_monstrous_text_is_refused_cleanly(text: str) -> None:
    assert refusal(text)


def test_how_deep_a_template_may_nest_does_not_depend_on_who_asks() -> None:
    text = "{{ " + "(" * 25 + "a" + ")" * 25 + " }}"

    def deep(levels: int) -> str:
        return deep(levels - 1) if levels else fill(text, a="x")

    assert deep(700) == "x"


def costly(text: str, **values: object) -> str:
    with pytest.raises(TooCostly) as caught:
        fill(text, **values)
    return str(caught.value)


def test_rounds_are_counted_in_all_loops_together_also_in_silent_ones() -> None:
    xs = list(range(2_000))
    assert "10000 times" in costly("{% for x in xs %}{% for y in xs %}{% endfor %}{% endfor %}", xs=xs)
    assert "10000 times" in costly("{% for x in big if x == 'y' %}{% endfor %}", big=BIG)
    assert "10000 times" in costly("{% for x in xs %}{{ loop.length }}{% endfor %}" * 6, xs=xs)
    assert fill("{% for x in xs %}{% endfor %}" * 5, xs=xs) == ""
    with pytest.raises(TooCostly):
        sandbox.fill(["{% for x in xs %}{% endfor %}"] * 6, {"xs": xs}, "error")


def test_what_is_written_is_counted_over_all_messages() -> None:
    assert len(fill("{{ big }}", big=BIG)) == len(BIG)
    assert "longer than" in costly("{{ big }}{{ big }}", big=BIG)
    assert "longer than" in costly("{% for x in xs %}{{ big }}{% endfor %}", big=BIG, xs=[1, 2])
    with pytest.raises(TooCostly):
        sandbox.fill(["{{ big }}", "{{ big }}"], {"big": BIG}, "error")


def test_filters_grow_nothing() -> None:
    assert "longer than" in costly("{{ xs|join(big)|length }}", big=BIG, xs=[1, 2, 3])
    assert "longer than" in costly("{{ s" + "|tojson" * 40 + "|length }}", s='"')
    for text in ("{{ 1.5|round(1000000000) }}", "{{ 1.5|round(999999999, 'ceil') }}"):
        with pytest.raises(Failed):
            fill(text)


def test_the_clock_is_looked_at_within_a_single_expression(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["{{ (a|upper|lower) is string }}", "{{ a == b }}", "{% for x in a %}{% endfor %}", "x{{ a }}"]
    assert all(isinstance(fill(text, a="a", b="b"), str) for text in texts)
    monkeypatch.setattr(limits, "MAX_SECONDS", -1.0)
    for text in texts:
        assert "takes longer" in costly(text, a="a", b="b")


def test_time_runs_out_in_earnest() -> None:
    text = "".join("{{ (big" + "|upper|lower" * 20 + ")|length }}" for _ in range(100))
    assert "takes longer" in costly(text, big="ß" * 400_000)


def test_values_nested_without_end_fail_cleanly() -> None:
    ring: list[object] = []
    ring.append(ring)
    for text in ("{{ a }}", "{{ a|tojson }}", "{{ a|join }}"):
        with pytest.raises((Failed, TooCostly)):
            fill(text, a=ring)


def test_a_failure_names_the_line_and_no_value() -> None:
    with pytest.raises(Failed) as caught:
        fill("one\ntwo\n{{ a < 3 }}", a="hunter2")
    assert (caught.value.line, "hunter2" in caught.value.message) == (3, False)
    with pytest.raises(Failed) as caught:
        fill("{{ d[k] }}", d={}, k="hunter2")
    assert "hunter2" not in caught.value.message
    with pytest.raises(Failed, match="'b' is undefined"):
        fill("{{ b }}")


def test_a_mistake_is_told_with_its_line() -> None:
    with pytest.raises(Refused) as caught:
        sandbox.check("one\n{% if x %}\n")
    assert caught.value.line == 2
    assert "endif" in caught.value.message


def test_what_is_missing_may_be_kept() -> None:
    assert fill("{{ a }} {{ b.c }} {{ d|upper|trim }}", "keep", a="x") == "x {{ b.c }} {{ d }}"
    assert fill("{% for x in xs %}{{ x }}{% else %}no{% endfor %}{% if n > 3 %}much{% endif %}", "keep") == "no"


def test_what_is_missing_may_be_empty() -> None:
    assert fill("[{{ a }}{{ b.c.d }}{{ e|upper }}{{ xs|join(', ') }}{{ n + 1 }}{{ xs|length }}]", "empty") == "[0]"
    assert fill("{{ a.b|default('x') }}{% if n < 3 or a.b %}y{% endif %}", "empty", a={}) == "x"


def test_variables_take_the_place_of_nothing() -> None:
    hostile = {"\x00budget": 1, "loop": "l", "environment": "e", "context": "c", "undefined": "u", "self": "s"}
    filled = sandbox.fill(["{{ loop }}{{ environment }}{{ context }}{{ undefined }}"], hostile, "error")
    assert filled == ["lecu"]


def test_roots_are_typed_by_their_use() -> None:
    text = (
        "{{ name }}{% for x in xs %}{{ x }}{{ loop.index }}{% endfor %}{{ user.name }}{{ tags|join }}{{ o|items }}"
        "{{ place['city'] }}{{ row[0] }}{% for k, v in both|items %}{{ k }}{% endfor %}{{ name|upper }}{{ _a }}"
    )
    assert sandbox.roots(text) == {
        "name": "string",
        "xs": "list",
        "user": "object",
        "tags": "list",
        "o": "object",
        "place": "object",
        "row": "list",
        "both": "object",
        "_a": "string",
    }


def test_threads_fill_one_template_apart() -> None:
    found: dict[int, set[str]] = {}

    def work(number: int) -> None:
        found[number] = {fill("{% for x in xs %}{{ n }}{% endfor %}", n=number, xs=[1, 2]) for _ in range(50)}

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: {str(number) * 2} for number in range(8)}


PIECES = (
    "{{ a }};{{ a.b }};{{ a[0] }};{{ a|join }};{{ a + 1 }};{{ a < b }};{{ a|sort }};{{ b|int }};{% if a %};{% else %};"
    "{% endif %};{% for x in a %};{{ x }};{% endfor %};{{ a|tojson }};{;text;{{ a|unique }};{{ b|round(2) }};"
    "{{ a|first }};{{ a[1:] }};{{ a in b }};{{ a|items }};{{ -a }}"
)
pieces = st.sampled_from(PIECES.split(";"))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=2), inner, max_size=3)),
    max_leaves=6,
)


@given(parts=st.lists(pieces, max_size=8), a=values, b=values, missing=st.sampled_from(["error", "keep", "empty"]))
@settings(max_examples=200, deadline=None)
def test_filling_raises_nothing_but_the_declared_errors(parts: list[str], a: object, b: object, missing: Any) -> None:
    before = json.dumps([a, b])
    try:
        assert isinstance(fill("".join(parts), missing, a=a, b=b), str)
    except (Refused, Failed, TooCostly) as error:
        assert str(error)
    assert json.dumps([a, b]) == before


@given(text=st.text(max_size=30) | st.text(alphabet="{}%#-+|.'\"()[]ab \n", max_size=30))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_template_or_refused(text: str) -> None:
    try:
        sandbox.check(text)
    except Refused as error:
        assert 1 <= error.line <= text.count("\n") + 1
