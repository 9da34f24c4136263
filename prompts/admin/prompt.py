"""The prompt list, a new prompt, and the page of one: its text, its versions, what is live, and how it came to be."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.formats import localize
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import TeamFilter, acting, badge, link, sent
from promptlab.lib.errors import Invalid
from promptlab.templatetags.promptlab import when
from prompts import diff, search
from prompts.admin.copying import NamePages
from prompts.admin.discussing import DiscussionPages
from prompts.admin.drafts import DraftPages, draft_shown
from prompts.admin.filters import (
    ArchivedFilter,
    CollectionFilter,
    FavouriteFilter,
    LiveFilter,
    TagFilter,
    UnusedFilter,
)
from prompts.admin.forms import NewPromptForm, NewVersionForm
from prompts.admin.library import LibraryPages
from prompts.admin.moves import MovePages
from prompts.admin.reviewing import plans_of, review_of
from prompts.admin.shown import (
    found_at,
    kind_of,
    live_badges,
    move_row,
    page_of,
    places_of,
    prompt_tabs,
    version_label,
)
from prompts.admin.standing import StandingPages, standing_of, stars_label
from prompts.admin.technical import contract_of, settings_of, uses_of
from prompts.admin.transfer import TransferPages
from prompts.admin.upkeep import UpkeepPages
from prompts.models import DeploymentEvent, Prompt, Version
from prompts.services import authoring, drafting, scanning

MOST_VERSIONS = 50
MOST_MOVES = 10


@admin.register(Prompt)
class PromptAdmin(
    MovePages, UpkeepPages, NamePages, DiscussionPages, DraftPages, StandingPages, TransferPages, LibraryPages
):
    write_capability = "prompt.write"
    list_title = _("Prompts")
    add_label = _("New prompt")
    empty_title = _("No prompts yet")
    empty_text = _(
        "A prompt is the text we send to the model. Write your first one; nothing goes live until you say so."
    )
    list_display = ["name_link", "live_in", "newest_version", "grouped", "rated", "uses", "owner", "changed"]
    list_display_links = None
    list_filter = [
        CollectionFilter,
        LiveFilter,
        TagFilter,
        FavouriteFilter,
        UnusedFilter,
        ArchivedFilter,
        TeamFilter,
    ]
    search_fields = ["title"]
    ordering = ["-updated_at", "-pk"]
    paginator = search.Pages

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.visible(request).for_list().with_standing(acting(request))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        try:
            return search.found(queryset, search_term), False  # type: ignore[arg-type]
        except Invalid as error:
            messages.error(request, error.told)
            return queryset.none(), False

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Return the list with, after a search, where in each prompt of the page it was found."""
        listed = super().get_changelist_instance(request)
        if listed.result_list:
            listed.result_list = search.with_matches(listed.result_list, listed.query)
        return listed

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        more = [
            {"label": _("Library"), "url": self.url("library")},
            {"label": _("Import and export"), "url": self.url("transfer")},
        ]
        return super().changelist_view(request, {"more": more, **(extra_context or {})})

    @admin.display(description=_("Prompt"), ordering="title")
    def name_link(self, prompt: Prompt) -> SafeString:
        shown = format_html(
            "{}<div><code>{}</code></div>", link(self.url("change", prompt.pk), prompt.title), prompt.name
        )
        matches = format_html_join("", "{}", ((found_at(match),) for match in getattr(prompt, "matches", ())))
        return format_html('{}<ul class="matches quiet">{}</ul>', shown, matches) if matches else shown

    @admin.display(description=_("Live in"))
    def live_in(self, prompt: Any) -> SafeString | str:
        return live_badges(prompt.live)

    @admin.display(description=_("Newest version"))
    def newest_version(self, prompt: Prompt) -> SafeString:
        shown = badge(version_label(prompt.newest)) if prompt.newest else SafeString("–")
        return format_html("{} {}", shown, badge(_("Archived"), "warn")) if prompt.archived_at else shown

    @admin.display(description=_("Collection and tags"))
    def grouped(self, prompt: Prompt) -> SafeString:
        tags = " ".join(f"#{tag.name}" for tag in prompt.tags.all())
        return format_html('{}<div class="quiet">{}</div>', prompt.collection or "–", tags)

    @admin.display(description=_("Stars"), ordering="stars")
    def rated(self, prompt: Any) -> str:
        return stars_label(prompt)

    @admin.display(description=_("Uses in 30 days"), ordering="uses_30d")
    def uses(self, prompt: Any) -> str:
        return localize(prompt.uses_30d)

    @admin.display(description=_("Changed"), ordering="updated_at")
    def changed(self, prompt: Prompt) -> str:
        return when(prompt.updated_at)

    def own_urls(self) -> list[Any]:
        return [
            *self.upkeep_urls(),
            *self.standing_urls(),
            *self.move_urls(),
            *self.discussion_urls(),
            *self.draft_urls(),
            *self.name_urls(),
            *self.transfer_urls(),
            *self.library_urls(),
        ]

    def add_page(self, request: HttpRequest) -> HttpResponse:
        """Write a prompt. It gets its version 1; nothing goes live."""
        form = NewPromptForm(sent(request), actor=acting(request))

        def write(filled: dict[str, Any]) -> HttpResponse:
            prompt = authoring.create_prompt(
                acting(request),
                form.chosen_team().pk,
                title=filled["title"],
                content=form.content(),
                name=filled["name"],
                description=filled["description"],
                collection=filled["collection"],
                tags=filled["tags"],
                metadata=form.values(),
                model_type=filled["model_type"],
                allow_secret=filled.get("allow_secret", ""),
            )
            sentence = gettext("Version 1 is saved. It is not live yet.")
            return self.said(request, sentence, self.after_saving(request, prompt.pk, 1))

        return self.form_page(
            request,
            form,
            write,
            template="admin/prompts/new_prompt.html",
            title=_("New prompt"),
            submit_label=_("Save as v1"),
            cancel_url=self.url("changelist"),
        )

    def thing_page(self, request: HttpRequest, thing: Any) -> HttpResponse:
        """Show everything about a prompt; a POST saves the text as the next version."""
        newest = thing.newest
        newest.prompt = thing
        if request.method == "POST":
            self.demand(request, self.write_capability, thing)
        may_write = self.has_change_permission(request, thing)
        draft = drafting.draft_of(acting(request), thing) if may_write else None
        may_allow = self.may(request, scanning.CAPABILITY, thing)
        form = NewVersionForm(sent(request), newest=newest, draft=draft, may_allow_secret=may_allow)
        saved, conflict = self.written(request, thing, form) if request.method == "POST" else (None, {})
        newest = conflict.pop("newest", newest)
        return saved or self.page(
            request,
            "admin/prompts/prompt.html",
            title=thing.title,
            prompt=thing,
            form=form,
            may_write=may_write,
            has_draft=draft is not None,
            **(draft_shown(thing, draft) if draft else {}),
            **self._shown(request, thing, newest),
            **conflict,
        )

    def _shown(self, request: HttpRequest, prompt: Any, newest: Version) -> dict[str, Any]:
        """Return what the page shows around the form."""
        places = places_of(acting(request), prompt)
        moves = DeploymentEvent.objects.filter(prompt=prompt).with_names()[:MOST_MOVES]
        return {
            "tabs": prompt_tabs(prompt, "change"),
            "newest": newest,
            "newest_label": version_label(newest),
            "review": review_of(acting(request), newest),
            "plans": plans_of(prompt),
            "newest_text": diff.readable(newest),
            "uses": uses_of(acting(request), prompt),
            "contract": contract_of(newest.variables),
            "technical": settings_of(newest),
            "next_number": newest.number + 1,
            "places": places,
            "versions": self._versions(prompt),
            "versions_url": f"{page_of('version_changelist')}?prompt={prompt.pk}"
            if newest.number > MOST_VERSIONS
            else "",
            "moves": [move_row(event, places) for event in moves],
            "moves_url": self.url("moves", prompt.pk),
            "standing": standing_of(acting(request), prompt, self.url("standing", prompt.pk)),
            "has_audit": self.may(request, "audit.read", prompt),
            "copy_url": page_of("version_copy", newest.pk),
            "export_url": f"{self.url('transfer')}?only={prompt.name}",
            "urls": {
                name: self.url(name, prompt.pk)
                for name in ("settings", "rename", "archive", "restore", "compare", "history")
            },
        }

    def _versions(self, prompt: Any) -> list[dict[str, Any]]:
        """Return the newest versions with where they are live and what can be done with each."""
        live = {pointer.environment.name: pointer for pointer in prompt.live}
        compared = live.get("production") or next(iter(live.values()), None)
        rows = Version.objects.filter(prompt=prompt).newest_first().defer("text", "messages")[:MOST_VERSIONS]
        compare = self.url("compare", prompt.pk)
        return [
            {
                "label": version_label(version),
                "number": version.number,
                "version": version,
                "url": page_of("version_change", version.pk),
                "live": [
                    {"where": pointer.environment, "kind": kind_of(pointer.environment)}
                    for pointer in prompt.live
                    if pointer.version_id == version.pk
                ],
                "compare_url": f"{compare}?a={compared.version.number}&b={version.number}"
                if compared and compared.version_id != version.pk
                else "",
            }
            for version in rows
        ]
