"""What came of some calls, as the pages of use write it: tiles, cells of tables, marks and charts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from feedback.usage.moves import Move
from feedback.usage.steps import Step
from feedback.usage.sums import Used
from promptlab.lib.charts import Series, columns, rates
from promptlab.lib.formats import fmt_int, fmt_money, fmt_ms, fmt_pct, fmt_range

HEADS = (
    _("Calls"), _("Failed"), _("Ratings"), _("Thumbs-up rate"), _("Rated"), _("Wait"), _("19 of 20 within"), _("Tokens"),
    _("Cost"),
)  # fmt: skip
"""Of tables whose rows are `cells`."""
SOLD = (_("Calls"), _("Tokens in"), _("Tokens out"), _("Cost"), _("A thousand calls"), _("Share of the cost"))
"""Of tables whose rows are `costs`."""


def cells(one: Used) -> list[dict[str, str]]:
    """Return the cells of a row: what stands in each, and a quiet note beside it."""
    span = fmt_range(one.said.low, one.said.high) if one.said.rate is not None else ""
    return [
        {"text": fmt_int(one.calls)},
        {"text": fmt_int(one.errors), "note": fmt_pct(one.error_share) if one.errors else ""},
        {"text": fmt_int(one.said.ratings)},
        {"text": fmt_pct(one.said.rate), "note": span},
        {"text": fmt_pct(one.coverage)},
        {"text": fmt_ms(one.median_ms)},
        {"text": fmt_ms(one.p95_ms)},
        {"text": fmt_int(one.input_tokens + one.output_tokens)},
        {"text": fmt_money(one.known_usd), "note": unpriced(one)},
    ]


def costs(one: Used, total: Used) -> list[dict[str, str]]:
    """Return the cells of a row about money."""
    share = one.cost_usd / total.cost_usd if total.cost_usd else None
    return [
        {"text": fmt_int(one.calls)},
        {"text": fmt_int(one.input_tokens)},
        {"text": fmt_int(one.output_tokens)},
        {"text": fmt_money(one.known_usd), "note": unpriced(one)},
        {"text": fmt_money(one.thousand_usd)},
        {"text": fmt_pct(share)},
    ]


def unpriced(one: Used) -> str:
    """Return how many calls the cost leaves out."""
    return gettext("and %(count)s calls of unknown price") % {"count": fmt_int(one.unpriced)} if one.unpriced else ""


def tiles(one: Used) -> list[dict[str, Any]]:
    """Return the tiles above a page."""
    said = one.said
    facts = {
        "errors": fmt_int(one.errors),
        "share": fmt_pct(one.error_share),
        "ratings": fmt_int(said.ratings),
        "p95": fmt_ms(one.p95_ms),
        "tokens": fmt_int(one.input_tokens + one.output_tokens),
    }
    span = fmt_range(said.low, said.high) if said.rate is not None else ""
    slow = gettext("19 of 20 within %(p95)s") % facts if one.p95_ms is not None else ""
    return [
        {"label": _("Calls"), "value": fmt_int(one.calls), "note": gettext("%(tokens)s tokens") % facts},
        {"label": _("Thumbs-up rate"), "value": fmt_pct(said.rate), "note": span},
        {"label": _("Rated"), "value": fmt_pct(one.coverage), "note": gettext("%(ratings)s ratings") % facts},
        {"label": _("Wait"), "value": fmt_ms(one.median_ms), "note": slow},
        {"label": _("Failed"), "value": fmt_int(one.errors), "note": gettext("%(share)s of the calls") % facts},
        {"label": _("Cost"), "value": fmt_money(one.known_usd), "note": unpriced(one)},
    ]


def marks(found: Sequence[Step], *, is_named: bool = True) -> dict[int, str]:
    """Return what went live by the place of its step, in words; `is_named`: with the prompt."""
    return {at: told(step.moves, is_named=is_named) for at, step in enumerate(found) if step.moves}


def told(moves: Iterable[Move], *, is_named: bool) -> str:
    """Return moves in words, all of them: charts have no room for what they are."""
    return "; ".join(f"{one.prompt}: {one.sentence}" if is_named else one.sentence for one in moves)


def charts(found: Sequence[Step], happened: dict[int, str], *, is_weekly: bool) -> list[SafeString]:
    """Return calls, approval and cost over time. None of a single day; those without values are left out."""
    if len(found) < 2:
        return []
    days, heading = [one.day for one in found], head_of_steps(is_weekly)
    said = [one.used.said for one in found]
    rated = Series(
        gettext("Thumbs-up rate"),
        [one.rate for one in said],
        [one.low for one in said],
        [one.high for one in said],
    )
    calls = Series(gettext("Calls"), [one.used.calls for one in found])
    spent = Series(gettext("Cost"), [float(one.used.cost_usd) for one in found])
    legend = caption(happened)
    drawn = [
        columns(days, [calls], happened, title=gettext("Calls over time"), heading=heading, caption=legend),
        rates(days, rated, happened, title=gettext("Thumbs-up rate over time"), heading=heading),
        columns(
            days, [spent], happened, title=gettext("Cost over time"), heading=heading, caption=legend, fmt=fmt_money
        ),
    ]
    return [one for one in drawn if one]


def head_of_steps(is_weekly: bool) -> str:
    """Return what the first column of a table over time is called."""
    return gettext("Week from") if is_weekly else gettext("Day")


def caption(happened: dict[int, str]) -> str:
    """Return what the dashed lines of a chart are."""
    if not happened:
        return ""
    return gettext(
        "The dashed lines are what went live, by number: see the table. A line across holds several together."
    )


def parts(by: dict[str, list[float]], most: int = 4) -> list[Series]:
    """Return series of values by name, the greatest in all of them first; what is more than `most` as one."""
    order = sorted(by, key=lambda name: -sum(by[name]))
    found = [Series(name, by[name]) for name in order[:most]]
    rest = [by[name] for name in order[most:]]
    if rest:
        found.append(Series(gettext("Others"), [sum(several) for several in zip(*rest, strict=True)]))
    return found
