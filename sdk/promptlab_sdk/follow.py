"""Keeping up with an environment: by asking for its bundle again and again, or by listening to what moves.

One thread per client. It never raises; when it cannot go on, what is in memory grows stale and is asked for lazily.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import Literal, Protocol

from promptlab_sdk.errors import PromptLabError
from promptlab_sdk.kernel.spec import Delivery
from promptlab_sdk.source import Bundle, Moved, Movements, Source

log = logging.getLogger("promptlab")

Refresh = Literal["lazy", "poll", "stream"]

FIRST_PAUSE_S = 0.25
MAX_PAUSE_S = 30.0

RECHECK_S = 300.0
"""How often everything is compared although the stream said nothing: events may get lost, the truth may not."""

MAX_SINGLE = 20
"""Prompts of one event that are fetched one by one; for more, the bundle costs less."""

LAG_TRIES = 6
LAG_PAUSE_S = 0.1
"""A server process may be a moment behind the one that told us."""


class Followed(Protocol):
    """What is kept up to date."""

    def take(self, bundle: Bundle) -> None:
        """Serve exactly this environment's prompts from now on."""

    def keep(self) -> None:
        """Go on taking what came from the bundle for current."""

    def accept(self, delivery: Delivery) -> None:
        """Serve this, which came by push, unless something newer is there."""

    def reload(self, name: str, revision: int) -> bool:
        """Fetch this prompt again unless it is there; tell whether it is at least of that revision now."""

    def serving(self, environment: str, revision: int, every_s: float) -> None:
        """Hear which revision is served now, and how often the server wants to be told."""

    def note(self, error: Exception) -> None:
        """Hear of a failure."""


class Follower:
    """The thread that keeps a client up to date, in mode "poll" or "stream"."""

    def __init__(
        self, source: Source, followed: Followed, *, mode: Refresh, env: str | None, poll_interval_s: float
    ) -> None:
        self.mode = mode
        self._source = source
        self._followed = followed
        self._env = env
        self._poll_interval_s = poll_interval_s
        self.forget_parent()

    def forget_parent(self) -> None:
        """In the child of a fork: begin anew when woken. What the parent knew, the child checks first."""
        self.revision = 0
        self.environment = ""
        self.is_connected = False
        self._etag = ""
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stream: Movements | None = None
        self._heartbeat_s: float | None = None
        self._checked_at = 0.0

    def wake(self) -> None:
        """Start the thread unless it runs. Never raises."""
        if self.mode == "lazy" or self._thread is not None or self._stopping.is_set():
            return
        with self._lock:
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._run, name=f"promptlab-sdk-{self.mode}", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # The interpreter is shutting down, or the system has no thread left.
                log.warning("no thread to follow changes, asking lazily: %s", error)
                return
            self._thread = thread

    def close(self) -> threading.Thread | None:
        """Stop, and return the thread that is ending, if there is one."""
        with self._lock:
            self._stopping.set()
            if self._stream is not None:
                self._stream.close()
            return self._thread

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                if self.mode == "poll":
                    self._compare()
                    self._tell()
                else:
                    self._listen()
                failures = 0
                pause_s = self._poll_interval_s * random.uniform(0.8, 1.0) if self.mode == "poll" else FIRST_PAUSE_S
            except Exception as error:  # noqa: BLE001  (the thread has to live on)
                if not self._stopping.is_set():
                    self._fail(error)
                pause_s = self._pause_s(failures)
                failures = min(failures + 1, 10)
            self._stopping.wait(pause_s)
        self.is_connected = False

    def _pause_s(self, failures: int) -> float:
        """Return how long to wait after so many failures: a server that is back is found within one poll interval."""
        longest = min(MAX_PAUSE_S, self._poll_interval_s)
        return min(FIRST_PAUSE_S * 2**failures, longest) * random.uniform(0.5, 1.0)

    def _fail(self, error: Exception) -> None:
        """Note the failure; without a stream the bundle may still be had, and is."""
        was_connected, self.is_connected = self.is_connected, False
        self._followed.note(error)
        if self.mode == "stream" and not was_connected and isinstance(error, PromptLabError) and error.status:
            try:
                self._compare()
            except Exception as again:  # noqa: BLE001  (it is noted)
                self._followed.note(again)

    def _listen(self) -> None:
        """Follow the stream until it ends. It is opened first and everything compared then, so that nothing gets lost."""
        with self._source.movements(self._env, self.revision) as stream:
            with self._lock:
                self._stream = stream
            try:
                self._heartbeat_s = stream.heartbeat_s
                self._compare()
                self.is_connected = True
                self._tell()
                for moved in stream:
                    if self._stopping.is_set():
                        return
                    self._follow(moved)
            finally:
                with self._lock:
                    self._stream = None

    def _follow(self, moved: Moved | None) -> None:
        if moved is None:
            self._followed.keep()
        elif moved.revision and moved.revision <= self.revision:
            return  # The bundle had it already.
        else:
            self._catch_up(moved)
        if time.monotonic() - self._checked_at > RECHECK_S:
            self._compare()
        self._tell()

    def _catch_up(self, moved: Moved) -> None:
        """Take what came along, and fetch what else moved; what cannot be had singly is left to a comparison, due at once."""
        for delivery in moved.deliveries:
            self._followed.accept(delivery)
        names = moved.names if len(moved.names) <= MAX_SINGLE else ()
        is_current = False
        for attempt in range(LAG_TRIES if names else 0):
            names = tuple(name for name in names if not self._followed.reload(name, moved.revision))
            is_current = not names
            if is_current or self._stopping.wait(LAG_PAUSE_S * (attempt + 1)):
                break
        self.revision = max(self.revision, moved.revision)
        if not is_current:
            self._checked_at = float("-inf")

    def _compare(self) -> None:
        """Ask for the bundle, and take it if it is another one."""
        found = self._source.bundle(self._env, self._etag)
        for attempt in range(LAG_TRIES):
            # A server process that is behind gets time to catch up. One that stays behind was restored from a copy.
            if not isinstance(found, Bundle) or found.revision >= self.revision:
                break
            self._stopping.wait(LAG_PAUSE_S * (attempt + 1))
            found = self._source.bundle(self._env, self._etag)
        self._checked_at = time.monotonic()
        if isinstance(found, Bundle):
            self._followed.take(found)
            self._etag, self.revision, self.environment = found.etag, found.revision, found.environment
            found = found.heartbeat_s
        else:
            self._followed.keep()
        if found:
            self._heartbeat_s = found
        if self.mode == "poll":
            self.is_connected = True

    def _tell(self) -> None:
        if self._heartbeat_s:
            self._followed.serving(self.environment, self.revision, self._heartbeat_s)
