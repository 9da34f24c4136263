"""An experiment: several versions of a prompt, live at once in one environment, each for its share of the units."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from promptlab_sdk.kernel.assignment import ranges
from promptlab_sdk.kernel.spec import Range

from experiments.querysets import SERVING, ExperimentQuerySet, VariantQuerySet
from promptlab.accounts.models import Team, User
from prompts.models import Environment, Prompt, Version


class Namespace(models.Model):
    """Experiments that no unit may be in together: each has slots of its own under this seed."""

    team = models.ForeignKey(Team, models.PROTECT, related_name="+")
    key = models.CharField(_("key"), max_length=100)
    seed = models.CharField(max_length=32, editable=False)

    class Meta:
        verbose_name = _("namespace")
        verbose_name_plural = _("namespaces")
        constraints = [models.UniqueConstraint(fields=["team", "key"], name="namespace_key_once_per_team")]

    def __str__(self) -> str:
        return self.key


class Experiment(models.Model):
    """`seed` belongs to the phase, is random, and never changes in it: the same unit gets the same variant next year.

    `condition`, `overrides` (variant keys by unit) and `namespace_ranges` are what docs/spec/assignment.md says;
    `unit_attribute` names the attribute whose value is dealt, empty: the unit id.
    `bucket_version` counts how often all units were dealt anew; `bucket_phase` is the first phase since. `planned_size`:
    ratings of all variants together at which it shall be decided.
    `looks_at`: when its guard was asked last, or will be. `guarded_phase`: the phase in which the guard paused it.
    """

    class State(models.TextChoices):
        DRAFT = "draft", _("Not started")
        RUNNING = "running", _("Running")
        PAUSED = "paused", _("Paused")
        STOPPED = "stopped", _("Ended")
        KILLED = "killed", _("Stopped at once")

    class Metric(models.TextChoices):
        APPROVAL = "approval", _("Thumbs-up rate")
        SUCCESS = "success", _("Answers without an error")
        LATENCY = "latency", _("Wait")
        FORMAT = "format", _("Answers in the right format")
        COST = "cost", _("Cost")

    class Outcome(models.TextChoices):
        WON = "won", _("Another text is better")
        LOST = "lost", _("The current text is better")
        NO_DIFFERENCE = "no_difference", _("No difference")
        UNFINISHED = "unfinished", _("It did not finish")

    team = models.ForeignKey(Team, models.PROTECT, related_name="+", verbose_name=_("team"))
    key = models.CharField(_("key"), max_length=100, help_text=_("Developers use this name."))
    title = models.CharField(_("name"), max_length=200)
    hypothesis = models.TextField(_("what we expect and why"), blank=True)
    prompt = models.ForeignKey(Prompt, models.PROTECT, related_name="+", verbose_name=_("prompt"))
    environment = models.ForeignKey(Environment, models.PROTECT, related_name="+", verbose_name=_("environment"))
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.DRAFT, editable=False)
    phase = models.PositiveIntegerField(default=1, editable=False)
    seed = models.CharField(max_length=32, editable=False)
    coverage_bp = models.PositiveIntegerField(
        _("share of all users, in hundredths of a percent"), default=10_000, help_text=_("10000 is everybody.")
    )
    bucket_version = models.PositiveIntegerField(default=1, editable=False)
    bucket_phase = models.PositiveIntegerField(default=1, editable=False)
    condition = models.JSONField(_("whom it is for"), default=dict, blank=True)
    overrides = models.JSONField(_("units that try it out"), default=dict, blank=True)
    unit_attribute = models.CharField(_("what is dealt"), max_length=100, blank=True)
    is_sticky = models.BooleanField(_("units keep what they had"), default=False)
    namespace = models.ForeignKey(
        Namespace, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("namespace")
    )
    namespace_ranges = models.JSONField(default=list, blank=True)
    primary_metric = models.CharField(_("what decides"), max_length=10, choices=Metric.choices, default=Metric.APPROVAL)
    guardrails = models.JSONField(_("what must not get worse"), default=list, blank=True)
    planned_size = models.PositiveIntegerField(_("ratings to decide at"), null=True, blank=True)
    owner = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("owner"))
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    started_at = models.DateTimeField(_("started"), null=True, editable=False)
    ended_at = models.DateTimeField(_("ended"), null=True, editable=False)
    end_note = models.CharField(_("why it ended"), max_length=500, blank=True, editable=False)
    outcome = models.CharField(_("outcome"), max_length=15, choices=Outcome.choices, blank=True, editable=False)
    lesson = models.TextField(_("what we learned"), blank=True, editable=False)
    kept_variant = models.ForeignKey(
        "Variant", models.PROTECT, null=True, related_name="+", verbose_name=_("text that stays"), editable=False
    )
    concluded_at = models.DateTimeField(_("concluded"), null=True, editable=False)
    looks_at = models.DateTimeField(null=True, editable=False)
    guarded_phase = models.PositiveIntegerField(null=True, editable=False)

    objects = ExperimentQuerySet.as_manager()

    class Meta:
        verbose_name = _("experiment")
        verbose_name_plural = _("experiments")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["team", "key"], name="experiment_key_once_per_team"),
            models.UniqueConstraint(
                fields=["prompt", "environment"],
                condition=Q(state__in=SERVING),
                name="one_running_experiment",
            ),
            models.CheckConstraint(condition=Q(coverage_bp__lte=10_000), name="coverage_at_most_all"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def is_serving(self) -> bool:
        return self.state in SERVING


class Variant(models.Model):
    """One version in the experiment, with its share. The control is first and is what is live.

    `owned` are its slots at full coverage, null: those that follow from the shares. Whose share is 0 takes no part any more.
    `model` and `parameters` stand over the version's own, where they are given.
    """

    experiment = models.ForeignKey(Experiment, models.CASCADE, related_name="variants")
    key = models.CharField(_("key"), max_length=50)
    name = models.CharField(_("name"), max_length=100, blank=True)
    is_control = models.BooleanField(_("current text"), default=False)
    position = models.PositiveSmallIntegerField(default=0)
    weight_bp = models.PositiveIntegerField(_("share, in hundredths of a percent"))
    owned = models.JSONField(null=True, editable=False)
    version = models.ForeignKey(Version, models.PROTECT, related_name="+", verbose_name=_("version"))
    model = models.CharField(_("model"), max_length=100, blank=True)
    parameters = models.JSONField(_("model settings"), default=dict, blank=True)

    objects = VariantQuerySet.as_manager()

    class Meta:
        verbose_name = _("variant")
        verbose_name_plural = _("variants")
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["experiment", "key"], name="variant_key_once"),
            models.UniqueConstraint(fields=["experiment", "position"], name="variant_position_once"),
            models.UniqueConstraint(fields=["experiment"], condition=Q(is_control=True), name="one_control"),
        ]

    def __str__(self) -> str:
        return self.name or (gettext("Current text") if self.is_control else self.key)


class Phase(models.Model):
    """A stretch of an experiment with one dealing of the units. `shares`: by variant key `weight_bp` and the slots `owned`."""

    class Kind(models.TextChoices):
        STARTED = "started", _("Started")
        SHARES = "shares", _("Other shares")
        DEALT_ANEW = "dealt_anew", _("All users dealt anew")

    experiment = models.ForeignKey(Experiment, models.CASCADE, related_name="phases")
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=10, choices=Kind.choices)
    seed = models.CharField(max_length=32)
    bucket_version = models.PositiveIntegerField()
    shares = models.JSONField()
    moved_slots = models.PositiveIntegerField(default=0)
    began_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("phase")
        verbose_name_plural = _("phases")
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["experiment", "number"], name="phase_once")]

    def __str__(self) -> str:
        return f"{self.experiment}: {self.number}"


def owned_slots(variants: Sequence[Variant]) -> list[tuple[Range, ...]]:
    """Return the slots of each variant of an experiment at full coverage, control first."""
    usual = ranges([variant.weight_bp for variant in variants])
    return [
        (slots,) if variant.owned is None else tuple((lo, hi) for lo, hi in variant.owned)
        for variant, slots in zip(variants, usual, strict=True)
    ]
