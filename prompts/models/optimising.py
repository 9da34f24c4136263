"""Better texts by asking models: runs of several kinds, the calls that they made, and the texts that they came to."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from prompts.models.running import Run
from prompts.models.version import Version
from prompts.querysets import OptimiserCallQuerySet, OptimiserRunQuerySet, SuggestionQuerySet

ALL: Final = 10_000
"""Shares are counted in basis points."""


class OptimiserRun(Run):
    """Work on a better text than a version has. `plan` is what was asked for, in the words of its kind.

    `found` is what it has come to so far, in the words of its kind. `total` and `done` are steps, for progress.
    """

    class Kind(models.TextChoices):
        SUGGESTION = "suggestion", _("Suggestion")
        SEARCH = "search", _("Search")
        PAIR = "pair", _("Both tried")

    kind = models.CharField(_("kind"), max_length=20, choices=Kind.choices)
    version = models.ForeignKey(Version, models.PROTECT, related_name="+", verbose_name=_("version"))
    goal = models.CharField(_("goal"), max_length=40, blank=True)
    model = models.CharField(_("model"), max_length=100)
    plan = models.JSONField(default=dict, blank=True)
    found = models.JSONField(default=dict, blank=True)
    total = models.PositiveIntegerField(_("steps"), default=1)
    done = models.PositiveIntegerField(_("steps done"), default=0)

    objects = OptimiserRunQuerySet.as_manager()

    class Meta:
        verbose_name = _("improvement")
        verbose_name_plural = _("improvements")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["version", "-id"], name="optimiser_run_of_version"),
            models.Index(fields=["state", "lease_until"], name="optimiser_run_waiting"),
        ]

    def __str__(self) -> str:
        return gettext("%(kind)s for %(version)s") % {"kind": self.get_kind_display(), "version": self.version}


class Search(OptimiserRun):
    """A run whose text evolves against a test suite, as its pages show it."""

    class Meta:
        proxy = True
        verbose_name = _("search")
        verbose_name_plural = _("searches")


class OptimiserCall(models.Model):
    """One call of a run. `asked` is written before the call; found so after its process died, it is `lost`.

    `key` is by which a run that is gone through again knows a question as asked already; nothing is asked twice by one
    key. An empty one is of a call that may be asked again.
    """

    class State(models.TextChoices):
        ASKED = "asked", _("Asked")
        ANSWERED = "answered", _("Answered")
        ERROR = "error", _("No answer")
        LOST = "lost", _("Lost")
        CANCELLED = "cancelled", _("Cancelled")

    run = models.ForeignKey(OptimiserRun, models.CASCADE, related_name="call_rows", verbose_name=_("run"))
    key = models.CharField(max_length=100, blank=True)
    model = models.CharField(_("model"), max_length=100)
    state = models.CharField(_("outcome"), max_length=10, choices=State.choices, default=State.ASKED)
    text = models.TextField(_("answer"), blank=True)
    is_cut_off = models.BooleanField(_("cut off"), default=False)
    problem = models.CharField(_("what went wrong"), max_length=300, blank=True)
    latency_ms = models.PositiveIntegerField(_("time"), null=True, blank=True)
    input_tokens = models.PositiveIntegerField(null=True, blank=True)
    output_tokens = models.PositiveIntegerField(null=True, blank=True)
    cost_usd = models.DecimalField(_("cost"), max_digits=18, decimal_places=9, null=True, blank=True)
    reserved_nanousd = models.BigIntegerField(default=0)
    asked_at = models.DateTimeField(_("asked"), auto_now_add=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    objects = OptimiserCallQuerySet.as_manager()

    class Meta:
        verbose_name = _("call")
        verbose_name_plural = _("calls")
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["run", "key"], condition=~Q(key=""), name="optimiser_call_once"),
        ]
        indexes = [models.Index(fields=["run", "state"], name="optimiser_call_state")]

    def __str__(self) -> str:
        return f"{self.key} ({self.model})"


class Suggestion(models.Model):
    """A text that a run came to. Nothing is saved of it until a person takes it, as it is or edited.

    `missing` and `invented` are placeholders by which it differs: it is rejected then. `edited_bp` is how much of what was
    saved a person changed; `facts` are what its kind of run knows of it besides, such as scores.
    """

    class State(models.TextChoices):
        PROPOSED = "proposed", _("To decide")
        REJECTED = "rejected", _("Rejected")
        IDENTICAL = "identical", _("The same text")
        ACCEPTED = "accepted", _("Taken")
        DISCARDED = "discarded", _("Discarded")

    run = models.ForeignKey(OptimiserRun, models.CASCADE, related_name="suggestions", verbose_name=_("run"))
    place = models.PositiveIntegerField(default=1)
    model = models.CharField(_("model"), max_length=100)
    text = models.TextField(_("text"), blank=True)
    messages = models.JSONField(_("messages"), default=list, blank=True)
    changes = models.JSONField(_("what it changed"), default=list, blank=True)
    missing = models.JSONField(_("placeholders that are missing"), default=list, blank=True)
    invented = models.JSONField(_("placeholders that are new"), default=list, blank=True)
    problem = models.CharField(_("what is wrong with it"), max_length=300, blank=True)
    facts = models.JSONField(default=dict, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.PROPOSED)
    saved_version = models.OneToOneField(
        Version, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("saved as")
    )
    edited_bp = models.PositiveIntegerField(_("edited by hand"), null=True, blank=True)
    decided_label = models.CharField(_("who decided"), max_length=200, blank=True)
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)
    created_at = models.DateTimeField(_("made"), auto_now_add=True)

    objects = SuggestionQuerySet.as_manager()

    class Meta:
        verbose_name = _("suggestion")
        verbose_name_plural = _("suggestions")
        ordering = ["run", "place"]
        constraints = [models.UniqueConstraint(fields=["run", "place"], name="suggestion_once")]

    def __str__(self) -> str:
        return gettext("Suggestion %(place)s of run %(run)s") % {"place": self.place, "run": self.run_id}

    @property
    def edited_share(self) -> Decimal | None:
        """How much of what was saved a person changed, from 0 to 1; None before."""
        return None if self.edited_bp is None else Decimal(self.edited_bp) / ALL
