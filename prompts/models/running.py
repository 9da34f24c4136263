"""What all work has in common that workers do with calls to models: its state, its budget, and who works on it."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from django.db import models
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.models import User

NANO: Final = 1_000_000_000
"""Money is counted in billionths of a dollar: whole numbers add up exactly on both databases."""


class RunState(models.TextChoices):
    QUEUED = "queued", _("Waiting")
    RUNNING = "running", _("Running")
    FINISHED = "finished", _("Finished")
    CANCELLED = "cancelled", _("Cancelled")
    STOPPED = "stopped", _("Stopped")


class Run(models.Model):
    """Work that costs money. One process works on it at a time: whose `lease` it holds until `lease_until`.

    Money is reserved before a call and settled after it; what a call cost that was lost counts as the most it could
    have cost.
    """

    State = RunState

    state = models.CharField(_("state"), max_length=10, choices=RunState.choices, default=RunState.QUEUED)
    reason = models.CharField(_("why it stopped"), max_length=300, blank=True)
    max_calls = models.PositiveIntegerField(_("calls at most"))
    calls = models.PositiveIntegerField(_("calls"), default=0)
    budget_nanousd = models.BigIntegerField(_("budget"))
    reserved_nanousd = models.BigIntegerField(default=0)
    spent_nanousd = models.BigIntegerField(_("spent"), default=0)
    unpriced_calls = models.PositiveIntegerField(_("calls without a price"), default=0)
    note = models.CharField(_("why"), max_length=300, blank=True)
    requested_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", verbose_name=_("who"))
    requested_label = models.CharField(_("who"), max_length=200)
    created_at = models.DateTimeField(_("asked for"), auto_now_add=True)
    started_at = models.DateTimeField(_("began"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    lease = models.CharField(max_length=32, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True

    @property
    def is_open(self) -> bool:
        return self.state in (RunState.QUEUED, RunState.RUNNING)

    @property
    def spent_usd(self) -> Decimal:
        return Decimal(self.spent_nanousd) / NANO

    @property
    def budget_usd(self) -> Decimal:
        return Decimal(self.budget_nanousd) / NANO
