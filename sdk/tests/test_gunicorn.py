"""A pre-fork server as applications run it: connected before the fork, then three processes of 64 threads."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from cast import until
from fake_server import PromptServer

pytest.importorskip("gunicorn")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="This system has no fork")
WORKERS, THREADS, CALLERS, TTL_S = 3, 64, 96, 2
APPLICATION = """
import json, os
from promptlab_sdk import Prompts

prompts = Prompts.connect(ttl=2)
prompts.get("greeting")

def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/")
    shown = prompts.get(name)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"said": str(shown), "process": os.getpid()}).encode()]
"""


@contextmanager
def gunicorn(folder: Path, server: PromptServer) -> Iterator[str]:
    """Run the application and yield its address."""
    (folder / "shop.py").write_text(APPLICATION)
    words = ["-m", "gunicorn", "shop:application", "--preload", "--workers", str(WORKERS), "--threads", str(THREADS)]
    words += ["--worker-class", "gthread", "--bind", f"unix:{folder / 'shop.sock'}", "--no-control-socket"]
    env = {**os.environ, "PROMPTLAB_URL": server.url, "PROMPTLAB_API_KEY": "pl_key"}
    env["PYTHONPATH"] = os.pathsep.join([str(folder), *sys.path])
    process = subprocess.Popen([sys.executable, *words], cwd=folder, env=env, stderr=subprocess.DEVNULL)
    try:
        until(lambda: (folder / "shop.sock").exists(), "the start")
        yield str(folder / "shop.sock")
    finally:
        process.terminate()
        assert process.wait(timeout=20) == 0, "It did not end by itself: a thread was left."


def test_forked_processes_of_many_threads_say_the_same_and_load_once_each(server: PromptServer, tmp_path: Path) -> None:
    server.deploy("greeting", "Hello")
    server.deploy("farewell", "Bye")

    def ask(name: str) -> tuple[str, int]:
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(20)
            caller.connect(address)
            caller.sendall(f"GET /{name} HTTP/1.0\r\n\r\n".encode())
            answer = b"".join(iter(lambda: caller.recv(65536), b""))
        found = json.loads(answer.partition(b"\r\n\r\n")[2])
        return found["said"], found["process"]

    with gunicorn(tmp_path, server) as address, ThreadPoolExecutor(CALLERS) as callers:
        began = time.monotonic()
        found = list(callers.map(ask, ["farewell"] * CALLERS * 3))
        rounds = 1 + int((time.monotonic() - began) / TTL_S)
        assert {said for said, _ in found} == {"Bye"}
        processes = len({process for _, process in found})
        loads = [request for request in server.requests if "farewell" in request.path]
        assert processes == WORKERS
        assert processes <= len(loads) <= processes * rounds, "Who asked at once did not ask once."

        server.deploy("greeting", "Good day", revision=2)
        until(lambda: {said for said, _ in callers.map(ask, ["greeting"] * CALLERS)} == {"Good day"}, "the new text")
