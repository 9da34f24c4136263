"""Numbers, money and times as people read them: rounded first, then localised; nothing known is a dash.

Django's `number_format` cuts digits off where `floatformat` rounds them, so the same figure would differ in a
chart and in its table. Everything shown to people goes through here instead.
"""

from __future__ import annotations

import math
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

DASH = "–"
MINUS = "−"
NO_BREAK = "\u00a0"

Number = int | float | Decimal


def fmt_int(value: Number | None) -> str:
    """Write a whole number with its thousands apart: `8,351`."""
    return DASH if _is_unknown(value) else _localised(_exact(value), 0)


def fmt_pct(ratio: Number | None, decimals: int = 1) -> str:
    """Write a ratio (0.7798) as a percentage (`78.0 %`)."""
    return DASH if _is_unknown(ratio) else _percent(_localised(_exact(ratio) * 100, decimals))


def fmt_chance(probability: Number | None) -> str:
    """Write a probability without ever claiming certainty: `> 99 %`, `97 %`, `< 1 %`."""
    if _is_unknown(probability):
        return DASH
    exact = _exact(probability)
    if exact > Decimal("0.99"):
        return f">{NO_BREAK}{fmt_pct(0.99, 0)}"
    return f"<{NO_BREAK}{fmt_pct(0.01, 0)}" if exact < Decimal("0.01") else fmt_pct(exact, 0)


def fmt_points(difference: Number | None, decimals: int = 1) -> str:
    """Write a difference of two ratios (0.048) in percentage points, always signed: `+4.8 points`."""
    if _is_unknown(difference):
        return DASH
    return _points(_signed(_exact(difference) * 100, decimals))


def fmt_ms(milliseconds: Number | None) -> str:
    """Write a wait: `930 ms` under one second, `2.2 s` from there on."""
    if _is_unknown(milliseconds):
        return DASH
    exact = _exact(milliseconds)
    if _rounded(exact, 0) < 1000:
        return f"{_localised(exact, 0)}{NO_BREAK}ms"
    return f"{_localised(exact / 1000, 1)}{NO_BREAK}s"


def fmt_money(usd: Number | None) -> str:
    """Write US dollars: two decimals from one cent on, two telling digits below that (`$0.0018`)."""
    if _is_unknown(usd):
        return DASH
    exact = _exact(usd)
    size = abs(exact)
    if 0 < size < Decimal("0.000001"):
        return f"<{NO_BREAK}{_dollars(_localised(Decimal('0.000001'), 6))}"
    decimals = 2 if size == 0 or size >= Decimal("0.01") else min(6, 1 - size.adjusted())
    text = _dollars(_localised(size, decimals))
    return f"{MINUS}{text}" if exact < 0 else text


def fmt_range(
    low: Number | None, high: Number | None, decimals: int = 1, unit: Literal["pct", "points"] = "pct"
) -> str:
    """Write a likely range of ratios (`71.7–74.7 %`) or of differences (`−5.4 to +1.2 points`)."""
    if _is_unknown(low) or _is_unknown(high):
        return DASH
    bounds = (_exact(low) * 100, _exact(high) * 100)
    if unit == "pct":
        return _percent(DASH.join(_localised(bound, decimals) for bound in bounds))
    lower, upper = (_signed(bound, decimals) for bound in bounds)
    return _points(_("%(low)s to %(high)s") % {"low": lower, "high": upper})


def fmt_wait(seconds: Number | None) -> str:
    """Write a stretch of time in its largest fitting unit, rounded up: `45 seconds`, `15 minutes`."""
    if _is_unknown(seconds):
        return DASH
    whole = max(0, math.ceil(_exact(seconds)))
    if whole < 60:
        return _counted(whole, "second")
    if whole < 3600:
        return _counted(-(-whole // 60), "minute")
    return _counted(-(-whole // 3600), "hour") if whole < 86400 else _counted(-(-whole // 86400), "day")


def fmt_when(moment: datetime | None, now: datetime | None = None) -> str:
    """Write how long ago `moment` was (`3 hours ago`); from a week on, its local date."""
    if moment is None:
        return DASH
    seconds = int(((now or timezone.now()) - moment).total_seconds())
    if seconds < 0 or seconds >= 7 * 86400:
        return date_format(_local(moment), "DATE_FORMAT")
    if seconds < 60:
        return _("just now")
    # Whole units that have passed: 119 minutes are "1 hour ago", where a wait would be rounded up.
    size, unit = next((size, unit) for size, unit in _STEPS if seconds >= size)
    return _("%(time)s ago") % {"time": _counted(seconds // size, unit)}


def fmt_datetime(moment: datetime | None) -> str:
    """Write the full local date and time."""
    return DASH if moment is None else date_format(_local(moment), "DATETIME_FORMAT")


def fmt_name(name: str) -> str:
    """Write a name of small letters with a capital: `Preview`. The usual ones are in the reader's language: `Producción`."""
    return _(name.capitalize()) if name in _USUAL else name.capitalize()


def fmt_day(day: date | None) -> str:
    """Write a short date without its year, for axes: `16 Nov.`; a datetime counts by its local day."""
    if day is None:
        return DASH
    return date_format(_local(day) if isinstance(day, datetime) else day, "j N")


_USUAL = {name.lower() for name in (gettext_noop("Development"), gettext_noop("Staging"), gettext_noop("Production"))}
_STEPS = ((86400, "day"), (3600, "hour"), (60, "minute"))


def _counted(count: int, unit: str) -> str:
    texts = {
        "second": ngettext("%(count)s second", "%(count)s seconds", count),
        "minute": ngettext("%(count)s minute", "%(count)s minutes", count),
        "hour": ngettext("%(count)s hour", "%(count)s hours", count),
        "day": ngettext("%(count)s day", "%(count)s days", count),
    }
    return texts[unit] % {"count": fmt_int(count)}


def _is_unknown(value: Number | None) -> bool:
    return value is None or not math.isfinite(value)


def _exact(value: Number | None) -> Decimal:
    """Return the number as it prints: `Decimal(0.285)` is a hair below, and would round the wrong way."""
    return value if isinstance(value, Decimal) else Decimal(str(value))


def _rounded(value: Decimal, decimals: int) -> Decimal:
    rounded = value.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP)
    return abs(rounded) if rounded == 0 else rounded  # no "-0.0"


def _localised(value: Decimal, decimals: int) -> str:
    text = number_format(_rounded(value, decimals), decimals, use_l10n=True, force_grouping=True)
    return text.replace("-", MINUS, 1)


def _signed(value: Decimal, decimals: int) -> str:
    text = _localised(value, decimals)
    return f"+{text}" if _rounded(value, decimals) > 0 else text


def _percent(number: str) -> str:
    return f"{number}{NO_BREAK}%"


def _points(number: str) -> str:
    return _("%(number)s points").replace(" ", NO_BREAK) % {"number": number}


def _dollars(number: str) -> str:
    return f"${number}"


def _local(moment: datetime) -> datetime:
    return timezone.localtime(moment) if timezone.is_aware(moment) else moment
