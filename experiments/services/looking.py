"""When the guard looks: as soon as an experiment's sums have changed, and no more than once a second.

What changes within that second is looked at when it is over. The tick is the net for looks that are lost.
"""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from experiments.models import Experiment, Ramp
from experiments.services import pausing, ramping
from experiments.services.rollups import LOOK_TASK
from promptlab.lib.queue import enqueue_on_commit

GAP = timedelta(seconds=1)


def look(experiment_id: int, *, is_due: bool = False) -> bool:
    """Look at one experiment now, or put it off; return whether it was looked at. `is_due`: it had been put off.

    `looks_at` in the future: somebody will look after what is committed now, and sees it.
    """
    if not is_due and not _may_look(experiment_id):
        return False
    ramp_id = Ramp.objects.filter(experiment_id=experiment_id).values_list("pk", flat=True).first()
    if ramp_id is None:
        pausing.check(experiment_id)
    else:
        ramping.tick(ramp_id)
    return True


def _may_look(experiment_id: int) -> bool:
    """Return whether it is this caller's turn; one of those who come too early looks when the second is over."""
    now = timezone.now()
    running = Experiment.objects.filter(pk=experiment_id, state=Experiment.State.RUNNING)
    if running.filter(Q(looks_at=None) | Q(looks_at__lte=now - GAP)).update(looks_at=now):
        return True
    if running.filter(looks_at__lte=now).update(looks_at=now + GAP):
        enqueue_on_commit(LOOK_TASK, experiment_id, 1, after_s=GAP.total_seconds())
    return False
