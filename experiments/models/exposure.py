"""Who met which variant, and what came of it: one row per unit. Verdicts are computed from these, per unit."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from experiments.models.experiment import Experiment, Variant
from experiments.querysets import UnitQuerySet


class ExperimentUnit(models.Model):
    """The first exposure of a unit in a phase, with its sums. `is_multiple`: met another variant later; not analysed.

    `waits`, `ln_ms`, `priced`, `cost`, `checked`, `misfits`, `..._events`: as in `HourRollup`, of this unit. `cost` in USD.
    """

    experiment = models.ForeignKey(Experiment, models.CASCADE, related_name="+")
    phase = models.PositiveIntegerField()
    unit_id = models.CharField(max_length=200)
    variant = models.ForeignKey(Variant, models.CASCADE, related_name="+")
    is_multiple = models.BooleanField(default=False)
    first_exposed_at = models.DateTimeField()
    requests = models.PositiveIntegerField(default=0)
    errors = models.PositiveIntegerField(default=0)
    ratings = models.IntegerField(default=0)
    ups = models.IntegerField(default=0)
    waits = models.IntegerField(default=0)
    ln_ms = models.FloatField(default=0)
    ln_ms_events = models.FloatField(default=0)
    priced = models.IntegerField(default=0)
    cost = models.FloatField(default=0)
    cost_events = models.FloatField(default=0)
    checked = models.IntegerField(default=0)
    misfits = models.IntegerField(default=0)

    objects = UnitQuerySet.as_manager()

    class Meta:
        verbose_name = _("exposed unit")
        verbose_name_plural = _("exposed units")
        constraints = [
            models.UniqueConstraint(fields=["experiment", "phase", "unit_id"], name="unit_once_per_phase"),
        ]

    def __str__(self) -> str:
        return f"{self.experiment}: {self.variant}"
