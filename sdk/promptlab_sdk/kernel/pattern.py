"""Regular expressions that never take long: a subset of RE2's, matched in time that grows with the text, not worse.

Python's own `re` can be kept busy for years by forty characters. This one follows all ways at once (Thompson 1968), and
every language can do it alike: what an implementation's own dialect adds is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

MAX_PATTERN = 200
MAX_TEXT = 200
"""Characters of text; a longer one matches nothing."""
MAX_STATES = 300
MAX_WRITES = 10_000
"""Parts that are written, also those that need no state: each repetition of nothing is one."""
MAX_REPEAT = 100
TOO_LARGE = "The pattern is too large. Repeat less."
SPECIAL = "\\^$.|?*+()[]{}"

Test = Callable[[str], bool]
SPLIT, START, END = "split", "start", "end"


class PatternError(ValueError):
    """The pattern is not of this language. The message says what and where."""


class Pattern:
    """A pattern, ready to be looked for. Raises PatternError."""

    def __init__(self, source: str) -> None:
        if len(source) > MAX_PATTERN:
            raise PatternError(f"A pattern has at most {MAX_PATTERN} characters, not {len(source)}.")
        self._states: list[_State] = []
        reader = _Reader(source, self._states)
        self._first = reader.whole()
        self._last = len(self._states)

    def found_in(self, text: str) -> bool:
        """Tell whether the pattern matches somewhere in the text. One character is one code point."""
        if len(text) > MAX_TEXT:
            return False
        now: set[int] = set()
        for at in range(len(text) + 1):
            is_end = at == len(text)
            now = self._closed({*now, self._first}, is_start=at == 0, is_end=is_end)
            if self._last in now:
                return True
            if not is_end:
                now = {self._states[one].after[0] for one in now if self._takes(one, text[at])}
        return False

    def _takes(self, state: int, character: str) -> bool:
        what = self._states[state].what
        return not isinstance(what, str) and what(character)

    def _closed(self, states: Iterable[int], *, is_start: bool, is_end: bool) -> set[int]:
        """Return the states with all that follow from them without a character."""
        found: set[int] = set()
        waiting = list(states)
        while waiting:
            one = waiting.pop()
            if one in found:
                continue
            found.add(one)
            if one == self._last:
                continue
            what = self._states[one].what
            if what == SPLIT or (what == START and is_start) or (what == END and is_end):
                waiting.extend(self._states[one].after)
        return found


class _State:
    """`what` is a word, or the test of the next character; `after` are the states that follow, to be filled in."""

    __slots__ = ("after", "what")

    def __init__(self, what: str | Test, after: list[int]) -> None:
        self.what = what
        self.after = after


Piece = Callable[[int], int]
"""Writes the states of a part that goes on at a state; returns where it begins."""


class _Reader:
    """Reads a pattern from left to right. States are written back to front, so that each knows what follows it."""

    def __init__(self, source: str, states: list[_State]) -> None:
        self.source = source
        self.states = states
        self.at = 0
        self.writes = 0

    def whole(self) -> int:
        piece = self._either()
        if self.at < len(self.source):
            raise PatternError(f"There is a ) too many at character {self.at + 1}.")
        # The end comes first while writing, under a number that is settled when all is written.
        first = piece(-1)
        last = len(self.states)
        for state in self.states:
            state.after = [last if one == -1 else one for one in state.after]
        return last if first == -1 else first

    def _state(self, what: str | Test, *after: int) -> int:
        if len(self.states) >= MAX_STATES:
            raise PatternError(TOO_LARGE)
        self.states.append(_State(what, list(after)))
        return len(self.states) - 1

    def _either(self) -> Piece:
        branches = [self._sequence()]
        while self._next() == "|":
            self.at += 1
            branches.append(self._sequence())
        if len(branches) == 1:
            return branches[0]
        return lambda after: self._state(SPLIT, *[branch(after) for branch in branches])

    def _sequence(self) -> Piece:
        parts: list[Piece] = []
        while self._next() not in ("", "|", ")"):
            parts.append(self._repeated(self._one()))

        def write(after: int) -> int:
            self.writes += 1
            if self.writes > MAX_WRITES:
                raise PatternError(TOO_LARGE)
            for part in reversed(parts):
                after = part(after)
            return after

        return write

    def _one(self) -> Piece:
        character = self._take()
        if character == "(":
            return self._group()
        if character == "[":
            return self._testing(self._class())
        if character == ".":
            return self._testing(lambda one: one != "\n")
        if character in "^$":
            word = START if character == "^" else END
            return lambda after: self._state(word, after)
        if character == "\\":
            return self._testing(self._escaped())
        if character in SPECIAL:
            raise PatternError(f"A {character} is out of place at character {self.at}. To mean itself: \\{character}.")
        return self._testing(_is(character))

    def _group(self) -> Piece:
        if self._next() == "?":
            if self.source[self.at : self.at + 2] != "?:":
                raise PatternError(f"(? is not known here, at character {self.at}, except (?:.")
            self.at += 2
        inner = self._either()
        if self._next() != ")":
            raise PatternError("A ( is never closed.")
        self.at += 1
        return inner

    def _testing(self, test: Test) -> Piece:
        return lambda after: self._state(test, after)

    def _repeated(self, piece: Piece) -> Piece:
        character = self._next()
        if character not in ("*", "+", "?", "{"):
            return piece
        self.at += 1
        least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(character) or self._counts()
        if self._next() in ("*", "+", "?", "{"):
            raise PatternError(f"Two repetitions in a row at character {self.at + 1}.")

        def write(after: int) -> int:
            if most is None:
                loop = self._state(SPLIT, after)
                self.states[loop].after.append(piece(loop))
                after = loop
            else:
                end = after
                for _ in range(most - least):
                    after = self._state(SPLIT, piece(after), end)
            for _ in range(least):
                after = piece(after)
            return after

        return write

    def _counts(self) -> tuple[int, int | None]:
        end = self.source.find("}", self.at)
        least, comma, most = self.source[self.at : end].partition(",")
        if end < 0 or not _is_count(least) or (most and not _is_count(most)):
            raise PatternError(f"A {{ is out of place at character {self.at}: {{2}}, {{2,}} or {{2,5}}.")
        self.at = end + 1
        low, high = int(least), (int(most) if most else None if comma else int(least))
        if low > MAX_REPEAT or (high is not None and not low <= high <= MAX_REPEAT):
            raise PatternError(f"Repeat at most {MAX_REPEAT} times, the lower number first.")
        return low, high

    def _class(self) -> Test:
        is_not = self._next() == "^"
        self.at += is_not
        tests: list[Test] = []
        while self._next() != "]" or not tests:
            low = self._take("A [ is never closed.")
            if low == "\\":
                tests.append(self._escaped())
            elif low == "[":
                raise PatternError(f"Write \\[ for a [ at character {self.at}.")
            elif self._next() == "-" and self.source[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                tests.append(self._range(low))
            else:
                tests.append(_is(low))
        self.at += 1
        return lambda one: any(test(one) for test in tests) != is_not

    def _range(self, low: str) -> Test:
        high = self._take()
        if high == "\\" or high < low:
            raise PatternError(f"{low}-{high} is no range, at character {self.at}.")
        return lambda one: low <= one <= high

    def _escaped(self) -> Test:
        character = self._take("A \\ at the end means nothing.")
        if character in _KINDS:
            return _KINDS[character]
        if character.isalnum():
            raise PatternError(f"\\{character} is not known here, at character {self.at}.")
        return _is(character)

    def _next(self) -> str:
        return self.source[self.at : self.at + 1]

    def _take(self, otherwise: str = "The pattern ends too early.") -> str:
        character = self._next()
        if not character:
            raise PatternError(otherwise)
        self.at += 1
        return character


def _is(character: str) -> Test:
    return lambda one: one == character


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 4


def _is_digit(one: str) -> bool:
    return "0" <= one <= "9"


def _is_word(one: str) -> bool:
    return one == "_" or (one.isascii() and one.isalnum())


def _is_space(one: str) -> bool:
    return one in " \t\n\r\f\v"


_KINDS: dict[str, Test] = {
    "d": _is_digit,
    "D": lambda one: not _is_digit(one),
    "w": _is_word,
    "W": lambda one: not _is_word(one),
    "s": _is_space,
    "S": lambda one: not _is_space(one),
    "n": _is("\n"),
    "t": _is("\t"),
    "r": _is("\r"),
}
"""As in RE2: digits, letters and spaces are those of ASCII."""


@lru_cache(maxsize=256)
def compiled(source: str) -> Pattern:
    """Return the pattern, read once. Raises PatternError."""
    return Pattern(source)
