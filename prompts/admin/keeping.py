"""What a prompt's page says by itself while somebody types: keep this, and who else is here? Answers are JSON."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.utils import timezone
from django.utils.formats import time_format
from django.utils.translation import gettext

from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseAdmin
from promptlab.lib.errors import DomainError
from prompts.admin.forms import NewVersionForm
from prompts.admin.section import people_here
from prompts.errors import DraftStale
from prompts.models import Prompt
from prompts.services import drafting, presence


class KeepingPages(HouseAdmin):
    """Part of the prompt's admin, which has their address."""

    def keeping_urls(self) -> list[Any]:
        return [self.own("<int:pk>/keep/", self.keep_page, "keep")]

    def keep_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Keep the form's fields as the person's draft, if they were sent; say so, and who else has the page open.

        `state` is what to say, `row_version` what the draft is by now; without it nothing was kept.
        """
        prompt = self.found(request, pk)
        if request.method != "POST":
            return HttpResponseRedirect(self.url("change", pk))
        actor = self.demand(request, self.view_capability, prompt)
        is_typed = "started_from" in request.POST
        if is_typed:
            self.demand(request, self.write_capability, prompt)
        readers = presence.look(actor, prompt, is_writing=is_typed)
        kept = _kept(actor, prompt, request) if is_typed else {}
        return JsonResponse({"people": people_here(readers), **kept})


def _kept(actor: Principal, prompt: Prompt, request: HttpRequest) -> dict[str, Any]:
    draft = drafting.draft_of(actor, prompt)
    assert prompt.newest is not None
    prompt.newest.prompt = prompt
    form = NewVersionForm(request.POST, newest=prompt.newest, draft=draft)
    try:
        found = drafting.keep_draft(actor, prompt, form.typed(), is_by_itself=True, **form.read())
    except DraftStale:
        return {"state": gettext("Not kept: you kept another draft in another window. Save to see both.")}
    except DomainError as error:
        return {"state": gettext("Not kept: %(reason)s") % {"reason": error.told}}
    at = time_format(timezone.localtime(found.updated_at), "H:i")
    return {
        "state": gettext("Draft kept at %(time)s. Only you see it.") % {"time": at},
        "row_version": found.row_version,
    }
