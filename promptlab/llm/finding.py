"""Where addresses, numbers and own patterns stand in a text. Plain functions; each looks a bounded way from each character.

A pattern of one's own is a row of characters and classes of them, each with a bounded count: nothing in it can nest, so
no text makes it slow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

EMAIL, PHONE, CARD, IBAN = "email", "phone", "card", "iban"
KINDS = (EMAIL, IBAN, CARD, PHONE)
"""What is found without being told how; where two meet in a text the first of these counts."""
MAX_PATTERNS = 20
MAX_PATTERN = 200
MAX_WORK = 2_000
"""Steps that a pattern may take from one character before it says no."""
SHORTEST = 3
"""An own pattern stands for at least as many characters: one for less would take a text apart."""
NAME = re.compile(r"[a-z][a-z_]{1,19}")


@dataclass(frozen=True, slots=True)
class Masks:
    """What is replaced by tokens before a call: `kinds` of `KINDS`, and own `patterns`, each a name and what it matches."""

    kinds: Sequence[str] = ()
    patterns: Sequence[tuple[str, str]] = ()

    def __bool__(self) -> bool:
        return bool(self.kinds or self.patterns)

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Masks:
        """Return the masks that `to_dict` wrote down."""
        return cls(tuple(said["kinds"]), tuple((name, pattern) for name, pattern in said["patterns"]))

    def to_dict(self) -> dict[str, Any]:
        """Return them as JSON keeps them."""
        return {"kinds": list(self.kinds), "patterns": [list(pattern) for pattern in self.patterns]}

    def __or__(self, other: Masks) -> Masks:
        kinds = tuple(kind for kind in KINDS if kind in self.kinds or kind in other.kinds)
        return Masks(kinds, tuple(dict.fromkeys((*self.patterns, *other.patterns))))


NOTHING = Masks()


class Found(NamedTuple):
    """A value in a text: from `start` to before `end`. `kind` is one of `KINDS`, or an own pattern's name."""

    start: int
    end: int
    kind: str


class PatternRefused(ValueError):
    """An own pattern cannot be used; the message says why, in one sentence."""


def find(text: str, masks: Masks) -> list[Found]:
    """Return the values in the text that the masks name, in the order of the text; none overlaps another."""
    found: list[Found] = []
    for name, pattern in masks.patterns:
        _add(found, (Found(one.start(), one.end(), name) for one in compiled(pattern).finditer(text)))
    for kind in KINDS:
        if kind in masks.kinds:
            _add(found, (Found(start, end, kind) for start, end in _FINDERS[kind](text)))
    return sorted(found)


def without_values(text: str, masks: Masks) -> str:
    """Return the text with `[EMAIL]` and the like in place of the values that the masks name: there is no way back."""
    pieces, last = [], 0
    for one in find(text, masks):
        pieces += [text[last : one.start], f"[{one.kind.upper()}]"]
        last = one.end
    return "".join((*pieces, text[last:]))


def _add(found: list[Found], more: Iterator[Found]) -> None:
    """Add the values that overlap none of those that are there."""
    there = iter(sorted(found))
    other = next(there, None)
    for one in more:
        while other is not None and other.end <= one.start:
            other = next(there, None)
        if other is None or one.end <= other.start:
            found.append(one)


_LABEL = r"\w(?:[\w-]{0,61}\w)?"
_EMAIL = re.compile(rf"\w[\w.+%-]{{0,63}}@(?:{_LABEL}\.){{1,8}}[^\W\d_][\w-]{{0,61}}\w")


def _emails(text: str) -> Iterator[tuple[int, int]]:
    if "@" not in text:
        return
    for one in _EMAIL.finditer(text):
        # In a text of JSON the letter behind a backslash belongs to it, and the address begins behind both.
        is_escape = text[one.start()] in "nrt" and one.start() > 0 and text[one.start() - 1] == "\\"
        yield one.start() + (is_escape and text[one.start() + 1] != "@"), one.end()


_COUNTRIES_BY_LENGTH = {
    15: "NO", 16: "BE", 18: "DK FI FK FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK", 21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
}  # fmt: skip
"""How long the IBANs of a country are (SWIFT's IBAN registry)."""
_IBAN_LENGTHS = {country: length for length, said in _COUNTRIES_BY_LENGTH.items() for country in said.split()}
_IBAN_START = re.compile(r"(?<![^\W_])[A-Za-z]{2}[0-9]{2}")
_IBAN_NEXT = re.compile(r"[ -]?([A-Za-z0-9])")


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    """Return the account numbers as long as their country's are, whose check number fits (ISO 13616)."""
    done = 0
    for start in _IBAN_START.finditer(text):
        end = _iban_end(text, start.start()) if start.start() >= done else None
        if end is not None:
            yield start.start(), end
            done = end


def _iban_end(text: str, start: int) -> int | None:
    end = start + 4
    signs = text[start:end].upper()
    length = _IBAN_LENGTHS.get(signs[:2], 0)
    while len(signs) < length:
        following = _IBAN_NEXT.match(text, end)
        if following is None:
            return None
        signs += following[1].upper()
        end = following.end()
    is_cut = text[end : end + 1].isalnum()
    return end if length and not is_cut and _fits_mod_97(signs) else None


