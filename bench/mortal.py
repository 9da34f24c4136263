"""A whole PromptLab whose every process may be killed at any moment: PostgreSQL, Valkey, web, workers, the clock.

All of it is private: a cluster and a Valkey of its own in a temporary folder, on sockets.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from servers import free_port

from promptlab.management.local_valkey import LocalValkey
from promptlab.management.parent import end_with_parent
from tests import stores

ROOT = Path(__file__).resolve().parent.parent
NAME = "storm"
DURABLE = ("listen_addresses=", "shared_buffers=64MB")
"""As PostgreSQL comes: what it says is committed is on the disk."""
AWAY_S = 5.0
WORKER = "-m celery --quiet -A promptlab worker --without-mingle --without-gossip -P threads -c 4 -l ERROR -Q ingest,default,llm"
CLOCK = "-m celery --quiet -A promptlab beat -l ERROR -s {folder}/schedule"


class Process:
    """A process that is started again after it was killed."""

    def __init__(self, words: Sequence[str], env: dict[str, str], log: Path, user: str | None = None) -> None:
        self.words, self.env, self.log, self.user = list(words), env, log, user
        self.running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(
                self.words,
                cwd=ROOT if self.user is None else self.log.parent,
                env=self.env,
                user=self.user,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )

    def kill(self) -> None:
        """Kill it, and its children, with SIGKILL."""
        assert self.running is not None
        os.killpg(self.running.pid, signal.SIGKILL)
        self.running.wait()

    @property
    def is_gone(self) -> bool:
        return self.running is None or self.running.poll() is not None


class House:
    """All processes of one installation, in `folder`. `faults` tells how often each was killed."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        self.port = free_port()
        self.user = stores._unprivileged()
        self.programs = stores._readable_by(self.user, stores._programs(), folder)
        self.valkey = LocalValkey(folder / "valkey.sock", folder / "valkey")
        env = {word: value for word, value in os.environ.items() if word != "CELERY_BROKER_URL"}
        env |= {"DATABASE_URL": stores.url_of(str(folder), NAME), "REDIS_URL": f"unix://{self.valkey.socket}"}
        env |= {"SECRET_KEY": secrets.token_urlsafe(50), "PROMPTLAB_VAR": str(folder / "var"), "LOG_LEVEL": "ERROR"}
        env |= {"RATE_LIMIT_FEEDBACK_PER_MINUTE": "100000000", "RATE_LIMIT_PER_HOUR": "100000000"}
        env |= {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "sdk"), str(ROOT / "bench")])}
        self.env = env
        self.faults = {"worker": 0, "web": 0, "redis": 0, "database": 0}
        data = folder / "data"
        options = [word for option in DURABLE for word in ("-c", option)]
        postgres = [str(self.programs / "postgres"), "-D", str(data), "-k", str(folder), *options]
        web = f"-m uvicorn promptlab.asgi:application --port {self.port} --no-access-log --log-level error"
        self.database = Process(postgres, dict(os.environ), folder / "postgres.log", self.user)
        self.redis = Process(self.valkey.command(), dict(os.environ), folder / "redis.log")
        self.web = Process([sys.executable, *web.split()], env, folder / "web.log")
        self.clock = Process([sys.executable, *CLOCK.format(folder=folder).split()], env, folder / "clock.log")
        self.workers = [
            Process([sys.executable, *WORKER.split(), "-n", f"w{number}@%h"], env, folder / "workers.log")
            for number in range(workers)
        ]

    def begin(self) -> None:
        """Make the cluster, start both stores, and make the tables."""
        (self.folder / "var").mkdir(exist_ok=True)
        (self.folder / "postgres.log").touch()
        if self.user:
            shutil.chown(self.folder, self.user)
            shutil.chown(self.folder / "postgres.log", self.user)
        words = [str(self.programs / "initdb"), "-D", str(self.folder / "data"), "-U", "postgres", "--auth=trust"]
        encoding = ["--encoding=UTF8", "--locale=C.UTF-8"]
        subprocess.run([*words, *encoding], check=True, user=self.user, stdout=subprocess.DEVNULL, cwd=self.folder)
        self.start_database()
        stores.ask(stores.url_of(str(self.folder), "postgres"), f"CREATE DATABASE {NAME}")
        self.redis.start()

    def start_database(self) -> None:
        """Start PostgreSQL and return when it lets somebody in: children of a killed one may still be ending."""
        deadline = time.monotonic() + 60
        while True:
            if self.database.is_gone:
                self.database.start()
            if stores.may_create(str(self.folder)):
                return
            if time.monotonic() > deadline:
                sys.exit("PostgreSQL does not start again.")
            time.sleep(0.1)

    def open(self) -> None:
        """Start everything that works on the stores."""
        for process in (self.web, self.clock, *self.workers):
            process.start()

    def fault(self, what: str) -> None:
        """Kill one of a kind and start it again: at once, but a database is away for a while."""
        number, self.faults[what] = self.faults[what], self.faults[what] + 1
        if what == "worker":
            process = self.workers[number % len(self.workers)]
        else:
            process = {"web": self.web, "redis": self.redis, "database": self.database}[what]
        process.kill()
        if what == "redis":
            shutil.rmtree(self.valkey.directory)
            self.valkey.directory.mkdir()
        if what == "database":
            time.sleep(AWAY_S)
            self.start_database()
        else:
            process.start()

    def close(self) -> None:
        """Kill all of it."""
        for process in (self.web, self.clock, *self.workers, self.redis, self.database):
            if not process.is_gone:
                process.kill()
