"""Words as a search compares them: without case and accents, the same on every database. And what somebody typed to find."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from promptlab.lib.errors import Invalid

MAX_TYPED = 200
MAX_TERMS = 10
MAX_WORD = 100
"""Longer words are compared by their first characters; PostgreSQL keeps 2,046 bytes of one."""
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Scripts written without spaces: each character is a word."""
WORD = re.compile(rf"(?=[^\W_])[{UNSPACED}]|[^\W_{UNSPACED}]+")
LEFT_OUT = re.compile(
    "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"  # accents
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u064b-\u065f\u0670"  # vowel points
    "\u00ad\u200b-\u200d\u2060\ufe00-\ufe0f\ufeff]"  # what nobody sees
)
TYPED = re.compile(r'"([^"]*)"|[^\s"]+')
QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "«": '"', "»": '"'})


@dataclass(frozen=True, slots=True)
class Term:
    """One thing that must be found: `text` folded, `words` in it. A phrase is whole words, else the last may go on."""

    text: str
    words: tuple[str, ...]
    is_phrase: bool = False

    @property
    def in_order(self) -> str:
        """The words as `spaced` has them."""
        return f" {' '.join(self.words)}{' ' if self.is_phrase else ''}"


class _Folds(dict[int, str]):
    """Characters and what they are compared as; filled as they are met."""

    def __missing__(self, code: int) -> str:
        if code == 0 or 0xD800 <= code <= 0xDFFF:  # neither database takes these
            folded = " "
        else:
            plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", chr(code)).casefold())
            folded = unicodedata.normalize("NFC", LEFT_OUT.sub("", plain))
        if len(self) < 10_000:
            self[code] = folded
        return folded


_FOLDS = _Folds()


def folded(text: str) -> str:
    """Return the text as it is compared."""
    return unicodedata.normalize("NFC", text).translate(_FOLDS)


def words_of(text: str) -> list[str]:
    """Return the words of a text, folded, in order."""
    words: list[str] = WORD.findall(folded(text))
    return [word[:MAX_WORD] for word in words] if any(len(word) > MAX_WORD for word in words) else words


def spaced(text: str) -> str:
    """Return the words of a text, one space before, between and behind them; a space for no words."""
    words = words_of(text)
    return f" {' '.join(words)} " if words else " "


def terms(typed: str) -> list[Term]:
    """Return what must be found, each once: words, and phrases in quotes. Every other sign is text.

    Raises Invalid naming the field `search` above 200 characters or 10 terms.
    """
    if len(typed) > MAX_TYPED:
        raise Invalid.field("search", f"At most {MAX_TYPED} characters.", code="too_long")
    found = list(dict.fromkeys(term for term in map(_term, TYPED.finditer(typed.translate(QUOTES))) if term.text))
    if len(found) > MAX_TERMS:
        raise Invalid.field("search", f"At most {MAX_TERMS} words.", code="too_long")
    return found


def _term(typed: re.Match[str]) -> Term:
    is_phrase = typed[1] is not None
    text = " ".join(folded(typed[1] if is_phrase else typed[0]).split())
    words = tuple(words_of(text))
    return Term(text, words, is_phrase and bool(words))


def spans(text: str, wanted: list[Term], *, within: bool = False) -> list[tuple[int, int]]:
    """Return where terms stand in a text (in Unicode's form NFC): (start, end), in order, none inside another.

    `within`: in the middle of words, too.
    """
    plain = unicodedata.normalize("NFC", text)
    comparable, places = _with_places(plain)
    met = [(match.start(), match.end(), match[0][:MAX_WORD]) for match in WORD.finditer(comparable)]
    hits = sorted(hit for term in wanted for hit in _hits(comparable, met, term, within))
    kept: list[tuple[int, int]] = []
    for start, end in ((places[start], places[end - 1] + 1) for start, end in hits):
        if kept and start < kept[-1][1]:
            kept[-1] = (kept[-1][0], max(end, kept[-1][1]))
        else:
            kept.append((start, end))
    return kept


def _with_places(plain: str) -> tuple[str, range | list[int]]:
    """Return the folded text with, for each of its characters, the place it comes from."""
    if plain.isascii():
        return plain.translate(_FOLDS), range(len(plain))
    pieces = [_FOLDS[ord(one)] for one in plain]
    return "".join(pieces), [place for place, piece in enumerate(pieces) for _ in piece]


def _hits(text: str, met: list[tuple[int, int, str]], term: Term, within: bool) -> Iterator[tuple[int, int]]:
    count = len(term.words)
    for first in range(len(met) - count + 1) if count else ():
        *before, (start, end, last) = met[first : first + count]
        if [word for _, _, word in before] != list(term.words[:-1]):
            continue
        if last == term.words[-1] or (last.startswith(term.words[-1]) and not term.is_phrase):
            yield met[first][0], min(end, start + len(term.words[-1]))
    if within and not term.is_phrase:
        wanted = term.words[0] if count == 1 else term.text
        yield from ((hit.start(), hit.end()) for hit in re.finditer(re.escape(wanted), text))
