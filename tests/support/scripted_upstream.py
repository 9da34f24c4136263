"""A model server on this machine that answers OpenAI's streaming chat from a script, and knows who hung up."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HANGS = "\0hangs"
"""An answer that begins and does not go on until the caller leaves."""
PATIENCE_S = 60.0


@dataclass
class Script:
    """What is answered, one text after the other; `asked` are the bodies, `left_at` when callers hung up."""

    address: str = ""
    answers: deque[str] = field(default_factory=deque)
    asked: list[dict[str, Any]] = field(default_factory=list)
    left_at: list[float] = field(default_factory=list)


@contextmanager
def scripted_upstream() -> Iterator[Script]:
    """Serve while the context lasts."""
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_POST(self) -> None:
            script.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            answer = script.answers.popleft()
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            if answer == HANGS:
                self._hang()
                return
            self._say({"role": "assistant", "content": answer})
            self._say({}, "stop")
            self._write({"id": "x", "model": "gpt-4o-mini", "object": "chat.completion.chunk", "choices": [], "usage": {
                "prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}})  # fmt: skip
            self.wfile.write(b"data: [DONE]\n\n")

        def _hang(self) -> None:
            until = time.monotonic() + PATIENCE_S
            self._say({"role": "assistant", "content": "I am"})
            try:
                while time.monotonic() < until:
                    self.wfile.write(b": still here\n\n")
                    self.wfile.flush()
                    threading.Event().wait(0.05)
            except OSError:
                script.left_at.append(time.monotonic())

        def _say(self, delta: dict[str, str], reason: str | None = None) -> None:
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            self._write({"id": "x", "model": "gpt-4o-mini", "object": "chat.completion.chunk", "choices": [choice]})

        def _write(self, event: dict[str, Any]) -> None:
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
            self.wfile.flush()

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    script.address = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
