"""Conversations and their messages. A message row exists before the first byte of an answer, and always ends."""

from __future__ import annotations

import uuid
from decimal import Decimal

from django.db import models
from django.db.models import Q
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _

from experiments.models import Experiment, Variant
from promptlab.accounts.models import ApiKey, Team, User
from promptlab.chat.querysets import (
    TITLE_CHARACTERS,
    BudgetQuerySet,
    ConversationQuerySet,
    MessageQuerySet,
    RepricingQuerySet,
)
from prompts.models import Environment, Prompt, Version


class Conversation(models.Model):
    """What one end user and the model say to each other. `session` is the caller's own name for it, if it gave one.

    `author` is the person who tries a prompt in it, on the page for that.
    """

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, models.PROTECT, related_name="+", verbose_name=_("team"))
    prompt = models.ForeignKey(Prompt, models.PROTECT, null=True, related_name="+", verbose_name=_("prompt"))
    environment = models.CharField(_("environment"), max_length=36, blank=True)
    unit_id = models.CharField(_("end user"), max_length=200, blank=True)
    key = models.ForeignKey(ApiKey, models.SET_NULL, null=True, related_name="+", verbose_name=_("API key"))
    author = models.ForeignKey(
        User, models.SET_NULL, null=True, related_name="+", verbose_name=_("tried by"), db_index=False
    )
    title = models.CharField(_("title"), max_length=200, blank=True)
    session = models.CharField(_("session"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("started"), auto_now_add=True)
    archived_at = models.DateTimeField(_("archived"), null=True)

    objects = ConversationQuerySet.as_manager()

    class Meta:
        verbose_name = _("conversation")
        verbose_name_plural = _("conversations")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["team", "session"], condition=~Q(session=""), name="conversation_session"),
            models.Index(fields=["team", "unit_id"], condition=~Q(unit_id=""), name="conversation_unit"),
            models.Index(fields=["author", "id"], condition=Q(author__isnull=False), name="conversation_author"),
        ]

    def __str__(self) -> str:
        about = self.prompt.title if self.prompt else _("Plain chat")
        return f"{about}, {self.created_at:%Y-%m-%d %H:%M}"

    @property
    def shown_title(self) -> str:
        """The title it was given, else its first question, shortened: for rows that come `with_titles`."""
        asked = " ".join((getattr(self, "first_question", None) or "").split())
        return self.title or Truncator(asked).chars(TITLE_CHARACTERS)


