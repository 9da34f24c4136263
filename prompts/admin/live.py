"""What is live of a prompt: where, how far it has come, what was live at a moment, and every move. Its admin has the addresses."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from promptlab.accounts.modeladmin import acting
from prompts import resolve
from prompts.admin.arriving import arrived
from prompts.admin.move_forms import MomentForm
from prompts.admin.reviewing import plans_of
from prompts.admin.section import SectionPages, section
from prompts.admin.shown import Place, move_row, places_of
from prompts.errors import NotDeployed
from prompts.models import DeploymentEvent, Prompt

MOVES_ON_A_PAGE = 50


class LivePages(SectionPages):
    """Part of the prompt's admin, which has their addresses."""

    def live_urls(self) -> list[Any]:
        return [
            self.own("<int:pk>/moves/", self.moves_page, "moves"),
            self.own("<int:pk>/arrivals/", self.arrivals_page, "arrivals"),
        ]

    def moves_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show what is live where and how far it has come, what was live at a moment, every move and the ways back."""
        prompt = self.opened(request, pk)
        form = MomentForm(request.GET if request.GET.get("at") else None)
        places = places_of(acting(request), prompt)
        moment = form.cleaned_data["at"] if form.is_bound and form.is_valid() else None
        moves = DeploymentEvent.objects.filter(prompt=prompt).with_names().newest_first()
        page = Paginator(moves, MOVES_ON_A_PAGE).get_page(request.GET.get("page"))
        return self.page(
            request,
            "admin/prompts/moves.html",
            places=places,
            plans=plans_of(prompt),
            **arrived(prompt, places),
            form=form,
            moment=moment,
            then=[_then(prompt, place, moment) for place in places] if moment else [],
            rows=[move_row(event, places) for event in page],
            page=page,
            **section(acting(request), prompt, "moves"),
        )

    def arrivals_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answer how far what is live has come by now: the part of the page that looks again by itself."""
        prompt = self.opened(request, pk)
        self.demand(request, self.view_capability, prompt)
        shown = arrived(prompt, places_of(acting(request), prompt))
        return TemplateResponse(request, "admin/prompts/_arrivals.html", shown)


def _then(prompt: Prompt, place: Place, moment: datetime) -> dict[str, Any]:
    """Return what was live at a moment in one environment, and since when."""
    try:
        event = resolve.live_at(prompt, place.environment, moment)
    except NotDeployed:
        return {"environment": place.environment, "kind": place.kind, "event": None}
    return {"environment": place.environment, "kind": place.kind, **move_row(event, [place])}
