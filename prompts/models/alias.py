"""An alias: a name that a prompt had, under which applications may still ask for it."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.models import Team
from prompts.models.prompt import Prompt
from prompts.querysets import PromptAliasQuerySet


class PromptAlias(models.Model):
    """Unique in its team, among aliases by the constraint, among names by `services.naming` under the team's lock."""

    team = models.ForeignKey(Team, models.PROTECT, related_name="+", verbose_name=_("team"))
    name = models.CharField(_("former name"), max_length=255)
    prompt = models.ForeignKey(Prompt, models.PROTECT, related_name="+", verbose_name=_("prompt"))
    created_at = models.DateTimeField(_("renamed"), auto_now_add=True)

    objects = PromptAliasQuerySet.as_manager()

    class Meta:
        verbose_name = _("former name")
        verbose_name_plural = _("former names")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="alias_once_per_team")]

    def __str__(self) -> str:
        return self.name
