"""What counts as an address or a number, what only looks like one, and patterns of one's own."""

from __future__ import annotations

import pytest

from promptlab.llm import finding
from promptlab.llm.finding import Found, Masks, PatternRefused, find

ALL = Masks(finding.KINDS)

VALUES = {
    "email": [
        "ann@example.com",
        "a.b+c%d@mail.example.co.uk",
        "ann_1@xn--bcher-kva.example",
        "jörg@bücher.example",
    ],
    "iban": [
        "DE89370400440532013000",
        "DE89 3704 0044 0532 0130 00",
        "gb29 nwbk 6016 1331 9268 19",
        "NO93 8601 1117 947",
        "MT84MALT011000012345MTLCAST001S",
    ],
    "card": [
        "4111111111111111",
        "4111 1111 1111 1111",
        "5500-0000-0000-0004",
        "378282246310005",
        "3782 822463 10005",
        "4222222222222",
        "6304000000000000000",
    ],
    "phone": [
        "+49 170 1234567",
        "+1 (212) 555-0123",
        "0044 20 7946 0958",
        "+4917012345678",
        "(212) 555-0123",
        "212-555-0123",
        "01 42 68 53 00",
        "0170 1234567",
        "030/1234567",
        "(030) 123 456 78",
    ],
}
NEAR_MISSES = [
    "ann@localhost",
    "@ann hello",
    "ann @ example.com",
    "price@2.50",
    "DE89370400440532013001",
    "DE8937040044053201300",
    "XX89370400440532013000",
    "4111111111111112",
    "4111 1111 1111 111",
    "1234567890123456",
    "41111111111111111111111",
    "2026-11-21",
    "21.11.2026 10:30",
    "01-02-2026",
    "192.168.100.200",
    "10.0.0.1",
    "3.14159265358979",
    "order 123456789",
    "1,234,567.89",
    "0.0012345678",
    "550e8400-e29b-41d4-a716-446655440000",
    "2001:db8::8a2e:370:7334",
    "1.2.3-4567",
]


def values_in(text: str, masks: Masks = ALL) -> list[tuple[str, str]]:
    return [(one.kind, text[one.start : one.end]) for one in find(text, masks)]


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, every in VALUES.items() for value in every])
@pytest.mark.parametrize("frame", ["{}", "Say {} again.", "({})", '"{}"', "x: {}, y", "ä\n{}\n"])
def test_a_value_is_found_whole_wherever_it_stands(kind: str, value: str, frame: str) -> None:
    assert values_in(frame.format(value)) == [(kind, value)]


@pytest.mark.parametrize("text", NEAR_MISSES)
def test_what_only_looks_like_a_value_stays(text: str) -> None:
    assert values_in(f"Say {text} again.") == []


def test_only_what_is_asked_for_is_found() -> None:
    text = "ann@example.com, 4111 1111 1111 1111"
    assert values_in(text, Masks(("card",))) == [("card", "4111 1111 1111 1111")]
    assert values_in(text, Masks()) == []


def test_a_card_among_other_digits_is_found() -> None:
    assert values_in("12 4111 1111 1111 1111 12/27") == [("card", "4111 1111 1111 1111")]


def test_an_account_behind_one_that_is_none_is_found() -> None:
    assert values_in("XX12 DE00 1234 DE89 3704 0044 0532 0130 00") == [("iban", "DE89 3704 0044 0532 0130 00")]


def test_an_address_behind_an_escape_of_json_begins_behind_it() -> None:
    assert values_in(r'{"a": "Write\nann@example.com"}') == [("email", "ann@example.com")]


def test_where_two_meet_the_own_pattern_counts() -> None:
    masks = Masks(("email",), (("customer", r"C-\d{4}@[a-z]{1,10}"),))
    assert find("C-1234@example.com ann@example.com", masks) == [Found(0, 14, "customer"), Found(19, 34, "email")]


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"EMP-\d{4,8}", "EMP-12345"),
        (r"\b[A-Z]{2}\d{6}\b", "AB123456"),
        (r"[A-Za-z0-9_\-]{20,64}", "abcdefghijklmnopqrst-_0"),
        (r"\(no\. ?\d{3}\)", "(no. 123)"),
        (r"a.c", "abc"),
        ("Größe[ÄÖÜ]{2}", "GrößeÄÖ"),
    ],
)
def test_an_own_pattern_matches(pattern: str, text: str) -> None:
    assert finding.compiled(pattern).fullmatch(text)


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$", "a*", "a+bc", r"(\w)\1", r"abc\1", "(?=abc)", "a{2,}bc", "a{1,3}{1,3}bc", "abc|def", "(?i)abc", "^abc",
        "[[a]bc]", "[a&&b]cd", "[z-a]bcd", "abc\\", "ab", "", "a?b?c?", ".{0,50}.{0,50}.{0,50}x", "a{9,2}bcd", "x" * 201,
        r"\Aabc", r"\p{L}abc", "a??bcd", "a{1,2}?bcd",
    ],
)  # fmt: skip
def test_a_pattern_that_could_be_slow_or_take_everything_is_refused(pattern: str) -> None:
    with pytest.raises(PatternRefused):
        finding.compiled(pattern)


def test_masks_add_up() -> None:
    one, other = Masks(("phone",), (("a", "abc"),)), Masks(("email",), (("a", "abc"), ("b", "bcd")))
    assert one | other == Masks(("email", "phone"), (("a", "abc"), ("b", "bcd")))
    assert not Masks() and one
