"""HTTP behind one class: credentials, ETags, deadlines, retries, and answers turned into errors.

Only this module imports httpx.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import httpx

from promptlab_sdk import __version__
from promptlab_sdk.errors import PromptLabError, PromptNotFound, RateLimited, ServiceUnavailable, Unauthorized
from promptlab_sdk.kernel.spec import JSON

E = TypeVar("E", bound=PromptLabError)

MAX_RETRY_AFTER_S = 2.0
"""A server that asks for a longer pause is not asked again within the call."""

FIRST_PAUSE_S = 0.1

SILENCE_S = 45.0
"""A stream that says nothing for so long is dead: the server says something every 15 seconds."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A decoded answer. `data` is None for 304: what the ETag names still holds. `size` is in bytes."""

    data: JSON
    etag: str
    heartbeat_s: float | None = None
    size: int = 0


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event of a stream; one without `data` is a sign of life."""

    id: str = ""
    kind: str = ""
    data: str = ""


class EventStream:
    """An open stream of events. One thread reads it; any thread may close it."""

    def __init__(self, response: httpx.Response) -> None:
        self.heartbeat_s = _seconds(response.headers.get("X-PromptLab-Heartbeat", ""))
        self._response = response

    def __iter__(self) -> Iterator[ServerEvent]:
        """Yield events and signs of life until the server ends the stream. Raises ServiceUnavailable."""
        fields: dict[str, str] = {}
        try:
            for line in self._response.iter_lines():
                name, _, value = line.partition(":")
                if line and name:
                    value = value.removeprefix(" ")
                    fields[name] = f"{fields[name]}\n{value}" if name == "data" and name in fields else value
                elif line:
                    yield ServerEvent()
                elif fields:
                    yield ServerEvent(fields.get("id", ""), fields.get("event", ""), fields.get("data", ""))
                    fields = {}
        except (httpx.RequestError, httpx.StreamError) as error:
            raise ServiceUnavailable(f"The stream of events broke ({type(error).__name__}).") from error

    def close(self) -> None:
        """End the stream, also for a thread that is waiting in it."""
        network = self._response.extensions.get("network_stream")
        raw = network.get_extra_info("socket") if network is not None else None
        if raw is not None:
            # Closing alone does not wake a thread that reads; shutting down does.
            with contextlib.suppress(OSError):
                raw.shutdown(socket.SHUT_RDWR)


class Transport:
    """Calls to one PromptLab server with one key. Thread-safe.

    `timeout_s` bounds a whole call, its retries and pauses included. A client that is handed in is used,
    never closed.
    """

    def __init__(
        self,
        service_url: str,
        *,
        api_key: str = "",
        timeout_s: float = 5.0,
        retries: int = 2,
        http_client: httpx.Client | None = None,
    ) -> None:
        self.service_url = _checked_url(service_url)
        self._api_key = api_key
        self.timeout_s = timeout_s
        self._retries = retries
        self._given_client = http_client
        self._closing = threading.Event()
        self.forget_connections()

    def forget_connections(self) -> None:
        """Begin with new connections, after a fork: the old ones are the parent's."""
        self._own_client: httpx.Client | None = None
        self._lock = threading.Lock()
        was_closed = self._closing.is_set()
        self._closing = threading.Event()  # The parent's may be locked by a thread that does not live here.
        if was_closed:
            self._closing.set()

    def get(self, path: str, params: Mapping[str, str], etag: str) -> Answer:
        """Return the JSON at `path`. A 404 is PromptNotFound; every failure is a PromptLabError."""
        response = self._send("GET", path, params=params, headers={"If-None-Match": etag} if etag else {})
        heartbeat_s = _seconds(response.headers.get("X-PromptLab-Heartbeat", ""))
        if response.status_code == httpx.codes.NOT_MODIFIED:
            return Answer(None, response.headers.get("ETag", etag), heartbeat_s)
        if response.status_code == httpx.codes.NOT_FOUND and _is_json(response):
            # Only PromptLab's own 404 counts: the HTML page of a proxy says nothing about a prompt.
            raise _refusal(PromptNotFound, response)
        return Answer(_json_of(response), response.headers.get("ETag", ""), heartbeat_s, len(response.content))

    def post(self, path: str, body: Mapping[str, JSON] | Sequence[Mapping[str, JSON]], *, once: str = "") -> JSON:
        """Send `body` and return the JSON of the answer. It may be sent twice: it must carry its own id, or `once` is that."""
        response = self._send("POST", path, json=body, headers={"Idempotency-Key": once} if once else {})
        return None if response.status_code == httpx.codes.NO_CONTENT else _json_of(response)

    @contextlib.contextmanager
    def stream(self, path: str, params: Mapping[str, str], last_id: str) -> Iterator[EventStream]:
        """Open the stream of events at `path`, going on after `last_id`. Every failure is a PromptLabError."""
        headers = {**self._headers(), "Accept": "text/event-stream", **({"Last-Event-ID": last_id} if last_id else {})}
        timeout = httpx.Timeout(self.timeout_s, read=SILENCE_S)
        url = self.service_url + path
        try:
            with self._client().stream("GET", url, params=params, headers=headers, timeout=timeout) as response:
                if response.headers.get("Content-Type", "").partition(";")[0] != "text/event-stream":
                    response.read()
                    _json_of(response)
                    raise ServiceUnavailable(f"{response.url.host} answered no stream of events.")
                yield EventStream(response)
        except httpx.RequestError as error:
            raise self._unreachable(error) from error

    def close(self) -> None:
        """Close the connections; further calls raise ServiceUnavailable."""
        self._closing.set()
        with self._lock:
            client, self._own_client = self._own_client, None
        if client is not None:
            client.close()

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        json: JSON = None,
    ) -> httpx.Response:
        """Return the answer. Connection errors, 5xx and 429 are tried again while the time allows."""
        client = self._client()
        deadline = time.monotonic() + self.timeout_s
        attempt = 0
        while True:
            outcome: httpx.Response | httpx.RequestError
            try:
                outcome = client.request(
                    method,
                    self.service_url + path,
                    params=params,
                    json=json,
                    headers={**self._headers(), **(headers or {})},
                    timeout=max(deadline - time.monotonic(), 0.001),
                    follow_redirects=False,
                )
            except httpx.RequestError as error:
                outcome = error
            except RuntimeError as error:  # What httpx says of a client that its owner has closed.
                raise ServiceUnavailable(f"The HTTP client cannot be used: {error}") from error
            pause_s = _pause(outcome, attempt)
            attempt += 1
            if pause_s is None or attempt > self._retries or time.monotonic() + pause_s >= deadline:
                break
            if self._closing.wait(pause_s):
                break
        if isinstance(outcome, httpx.RequestError):
            raise self._unreachable(outcome)
        return outcome

    def _unreachable(self, error: httpx.RequestError) -> ServiceUnavailable:
        return ServiceUnavailable(f"PromptLab at {self.service_url} cannot be reached ({type(error).__name__}).")

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": f"promptlab-sdk/{__version__}"}
        return {**headers, "X-API-Key": self._api_key} if self._api_key else headers

    def _client(self) -> httpx.Client:
        with self._lock:
            if self._closing.is_set():
                raise ServiceUnavailable("This PromptLab client is closed.")
            if self._given_client is not None:
                return self._given_client
            if self._own_client is None:
                self._own_client = httpx.Client()
            return self._own_client


