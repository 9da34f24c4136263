"""People, teams, roles and API keys."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.querysets import ApiKeyQuerySet, TeamQuerySet


class User(AbstractUser):
    """A person who signs in. What they may do comes from their memberships."""

    language = models.CharField(_("language of mails"), max_length=10, null=True, editable=False)
    """The one chosen last on a page; None until somebody chooses."""
    has_single_keys = models.BooleanField(_("single keys do something"), default=True, editable=False)
    sign_outs = models.PositiveIntegerField(default=0, editable=False)
    """How often they signed out everywhere: sessions from before each end with it."""

    class Meta(AbstractUser.Meta):
        verbose_name = _("person")  # type: ignore[assignment]  # lazy texts are what Django wants
        verbose_name_plural = _("people")  # type: ignore[assignment]

    def __str__(self) -> str:
        return self.get_full_name() or self.get_username()

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Return what a session has to match: the password, and how often all of them were ended."""
        if not self.sign_outs:
            return super()._get_session_auth_hash(secret)  # type: ignore[misc]
        said = f"{self.password}:{self.sign_outs}"
        return salted_hmac("promptlab.accounts.User", said, secret=secret, algorithm="sha256").hexdigest()


class Team(models.Model):
    """Owns prompts, environments, keys; nothing is seen across teams."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("team")
        verbose_name_plural = _("teams")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """One role of one person in one team. Several rows, several roles."""

    class Role(models.TextChoices):
        VIEWER = "viewer", _("Viewer: sees everything, tries prompts out")
        WRITER = "writer", _("Writer: writes prompts and experiments, puts live in Development")
        REVIEWER = "reviewer", _("Reviewer: approves what others wrote")
        PUBLISHER = "publisher", _("Publisher: puts live everywhere, runs experiments")
        ADMINISTRATOR = "administrator", _("Administrator: people, keys, settings, and everything above")

    team = models.ForeignKey(Team, models.CASCADE, related_name="memberships", verbose_name=_("team"))
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships", verbose_name=_("person"))
    role = models.CharField(_("role"), max_length=20, choices=Role.choices, default=Role.VIEWER)

    class Meta:
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        ordering = ["team", "user", "role"]
        constraints = [models.UniqueConstraint(fields=["team", "user", "role"], name="membership_once")]

    def __str__(self) -> str:
        return f"{self.user}, {self.get_role_display().split(':')[0]} in {self.team}"


class ApiKey(models.Model):
    """A program's credential. The secret is shown once; only its keyed digest is kept."""

    team = models.ForeignKey(Team, models.CASCADE, related_name="api_keys", verbose_name=_("team"))
    name = models.CharField(_("name"), max_length=100, help_text=_("Which application uses it."))
    prefix = models.CharField(_("begins with"), max_length=8, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    scopes = models.CharField(max_length=200, help_text=_("Separated by spaces."))
    environments = models.CharField(
        _("environments"), max_length=400, blank=True, help_text=_("Separated by spaces. Empty: all of them.")
    )
    default_environment = models.CharField(_("default environment"), max_length=36, default="production")
    calls_per_hour = models.PositiveIntegerField(
        _("calls per hour"), null=True, blank=True, help_text=_("Empty: the installation's default.")
    )
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    expires_at = models.DateTimeField(_("ends on"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True, editable=False)
    rotated_from = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="+", editable=False)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.name} (pl_{self.prefix}…)"

    @property
    def scope_list(self) -> list[str]:
        return self.scopes.split()

    @property
    def is_usable(self) -> bool:
        """Whether the key works now."""
        is_over = self.expires_at is not None and self.expires_at <= timezone.now()
        return self.revoked_at is None and not is_over


class IdempotentCall(models.Model):
    """What an idempotency key stood for. `subject` is the uid of the row that tells how a call of the gateway ended.

    Of other calls the whole answer is kept: `status`, `headers` and `body`. All of it for a day.
    """

    caller = models.CharField(max_length=40)
    operation = models.CharField(max_length=300)
    key = models.CharField(max_length=255)
    body_hash = models.CharField(max_length=64)
    subject = models.CharField(max_length=64, blank=True)
    status = models.PositiveSmallIntegerField(null=True)
    headers = models.JSONField(default=dict)
    body = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        verbose_name = _("repeatable call")
        verbose_name_plural = _("repeatable calls")
        constraints = [models.UniqueConstraint(fields=["caller", "operation", "key"], name="idempotent_call_once")]

    def __str__(self) -> str:
        return f"{self.operation} ({self.key[:20]})"
