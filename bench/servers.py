"""The servers under measurement: PromptLab as it is run, on stores of its own, and the bare limit beside it."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEXT = "Summarise the email below in one sentence, for somebody who has no time.\n\n{{email}}\n\n" + "Be kind. " * 210
TEAM = """
from promptlab.accounts import services
from promptlab.accounts.access import SYSTEM
services.create_team(SYSTEM, "Bench")
"""


def free_port() -> int:
    """Return a port nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True)
class Server:
    """A running server, the key that opens it, and the environment it runs in."""

    port: int
    process: subprocess.Popen[bytes]
    key: str = ""
    env: dict[str, str] = field(default_factory=dict)

    def cpu_s(self) -> float:
        """Return the CPU time it has used so far, in seconds (Linux)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def call(self, method: str, path: str, body: object = None) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Send one request and return status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = json.dumps(body).encode() if body is not None else None
        connection.request(method, path, sent, {"X-API-Key": self.key, "Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


@contextmanager
def serving(application: str, path: str, env: dict[str, str], *, python: str = sys.executable) -> Iterator[Server]:
    """Run an ASGI application in one uvicorn process, and yield it when `path` answers."""
    port = free_port()
    words = [
        python,
        "-m",
        "uvicorn",
        application,
        "--port",
        str(port),
        "--no-access-log",
        "--log-level",
        "warning",
    ]
    process = subprocess.Popen(words, cwd=ROOT, env=env, stderr=subprocess.DEVNULL)
    server = Server(port, process, env.get("BENCH_KEY", ""), env)
    try:
        wait_for(server, path)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=20)


def wait_for(server: Server, path: str) -> None:
    """Return when the server answers there. Ends the run when it does not start."""
    for _ in range(300):
        if server.process.poll() is not None:
            break
        try:
            if server.call("GET", path)[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit("The server did not start.")


@contextmanager
def promptlab(database: str = "") -> Iterator[Server]:
    """Run PromptLab on stores of its own, with one prompt live, and yield it with a key.

    A new SQLite file and a private Valkey; `database` names an empty PostgreSQL to use instead of the file.
    """
    from promptlab.management.local_valkey import LocalValkey

    with tempfile.TemporaryDirectory(prefix="promptlab-bench-") as name:
        folder = Path(name)
        env = {word: value for word, value in os.environ.items() if word not in ("DATABASE_URL", "CELERY_BROKER_URL")}
        env |= {"DATABASE_URL": database} if database else {}
        env |= {"SECRET_KEY": secrets.token_urlsafe(50), "RATE_LIMIT_PER_HOUR": "100000000"}
        env |= {"PROMPTLAB_VAR": name, "REDIS_URL": f"unix://{folder / 'valkey.sock'}", "LOG_LEVEL": "WARNING"}
        env |= {"RATE_LIMIT_DELIVERY_PER_MINUTE": "100000000", "RATE_LIMIT_FEEDBACK_PER_MINUTE": "100000000"}
        env |= {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "sdk"), str(ROOT / "bench")])}
        valkey = LocalValkey(folder / "valkey.sock", folder / "valkey")
        valkey.start()
        try:
            manage(env, "migrate", "--verbosity", "0")
            manage(env, "shell", "--verbosity", "0", "-c", TEAM)
            key = manage(env, "issue_key", "--team", "Bench", "--name", "bench", "--scopes", "admin,read,chat,feedback")
            with serving("promptlab.asgi:application", "/readyz", env) as server:
                server.key = key
                server.call("POST", "/prompts", {"title": "Bench", "name": "bench", "content": TEXT})
                server.call("POST", "/deployments", {"prompt_name": "bench", "environment": "production", "version": 1})
                yield server
        finally:
            valkey.stop()


def manage(env: dict[str, str], *words: str) -> str:
    """Run a management command and return what it printed."""
    command = [sys.executable, "manage.py", *words]
    return subprocess.run(command, cwd=ROOT, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
