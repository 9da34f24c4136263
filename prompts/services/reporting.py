"""This server process says what it serves, too: a web process of ours can be behind as any other."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass

from promptlab.lib.logs import get_logger
from promptlab.lib.watch import watch
from prompts import revisions
from prompts.errors import TooManyProcesses
from prompts.models import Environment, ServingProcess
from prompts.services import serving
from prompts.services.serving import HEARTBEAT_S, Heartbeat

log = get_logger(__name__)
CLIENT = "promptlab"


@dataclass(slots=True)
class Told:
    """What was reported last, and when; `since` is when the newest revision was heard of. Monotonic times."""

    revision: int = 0
    at: float = 0.0
    since: float = 0.0


class OwnReports:
    """The reports of this process, one environment at a time: at once after a move, then every `HEARTBEAT_S`."""

    def __init__(self) -> None:
        self._told: dict[int, Told] = {}

    def heard(self, environment_id: int, revision: int) -> None:
        """Note the moment from which a revision is served."""
        self._told.setdefault(environment_id, Told()).since = time.monotonic()

    def tell(self) -> bool:
        """Report what is due. Returns False: being reported is no use of an environment."""
        for known in revisions.in_use():
            told = self._told.setdefault(known.environment_id, Told(since=time.monotonic()))
            now = time.monotonic()
            if known.revision and (told.revision != known.revision or now - told.at >= HEARTBEAT_S):
                self._report(known.environment_id, known.revision, int((now - told.since) * 1000))
                told.revision, told.at = known.revision, now
        return False

    def leave(self) -> None:
        """Say that this process ends, or serves nothing any more."""
        ServingProcess.objects.filter(host=_host(), process=_process()).delete()
        self._told.clear()

    def _report(self, environment_id: int, revision: int, age_ms: int) -> None:
        said = Heartbeat("", revision, _host(), _process(), client=CLIENT, age_ms=age_ms)
        try:
            serving.note(Environment(pk=environment_id), said)
        except TooManyProcesses:
            log.info("not_listed", environment_id=environment_id)


def _host() -> str:
    return socket.gethostname()[:100]


def _process() -> str:
    return f"web {os.getpid()}"


own = OwnReports()
revisions.listen(own.heard)
watch.every(own.tell)
watch.at_end(own.leave)
