"""PromptLab as it is, but that `POST /feedback` acknowledges without storing: what the route costs without the rows."""

from __future__ import annotations

from collections.abc import Sequence

from promptlab.asgi import application  # isort: skip  # the apps have to be loaded before their models

from feedback.services.buffer import Buffer
from feedback.services.ingest import Accepted, Outcome, Said

__all__ = ["application"]


async def acknowledge(self: Buffer, said: Sequence[Said]) -> list[Outcome]:
    return [Accepted("0" * 36, rating.message_id, rating.metric, rating.value) for _, rating in said]


Buffer.submit = acknowledge  # type: ignore[method-assign]
