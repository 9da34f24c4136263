"""A desk where the unmodified `openai` client talks to us over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from openai import OpenAI

from promptlab.accounts.models import Team
from promptlab.chat.models import Message
from promptlab.lib.asgi import HotRoutes
from prompts.models import Environment, Prompt
from tests.support.make import make_key, make_live, make_prompt, make_team
from tests.support.serving import serving


@dataclass
class Desk:
    """`desk.client` has a key for chatting in a team where the prompt `greeting` is live in Production."""

    base: str
    team: Team
    prompt: Prompt
    production: Environment
    key: str
    client: OpenAI

    def client_with(self, key: str, **options: Any) -> OpenAI:
        """Return another client; it never repeats a call by itself."""
        return OpenAI(base_url=f"{self.base}/v1", api_key=key, **{"max_retries": 0, **options})

    def send(self, method: str, path: str, *, key: str = "", **options: Any) -> httpx2.Response:
        """Return the bare answer to a request, for what a client does not show."""
        headers = {"Authorization": f"Bearer {key or self.key}", **options.pop("headers", {})}
        return httpx2.request(method, f"{self.base}{path}", headers=headers, timeout=20, **options)


@pytest.fixture
def desk(transactional_db: None, application: HotRoutes) -> Iterator[Desk]:
    team = make_team()
    prompt = make_prompt(team, "Greet {{name}}.", title="Greeting")
    assert prompt.newest is not None
    production, key = make_live(prompt.newest), make_key(team, "chat")[1]
    with serving(application) as base:
        found = Desk(base, team, prompt, production, key, None)  # type: ignore[arg-type]
        found.client = found.client_with(key)
        with found.client:
            yield found


def answers() -> list[Message]:
    """The rows of answers, oldest first."""
    return list(Message.objects.all().answers().order_by("id"))


def sent(request: Any) -> list[tuple[str, str]]:
    """What a scripted model was asked: roles and texts."""
    return [(one.role, one.content) for one in request.messages]
