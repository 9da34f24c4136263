"""Sentences of the pages of use: what changed, and what happened at the same time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from feedback.dashboards.cells import told
from feedback.usage.changes import Coincidence, Mover
from feedback.usage.sums import Used
from promptlab.lib.formats import fmt_day, fmt_int, fmt_money, fmt_ms, fmt_name, fmt_pct


@dataclass(frozen=True, slots=True)
class Measure:
    """How a number that can change is called and written."""

    label: str | Promise
    write: Callable[[Used], str]


MEASURES = {
    "calls": Measure(_("Calls"), lambda one: fmt_int(one.calls)),
    "cost": Measure(_("Cost"), lambda one: fmt_money(one.known_usd)),
    "approval": Measure(_("Thumbs-up rate"), lambda one: fmt_pct(one.said.rate)),
    "errors": Measure(_("Failed"), lambda one: fmt_pct(one.error_share)),
    "wait": Measure(_("19 of 20 within"), lambda one: fmt_ms(one.p95_ms)),
}


def mover(name: str, one: Mover, query: str) -> dict[str, Any]:
    """Return a row of what changed."""
    kind = {True: "bad", False: "ok", None: "neutral"}[one.is_worse]
    label = {True: _("Worse"), False: _("Better"), None: _("Changed")}[one.is_worse]
    write = MEASURES[name].write
    return {
        "title": one.title,
        "url": prompt_url(one.prompt_id, query),
        "measure": MEASURES[name].label,
        "before": write(one.before),
        "now": write(one.now),
        "label": label,
        "kind": kind,
    }


def coincidence(one: Coincidence, query: str) -> dict[str, Any]:
    """Return what fell or rose in a sentence, and what happened then; never that the one made the other."""
    write = fmt_pct if one.measure == "approval" else fmt_money
    facts = {
        "prompt": one.title,
        "environment": fmt_name(one.environment),
        "before": write(one.before),
        "after": write(one.after),
        "day": fmt_day(one.day),
    }
    if one.measure == "approval":
        sentence = gettext(
            "%(prompt)s in %(environment)s: thumbs-up fell from %(before)s to %(after)s from %(day)s on."
        )
    else:
        sentence = gettext("%(prompt)s in %(environment)s: a call costs %(after)s from %(day)s on, %(before)s before.")
    return {"sentence": sentence % facts, "url": prompt_url(one.prompt_id, query), "happened": happened(one)}


def happened(one: Coincidence) -> list[str]:
    """Return what else happened around that day, in words; that nothing is known where nothing is."""
    found = [told([move], is_named=False) for move in one.moves]
    for name, was, now in one.models:
        facts = {"model": name or gettext("an unnamed model"), "before": fmt_pct(was, 0), "after": fmt_pct(now, 0)}
        found.append(gettext("%(model)s gave %(after)s of the answers, %(before)s before") % facts)
    return found or [gettext("nothing went live and no model changed")]


def prompt_url(prompt_id: int, query: str) -> str:
    """Return the address of the page of a prompt's use."""
    return f"{reverse('usage:prompt', args=[prompt_id])}{query}"
