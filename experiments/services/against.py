"""Does a conclusion say something else than the numbers did? Asked of the newest analysis that was kept."""

from __future__ import annotations

from experiments.models import AnalysisSnapshot, Experiment
from experiments.stats.verdict import Said, Verdict

Outcome = Experiment.Outcome


def said_last(experiment: Experiment) -> Said | None:
    """Return the last verdict on the phase while it ran; None where nothing was analysed. One query."""
    kept = AnalysisSnapshot.objects.newest_of(experiment.pk, experiment.phase).exclude(verdict=Verdict.ENDED)
    results = kept.values_list("results", flat=True).first()
    return Said(Verdict(results["verdict"]), results["about"]) if results else None


def is_against(said: Said | None, outcome: str, keep: str, *, keeps_control: bool) -> bool:
    """Tell whether a conclusion contradicts what was said: it keeps a text that lost, or claims what was not shown.

    To keep the current text while nothing is shown yet contradicts nothing. When the planned end has passed undecided,
    people decide.
    """
    if said is None or said.verdict in (Verdict.NOT_STARTED, Verdict.OVERDUE, Verdict.ENDED):
        return False
    if said.verdict == Verdict.AHEAD:
        return outcome != Outcome.WON or keep != said.about
    if said.verdict == Verdict.WORSE:
        return keep == said.about or outcome in (Outcome.WON, Outcome.NO_DIFFERENCE)
    if said.verdict == Verdict.NO_DIFFERENCE:
        return outcome in (Outcome.WON, Outcome.LOST)
    return outcome == Outcome.WON or not keeps_control
