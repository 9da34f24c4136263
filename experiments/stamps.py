"""A payload at a later revision: what went live elsewhere changes its number and its receipts, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from experiments import receipts


def stamped(body: bytes, revision: int) -> bytes:
    """Return the payload as it is loaded at `revision` if nothing about its prompt has changed. Raises ReceiptInvalid."""
    payload: dict[str, Any] = json.loads(body)
    experiment = payload["experiment"]
    for prompt in (payload, *(variant["prompt"] for variant in (experiment["variants"] if experiment else ()))):
        if prompt.get("receipt"):
            prompt["receipt"] = receipts.write(replace(receipts.read(prompt["receipt"]), revision=revision))
    payload["revision"] = revision
    return encoded(payload)


def encoded(payload: dict[str, Any]) -> bytes:
    """Return a payload as it is sent: the same bytes in every process."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
