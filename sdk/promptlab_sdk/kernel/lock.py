"""What is signed of a lock file (docs/spec/lock.md)."""

from __future__ import annotations

import hashlib
import hmac
import json

from promptlab_sdk.kernel.spec import JSON


def signature(payload: JSON, created_at: str, key: str | bytes) -> str:
    """Return the HMAC-SHA256, in hex, over the canonical JSON of both (sorted keys, no spaces, UTF-8)."""
    signed = {"payload": payload, "created_at": created_at}
    canonical = json.dumps(signed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    secret = key.encode() if isinstance(key, str) else key
    return hmac.new(secret, canonical.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
