"""Who serves which revision: processes of applications and of our own, as they say themselves."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from prompts.models.deployment import Environment


class ServingProcess(models.Model):
    """A process that serves prompts of an environment. It reports every few seconds, and is forgotten when it does not.

    `revision` is the newest one it serves. A process is the same one while its host and its name there are.
    """

    environment = models.ForeignKey(
        Environment, models.CASCADE, related_name="+", verbose_name=_("environment"), db_index=False
    )
    host = models.CharField(_("host"), max_length=100)
    process = models.CharField(_("process"), max_length=100)
    client = models.CharField(_("client"), max_length=60)
    client_version = models.CharField(_("version of the client"), max_length=40, blank=True)
    revision = models.PositiveBigIntegerField(_("revision"))
    first_seen_at = models.DateTimeField(_("first seen"))
    seen_at = models.DateTimeField(_("last seen"))

    class Meta:
        verbose_name = _("process")
        verbose_name_plural = _("processes")
        ordering = ["host", "process"]
        constraints = [models.UniqueConstraint(fields=["environment", "host", "process"], name="serving_process_once")]
        indexes = [models.Index(fields=["seen_at"], name="serving_process_seen")]

    def __str__(self) -> str:
        return f"{self.host}/{self.process}"


class ServingStep(models.Model):
    """The moment from which a process served a revision. Kept for a day, to say how long a move took to reach everybody."""

    process = models.ForeignKey(ServingProcess, models.CASCADE, related_name="steps", verbose_name=_("process"))
    revision = models.PositiveBigIntegerField(_("revision"))
    at = models.DateTimeField(_("since"))

    class Meta:
        verbose_name = _("step of a process")
        verbose_name_plural = _("steps of processes")
        ordering = ["id"]
        indexes = [
            models.Index(fields=["process", "revision", "at"], name="serving_step_revision"),
            models.Index(fields=["at"], name="serving_step_at"),
        ]

    def __str__(self) -> str:
        return f"{self.process}: {self.revision}"
