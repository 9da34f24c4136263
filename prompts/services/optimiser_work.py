"""Working on improvements. What a kind of run does is in its own module, and is found by its kind here.

Who takes over from a process that died goes through the run from its beginning: answers are found by their keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from promptlab.hooks.services.outbox import emit
from prompts.models import OptimiserCall, OptimiserRun
from prompts.services import pairing, searching, suggesting
from prompts.services.driving import Driver
from prompts.services.optimiser_desk import Desk
from prompts.services.optimising import RUN_TASK
from prompts.services.running import Hold
from prompts.services.suite_caller import Caller

SWEEP_TASK: Final = "prompts.sweep_optimiser_runs"
Kind = OptimiserRun.Kind
KINDS: Final[Mapping[str, Callable[[Desk], None]]] = {
    Kind.SUGGESTION: suggesting.work,
    Kind.SEARCH: searching.work,
    Kind.PAIR: pairing.work,
}
"""What each kind does. It may be called again from its beginning; it ends by returning, or by raising DomainError."""


def _work(hold: Hold, caller: Caller) -> None:
    run = OptimiserRun.objects.select_related("version__prompt").get(pk=hold.run_id)
    KINDS[run.kind](Desk(run, hold, caller))


def _tell(run_id: int) -> None:
    """Tell webhooks that a run is over."""
    run = OptimiserRun.objects.select_related("version__prompt__collection").get(pk=run_id)
    prompt = run.version.prompt
    told = {"run": run.pk, "kind": run.kind, "prompt": prompt.name, "version": run.version.number, "state": run.state}
    emit(
        prompt.team_id,
        "optimiser.ended",
        {**told, "actor": run.requested_label},
        about=f"prompts/{prompt.name}",
        is_private=prompt.is_private,
    )


_driver = Driver(OptimiserRun.objects.all, OptimiserCall.objects.all, RUN_TASK, _work, _tell)
work_on = _driver.work_on
sweep = _driver.sweep
