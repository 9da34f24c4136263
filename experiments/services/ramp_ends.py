"""The end of the experiment under a gradual launch that gave everyone the new text."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext_noop

from experiments.models import Experiment, Ramp
from experiments.services import lifecycle
from experiments.services.ramp_rules import Reason
from promptlab.accounts.access import SYSTEM
from promptlab.audit.recorder import record
from prompts.services.environments import lock, next_revision

LIVE_FOR_EVERYONE = gettext_noop("The new version is live for everyone.")
SENT_BACK = {
    "guard_approval": gettext_noop("Sent back: users like it less, proven."),
    "guard_success": gettext_noop("Sent back: answers fail more often, proven."),
    "guard_latency": gettext_noop("Sent back: users wait longer, proven."),
    "guard_format": gettext_noop("Sent back: answers keep their format less often, proven."),
    Reason.BY_HAND: gettext_noop("Sent back by hand."),
}
"""Rule of a decision -> why the experiment under the launch ended, where nobody said it; pages translate it."""


def end_experiment(ramp: Ramp) -> None:
    """End the experiment of a launch that is complete. Again changes nothing."""
    if ramp.state != Ramp.State.COMPLETED:
        return
    with transaction.atomic():
        lock(ramp.experiment.environment)
        experiment: Experiment = Experiment.objects.select_for_update(no_key=True).get(pk=ramp.experiment_id)
        if experiment.is_serving:
            before = {"state": experiment.state}
            lifecycle.set_state(experiment, Experiment.State.STOPPED, LIVE_FOR_EVERYONE)
            after = {"state": experiment.state, "revision": next_revision(experiment.environment)}
            record(SYSTEM, "experiment.stop", experiment, team_id=experiment.team_id, before=before, after=after)
