"""`manage.py up`, for real: first start, second start, what is in the way, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from django.conf import settings

from promptlab.management.commands.up import _environment
from tests.flows.server import free_port

pytestmark = [pytest.mark.flow, pytest.mark.timeout(180)]
STORES = ("DATABASE_URL", "REDIS_URL", "REDIS_PREFIX", "CELERY_BROKER_URL")


class Up:
    """One running `manage.py up`, in a session of its own, as a terminal would have it."""

    def __init__(self, var: Path, port: int, log_level: str = "WARNING") -> None:
        self.output = var / "printed.txt"
        env = {name: value for name, value in os.environ.items() if name not in STORES}
        env |= {"PROMPTLAB_VAR": str(var), "LOG_LEVEL": log_level, "COLUMNS": "200"}
        words = [sys.executable, "manage.py", "up", "--port", str(port)]
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(
                words, cwd=settings.BASE_DIR, env=env, stdout=file, stderr=file, start_new_session=True
            )

    @property
    def printed(self) -> str:
        return self.output.read_text(errors="replace")

    def wait_for(self, text: str) -> str:
        """Return what was printed once `text` is among it."""
        until = time.monotonic() + 150
        while text not in self.printed:
            assert self.process.poll() is None and time.monotonic() < until, self.printed
            time.sleep(0.05)
        return self.printed

    def end(self) -> int:
        """Return the exit code, within the few seconds everything may take."""
        return self.process.wait(timeout=15)


@contextmanager
def up(var: Path, port: int, log_level: str = "WARNING") -> Iterator[Up]:
    running = Up(var, port, log_level)
    try:
        yield running
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.process.pid, signal.SIGTERM)
        running.end()


def programs(var: Path) -> dict[str, int]:
    """Return the pids of the web, the worker and the valkey of this start."""
    found: dict[str, int] = {}
    for folder in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        with suppress(OSError):
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
            variables = (folder / "environ").read_bytes().decode(errors="replace")
            name = _name(command, is_ours=f"PROMPTLAB_VAR={var}\0" in variables, socket_path=f"{var}/valkey.sock")
            if name:
                found.setdefault(name, int(folder.name))
    return found


def _name(command: str, *, is_ours: bool, socket_path: str) -> str:
    """Return which program this is, or "". A Valkey writes its title over its environment."""
    if f"unixsocket:{socket_path}" in command:
        return "valkey"
    return next((name for name, word in (("web", "uvicorn"), ("worker", "celery")) if is_ours and word in command), "")


def wait_until_gone(var: Path) -> None:
    until = time.monotonic() + 8
    while programs(var):
        assert time.monotonic() < until, programs(var)
        time.sleep(0.05)


@pytest.fixture(scope="module")
def var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("with a space")


def test_the_first_start_shows_a_password_and_a_key_that_work(var: Path) -> None:
    port = free_port()
    with up(var, port, "INFO") as running:
        printed = running.wait_for("are shown this once")
        assert '{"' not in printed.partition("PromptLab is running")[0]
        key = re.search(r"PROMPTLAB_API_KEY=(pl_\S+)", printed)
        password = re.search(r"the password (\S+)", printed)
        assert key and password
        base = f"http://127.0.0.1:{port}"
        assert httpx.get(f"{base}/me", headers={"X-API-Key": key[1]}).status_code == 200
        with httpx.Client(base_url=base, headers={"Referer": base}) as person:
            page = person.get("/admin/login/")
            token = re.search(r'csrfmiddlewaretoken" value="([^"]+)"', page.text)
            assert token
            form = {"username": "admin", "password": password[1], "csrfmiddlewaretoken": token[1], "next": "/admin/"}
            assert person.post("/admin/login/", data=form).status_code == 302
            assert person.get("/admin/").status_code == 200
        os.killpg(running.process.pid, signal.SIGINT)
        assert running.end() == 0
    wait_until_gone(var)


def test_the_second_start_shows_no_secrets_and_refuses_a_third(var: Path) -> None:
    port = free_port()
    with up(var, port) as running:
        printed = running.wait_for("Ctrl-C stops everything.")
        assert f"http://127.0.0.1:{port}/" in printed and "pl_" not in printed and "changepassword" in printed
        other = var / "other"
        other.mkdir(exist_ok=True)
        same_port = Up(other, port)
        assert same_port.end() == 1
        assert same_port.printed.startswith(f"Port {port} is taken.")
        same_folder = subprocess.run(
            [sys.executable, "manage.py", "up", "--port", str(free_port())],
            cwd=settings.BASE_DIR,
            env={**os.environ, "PROMPTLAB_VAR": str(var)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (same_folder.returncode, same_folder.stdout) == (1, "")
        assert same_folder.stderr.startswith("PromptLab already runs with the data in")
        running.process.terminate()
        assert running.end() == 0
    wait_until_gone(var)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", ["web", "worker", "valkey"])
def test_when_one_program_ends_all_end_and_it_is_named(var: Path, name: str) -> None:
    port = free_port()
    with up(var, port) as running:
        running.wait_for("Ctrl-C stops everything.")
        os.kill(programs(var)[name], signal.SIGKILL)
        assert running.end() == 1
        assert f"{name} was ended by SIGKILL. Stopping everything else." in running.printed
    wait_until_gone(var)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nothing_outlives_a_killed_supervisor(var: Path) -> None:
    port = free_port()
    with up(var, port) as running:
        running.wait_for("Ctrl-C stops everything.")
        assert programs(var).keys() == {"web", "worker", "valkey"}
        running.process.kill()
        running.end()
        wait_until_gone(var)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))


def test_links_in_mails_lead_to_where_it_listens_unless_somebody_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "SITE_URL_IS_LOCAL", True)
    assert _environment("0.0.0.0", 9000)["SITE_URL"] == "http://127.0.0.1:9000/"
    monkeypatch.setattr(settings, "SITE_URL_IS_LOCAL", False)
    monkeypatch.setattr(settings, "SITE_URL", "https://prompts.example.com")
    assert _environment("0.0.0.0", 9000)["SITE_URL"] == "https://prompts.example.com"
