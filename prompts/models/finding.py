"""What helps people find a prompt and choose one: fields of their own, favourites, stars, and how much it is used."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.models import Team, User
from prompts.models.prompt import Prompt
from prompts.querysets import FavouriteQuerySet, MetadataFieldQuerySet, MetadataValueQuerySet, RatingQuerySet


class MetadataField(models.Model):
    """A field that a team adds to its prompts. `choices` are the allowed texts of a choice."""

    class Type(models.TextChoices):
        TEXT = "text", _("Text")
        NUMBER = "number", _("Number")
        BOOLEAN = "boolean", _("Yes or no")
        DATE = "date", _("Date")
        CHOICE = "choice", _("One of a list")

    team = models.ForeignKey(Team, models.PROTECT, related_name="+", verbose_name=_("team"))
    key = models.SlugField(_("short name"), max_length=50)
    title = models.CharField(_("title"), max_length=100)
    type = models.CharField(_("type"), max_length=10, choices=Type.choices, default=Type.TEXT)
    choices = models.JSONField(_("choices"), default=list, blank=True)
    position = models.PositiveSmallIntegerField(_("order"), default=10)

    objects = MetadataFieldQuerySet.as_manager()

    class Meta:
        verbose_name = _("field of prompts")
        verbose_name_plural = _("fields of prompts")
        ordering = ["position", "key"]
        constraints = [models.UniqueConstraint(fields=["team", "key"], name="metadata_field_once_per_team")]

    def __str__(self) -> str:
        return self.title


class MetadataValue(models.Model):
    """What a prompt has in a field: one column is set, the one of the field's type."""

    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="metadata", verbose_name=_("prompt"))
    field = models.ForeignKey(MetadataField, models.CASCADE, related_name="+", verbose_name=_("field"))
    text = models.CharField(_("text"), max_length=500, blank=True)
    number = models.DecimalField(_("number"), max_digits=20, decimal_places=6, null=True, blank=True)
    flag = models.BooleanField(_("yes or no"), null=True, blank=True)
    day = models.DateField(_("date"), null=True, blank=True)

    objects = MetadataValueQuerySet.as_manager()

    class Meta:
        verbose_name = _("field")
        verbose_name_plural = _("fields")
        ordering = ["field__position", "field__key"]
        constraints = [models.UniqueConstraint(fields=["prompt", "field"], name="metadata_value_once")]
        indexes = [
            models.Index(fields=["field", "text"], name="metadata_by_text"),
            models.Index(fields=["field", "number"], condition=Q(number__isnull=False), name="metadata_by_number"),
            models.Index(fields=["field", "day"], condition=Q(day__isnull=False), name="metadata_by_day"),
        ]

    def __str__(self) -> str:
        return f"{self.field}: {self.value}"

    @property
    def value(self) -> object:
        """What is set, in the field's own type."""
        kind = self.field.type
        if kind == MetadataField.Type.NUMBER:
            return self.number
        if kind == MetadataField.Type.BOOLEAN:
            return self.flag
        return self.day if kind == MetadataField.Type.DATE else self.text


class Favourite(models.Model):
    """A prompt that somebody keeps at hand."""

    user = models.ForeignKey(User, models.CASCADE, related_name="+", verbose_name=_("person"))
    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="favourites", verbose_name=_("prompt"))
    at = models.DateTimeField(_("since"), auto_now_add=True)

    objects = FavouriteQuerySet.as_manager()

    class Meta:
        verbose_name = _("favourite")
        verbose_name_plural = _("favourites")
        ordering = ["-at"]
        constraints = [models.UniqueConstraint(fields=["user", "prompt"], name="favourite_once")]

    def __str__(self) -> str:
        return str(self.prompt)


class Rating(models.Model):
    """What a colleague thinks of a prompt: one to five stars, and why. End users' feedback is another thing."""

    user = models.ForeignKey(User, models.CASCADE, related_name="+", verbose_name=_("person"))
    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="ratings", verbose_name=_("prompt"))
    stars = models.PositiveSmallIntegerField(_("stars"))
    note = models.CharField(_("why"), max_length=1000, blank=True)
    at = models.DateTimeField(_("when"), auto_now=True)

    objects = RatingQuerySet.as_manager()

    class Meta:
        verbose_name = _("rating")
        verbose_name_plural = _("ratings")
        ordering = ["-at"]
        constraints = [
            models.UniqueConstraint(fields=["user", "prompt"], name="rating_once_per_person"),
            models.CheckConstraint(condition=Q(stars__gte=1, stars__lte=5), name="rating_one_to_five"),
        ]

    def __str__(self) -> str:
        return f"{self.prompt}: {self.stars}"


class PromptUsage(models.Model):
    """How often a prompt was asked for on a day (UTC): fetched by applications, and answered with by the gateway."""

    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="usage", verbose_name=_("prompt"))
    day = models.DateField(_("day"))
    fetches = models.PositiveBigIntegerField(_("fetches"), default=0)
    answers = models.PositiveBigIntegerField(_("answers"), default=0)

    class Meta:
        verbose_name = _("use of a prompt")
        verbose_name_plural = _("use of prompts")
        ordering = ["-day"]
        constraints = [models.UniqueConstraint(fields=["prompt", "day"], name="usage_once_per_day")]

    def __str__(self) -> str:
        return f"{self.prompt} on {self.day}"


class Standing(models.Model):
    """A prompt's stars and uses, added up so that lists can be put in their order: one row each.

    `services.standing` keeps it; the ratings and the days' sums are what counts. `stars` is the average, 0 without ratings.
    """

    prompt = models.OneToOneField(Prompt, models.CASCADE, primary_key=True, related_name="standing")
    stars = models.FloatField(_("stars"), default=0)
    ratings_count = models.PositiveIntegerField(_("ratings"), default=0)
    uses_30d = models.PositiveBigIntegerField(_("uses in 30 days"), default=0)

    class Meta:
        verbose_name = _("standing")
        verbose_name_plural = _("standings")
        # What is equal comes newest first, whichever way the list goes.
        indexes = [
            models.Index(fields=["-stars", "-prompt"], name="standing_best"),
            models.Index(fields=["stars", "-prompt"], name="standing_worst"),
            models.Index(fields=["-uses_30d", "-prompt"], name="standing_most_used"),
            models.Index(fields=["uses_30d", "-prompt"], name="standing_least_used"),
        ]

    def __str__(self) -> str:
        return str(self.prompt)
