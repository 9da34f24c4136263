"""What has to be true before the processes start. Each step does nothing when there is nothing to do."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError, connection, connections
from django.db.migrations.executor import MigrationExecutor

from promptlab.management.errors import CannotStart


def refuse_taken_port(host: str, port: int) -> None:
    """Raise CannotStart when something listens there already, or nobody may."""
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except PermissionError as error:
            raise CannotStart(f"Port {port} needs special rights. Choose another one: make run PORT=9000") from error
        except OSError as error:
            what = "Stop what uses it, or choose another one: make run PORT=9000"
            raise CannotStart(f"Port {port} is taken. {what}") from error


@contextmanager
def only_one_here() -> Iterator[None]:
    """Hold this folder for one `manage.py up`; the lock goes with the process, however it ends. Raises CannotStart."""
    with (settings.VAR_DIR / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CannotStart(
                f"PromptLab already runs with the data in {settings.VAR_DIR}. Stop it first, "
                "or give this one a folder of its own: PROMPTLAB_VAR=/some/folder make run PORT=9000"
            ) from error
        yield


@contextmanager
def alone() -> Iterator[None]:
    """While nothing else runs yet: wake and tell nobody, and do not report that nobody answers."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    settings.TASK_WAKE_UPS = settings.REVISION_PUSH = False
    try:
        yield
    finally:
        root.setLevel(level)
        close_connections()


def close_connections() -> None:
    """Give all database connections back, so that no process started later shares one."""
    for used in connections.all(initialized_only=True):
        used.close()
        close_pool = getattr(used, "close_pool", None)
        if close_pool is not None:
            close_pool()


def migrate() -> bool:
    """Bring the database up to date and tell whether there was anything to do. Raises CannotStart."""
    try:
        executor = MigrationExecutor(connection)
        if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return False
    except OperationalError as error:
        reason = str(error).strip().splitlines()[0]
        raise CannotStart(f"The database cannot be used: {reason}. Check DATABASE_URL.") from error
    call_command("migrate", verbosity=0, interactive=False)
    return True


def collect_static() -> bool:
    """Collect and compress the static files if any changed since the last time; tell whether."""
    stamp = settings.VAR_DIR / "static.stamp"
    wanted = static_fingerprint()
    if settings.DEBUG or (stamp.exists() and stamp.read_text() == wanted):
        return False
    call_command("collectstatic", verbosity=0, interactive=False, clear=True)
    stamp.write_text(wanted)
    return True


def static_fingerprint() -> str:
    """Return a digest of everything collected: our own files by content, packages by the list of their versions."""
    base: Path = settings.BASE_DIR
    digest = hashlib.sha256((base / "requirements.txt").read_bytes())
    ours = [Path(app.path) / "static" for app in apps.get_app_configs() if Path(app.path).is_relative_to(base)]
    for folder in sorted({*map(Path, settings.STATICFILES_DIRS), *ours}):
        for path in sorted(found for found in folder.rglob("*") if found.is_file()):
            digest.update(f"{path.relative_to(base)}\0".encode() + path.read_bytes())
    return digest.hexdigest()
