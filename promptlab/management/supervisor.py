"""Several processes run as one: started together, and stopped together when one of them ends or somebody asks.

honcho relays output and signals. Here is what it leaves open: who ended, and that nothing stays behind.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from honcho.manager import KILL_WAIT, SYSTEM_PRINTER_NAME, Manager
from honcho.printer import Message, Printer
from honcho.process import Popen, Process

from promptlab.management.parent import end_with_parent


class _Group(Popen):
    """A program and whatever it started. When the program or the supervisor ends, the whole group does."""

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        options |= {"shell": False, "stdin": subprocess.DEVNULL, "preexec_fn": end_with_parent}
        super().__init__(command, **options)
        threading.Thread(target=self._watch, args=(os.getppid(),), daemon=True).start()

    def _watch(self, supervisor: int) -> None:
        while self.poll() is None and os.getppid() == supervisor:
            time.sleep(0.2)
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.wait(KILL_WAIT)
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)


class _Watched(Process):
    """Runs in a process of its own, between the supervisor and the program, and relays the program's lines."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._child_ctor = _Group

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a closed terminal: the supervisor stops us in order
        super().run(events, ignore_signals)


class _Lines(Printer):
    """Prints the programs' lines, not honcho's own remarks."""

    def write(self, message: Message) -> None:
        if message.name != SYSTEM_PRINTER_NAME:
            super().write(message)


def _how(returncode: int) -> str:
    if returncode < 0:
        return f"was ended by {signal.Signals(-returncode).name}"
    return f"ended with code {returncode}"


class Supervisor(Manager):
    """Runs programs until one ends, or SIGINT, SIGTERM or SIGHUP arrives; then stops all (SIGKILL after 5 s)."""

    def __init__(self, output: TextIO = sys.stdout) -> None:
        if sys.platform == "linux":  # the fork server of Python 3.14 would stand between us and our watchers
            multiprocessing.set_start_method("fork", force=True)
        super().__init__(_Lines(output))
        self._process_ctor = _Watched
        self.when_started: Callable[[], None] | None = None
        self._is_asked = False
        self.ended_by_itself = ""

    def add(self, name: str, command: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> None:
        """Add a program to run."""
        self.add_process(name, list(command), env=dict(env), cwd=str(cwd))

    def say(self, text: str) -> None:
        """Print `text` as it is, between the programs' lines. May be called from any thread."""
        print(text, file=self._printer.output, flush=True)

    def run(self) -> int:
        """Run everything and return the exit code: 0 when somebody asked to stop, else 1."""
        signal.signal(signal.SIGHUP, lambda number, frame: self.terminate())
        try:
            self.loop()
        finally:
            self._end_what_is_left()
        return 1 if self.ended_by_itself else 0

    def terminate(self) -> None:
        """Stop everything, first saying who ended by itself. Before all have started, remember to."""
        self._is_asked = True
        if self._terminating or not super()._all_started():
            return
        for name, process in self._processes.items():
            if process.get("returncode") is not None and not self.ended_by_itself:
                self.ended_by_itself = name
                self.say(f"{name} {_how(process['returncode'])}. Stopping everything else.")
        super().terminate()

    def _end_what_is_left(self) -> None:
        """Nothing, unless the loop broke (a closed terminal, for one): Python would wait for the watchers for ever."""
        for process in self._processes.values():
            if process.get("pid") and process.get("returncode") is None:
                self._procmgr.terminate(process["pid"])

    def _start(self) -> None:
        super()._start()
        if self.when_started:
            threading.Thread(target=self.when_started, daemon=True).start()

    def _all_started(self) -> bool:
        has_started = bool(super()._all_started())
        if has_started and self._is_asked and not self._terminating:
            super().terminate()
        return has_started

    def _any_stopped(self) -> bool:
        """A watcher that was killed cannot report; its program has ended with it."""
        for process in self._processes.values():
            code = process["process"].exitcode
            if code and process.get("returncode") is None:
                process["returncode"] = code
        return bool(super()._any_stopped())
