"""Short signed tokens for addresses and bodies: facts that anybody may carry and nobody can change.

The first of `SIGNING_KEYS` signs, all of them verify, so that a key is rotated by putting a new one in front.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from functools import lru_cache

from django.conf import settings

Fact = str | int
MAC_BYTES = 16
"""Of HMAC-SHA256; 128 bits cannot be guessed."""
MAX_TOKEN = 1_000


class BadToken(ValueError):
    """This is not a token that we signed for this purpose."""


def sign(purpose: str, facts: Sequence[Fact]) -> str:
    """Return `payload.signature`, both in URL-safe base64 without padding. The same facts give the same token."""
    payload = _encoded(json.dumps(list(facts), separators=(",", ":"), ensure_ascii=False).encode())
    return f"{payload}.{_encoded(_mac(settings.SIGNING_KEYS[0], purpose, payload))}"


def read(purpose: str, token: str) -> list[Fact]:
    """Return the facts of a token. Raises BadToken for anything that was not signed here for this purpose."""
    payload, dot, signature = token.partition(".")
    if not dot or len(token) > MAX_TOKEN or not token.isascii():
        raise BadToken
    try:
        mac = _decoded(signature)
    except (binascii.Error, ValueError) as error:
        raise BadToken from error
    # All keys are tried, whether one fits or not.
    fits = [hmac.compare_digest(mac, _mac(key, purpose, payload)) for key in settings.SIGNING_KEYS]
    # The text must be the one we write, too: base64 has several spellings of the same bytes.
    if not any(fits) or _encoded(mac) != signature:
        raise BadToken
    facts: list[Fact] = json.loads(_decoded(payload))
    return facts


def pseudonym(purpose: str, text: str) -> str:
    """Return 16 hexadecimal characters that stand for `text`, the same each time, from which it cannot be told."""
    return _mac(settings.SIGNING_KEYS[-1], f"{purpose}.pseudonym", text)[:8].hex()


def mac(purpose: str, text: str) -> str:
    """Return what proves that we wrote `text` for this purpose: 22 characters of URL-safe base64."""
    return _encoded(_mac(settings.SIGNING_KEYS[0], purpose, text))


def is_ours(purpose: str, text: str, given: str) -> bool:
    """Tell whether `given` is what `mac` returned for the text, under any of the keys."""
    proof = given.encode("ascii", "replace")
    fits = [hmac.compare_digest(proof, _encoded(_mac(key, purpose, text)).encode()) for key in settings.SIGNING_KEYS]
    return any(fits)


def _mac(key: str, purpose: str, payload: str) -> bytes:
    return hmac.digest(_derived(key, purpose), payload.encode(), hashlib.sha256)[:MAC_BYTES]


@lru_cache(maxsize=64)
def _derived(key: str, purpose: str) -> bytes:
    """Return a key for one purpose, so that a token for one is never a token for another."""
    return hmac.digest(key.encode(), f"promptlab.{purpose}".encode(), hashlib.sha256)


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
