"""Has what is live arrived everywhere? What the page of moves says of the processes that report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext

from prompts import convergence
from prompts.admin.shown import Place, kind_of
from prompts.convergence import Convergence
from prompts.models import Environment


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
    """Return {"environment", "kind", "sentence", "behind" [sentence]}."""
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
    return {"environment": where, "kind": kind_of(where), "sentence": sentence, "behind": behind}
