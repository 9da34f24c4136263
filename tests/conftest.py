"""What every test stands on: stores of its own, no memory of the test before, the cast."""

from __future__ import annotations

import gc
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from django.test import override_settings
from hypothesis import settings as hypothesis

from tests.support import template

TEMPLATE_IS_OURS = pytest.StashKey[bool]()
MIGRATING = pytest.StashKey[Thread]()

# A busy machine is no slow code.
hypothesis.register_profile("tests", deadline=None)
hypothesis.load_profile("tests")


def pytest_configure(config: pytest.Config) -> None:
    """Say where this run keeps what its workers copy."""
    config.stash[TEMPLATE_IS_OURS] = is_ours = template.begin()
    if is_ours and config.getoption("numprocesses", None) and _is_whole(config):
        # The whole run needs a migrated database: it is made while the workers collect the tests.
        config.stash[MIGRATING] = thread = Thread(target=template.make_database)
        thread.start()


def _is_whole(config: pytest.Config) -> bool:
    return "tests" in config.args


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the folders that `settings` and this run made."""
    from django.conf import settings

    if thread := config.stash.get(MIGRATING, None):
        thread.join()
    if config.stash.get(TEMPLATE_IS_OURS, False):
        template.end()
    if Path(settings.VAR_DIR).name.startswith("promptlab-tests-"):
        shutil.rmtree(settings.VAR_DIR, ignore_errors=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--stored", action="store_true", help="leave out what touches no store: it ran on SQLite")


PAGES = (
    "test_admin",
    "test_dashboard",
    "test_wizard",
    "test_looking",
    "test_checklist",
    "test_ramp_page",
    "test_traffic_pages",
)
"""What files of tests begin with that are about what a page says. That each page can be made is shown on every store
by `house/test_hostile_text.py`, which walks them all, and each service and each GET is called there by its own tests."""


def _touches_no_store(item: pytest.Item) -> bool:
    if item.path.name.startswith(PAGES) and not _commits(item):
        return True
    if any(item.get_closest_marker(name) for name in ("django_db", "flow", "postgres")):
        return False
    # What `lib` and `llm` share over Redis is asked for by function, not by fixture.
    return "db" not in getattr(item, "fixturenames", ()) and not {"lib", "llm"} & set(item.path.parts)


def _commits(item: pytest.Item) -> bool:
    """Tell whether the test is about what several see of one another's changes."""
    return any(mark.kwargs.get("transaction") for mark in item.iter_markers("django_db"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Choose and order the tests of this run; skip what only PostgreSQL can show when the run is on SQLite."""
    from django.conf import settings

    if config.getoption("--stored"):
        left_out = {item for item in items if _touches_no_store(item)}
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]
    # First what takes long, or one worker is still at it when the others are done.
    items.sort(key=lambda item: item.get_closest_marker("flow") is None)
    if not settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        return
    skip = pytest.mark.skip(reason="needs PostgreSQL: set DATABASE_URL")
    for item in items:
        if item.get_closest_marker("postgres"):
            item.add_marker(skip)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Have the collector of garbage leave alone what stays until the end, and look at the rest less often.

    A worker waits here for the database that is being made: in its first test the time would count as the test's.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    if "PYTEST_XDIST_WORKER" in os.environ and _is_whole(session.config):
        template.make_database()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    pytestconfig: pytest.Config, django_db_modify_db_settings_parallel_suffix: None
) -> Iterator[None]:
    """Migrate once in a run, not in every process of it. With --reuse-db the databases are there already."""
    if pytestconfig.getoption("--reuse-db"):
        yield
        return
    with template.tests_begin_with_a_copy():
        yield


@pytest.fixture(scope="session", autouse=True)
def _quick_passwords() -> Iterator[None]:
    """Hash passwords in a microsecond: a third of a second for each of five people in every test is too long."""
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


@pytest.fixture(scope="session", autouse=True)
def _redis() -> Iterator[None]:
    """Give the run a private Valkey, unless REDIS_URL names a server."""
    from django.conf import settings

    if not settings.REDIS_IS_PRIVATE:
        yield
        return
    from promptlab.management.local_valkey import LocalValkey

    server = LocalValkey(settings.VALKEY_SOCKET, settings.VAR_DIR / "valkey")
    server.start(timeout_s=60)
    yield
    server.stop()


@pytest.fixture(scope="session", autouse=True)
def _patient_redis() -> Iterator[None]:
    """Wait for Redis longer than a server does: a busy machine is no dead Redis. `redis_at` is as short as servers are."""
    from promptlab.lib import redis

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redis, "TIMEOUT_S", 10.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def _flush() -> Iterator[None]:
    """Empty, after a test with transactions of its own, the tables that have rows, those that the database keeps as well.

    Django's flush takes 60 ms: it empties a hundred tables, and writes permissions and content types anew.
    """
    from django.test import TransactionTestCase

    from tests.support.thaw import empty_tables

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda case: empty_tables())
        yield


@pytest.fixture(autouse=True)
def _no_memory() -> None:
    """Forget what processes remember between requests: payloads, keys, the breakers; and the last page's language."""
    from django.utils import translation

    from experiments import bundle, delivery, flags, moves
    from promptlab.accounts import auth
    from promptlab.lib import push, queue, redis
    from promptlab.llm import keeping
    from promptlab.llm.resilience import breakers
    from prompts import revisions
    from prompts.services import counting
    from prompts.services.gathering import gathering

    translation.deactivate()
    push.sender.drop()
    queue.sender.drop()
    delivery.entries.clear()
    counting.fetched.forget()
    gathering.clear()
    bundle.forget()
    flags.forget()
    moves.forget()
    revisions.forget()
    auth.verified.clear()
    redis.breaker.answered()
    breakers.clear()
    keeping.forget()


_turns = itertools.count()


@pytest.fixture(autouse=True)
def _own_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count calls for this test alone: keys' ids come again from test to test, and their budgets with them."""
    from promptlab.lib import ratelimit
    from prompts.services import presence

    monkeypatch.setattr(ratelimit, "PLACE", f"limit-{next(_turns)}")
    monkeypatch.setattr(presence, "PLACE", f"presence-{next(_turns)}")


@pytest.fixture(scope="module")
def kept_for_the_file(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Keep what fixtures of the module write until the file is done; each test takes back its own changes.

    For files whose tests read the same rows, and none of which has transactions of its own.
    """
    from django.db import transaction

    with django_db_blocker.unblock(), transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def cast(db: None) -> object:
    """Everybody, in team Acme; see `support.cast`."""
    from tests.support.cast import the_cast

    return the_cast()


@pytest.fixture
def team(db: None) -> object:
    """A team of its own."""
    from tests.support.make import make_team

    return make_team()


@pytest.fixture
def api(team: object) -> object:
    """A REST caller with a key of that team that may do everything."""
    from tests.support.api import Api
    from tests.support.make import make_key

    return Api(make_key(team)[1])  # type: ignore[arg-type]


@pytest.fixture
def fresh_limits() -> None:
    """Start with full budgets: ids repeat from test to test, and so would the budgets counted under them."""
    import redis as client
    from django.conf import settings

    from promptlab.lib import ratelimit, redis

    server = client.Redis(connection_pool=redis.pool())
    for name in server.scan_iter(match=f"*{settings.REDIS_PREFIX}/*"):
        server.delete(name)
    ratelimit.forget()


@pytest.fixture
def redis_at(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Move this process's Redis to another socket: one where nobody is, or where somebody never answers."""
    from promptlab.lib import ratelimit, redis

    short = 0.25

    def forget() -> None:
        ratelimit.forget()
        redis.breaker.answered()

    def move(socket: Path) -> None:
        settings.REDIS_URL = f"unix://{socket}"
        monkeypatch.setattr(redis, "TIMEOUT_S", short)
        monkeypatch.setattr(redis, "_pool", None)
        forget()

    yield move
    forget()


@pytest.fixture
def no_redis(redis_at: Callable[[Path], None], tmp_path: Path) -> None:
    """Take Redis away."""
    redis_at(tmp_path / "nobody-here.sock")


@pytest.fixture
def no_database() -> Iterator[Callable[[], None]]:
    """Return a function that takes the database away, from every thread: each statement fails as a driver fails."""
    from django.db import OperationalError
    from django.db.backends.utils import CursorWrapper

    def refuse(*args: object, **kwargs: object) -> None:
        raise OperationalError("server closed the connection: host=secret-host.internal")

    with pytest.MonkeyPatch.context() as patch:

        def take_away() -> None:
            for name in ("execute", "executemany"):
                patch.setattr(CursorWrapper, name, refuse)

        yield take_away


@pytest.fixture
def application() -> object:
    """The whole server process: hot routes first, Django behind them."""
    from promptlab.asgi import application

    return application


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that reach the database from now on, from every thread, without those around transactions."""
    from django.db.backends.utils import CursorWrapper

    seen: list[str] = []
    execute = CursorWrapper.execute

    def counted(self: Any, sql: str, params: Any = None) -> Any:
        if not sql.startswith(("BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK")):
            seen.append(sql)
        return execute(self, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", counted)
    return seen
