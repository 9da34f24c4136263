"""Sums per day (UTC), for every version that was served, in an experiment or not. What pages of use and money read."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from experiments.querysets import RollupQuerySet
from prompts.models import Environment, Prompt, Version


class DayRollup(models.Model):
    """One cell: (day, version, environment, model). All of it is whole numbers, so that sums are exact.

    A day has the answers that ended on it, and what was ever said of them: ratings come late, and count where their
    answer does. So `ratings` never exceeds what stands of the day's answers, and a changed mind changes that day.
    `cost_nanousd` is of answers whose price is known, in billionths of a dollar; `unpriced` counts the others that we
    paid for. `wait_counts`: waits by the bucket of `stats.histogram` they fall in, {"37": 12}.
    """

    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="+")
    environment = models.ForeignKey(Environment, models.CASCADE, related_name="+")
    version = models.ForeignKey(Version, models.CASCADE, related_name="+")
    model = models.CharField(max_length=100, blank=True)
    day = models.DateField()
    requests = models.BigIntegerField(default=0)
    shown = models.BigIntegerField(default=0)
    errors = models.BigIntegerField(default=0)
    ratings = models.BigIntegerField(default=0)
    ups = models.BigIntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    cost_nanousd = models.BigIntegerField(default=0)
    unpriced = models.BigIntegerField(default=0)
    priced = models.BigIntegerField(default=0)
    wait_counts = models.JSONField(default=dict)

    objects = RollupQuerySet.as_manager()

    class Meta:
        verbose_name = _("daily sum")
        verbose_name_plural = _("daily sums")
        constraints = [
            models.UniqueConstraint(fields=["day", "version", "environment", "model"], name="rollup_day_cell")
        ]
        indexes = [models.Index(fields=["prompt", "day"], name="rollup_prompt_day")]

    def __str__(self) -> str:
        return f"{self.version} on {self.day:%Y-%m-%d}"


class DayMark(models.Model):
    """How far back the daily sums reach. One row.

    `counted_from`: the answers of earlier days are not in the sums yet; null: all are. `turn` grows with each recount
    that was written, so that of two at once one is thrown away.
    """

    counted_from = models.DateField(null=True)
    turn = models.PositiveBigIntegerField(default=0)
    recounted_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("mark of the daily sums")
        verbose_name_plural = _("mark of the daily sums")

    def __str__(self) -> str:
        return f"{self.counted_from}"
