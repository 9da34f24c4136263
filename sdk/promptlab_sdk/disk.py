"""The last known good on disk: one file per server, environment and key, so that a new process starts without a server.

The file is private, replaced as a whole, and believed only with its checksum. Several processes share it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from promptlab_sdk.kernel.spec import JSON, Delivery
from promptlab_sdk.memory import Loaded
from promptlab_sdk.source import Key, delivery_of, loaded

if sys.platform != "win32":
    import fcntl

log = logging.getLogger("promptlab")

FORMAT = 1
MAX_RECORDS = 10_000
MAX_BYTES = 64 * 1024 * 1024
SAVE_AFTER_S = 0.5
"""How long changes gather before the file is written."""


class Disk:
    """One cache file. Reading and writing never raise: a disk that fails is as good as none, and the log says so."""

    def __init__(self, path: Path, *, wall: Callable[[], float] = time.time) -> None:
        self.path = path
        self._wall = wall
        self._records: dict[str, JSON] | None = None
        self._pending: dict[str, JSON] = {}
        self._told: set[str] = set()
        self.forget_parent()

    def forget_parent(self) -> None:
        """In the child of a fork: the parent writes what was its own to write."""
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._saver: threading.Thread | None = None

    def get(self, key: Key) -> Loaded[Delivery] | None:
        """Return what was known of the prompt, with its age; None without it. The file is read once."""
        with self._lock:
            if self._records is None:
                self._records = self._read()
            record = self._records.get(_spelt(key))
        if record is None:
            return None
        try:
            found = loaded(delivery_of(record["delivery"]), str(record["etag"]))
            age_s = max(self._wall() - float(record["saved_at"]), 0.0)
        except Exception as error:  # noqa: BLE001  (whatever is wrong with it, it is not used)
            self._tell(f"a record in the disk cache cannot be read: {type(error).__name__}")
            return None
        self._tell(f"serving last known good from disk: file={self.path.name} age_s={age_s:.0f}")
        return Loaded(found.value, found.etag, supply="disk", age_s=age_s, order=found.order, weight=found.weight)

    def put(self, key: Key, delivery: Delivery | None, etag: str) -> None:
        """Note what is known now (None: nothing any more), to be written soon by a thread of its own."""
        record = delivery and {"delivery": delivery.to_dict(), "etag": etag, "saved_at": self._wall()}
        with self._lock:
            self._pending[_spelt(key)] = record
            if self._records is not None:
                self._records.pop(_spelt(key), None)
            if self._saver is None and not self._closing.is_set():
                saver = threading.Thread(target=self._save_soon, name="promptlab-sdk-disk", daemon=True)
                with contextlib.suppress(RuntimeError):  # At the end of an interpreter `close` writes it.
                    saver.start()
                    self._saver = saver

    def close(self) -> threading.Thread | None:
        """Write what is pending now, and return the thread that is ending, if there is one."""
        self._closing.set()
        saver = self._saver
        if saver is None:
            self.save()
        return saver

    def save(self) -> None:
        """Write what is pending, over what other processes have written meanwhile."""
        with self._lock:
            pending, self._pending = self._pending, {}
        if not pending:
            return
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _alone(self.path):
                records = {**self._read(), **pending}
                self._write(_bounded({name: record for name, record in records.items() if record}))
        except OSError as error:
            self._tell(f"the disk cache cannot be written: {type(error).__name__}: {error.strerror}")

    def _save_soon(self) -> None:
        while True:
            self._closing.wait(SAVE_AFTER_S)
            self.save()
            with self._lock:
                if not self._pending:
                    self._saver = None
                    return

    def _read(self) -> dict[str, JSON]:
        """Return the records of the file; none when it is not there, not ours, or not whole."""
        try:
            with self.path.open("rb") as file:
                if hasattr(os, "getuid") and os.fstat(file.fileno()).st_uid != os.getuid():
                    raise ValueError("it belongs to another user")
                head = json.loads(file.readline(1_000))
                body = file.read(2 * MAX_BYTES)
            if head["format"] != FORMAT:
                return {}
            if head["sha256"] != hashlib.sha256(body).hexdigest():
                raise ValueError("its checksum is wrong")
            return dict(json.loads(body))
        except FileNotFoundError:
            return {}
        except (KeyError, OSError, TypeError, ValueError) as error:
            self._tell(f"the disk cache is not used: {error}")
            return {}

    def _write(self, records: dict[str, JSON]) -> None:
        """Replace the file as a whole; nobody ever sees half of it."""
        body = json.dumps(records, ensure_ascii=True, separators=(",", ":")).encode()
        head = json.dumps({"format": FORMAT, "sha256": hashlib.sha256(body).hexdigest()}).encode()
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=".promptlab-")  # Made with mode 0600.
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(head + b"\n" + body)
            Path(name).replace(self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise

    def _tell(self, sentence: str) -> None:
        """Say it once per kind: an outage is not the time to fill a log."""
        kind = sentence.partition(":")[0]
        if kind not in self._told:
            self._told.add(kind)
            log.warning(sentence)


def disk_path(folder: str | os.PathLike[str] | None, address: str, env: str | None, api_key: str) -> Path:
    """Return the file of this server, environment and key. Its name tells none of them."""
    identity = "\n".join([address, env or "", hashlib.sha256(api_key.encode()).hexdigest()])
    return (Path(folder) if folder else cache_folder()) / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.json"


def cache_folder() -> Path:
    """Return the user's folder for caches: PROMPTLAB_CACHE_DIR, else where the system keeps them."""
    if given := os.environ.get("PROMPTLAB_CACHE_DIR"):
        return Path(given)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or tempfile.gettempdir()) / "promptlab" / "Cache"
    if sys.platform == "darwin":
        return Path("~/Library/Caches/promptlab").expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "promptlab"


def _spelt(key: Key) -> str:
    return json.dumps(key)


def _bounded(records: dict[str, JSON]) -> dict[str, JSON]:
    """Return the newest records that are not too many and not too big."""
    newest = sorted(records.items(), key=lambda item: float(item[1].get("saved_at", 0)), reverse=True)[:MAX_RECORDS]
    kept: dict[str, JSON] = {}
    size = 0
    for name, record in newest:
        size += len(json.dumps(record)) + len(name)
        if size > MAX_BYTES:
            break
        kept[name] = record
    return kept


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes from writing the file at the same time, where the system can."""
    if sys.platform == "win32":
        yield
        return
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