class Message(models.Model):
    """One message. Answers carry what was assigned, what was served, and what it took.

    `variables`, `snippets` and the messages before this one rebuild the exact text sent upstream. `snippets` is the id of
    the version of each included prompt, by the name it was included under. `cost_usd` null: unknown. An external answer
    was given by an application that took the prompt from us and asked a model itself; its text we never see.
    A cached answer was given before to the same request: it cost nothing. One with an `error_code` was given because
    nobody answered. `tool_calls` are what an answer asks to be
    called, `tool_call_id` is the call that a message of role tool answers. `prices` is what the usage was priced with.
    `history_from` is the id of the first message of the history sent for an answer; null: all of it. What was purged has
    no text, blanks or end user any more, and all of its numbers. `masks` says what left as tokens (`llm.Masks`); null:
    nothing did. The texts here are those before and after: with the values.
    Callers of the OpenAI-compatible face tell the whole talk with every question: these messages are marked `is_sent`,
    and the answer's `sent_from` is the id of the first of them. `metadata` is what such a caller noted with its question.
    `asked_model` is the name that was asked for, `model` becomes the one that answered.
    What a person tries is kept and paid for as any other answer, and stands in no sum of what a version did for its users.
    """

    class Role(models.TextChoices):
        SYSTEM = "system", _("System")
        DEVELOPER = "developer", _("Developer")
        USER = "user", _("User")
        ASSISTANT = "assistant", _("Model")
        TOOL = "tool", _("Tool")

    class Purpose(models.TextChoices):
        CHAT = "chat", _("Chat")
        GENERATE = "generate", _("Generate")
        OPENAI = "openai", _("OpenAI-compatible")
        TRY = "try", _("Try it")

    class State(models.TextChoices):
        STREAMING = "streaming", _("Being written")
        COMPLETED = "completed", _("Completed")
        FAILED = "failed", _("Failed")
        CANCELLED = "cancelled", _("Cancelled by the caller")
        ABANDONED = "abandoned", _("Abandoned: our process ended")

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    conversation = models.ForeignKey(Conversation, models.CASCADE, related_name="messages")
    role = models.CharField(_("who"), max_length=10, choices=Role.choices)
    purpose = models.CharField(_("asked by way of"), max_length=10, choices=Purpose.choices, default=Purpose.CHAT)
    content = models.TextField(_("text"), blank=True)
    state = models.CharField(_("state"), max_length=10, choices=State.choices)
    created_at = models.DateTimeField(_("asked"), auto_now_add=True)
    ended_at = models.DateTimeField(_("ended"), null=True)
    lease_until = models.DateTimeField(null=True)
    version = models.ForeignKey(Version, models.PROTECT, null=True, related_name="+", verbose_name=_("version"))
    environment = models.ForeignKey(Environment, models.PROTECT, null=True, related_name="+")
    experiment = models.ForeignKey(Experiment, models.PROTECT, null=True, related_name="+")
    phase = models.PositiveIntegerField(default=0)
    assigned_variant = models.ForeignKey(Variant, models.PROTECT, null=True, related_name="+")
    served_variant = models.ForeignKey(Variant, models.PROTECT, null=True, related_name="+", verbose_name=_("variant"))
    slot = models.PositiveSmallIntegerField(null=True)
    unit_id = models.CharField(_("end user"), max_length=200, blank=True)
    dealt_unit = models.CharField(max_length=200, blank=True, editable=False)
    variables = models.JSONField(_("blanks"), default=dict)
    snippets = models.JSONField(_("versions of the snippets"), default=dict)
    model = models.CharField(_("model"), max_length=100, blank=True)
    provider = models.CharField(_("provider"), max_length=50, blank=True)
    parameters = models.JSONField(_("model settings"), default=dict)
    finish_reason = models.CharField(_("why it ended"), max_length=20, blank=True)
    error_code = models.CharField(_("error"), max_length=60, blank=True)
    input_tokens = models.PositiveIntegerField(_("tokens in"), null=True)
    output_tokens = models.PositiveIntegerField(_("tokens out"), null=True)
    cached_tokens = models.PositiveIntegerField(_("of them read from the provider's cache"), null=True)
    cache_write_tokens = models.PositiveIntegerField(_("of them written to the provider's cache"), null=True)
    reasoning_tokens = models.PositiveIntegerField(_("of them spent on reasoning"), null=True)
    tool_calls = models.JSONField(_("calls of tools"), default=list)
    tool_call_id = models.CharField(max_length=200, blank=True)
    is_sent = models.BooleanField(_("told by the caller"), default=False)
    sent_from = models.PositiveBigIntegerField(null=True, editable=False)
    metadata = models.JSONField(_("notes of the caller"), default=dict)
    asked_model = models.CharField(_("model asked for"), max_length=100, blank=True)
    is_usage_estimated = models.BooleanField(default=False)
    cost_usd = models.DecimalField(_("cost"), max_digits=14, decimal_places=9, null=True)
    prices = models.JSONField(_("priced with"), null=True)
    is_cached = models.BooleanField(_("given before"), default=False)
    latency_ms = models.PositiveIntegerField(_("wait"), null=True)
    first_token_ms = models.PositiveIntegerField(_("wait for the first word"), null=True)
    revision = models.PositiveBigIntegerField(_("revision of the environment"), null=True)
    is_external = models.BooleanField(_("answered elsewhere"), default=False)
    request_id = models.CharField(max_length=64, blank=True)
    rolled_up_at = models.DateTimeField(null=True)
    history_from = models.PositiveBigIntegerField(null=True)
    masks = models.JSONField(null=True, editable=False)
    text_for = models.CharField(_("text written for"), max_length=100, blank=True, default="", editable=False)
    purged_at = models.DateTimeField(_("text removed"), null=True)

    objects = MessageQuerySet.as_manager()

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        ordering = ["id"]
        indexes = [
            models.Index(fields=["lease_until"], condition=Q(state="streaming"), name="message_streaming"),
            models.Index(
                fields=["id"],
                condition=Q(rolled_up_at=None, role="assistant", ended_at__isnull=False),
                name="message_not_rolled_up",
            ),
            models.Index(fields=["id"], condition=Q(purged_at=None, role="assistant"), name="message_not_purged"),
        ]

    def __str__(self) -> str:
        return f"{self.get_role_display()}: {self.content[:60]}"

    @property
    def counted_unit(self) -> str:
        """Whom the answer is counted for: the unit that its experiment dealt, usually the end user."""
        return self.dealt_unit or self.unit_id

    @property
    def is_answer(self) -> bool:
        """Whether a model was asked for it here, or elsewhere with a prompt of ours."""
        return self.role == self.Role.ASSISTANT and not self.is_sent


