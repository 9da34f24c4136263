"""What putting a version live changes for callers: the sentences that the page before it shows."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext, ngettext

from promptlab.lib.formats import fmt_int, fmt_money
from prompts.models import Environment, Version
from prompts.services import contracting
from prompts.services.contracting import Broken, Contract

MOST_NAMED = 5


def contract_shown(live: Version | None, version: Version, where: Environment) -> dict[str, Any] | None:
    """Return {"breaks", "changes" [sentence], "seen"}; None where nothing is live, or the same."""
    found = contracting.between(live, version, where)
    if found is None:
        return None
    return {
        "breaks": [_breaks(name, callers) for name, callers in found.by_name.items()],
        "changes": _changes(found),
        "seen": _seen(found),
    }


def _breaks(name: str, callers: list[Broken]) -> str:
    shown = ", ".join(one.caller for one in callers[:MOST_NAMED])
    named = {"count": len(callers), "name": name, "callers": shown}
    if any(one.never for one in callers):
        told = ngettext(
            "It breaks %(count)s caller that does not send %(name)s: %(callers)s.",
            "It breaks %(count)s callers that do not send %(name)s: %(callers)s.",
            len(callers),
        )
    else:
        told = ngettext(
            "%(count)s caller does not always send %(name)s: %(callers)s.",
            "%(count)s callers do not always send %(name)s: %(callers)s.",
            len(callers),
        )
    return told % named


def _changes(found: Contract) -> list[str]:
    said = []
    if found.model_before != found.model_after:
        names = {"before": found.model_before, "after": found.model_after}
        said.append(gettext("%(after)s answers instead of %(before)s.") % names)
    if found.is_schema_changed:
        said.append(gettext("The answer has another shape."))
    said += [gettext("The model may call %(tool)s.") % {"tool": tool} for tool in found.new_tools]
    said += [gettext("The model may no longer call %(tool)s.") % {"tool": tool} for tool in found.gone_tools]
    if found.tokens:
        said.append(_tokens(found.tokens))
    if found.usd_per_day:
        said.append(_money(found))
    return said


def _tokens(more: int) -> str:
    number = {"count": fmt_int(abs(more))}
    if more > 0:
        return ngettext("%(count)s token more.", "%(count)s tokens more.", more) % number
    return ngettext("%(count)s token less.", "%(count)s tokens less.", -more) % number


def _money(found: Contract) -> str:
    assert found.usd_per_day is not None
    sum_of_day = {"usd": fmt_money(abs(found.usd_per_day))}
    if found.usd_per_day > 0:
        return gettext("About %(usd)s more a day, at as many calls as in the last days.") % sum_of_day
    return gettext("About %(usd)s less a day, at as many calls as in the last days.") % sum_of_day


def _seen(found: Contract) -> str:
    calls = ngettext("%(count)s call", "%(count)s calls", found.calls) % {"count": fmt_int(found.calls)}
    callers = ngettext("%(count)s caller", "%(count)s callers", found.callers) % {"count": fmt_int(found.callers)}
    names = {"calls": calls, "callers": callers, "days": found.days}
    return gettext("Seen: %(calls)s by %(callers)s in the last %(days)s days, answered by us.") % names
