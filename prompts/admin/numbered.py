"""The versions of a prompt: which there are, where each is live, and what can be done with it."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.modeladmin import acting
from prompts import diff
from prompts.admin.section import SectionPages, section
from prompts.admin.shown import KIND_OF_STATE, kind_of, page_of, places_of, version_label
from prompts.models import Version

VERSIONS_ON_A_PAGE = 50


class NumberedPages(SectionPages):
    """Part of the prompt's admin, which has their address."""

    def version_urls(self) -> list[Any]:
        return [self.own("<int:pk>/versions/", self.versions_page, "versions")]

    def versions_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """List the versions, the newest first; two are chosen to be compared."""
        prompt = self.opened(request, pk)
        actor = acting(request)
        rows = Version.objects.filter(prompt=prompt).newest_first()
        page = Paginator(rows, VERSIONS_ON_A_PAGE).get_page(request.GET.get("page"))
        live = {pointer.version_id: pointer for pointer in prompt.live}
        old = max((one.version.number for one in prompt.live if one.version_id != prompt.newest_id), default=0)
        may_write = self.has_change_permission(request, prompt) and prompt.archived_at is None
        return self.page(
            request,
            "admin/prompts/versions.html",
            rows=[_row(version, prompt, may_write) for version in page],
            page=page,
            places=[place for place in places_of(actor, prompt) if place.may_move and prompt.archived_at is None],
            is_alone=prompt.newest.number == 1,
            compare_url=self.url("compare", prompt.pk),
            chosen={"a": old or max(1, prompt.newest.number - 1), "b": prompt.newest.number},
            edit_url=self.url("change", prompt.pk) if may_write else "",
            has_live=bool(live),
            **section(actor, prompt, "versions"),
        )


def _row(version: Version, prompt: Any, may_write: bool) -> dict[str, Any]:
    version.prompt = prompt
    is_newest = version.pk == prompt.newest_id
    return {
        "version": version,
        "label": version_label(version),
        "url": page_of("version_change", version.pk),
        "state": version.get_review_state_display(),
        "state_kind": KIND_OF_STATE.get(version.review_state, "neutral"),
        "text": diff.readable(version),
        "live": [
            (pointer.environment, kind_of(pointer.environment))
            for pointer in prompt.live
            if pointer.version_id == version.pk
        ],
        "try_url": f"{reverse('admin:chat_conversation_try')}?prompt={prompt.pk}&text={version.number}",
        "start_url": page_of("version_revert", version.pk) if may_write and not is_newest else "",
        "words": _("%(count)s words") % {"count": len(diff.readable(version).split())},
    }
