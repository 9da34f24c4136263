"""Connections to servers that speak OpenAI's protocol, and how a request to them looks.

The SDK says how: it is let make one request, which goes nowhere, and its address and headers are those of every call. To
have it put each call together anew took three quarters of what a call costs.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import threading
import time
import urllib.request
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from promptlab.llm.errors import Misconfigured

if TYPE_CHECKING:
    import ssl

    import aiohttp
    import httpx2
    from yarl import URL

MAX_CONNECTIONS = 4_000
KEEPALIVE_S = 30.0
MAX_CLIENTS = 64
CLIENT_IDLE_S = 120.0
"""How long a client that nobody uses is kept: one whose address or key was replaced is never used again."""
OWN_HEADERS = frozenset({"host", "accept-encoding", "connection", "content-length"})
"""Those that belong to a connection, not to the request."""
TELLTALE = "x-stainless-"
"""What begins with this tells the server about our machine."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to call, with which key. Whatever differs here shares no connection: no tenant's key serves another.

    `deployment` is the model where it is part of the address, else empty.
    """

    provider: str
    url: str
    key: str = field(repr=False)
    version: str
    api_version: str
    deployment: str
    connect_timeout_s: float
    is_local: bool
    is_public_only: bool


class Client:
    """The connections of one endpoint, and what a request to it begins with."""

    def __init__(self, endpoint: Endpoint, url: URL, headers: Mapping[str, str]) -> None:
        import aiohttp

        self.endpoint = endpoint
        self.url = url
        self.proxy = None if endpoint.is_local else _proxy(url)
        self._headers = headers
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=endpoint.connect_timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, body: bytes, headers: Mapping[str, str] | None) -> aiohttp.ClientResponse:
        """Return the answer's beginning, to be entered as a context: it follows no redirect, so that the key goes where it should.

        Raises aiohttp.ClientError, here and while the answer is read.
        """
        if self._session is None:
            self._session = self._opened()
        return await self._session.post(self.url, data=body, headers=headers, proxy=self.proxy, allow_redirects=False)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        import aiohttp

        from promptlab.llm.providers.reaching import PublicOnly

        # A proxy stands where the operator put it, and is who looks names up.
        names = PublicOnly() if self.endpoint.is_public_only and self.proxy is None else None
        connector = aiohttp.TCPConnector(
            limit=MAX_CONNECTIONS, keepalive_timeout=KEEPALIVE_S, ssl=_tls(), resolver=names
        )
        jar = aiohttp.DummyCookieJar()
        return aiohttp.ClientSession(
            connector=connector, headers=self._headers, timeout=self._timeout, cookie_jar=jar, trust_env=False
        )


@dataclass(slots=True, eq=False)
class _Held:
    """A client, how many calls use it, and when the last one ended (monotonic)."""

    client: Client
    calls: int = 0
    idle_since: float = field(default_factory=time.monotonic)


class Clients:
    """One client per endpoint and event loop: connections belong to the loop that opened them.

    Those that were not used for a while are closed, the longest unused first when there are many; none in mid-call.
    """

    def __init__(self) -> None:
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, OrderedDict[Endpoint, _Held]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many the running event loop has."""
        return len(self._by_loop.get(asyncio.get_running_loop(), ()))

    def use(self, endpoint: Endpoint) -> Use:
        """Return a context that yields the endpoint's client for one call. Entering raises Misconfigured."""
        return Use(self, endpoint)

    async def take(self, endpoint: Endpoint) -> _Held:
        """Return the endpoint's client as one more call uses it. Raises Misconfigured.

        It is built in a thread, because importing the SDK takes half a second.
        """
        clients = self._by_loop.setdefault(asyncio.get_running_loop(), OrderedDict())
        held = clients.get(endpoint)
        if held is None:
            held = await asyncio.to_thread(self._build, clients, endpoint)
        held.calls += 1
        clients[endpoint] = held
        clients.move_to_end(endpoint)
        await self._tidy(clients)
        return held

    async def close(self) -> None:
        """Close the connections of the running event loop."""
        for held in self._by_loop.pop(asyncio.get_running_loop(), OrderedDict()).values():
            await held.client.close()

    def _build(self, clients: OrderedDict[Endpoint, _Held], endpoint: Endpoint) -> _Held:
        with self._lock:
            if endpoint not in clients:
                clients[endpoint] = _Held(_new_client(endpoint))
            return clients[endpoint]

    async def _tidy(self, clients: OrderedDict[Endpoint, _Held]) -> None:
        """Close what is idle: for too long, or too much of it. The first of `clients` was used the longest ago."""
        if len(clients) == 1:
            return
        oldest = time.monotonic() - CLIENT_IDLE_S
        idle = [endpoint for endpoint, held in clients.items() if not held.calls]
        too_many = len(clients) - MAX_CLIENTS
        over = [one for number, one in enumerate(idle) if number < too_many or clients[one].idle_since < oldest]
        for held in [clients.pop(endpoint) for endpoint in over]:
            await held.client.close()


