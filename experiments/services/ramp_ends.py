"""The end of the experiment under a gradual launch that gave everyone the new text."""

from __future__ import annotations

from django.db import transaction

from experiments.models import Experiment, Ramp
from experiments.services import lifecycle
from promptlab.accounts.access import SYSTEM
from promptlab.audit.recorder import record
from prompts.services.environments import lock, next_revision


def end_experiment(ramp: Ramp) -> None:
    """End the experiment of a launch that is complete. Again changes nothing."""
    if ramp.state != Ramp.State.COMPLETED:
        return
    with transaction.atomic():
        lock(ramp.experiment.environment)
        experiment: Experiment = Experiment.objects.select_for_update(no_key=True).get(pk=ramp.experiment_id)
        if experiment.is_serving:
            before = {"state": experiment.state}
            lifecycle.set_state(experiment, Experiment.State.STOPPED, "The new version is live for everyone.")
            after = {"state": experiment.state, "revision": next_revision(experiment.environment)}
            record(SYSTEM, "experiment.stop", experiment, team_id=experiment.team_id, before=before, after=after)