def _checked_url(service_url: str) -> str:
    """Return the address without trailing slashes. Raises ValueError for what is no http address."""
    try:
        url = httpx.URL(service_url)
    except httpx.InvalidURL as error:
        raise ValueError(f"service_url is not an address: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("service_url starts with http:// or https:// and a host.")
    return service_url.rstrip("/")


def _pause(outcome: httpx.Response | httpx.RequestError, attempt: int) -> float | None:
    """Return the seconds to wait before the next try; None when another try is pointless."""
    backoff_s: float = FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1.5)
    if isinstance(outcome, httpx.RequestError):
        return backoff_s
    if outcome.status_code < 500 and outcome.status_code != httpx.codes.TOO_MANY_REQUESTS:
        return None
    advised_s = _retry_after(outcome)
    if advised_s is None:
        return backoff_s
    return max(advised_s, backoff_s) if advised_s <= MAX_RETRY_AFTER_S else None


def _retry_after(response: httpx.Response) -> float | None:
    """Return the seconds of the Retry-After header; None without one, or for a date."""
    return _seconds(response.headers.get("Retry-After", ""))


def _seconds(value: str) -> float | None:
    return float(value) if value.isdecimal() else None


def _json_of(response: httpx.Response) -> JSON:
    """Return the JSON of a good answer; raise the error that a bad one means."""
    status = response.status_code
    if status in (401, 403):
        raise _refusal(Unauthorized, response)
    if status == httpx.codes.TOO_MANY_REQUESTS:
        limited = _refusal(RateLimited, response)
        limited.retry_after_s = _retry_after(response)
        raise limited
    if 400 <= status < 500 and _is_json(response):
        raise _refusal(PromptLabError, response)
    if not response.is_success or not _is_json(response):
        host = response.url.host
        raise ServiceUnavailable(f"{host} answered {status}, not as PromptLab does.", status=status)
    try:
        return response.json()
    except ValueError as error:
        raise ServiceUnavailable(f"{response.url.host} answered broken JSON.", status=status) from error


def _is_json(response: httpx.Response) -> bool:
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return bool(kind == "application/json") or (kind.startswith("application/") and kind.endswith("+json"))


def _refusal(kind: type[E], response: httpx.Response) -> E:
    """Return the error with the server's own sentence, code and status."""
    try:
        body = response.json()
    except ValueError:
        body = None
    problem: Mapping[str, JSON] = body if isinstance(body, Mapping) else {}
    detail = str(problem.get("detail") or f"PromptLab answered {response.status_code}.")
    code = problem.get("code")
    return kind(detail, status=response.status_code, code=str(code) if code else None)
