"""What the clients share: memory, refreshing, disk and bootstrap, reports, forks. Sync and async differ in waiting only."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from promptlab_sdk.bootstrap import Bootstrap, BootstrapKey, read_bootstrap
from promptlab_sdk.cache import Cache
from promptlab_sdk.disk import Disk, disk_path
from promptlab_sdk.errors import PromptNotFound, Unauthorized
from promptlab_sdk.events import Kind, Outbox
from promptlab_sdk.follow import Follower, Refresh
from promptlab_sdk.heartbeat import Heartbeat
from promptlab_sdk.kernel.assignment import check_unit_id
from promptlab_sdk.kernel.spec import JSON, Delivery
from promptlab_sdk.memory import MAX_ENTRIES, Entry, Loaded
from promptlab_sdk.prompt import Prompt, Rendered
from promptlab_sdk.serving import Ready
from promptlab_sdk.source import Bundle, HttpSource, Key, Nowhere, Source, loaded
from promptlab_sdk.status import EntryStatus, Status
from promptlab_sdk.transport import Transport

if TYPE_CHECKING:
    import httpx

log = logging.getLogger("promptlab")
log.addHandler(logging.NullHandler())

STREAM_LEASE_S = 90.0
"""How long the word of a stream holds. It speaks every 15 seconds; when it falls silent, memory grows stale."""

EXIT_S = 2.0
"""How long the end of a process waits for reports to go."""

MAX_REMEMBERED = 10_000
"""Exposures that are not reported again."""

OnChange = Callable[[str, Prompt], None]


class Core:
    """One client's state. Thread-safe; goes on in the child of a fork."""

    def __init__(
        self,
        source: Source,
        *,
        env: str | None = None,
        ttl: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        on_error: Callable[[Exception], None] | None = None,
        refresh: Refresh = "lazy",
        poll_interval: float = 30.0,
        disk: Disk | None = None,
        bootstrap: Bootstrap | None = None,
        max_prompts: int = MAX_ENTRIES,
    ) -> None:
        """`clock` returns seconds and decides when an entry is stale."""
        self.env = env or None
        self.source = source
        self.follower = Follower(source, self, mode=refresh, env=self.env, poll_interval_s=poll_interval)
        self.outbox = Outbox(self._send)
        self.heartbeat = Heartbeat(source.report)
        self._asked_env = self.env
        self._lease_s = STREAM_LEASE_S if refresh == "stream" else 3 * poll_interval
        self._on_error = on_error
        self._on_change: tuple[OnChange, ...] = ()
        self._last_error = ""
        self._without_unit: set[tuple[int, int]] = set()
        self._shown: OrderedDict[tuple[JSON, ...], None] = OrderedDict()
        self._followed: set[Key] = set()
        self._disk = disk
        self._bootstrap = bootstrap
        self._is_offline = type(source) is Nowhere
        self._closed = False
        self.cache: Cache[Key, Ready] = Cache(
            self._load,
            ttl_s=ttl,
            clock=clock,
            reserve=self._reserve,
            changed=self._changed,
            max_entries=max_prompts,
        )
        _living.add(self)

    @classmethod
    def connect(
        cls,
        service_url: str | None,
        *,
        api_key: str | None,
        env: str | None,
        ttl: float,
        timeout: float,
        retries: int,
        cache_dir: str | os.PathLike[str] | bool | None,
        refresh: Refresh,
        poll_interval: float,
        offline: bool,
        bootstrap: Mapping[str, JSON] | str | os.PathLike[str] | None,
        bootstrap_key: BootstrapKey | None,
        on_error: Callable[[Exception], None] | None,
        http_client: httpx.Client | None,
    ) -> Core:
        """Return what `Prompts.connect` is made of. Raises ValueError and BootstrapInvalid."""
        service_url = (service_url or os.environ.get("PROMPTLAB_URL", "")).strip()
        if not service_url and not offline:
            raise ValueError("Say where PromptLab is: connect(service_url=...) or PROMPTLAB_URL.")
        if ttl < 0 or timeout <= 0 or retries < 0:
            raise ValueError("ttl and retries are at least 0, timeout is more than 0.")
        if refresh not in ("lazy", "poll", "stream") or poll_interval <= 0:
            raise ValueError('refresh is "lazy", "poll" or "stream", and poll_interval is more than 0.')
        env = env or os.environ.get("PROMPTLAB_ENV", "").strip()
        api_key = (api_key if api_key is not None else os.environ.get("PROMPTLAB_API_KEY", "")).strip()
        source: Source = Nowhere()
        if service_url and not offline:
            source = HttpSource(
                Transport(service_url, api_key=api_key, timeout_s=timeout, retries=retries, http_client=http_client)
            )
        folder = cache_dir if isinstance(cache_dir, str | os.PathLike) else None
        return cls(
            source,
            env=env,
            ttl=ttl,
            on_error=on_error,
            refresh="lazy" if offline else refresh,
            poll_interval=poll_interval,
            disk=None if cache_dir is False else Disk(disk_path(folder, service_url.rstrip("/"), env, api_key)),
            bootstrap=None if bootstrap is None else read_bootstrap(bootstrap, bootstrap_key),
        )

    def key(self, name: str, env: str | None, version: int | str | None) -> Key:
        return name, env or self.env, version

    def invalidate(self, name: str | None) -> None:
        self.cache.invalidate(lambda key: name is None or key[0] == name)

    def rate(self, rating: dict[str, JSON]) -> None:
        self.outbox.put("rating", rating)

    def expose(self, shown: Rendered, answer_id: str | None, figures: Mapping[str, JSON]) -> None:
        """Report that a unit was shown this; once per process, unless it is an answer of its own or has figures."""
        receipt, unit_id = shown.prompt.receipt, shown.prompt.counted_unit
        if not receipt or not (unit_id or answer_id):
            return
        if answer_id is None and not figures and self._is_remembered((receipt, unit_id)):
            return
        exposure: dict[str, JSON] = {"receipt": receipt, **figures}
        if shown.prompt.is_forced:
            exposure["forced"] = True
        if unit_id:
            exposure["unit_id"] = unit_id
        if answer_id is not None:
            exposure["id"] = answer_id
        self.outbox.put("exposure", exposure)

    def on_change(self, callback: OnChange) -> Callable[[], None]:
        self._on_change = (*self._on_change, callback)

        def forget() -> None:
            self._on_change = tuple(known for known in self._on_change if known is not callback)

        return forget

    def status(self) -> Status:
        counts = self.outbox.counts
        return Status(
            address=self.source.address,
            last_error=self._last_error,
            entries=tuple(_line(*entry) for entry in self.cache.entries()),
            refresh=self.follower.mode,
            is_connected=self.follower.is_connected,
            revision=self.follower.revision,
            queued=len(self.outbox),
            sent=counts["sent"],
            refused=counts["refused"],
            dropped=counts["dropped"],
            bootstrap_age_s=self._bootstrap.age_s if self._bootstrap else None,
            disk=str(self._disk.path) if self._disk else "",
        )

    def close(self, timeout_s: float = EXIT_S) -> None:
        """Send what is queued, write what is unsaved, end every thread. Memory can still be read."""
        if self._closed:
            return
        self._closed = True
        deadline = time.monotonic() + timeout_s
        ending = [self.follower.close(), *self.cache.close()]
        ending += [self.heartbeat.close(), self.outbox.close(timeout_s)]
        if self._disk is not None:
            ending.append(self._disk.close())
        for thread in ending:
            if thread is not None and thread is not threading.current_thread():
                thread.join(max(deadline - time.monotonic(), 0.1))
        self.source.close()

    def forget_parent(self) -> None:
        """In the child of a fork: keep what is known, drop the parent's locks, threads, connections and reports."""
        self.source.forget_connections()
        self.cache.forget_threads()
        self.outbox.forget_parent()
        self.heartbeat.forget_parent()
        self.follower.forget_parent()
        if self._disk is not None:
            self._disk.forget_parent()
        if self.follower.mode != "lazy":
            self.cache.expire()  # Nobody follows for the child yet; the first `get` sees to it.

    # What the follower asks for.

    def take(self, bundle: Bundle) -> None:
        """Serve exactly this environment's prompts from now on."""
        env = self._asked_env or bundle.environment
        known: dict[Key, Delivery] = {(delivery.prompt.name, env, None): delivery for delivery in bundle.deliveries}
        gone, self._followed = self._followed - known.keys(), set(known)
        for key, delivery in known.items():
            self.cache.put(key, self._ready(loaded(delivery)), self._lease_s)
        self.env = env  # The key's own environment has a name now; so have its prompts.
        self.cache.forget(lambda key: key[1] is None and key[2] is None)
        for key in gone:
            self.cache.refresh_later(key)  # The server has to confirm that it is gone.

    def keep(self) -> None:
        self.cache.confirm(self._followed, self._lease_s)

    def accept(self, delivery: Delivery) -> None:
        key = self.key(delivery.prompt.name, None, None)
        if not self._has(key, delivery.revision):
            self._followed.add(key)
            self.cache.put(key, self._ready(loaded(delivery)), self._lease_s)

    def reload(self, name: str, revision: int) -> bool:
        key = self.key(name, None, None)
        self._followed.add(key)
        if self._has(key, revision):
            return True
        try:
            value, _ = self.cache.renew(key)
        except PromptNotFound:
            self._followed.discard(key)
            return True
        return value.delivery.revision >= revision

    def serving(self, environment: str, revision: int, every_s: float) -> None:
        self.heartbeat.tell(environment, revision, every_s)

    def note(self, error: Exception) -> None:
        """Tell the log, the status and the owner about a failure to keep up."""
        self._note(error, "following failed: refresh=%s environment=%r", self.follower.mode, self.env)

    def _has(self, key: Key, revision: int) -> bool:
        """Tell whether memory holds what the server had at this revision, or later."""
        entry = self.cache.entry(key)
        return entry is not None and entry.supply == "network" and entry.order >= revision

    # What the cache and the outbox ask for.

    def _load(self, key: Key, etag: str) -> Loaded[Ready]:
        self.follower.wake()
        if self._is_offline and (known := self._reserve(key)) is not None:
            return replace(known, ttl_s=float("inf"))
        try:
            found = self.source.load(key, etag)
        except Exception as error:
            self._note(error, "load failed: prompt=%r environment=%r", key[0], key[1])
            raise
        if found.ttl_s is None and key in self._followed:
            found = replace(found, ttl_s=self._lease_s)
        return self._ready(found)

    def _ready(self, found: Loaded[Delivery]) -> Loaded[Ready]:
        value = None if found.value is None else Ready(found.value, self._without_unit, self.source.fill)
        return Loaded(value, found.etag, found.ttl_s, found.supply, found.age_s, found.order, found.weight)

    def _reserve(self, key: Key) -> Loaded[Ready] | None:
        found = self._disk.get(key) if self._disk else None
        if found is None and self._bootstrap is not None:
            found = self._bootstrap.get(key)
        return self._ready(found) if found else None

    def _changed(self, key: Key, old: Entry[Ready] | None, new: Entry[Ready] | None) -> None:
        if old is not None and new is not None and old.value is new.value:
            return
        if self._disk is not None:
            self._disk.put(key, new.value.delivery if new else None, new.etag if new else "")
            if self._asked_env is None and key in self._followed:
                # The next process does not know yet which environment is the key's own.
                self._disk.put((key[0], None, None), new.value.delivery if new else None, new.etag if new else "")
        if new is None or old is None or old.value.is_like(new.value):
            return
        for callback in self._on_change:
            try:
                callback(key[0], new.value.prompt)
            except Exception:  # A faulty callback must not keep the others from hearing.
                log.exception("on_change raised")

    def _send(self, kind: Kind, events: Sequence[dict[str, JSON]]) -> int:
        if kind == "rating":
            return self.source.rate(events)
        self.source.expose(events)
        return 0

    def _is_remembered(self, who: tuple[JSON, ...]) -> bool:
        if who in self._shown:
            return True
        self._shown[who] = None
        if len(self._shown) > MAX_REMEMBERED:
            self._shown.popitem(last=False)
        return False

    def _note(self, error: Exception, sentence: str, *facts: object) -> None:
        """Tell the log, the status and the owner about a failed attempt; never about values of variables."""
        self._last_error = f"{type(error).__name__}: {error}"
        level = logging.ERROR if isinstance(error, Unauthorized) else logging.WARNING
        log.log(level, sentence + " error=%s", *facts, self._last_error)
        if self._on_error is None:
            return
        try:
            self._on_error(error)
        except Exception:  # A faulty callback must not cost anybody the prompt.
            log.exception("on_error raised")


def one_unit(unit_id: str | None, subject: str | None) -> str | None:
    """Return the unit id, whichever spelling it came in; an empty one is none."""
    if subject is not None:
        if unit_id is not None and unit_id != subject:
            raise ValueError("unit_id and subject are two spellings of one thing; give one of them.")
        unit_id = subject
    if unit_id is not None:
        check_unit_id(unit_id)
    return unit_id or None


def _line(key: Key, entry: Entry[Ready], age_s: float, is_fresh: bool) -> EntryStatus:
    delivery = entry.value.delivery
    return EntryStatus(
        name=key[0],
        environment=delivery.environment,
        version=delivery.prompt.version,
        age_s=age_s,
        is_fresh=is_fresh,
        error=entry.error,
        supply=entry.supply,
    )


_living: weakref.WeakSet[Core] = weakref.WeakSet()


def _forget_parent() -> None:
    for core in list(_living):
        core.forget_parent()


def _close_all() -> None:
    for core in list(_living):
        core.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)
atexit.register(_close_all)
