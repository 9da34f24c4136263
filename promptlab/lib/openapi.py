"""The API's description: only `/api/v1`, with the routes that Django does not see, and the errors everybody shares."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from django.conf import settings
from drf_spectacular.openapi import AutoSchema

PROBLEM = "Problem"
ERRORS = {
    "400": "The input is wrong; `errors` names the fields.",
    "401": "No key, or one that is not valid.",
    "403": "The key or role does not allow this.",
    "404": "Not found, or not yours to see.",
    "429": "Too many calls; `Retry-After` says how long to wait.",
    "503": "The database does not answer; `Retry-After` says when to try again.",
}

COLUMN_SIZES = frozenset({2**15 - 1, 2**31 - 1, 2**63 - 1})

hot_paths: dict[str, dict[str, Any]] = {}
"""Operations answered before Django, by path; their modules describe them here."""


class Schema(AutoSchema):
    """Tags operations by the first word of their address."""

    def map_parsers(self) -> list[str]:
        return ["application/json"]

    def get_tags(self) -> list[str]:
        parts = [part for part in self.path.split("/") if part and part not in ("api", "v1")]
        return [parts[0]] if parts else ["other"]


def only_v1(endpoints: list[tuple[str, str, str, Any]], **kwargs: Any) -> list[tuple[str, str, str, Any]]:
    """Keep the addresses under /api/v1; the same ones at the root are a convenience, not another API."""
    return [endpoint for endpoint in endpoints if endpoint[0].startswith("/api/v1/")]


def add_hot_routes(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Add the operations of the hot routes, and drop the `/?` that optional slashes leave in paths."""
    result["paths"] = {path.replace("/?", "").rstrip("/"): item for path, item in result["paths"].items()}
    for path, operations in hot_paths.items():
        result["paths"].setdefault(path, {}).update(operations)
    result["paths"] = dict(sorted(result["paths"].items()))
    return result


def add_errors(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Say of every operation which errors it may answer, and how they look."""
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    schemas[PROBLEM] = _problem()
    content = {"application/problem+json": {"schema": {"$ref": f"#/components/schemas/{PROBLEM}"}}}
    for item in result["paths"].values():
        for operation in item.values():
            for status, description in ERRORS.items():
                operation["responses"].setdefault(status, {"description": description, "content": content})
    result["security"] = [{"key": []}, {"bearer": []}]
    return result


def add_examples(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Show a request and an answer with every operation, from the table in `promptlab/examples`."""
    for item in result["paths"].values():
        for operation in item.values():
            example = examples().get(operation["operationId"], {})
            if "request" in example and "requestBody" in operation:
                _show(operation["requestBody"], example["request"])
            if "response" in example:
                _show(main_answer(operation), example["response"])
    return result


@cache
def examples() -> dict[str, dict[str, Any]]:
    """Return `request` and `response` by operationId: one file a tag. A text is shown as it is, anything else as JSON."""
    files = sorted((settings.BASE_DIR / "promptlab" / "examples").glob("*.json"))
    return {name: one for file in files for name, one in json.loads(file.read_text(encoding="utf-8")).items()}


def main_answer(operation: dict[str, Any]) -> dict[str, Any]:
    """Return what an operation answers when it did what it is for: its success that was described first."""
    answer: dict[str, Any] = next(one for status, one in operation["responses"].items() if status.startswith("2"))
    return answer


def _show(described: dict[str, Any], example: Any) -> None:
    """Put an example beside each media type it can be written in: a text is not JSON, and JSON is no text."""
    for media, content in described.get("content", {}).items():
        if isinstance(example, str) != media.endswith("json"):
            content["example"] = example


def forget_column_sizes(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Drop the limits that come from the database's integers: they differ between databases and promise nothing."""
    _forget(result)
    return result


def _forget(part: Any) -> None:
    if isinstance(part, dict):
        if part.get("maximum") in COLUMN_SIZES:
            part.pop("maximum")
            part.pop("minimum", None)
        if part.get("format") in ("int32", "int64"):
            part.pop("format")
        for value in part.values():
            _forget(value)
    elif isinstance(part, list):
        for value in part:
            _forget(value)


def _problem() -> dict[str, Any]:
    text = {"type": "string"}
    error = {"type": "object", "properties": dict.fromkeys(("field", "pointer", "detail", "code"), text)}
    return {
        "type": "object",
        "required": ["type", "title", "status", "code", "detail", "request_id"],
        "properties": {
            **dict.fromkeys(("type", "title", "code", "detail", "request_id"), text),
            "status": {"type": "integer"},
            "errors": {"type": "array", "items": error},
            "data": {"type": "object"},
        },
    }


def operation(
    summary: str,
    *,
    tag: str,
    body: dict[str, Any] | None = None,
    parameters: tuple[str, ...] = (),
    stream: bool = False,
    status: int = 200,
) -> dict[str, Any]:
    """Return the description of one hot operation. `parameters`: names, `{name}` for those in the path.

    `status`: what its success answers; 204 has no body.
    """
    media, kind = ("text/event-stream", "string") if stream else ("application/json", "object")
    described: dict[str, Any] = {
        "summary": summary,
        "tags": [tag],
        "operationId": summary.lower().replace(" ", "_"),
        "responses": {str(status): {"description": summary}},
        "parameters": [_parameter(name) for name in parameters],
    }
    if status != 204:
        described["responses"][str(status)]["content"] = {media: {"schema": {"type": kind}}}
    if body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return described


def _parameter(name: str) -> dict[str, Any]:
    in_path = name.startswith("{")
    return {
        "name": name.strip("{}"),
        "in": "path" if in_path else "query",
        "required": in_path,
        "schema": {"type": "string"},
    }
