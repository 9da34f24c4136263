"""Forgetting who somebody was: the sums stay, the name goes."""

from __future__ import annotations

from experiments.models import Experiment, ExperimentUnit
from prompts.services.environments import lock, next_revision


def rename_unit(team_id: int, unit_id: str, stands_for: str) -> int:
    """Let another name stand for a unit in a team's experiments; return in how many rows. In the caller's transaction."""
    rows = ExperimentUnit.objects.filter(experiment__team_id=team_id, unit_id=unit_id)
    renamed: int = rows.update(unit_id=stands_for)
    return renamed + _off_the_lists(team_id, unit_id)


def _off_the_lists(team_id: int, unit_id: str) -> int:
    """Take a unit from the lists of those who try variants out, and from all that is delivered with them."""
    lists = Experiment.objects.filter(team_id=team_id).exclude(overrides={}).order_by("environment_id", "pk")
    named = [one for one in lists.select_related("environment") if unit_id in one.overrides]
    for environment in {one.environment_id: one.environment for one in named}.values():
        lock(environment)
    found = 0
    for one in (
        Experiment.objects.select_for_update(no_key=True).filter(pk__in=[one.pk for one in named]).order_by("pk")
    ):
        if one.overrides.pop(unit_id, None) is not None:
            one.save(update_fields=["overrides"])
            found += 1
            if one.is_serving:
                next_revision(one.environment)
    return found
