"""Sums per hour, for every version that was served, in an experiment or not. Add-only; pages read these, never events."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from experiments.models.experiment import Experiment, Variant
from experiments.querysets import RollupQuerySet
from prompts.models import Environment, Prompt, Version


class HourRollup(models.Model):
    """One cell: (version, environment, hour), or (variant, phase, hour) inside an experiment.

    The second block is sums over units that met one variant only, kept additive over hours by adding differences
    (`ratings_sq` is the sum of n_i squared over units i, never of hourly counts); 0 outside experiments. `waits` are
    requests with a known time, `ln_ms` their natural logarithms of milliseconds, `priced` requests with a known cost;
    `..._events` are squares of single events. `checked` are answers that had to keep a format, `misfits` those of them
    that did not. `wait_counts`: waits by the bucket of `stats.histogram` they fall in, {"37": 12}. See docs/statistics.md.
    """

    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="+")
    environment = models.ForeignKey(Environment, models.CASCADE, related_name="+")
    version = models.ForeignKey(Version, models.CASCADE, related_name="+")
    experiment = models.ForeignKey(Experiment, models.CASCADE, null=True, related_name="+")
    phase = models.PositiveIntegerField(default=0)
    variant = models.ForeignKey(Variant, models.CASCADE, null=True, related_name="+")
    hour = models.DateTimeField()
    requests = models.BigIntegerField(default=0)
    shown = models.BigIntegerField(default=0)
    errors = models.BigIntegerField(default=0)
    units = models.BigIntegerField(default=0)
    multiple_units = models.BigIntegerField(default=0)
    ratings = models.BigIntegerField(default=0)
    ups = models.BigIntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    cost_usd = models.DecimalField(max_digits=18, decimal_places=9, default=0)
    unpriced = models.BigIntegerField(default=0)
    latency_ms = models.BigIntegerField(default=0)
    checked = models.BigIntegerField(default=0)
    misfits = models.BigIntegerField(default=0)
    wait_counts = models.JSONField(default=dict)

    raters = models.BigIntegerField(default=0)
    unit_ratings = models.BigIntegerField(default=0)
    unit_ups = models.BigIntegerField(default=0)
    ratings_sq = models.BigIntegerField(default=0)
    ups_sq = models.BigIntegerField(default=0)
    ratings_ups = models.BigIntegerField(default=0)
    users = models.BigIntegerField(default=0)
    unit_requests = models.BigIntegerField(default=0)
    unit_errors = models.BigIntegerField(default=0)
    requests_sq = models.BigIntegerField(default=0)
    errors_sq = models.BigIntegerField(default=0)
    requests_errors = models.BigIntegerField(default=0)
    requests_ratings = models.BigIntegerField(default=0)
    waiters = models.BigIntegerField(default=0)
    waits = models.BigIntegerField(default=0)
    waits_sq = models.BigIntegerField(default=0)
    ln_ms = models.FloatField(default=0)
    ln_ms_sq = models.FloatField(default=0)
    waits_ln_ms = models.FloatField(default=0)
    ln_ms_events = models.FloatField(default=0)
    payers = models.BigIntegerField(default=0)
    priced = models.BigIntegerField(default=0)
    priced_sq = models.BigIntegerField(default=0)
    unit_cost = models.FloatField(default=0)
    cost_sq = models.FloatField(default=0)
    priced_cost = models.FloatField(default=0)
    cost_events = models.FloatField(default=0)
    checked_units = models.BigIntegerField(default=0)
    unit_checked = models.BigIntegerField(default=0)
    unit_misfits = models.BigIntegerField(default=0)
    checked_sq = models.BigIntegerField(default=0)
    misfits_sq = models.BigIntegerField(default=0)
    checked_misfits = models.BigIntegerField(default=0)

    objects = RollupQuerySet.as_manager()

    class Meta:
        verbose_name = _("hourly sum")
        verbose_name_plural = _("hourly sums")
        constraints = [
            models.UniqueConstraint(
                fields=["version", "environment", "hour"], condition=Q(variant=None), name="rollup_plain_cell"
            ),
            models.UniqueConstraint(
                fields=["variant", "phase", "hour"], condition=Q(variant__isnull=False), name="rollup_variant_cell"
            ),
        ]
        indexes = [
            models.Index(fields=["prompt", "hour"], name="rollup_prompt_hour"),
            models.Index(fields=["experiment", "phase", "hour"], name="rollup_experiment_hour"),
        ]

    def __str__(self) -> str:
        return f"{self.version} at {self.hour:%Y-%m-%d %H}:00"
