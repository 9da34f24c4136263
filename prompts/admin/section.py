"""What each of a prompt's pages has above its own: the prompt's header, and the tabs with their counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from promptlab.accounts.access import Principal
from promptlab.accounts.modeladmin import HouseAdmin
from promptlab.lib.formats import fmt_wait
from prompts.admin.shown import KIND_OF_STATE, crumbs, kind_of, page_of, version_label
from prompts.models import Comment, Deployment, Prompt
from prompts.services import presence
from prompts.services.presence import Reader

TABS: dict[str, Any] = {
    "change": _("Edit"),
    "versions": _("Versions"),
    "compare": _("Compare"),
    "try": _("Try it"),
    "moves": _("Live versions"),
    "experiments": _("Experiments"),
    "usage": _("Usage"),
    "discussion": _("Discussion"),
    "settings": _("Settings"),
}
"""The sections of a prompt, in their order."""


class SectionPages(HouseAdmin):
    """For pages that stand below a prompt's header."""

    def opened(self, request: HttpRequest, pk: int) -> Any:
        """Return a prompt the person may see, with what its header says. Raises NotFound."""
        return self.one_of(self.visible(request).for_section(), pk)


@dataclass(frozen=True, slots=True)
class Upstairs:
    """What floors above know of a prompt: how many there are behind a tab, and (sentence, kind) for the header."""

    counts: dict[str, int]
    notes: tuple[tuple[str, str], ...] = ()


upstairs: list[Callable[[Principal, Prompt], Upstairs]] = []
"""Floors above prompts add themselves here."""
elsewhere: dict[str, Callable[[Prompt], str]] = {
    "try": lambda prompt: f"{reverse('admin:chat_conversation_try')}?prompt={prompt.pk}",
    "experiments": lambda prompt: reverse("admin:experiments_experiment_of_prompt", args=[prompt.pk]),
    "usage": lambda prompt: reverse("admin:feedback_feedback_usage", args=[prompt.pk]),
}
"""The tabs that floors above answer."""


def section(actor: Principal, prompt: Prompt, current: str) -> dict[str, Any]:
    """Return the context that `admin/prompts/section.html` is made of.

    The queries of floors above; three more of a prompt that was not fetched `for_section`.
    """
    told = [tell(actor, prompt) for tell in upstairs]
    counts = {name: count for one in told for name, count in one.counts.items()}
    counts["discussion"] = _open_comments(prompt)
    newest = prompt.newest
    assert newest is not None
    counts["versions"] = newest.number
    readers = presence.others(actor, prompt)
    return {
        "prompt": prompt,
        "title": prompt.title if current == "change" else f"{TABS[current]}: {prompt.title}",
        "breadcrumbs": crumbs(prompt)[: 1 if current == "change" else 2],
        "tabs": tabs_of(prompt, current, counts),
        "header": {
            "live": [(f"{one.environment} v{one.version.number}", kind_of(one.environment)) for one in _live(prompt)],
            "newest": version_label(newest),
            "state": newest.get_review_state_display(),
            "state_kind": KIND_OF_STATE.get(newest.review_state, "neutral"),
            "notes": [note for one in told for note in one.notes],
            "readers": people_here(readers),
        },
    }


def _open_comments(prompt: Any) -> int:
    """Return how many threads are not settled; it may have been fetched with the prompt."""
    known: int | None = getattr(prompt, "open_comments", None)
    return Comment.objects.filter(prompt=prompt).open().count() if known is None else known


def _live(prompt: Any) -> list[Any]:
    """Return what is live of a prompt; it may have been fetched with it."""
    if hasattr(prompt, "live"):
        return list(prompt.live)
    rows = Deployment.objects.live().filter(prompt=prompt).select_related("environment", "version")
    return list(rows.defer("version__text", "version__messages").order_by("environment__position"))


def tabs_of(prompt: Prompt, current: str, counts: dict[str, int]) -> list[dict[str, Any]]:
    """Return the tabs, each with its own address, and how many there are behind it if there are any."""
    return [
        {
            "label": f"{label} ({counts[name]})" if counts.get(name) else label,
            "url": elsewhere[name](prompt) if name in elsewhere else page_of(f"prompt_{name}", prompt.pk),
            "is_current": name == current,
        }
        for name, label in TABS.items()
    ]


def people_here(readers: list[Reader]) -> str:
    """Return who else is at a prompt, as one sentence; empty for nobody."""
    if not readers:
        return ""
    first, more = readers[0], len(readers) - 1
    names = {"who": first.name, "since": fmt_wait(first.since_s), "more": more}
    if more:
        sentence = ngettext(
            "%(who)s and %(more)s more person have this open.", "%(who)s and %(more)s more people have this open.", more
        )
        return sentence % names
    if first.is_writing:
        return gettext("%(who)s is editing this, for %(since)s.") % names
    return gettext("%(who)s has this open, for %(since)s.") % names
