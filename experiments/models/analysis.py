"""What was computed about an experiment, when, and from what: pages show it, and any past verdict can be computed again."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from experiments.models.experiment import Experiment
from experiments.querysets import AnalysisQuerySet


class AnalysisSnapshot(models.Model):
    """One run over the sums of one phase. `inputs` are all that `results` follow from, under the method `code_version`."""

    experiment = models.ForeignKey(Experiment, models.CASCADE, related_name="+")
    phase = models.PositiveIntegerField()
    as_of = models.DateTimeField()
    verdict = models.CharField(max_length=20)
    inputs = models.JSONField()
    results = models.JSONField()
    code_version = models.CharField(max_length=40)

    objects = AnalysisQuerySet.as_manager()

    class Meta:
        verbose_name = _("analysis")
        verbose_name_plural = _("analyses")
        indexes = [models.Index(fields=["experiment", "phase", "-as_of"], name="analysis_newest")]

    def __str__(self) -> str:
        return f"{self.experiment}: {self.verdict}, {self.as_of:%Y-%m-%d %H:%M}"
