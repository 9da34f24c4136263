"""What people thought of an answer. A rating can be changed; it is counted once, on the variant that was shown."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from feedback.querysets import FeedbackQuerySet
from promptlab.accounts.models import Team
from promptlab.chat.models import Message


class Feedback(models.Model):
    """One rating per (message, rater, metric). `value` is 1 or -1; null once it was taken back.

    `counted_value` is what the rollups hold of this row (null: nothing), so a changed mind adds the difference.
    """

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, models.PROTECT, related_name="+")
    message = models.ForeignKey(Message, models.CASCADE, related_name="+", verbose_name=_("answer"))
    metric = models.CharField(_("metric"), max_length=50, default="rating")
    rater = models.CharField(_("rater"), max_length=200, blank=True)
    value = models.SmallIntegerField(_("rating"), null=True)
    comment = models.TextField(_("comment"), blank=True)
    counted_value = models.SmallIntegerField(null=True, editable=False)
    rolled_up_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(_("given"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    objects = FeedbackQuerySet.as_manager()

    class Meta:
        verbose_name = _("rating")
        verbose_name_plural = _("ratings")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["message", "rater", "metric"], name="one_rating_per_rater"),
            models.CheckConstraint(condition=Q(value__in=(1, -1)), name="rating_is_up_or_down"),
        ]
        indexes = [models.Index(fields=["id"], condition=Q(rolled_up_at=None), name="feedback_not_rolled_up")]

    def __str__(self) -> str:
        said = {1: "👍", -1: "👎"}.get(self.value or 0, "∅")
        return f"{said} {self.comment[:60]}".strip()


class FeedbackChange(models.Model):
    """What a rating said before it was changed or taken back. The database itself writes these rows, on every change."""

    feedback = models.ForeignKey(Feedback, models.CASCADE, related_name="changes")
    value = models.SmallIntegerField(_("rating"), null=True)
    comment = models.TextField(_("comment"), blank=True)
    said_at = models.DateTimeField(_("said"))

    class Meta:
        verbose_name = _("changed rating")
        verbose_name_plural = _("changed ratings")
        ordering = ["id"]

    def __str__(self) -> str:
        return str(self.value)


class FeedbackReceipt(models.Model):
    """What an idempotency key stood for, so that sending it again changes nothing, for ever."""

    team = models.ForeignKey(Team, models.PROTECT, related_name="+")
    key = models.CharField(max_length=255)
    body_sha256 = models.CharField(max_length=64)
    feedback = models.ForeignKey(Feedback, models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "key"], name="idempotency_key_once_per_team")]

    def __str__(self) -> str:
        return self.key


class DeadLetter(models.Model):
    """A rating that cannot be added to the sums. It is stored and shown; it waits here until somebody has it tried again."""

    feedback = models.OneToOneField(Feedback, models.CASCADE, primary_key=True, related_name="dead_letter")
    reason = models.CharField(_("what went wrong"), max_length=100)
    tries = models.PositiveIntegerField(_("tries"), default=1)
    at = models.DateTimeField(_("last tried"), auto_now=True)

    class Meta:
        verbose_name = _("rating set aside")
        verbose_name_plural = _("ratings set aside")
        ordering = ["feedback_id"]

    def __str__(self) -> str:
        return self.reason
