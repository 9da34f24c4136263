"""The prompt list, a new prompt, and the page where one is written. Its other sections have files of their own."""

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
from prompts.admin.imports import ImportPages
from prompts.admin.keeping import KeepingPages
from prompts.admin.library import LibraryPages
from prompts.admin.live import LivePages
from prompts.admin.moves import MovePages
from prompts.admin.numbered import NumberedPages
from prompts.admin.optimising import OptimisePages
from prompts.admin.returning import BackPages
from prompts.admin.reviewing import plans_of, review_of
from prompts.admin.section import section
from prompts.admin.shown import found_at, kind_of, live_badges, page_of, version_label
from prompts.admin.standing import StandingPages, standing_of, stars_label
from prompts.admin.technical import contract_of, settings_of, uses_of
from prompts.admin.transfer import TransferPages
from prompts.admin.upkeep import UpkeepPages
from prompts.models import Prompt, Version
from prompts.services import authoring, drafting, scanning


@admin.register(Prompt)
class PromptAdmin(
    MovePages,
    BackPages,
    LivePages,
    UpkeepPages,
    NamePages,
    OptimisePages,
    DiscussionPages,
    DraftPages,
    KeepingPages,
    NumberedPages,
    StandingPages,
    TransferPages,
    ImportPages,
    LibraryPages,
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

    def found(self, request: HttpRequest, pk: object) -> Any:
        """Return a prompt with all that Edit and Settings show of it. Raises NotFound."""
        rows: Any = self.get_queryset(request)
        return self.one_of(rows.with_header(), pk)

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
            *self.back_urls(),
            *self.live_urls(),
            *self.discussion_urls(),
            *self.draft_urls(),
            *self.keeping_urls(),
            *self.version_urls(),
            *self.name_urls(),
            *self.transfer_urls(),
            *self.import_urls(),
            *self.library_urls(),
            *self.optimise_urls(),
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
            go_on = self.after_saving(request, prompt.pk, 1) if "act" in request.POST else self.url("moves", prompt.pk)
            return self.said(request, sentence, go_on)

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
        """Show the text of a prompt and what is known about it; a POST saves the text as the next version."""
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
            form=form,
            may_write=may_write,
            has_draft=draft is not None,
            **section(acting(request), thing, "change"),
            **(draft_shown(thing, draft) if draft else {}),
            **self._shown(request, thing, newest),
            **conflict,
        )

    def _shown(self, request: HttpRequest, prompt: Any, newest: Version) -> dict[str, Any]:
        """Return what the page shows around the form."""
        return {
            "newest": newest,
            "newest_label": version_label(newest),
            "review": review_of(acting(request), newest),
            "plans": plans_of(prompt),
            "newest_text": diff.readable(newest),
            "uses": uses_of(acting(request), prompt),
            "contract": contract_of(newest.variables),
            "technical": settings_of(newest),
            "next_number": newest.number + 1,
            "live": [_live(pointer, newest) for pointer in prompt.live],
            "standing": standing_of(acting(request), prompt, self.url("standing", prompt.pk)),
            "person_id": acting(request).user_id,
            "urls": {name: self.url(name, prompt.pk) for name in ("keep", "moves", "restore")},
        }


def _live(pointer: Any, newest: Version) -> dict[str, Any]:
    """Return one environment with its version, and where that is compared with the newest."""
    number = pointer.version.number
    compare = f"{page_of('prompt_compare', newest.prompt_id)}?a={number}&b={newest.number}"
    return {
        "where": str(pointer.environment),
        "kind": kind_of(pointer.environment),
        "label": version_label(pointer.version),
        "url": page_of("version_change", pointer.version_id),
        "compare_url": compare if number != newest.number else "",
    }
