"""A word to every process at once, so that nobody has to wait for the next look.

Over Redis, and over PostgreSQL's NOTIFY for those who lost Redis. A word may be lost: whoever listens also looks now and
then. Nothing waits for a listener, and nothing in a request waits for Redis: one thread sends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connection, transaction

from promptlab.lib import redis
from promptlab.lib.logs import get_logger
from promptlab.lib.sender import Sender

if TYPE_CHECKING:
    from psycopg import Connection

log = get_logger(__name__)
Handler = Callable[[str, str], None]
"""Gets (subject, value) of a word that some process said, this one among them."""
PG_CHANNEL = "promptlab"
WAIT_S = 0.5
SILENCE_S = 2.5
"""A listener that hears nothing for so long, not even the answer to its own ping, has lost Redis."""
ASK_REDIS_S = 5.0

_handlers: dict[str, Handler] = {}


def on(topic: str, handler: Handler) -> None:
    """Call `handler` for every word of the topic, from the listening thread. It must be quick and raise nothing."""
    _handlers[topic] = handler


def tell_on_commit(topic: str, subject: object, value: object) -> None:
    """Say `value` of `subject` (such as revision 413 of environment 12) when this transaction commits."""
    if not settings.REVISION_PUSH:
        return
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [PG_CHANNEL, f"{topic}:{subject}:{value}"])
    transaction.on_commit(lambda: _put(f"{topic}:{subject}", str(value)))


def channel(name: str) -> str:
    """Return the Redis channel of a name such as `revision:12`."""
    return f"{settings.REDIS_PREFIX}:{name}"


def _put(name: str, value: str) -> None:
    if not sender.put((channel(name), value)):
        log.warning("push_dropped", name=name)


def _send(word: tuple[str, str]) -> None:
    try:
        redis.publish(*word)
    except redis.RedisAway:
        log.info("push_skipped", channel=word[0])


sender: Sender[tuple[str, str]] = Sender("push", _send)


@contextmanager
def listening(missed: Callable[[], None]) -> Iterator[None]:
    """Listen in a thread of its own. `missed` is called whenever words may have been lost in between."""
    if not settings.REVISION_PUSH:
        yield
        return
    listener = _Listener(missed)
    listener.start()
    try:
        yield
    finally:
        listener.stopped.set()
        listener.join(WAIT_S * 2)


class _Listener(threading.Thread):
    """Hears what is said over Redis; while Redis is away, over PostgreSQL, if that is the database."""

    def __init__(self, missed: Callable[[], None]) -> None:
        super().__init__(name="promptlab-listen", daemon=True)
        self.missed = missed
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.is_set():
            try:
                self._over_redis()
            except redis.RedisAway:
                self._without_redis()

    def _over_redis(self) -> None:
        with redis.subscription([channel(f"{topic}:*") for topic in _handlers]) as heard:
            self.missed()
            heard_at = time.monotonic()
            while not self.stopped.is_set():
                word = heard(WAIT_S)
                now = time.monotonic()
                if word is not None:
                    heard_at = now
                    self._handle(word[0].removeprefix(f"{settings.REDIS_PREFIX}:"), word[1])
                elif now - heard_at > SILENCE_S:
                    raise redis.RedisAway

    def _without_redis(self) -> None:
        """Listen to PostgreSQL until Redis answers again; on SQLite, and without a database, just wait a moment."""
        if connection.vendor != "postgresql":
            self.stopped.wait(WAIT_S)
            return
        import psycopg

        try:
            with psycopg.connect(**connection.get_connection_params(), autocommit=True) as own:
                own.execute(f"LISTEN {PG_CHANNEL}")
                self.missed()
                self._over_postgres(own)
        except psycopg.Error as error:
            log.info("push_away", error=type(error).__name__)
            self.stopped.wait(WAIT_S)

    def _over_postgres(self, own: Connection) -> None:
        """Listen until Redis answers. It is asked seldom: the question to one that hangs takes its time."""
        asked_at = time.monotonic()
        while not self.stopped.is_set():
            for word in own.notifies(timeout=WAIT_S):
                name, _, value = word.payload.rpartition(":")
                self._handle(name, value)
            if time.monotonic() - asked_at > ASK_REDIS_S:
                if redis.ping():
                    return
                asked_at = time.monotonic()

    def _handle(self, name: str, value: str) -> None:
        topic, _, subject = name.partition(":")
        handler = _handlers.get(topic)
        if handler is not None:
            handler(subject, value)
