"""What every page that moves a pointer begins and ends with. Reading what is live, and saying what is live now."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import HouseAdmin, link
from prompts.admin.shown import PRODUCTION, deploy_capability
from prompts.models import Deployment, DeploymentEvent, Environment, Prompt
from prompts.services.environments import named


class Moving(HouseAdmin):
    """For pages that move a pointer."""

    def moved_one(self, request: HttpRequest, pk: int) -> Prompt:
        """Return the prompt whose pointer moves, bare."""
        found: Prompt = self.one_of(self.visible(request), pk)
        return found

    def demand_move(self, request: HttpRequest, prompt: Prompt, where: Environment) -> None:
        self.demand(request, deploy_capability(where), prompt)

    def moved(self, request: HttpRequest, prompt: Prompt, where: Environment, event: DeploymentEvent) -> HttpResponse:
        """Say what is live now, with the way back."""
        names = {"environment": where, "number": event.to_version.number if event.to_version else ""}
        if event.to_version is None:
            sentence = gettext("%(environment)s no longer serves this prompt.") % names
        elif event.kind == DeploymentEvent.Kind.ROLLBACK:
            sentence = gettext("v%(number)s is live again in %(environment)s.") % names
        else:
            sentence = gettext("v%(number)s is live in %(environment)s.") % names
        undo = _undo(self, prompt, where, event)
        message = format_html("{} {}", sentence, undo) if undo else sentence
        return self.said(request, message, self.url("moves", prompt.pk))


def at(prompt: Prompt, environment: str) -> tuple[Environment, Deployment | None]:
    """Return an environment of the prompt's team, and what points to it there. Raises EnvironmentNotFound."""
    where = named(prompt.team_id, environment)
    return where, pointer_of(prompt, where)


def pointer_of(prompt: Prompt, where: Environment) -> Deployment | None:
    pointers = Deployment.objects.filter(prompt=prompt, environment=where)
    whole = ["version__prompt", "event__before__to_version__prompt", "event__restores__before__to_version__prompt"]
    found: Deployment | None = pointers.select_related(*whole).first()
    return found


def _undo(pages: Moving, prompt: Prompt, where: Environment, event: DeploymentEvent) -> SafeString | None:
    """Return the link that takes a move back: by going back, or by no longer serving what was not served before."""
    before, restored = event.from_version, event.before
    if before is None:
        is_live = event.to_version is not None
        url = pages.url("undeploy", prompt.pk, where.name)
        return link(url, gettext("Undo (stop serving it)")) if is_live else None
    if event.kind == DeploymentEvent.Kind.DEPLOY:
        url = pages.url("rollback", prompt.pk, where.name)
    elif restored and restored.to_version_id == before.pk:
        url = pages.url("return", prompt.pk, restored.pk)
    else:
        url = f"{pages.url('deploy', prompt.pk, where.name)}?version={before.number}"
    return link(url, gettext("Undo (back to v%(number)s)") % {"number": before.number})


def pace(where: Environment) -> Any:
    if where.name == PRODUCTION:
        return _("Customers see this within a minute. You can undo it with one click.")
    return _("Apps pick it up within a minute. Production stays as it is.")
