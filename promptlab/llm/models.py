"""Who answers for a team's models, which models there are, and what they cost when."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.models import Team, User
from promptlab.llm.querysets import LanguageModelQuerySet, MaskingQuerySet, PriceQuerySet, ProviderQuerySet


class Provider(models.Model):
    """A server that models are called at, with the key it is called with.

    The key is kept sealed, or as the name of a variable of the environment; no page, answer, log or export repeats it.
    `generation` grows with every change of address or key. No time limit: that of the settings. `masked` are kinds of
    `finding.KINDS` with blanks between: they are replaced before its calls, beside those of the team's `Masking`.
    """

    class Kind(models.TextChoices):
        OPENAI = "openai", _("OpenAI")
        AZURE = "azure", _("Azure OpenAI")
        GOOGLE = "google", _("Google Gemini")
        BEDROCK = "bedrock", _("AWS Bedrock")
        ANTHROPIC = "anthropic", _("Anthropic")
        SERVER = "server", _("Own server (vLLM, Ollama and others)")
        ECHO = "echo", _("Practice: repeats what it is sent")

    class OnHangUp(models.TextChoices):
        CANCEL = "cancel", _("Cancel the call")
        READ = "read", _("Read the answer to its end")

    HOME: Mapping[str, str] = {
        Kind.OPENAI: "https://api.openai.com/v1",
        Kind.GOOGLE: "https://generativelanguage.googleapis.com/v1beta/openai",
        Kind.ANTHROPIC: "https://api.anthropic.com/v1",
    }
    """Where a kind is called when no address is given. The others have none of their own."""
    KEYLESS = (Kind.SERVER, Kind.ECHO)
    """Kinds that may be called without a key."""

    team = models.ForeignKey(Team, models.CASCADE, related_name="+", verbose_name=_("team"))
    name = models.CharField(_("name"), max_length=50)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices)
    address = models.CharField(_("address"), max_length=1000, blank=True)
    sealed_key = models.CharField(max_length=4000, blank=True, editable=False)
    key_hint = models.CharField(max_length=4, blank=True, editable=False)
    key_variable = models.CharField(_("variable that holds the key"), max_length=100, blank=True)
    key_set_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", editable=False)
    key_set_at = models.DateTimeField(null=True, editable=False)
    api_version = models.CharField(_("API version"), max_length=40, blank=True)
    connect_timeout_s = models.FloatField(_("longest wait to connect"), null=True)
    first_token_timeout_s = models.FloatField(_("longest wait for the first word"), null=True)
    deadline_s = models.FloatField(_("longest time for an answer"), null=True)
    on_hang_up = models.CharField(
        _("when the caller hangs up"), max_length=10, choices=OnHangUp.choices, default=OnHangUp.CANCEL
    )
    region_note = models.CharField(_("region and privacy"), max_length=300, blank=True)
    masked = models.CharField(_("replaced before a call"), max_length=40, blank=True)
    is_on = models.BooleanField(_("on"), default=True)
    generation = models.PositiveIntegerField(default=1, editable=False)
    checked_at = models.DateTimeField(_("last check"), null=True, editable=False)
    check_result = models.CharField(max_length=20, blank=True, editable=False)
    check_status = models.PositiveSmallIntegerField(null=True, editable=False)
    created_at = models.DateTimeField(_("made"), auto_now_add=True)

    objects = ProviderQuerySet.as_manager()

    class Meta:
        verbose_name = _("provider")
        verbose_name_plural = _("providers")
        ordering = ["name", "id"]
        constraints = [models.UniqueConstraint("team", Lower("name"), name="provider_name_once")]

    def __str__(self) -> str:
        return self.name

    @property
    def called_at(self) -> str:
        """The address that calls go to: the one given, else that of the kind; empty for echo."""
        return self.address or self.HOME.get(self.kind, "")

    @property
    def host(self) -> str:
        """The part of the address that the activity log may tell."""
        return urlsplit(self.called_at).hostname or ""

    @property
    def has_key(self) -> bool:
        """Whether a key, or the name of one, is set."""
        return bool(self.sealed_key or self.key_variable)

    @property
    def masked_list(self) -> list[str]:
        return self.masked.split()

    @property
    def version(self) -> str:
        """Another word after every change of address or key; no other provider has the same."""
        return f"{self.pk}.{self.generation}"


class LanguageModel(models.Model):
    """A model as callers say it, and what its provider calls it. Sizes in tokens; None: not known."""

    class Tier(models.TextChoices):
        PREMIUM = "premium", _("Premium")
        STANDARD = "standard", _("Standard")
        ECONOMY = "economy", _("Economy")

    class Ability(models.TextChoices):
        TOOLS = "tools", _("Calls tools")
        STRUCTURED = "structured", _("Answers in a given form")
        VISION = "vision", _("Sees pictures")
        REASONING = "reasoning", _("Thinks before it answers")

    team = models.ForeignKey(Team, models.CASCADE, related_name="+", verbose_name=_("team"))
    provider = models.ForeignKey(Provider, models.CASCADE, related_name="language_models", verbose_name=_("provider"))
    name = models.CharField(_("name"), max_length=100)
    upstream_name = models.CharField(_("the provider's name for it"), max_length=200)
    tier = models.CharField(_("tier"), max_length=10, choices=Tier.choices, blank=True)
    context_window = models.PositiveIntegerField(_("prompt and answer together"), null=True)
    max_output_tokens = models.PositiveIntegerField(_("longest answer"), null=True)
    abilities = models.CharField(_("abilities"), max_length=200, blank=True)
    is_on = models.BooleanField(_("on"), default=True)
    created_at = models.DateTimeField(_("made"), auto_now_add=True)

    objects = LanguageModelQuerySet.as_manager()

    class Meta:
        verbose_name = _("model")
        verbose_name_plural = _("models")
        ordering = ["name", "id"]
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="model_name_once")]

    def __str__(self) -> str:
        return self.name

    @property
    def ability_list(self) -> list[str]:
        return self.abilities.split()


class Fallback(models.Model):
    """Another model that answers when one cannot: `position` 1 is tried first."""

    model = models.ForeignKey(LanguageModel, models.CASCADE, related_name="fallbacks")
    other = models.ForeignKey(LanguageModel, models.CASCADE, related_name="+")
    position = models.PositiveSmallIntegerField()

    class Meta:
        verbose_name = _("fallback")
        verbose_name_plural = _("fallbacks")
        ordering = ["model", "position"]
        constraints = [
            models.UniqueConstraint(fields=["model", "other"], name="fallback_once"),
            models.UniqueConstraint(fields=["model", "position"], name="fallback_position_once"),
            models.CheckConstraint(condition=~Q(model=F("other")), name="fallback_is_another"),
        ]

    def __str__(self) -> str:
        return f"{self.model}, {self.position}: {self.other}"


class Masking(models.Model):
    """What is replaced before every call of a team, whoever answers. No row: nothing. `kinds` are of `finding.KINDS`."""

    team = models.OneToOneField(Team, models.CASCADE, related_name="+", verbose_name=_("team"))
    kinds = models.CharField(_("replaced before every call"), max_length=40, blank=True)

    objects = MaskingQuerySet.as_manager()

    class Meta:
        verbose_name = _("masking")
        verbose_name_plural = _("masking")

    def __str__(self) -> str:
        return f"{self.team}: {self.kinds}"


class MaskPattern(models.Model):
    """What a team never sends besides: a pattern in the language of `finding.compiled`. Tokens carry its name."""

    team = models.ForeignKey(Team, models.CASCADE, related_name="+", verbose_name=_("team"))
    name = models.CharField(_("name"), max_length=20)
    pattern = models.CharField(_("pattern"), max_length=200)

    class Meta:
        verbose_name = _("own pattern")
        verbose_name_plural = _("own patterns")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="mask_pattern_once")]

    def __str__(self) -> str:
        return f"{self.name}: {self.pattern}"


class Price(models.Model):
    """What a million tokens of one kind cost, from a moment on until before another. `model`: the provider's name for it."""

    class Token(models.TextChoices):
        INPUT = "input", _("Input")
        CACHED = "cached", _("Input read from the cache")
        CACHE_WRITE = "cache_write", _("Input written to the cache")
        OUTPUT = "output", _("Output")
        REASONING = "reasoning", _("Reasoning")

    provider = models.ForeignKey(Provider, models.CASCADE, related_name="prices", verbose_name=_("provider"))
    model = models.CharField(_("the provider's name for the model"), max_length=200)
    token = models.CharField(_("tokens"), max_length=15, choices=Token.choices)
    usd_per_million = models.DecimalField(_("US dollars for a million"), max_digits=14, decimal_places=6)
    valid_from = models.DateTimeField(_("from"), default=timezone.now)
    valid_to = models.DateTimeField(_("until"), null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = PriceQuerySet.as_manager()

    class Meta:
        verbose_name = _("price")
        verbose_name_plural = _("prices")
        ordering = ["model", "token", "-valid_from"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "model", "token", "valid_from"], name="price_starts_once"),
            models.UniqueConstraint(
                fields=["provider", "model", "token"], condition=Q(valid_to=None), name="price_open_once"
            ),
            models.CheckConstraint(condition=Q(usd_per_million__gte=0), name="price_not_negative"),
            models.CheckConstraint(
                condition=Q(valid_to=None) | Q(valid_to__gt=F("valid_from")), name="price_ends_after_start"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model}, {self.get_token_display()}: ${self.usd_per_million}"
