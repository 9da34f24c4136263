"""Moments in query strings."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from promptlab.lib.errors import Invalid


def moment(text: str) -> datetime | None:
    """Read an ISO date or date-time, in the server's time zone unless it names one; None for "". Raises Invalid."""
    if not text:
        return None
    try:
        found = _date_time(text)
        return (found if timezone.is_aware(found) else timezone.make_aware(found)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        detail = "Send an ISO date or date-time, such as 2026-11-01 or 2026-11-01T09:00:00Z."
        raise Invalid.field("since", detail) from error


def _date_time(text: str) -> datetime:
    """Read a date-time, or the first moment of a date. Raises ValueError."""
    # A plus sign that was not escaped arrives as a space.
    found = parse_datetime(text.replace(" ", "+") if "T" in text else text)
    if found is not None:
        return found
    return datetime.combine(date.fromisoformat(text), time.min)
