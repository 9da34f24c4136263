"""How an answer begins: its rows are written before anything is sent, those of calls that arrive together by one statement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from django.db import DatabaseError, InterfaceError, OperationalError

from promptlab.chat.errors import BudgetUsedUp
from promptlab.chat.services.reserving import note_refusal
from promptlab.chat.services.writing import First, write_first
from promptlab.lib.gathering import Gathering
from promptlab.lib.threads import run_db

P = TypeVar("P")
Away = (OperationalError, InterfaceError)


@dataclass(frozen=True, slots=True)
class Draft(Generic[P]):
    """A call that was looked at. When the rows of `first` stand, `plan` returns what becomes of it.

    Without `first`, `plan` writes the rows itself, because it may have to wait for others: a conversation, a budget.
    """

    plan: Callable[[], P]
    first: First | None = None

    def written(self) -> P:
        """Write the rows and return the plan. Raises what `plan` raises."""
        if self.first is not None:
            write_first([self.first])
        return self.plan()


@dataclass(slots=True)
class _Begun:
    """One of a group: in whose context it runs, and what became of it so far."""

    context: Context
    result: Any

    def go_on(self, act: Callable[..., Any], *args: Any) -> None:
        try:
            self.result = self.context.run(act, *args)
        except Exception as error:  # noqa: BLE001  (whoever waits raises it)
            self.result = error

    @property
    def first(self) -> First | None:
        return self.result.first if isinstance(self.result, Draft) else None


async def begin(draft: Callable[[], Draft[P]]) -> P:
    """Return the plan of a call, when its rows stand. Raises what the draft and its plan raise."""
    found = await _gathering.join((copy_context(), draft))
    if isinstance(found, Draft):
        return await run_db(_written_alone, cast(Draft[P], found))
    return cast(P, found)


def _written_alone(draft: Draft[P]) -> P:
    """Write what has to wait for others. That a budget refuses it is told when nothing of it stands any more."""
    try:
        return draft.written()
    except BudgetUsedUp as refusal:
        note_refusal(refusal)
        raise


def _begin_together(given: Sequence[tuple[Context, Callable[[], Draft[Any]]]]) -> Sequence[Any]:
    group = [_Begun(context, None) for context, _ in given]
    for number, (one, (_, draft)) in enumerate(zip(group, given, strict=True)):
        one.go_on(draft)
        if isinstance(one.result, Away):
            # Each of the others would wait for the database as long as this one did.
            return [*(other.result for other in group[:number]), *[one.result] * (len(group) - number)]
    new = [one for one in group if one.first is not None]
    if new:
        _write(new)
    return [one.result for one in group]


def _write(new: Sequence[_Begun]) -> None:
    """Write the rows of all of them; where one of them cannot be written, each for itself."""
    drafts = [cast(Draft[Any], one.result) for one in new]
    try:
        write_first([draft.first for draft in drafts if draft.first is not None])
    except Away:
        raise
    except (DatabaseError, ValueError):
        for one, draft in zip(new, drafts, strict=True):
            one.go_on(draft.written)
        return
    for one, draft in zip(new, drafts, strict=True):
        one.go_on(draft.plan)


_gathering: Gathering[tuple[Context, Callable[[], Draft[Any]]], Any] = Gathering.in_database(
    _begin_together, most=25, at_once=2
)
"""While one group waits for the database, the other one is thought through."""
