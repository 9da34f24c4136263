"""Nightly runs of test suites on what is live and was not changed, and what they say of the model behind it."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from prompts.models.deployment import Environment
from prompts.models.testcase import Suite, SuiteRun
from prompts.models.version import Version
from prompts.querysets import GoldenRunQuerySet


class GoldenRun(models.Model):
    """One night's run of a suite on a version that is live. `night` is a day of UTC.

    `verdict` is written once: compared with the oldest runs that asked exactly the same. Without a `run` it could not be
    asked, and `problem` says why.
    """

    class Verdict(models.TextChoices):
        OPEN = "open", _("Not known yet")
        FIRST = "first", _("Nothing to compare with yet")
        STEADY = "steady", _("As before")
        DRIFT = "drift", _("Worse than before")
        UNKNOWN = "unknown", _("Could not be asked")

    environment = models.ForeignKey(Environment, models.CASCADE, related_name="+", verbose_name=_("environment"))
    suite = models.ForeignKey(Suite, models.PROTECT, related_name="+", verbose_name=_("test suite"))
    version = models.ForeignKey(Version, models.PROTECT, related_name="+", verbose_name=_("version"))
    run = models.OneToOneField(SuiteRun, models.PROTECT, null=True, related_name="+", verbose_name=_("run"))
    night = models.DateField(_("night"))
    verdict = models.CharField(_("verdict"), max_length=10, choices=Verdict.choices, default=Verdict.OPEN)
    rate_before = models.FloatField(_("passed before"), null=True)
    rate_after = models.FloatField(_("passed"), null=True)
    p_of_drop = models.FloatField(null=True)
    problem = models.CharField(_("what went wrong"), max_length=300, blank=True)
    created_at = models.DateTimeField(_("asked for"), auto_now_add=True)

    objects = GoldenRunQuerySet.as_manager()

    class Meta:
        verbose_name = _("nightly run")
        verbose_name_plural = _("nightly runs")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["environment", "suite", "version", "night"], name="golden_run_once_a_night")
        ]
        indexes = [
            models.Index(fields=["night"], condition=models.Q(verdict="drift"), name="golden_run_drifting"),
            models.Index(fields=["id"], condition=models.Q(verdict="open"), name="golden_run_open"),
        ]

    def __str__(self) -> str:
        return gettext("%(suite)s on %(version)s in %(environment)s") % {
            "suite": self.suite,
            "version": self.version,
            "environment": self.environment,
        }
