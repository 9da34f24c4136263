"""Who asked with which variables: names and numbers of a day, never values."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from prompts.models.deployment import Environment
from prompts.models.prompt import Prompt


class CallerDay(models.Model):
    """How one caller was answered with a prompt on a day (UTC) in an environment. `caller` is an API key's id, 0: no key.

    The row without a `name` has the sums, and in `seen` how many of the calls were looked at; those with the name of a
    variable have in `seen` how many of these sent it.
    """

    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="+", verbose_name=_("prompt"))
    environment = models.ForeignKey(Environment, models.CASCADE, related_name="+", verbose_name=_("environment"))
    day = models.DateField(_("day"))
    caller = models.PositiveBigIntegerField(_("API key"), default=0)
    name = models.CharField(_("blank"), max_length=100, blank=True)
    seen = models.PositiveBigIntegerField(default=0)
    calls = models.PositiveBigIntegerField(_("calls"), default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)

    class Meta:
        verbose_name = _("calls of a day")
        verbose_name_plural = _("calls of a day")
        ordering = ["-day"]
        constraints = [
            models.UniqueConstraint(
                fields=["prompt", "environment", "day", "caller", "name"], name="caller_once_per_day"
            ),
        ]
        indexes = [models.Index(fields=["day"], name="caller_day")]

    def __str__(self) -> str:
        return f"{self.prompt} on {self.day}: {self.name or self.calls}"
