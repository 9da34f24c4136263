"""A prompt: what stays the same while its versions come and go."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.models import Team, User
from prompts.models.collection import Collection, Tag
from prompts.querysets import PromptQuerySet


class Prompt(models.Model):
    """`name` is what applications ask for. `row_version` grows with every change; ETags are made of it."""

    class Type(models.TextChoices):
        TEXT = "text", _("Text")
        CHAT = "chat", _("Chat messages")

    team = models.ForeignKey(Team, models.PROTECT, related_name="+", verbose_name=_("team"))
    name = models.CharField(_("short name"), max_length=255, help_text=_("Developers use this name."))
    title = models.CharField(_("title"), max_length=200)
    description = models.TextField(_("what it is for"), blank=True)
    type = models.CharField(_("type"), max_length=10, choices=Type.choices, default=Type.TEXT)
    model_type = models.CharField(_("kind of model"), max_length=100, blank=True)
    collection = models.ForeignKey(
        Collection, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("collection")
    )
    tags = models.ManyToManyField(Tag, blank=True, related_name="+", verbose_name=_("tags"))
    owner = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("owner"))
    newest = models.ForeignKey("Version", models.PROTECT, null=True, related_name="+", editable=False)
    forked_from = models.ForeignKey(
        "Version", models.PROTECT, null=True, related_name="+", editable=False, verbose_name=_("copied from")
    )
    row_version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)
    archived_at = models.DateTimeField(_("archived"), null=True, blank=True, editable=False)

    objects = PromptQuerySet.as_manager()

    class Meta:
        verbose_name = _("prompt")
        verbose_name_plural = _("prompts")
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="prompt_name_once_per_team")]
        indexes = [
            models.Index(fields=["team", "-id"], condition=models.Q(archived_at=None), name="prompt_listed"),
            models.Index(fields=["team", "-updated_at"], name="prompt_changed"),
            models.Index(fields=["team", "-created_at"], name="prompt_made"),
            models.Index(fields=["team", "title"], name="prompt_titled"),
            models.Index(fields=["team", "model_type", "-id"], name="prompt_of_model"),
            models.Index(fields=["collection", "-id"], name="prompt_collected"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def is_private(self) -> bool:
        """Whether it is its collection's owner's and the administrators' alone; a query unless the collection is known."""
        return self.collection is not None and self.collection.visibility == Collection.Visibility.PRIVATE

    @property
    def etag(self) -> str:
        """The strong ETag of the prompt's present state."""
        return f'"{self.pk}-{self.row_version}"'
