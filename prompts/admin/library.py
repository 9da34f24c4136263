"""The library: what all teams share, to find, to read and to copy into a team of one's own."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import HouseAdmin, TeamForm, asks, sent
from promptlab.lib.errors import Invalid, NotFound
from promptlab.lib.words import MAX_TYPED
from prompts import diff, search
from prompts.admin.copying import LONGEST_NAME, ShortNameForm
from prompts.admin.shown import found_at, page_of, version_label
from prompts.admin.standing import stars_label
from prompts.admin.technical import contract_of
from prompts.models import Prompt
from prompts.services import authoring

PER_PAGE = 25


class TakeForm(ShortNameForm, TeamForm):
    """What a copy from the library is called, and whose it is."""

    title = forms.CharField(label=_("Title"), max_length=200, error_messages=asks(_("Give the prompt a title.")))
    field_order = ["team", "title", "name"]


class LibraryPages(HouseAdmin):
    """Part of the prompts' admin, which has their addresses."""

    def library_urls(self) -> list[Any]:
        return [
            self.own("library/", self.library_page, "library"),
            self.own("library/<int:pk>/", self.shared_page, "shared"),
        ]

    def library_page(self, request: HttpRequest) -> HttpResponse:
        """List what is shared, newest first; of a search the best first, with where it was found."""
        actor = self.demand(request, self.view_capability)
        typed = request.GET.get("q", "").strip()
        rows = Prompt.objects.in_library(actor).active().for_list().with_standing(actor).order_by("-id")
        try:
            # Only the newest texts: what other teams have live is theirs to know.
            rows = search.found(rows, typed, live=False)
        except Invalid as error:
            messages.error(request, error.told)
            rows, typed = rows.none(), ""
        page = search.Pages(rows, PER_PAGE).get_page(request.GET.get("page"))
        return self.page(
            request,
            "admin/prompts/library.html",
            title=_("Library"),
            typed=request.GET.get("q", "")[:MAX_TYPED],
            library_url=self.url("library"),
            pager=page,
            rows=[self._row(prompt) for prompt in search.with_matches(page.object_list, typed, live=False)],
        )

    def _row(self, prompt: Any) -> dict[str, Any]:
        return {
            "title": prompt.title,
            "url": self.url("shared", prompt.pk),
            "name": prompt.name,
            "description": prompt.description,
            "collection": prompt.collection,
            "tags": [tag.name for tag in prompt.tags.all()],
            "stars": stars_label(prompt),
            "matches": [found_at(match) for match in getattr(prompt, "matches", ())],
        }

    def shared_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show the newest text of a shared prompt; a POST copies it into a team of one's own."""
        actor = self.demand(request, self.view_capability)
        prompt = Prompt.objects.in_library(actor).active().for_list().with_standing(actor).filter(pk=pk).first()
        if prompt is None or prompt.newest is None:
            raise NotFound("There is nothing at this address.")
        newest = prompt.newest
        newest.prompt = prompt
        may_write = actor.may_anywhere(self.write_capability)
        if request.method == "POST":
            self.demand(request, self.write_capability)
        initial = {"title": prompt.title, "name": prompt.name[:LONGEST_NAME]}
        form = TakeForm(sent(request), actor=actor, capability=self.write_capability, initial=initial)

        def take(filled: dict[str, Any]) -> HttpResponse:
            made = authoring.fork_prompt(actor, newest, filled["title"], filled["name"], form.chosen_team().pk)
            sentence = gettext("%(title)s is your team's now. It is not live yet.") % {"title": made.title}
            return self.said(request, sentence, page_of("prompt_change", made.pk))

        done = self.submitted(request, form, take)
        return done or self.page(
            request,
            "admin/prompts/shared.html",
            title=prompt.title,
            prompt=prompt,
            row=self._row(prompt),
            label=version_label(newest),
            text=diff.readable(newest),
            contract=contract_of(newest.variables),
            form=form if may_write else None,
            breadcrumbs=[self.list_crumb(), {"label": _("Library"), "url": self.url("library")}],
            cancel_url=self.url("library"),
        )
