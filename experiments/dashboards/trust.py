"""Can the numbers be trusted: one line each for the split, the raters, what is missing, and whether they are fresh."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from experiments.results import LATE, ExperimentResults
from experiments.stats.health import LEAST_UNITS
from promptlab.lib.formats import fmt_int, fmt_pct, fmt_wait

TOO_MANY_MULTIPLE = 0.01
TOO_MUCH_MISSING = 0.1
WAITS_TOO_LONG_S = 60
"""What is said of an answer is in the sums within a second; after a minute a worker is missing."""

ANSWERS = {
    "bad": gettext_lazy("No. See: %(points)s."),
    "warn": gettext_lazy("With care. See: %(points)s."),
    "neutral": gettext_lazy("As far as is known by now. Not known yet: %(points)s."),
}


@dataclass(frozen=True, slots=True)
class Check:
    """One point. `kind`: ok, warn, bad, or neutral where nothing can be said yet. `anchor`: its line in the method."""

    label: str
    kind: str
    word: str
    detail: str
    anchor: str


def checks(found: ExperimentResults, waiting_s: float) -> list[Check]:
    """Return the points in their order."""
    return list(_checks(found, waiting_s))


def summary(points: Sequence[Check]) -> str:
    """Return the answer to whether the numbers can be trusted, in a sentence that names the points it hangs on."""
    for kind, answer in ANSWERS.items():
        if named := [one.label for one in points if one.kind == kind]:
            return str(answer) % {"points": ", ".join(named)}
    return _("Yes: nothing speaks against these numbers.")


def _checks(found: ExperimentResults, waiting_s: float) -> Iterator[Check]:
    if found.kept is not None:
        yield _split(found.kept, found)
        yield _multiple(found.kept["multiple_share"])
        yield _raters(found.kept, found)
    yield _errors(found)
    if found.analysis is not None:
        yield _missing(found.analysis.counted)  # type: ignore[attr-defined]
    yield _fresh(found)
    if waiting_s > WAITS_TOO_LONG_S:
        detail = _("The oldest rating waits for %(time)s. Is a worker running?") % {"time": fmt_wait(waiting_s)}
        yield Check(_("Counting"), "bad", _("Late"), detail, "sums")


def _split(results: Mapping[str, Any], found: ExperimentResults) -> Check:
    split = results["split"]
    names = {one.key: one.name for one in found.variants}
    parts = [
        _("%(name)s %(got)s (planned %(planned)s)")
        % {"name": names.get(key, key), "got": fmt_pct(share), "planned": fmt_pct(split["expected"][key])}
        for key, share in split["shares"].items()
    ]
    label, detail = _("Traffic split"), ", ".join(parts)
    if split["p_value"] is None:
        detail = _("Fewer than %(least)s people.") % {"least": fmt_int(LEAST_UNITS)}
        return Check(label, "neutral", _("Not known yet"), detail, "split")
    return Check(label, *(("bad", _("Wrong")) if split["is_wrong"] else ("ok", _("As planned"))), detail, "split")


def _multiple(share: float) -> Check:
    detail = _("%(share)s of people met more than one text and are left out.") % {"share": fmt_pct(share, 2)}
    is_high = share > TOO_MANY_MULTIPLE
    state = ("warn", _("Too many")) if is_high else ("ok", _("Fine"))
    return Check(_("One text each"), *state, detail, "units")


def _raters(results: Mapping[str, Any], found: ExperimentResults) -> Check:
    names = {one.key: one.name for one in found.variants}
    known = {key: one["rating_rate"] for key, one in results["changes"].items() if one["rating_rate"]}
    label = _("Raters")
    if not known:
        detail = _("Fewer than 100 ratings of some text.")
        return Check(label, "neutral", _("Not known yet"), detail, "rating-rate")
    parts = [
        _("%(name)s is rated %(new)s of the time, the current text %(current)s")
        % {"name": names.get(key, key), "new": fmt_pct(one["treatment"]), "current": fmt_pct(one["control"])}
        for key, one in known.items()
    ]
    if any(one["is_alarming"] for one in known.values()):
        parts.append(_("who rates is not the same: a change below 5 points may be no change"))
        return Check(label, "warn", _("They differ"), "; ".join(parts) + ".", "rating-rate")
    return Check(label, "ok", _("Alike"), "; ".join(parts) + ".", "rating-rate")


def _errors(found: ExperimentResults) -> Check:
    requests, errors = (sum(getattr(one, name) for one in found.variants) for name in ("requests", "errors"))
    share = errors / requests if requests else None
    facts = {"errors": fmt_int(errors), "requests": fmt_int(requests), "share": fmt_pct(share)}
    detail = _("%(errors)s of %(requests)s answers failed (%(share)s).") % facts
    state = ("warn", _("Many")) if share is not None and share > TOO_MUCH_MISSING else ("ok", _("Fine"))
    return Check(_("Errors"), *state, detail, "guard")


def _missing(variants: Sequence[Mapping[str, Any]]) -> Check:
    """Return how much of what was asked has a known wait and a known cost."""
    asked, waits, priced = (
        sum(one["sums"].get(name, 0) for one in variants) for name in ("unit_requests", "waits", "priced")
    )
    label = _("Missing data")
    if not asked:
        return Check(label, "neutral", _("Not known yet"), _("Nothing was asked yet."), "latency")
    facts = {"waits": fmt_pct(waits / asked, 0), "priced": fmt_pct(priced / asked, 0)}
    detail = _("The wait is known of %(waits)s of the answers, the cost of %(priced)s.") % facts
    is_lacking = min(waits, priced) / asked < 1 - TOO_MUCH_MISSING
    return Check(label, *(("warn", _("Some")) if is_lacking else ("ok", _("None to speak of"))), detail, "latency")


def _fresh(found: ExperimentResults) -> Check:
    label, late = _("Analysis"), {"time": fmt_wait(LATE.total_seconds())}
    if found.is_stale:
        detail = _("There is more than the last analysis knows, and none was made for %(time)s. Is a worker running?")
        return Check(label, "bad", _("Stale"), detail % late, "snapshot")
    if found.analysis is None:
        detail = _("The first analysis is made within %(time)s.") % {"time": fmt_wait(15 * 60)}
        return Check(label, "neutral", _("Not known yet"), detail, "snapshot")
    detail = _("Counted to this moment; compared when there was something new, every 15 minutes at most.")
    return Check(label, "ok", _("Fresh"), detail, "snapshot")
