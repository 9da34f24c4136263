"""Named questions about experiments."""

from __future__ import annotations

from typing import Self

from prompts.querysets import OfTeam

SERVING = ("running", "paused")
"""States in which the experiment is part of what is delivered."""


class ExperimentQuerySet(OfTeam):
    path = "team_id"
    seen_with = "prompt__"

    def serving(self) -> Self:
        """Return running and paused experiments."""
        return self.filter(state__in=SERVING)

    def with_names(self) -> Self:
        """Return experiments with what a list shows of each: two queries."""
        named = self.select_related("prompt", "environment", "owner", "namespace", "kept_variant")
        return named.prefetch_related("variants__version")


class VariantQuerySet(OfTeam):
    path = "experiment__team_id"
    seen_with = "experiment__prompt__"

    def serving_in(self, environment_id: int) -> Self:
        """Return the variants of all experiments running or paused there, of each the control first, in one query."""
        where = self.filter(experiment__environment_id=environment_id, experiment__state__in=SERVING)
        return where.select_related("experiment__namespace", "version__prompt").order_by("experiment_id", "position")

    def serving_on(self, prompt_id: int, environment_id: int) -> Self:
        """Return the variants of the experiment running or paused there, control first, in one query."""
        return (
            self.filter(
                experiment__prompt_id=prompt_id,
                experiment__environment_id=environment_id,
                experiment__state__in=SERVING,
            )
            .select_related("experiment__namespace", "version__prompt")
            .order_by("position")
        )


class RollupQuerySet(OfTeam):
    path = "prompt__team_id"
    seen_with = "prompt__"


class UnitQuerySet(OfTeam):
    path = "experiment__team_id"


class AnalysisQuerySet(OfTeam):
    path = "experiment__team_id"
    seen_with = "experiment__prompt__"

    def newest_of(self, experiment_id: int, phase: int) -> Self:
        """Return the analyses of one phase, newest first."""
        return self.filter(experiment_id=experiment_id, phase=phase).order_by("-as_of", "-pk")


class SharedResultsQuerySet(OfTeam):
    path = "experiment__team_id"
    seen_with = "experiment__prompt__"


class ConclusionRequestQuerySet(OfTeam):
    path = "experiment__team_id"
    seen_with = "experiment__prompt__"

    def open(self) -> Self:
        """Return those that wait for another person."""
        return self.filter(state="open")

    def with_names(self) -> Self:
        """Return requests with what a page shows of each."""
        return self.select_related("experiment__prompt", "experiment__environment", "keep__version")


class RampQuerySet(OfTeam):
    path = "experiment__team_id"
    seen_with = "experiment__prompt__"

    def open(self) -> Self:
        """Return those that run or wait for a person."""
        return self.filter(state__in=("running", "held"))

    def unfinished(self) -> Self:
        """Return those that are live for everyone while their experiment has not been ended yet."""
        return self.filter(state="completed", experiment__state__in=SERVING)

    def with_names(self) -> Self:
        """Return ramps with what a list shows of each: two queries."""
        names = self.select_related("experiment__prompt", "experiment__environment")
        return names.prefetch_related("experiment__variants__version")


class RampDecisionQuerySet(OfTeam):
    path = "ramp__experiment__team_id"
