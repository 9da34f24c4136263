"""One version, to read: it never changes. New ones are written on the prompt's page."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import TeamFilter, acting, link
from promptlab.templatetags.promptlab import when
from prompts import diff
from prompts.admin.copying import CopyPages
from prompts.admin.deployment import PromptFilter
from prompts.admin.optimising import origin_shown
from prompts.admin.reviewing import ReviewPages
from prompts.admin.shown import crumbs, difference, live_badge, page_of, places_of, version_label
from prompts.admin.technical import contract_of, settings_of
from prompts.models import Version


@admin.register(Version)
class VersionAdmin(ReviewPages, CopyPages):
    team_path = "prompt__team_id"
    list_title = _("Versions")
    list_display = ["label", "prompt_link", "message", "author_label", "saved"]
    list_display_links = None
    list_filter = [PromptFilter, TeamFilter]
    search_fields = ["prompt__title", "prompt__name", "message", "version_string"]
    ordering = ["-pk"]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.visible(request).select_related("prompt", "author")

    def own_urls(self) -> list[Any]:
        return [*self.review_urls(), *self.copy_urls()]

    @admin.display(description=_("Version"))
    def label(self, version: Version) -> SafeString:
        return link(self.url("change", version.pk), version_label(version))

    @admin.display(description=_("Prompt"))
    def prompt_link(self, version: Version) -> SafeString:
        return link(page_of("prompt_change", version.prompt_id), version.prompt.title)

    @admin.display(description=_("Saved"))
    def saved(self, version: Version) -> str:
        return when(version.created_at)

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show a version, where it is live, and how it differs from what customers get."""
        places = places_of(acting(request), thing.prompt)
        live_here = [place for place in places if place.live and place.live.pk == thing.pk]
        others = [place for place in places if place.live and place.live.pk != thing.pk]
        compared: dict[str, Any] = {}
        if others:
            live = others[-1].live
            assert live is not None
            live.prompt = thing.prompt
            compared = {**difference(live, thing), "compared_with": others[-1]}
        may_write = self.may(request, "prompt.write", thing)
        is_put_away, is_newest = thing.prompt.archived_at is not None, thing.prompt.newest_id == thing.pk
        return self.page(
            request,
            "admin/prompts/version.html",
            title=f"{thing.prompt.title} {version_label(thing)}",
            version=thing,
            text=diff.readable(thing),
            model_texts=[(name, diff.read(text)) for name, text in thing.model_texts.items()],
            contract=contract_of(thing.variables),
            settings=[
                (_("Model"), thing.model or _("The default model")),
                *thing.parameters.items(),
                *settings_of(thing),
            ],
            live_badges=format_html_join(" ", "{}", ((live_badge(p.environment, thing),) for p in live_here)),
            places=places,
            breadcrumbs=crumbs(thing.prompt),
            copy_url=self.url("copy", thing.pk) if may_write else "",
            revert_url=self.url("revert", thing.pk) if may_write and not is_put_away and not is_newest else "",
            origin=origin_shown(thing),
            **self.review_shown(request, thing),
            **compared,
        )
