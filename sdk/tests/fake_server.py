"""A small PromptLab over real sockets: just the addresses the SDK calls, with faults on demand.

It can be killed, with all its connections, and started again on the same port.
"""

from __future__ import annotations

import hashlib
import json
import queue
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from promptlab_sdk.kernel.spec import Content, Delivery, ExperimentSpec, PromptSpec


@dataclass(frozen=True)
class Request:
    """What arrived. `headers` have lower-case names; `port` is the client's, one per connection."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    port: int


@dataclass(frozen=True)
class Fault:
    """An answer to give instead of the right one."""

    status: int
    body: str = '{"detail": "Something broke.", "code": "broken"}'
    content_type: str = "application/problem+json"
    headers: Mapping[str, str] = field(default_factory=dict)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], owner: PromptServer) -> None:
        self.owner = owner
        self.open_sockets: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open_sockets.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open_sockets.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A killed connection is what the tests are about; nothing to print."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        if self.path.startswith("/api/v1/events"):
            self._stream()
        else:
            self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are kept in `PromptServer.requests` instead."""

    def _stream(self) -> None:
        """Write events as they come, until the server or the client ends it."""
        request = self._request()
        status, headers, body = self.server.owner.answer(request)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.close_connection = True
        if status != 200:
            self.end_headers()
            self.wfile.write(body)
            return
        lines: queue.Queue[str] = queue.Queue()
        self.server.owner.listen(request, lines)
        self.end_headers()
        try:
            while line := lines.get(timeout=60):
                self.wfile.write(line.encode())
        except OSError:
            pass  # The client has gone.
        finally:
            self.server.owner.streams.remove(lines)

    def _answer(self) -> None:
        request = self._request()
        status, answer_headers, answer = self.server.owner.answer(request)
        self.send_response(status)
        for name, value in answer_headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _request(self) -> Request:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = {name: found[0] for name, found in parse_qs(url.query).items()}
        body = json.loads(raw) if raw else None
        return Request(self.command, url.path, query, headers, body, self.client_address[1])


