"""Conclusions that the numbers speak against: asked for by one person, decided by another."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from experiments.models.experiment import Experiment, Variant
from experiments.querysets import ConclusionRequestQuerySet
from promptlab.accounts.models import User


class ConclusionRequest(models.Model):
    """What somebody wants to conclude, and `verdict`, what the analysis said of it then; `about` is a variant's key.

    Who decided it, and why, stands in it afterwards. One that nobody needs any more is withdrawn.
    """

    class State(models.TextChoices):
        OPEN = "open", _("Waits for another person")
        APPROVED = "approved", _("Approved")
        REFUSED = "refused", _("Refused")
        WITHDRAWN = "withdrawn", _("Withdrawn")

    experiment = models.ForeignKey(Experiment, models.CASCADE, related_name="conclusion_requests")
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.OPEN)
    outcome = models.CharField(_("outcome"), max_length=15, choices=Experiment.Outcome.choices)
    lesson = models.TextField(_("what we learned"))
    keep = models.ForeignKey(Variant, models.PROTECT, related_name="+", verbose_name=_("text that stays"))
    put_live = models.CharField(_("put it live"), max_length=10)
    confirm = models.BooleanField(default=False)
    verdict = models.CharField(_("what the numbers said"), max_length=20)
    about = models.CharField(max_length=50, blank=True)
    asker = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", verbose_name=_("asked by"))
    asker_label = models.CharField(max_length=200)
    asked_at = models.DateTimeField(_("asked"), auto_now_add=True)
    decider = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", verbose_name=_("decided by"))
    decider_label = models.CharField(max_length=200, blank=True)
    decided_at = models.DateTimeField(_("decided"), null=True)
    note = models.CharField(_("why"), max_length=500, blank=True)

    objects = ConclusionRequestQuerySet.as_manager()

    class Meta:
        verbose_name = _("conclusion that waits for approval")
        verbose_name_plural = _("conclusions that wait for approval")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["experiment"], condition=Q(state="open"), name="one_open_conclusion_request"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.experiment}: {self.get_outcome_display()}"
