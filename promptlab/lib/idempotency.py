"""Idempotency keys as callers send them (draft-ietf-httpapi-idempotency-key-header)."""

from __future__ import annotations

import hashlib
import json

from promptlab.lib.errors import Invalid
from promptlab.lib.jsonbody import JSONValue

HEADER = "idempotency-key"
MAX_KEY = 255
REPLAYED = {"Idempotent-Replayed": "true"}
"""The header of an answer that was given before."""


def key_in(header: str) -> str:
    """Return the key in a header: a structured string (RFC 9651), or the same without its quotes; "" without one.

    Raises Invalid for a key that is malformed.
    """
    said = header.strip()
    bare = said
    if said.startswith('"'):
        bare = said[1:-1].replace('\\"', '"').replace("\\\\", "\\")
        if len(said) < 3 or not said.endswith('"'):
            raise Invalid.field("Idempotency-Key", "The key begins with a quote and does not end with one.")
    if not bare.isascii() or not bare.isprintable() or len(bare) > MAX_KEY:
        raise Invalid.field("Idempotency-Key", f"A key is 1 to {MAX_KEY} printable ASCII characters.")
    return bare


def fingerprint(body: JSONValue) -> str:
    """Return what stands for a body, whatever the order of its keys: 64 hexadecimal characters."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
