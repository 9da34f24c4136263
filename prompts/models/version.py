"""A version: the text and settings of a prompt at one moment, for ever."""

from __future__ import annotations

from typing import Any, Never

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from promptlab_sdk.kernel.spec import Content, PromptSpec, messages_from, model_texts_from

from promptlab.accounts.models import User
from prompts.errors import VersionFrozen
from prompts.models.prompt import Prompt
from prompts.querysets import VersionQuerySet


class Version(models.Model):
    """Immutable but for `review_state`. Numbers run from 1 without a gap.

    `checksum` covers the content: text or messages, syntax, model, parameters, stop, tools, output schema, variables,
    and the texts for other models: by the name of each what is sent to it, a text or messages as those of the version.
    """

    class Syntax(models.TextChoices):
        MUSTACHE_LITE = "mustache-lite", _("Blanks only")
        JINJA2 = "jinja2", _("Jinja: blanks, conditions, loops")

    class ReviewState(models.TextChoices):
        DRAFT = "draft", _("Not reviewed")
        IN_REVIEW = "in_review", _("In review")
        APPROVED = "approved", _("Approved")
        CHANGES_REQUESTED = "changes_requested", _("Changes asked for")

    prompt = models.ForeignKey(Prompt, models.PROTECT, related_name="versions", verbose_name=_("prompt"))
    number = models.PositiveIntegerField(_("version"))
    version_string = models.CharField(_("version name"), max_length=100, blank=True)
    text = models.TextField(_("text"), blank=True)
    messages = models.JSONField(_("messages"), default=list, blank=True)
    syntax = models.CharField(_("syntax"), max_length=20, choices=Syntax.choices, default=Syntax.MUSTACHE_LITE)
    model = models.CharField(_("model"), max_length=100, blank=True)
    parameters = models.JSONField(_("model settings"), default=dict, blank=True)
    variables = models.JSONField(_("blanks"), default=dict, blank=True)
    output_schema = models.JSONField(_("shape of the answer"), default=dict, blank=True)
    stop = models.JSONField(_("stop at"), default=list, blank=True)
    tools = models.JSONField(_("tools"), default=list, blank=True)
    model_texts = models.JSONField(_("texts for other models"), default=dict, blank=True)
    message = models.CharField(_("what changed and why"), max_length=500, blank=True)
    checksum = models.CharField(max_length=64)
    author = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("author"))
    author_label = models.CharField(_("author"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("saved"), auto_now_add=True)
    review_state = models.CharField(
        _("review"), max_length=20, choices=ReviewState.choices, default=ReviewState.DRAFT, editable=False
    )

    objects = VersionQuerySet.as_manager()

    class Meta:
        verbose_name = _("version")
        verbose_name_plural = _("versions")
        ordering = ["prompt", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["prompt", "number"], name="version_number_once"),
            models.UniqueConstraint(
                fields=["prompt", "version_string"], condition=~Q(version_string=""), name="version_string_once"
            ),
        ]
        indexes = [models.Index(fields=["number", "prompt"], name="version_numbered")]

    def __str__(self) -> str:
        return f"{self.prompt} v{self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write a new version; an existing one is refused."""
        if self.pk is not None:
            raise VersionFrozen
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Never:
        raise VersionFrozen

    @property
    def content(self) -> Content:
        """What this version says, in the shape of the wire."""
        return Content(
            type=self.prompt.type,
            text=self.text,
            messages=messages_from(self.messages),
            model=self.model,
            parameters=self.parameters,
            variables=self.variables,
            syntax=self.syntax,
            output_schema=self.output_schema,
            stop=tuple(self.stop),
            tools=tuple(self.tools),
            model_texts=model_texts_from(self.model_texts),
        )

    @property
    def spec(self) -> PromptSpec:
        """This version as it is delivered."""
        return PromptSpec(self.prompt.name, self.number, self.version_string, self.content, self.checksum)


class SnippetUse(models.Model):
    """A version includes another prompt's live text by `{{> name}}`. Written with the version, and as lasting."""

    version = models.ForeignKey(Version, models.PROTECT, related_name="snippet_uses", verbose_name=_("version"))
    snippet = models.ForeignKey(Prompt, models.PROTECT, related_name="+", verbose_name=_("snippet"))

    class Meta:
        verbose_name = _("use of a snippet")
        verbose_name_plural = _("where snippets are used")
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["version", "snippet"], name="snippet_once_per_version")]

    def __str__(self) -> str:
        return f"{self.snippet} in {self.version}"
