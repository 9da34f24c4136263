"""What a template may use up, and how it is told that it did."""

from __future__ import annotations

import time

MAX_TOKENS = 20_000
MAX_NODES = 5_000
MAX_DEPTH = 50
MAX_FOR_DEPTH = 2
MAX_ITERATIONS = 10_000
MAX_OUTPUT = 1_000_000
MAX_SECONDS = 1.0


class Refused(ValueError):
    """The text cannot be read, or says what a template may not say. `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message, line)
        self.message = message
        self.line = line


class TooCostly(Exception):
    """Filling the template takes too long or writes too much."""


class Failed(Exception):
    """The template cannot be filled with these values; none of them is in the message. `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message, line)
        self.message = message
        self.line = line


class Budget:
    """What one filling may use up; the texts of a conversation share it."""

    __slots__ = ("_ends_at", "_room", "_rounds")

    def __init__(self) -> None:
        self._rounds = MAX_ITERATIONS
        self._room = MAX_OUTPUT
        self._ends_at = time.monotonic() + MAX_SECONDS

    def step(self) -> None:
        """Refuse to go on when the time is over."""
        if time.monotonic() > self._ends_at:
            raise TooCostly(f"Filling in the template takes longer than {MAX_SECONDS:g} s.")

    def go_round(self) -> None:
        """Count one round of a loop."""
        self.step()
        self._rounds -= 1
        if self._rounds < 0:
            raise TooCostly(f"The loops of the template go round more than {MAX_ITERATIONS} times.")

    def write(self, chunk: str) -> None:
        """Count what is written."""
        self.step()
        self._room -= len(chunk)
        if self._room < 0:
            raise too_long()


def too_long() -> TooCostly:
    return TooCostly(f"The filled template is longer than {MAX_OUTPUT} characters.")