class Retention(models.Model):
    """How long a team keeps what was said. No row: for ever."""

    team = models.OneToOneField(Team, models.CASCADE, related_name="+", verbose_name=_("team"))
    days = models.PositiveIntegerField(_("days"))

    class Meta:
        verbose_name = _("retention of conversations")
        verbose_name_plural = _("retention of conversations")

    def __str__(self) -> str:
        return f"{self.team}: {self.days}"


NANO = 10**9


def usd(nanousd: int) -> Decimal:
    """Return an amount that is kept in billionths of a dollar, in dollars."""
    return Decimal(nanousd) / NANO


class Budget(models.Model):
    """What the answers of a team, a key, a prompt, or the variants of an experiment may cost in a day or month of UTC.

    At most one of `key`, `prompt` and `experiment` is set; with none of them it is the team's. An experiment's pays for its
    variants alone: the control is what would be served anyway. A removed one stays for the answers that are under way.
    """

    class Period(models.TextChoices):
        DAY = "day", _("Day")
        MONTH = "month", _("Month")

    team = models.ForeignKey(Team, models.PROTECT, related_name="+", verbose_name=_("team"))
    key = models.ForeignKey(ApiKey, models.CASCADE, null=True, related_name="+", verbose_name=_("API key"))
    prompt = models.ForeignKey(Prompt, models.PROTECT, null=True, related_name="+", verbose_name=_("prompt"))
    experiment = models.ForeignKey(
        Experiment, models.PROTECT, null=True, related_name="+", verbose_name=_("experiment")
    )
    period = models.CharField(_("period"), max_length=5, choices=Period.choices)
    limit_usd = models.DecimalField(_("limit in US dollars"), max_digits=14, decimal_places=6)
    takes_unpriced = models.BooleanField(_("lets calls through whose price is unknown"), default=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    removed_at = models.DateTimeField(null=True, editable=False)

    objects = BudgetQuerySet.as_manager()

    class Meta:
        verbose_name = _("budget")
        verbose_name_plural = _("budgets")
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "period"],
                condition=Q(key=None, prompt=None, experiment=None, removed_at=None),
                name="budget_once_per_team",
            ),
            models.UniqueConstraint(
                fields=["key", "period"],
                condition=Q(key__isnull=False, removed_at=None),
                name="budget_once_per_key",
            ),
            models.UniqueConstraint(
                fields=["prompt", "period"],
                condition=Q(prompt__isnull=False, removed_at=None),
                name="budget_once_per_prompt",
            ),
            models.UniqueConstraint(
                fields=["experiment", "period"],
                condition=Q(experiment__isnull=False, removed_at=None),
                name="budget_once_per_experiment",
            ),
            models.CheckConstraint(
                condition=Q(key=None, prompt=None) | Q(key=None, experiment=None) | Q(prompt=None, experiment=None),
                name="budget_of_one_thing",
            ),
            models.CheckConstraint(condition=Q(limit_usd__gt=0), name="budget_above_nothing"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.about}, {self.period}"

    @property
    def kind(self) -> str:
        """What it is about: `team`, `key`, `prompt` or `experiment`."""
        return "key" if self.key_id else "prompt" if self.prompt_id else "experiment" if self.experiment_id else "team"

    @property
    def about(self) -> str:
        """What its key, prompt, experiment or team is called."""
        if self.key is not None:
            return self.key.name
        if self.prompt is not None:
            return self.prompt.name
        return self.experiment.key if self.experiment is not None else self.team.name


