"""From the pieces of a stream to whole calls of tools, in the form of the chat completions API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from promptlab.llm.types import Json


def assembled(pieces: Iterable[Json]) -> tuple[Json, ...]:
    """Return the calls that the pieces make up, in the order they began. What a call has no name for is left out."""
    calls: dict[object, dict[str, Any]] = {}
    for piece in pieces:
        call = calls.setdefault(piece.get("index"), {"id": "", "type": "function", "name": "", "arguments": []})
        function = piece.get("function")
        said = function if isinstance(function, dict) else {}
        call["id"] = call["id"] or piece.get("id") or ""
        call["type"] = piece.get("type") or call["type"]
        call["name"] = call["name"] or said.get("name") or ""
        call["arguments"].append(said.get("arguments") or "")
    return tuple(_whole(call) for call in calls.values() if call["name"])


def _whole(call: dict[str, Any]) -> Json:
    function = {"name": call["name"], "arguments": "".join(call["arguments"])}
    return {"id": call["id"], "type": call["type"], "function": function}
