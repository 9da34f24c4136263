"""The same service as people write it in an afternoon: FastAPI, a dictionary of prompts, a dictionary of keys."""

from __future__ import annotations

import hashlib
import os
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response

TEXT = "Summarise the email below in one sentence, for somebody who has no time.\n\n{{email}}\n\n" + "Be kind. " * 210
KEYS = {hashlib.sha256(os.environ.get("BENCH_KEY", "").encode()).hexdigest(): "bench"}
application = FastAPI()


def prompt(name: str) -> dict[str, Any]:
    """Return what is served under a name: as many fields as ours."""
    return {
        "name": name, "version": 1, "version_string": "", "type": "text", "prompt_text": TEXT, "messages": [],
        "model": "", "parameters": {}, "variables": {"email": {"type": "string", "required": True}},
        "sha256": "0" * 64, "environment": "production", "revision": 1, "experiment": None,
    }  # fmt: skip


PROMPTS = {
    ("production", f"bench-{number}"): prompt(f"bench-{number}")
    for number in range(int(os.environ.get("BENCH_PROMPTS", "10")))
}


def caller(x_api_key: Annotated[str, Header()]) -> str:
    found = KEYS.get(hashlib.sha256(x_api_key.encode()).hexdigest())
    if found is None:
        raise HTTPException(401)
    return found


@application.get("/api/v1/prompts/{name}/deployed")
async def deployed(
    name: str,
    request: Request,
    response: Response,
    who: Annotated[str, Depends(caller)],
    environment: str = "production",
) -> Any:
    found = PROMPTS.get((environment, name))
    if found is None:
        raise HTTPException(404)
    etag = f'"{found["sha256"]}"'
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers={"ETag": etag})
    response.headers["ETag"] = etag
    return found
