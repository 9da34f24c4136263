"""When nothing may go live, and what goes live later."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.models import ApiKey, User
from prompts.models.deployment import DeploymentEvent, Environment
from prompts.models.prompt import Prompt
from prompts.models.version import Version
from prompts.querysets import FreezeWindowQuerySet, ScheduledDeploymentQuerySet


class FreezeWindow(models.Model):
    """From `starts_at` until before `ends_at` nothing goes live in the environment; going back always works."""

    environment = models.ForeignKey(Environment, models.CASCADE, related_name="freezes", verbose_name=_("environment"))
    starts_at = models.DateTimeField(_("from"))
    ends_at = models.DateTimeField(_("until"))
    reason = models.CharField(_("why"), max_length=500)

    objects = FreezeWindowQuerySet.as_manager()

    class Meta:
        verbose_name = _("freeze")
        verbose_name_plural = _("freezes")
        ordering = ["starts_at", "id"]
        constraints = [models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="freeze_has_a_length")]

    def __str__(self) -> str:
        return f"{self.environment}: {self.reason}"


class ScheduledDeployment(models.Model):
    """A version that goes live at `due_at`, once. `actor_kind` with `user` or `api_key` says whose rights are asked then."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        DONE = "done", _("Done")
        FAILED = "failed", _("Refused")
        CANCELLED = "cancelled", _("Cancelled")

    prompt = models.ForeignKey(Prompt, models.PROTECT, related_name="+", verbose_name=_("prompt"))
    environment = models.ForeignKey(Environment, models.PROTECT, related_name="+", verbose_name=_("environment"))
    version = models.ForeignKey(Version, models.PROTECT, related_name="+", verbose_name=_("version"))
    due_at = models.DateTimeField(_("when"))
    confirm = models.BooleanField(_("other blanks are known"), default=False)
    note = models.CharField(_("why"), max_length=500, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.WAITING)
    failure = models.CharField(_("why not"), max_length=1000, blank=True)
    actor_kind = models.CharField(max_length=10)
    actor_label = models.CharField(_("who"), max_length=200)
    user = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    api_key = models.ForeignKey(ApiKey, models.SET_NULL, null=True, related_name="+")
    event = models.ForeignKey(DeploymentEvent, models.PROTECT, null=True, related_name="+", verbose_name=_("move"))
    created_at = models.DateTimeField(_("planned"), auto_now_add=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    objects = ScheduledDeploymentQuerySet.as_manager()

    class Meta:
        verbose_name = _("planned deployment")
        verbose_name_plural = _("planned deployments")
        ordering = ["due_at", "id"]
        indexes = [models.Index(fields=["due_at"], condition=Q(state="waiting"), name="schedule_due")]

    def __str__(self) -> str:
        said = {"prompt": self.prompt, "version": self.version.number, "environment": self.environment}
        return gettext("%(prompt)s v%(version)s in %(environment)s") % said
