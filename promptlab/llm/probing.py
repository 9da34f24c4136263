"""Asking a provider for its list of models: the one question that costs nothing and shows whether a key is accepted.

The address is resolved once, every IP address of it is checked, and a checked one is called, without redirects or proxies.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

import httpx
from django.conf import settings

from promptlab.lib import addresses
from promptlab.lib.addresses import AddressRefused
from promptlab.llm.types import Route

TIMEOUT_S = 10.0
"""For the whole exchange."""
MAX_BYTES = 4_000_000
ANTHROPIC_VERSION = "2023-06-01"


class Result(StrEnum):
    """How it went."""

    OK = "ok"
    KEY_REFUSED = "key_refused"
    NOTHING_THERE = "nothing_there"
    REDIRECTED = "redirected"
    LIMITED = "limited"
    FAILED = "failed"
    UNREADABLE = "unreadable"
    TIMED_OUT = "timed_out"
    NOT_REACHED = "not_reached"
    NOT_READY = "not_ready"


@dataclass(frozen=True, slots=True)
class Finding:
    """How it went, and the status of the answer where there was one. Nothing of the answer's text is kept."""

    result: Result
    status: int | None = None


def probe(route: Route) -> Finding:
    """Ask, and return how it went after `TIMEOUT_S` at the latest."""
    return asyncio.run(aprobe(route))


async def aprobe(route: Route) -> Finding:
    """The same as `probe`, from async code."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await _exchange(route)
    except TimeoutError:
        return Finding(Result.TIMED_OUT)
    except (AddressRefused, httpx.HTTPError, httpx.InvalidURL, OSError):
        return Finding(Result.NOT_REACHED)


async def _exchange(route: Route) -> Finding:
    target = addresses.parse(_list_of_models(route), trusted=settings.LLM_ALLOWED_PRIVATE)
    called = await addresses.resolve(target)
    async with httpx.AsyncClient(verify=_tls(), trust_env=False, follow_redirects=False, timeout=TIMEOUT_S) as client:
        request = client.build_request(
            "GET",
            target.at(called),
            headers={"host": target.host_header, "accept": "application/json", **_key_headers(route)},
            extensions={"sni_hostname": target.host},
        )
        answer = await client.send(request, stream=True)
        try:
            return await _finding(answer)
        finally:
            await answer.aclose()


def _list_of_models(route: Route) -> str:
    if route.kind == "azure":
        return f"{route.address}/openai/models?api-version={route.api_version}"
    return f"{route.address}/models"


def _key_headers(route: Route) -> dict[str, str]:
    """Return how the kind wants its key. Anthropic lists models under its own header only."""
    if not route.key:
        return {}
    if route.kind == "azure":
        return {"api-key": route.key}
    if route.kind == "anthropic":
        return {"x-api-key": route.key, "anthropic-version": ANTHROPIC_VERSION}
    return {"authorization": f"Bearer {route.key}"}


async def _finding(answer: httpx.Response) -> Finding:
    status = answer.status_code
    if status in (401, 403):
        return Finding(Result.KEY_REFUSED, status)
    if status == 429:
        return Finding(Result.LIMITED, status)
    if 300 <= status < 400:
        return Finding(Result.REDIRECTED, status)
    if 400 <= status < 500:
        return Finding(Result.NOTHING_THERE, status)
    if not 200 <= status < 300:
        return Finding(Result.FAILED, status)
    return Finding(Result.OK if await _is_list(answer.aiter_bytes()) else Result.UNREADABLE, status)


async def _is_list(body: AsyncIterator[bytes]) -> bool:
    """Tell whether the answer is a list of models, as all of these servers write it."""
    read = bytearray()
    async for block in body:
        read += block
        if len(read) > MAX_BYTES:
            return False
    try:
        said = json.loads(read)
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and isinstance(said.get("data", said.get("models")), list)


@cache
def _tls() -> ssl.SSLContext:
    """Return one context for all: making one takes 20 ms."""
    return httpx.create_ssl_context(trust_env=False)
