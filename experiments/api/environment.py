"""`GET /bundle` and `GET /events`: a whole environment at once, and its moves as they happen. Plain ASGI, before Django."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable

from django.conf import settings
from django.db import DatabaseError

from experiments.api.delivery import CACHE_CONTROL, environment_asked, reading_team, spend
from experiments.api.ready import matches
from experiments.bundle import abundle
from experiments.delivery import adeliver
from experiments.moves import Move, amoves
from promptlab.accounts.auth import Checked, acheck
from promptlab.lib import sse
from promptlab.lib.asgi import EventStream, Parts, Request, Response, route
from promptlab.lib.errors import DomainError, Unavailable
from promptlab.lib.logs import get_logger
from promptlab.lib.openapi import hot_paths, operation
from promptlab.lib.stopping import stopping
from promptlab.lib.threads import run_db
from promptlab.lib.watch import watch
from prompts import resolve, revisions
from prompts.models import Environment
from prompts.services import serving

log = get_logger(__name__)
KEEP_ALIVE_S = 15.0
RETRY_S = 1.0
COME_BACK_S = 5
MOST_CARRIED = 5
"""Prompts whose payloads come along with what is told at once; of more, only the names."""
MOST_BYTES = 64 * 1024
"""A payload beyond that is fetched by those who want it."""


async def bundle(request: Request) -> Response | Parts:
    """Answer with everything that is live in an environment; 304 when the caller has it."""
    checked = await acheck(request.headers)
    environment = environment_asked(request.query, checked.principal)
    team_id = reading_team(checked.principal, environment)
    spend(checked.principal)
    found = await abundle(team_id, environment)
    headers = {"ETag": found.etag, "Cache-Control": CACHE_CONTROL, **_common(found.revision)}
    if matches(request.headers.get("if-none-match", ""), found.etag):
        return Response(status=304, headers=headers)
    return Parts(found.parts(), found.length, {**headers, "Content-Type": "application/json"})


async def events(request: Request) -> EventStream:
    """Answer with an event for each revision from now on, or from the one the caller names. Raises Unavailable if full."""
    checked = await acheck(request.headers)
    environment = environment_asked(request.query, checked.principal)
    team_id = reading_team(checked.principal, environment)
    spend(checked.principal)
    if len(_open) >= settings.EVENT_STREAMS:
        raise Unavailable("This process has as many event streams as it may.", retry_after_s=COME_BACK_S)
    where = await run_db(_look, team_id, environment)
    follower = _Follower(where, checked)
    return EventStream(_frames(follower, _last_id(request)), _common(where.revision))


def _common(revision: int) -> dict[str, str]:
    """Return the headers of both routes; one says how often a process shall report what it serves."""
    return {
        "X-PromptLab-Revision": str(revision),
        "X-PromptLab-Heartbeat": str(serving.HEARTBEAT_S),
        "Vary": "Authorization, X-API-Key",
    }


def _look(team_id: int, name: str) -> Environment:
    """Return the environment and note its revision. Raises EnvironmentNotFound."""
    at = time.monotonic()
    environment = resolve.environment_named(team_id, name)
    revisions.seen(environment.pk, environment.revision, at)
    return environment


def _last_id(request: Request) -> int | None:
    """Return the revision after which the caller wants to go on; None for one that knows of none."""
    said = request.headers.get("last-event-id", "").strip()
    return int(said) if said.isascii() and said.isdecimal() and len(said) < 19 else None


class _Follower:
    """One open stream. It keeps no events: a slow reader costs nothing, and reads on where it was."""

    def __init__(self, environment: Environment, checked: Checked) -> None:
        self.environment = environment
        self.checked = checked
        self.known = revisions.known(environment.pk)
        self.woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def wake(self) -> None:
        """Let the stream look around; from any thread, and from a signal."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.woken.set)

    def enter(self) -> None:
        _open.add(self)
        self.known.holds += 1
        self.checked.streams.add(self.wake)
        stopping.call(self.wake)

    def leave(self) -> None:
        _open.discard(self)
        self.known.holds -= 1
        self.checked.streams.discard(self.wake)
        stopping.forget(self.wake)

    @property
    def is_over(self) -> bool:
        """Whether the key was revoked, or the server ends."""
        return self.checked.is_over or stopping.is_set


_open: set[_Follower] = set()


def _moved(environment_id: int, revision: int) -> None:
    for follower in list(_open):
        if follower.environment.pk == environment_id:
            follower.wake()


revisions.listen(_moved)


async def _frames(follower: _Follower, after: int | None) -> AsyncGenerator[bytes]:
    """Yield what the caller missed, then each move when it happens; a comment now and then keeps the line open."""
    follower.enter()
    try:
        yield sse.KEEP_ALIVE
        if after is None:
            after = follower.known.revision
            yield _frame(follower, Move(after, ()))
        while not follower.is_over:
            watch.ensure()
            follower.woken.clear()
            until, pause_s = follower.known.revision, KEEP_ALIVE_S
            try:
                for event in await _told(follower, after, until) if until != after else ():
                    yield event
                after = until
            except DatabaseError as error:
                log.warning("events_wait", error=type(error).__name__)
                pause_s = RETRY_S
            if not await _woken(follower, pause_s):
                yield sse.KEEP_ALIVE
    finally:
        follower.leave()


async def _woken(follower: _Follower, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            return await follower.woken.wait()
    except TimeoutError:
        return False


async def _told(follower: _Follower, after: int, until: int) -> list[bytes]:
    """Return an event for each move after one revision up to another.

    What is live now comes along, once for each prompt: a thousand readers that had to fetch it would come all at once.
    """
    moves = await amoves(follower.environment, after, until)
    names = {name for move in moves for name in move.names}
    missing = names if len(names) <= MOST_CARRIED else set()
    events = []
    for move in moves:
        carried = [body for name in move.names if name in missing and (body := await _body(follower, name, until))]
        missing = missing.difference(move.names)
        events.append(_frame(follower, move, carried))
    return events


async def _body(follower: _Follower, name: str, revision: int) -> bytes | None:
    """Return what is live under a name, at this revision or a later one; None for what readers have to ask for."""
    where = follower.environment
    try:
        entry = await adeliver(where.team_id, where.name, name)
    except DomainError:  # Taken back, or not to be put together: who asks for it is told which.
        return None
    return entry.body if entry.revision >= revision and len(entry.body) <= MOST_BYTES else None


def _frame(follower: _Follower, move: Move, bodies: Iterable[bytes] = ()) -> bytes:
    told = {"environment": follower.environment.name, "revision": move.revision, "names": move.names}
    line = b'%s,"prompts":[%s]}' % (sse.encoded(told)[:-1], b",".join(bodies))
    return sse.framed(line, event="deployment", number=move.revision)


ROUTES = [route("GET HEAD", "/bundle", bundle), route("GET", "/events", events)]

hot_paths["/api/v1/bundle"] = {
    "get": operation("Fetch everything that is live", tag="prompts", parameters=("environment",))
}
hot_paths["/api/v1/events"] = {
    "get": operation("Follow what goes live", tag="prompts", parameters=("environment",), stream=True)
}
