"""Forgetting who somebody was: the sums stay, the name goes."""

from __future__ import annotations

from experiments.models import ExperimentUnit


def rename_unit(team_id: int, unit_id: str, stands_for: str) -> int:
    """Let another name stand for a unit in a team's experiments; return in how many rows. In the caller's transaction."""
    rows = ExperimentUnit.objects.filter(experiment__team_id=team_id, unit_id=unit_id)
    renamed: int = rows.update(unit_id=stands_for)
    return renamed
