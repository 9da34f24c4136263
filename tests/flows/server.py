"""The real thing for a test: a web process and a worker with stores of their own, over real HTTP, killable."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.support import template

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """Return a port nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class LiveServer:
    """Processes over one database and one Redis. `base` is the address.

    With people there are Cleo and her team Acme, and `key` may do everything in it.
    """

    def __init__(self, var: Path, *, redis_url: str = "", with_worker: bool = True, with_people: bool = True) -> None:
        self.var = var
        self.with_worker = with_worker
        self.with_people = with_people
        self.key = ""
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._undo = contextlib.ExitStack()
        self.env = {**os.environ, "PROMPTLAB_VAR": str(var), "LOG_LEVEL": "WARNING", "MESSAGE_LEASE_S": "4"}
        self.env.pop("PYTEST_CURRENT_TEST", None)
        if redis_url:
            self.env["REDIS_URL"] = redis_url

    def __enter__(self) -> LiveServer:
        self._stores()
        if self.with_people:
            self.key = template.key_of_people()
        (self.var / "static").symlink_to(template.static_files(), target_is_directory=True)
        self.start_web()
        if self.with_worker:
            self.start_worker()
        return self

    def __exit__(self, *exc: object) -> None:
        for name in list(self.processes):
            self.kill(name, signal.SIGTERM)
        self._undo.close()

    def _stores(self) -> None:
        """Use the run's own servers with a database and prefix of this test's, or SQLite and a private Valkey."""
        if self.env.get("DATABASE_URL", "").startswith("postgres"):
            self._undo.enter_context(self._database())
        else:
            self.env.pop("DATABASE_URL", None)
            put = template.peopled_sqlite if self.with_people else template.copy_sqlite
            put(self.var / "promptlab.sqlite3")
        self.env["REDIS_PREFIX"] = f"flow{self.port}"
        self.env["SECRET_KEY"] = template.SECRET
        if not self.env.get("REDIS_URL"):
            from promptlab.management.local_valkey import LocalValkey

            short = self.var / "valkey.sock"
            server = LocalValkey(short, self.var / "valkey")
            server.start()
            self._undo.callback(server.stop)
            self.env["REDIS_URL"] = f"unix://{short}"

    @contextlib.contextmanager
    def _database(self) -> Iterator[None]:
        import psycopg

        url = self.env["DATABASE_URL"]
        name = f"promptlab_flow_{self.port}"
        original = template.peopled_postgres() if self.with_people else template.postgres_template()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{original}"')
        self.env["DATABASE_URL"] = url.rsplit("/", 1)[0] + f"/{name}"
        try:
            yield
        finally:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def manage(self, *args: str) -> str:
        """Run a management command and return what it printed."""
        command = [sys.executable, "manage.py", *args]
        done = subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{args}: {done.stderr[-2000:]}"
        return done.stdout.strip()

    def python(self, code: str) -> str:
        """Run Python with Django set up and return what it printed."""
        return self.manage("shell", "--verbosity", "0", "-c", code)

    def _start(self, name: str, *command: str) -> None:
        log = (self.var / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=ROOT, env=self.env, stdout=log, stderr=log, start_new_session=True
        )

    def start_web(self) -> None:
        """Start the web process and wait until it answers."""
        self._start_web("web", self.port, patience_s=3)

    def start_another_web(self) -> int:
        """Start one more web process over the same stores, wait until it answers, and return its port."""
        port = free_port()
        self._start_web(f"web-{port}", port, patience_s=60)
        return port

    def _start_web(self, name: str, port: int, *, patience_s: int) -> None:
        options = ["--port", str(port), "--log-level", "warning", "--no-access-log"]
        patience = ["--timeout-graceful-shutdown", str(patience_s)]
        self._start(name, "uvicorn", "promptlab.asgi:application", *patience, *options)
        url = f"http://127.0.0.1:{port}/readyz"
        with httpx.Client(timeout=2) as client:
            self.wait_until(lambda: client.get(url).status_code == 200, f"{name} did not start")

    def start_worker(self) -> None:
        """Start a worker with the clock inside."""
        schedule = ["-B", "-s", str(self.var / "schedule")]
        queues = ["-Q", "ingest,default,llm", "-P", "threads", "-c", "2", "-l", "WARNING"]
        alone = ["--without-mingle", "--without-gossip"]
        self._start("worker", "celery", "-A", "promptlab", "worker", *alone, *schedule, *queues)

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """End a process with all its children."""
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    def logs(self, name: str) -> str:
        return (self.var / f"{name}.log").read_text(errors="replace")

    @staticmethod
    def wait_until(condition: object, complaint: str, timeout_s: float = 40.0) -> None:
        """Ask `condition` until it is true; what it raises on the way counts as not yet."""
        assert callable(condition)
        until, last = time.monotonic() + timeout_s, ""
        while time.monotonic() < until:
            try:
                if condition():
                    return
            except (httpx.HTTPError, AssertionError, KeyError) as error:
                last = str(error)
            time.sleep(0.1)
        raise AssertionError(f"{complaint} within {timeout_s} s. {last}")
