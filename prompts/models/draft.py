"""A draft: what somebody is writing, before it is a version."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.models import ApiKey, User
from prompts.models.prompt import Prompt
from prompts.querysets import DraftQuerySet


class Draft(models.Model):
    """One per prompt and person, or key. `body` is what was typed, unparsed; it may hold errors and say only some fields.

    `started_from` is the number of the version that was the newest when writing began.
    """

    prompt = models.ForeignKey(Prompt, models.PROTECT, related_name="+", verbose_name=_("prompt"))
    person = models.ForeignKey(User, models.CASCADE, null=True, related_name="+", verbose_name=_("person"))
    key = models.ForeignKey(ApiKey, models.CASCADE, null=True, related_name="+", verbose_name=_("API key"))
    body = models.JSONField(_("text and settings"), default=dict)
    started_from = models.PositiveIntegerField(_("started from version"))
    row_version = models.PositiveIntegerField(default=1, editable=False)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    objects = DraftQuerySet.as_manager()

    class Meta:
        verbose_name = _("draft")
        verbose_name_plural = _("drafts")
        ordering = ["-updated_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["prompt", "person"], condition=Q(person__isnull=False), name="draft_once_per_person"
            ),
            models.UniqueConstraint(
                fields=["prompt", "key"], condition=Q(key__isnull=False), name="draft_once_per_key"
            ),
            models.CheckConstraint(
                condition=Q(person__isnull=True, key__isnull=False) | Q(person__isnull=False, key__isnull=True),
                name="draft_has_one_writer",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.prompt}, draft from v{self.started_from}"

    @property
    def etag(self) -> str:
        """The strong ETag of the draft's present state."""
        return f'"draft-{self.pk}-{self.row_version}"'
