"""A gradual launch: an experiment whose share grows by itself, and the record of every step it took."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Never

from django.db import models
from django.utils.translation import gettext_lazy as _

from experiments.models.experiment import Experiment
from experiments.querysets import RampDecisionQuerySet, RampQuerySet
from promptlab.accounts.models import User
from promptlab.lib.errors import Conflict


@dataclass(frozen=True, slots=True)
class Stage:
    """The new text and the live one each get `share_bp` of all units, for `min_dwell_s` to `max_dwell_s` seconds."""

    share_bp: int
    min_dwell_s: int
    max_dwell_s: int

    @property
    def coverage_bp(self) -> int:
        """The share of all units that take part: two slices of the same size."""
        return 2 * self.share_bp

    def as_json(self) -> dict[str, int]:
        return asdict(self)


class Ramp(models.Model):
    """Control: what was live. Treatment: the new version. `stage_version` grows with every step: a late one finds another.

    `accepted`: reasons to wait, separated by spaces, that a person set aside for this stage. `requests_seen` at
    `traffic_at` is when the sums last grew.
    """

    class State(models.TextChoices):
        RUNNING = "running", _("Running")
        HELD = "held", _("Waits for a person")
        ROLLED_BACK = "rolled_back", _("Everyone was sent back")
        COMPLETED = "completed", _("Live for everyone")
        ABORTED = "aborted", _("Broken off")

    OPEN = (State.RUNNING, State.HELD)

    class Reason(models.TextChoices):
        """Why it waits."""

        BY_HAND = "by_hand", _("Somebody stopped it here")
        SPLIT = "split", _("Traffic is not split as it should be")
        MULTIPLE = "multiple", _("Too many users met both texts")
        RATING_RATE = "rating_rate", _("The two texts are not rated equally often")
        NO_TRAFFIC = "no_traffic", _("Nobody uses the prompt")
        INCONCLUSIVE = "inconclusive", _("The time is over and the numbers do not decide")
        REFUSED = "refused", _("The environment does not let it go on")

    experiment = models.OneToOneField(Experiment, models.PROTECT, related_name="+", verbose_name=_("experiment"))
    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.RUNNING)
    stages = models.JSONField(_("steps"))
    stage_index = models.PositiveSmallIntegerField(_("step"), default=0)
    stage_version = models.PositiveIntegerField(default=1)
    entered_at = models.DateTimeField(_("in this step since"))
    hold_reason = models.CharField(_("why it waits"), max_length=20, choices=Reason.choices, blank=True)
    accepted = models.CharField(max_length=200, blank=True)
    requests_seen = models.BigIntegerField(default=0)
    traffic_at = models.DateTimeField()
    started_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", verbose_name=_("who started it"))
    starter_label = models.CharField(_("who started it"), max_length=200)
    started_at = models.DateTimeField(_("started"))
    ended_at = models.DateTimeField(_("ended"), null=True)

    objects = RampQuerySet.as_manager()

    class Meta:
        verbose_name = _("gradual launch")
        verbose_name_plural = _("gradual launches")
        ordering = ["-id"]
        indexes = [models.Index(fields=["state"], name="ramp_by_state")]

    def __str__(self) -> str:
        return self.experiment.title

    @property
    def is_open(self) -> bool:
        return self.state in self.OPEN

    @property
    def plan(self) -> list[Stage]:
        return [Stage(**one) for one in self.stages]

    @property
    def stage(self) -> Stage:
        return self.plan[self.stage_index]

    @property
    def is_last_stage(self) -> bool:
        return self.stage_index == len(self.stages) - 1


class RampDecision(models.Model):
    """One step of a ramp with every number that decided it. Append-only.

    `numbers`: sums of both texts, every finding of the guard, ranges and limits; empty where a person decided without.
    `revision`: the environment's, where what is served changed.
    """

    class Kind(models.TextChoices):
        STARTED = "started", _("Started")
        ADVANCED = "advanced", _("Next step")
        HELD = "held", _("Waits for a person")
        RESUMED = "resumed", _("Went on")
        ROLLED_BACK = "rolled_back", _("Everyone was sent back")
        COMPLETED = "completed", _("Live for everyone")
        ABORTED = "aborted", _("Broken off")

    ramp = models.ForeignKey(Ramp, models.PROTECT, related_name="decisions")
    stage_version = models.PositiveIntegerField()
    stage_index = models.PositiveSmallIntegerField()
    share_bp = models.PositiveIntegerField()
    kind = models.CharField(_("what"), max_length=12, choices=Kind.choices)
    rule = models.CharField(_("rule"), max_length=40)
    numbers = models.JSONField(default=dict)
    revision = models.PositiveBigIntegerField(_("revision"), null=True)
    note = models.CharField(_("why"), max_length=500, blank=True)
    actor_label = models.CharField(_("who"), max_length=200)
    code_version = models.CharField(max_length=40)
    at = models.DateTimeField(_("when"))

    objects = RampDecisionQuerySet.as_manager()

    class Meta:
        verbose_name = _("decision")
        verbose_name_plural = _("decisions")
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["ramp", "stage_version"], name="ramp_decides_once")]

    def __str__(self) -> str:
        return f"{self.ramp}: {self.get_kind_display()}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write a new decision; the past is refused."""
        if self.pk is not None:
            raise Conflict("Decisions are only added, never changed.", code="append_only")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Never:
        raise Conflict("Decisions are only added, never changed.", code="append_only")
