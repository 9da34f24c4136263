"""Deciding within a limit of time. A pattern, schema or comparison may take for ever, and a thread cannot be stopped.

So these run in one child process, which is ended when it takes too long. It gets no environment: it holds no keys.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict
from multiprocessing.connection import wait
from typing import Any, Final

from prompts.checks.deciding import Answer, Outcome, decide_here

RISKY: Final = frozenset({"regex", "json_schema", "similarity"})
LIMIT_S: Final = 1.0
START_S: Final = 20.0
"""A busy machine takes a while to start a process; the limit counts from the first answer on."""
MAX_CHARACTERS: Final = 200_000


def decide(kind: str, options: Mapping[str, Any], answer: Answer, *, limit_s: float = LIMIT_S) -> Outcome:
    """Return what a check says of an answer. Too slow or too long is undecided, and never passed."""
    if len(answer.text) > MAX_CHARACTERS:
        return Outcome(None, f"The answer is longer than {MAX_CHARACTERS} characters.")
    if kind not in RISKY:
        return decide_here(kind, options, answer)
    return _child.decide(kind, options, answer, limit_s)


class _Child:
    """The one child of this process, started when it is first needed and again after it was ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def decide(self, kind: str, options: Mapping[str, Any], answer: Answer, limit_s: float) -> Outcome:
        asked = {"kind": kind, "options": dict(options), "answer": asdict(answer)}
        with self._lock:
            for _attempt in (1, 2):
                try:
                    return self._ask(asked, limit_s)
                except (BrokenPipeError, ValueError):
                    self._end()  # Somebody else ended it, such as a system short of memory.
            return Outcome(None, "It could not be decided: the process that decides was ended.")

    def _ask(self, asked: Mapping[str, Any], limit_s: float) -> Outcome:
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        process.stdin.flush()
        if not wait([process.stdout.fileno()], limit_s):
            self._end()
            return Outcome(None, f"It took longer than {limit_s:g} s. Make the check simpler.")
        return Outcome(**json.loads(process.stdout.readline()))

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "prompts.checks.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "utf-8"},
            )
            self._greet(self._process)
        return self._process

    def _greet(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until it answers, so that its start is not counted for the first check."""
        assert process.stdin is not None and process.stdout is not None
        asked = {"kind": "is_json", "options": {}, "answer": asdict(Answer("1"))}
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        process.stdin.flush()
        if wait([process.stdout.fileno()], START_S):
            process.stdout.readline()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


_child = _Child()
