"""What the page before a version goes live says of experiments there."""

from __future__ import annotations

from django.urls import reverse
from django.utils.translation import gettext

from experiments.models import Experiment
from promptlab.accounts.access import Principal
from prompts.admin import readiness
from prompts.admin.readiness import Check
from prompts.models import Environment, Version


def running(actor: Principal, version: Version, environment: Environment) -> Check:
    """Return whether nobody is dealt texts of the prompt there."""
    names = {"environment": environment}
    rows = Experiment.objects.filter(prompt=version.prompt_id, environment=environment).serving()
    key = rows.values_list("key", flat=True).first()
    if key is None:
        return Check(True, gettext("No experiment runs in %(environment)s.") % names)
    told = gettext("An experiment runs in %(environment)s: whoever is in it keeps getting its texts.") % names
    return Check(False, told, reverse("dashboards:experiment", args=[key]))


readiness.checks_above.append(running)
