"""What people say of versions: requests for a review, decisions on them, and comments."""

from __future__ import annotations

from typing import Any, Never

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.models import User
from promptlab.lib.errors import Conflict
from prompts.models.prompt import Prompt
from prompts.models.version import Version
from prompts.querysets import CommentQuerySet, ReviewRequestQuerySet


class ReviewRequest(models.Model):
    """Somebody asks for a version to be looked at. A version has one open request at most."""

    class State(models.TextChoices):
        OPEN = "open", _("To review")
        APPROVED = "approved", _("Approved")
        CHANGES_REQUESTED = "changes_requested", _("Changes asked for")
        WITHDRAWN = "withdrawn", _("Withdrawn")

    version = models.ForeignKey(Version, models.PROTECT, related_name="+", verbose_name=_("version"))
    requested_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", verbose_name=_("who asked"))
    requested_label = models.CharField(_("who asked"), max_length=200)
    note = models.CharField(_("what to look at"), max_length=500, blank=True)
    state = models.CharField(_("state"), max_length=20, choices=State.choices, default=State.OPEN)
    at = models.DateTimeField(_("asked"), auto_now_add=True)
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)

    objects = ReviewRequestQuerySet.as_manager()

    class Meta:
        verbose_name = _("review")
        verbose_name_plural = _("reviews")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["version"], condition=Q(state="open"), name="one_open_review"),
        ]
        indexes = [models.Index(fields=["state", "-id"], name="review_by_state")]

    def __str__(self) -> str:
        return str(self.version)


class ReviewDecision(models.Model):
    """What one person decided, about exactly the content that `checksum` names. Append-only."""

    class Decision(models.TextChoices):
        APPROVE = "approve", _("Approved")
        REQUEST_CHANGES = "request_changes", _("Asked for changes")

    request = models.ForeignKey(ReviewRequest, models.PROTECT, related_name="decisions", verbose_name=_("review"))
    reviewer = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name=_("reviewer"))
    reviewer_label = models.CharField(_("reviewer"), max_length=200)
    decision = models.CharField(_("decision"), max_length=20, choices=Decision.choices)
    comment = models.TextField(_("comment"), blank=True)
    checksum = models.CharField(max_length=64)
    at = models.DateTimeField(_("when"), auto_now_add=True)

    class Meta:
        verbose_name = _("decision")
        verbose_name_plural = _("decisions")
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["request", "reviewer"], condition=Q(decision="approve"), name="approval_counts_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reviewer_label}: {self.get_decision_display()}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write a new decision; the past is refused."""
        if self.pk is not None:
            raise Conflict("Decisions are only added, never changed.", code="append_only")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Never:
        raise Conflict("Decisions are only added, never changed.", code="append_only")


class Comment(models.Model):
    """A remark on a prompt, on one of its versions, or on a line of it. Answers have a `parent`; threads are one deep."""

    prompt = models.ForeignKey(Prompt, models.PROTECT, related_name="+", verbose_name=_("prompt"))
    version = models.ForeignKey(Version, models.PROTECT, null=True, blank=True, related_name="+")
    line = models.PositiveIntegerField(_("line"), null=True, blank=True)
    parent = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="+")
    author = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", verbose_name=_("who"))
    author_label = models.CharField(_("who"), max_length=200)
    text = models.TextField(_("comment"))
    at = models.DateTimeField(_("when"), auto_now_add=True)
    edited_at = models.DateTimeField(_("edited"), null=True, blank=True)
    resolved_at = models.DateTimeField(_("settled"), null=True, blank=True)
    resolved_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    mentioned = models.ManyToManyField(User, through="Mention", related_name="+", verbose_name=_("mentioned"))

    objects = CommentQuerySet.as_manager()

    class Meta:
        verbose_name = _("comment")
        verbose_name_plural = _("comments")
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(condition=Q(line=None) | Q(version__isnull=False), name="line_is_of_a_version"),
        ]

    def __str__(self) -> str:
        return f"{self.author_label}: {self.text[:60]}"


class Mention(models.Model):
    """Somebody of the team is named in a comment."""

    comment = models.ForeignKey(Comment, models.CASCADE, related_name="mentions")
    user = models.ForeignKey(User, models.CASCADE, related_name="+")

    class Meta:
        verbose_name = _("mention")
        verbose_name_plural = _("mentions")
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["comment", "user"], name="mentioned_once")]

    def __str__(self) -> str:
        return f"@{self.user.username}"
