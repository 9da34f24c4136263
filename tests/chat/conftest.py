"""A counter where one prompt is live, and a caller who talks over it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from promptlab.accounts.models import Team
from promptlab.chat.models import Message
from promptlab.lib.asgi import HotRoutes
from prompts.models import Environment, Prompt
from tests.chat.openai_desk import desk  # noqa: F401  (a fixture)
from tests.support.asgi import Answer, acall
from tests.support.make import make_key, make_live, make_prompt, make_team


@dataclass
class Counter:
    """`counter.say("Hello")` is one turn with the prompt `greeting`, which is live in Production."""

    application: HotRoutes
    team: Team
    prompt: Prompt
    production: Environment
    key: str

    def say(self, message: Any = "Hello", *, key: str = "", gone_after: int | None = None, **body: Any) -> Answer:
        return asyncio.run(self.asay(message, key=key, gone_after=gone_after, **body))

    async def asay(
        self, message: Any = "Hello", *, key: str = "", gone_after: int | None = None, **body: Any
    ) -> Answer:
        said = {"prompt": "greeting", "variables": {"name": "Ann"}, "message": message, **body}
        return await self.send(said, key=key, gone_after=gone_after)

    async def send(self, body: Any, *, key: str = "", gone_after: int | None = None) -> Answer:
        target = "/api/v1/chat"
        return await acall(self.application, "POST", target, key=key or self.key, body=body, gone_after=gone_after)

    def watched(self, look: Callable[[dict[str, Any]], Awaitable[None]]) -> Counter:
        """Return the same counter, where `look` sees each message of the server before it is sent."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            async def seen(message: Any) -> None:
                await look(message)
                await send(message)

            await self.application(scope, receive, seen)

        return Counter(application, self.team, self.prompt, self.production, self.key)  # type: ignore[arg-type]


@pytest.fixture
def counter(transactional_db: None, application: HotRoutes) -> Counter:
    team = make_team()
    prompt = make_prompt(team, "Greet {{name}}.", title="Greeting")
    assert prompt.newest is not None
    return Counter(application, team, prompt, make_live(prompt.newest), make_key(team, "chat", "read")[1])


def text_of(answer: Answer) -> str:
    """The tokens of an answer, put together."""
    return "".join(event.get("token", "") for event in answer.events())


def answers() -> list[Message]:
    """The rows of answers, oldest first."""
    return list(Message.objects.filter(role="assistant").order_by("id"))