class BudgetPeriod(models.Model):
    """What a budget spent in one period, and what is reserved for answers that are being written.

    Amounts are whole billionths of a dollar, because the database adds them: SQLite would add decimals in binary.
    `unpriced_answers` are those of which nobody knows what they cost.
    """

    budget = models.ForeignKey(Budget, models.CASCADE, related_name="periods")
    starts_at = models.DateTimeField(_("begins"))
    spent_nanousd = models.BigIntegerField(default=0)
    reserved_nanousd = models.BigIntegerField(default=0)
    unpriced_answers = models.PositiveIntegerField(_("answers of unknown cost"), default=0)
    warned_at = models.DateTimeField(null=True)
    exceeded_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("spending")
        verbose_name_plural = _("spending")
        ordering = ["-starts_at"]
        constraints = [models.UniqueConstraint(fields=["budget", "starts_at"], name="budget_period_once")]

    def __str__(self) -> str:
        return f"{self.budget_id}, {self.starts_at:%Y-%m-%d}"

    @property
    def spent_usd(self) -> Decimal:
        return usd(self.spent_nanousd)

    @property
    def reserved_usd(self) -> Decimal:
        return usd(self.reserved_nanousd)


class Reservation(models.Model):
    """What a budget keeps ready for an answer that is being written: the most it can cost. Gone when the answer ended."""

    period = models.ForeignKey(BudgetPeriod, models.CASCADE, related_name="+")
    message = models.ForeignKey(Message, models.CASCADE, related_name="+")
    nanousd = models.BigIntegerField()

    class Meta:
        verbose_name = _("reservation")
        verbose_name_plural = _("reservations")
        constraints = [models.UniqueConstraint(fields=["message", "period"], name="reservation_once")]

    def __str__(self) -> str:
        return f"{self.message_id}: {usd(self.nanousd)}"


class Repricing(models.Model):
    """A job that prices a team's answers again, and what came of it so far. `done_to` is the id of the last one it looked at.

    Sums are over the answers that were looked at. Nothing is written where it `is_trial`.
    """

    team = models.ForeignKey(Team, models.CASCADE, related_name="+", verbose_name=_("team"))
    asked_by = models.CharField(_("asked by"), max_length=200)
    since = models.DateTimeField(_("answers since"), null=True)
    until = models.DateTimeField(_("answers until"), null=True)
    is_trial = models.BooleanField(_("only a report"), default=True)
    created_at = models.DateTimeField(_("asked at"), auto_now_add=True)
    ended_at = models.DateTimeField(_("done"), null=True)
    done_to = models.PositiveBigIntegerField(default=0, editable=False)
    answers = models.PositiveIntegerField(_("answers looked at"), default=0)
    changed = models.PositiveIntegerField(_("cost changed"), default=0)
    unknown = models.PositiveIntegerField(_("cost unknown"), default=0)
    found = models.PositiveIntegerField(_("cost found"), default=0)
    old_usd = models.DecimalField(_("sum before"), max_digits=20, decimal_places=9, default=0)
    new_usd = models.DecimalField(_("sum after"), max_digits=20, decimal_places=9, default=0)

    objects = RepricingQuerySet.as_manager()

    class Meta:
        verbose_name = _("pricing again")
        verbose_name_plural = _("pricing again")
        ordering = ["-id"]
        indexes = [models.Index(fields=["id"], condition=Q(ended_at=None), name="repricing_waiting")]

    def __str__(self) -> str:
        return f"{self.team}, {self.created_at:%Y-%m-%d %H:%M}"