def _fits_mod_97(signs: str) -> bool:
    return int("".join(str(int(sign, 36)) for sign in signs[4:] + signs[:4])) % 97 == 1


_DIGITS = re.compile(r"[0-9](?:[ -]?[0-9]){12,}")
_CARD_LENGTHS = range(19, 12, -1)
_CARD_BEGINS = "23456"


def _cards(text: str) -> Iterator[tuple[int, int]]:
    """Return the card numbers: 13 to 19 digits that begin and end with a group and whose check digit fits (Luhn)."""
    for run in _DIGITS.finditer(text):
        places = [place for place in range(run.start(), run.end()) if text[place] not in " -"]
        first = 0
        while first < len(places):
            length = _card_at(text, places, first)
            if length:
                yield places[first], places[first + length - 1] + 1
            first += length or 1


def _card_at(text: str, places: Sequence[int], first: int) -> int:
    """Return how many digits the card number has that begins at the digit `first`; 0 where none does."""
    is_inside = first > 0 and places[first - 1] == places[first] - 1
    if text[places[first]] not in _CARD_BEGINS or is_inside:
        return 0
    for length in _CARD_LENGTHS:
        end = first + length
        is_whole = end == len(places) or (end < len(places) and places[end] > places[end - 1] + 1)
        if is_whole and _fits_luhn([int(text[place]) for place in places[first:end]]):
            return length
    return 0


def _fits_luhn(digits: Sequence[int]) -> bool:
    """Tell whether the last digit is the check digit of the others (ISO/IEC 7812-1)."""
    doubled = (2 * digit for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(two - 9 if two > 9 else two for two in doubled)) % 10 == 0


_PHONE = re.compile(
    r"(?<![\w+.,])(?:"
    r"(?:\+|00)[1-9](?:[ ().\/-]{0,3}[0-9]){6,14}"  # with the country: +49 170 1234567, 0044 (20) 7946 0958
    r"|(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])[0-9]{3}[ .-][0-9]{4}"  # North America: (212) 555-0123
    r"|0[1-9](?:[ .][0-9]{2}){4}"  # France: 01 42 68 53 00
    r"|(?:\(0[1-9][0-9]{1,4}\)|0[1-9][0-9]{1,4})[ \/-](?:[ -]?[0-9]){5,10}"  # with an area code: 0170 1234567, 030/1234567
    r")(?!-?\w)"
)


def _phones(text: str) -> Iterator[tuple[int, int]]:
    """Return what is written as phone numbers are: with a country, or in groups behind an area code."""
    return (one.span() for one in _PHONE.finditer(text))


_FINDERS: dict[str, Callable[[str], Iterator[tuple[int, int]]]] = {
    EMAIL: _emails,
    IBAN: _ibans,
    CARD: _cards,
    PHONE: _phones,
}

_CLASS = r"\[\^?(?:\\[dDwWsS]|\\[^A-Za-z0-9]|[^\]\\\[&~|])+\]"
_ELEMENT = re.compile(
    rf"(?P<one>\\[dDwWsS]|\\[^A-Za-z0-9]|{_CLASS}|[^\\\[\](){{}}*+?|^$])"
    r"(?:\{(?P<least>[0-9]{1,2})(?P<most>,[0-9]{1,2})?\}|(?P<maybe>\?))?|(?P<edge>\\b)"
)


@lru_cache(maxsize=1000)
def compiled(pattern: str) -> re.Pattern[str]:
    """Return an own pattern, ready to search with.

    It is a row of characters, `.`, `\\d`, `\\w`, `\\s` and classes such as `[A-Z]`, each followed by `{4}`, `{1,8}`, `?` or
    nothing, with `\\b` at edges of words. There are no groups and no `*` or `+`. Raises PatternRefused.
    """
    if len(pattern) > MAX_PATTERN:
        raise PatternRefused(f"A pattern has at most {MAX_PATTERN} characters.")
    place = work = shortest = 0
    ways = 1
    while place < len(pattern):
        element = _ELEMENT.match(pattern, place)
        if element is None:
            raise PatternRefused(f"{pattern[place]!r}, character {place + 1}, cannot stand here: {_GRAMMAR}")
        least, most = _counts(element)
        work += ways * (2 * most - least + 1)
        ways *= most - least + 1
        shortest += least
        place = element.end()
        if most < least or work > MAX_WORK:
            raise PatternRefused("There are too many ways to match this. Give smaller counts, or fewer of them.")
    if shortest < SHORTEST:
        raise PatternRefused(f"A pattern stands for {SHORTEST} characters at least.")
    try:
        return re.compile(pattern)
    except re.error as error:
        raise PatternRefused(f"The pattern cannot be read: {error.msg}.") from None


_GRAMMAR = "a pattern is characters and classes such as [A-Z] or \\d, each with a count such as {4} or {1,8}."


def _counts(element: re.Match[str]) -> tuple[int, int]:
    """Return how often an element stands there, at least and at most."""
    if element["edge"]:
        return 0, 0
    if element["maybe"]:
        return 0, 1
    least = int(element["least"] or 1)
    return least, int(element["most"][1:]) if element["most"] else least
