"""What a run of the tests makes once and hands out in copies: a migrated database, and the collected static files.

To migrate an empty database takes longer than most files of tests. Every worker of the run, and every server that a
test starts, begins with a copy instead; whoever needs the first one makes it, the others wait for it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

ROOT = Path(__file__).resolve().parents[2]
PEOPLED = "peopled"
FOLDER = "PROMPTLAB_TESTS_TEMPLATE"
"""The variable by which the run's first process tells its workers where the originals are."""

PEOPLE = """
from promptlab.accounts import services
from promptlab.accounts.access import SYSTEM, Scope
from promptlab.accounts.models import User
team = services.create_team(SYSTEM, "Acme")
user = User.objects.create_user("cleo", password="a long secret")
services.add_member(SYSTEM, team, user, "administrator")
print(services.issue_key(SYSTEM, team, name="flow", scopes=list(Scope), calls_per_hour=100_000)[1])
"""
SECRET = "a secret of the tests alone, long enough to pass the checks"


def begin() -> bool:
    """Make the run's folder, unless a process above this one has; tell whether it is ours to remove."""
    if FOLDER in os.environ:
        return False
    os.environ[FOLDER] = tempfile.mkdtemp(prefix="promptlab-template-")
    return True


def end() -> None:
    """Remove what was made."""
    folder = Path(os.environ.pop(FOLDER))
    url = os.environ.get("DATABASE_URL", "")
    if (folder / "database.lock").exists() and _is_postgres(url):
        with psycopg.connect(url, autocommit=True) as connection:
            _drop(connection, _peopled(folder))
            _drop(connection, _name(folder))
    shutil.rmtree(folder, ignore_errors=True)


def make_database() -> None:
    """Make the migrated database, unless it is there."""
    folder = Path(os.environ[FOLDER])
    if _is_postgres(os.environ.get("DATABASE_URL", "")):
        _once("database", lambda: _migrate_postgres(folder))
    else:
        _once("database", lambda: _manage(folder, "migrate", DATABASE_URL=""))


def postgres_template() -> str:
    """Return the name of a migrated database on the server of DATABASE_URL, to make others from."""
    make_database()
    return _name(Path(os.environ[FOLDER]))


def copy_sqlite(to: Path) -> None:
    """Put a migrated SQLite database there."""
    make_database()
    _copy(Path(os.environ[FOLDER]), to)


def key_of_people() -> str:
    """Return the key of team Acme, which Cleo administers in the databases that `peopled_...` give."""
    folder = Path(os.environ[FOLDER])
    _once("people", lambda: _make_people(folder))
    return (folder / "people.key").read_text()


def peopled_postgres() -> str:
    """Return the name of a database with people, to make others from."""
    key_of_people()
    return _peopled(Path(os.environ[FOLDER]))


def peopled_sqlite(to: Path) -> None:
    """Put an SQLite database with people there."""
    key_of_people()
    _copy(Path(os.environ[FOLDER]) / PEOPLED, to)


def static_files() -> Path:
    """Return the folder of the static files, as a server has them after `collectstatic`."""
    folder = Path(os.environ[FOLDER])
    _once("static.stamp", lambda: _manage(folder, "collectstatic", "--noinput", DATABASE_URL=""))
    return folder / "static"


@contextmanager
def tests_begin_with_a_copy() -> Iterator[None]:
    """Have Django make the databases of the tests from the run's migrated one; what it migrates then is nothing."""
    from django.db import connection

    if connection.vendor == "postgresql":
        connection.settings_dict["TEST"]["TEMPLATE"] = postgres_template()
        yield
        return
    creation = type(connection.creation)
    make = creation._create_test_db

    def copied(self: Any, *args: Any, **options: Any) -> str:
        name: str = make(self, *args, **options)
        copy_sqlite(Path(name))
        return name

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(creation, "_create_test_db", copied)
        yield


def _copy(home: Path, to: Path) -> None:
    with closing(sqlite3.connect(home / "promptlab.sqlite3")) as original, closing(sqlite3.connect(to)) as copy:
        original.backup(copy)
        copy.execute("PRAGMA journal_mode=WAL")


def _once(name: str, make: Callable[[], object]) -> None:
    """Call `make` unless a process of this run has; it may hold the others up for as long as it takes."""
    folder = Path(os.environ[FOLDER])
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / name).exists():
            make()
            (folder / name).touch()


def _migrate_postgres(folder: Path) -> None:
    url = os.environ["DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as connection:
        _drop(connection, _name(folder))
        connection.execute(f'CREATE DATABASE "{_name(folder)}"')
    _manage(folder, "migrate", DATABASE_URL=f"{url.rsplit('/', 1)[0]}/{_name(folder)}")


def _drop(connection: psycopg.Connection, name: str) -> None:
    """Remove what an attempt before this one may have left."""
    connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _make_people(folder: Path) -> None:
    home, url = folder / PEOPLED, os.environ.get("DATABASE_URL", "")
    home.mkdir(exist_ok=True)
    if _is_postgres(url):
        original = postgres_template()
        with psycopg.connect(url, autocommit=True) as connection:
            _drop(connection, _peopled(folder))
            connection.execute(f'CREATE DATABASE "{_peopled(folder)}" TEMPLATE "{original}"')
        url = f"{url.rsplit('/', 1)[0]}/{_peopled(folder)}"
    else:
        copy_sqlite(home / "promptlab.sqlite3")
        url = ""
    said = _manage(home, "shell", "-c", PEOPLE, DATABASE_URL=url)
    (folder / "people.key").write_text(said.strip())


def _manage(folder: Path, *words: str, **variables: str) -> str:
    env = {**os.environ, "PROMPTLAB_VAR": str(folder), "LOG_LEVEL": "WARNING", "SECRET_KEY": SECRET, **variables}
    command = [sys.executable, "manage.py", *words, "--verbosity", "0"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr[-2000:]}"
    return done.stdout


def _name(folder: Path) -> str:
    """Return the name of the run's database on a server: the folder's, which is nobody else's."""
    return folder.name.replace("-", "_")


def _peopled(folder: Path) -> str:
    return f"{_name(folder)}_{PEOPLED}"


def _is_postgres(url: str) -> bool:
    return url.startswith("postgres")
