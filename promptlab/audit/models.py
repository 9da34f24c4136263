"""Who did what, when, why and from where. Append-only."""

from __future__ import annotations

from typing import Any, Never

from django.db import models
from django.utils.translation import gettext_lazy as _

from promptlab.audit.errors import AppendOnly
from promptlab.audit.querysets import AuditQuerySet


class AuditEntry(models.Model):
    """One act. Names are copied in, so that the entry still reads well after everything in it was renamed or removed.

    Teams and people live on a higher floor, so they are ids here, not foreign keys.
    """

    at = models.DateTimeField(_("when"), auto_now_add=True, db_index=True)
    team_id = models.BigIntegerField(null=True, db_index=True)
    actor_kind = models.CharField(max_length=10)
    actor_id = models.BigIntegerField(null=True)
    actor_label = models.CharField(_("who"), max_length=200)
    verb = models.CharField(_("what"), max_length=60, db_index=True)
    target_type = models.CharField(max_length=40)
    target_id = models.CharField(max_length=60)
    target_label = models.CharField(_("of what"), max_length=300)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    note = models.TextField(_("why"), blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    address = models.CharField(_("from where"), max_length=64, blank=True)

    objects = AuditQuerySet.as_manager()

    class Meta:
        verbose_name = _("activity")
        verbose_name_plural = _("activity log")
        ordering = ["-id"]
        indexes = [models.Index(fields=["target_type", "target_id"], name="audit_target")]

    def __str__(self) -> str:
        return f"{self.actor_label}: {self.verb} {self.target_label}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write a new entry; an existing one is refused."""
        if self.pk is not None:
            raise AppendOnly
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Never:
        raise AppendOnly
