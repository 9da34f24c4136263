"""How far the last change of what is served has come, in a sentence: as processes reported it, never a guess."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from promptlab.lib.formats import fmt_int, fmt_ms
from prompts import convergence
from prompts.convergence import Convergence
from prompts.models import Environment

WATCHED = timedelta(minutes=15)
"""So long after a change pages say how far it has come."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """`kind`: ok when it is served everywhere, warn before, neutral where no process says what it serves."""

    kind: str
    sentence: str


def arrival(environment: Environment, revision: int, at: datetime) -> Arrival | None:
    """Return how far a revision of the environment has come: one query. None when it is too long ago to be of interest."""
    if timezone.now() - at > WATCHED:
        return None
    return _told(convergence.of_revision(environment, revision, at))


def _told(found: Convergence) -> Arrival:
    facts = {"all": fmt_int(found.processes), "current": fmt_int(found.current)}
    if not found.processes:
        return Arrival("neutral", _("No process says what it serves, so nobody measured when the last change arrived."))
    if not found.is_complete:
        return Arrival("warn", _("%(current)s of %(all)s processes serve the last change so far.") % facts)
    if found.last_s is None:
        return Arrival("ok", _("The last change is served everywhere: by all %(all)s processes.") % facts)
    facts["time"] = fmt_ms(1000 * found.last_s)
    told = ngettext(
        "The last change is served everywhere: the one process had it after %(time)s.",
        "The last change is served everywhere: all %(all)s processes had it after %(time)s.",
        found.processes,
    )
    return Arrival("ok", told % facts)
