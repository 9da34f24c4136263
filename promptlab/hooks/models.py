"""What happened, who wants to hear of it, and how telling them went."""

from __future__ import annotations

import uuid
from urllib.parse import urlsplit

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.models import Team, User
from promptlab.hooks.querysets import DeliveryQuerySet, EndpointQuerySet, EventQuerySet, MailQuerySet


class OutboxEvent(models.Model):
    """Something that happened, written in the transaction in which it did. Names and numbers, no texts of prompts.

    `is_private`: it names a prompt that only some of the team may see.
    """

    team = models.ForeignKey(Team, models.CASCADE, related_name="+")
    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    type = models.CharField(_("event"), max_length=60)
    data = models.JSONField(default=dict)
    about = models.CharField(_("about"), max_length=300)
    is_private = models.BooleanField(default=False)
    created_at = models.DateTimeField(_("happened"), default=timezone.now, editable=False)
    fanned_out_at = models.DateTimeField(null=True, editable=False)

    objects = EventQuerySet.as_manager()

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ["-id"]
        indexes = [models.Index(fields=["id"], condition=Q(fanned_out_at=None), name="event_not_fanned_out")]

    def __str__(self) -> str:
        return f"{self.type}: {self.about}"

    @property
    def webhook_id(self) -> str:
        """What receivers know the event by, the same in every attempt."""
        return f"msg_{self.uid.hex}"


class Endpoint(models.Model):
    """An address that wants to hear. The secret is kept, sealed, because it signs; no page, answer or log repeats it.

    The address may hold a token of the receiver's, so labels and logs have its host only.
    """

    team = models.ForeignKey(Team, models.CASCADE, related_name="+", verbose_name=_("team"))
    url = models.CharField(_("address"), max_length=1000)
    sealed_secret = models.CharField(max_length=300, editable=False)
    old_sealed_secret = models.CharField(max_length=300, blank=True, editable=False)
    old_secret_until = models.DateTimeField(null=True, editable=False)
    event_types = models.CharField(
        _("events"), max_length=1000, blank=True, help_text=_("Separated by spaces. Empty: all of them.")
    )
    description = models.CharField(_("what it is for"), max_length=200, blank=True)
    with_private = models.BooleanField(
        _("private prompts too"),
        default=False,
        help_text=_("Whoever reads what is sent there learns the names of prompts in private collections."),
    )
    is_active = models.BooleanField(_("on"), default=True)
    disabled_at = models.DateTimeField(_("switched off"), null=True, editable=False)
    disabled_reason = models.CharField(_("why it is off"), max_length=200, blank=True, editable=False)
    failing_since = models.DateTimeField(null=True, editable=False)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(_("made"), auto_now_add=True)

    objects = EndpointQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.host

    @property
    def host(self) -> str:
        """The part of the address that may be told."""
        return urlsplit(self.url).hostname or ""

    @property
    def event_list(self) -> list[str]:
        return self.event_types.split()

    def wants(self, event: OutboxEvent) -> bool:
        """Tell whether an event is sent here."""
        if event.is_private and not self.with_private:
            return False
        return not self.event_types or event.type in self.event_list

    @property
    def sealed_secrets(self) -> list[str]:
        """The secrets that sign now, sealed: the present one, and the one before while it is being replaced."""
        is_replacing = self.old_secret_until is not None and self.old_secret_until > timezone.now()
        return [self.sealed_secret, self.old_sealed_secret] if is_replacing else [self.sealed_secret]


class Sending(models.Model):
    """Something to be sent. `next_at` is when it is due, and while it is being sent, when the lease ends."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Not sent yet")
        FAILED = "failed", _("Failed, will be tried again")
        DELIVERED = "delivered", _("Delivered")
        DEAD = "dead", _("Given up")

    UNSETTLED = (State.WAITING, State.FAILED)

    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    next_at = models.DateTimeField(_("next attempt"), default=timezone.now)
    last_error = models.CharField(_("last error"), max_length=100, blank=True)
    delivered_at = models.DateTimeField(_("delivered"), null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True


class Delivery(Sending):
    """One event for one endpoint."""

    endpoint = models.ForeignKey(Endpoint, models.CASCADE, related_name="deliveries", verbose_name=_("webhook"))
    event = models.ForeignKey(OutboxEvent, models.CASCADE, related_name="deliveries", verbose_name=_("event"))
    last_status = models.PositiveSmallIntegerField(_("last answer"), null=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["endpoint", "event"], name="delivery_once")]
        indexes = [
            models.Index(fields=["next_at"], condition=Q(state__in=("waiting", "failed")), name="delivery_due"),
            models.Index(fields=["endpoint", "-id"], name="delivery_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.event.type} to {self.endpoint}"


class MailKind(models.TextChoices):
    """What people may hear of by mail, in the words of the page on which they choose."""

    MENTION = "mention", _("Somebody mentions me in a comment")
    COMMENT_ON_MINE = "comment_on_mine", _("Somebody comments on what I wrote or own")
    REVIEW_REQUESTED = "review_requested", _("Somebody asks for a review that I may give")
    REVIEW_DECIDED = "review_decided", _("Somebody decides on a review of mine")
    WENT_LIVE = "went_live", _("What is live of mine changes in a protected environment")
    PLAN_FAILED = "plan_failed", _("A deployment that I planned was not carried out")
    EXPERIMENT_ENDED = "experiment_ended", _("An experiment of mine ends")
    CONCLUSION = "conclusion", _("An experiment's end needs a second person, or was decided on as I asked for")
    RAMP_MOVED = "ramp_moved", _("A gradual launch of mine takes a step, or waits for somebody")
    WEBHOOK_OFF = "webhook_off", _("A webhook of a team that I administer is switched off, because it fails")
    DRIFTED = "drifted", _("What is live of mine answers worse than before, though nobody changed it")
    BUDGET_NEAR = "budget_near", _("Most of a budget of a team that I administer is spent")


class Mail(Sending):
    """One mail to one person, written in the transaction in which happened what it tells. Worded when it is sent."""

    team = models.ForeignKey(Team, models.CASCADE, related_name="+")
    user = models.ForeignKey(User, models.CASCADE, related_name="+", verbose_name=_("to"))
    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(_("kind"), max_length=20, choices=MailKind.choices)
    facts = models.JSONField(default=dict)
    path = models.CharField(max_length=500)

    objects = MailQuerySet.as_manager()

    class Meta:
        verbose_name = _("mail")
        verbose_name_plural = _("mails")
        ordering = ["-id"]
        indexes = [models.Index(fields=["next_at"], condition=Q(state__in=("waiting", "failed")), name="mail_due")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.user}"


class MailOff(models.Model):
    """A kind of mail that a person does not want. Without a row they get it."""

    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    kind = models.CharField(max_length=20, choices=MailKind.choices)

    class Meta:
        verbose_name = _("unwanted kind of mail")
        verbose_name_plural = _("unwanted kinds of mail")
        ordering = ["user", "kind"]
        constraints = [models.UniqueConstraint(fields=["user", "kind"], name="mail_off_once")]

    def __str__(self) -> str:
        return f"{self.user}: {self.get_kind_display()}"
