"""A mail server on loopback that follows a script: one answer for each recipient."""

from __future__ import annotations

import socketserver
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class Mailbox:
    """`script`: answers to RCPT, such as `451 later`; an empty script takes every recipient."""

    port: int = 0
    script: deque[str] = field(default_factory=deque)
    got: list[EmailMessage] = field(default_factory=list)
    connections: int = 0


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """Run a mail server."""
    box = Mailbox()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            box.connections += 1
            self._say("220 here")
            for line in iter(self.rfile.readline, b""):
                verb = line.strip().upper()[:4]
                if verb == b"QUIT":
                    self._say("221 bye")
                    return
                if verb == b"DATA":
                    self._say("354 go on")
                    lines = list(iter(self.rfile.readline, b".\r\n"))
                    box.got.append(message_from_bytes(b"".join(lines), policy=policy.default))
                is_recipient = verb == b"RCPT" and box.script
                self._say(box.script.popleft() if is_recipient else "250 ok")

        def _say(self, line: str) -> None:
            self.wfile.write(line.encode() + b"\r\n")

    class Server(socketserver.ThreadingTCPServer):
        request_queue_size = 128
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    box.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield box
    finally:
        server.shutdown()
        server.server_close()
