"""What is live where: the pointer, and the append-only history of its moves."""

from __future__ import annotations

from typing import Any, Never

from django.db import models
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.models import Team, User
from promptlab.lib.errors import Conflict
from promptlab.lib.formats import fmt_name
from prompts.models.prompt import Prompt
from prompts.models.version import Version
from prompts.querysets import DeploymentEventQuerySet, DeploymentQuerySet, EnvironmentQuerySet


class Environment(models.Model):
    """Where prompts are served. `revision` grows with every pointer move, experiment change and renaming of what is live.

    `drift_budget_usd`: the most that a night's runs of its test suites on what is live may cost together; 0: none are run.
    """

    team = models.ForeignKey(Team, models.PROTECT, related_name="+", verbose_name=_("team"))
    name = models.CharField(_("name"), max_length=36)
    position = models.PositiveSmallIntegerField(_("order"), default=10)
    revision = models.PositiveBigIntegerField(_("revision"), default=0, editable=False)
    is_protected = models.BooleanField(_("protected"), default=False)
    approvals_needed = models.PositiveSmallIntegerField(_("approvals needed"), default=1)
    four_eyes = models.BooleanField(_("four eyes"), default=True)
    drift_budget_usd = models.DecimalField(_("for nightly runs"), max_digits=10, decimal_places=4, default=0)

    objects = EnvironmentQuerySet.as_manager()

    class Meta:
        verbose_name = _("environment")
        verbose_name_plural = _("environments")
        ordering = ["position", "name"]
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="environment_once_per_team")]

    def __str__(self) -> str:
        return fmt_name(self.name)

    @property
    def suite_names(self) -> list[str]:
        """The test suites it asks for, by name; a query unless its `requirements` were fetched."""
        return sorted(one.suite.name for one in self.requirements.all())


class DeploymentEvent(models.Model):
    """One move of a pointer. `restores` is the earlier move that a rollback went back to.

    Going back walks this history like a stack: `before` is the move that was in force when this one was made.
    """

    class Kind(models.TextChoices):
        DEPLOY = "deploy", _("Put live")
        ROLLBACK = "rollback", _("Went back")
        UNDEPLOY = "undeploy", _("Stopped serving")

    prompt = models.ForeignKey(Prompt, models.PROTECT, related_name="+", verbose_name=_("prompt"))
    environment = models.ForeignKey(Environment, models.PROTECT, related_name="+", verbose_name=_("environment"))
    kind = models.CharField(_("what"), max_length=10, choices=Kind.choices)
    from_version = models.ForeignKey(Version, models.PROTECT, null=True, related_name="+", verbose_name=_("from"))
    to_version = models.ForeignKey(Version, models.PROTECT, null=True, related_name="+", verbose_name=_("to"))
    before = models.ForeignKey("self", models.PROTECT, null=True, related_name="+", editable=False)
    restores = models.ForeignKey("self", models.PROTECT, null=True, related_name="+", editable=False)
    revision = models.PositiveBigIntegerField(_("revision"))
    note = models.CharField(_("why"), max_length=500, blank=True)
    actor = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", verbose_name=_("who"))
    actor_label = models.CharField(_("who"), max_length=200)
    at = models.DateTimeField(_("when"), auto_now_add=True)

    objects = DeploymentEventQuerySet.as_manager()

    class Meta:
        verbose_name = _("move")
        verbose_name_plural = _("history of live versions")
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["environment", "revision"], name="move_takes_a_revision")]

    def __str__(self) -> str:
        target = f"v{self.to_version.number}" if self.to_version else "nothing"
        return f"{self.prompt} {target} in {self.environment}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write a new move; the past is refused."""
        if self.pk is not None:
            raise Conflict("The history of live versions only grows.", code="append_only")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Never:
        raise Conflict("The history of live versions only grows.", code="append_only")


class Deployment(models.Model):
    """The pointer: which version is live for (prompt, environment). `version` is null after it was taken off."""

    prompt = models.ForeignKey(Prompt, models.PROTECT, related_name="deployments", verbose_name=_("prompt"))
    environment = models.ForeignKey(Environment, models.PROTECT, related_name="+", verbose_name=_("environment"))
    version = models.ForeignKey(Version, models.PROTECT, null=True, related_name="+", verbose_name=_("live version"))
    event = models.ForeignKey(DeploymentEvent, models.PROTECT, related_name="+", editable=False)
    updated_at = models.DateTimeField(_("since"), auto_now=True)

    objects = DeploymentQuerySet.as_manager()

    class Meta:
        verbose_name = _("live version")
        verbose_name_plural = _("live versions")
        ordering = ["environment__position", "prompt__title"]
        constraints = [models.UniqueConstraint(fields=["prompt", "environment"], name="one_live_version")]

    def __str__(self) -> str:
        live = f"v{self.version.number}" if self.version else "nothing"
        return f"{self.prompt}: {live} in {self.environment}"
