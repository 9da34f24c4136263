"""An experiment: several versions of a prompt, live at once in one environment, each for its share of the units."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from experiments.querysets import SERVING, ExperimentQuerySet, VariantQuerySet
from promptlab.accounts.models import Team, User
from prompts.models import Environment, Prompt, Version


class Experiment(models.Model):
    """`seed` belongs to the phase, is random, and never changes in it: the same unit gets the same variant next year.

    `looks_at`: when its guard was asked last, or will be. `guarded_phase`: the phase in which the guard paused it.
    """

    class State(models.TextChoices):
        DRAFT = "draft", _("Not started")
        RUNNING = "running", _("Running")
        PAUSED = "paused", _("Paused")
        STOPPED = "stopped", _("Ended")
        KILLED = "killed", _("Stopped at once")

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
    owner = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("owner"))
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    started_at = models.DateTimeField(_("started"), null=True, editable=False)
    ended_at = models.DateTimeField(_("ended"), null=True, editable=False)
    end_note = models.CharField(_("why it ended"), max_length=500, blank=True, editable=False)
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
    """One version in the experiment, with its share. The control is first and is what is live."""

    experiment = models.ForeignKey(Experiment, models.CASCADE, related_name="variants")
    key = models.CharField(_("key"), max_length=50)
    name = models.CharField(_("name"), max_length=100, blank=True)
    is_control = models.BooleanField(_("current text"), default=False)
    position = models.PositiveSmallIntegerField(default=0)
    weight_bp = models.PositiveIntegerField(_("share, in hundredths of a percent"))
    version = models.ForeignKey(Version, models.PROTECT, related_name="+", verbose_name=_("version"))

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
        return self.name or self.key
