"""Answers for people who try a prompt on a page: in an event loop of their own, where the thread that asks has none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from promptlab import llm
from promptlab.chat.services.ending import settled
from promptlab.chat.services.turn import Done, TurnPlan, whole_turn
from promptlab.lib.errors import DomainError


def answer_whole(plan: TurnPlan) -> Done:
    """Return the whole answer; the thread waits for it. Raises what it failed with."""
    return asyncio.run(_answered(plan))


def answer_all(plans: Sequence[TurnPlan]) -> list[DomainError | None]:
    """Have the whole answers, asked at the same time; return what each failed with, None for one that is there."""
    found = asyncio.run(_all_answered(plans))
    for one in found:
        if isinstance(one, BaseException) and not isinstance(one, DomainError):
            raise one
    return [one if isinstance(one, DomainError) else None for one in found]


async def leave_loop() -> None:
    """Write how the last answers of the running event loop ended, and close its connections: it is needed no more."""
    await llm.aclose()
    await settled()


async def _answered(plan: TurnPlan) -> Done:
    try:
        return await whole_turn(plan)
    finally:
        await leave_loop()


async def _all_answered(plans: Sequence[TurnPlan]) -> list[Done | BaseException]:
    try:
        return await asyncio.gather(*(whole_turn(plan) for plan in plans), return_exceptions=True)
    finally:
        await leave_loop()
