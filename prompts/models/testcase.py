"""Test suites: cases with checks, runs of them over versions and models, and which environments ask for them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.models import Team
from prompts.checks import KINDS
from prompts.models.deployment import Environment
from prompts.models.prompt import Prompt
from prompts.models.running import Run
from prompts.models.version import Version
from prompts.querysets import (
    SuiteCaseQuerySet,
    SuiteCheckQuerySet,
    SuiteQuerySet,
    SuiteResultQuerySet,
    SuiteRunQuerySet,
)


class Suite(models.Model):
    """What answers are held against. Of one prompt, or of all prompts of the team.

    `revision` grows whenever `checksum` changes, which covers cases and checks: verdicts are bound to it.
    """

    team = models.ForeignKey(Team, models.PROTECT, related_name="+", verbose_name=_("team"))
    prompt = models.ForeignKey(
        Prompt, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("prompt")
    )
    name = models.CharField(_("short name"), max_length=100)
    description = models.CharField(_("what it is about"), max_length=500, blank=True)
    revision = models.PositiveIntegerField(_("revision"), default=1)
    checksum = models.CharField(max_length=64, blank=True)
    archived_at = models.DateTimeField(_("archived"), null=True, blank=True)
    created_at = models.DateTimeField(_("made"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    objects = SuiteQuerySet.as_manager()

    class Meta:
        verbose_name = _("test suite")
        verbose_name_plural = _("test suites")
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(fields=["team", "name"], condition=Q(archived_at=None), name="suite_name_once"),
        ]

    def __str__(self) -> str:
        return self.name


class SuiteCase(models.Model):
    """One question: what fills the blanks, what is said after the prompt, and what is expected.

    `is_required`: a version that fails it where the live one passes does not go live. `tags` are words with blanks between.
    """

    suite = models.ForeignKey(Suite, models.CASCADE, related_name="cases", verbose_name=_("test suite"))
    name = models.CharField(_("name"), max_length=100)
    variables = models.JSONField(_("blanks"), default=dict, blank=True)
    messages = models.JSONField(_("what is said"), default=list, blank=True)
    expected = models.TextField(_("expected answer"), blank=True)
    tags = models.CharField(_("tags"), max_length=500, blank=True)
    is_required = models.BooleanField(_("required"), default=False)
    repeats = models.PositiveSmallIntegerField(_("times asked"), default=1)

    objects = SuiteCaseQuerySet.as_manager()

    class Meta:
        verbose_name = _("case")
        verbose_name_plural = _("cases")
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["suite", "name"], name="case_name_once")]

    def __str__(self) -> str:
        return self.name

    @property
    def tag_list(self) -> list[str]:
        return self.tags.split()


class SuiteCheck(models.Model):
    """Something that an answer has to be: of one case, or without one of every case."""

    suite = models.ForeignKey(Suite, models.CASCADE, related_name="checks", verbose_name=_("test suite"))
    case = models.ForeignKey(SuiteCase, models.CASCADE, null=True, blank=True, related_name="checks")
    kind = models.CharField(_("check"), max_length=20, choices=[(kind, kind) for kind in KINDS])
    options = models.JSONField(_("options"), default=dict, blank=True)

    objects = SuiteCheckQuerySet.as_manager()

    class Meta:
        verbose_name = _("check")
        verbose_name_plural = _("checks")
        ordering = ["id"]

    def __str__(self) -> str:
        return self.kind


class RequirementManager(models.Manager["SuiteRequirement"]):
    """Requirements come with their suites: nobody asks for one without its name."""

    def get_queryset(self) -> models.QuerySet[SuiteRequirement]:
        return super().get_queryset().select_related("suite")


class SuiteRequirement(models.Model):
    """An environment lets nothing go live that is worse by this suite than what is live there."""

    environment = models.ForeignKey(
        Environment, models.CASCADE, related_name="requirements", verbose_name=_("environment")
    )
    suite = models.ForeignKey(Suite, models.CASCADE, related_name="+", verbose_name=_("test suite"))

    objects = RequirementManager()

    class Meta:
        verbose_name = _("required test suite")
        verbose_name_plural = _("required test suites")
        ordering = ["suite__name", "id"]
        constraints = [models.UniqueConstraint(fields=["environment", "suite"], name="suite_required_once")]

    def __str__(self) -> str:
        return f"{self.suite} in {self.environment}"


class SuiteRun(Run):
    """One version asked everything, by some models. `plan` is the suite as it was: later edits change no run.

    `snippets` and `judges` are the versions (ids, by name) that were put in, and that judge.
    """

    suite = models.ForeignKey(Suite, models.PROTECT, related_name="+", verbose_name=_("test suite"))
    suite_revision = models.PositiveIntegerField(_("revision of the suite"))
    suite_checksum = models.CharField(max_length=64)
    version = models.ForeignKey(Version, models.PROTECT, related_name="+", verbose_name=_("version"))
    version_checksum = models.CharField(max_length=64)
    environment = models.ForeignKey(Environment, models.PROTECT, related_name="+", verbose_name=_("texts as in"))
    asked_models = models.JSONField(_("models"), default=list)
    snippets = models.JSONField(default=dict, blank=True)
    judges = models.JSONField(default=dict, blank=True)
    plan = models.JSONField(default=list)

    objects = SuiteRunQuerySet.as_manager()

    class Meta:
        verbose_name = _("run")
        verbose_name_plural = _("runs")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["version", "suite", "-id"], name="suite_run_of_version"),
            models.Index(fields=["state", "lease_until"], name="suite_run_waiting"),
        ]

    def __str__(self) -> str:
        return gettext("%(suite)s on %(version)s") % {"suite": self.suite, "version": self.version}


class SuiteResult(models.Model):
    """One answer of a run: a case, asked the n-th time, of one model. `place` is the case's in the run's plan.

    `asked` is written before the call; a row that is found so after its process died is `lost`, and is not asked again.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        ASKED = "asked", _("Asked")
        PASSED = "passed", _("Passed")
        FAILED = "failed", _("Failed")
        ERROR = "error", _("No answer")
        LOST = "lost", _("Lost")
        CANCELLED = "cancelled", _("Cancelled")

    run = models.ForeignKey(SuiteRun, models.CASCADE, related_name="results", verbose_name=_("run"))
    place = models.PositiveIntegerField(_("case"))
    case_name = models.CharField(_("case"), max_length=100)
    is_required = models.BooleanField(_("required"), default=False)
    repeat = models.PositiveSmallIntegerField(_("time asked"), default=1)
    model = models.CharField(_("model"), max_length=100)
    state = models.CharField(_("outcome"), max_length=10, choices=State.choices, default=State.WAITING)
    text = models.TextField(_("answer"), blank=True)
    outcomes = models.JSONField(_("checks"), default=list, blank=True)
    problem = models.CharField(_("what went wrong"), max_length=300, blank=True)
    latency_ms = models.PositiveIntegerField(_("time"), null=True, blank=True)
    input_tokens = models.PositiveIntegerField(null=True, blank=True)
    output_tokens = models.PositiveIntegerField(null=True, blank=True)
    cost_usd = models.DecimalField(_("cost"), max_digits=18, decimal_places=9, null=True, blank=True)
    reserved_nanousd = models.BigIntegerField(default=0)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    objects = SuiteResultQuerySet.as_manager()

    class Meta:
        verbose_name = _("result")
        verbose_name_plural = _("results")
        ordering = ["run", "place", "model", "repeat"]
        constraints = [
            models.UniqueConstraint(fields=["run", "place", "model", "repeat"], name="suite_result_once"),
        ]
        indexes = [models.Index(fields=["run", "state"], name="suite_result_state")]

    def __str__(self) -> str:
        return f"{self.case_name} ({self.model})"