class Use:
    """One call's use of a client, which is not closed meanwhile."""

    __slots__ = ("_clients", "_endpoint", "_held")

    def __init__(self, clients: Clients, endpoint: Endpoint) -> None:
        self._clients = clients
        self._endpoint = endpoint
        self._held: _Held | None = None

    async def __aenter__(self) -> Client:
        self._held = await self._clients.take(self._endpoint)
        return self._held.client

    async def __aexit__(self, *_: object) -> None:
        if self._held is not None:
            self._held.calls -= 1
            self._held.idle_since = time.monotonic()


def _new_client(endpoint: Endpoint) -> Client:
    """Return a client that calls as the SDK would. Raises Misconfigured where it could not call at all."""
    _load_sdk()
    import httpx2
    import openai
    from yarl import URL

    try:
        request = asyncio.run(_request_of_sdk(endpoint))
        named = {name: value for name, value in request.headers.items() if name not in OWN_HEADERS}
        headers = {name: value for name, value in named.items() if not name.startswith(TELLTALE)}
        if not all(value.isprintable() for value in headers.values()):
            raise ValueError("A key has a line break.")
        _tls()  # loaded here, in a thread
        return Client(endpoint, URL(str(request.url), encoded=True), headers)
    except (openai.OpenAIError, httpx2.HTTPError, httpx2.InvalidURL, ValueError):
        detail = "The provider's address or key cannot be sent. Check them, or OPENAI_BASE_URL and OPENAI_API_KEY."
        raise Misconfigured(detail, setting="OPENAI_BASE_URL") from None


async def _request_of_sdk(endpoint: Endpoint) -> httpx2.Request:
    """Return the request that the SDK makes for a stream of chat completions. Nothing is sent."""
    import httpx2
    import openai

    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200)

    async with AsyncExitStack() as opened:
        transport = httpx2.MockTransport(answer)
        nowhere = await opened.enter_async_context(httpx2.AsyncClient(transport=transport, trust_env=False))
        sdk: openai.AsyncOpenAI
        if endpoint.api_version:
            sdk = openai.AsyncAzureOpenAI(
                api_key=endpoint.key,
                azure_endpoint=endpoint.url,
                api_version=endpoint.api_version,
                max_retries=0,
                http_client=nowhere,
            )
        else:
            sdk = openai.AsyncOpenAI(api_key=endpoint.key, base_url=endpoint.url, max_retries=0, http_client=nowhere)
        asked = sdk.chat.completions.with_streaming_response.create(model=endpoint.deployment, messages=[], stream=True)
        await opened.enter_async_context(asked)
    return seen[0]


def _proxy(url: URL) -> str | None:
    """Return the proxy that the environment names for the address. Raises Misconfigured for a kind we do not speak to."""
    proxies = urllib.request.getproxies()
    found = proxies.get(url.scheme) or proxies.get("all")
    if found is None or urllib.request.proxy_bypass(url.host or ""):
        return None
    proxy = found if "://" in found else f"http://{found}"
    if not proxy.startswith(("http://", "https://")):
        raise Misconfigured("The proxy for calls to models is not one for HTTP.", setting="HTTPS_PROXY")
    return proxy


@functools.cache
def _load_sdk() -> None:
    """Import the SDK for good: the garbage collector need not look through its 70,000 objects again, for 50 ms each time."""
    import openai.resources.chat  # noqa: F401

    gc.freeze()


@functools.cache
def _tls() -> ssl.SSLContext:
    """Return the one context of this process; loading the certificates takes 20 to 50 ms."""
    import httpx2

    return httpx2.create_ssl_context()
