"""Answers for people who try a prompt on a page: in an event loop of their own, where the thread that asks has none."""

from __future__ import annotations

import asyncio

from promptlab import llm
from promptlab.chat.services.ending import settled
from promptlab.chat.services.turn import Done, TurnPlan, whole_turn


def answer_whole(plan: TurnPlan) -> Done:
    """Return the whole answer; the thread waits for it. Raises what it failed with."""
    return asyncio.run(_answered(plan))


async def leave_loop() -> None:
    """Write how the last answers of the running event loop ended, and close its connections: it is needed no more."""
    await llm.aclose()
    await settled()


async def _answered(plan: TurnPlan) -> Done:
    try:
        return await whole_turn(plan)
    finally:
        await leave_loop()
