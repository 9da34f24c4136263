"""A small REST caller over Django's test client, with a key."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client


class Api:
    """`Api(key).post("/prompts", {...})`; the answers have `.status_code`, `.json()`, `.headers`."""

    def __init__(self, key: str = "", **headers: str) -> None:
        self.client = Client(headers={**({"x-api-key": key} if key else {}), **headers})

    def _send(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        raw = body if isinstance(body, bytes) else json.dumps(body if body is not None else {}).encode()
        return self.client.generic(method, path, raw, content_type="application/json", headers=headers or None)

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(path, headers=headers or None)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self._send("POST", path, body, **headers)

    def put(self, path: str, body: Any = None, **headers: str) -> Any:
        return self._send("PUT", path, body, **headers)

    def patch(self, path: str, body: Any = None, **headers: str) -> Any:
        return self._send("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self._send("DELETE", path, b"", **headers)
