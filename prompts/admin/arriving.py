"""Has what is live arrived everywhere? What the page of moves says of the processes that report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext

from prompts import convergence
from prompts.admin.shown import Place, kind_of, page_of
from prompts.convergence import Convergence
from prompts.models import Environment, Prompt

LOOK_AGAIN_S = 2
"""While a move is on its way the page looks again this often; later, as often as `LOOK_LATER_S`."""
LOOK_LATER_S = 20


def arrived(prompt: Prompt, places: Sequence[Place]) -> dict[str, Any]:
    """Return the context of `_arrivals.html`: what is live where, how far it has come, and when to look again."""
    arrivals = arrivals_at(places)
    is_on_its_way = any(one["is_on_its_way"] for one in arrivals)
    return {
        "arrivals": arrivals,
        "arrivals_url": page_of("prompt_arrivals", prompt.pk),
        "look_again_s": LOOK_AGAIN_S if is_on_its_way else LOOK_LATER_S,
    }


def arrivals_at(places: Sequence[Place]) -> list[dict[str, Any]]:
    """Return whether what is live has reached the processes that report: one query."""
    events = []
    for place in places:
        if place.event and place.live:
            place.event.environment = place.environment  # known already
            events.append(place.event)
    found = convergence.of_moves(events)
    return [_arrival(event.environment, one) for event, one in zip(events, found, strict=True)]


def _arrival(where: Environment, found: Convergence) -> dict[str, Any]:
    """Return {"environment", "kind", "sentence", "behind" [sentence], "current", "all", "is_on_its_way"}."""
    names = {
        "current": found.current,
        "all": found.processes,
        "revision": found.revision,
        "seconds": f"{found.last_s:.1f}" if found.last_s is not None else "",
    }
    if not found.processes:
        sentence = gettext("No process has reported within five minutes, so nothing is known.")
    elif found.last_s is None:
        sentence = gettext("%(current)s of %(all)s processes serve revision %(revision)s or a newer one.") % names
    else:
        sentence = gettext(
            "%(current)s of %(all)s processes serve revision %(revision)s or a newer one, after %(seconds)s s."
        )
        sentence %= names
    behind = [
        gettext("%(process)s on %(host)s, last seen %(seconds)s s ago, serves revision %(revision)s")
        % {"process": one.process, "host": one.host, "seconds": round(one.seen_s), "revision": one.revision}
        for one in found.stragglers
    ]
    return {
        "environment": where,
        "kind": kind_of(where),
        "sentence": sentence,
        "behind": behind,
        "current": found.current,
        "all": found.processes,
        "is_on_its_way": 0 < found.processes != found.current,
    }
