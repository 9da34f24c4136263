"""Named questions about test suites and their runs."""

from __future__ import annotations

from datetime import date
from typing import Any, Self

from django.db.models import Exists, OuterRef, Q

from prompts.querysets.base import OfTeam, counted, model_named
from prompts.querysets.run import RunQuerySet


class SuiteQuerySet(OfTeam):
    """Test suites. One of a prompt is as private as the prompt."""

    seen_with = "prompt__"

    def active(self) -> Self:
        """Return what is not archived."""
        return self.filter(archived_at=None)

    def for_prompt(self, prompt: Any) -> Self:
        """Return the suites that fit a prompt: its own, and those of all prompts of its team."""
        return self.active().filter(Q(prompt=prompt) | Q(prompt=None), team=prompt.team_id)

    def with_counts(self) -> Self:
        """Annotate `case_count`, and fetch the prompt."""
        return self.select_related("prompt").annotate(
            case_count=counted(model_named("SuiteCase").objects.all(), "suite")
        )


class SuiteCaseQuerySet(OfTeam):
    path = "suite__team_id"
    seen_with = "suite__prompt__"

    def with_checks(self) -> Self:
        """Return cases with their checks: two queries."""
        return self.prefetch_related("checks")


class SuiteCheckQuerySet(OfTeam):
    path = "suite__team_id"
    seen_with = "suite__prompt__"


class SuiteRunQuerySet(RunQuerySet):
    path = "suite__team_id"

    def with_names(self) -> Self:
        """Return runs with everything a sentence about them needs, without their plans."""
        return self.select_related("suite", "version__prompt", "environment").defer("plan")

    def with_counts(self) -> Self:
        """Annotate how many results there are, by state: `total`, `passed`, `failed`, `errors`, `lost`, `done`."""
        rows = model_named("SuiteResult").objects.all()
        ended = ("passed", "failed", "error", "lost", "cancelled")
        return self.annotate(
            total=counted(rows, "run"),
            passed=counted(rows.filter(state="passed"), "run"),
            failed=counted(rows.filter(state="failed"), "run"),
            errors=counted(rows.filter(state="error"), "run"),
            lost=counted(rows.filter(state="lost"), "run"),
            done=counted(rows.filter(state__in=ended), "run"),
        )


class SuiteResultQuerySet(OfTeam):
    path = "run__suite__team_id"
    seen_with = "run__version__prompt__"


class GoldenRunQuerySet(OfTeam):
    path = "suite__team_id"
    seen_with = "version__prompt__"

    def with_names(self) -> Self:
        """Return nightly runs with everything a sentence about them needs."""
        return self.select_related("environment", "suite", "version__prompt")

    def drifting(self, since: date) -> Self:
        """Return what was found worse since a night, and is live there still; the newest first."""
        pointers = model_named("Deployment").objects.filter(
            version=OuterRef("version"), environment=OuterRef("environment")
        )
        return self.filter(Exists(pointers), verdict="drift", night__gte=since).order_by("-night", "-id")
