"""A link to the results of an experiment, for people without an account."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.utils.translation import gettext_lazy as _

from experiments.models.experiment import Experiment
from experiments.querysets import SharedResultsQuerySet
from promptlab.accounts.models import User


class SharedResults(models.Model):
    """Whoever has the signed link sees the numbers until `ends_at`, or until somebody ends it."""

    experiment = models.ForeignKey(Experiment, models.CASCADE, related_name="+", verbose_name=_("experiment"))
    made_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    maker_label = models.CharField(_("who"), max_length=200)
    made_at = models.DateTimeField(_("made"), auto_now_add=True)
    ends_at = models.DateTimeField(_("ends"))
    revoked_at = models.DateTimeField(_("ended early"), null=True)

    objects = SharedResultsQuerySet.as_manager()

    class Meta:
        verbose_name = _("shared results")
        verbose_name_plural = _("shared results")
        ordering = ["-id"]

    def __str__(self) -> str:
        return str(self.experiment)

    def holds(self, now: datetime) -> bool:
        """Tell whether the link opens."""
        return self.revoked_at is None and now < self.ends_at