class PromptServer:
    """The server. Set what it serves with `deploy`; read what it was asked from `requests`.

    `faults` are used up one per request, `fault` stays; `faults_at` stay for one path. While `gate` is closed, requests
    get no answer. Every open stream of events is a queue of what to write in `streams`.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.fault: Fault | None = None
        self.faults_at: dict[str, Fault] = {}
        self.streams: list[queue.Queue[str]] = []
        self.heartbeat_s = 0
        self.default_environment = "production"
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = threading.Semaphore(0)
        self._served: dict[str, bytes] = {}
        self._moves: list[tuple[int, str, list[str]]] = []
        self._port = 0
        self._server: _Server | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        self._server = _Server(("127.0.0.1", self._port), self)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def kill(self) -> None:
        """Stop listening and cut every connection."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        server.server_close()
        for lines in list(self.streams):
            lines.put("")
        for open_socket in list(server.open_sockets):
            try:
                open_socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # The client was faster.

    def deploy(
        self,
        name: str,
        content: Content | str,
        *,
        environment: str = "production",
        version: int = 1,
        revision: int = 1,
        experiment: ExperimentSpec | None = None,
    ) -> Delivery:
        """Make this the live version, and serve it under its number too."""
        content = Content(text=content) if isinstance(content, str) else content
        spec = PromptSpec(
            name, version, f"v1.{version}.0", content, content.checksum(), receipt=f"receipt-{name}-{revision}"
        )
        delivery = Delivery(spec, environment, revision, experiment)
        self._put(f"/api/v1/prompts/{name}/deployed/{environment}", delivery.to_dict())
        self._moves.append((revision, environment, [name]))
        for selector in (str(version), spec.version_string, "latest"):
            self._put(
                f"/api/v1/prompts/{name}/versions/{selector}",
                {**spec.to_dict(), "id": 7, "review": "approved"},
            )
        return delivery

    def remove(self, name: str, environment: str = "production") -> None:
        del self._served[f"/api/v1/prompts/{name}/deployed/{environment}"]

    def tell(self, names: list[str] | None = None, *, carry: bool = False) -> None:
        """Write the newest move to every open stream. With `names`, those instead of the ones that moved.

        `carry`: with what is live now.
        """
        revision, environment, moved = self._moves[-1]
        names = moved if names is None else names
        paths = [f"/api/v1/prompts/{name}/deployed/{environment}" for name in names] if carry else []
        self.say(_event(revision, environment, names, [json.loads(self._served[path]) for path in paths]))

    def say(self, text: str) -> None:
        for lines in list(self.streams):
            lines.put(text)

    def listen(self, request: Request, lines: queue.Queue[str]) -> None:
        """Begin a stream with a sign of life and what the client has missed."""
        lines.put(": hello\n\n")
        after = int(request.headers.get("last-event-id", "0"))
        for revision, environment, names in self._moves:
            if 0 < after < revision:
                lines.put(_event(revision, environment, names))
        self.streams.append(lines)

    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    def _put(self, key: str, data: Mapping[str, Any]) -> None:
        self._served[key] = json.dumps(data).encode()

    def answer(self, request: Request) -> tuple[int, Mapping[str, str], bytes]:
        self.requests.append(request)
        self.arrived.release()
        self.gate.wait(10)
        fault = self.faults.pop(0) if self.faults else self.faults_at.get(request.path, self.fault)
        if fault is not None:
            return fault.status, {"Content-Type": fault.content_type, **fault.headers}, fault.body.encode()
        if request.method == "POST" and request.path == "/api/v1/feedback":
            items = request.body.get("items", [request.body])
            answers = [{"feedback_id": f"fb-{item['id']}"} for item in items]
            refused = [place for place, item in enumerate(items) if item.get("message_id") == "nobody's"]
            if "items" not in request.body:
                return _json(404, {"code": "message_not_found"}) if refused else _json(202, answers[0])
            errors = [{"index": place, "code": "message_not_found", "status": 404} for place in refused]
            return _json(207 if errors else 202, {"items": answers, **({"errors": errors} if errors else {})})
        if request.path == "/api/v1/heartbeats":
            return 204, {}, b""
        if request.method == "POST":
            return _json(202, {})
        if request.path == "/api/v1/bundle":
            return self._bundle(request)
        if request.path == "/api/v1/events":
            return 200, {"Content-Type": "text/event-stream", **self._wish()}, b""
        return self._deliver(request)

    def bundle(self, environment: str) -> dict[str, Any]:
        """Return every live prompt of the environment, as it goes over the wire."""
        suffix = f"/deployed/{environment}"
        prompts = [json.loads(body) for key, body in self._served.items() if key.endswith(suffix)]
        revision = max([moved[0] for moved in self._moves if moved[1] == environment], default=1)
        return {"environment": environment, "revision": revision, "prompts": prompts}

    def _bundle(self, request: Request) -> tuple[int, Mapping[str, str], bytes]:
        environment = request.query.get("environment", self.default_environment)
        return self._tagged(request, json.dumps(self.bundle(environment)).encode(), self._wish())

    def _wish(self) -> dict[str, str]:
        return {"X-PromptLab-Heartbeat": str(self.heartbeat_s)} if self.heartbeat_s else {}

    def _deliver(self, request: Request) -> tuple[int, Mapping[str, str], bytes]:
        environment = request.query.get("environment", "production")
        path = unquote(request.path)
        key = f"{path}{environment}" if path.endswith("/deployed/") else path
        body = self._served.get(key)
        if body is None:
            return _json(404, {"detail": f"Nothing is deployed at {key}.", "code": "not_found"})
        return self._tagged(request, body, {})

    def _tagged(self, request: Request, body: bytes, more: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if request.headers.get("if-none-match") == etag:
            return 304, {"ETag": etag, **more}, b""
        return 200, {"Content-Type": "application/json", "ETag": etag, **more}, body


def _json(status: int, data: Mapping[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
    return status, {"Content-Type": "application/json"}, json.dumps(data).encode()


def _event(revision: int, environment: str, names: list[str], prompts: Sequence[Any] = ()) -> str:
    data = json.dumps({"environment": environment, "revision": revision, "names": names, "prompts": prompts})
    return f"id: {revision}\nevent: deployment\ndata: {data}\n\n"
