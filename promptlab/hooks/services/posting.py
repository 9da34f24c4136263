"""One request to one receiver: to the address that was checked, without redirects, proxies, cookies or a second look."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache

import httpx

from promptlab.hooks import addresses
from promptlab.hooks.models import Delivery
from promptlab.hooks.services import signing
from promptlab.lib.addresses import AddressRefused, resolve
from promptlab.lib.logs import get_logger
from promptlab.lib.sealing import CannotBeOpened, unseal

log = get_logger(__name__)

TIMEOUT_S = 15.0
"""For the whole exchange, however slowly the receiver goes on answering."""
USER_AGENT = "PromptLab-Webhooks/1.0"


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is sent: taken from the rows at once, so that an address never meets another address's secret.

    The secrets are sealed until the moment they sign.
    """

    url: str
    webhook_id: str
    body: bytes
    sealed_secrets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went. `error` is one of a few words and empty after a success; nothing of the answer's body is read."""

    status: int | None = None
    error: str = ""
    retry_after_s: float = 0.0

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants to hear nothing any more."""
        return self.status == 410


def parcel(delivery: Delivery) -> Parcel:
    """Return what to send for a delivery; the body is the same in every attempt."""
    event = delivery.event
    said = {"type": event.type, "timestamp": _written(event.created_at), "data": event.data}
    body = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
    return Parcel(delivery.endpoint.url, event.webhook_id, body, tuple(delivery.endpoint.sealed_secrets))


def post_all(parcels: Sequence[Parcel]) -> list[Outcome]:
    """Send all at once and return how each went, in their order, after `TIMEOUT_S` at the latest."""

    async def together() -> list[Outcome]:
        return await asyncio.gather(*(_post(one) for one in parcels))

    return asyncio.run(together())


async def _post(one: Parcel) -> Outcome:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await _exchange(one)
    except TimeoutError:
        return Outcome(error="timed out")
    except CannotBeOpened:
        log.error("webhook_secret_unreadable", webhook_id=one.webhook_id)
        return Outcome(error="its secret cannot be opened")
    except (AddressRefused, httpx.HTTPError, httpx.InvalidURL, OSError):
        # One word for all: which port is open behind a name is nobody's business.
        return Outcome(error="not reached")


async def _exchange(one: Parcel) -> Outcome:
    target = addresses.parse(one.url)
    address = await resolve(target)
    # A client for each: connections and cookies are never shared between receivers.
    async with httpx.AsyncClient(verify=_tls(), trust_env=False, follow_redirects=False, timeout=TIMEOUT_S) as client:
        request = client.build_request(
            "POST",
            target.at(address),
            content=one.body,
            headers={"host": target.host_header, **_headers(one)},
            extensions={"sni_hostname": target.host},
        )
        answer = await client.send(request, stream=True)
        await answer.aclose()
    return _outcome(answer)


def _headers(one: Parcel) -> dict[str, str]:
    now = int(time.time())
    secrets = [unseal(sealed) for sealed in one.sealed_secrets]
    return {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": one.webhook_id,
        "webhook-timestamp": str(now),
        "webhook-signature": signing.signatures(secrets, one.webhook_id, now, one.body),
    }


def _outcome(answer: httpx.Response) -> Outcome:
    status = answer.status_code
    if 200 <= status < 300:
        return Outcome(status)
    error = "redirected" if 300 <= status < 400 else f"answered {status}"
    return Outcome(status, error, _retry_after(answer.headers.get("retry-after", "")))


def _retry_after(value: str) -> float:
    """Return the seconds that a Retry-After asks for, a number or a date; 0 for anything else."""
    if value.isascii() and value.isdecimal() and len(value) < 10:
        return float(value)
    try:
        wanted = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    wanted = wanted if wanted.tzinfo else wanted.replace(tzinfo=UTC)
    return max(0.0, (wanted - datetime.now(UTC)).total_seconds())


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@cache
def _tls() -> ssl.SSLContext:
    """Return the context that checks certificates; reading the authorities takes long, so once in a process."""
    return httpx.create_ssl_context(trust_env=False)
