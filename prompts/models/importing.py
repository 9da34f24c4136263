"""What an import did, so that it can be taken back."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.models import Team, User
from prompts.models.prompt import Prompt
from prompts.models.version import Version
from prompts.querysets import ImportRunQuerySet


class ImportRun(models.Model):
    """One file that came in. `undone_at` says when it was taken back, and `undone_label` by whom."""

    team = models.ForeignKey(Team, models.CASCADE, related_name="+", verbose_name=_("team"))
    user = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    actor_label = models.CharField(_("who"), max_length=200)
    created_at = models.DateTimeField(_("when"), auto_now_add=True)
    undone_at = models.DateTimeField(_("taken back"), null=True, blank=True)
    undone_label = models.CharField(_("by whom"), max_length=200, blank=True)

    objects = ImportRunQuerySet.as_manager()

    class Meta:
        verbose_name = _("import")
        verbose_name_plural = _("imports")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"import {self.pk}"


class ImportedPrompt(models.Model):
    """A prompt that an import made or changed.

    `version_before` is its newest version before, None for a prompt that was made. `before` holds its changed settings
    as they were: title, description, model_type, tags, collection (an id or None), metadata. `row_version` is what the
    import left: another one later says that somebody changed it since.
    """

    run = models.ForeignKey(ImportRun, models.CASCADE, related_name="prompts")
    prompt = models.ForeignKey(Prompt, models.PROTECT, related_name="+")
    version_before = models.ForeignKey(Version, models.PROTECT, null=True, related_name="+")
    version_after = models.ForeignKey(Version, models.PROTECT, related_name="+")
    before = models.JSONField(default=dict)
    row_version = models.PositiveIntegerField()

    class Meta:
        verbose_name = _("imported prompt")
        verbose_name_plural = _("imported prompts")
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["run", "prompt"], name="import_holds_a_prompt_once")]

    def __str__(self) -> str:
        return f"{self.run}: {self.prompt}"

    @property
    def is_new(self) -> bool:
        """Whether the import made the prompt."""
        return self.version_before_id is None

    @property
    def numbers(self) -> list[int]:
        """The numbers of the versions that the import wrote."""
        first = self.version_before.number + 1 if self.version_before else 1
        return list(range(first, self.version_after.number + 1))
