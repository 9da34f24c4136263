"""Traffic for gradual launches: what chat and feedback add to the sums, without the talking."""

from __future__ import annotations

from datetime import datetime
from itertools import count

from django.db import transaction
from django.utils import timezone

from experiments.models import Ramp, Variant
from experiments.services import ramping
from experiments.services.hours import Served
from experiments.services.rollups import Observation, add_observations
from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from tests.support.make import make_live, make_prompt, make_version

_units = count(1)


def make_ramp(team: Team, title: str = "Greeting", **fields: object) -> Ramp:
    """Return a running launch of version 2 in Production, where version 1 is live."""
    prompt = make_prompt(team, title=title)
    where = make_live(prompt.newest)
    return ramping.start_ramp(SYSTEM, make_version(prompt), where, **fields)  # type: ignore[arg-type]


def feed(
    ramp: Ramp,
    key: str,
    users: int,
    *,
    ups: int = 0,
    ratings: int = 0,
    errors: int = 0,
    latency_ms: int = 0,
    at: datetime | None = None,
) -> None:
    """Let so many new users ask for one text once; of them `errors` met an error, `ratings` rated, `ups` with thumbs up."""
    moment = at or timezone.now()
    served = served_by(ramp.experiment.variants.get(key=key))
    seen = []
    for number in range(users):
        unit = f"u{next(_units)}"
        # Waits differ a little, as they do: where all are alike nothing can be said of them.
        wait = latency_ms + number % 7 if latency_ms else 0
        seen.append(
            Observation(served, unit, moment, requests=1, shown=1, errors=int(number < errors), latency_ms=wait)
        )
        if number < ratings:
            seen.append(Observation(served, unit, moment, ratings=1, ups=int(number < ups)))
    with transaction.atomic():
        add_observations(seen)


def served_by(variant: Variant) -> Served:
    """Return what an event of the variant says it was shown."""
    experiment = variant.experiment
    return Served(
        experiment.prompt_id, experiment.environment_id, variant.version_id, experiment.pk, experiment.phase, variant.pk
    )
