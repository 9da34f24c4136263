"""Fields that a team adds to its prompts, and the typed values that its prompts have in them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils.dateparse import parse_date

from promptlab.accounts.access import Principal, require
from promptlab.audit.recorder import record
from promptlab.lib.errors import FieldProblem, Invalid
from prompts.errors import FieldInUse, FieldTaken
from prompts.models import MetadataField, MetadataValue, Prompt

Type = MetadataField.Type
KEY = re.compile(r"[a-z][a-z0-9_-]{0,49}\Z")
"""No dots and no double underscore: `?metadata.KEY__gte=` has to be read back."""
LONGEST = 500
MOST_CHOICES = 100
MOST_FIELDS = 50
LARGEST = Decimal(10) ** 14
COLUMNS = {Type.TEXT: "text", Type.CHOICE: "text", Type.NUMBER: "number", Type.BOOLEAN: "flag", Type.DATE: "day"}
Value = str | Decimal | bool | date


@dataclass(frozen=True, slots=True)
class FieldChanges:
    """What to change of a field; None leaves it as it is. The short name stays."""

    title: str | None = None
    type: str | None = None
    choices: Sequence[str] | None = None
    position: int | None = None


def create_field(
    actor: Principal,
    team_id: int,
    *,
    key: str,
    title: str = "",
    type: str = Type.TEXT,
    choices: Sequence[str] = (),
    position: int = 10,
) -> MetadataField:
    """Add a field to a team's prompts. Raises FieldTaken, Invalid naming what is wrong."""
    require(actor, "team.admin", team_id)
    if not KEY.match(key) or "__" in key:
        detail = "A short name begins with a small letter and has small letters, digits, dashes and underscores."
        raise Invalid.field("key", detail)
    if MetadataField.objects.filter(team_id=team_id).count() >= MOST_FIELDS:
        raise Invalid.field("key", f"A team has at most {MOST_FIELDS} fields.", code="too_many")
    field = MetadataField(team_id=team_id, key=key, title=title.strip() or key, type=type, position=position)
    field.choices = _checked_choices(type, choices)
    try:
        with transaction.atomic():
            field.save()
            record(actor, "field.created", field, team_id=team_id, after=_told(field))
    except IntegrityError as error:
        raise FieldTaken(key=key) from error
    return field


def update_field(actor: Principal, field: MetadataField, changes: FieldChanges) -> MetadataField:
    """Change a field. The same again changes nothing.

    Raises FieldInUse for another type while prompts have values, and for leaving out a choice that some have.
    """
    require(actor, "team.admin", field.team_id)
    with transaction.atomic():
        locked: MetadataField = MetadataField.objects.select_for_update().get(pk=field.pk)
        before = _told(locked)
        locked.title = (changes.title or "").strip() or locked.title
        locked.position = locked.position if changes.position is None else changes.position
        locked.type = changes.type or locked.type
        if changes.choices is not None or locked.type != before["type"]:
            locked.choices = _checked_choices(locked.type, changes.choices or ())
        changed = {name: value for name, value in _told(locked).items() if value != before[name]}
        if not changed:
            return locked
        _check_values(locked, before)
        locked.save()
        before = {name: before[name] for name in changed}
        record(actor, "field.changed", locked, team_id=locked.team_id, before=before, after=changed)
    return locked


def delete_field(actor: Principal, field: MetadataField) -> int:
    """Remove a field with what prompts have in it; return how many prompts had a value."""
    require(actor, "team.admin", field.team_id)
    with transaction.atomic():
        MetadataField.objects.select_for_update().get(pk=field.pk)
        with_values = Prompt.objects.filter(metadata__field=field)
        count: int = with_values.update(row_version=F("row_version") + 1)
        before = {**_told(field), "values": count}
        record(actor, "field.deleted", field, team_id=field.team_id, before=before)
        field.delete()
    return count


def read_values(team_id: int, values: Mapping[str, Any]) -> dict[MetadataField, Value | None]:
    """Return typed values by their fields; None and "" are none. Raises Invalid naming each wrong `metadata.KEY`.

    Takes what JSON has for a type, no text in its place: "3" is no number.
    """
    known = {field.key: field for field in MetadataField.objects.filter(team_id=team_id, key__in=list(values))}
    read: dict[MetadataField, Value | None] = {}
    problems: list[FieldProblem] = []
    for key, value in values.items():
        where = f"metadata.{key[:60]}"
        if key not in known:
            problems.append(FieldProblem(where, f"There is no field {key[:60]}.", "unknown_field"))
            continue
        try:
            read[known[key]] = None if value in (None, "") else typed(known[key], value)
        except ValueError as error:
            problems.append(FieldProblem(where, str(error), "bad_value"))
    if problems:
        raise Invalid(f"{problems[0].field}: {problems[0].detail}", problems=problems)
    return read


def set_values(prompt: Prompt, values: Mapping[str, Any]) -> dict[str, Any]:
    """Give a prompt values in its team's fields, None takes one away; return what the changed ones were before, by key.

    To be called by the verb that changes the prompt, in its transaction. Raises Invalid naming `metadata.KEY`.
    """
    if not values:
        return {}
    wanted = read_values(prompt.team_id, values)
    # Locked: a field changes its type only while nobody has a value.
    ids = [field.pk for field in wanted]
    list(MetadataField.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk"))
    rows = MetadataValue.objects.with_fields().filter(prompt=prompt, field__in=ids)
    had: dict[int, MetadataValue] = {row.field_id: row for row in rows}
    before: dict[str, Any] = {}
    for field, value in wanted.items():
        row = had.get(field.pk)
        old = row.value if row else None
        if old == value:
            continue
        before[field.key] = said(old)
        if value is None:
            MetadataValue.objects.filter(prompt=prompt, field=field).delete()
        else:
            told = {"text": "", "number": None, "flag": None, "day": None, COLUMNS[Type(field.type)]: value}
            MetadataValue.objects.update_or_create(prompt=prompt, field=field, defaults=told)
    return before


def said(value: Any) -> Any:
    """Return a value as JSON has it: whole numbers as such, dates as text."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value.isoformat() if isinstance(value, date) else value


def typed(field: MetadataField, value: Any) -> Value:
    """Return a value of JSON as the field's type. Raises ValueError with a sentence."""
    return _READERS[Type(field.type)](field, value)


def from_text(field: MetadataField, text: str) -> Value:
    """Return a value that was written as text, in an address or a form. Raises ValueError with a sentence."""
    kind = Type(field.type)
    if kind == Type.NUMBER:
        try:
            return typed(field, float(text))
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{field.title} is a number.") from error
    if kind == Type.BOOLEAN:
        if text.lower() not in ("true", "false", "1", "0"):
            raise ValueError(f"{field.title} is true or false.")
        return text.lower() in ("true", "1")
    return typed(field, text)


def _text(field: MetadataField, value: Any) -> Value:
    if not isinstance(value, str) or len(value) > LONGEST:
        raise ValueError(f"{field.title} is text of at most {LONGEST} characters.")
    return value


def _number(field: MetadataField, value: Any) -> Value:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not math.isfinite(value):
        raise ValueError(f"{field.title} is a number.")
    number = Decimal(str(value))
    if abs(number) >= LARGEST:
        raise ValueError(f"{field.title} is a number below {LARGEST:f}.")
    return number.quantize(Decimal("0.000001"))


def _flag(field: MetadataField, value: Any) -> Value:
    if not isinstance(value, bool):
        raise ValueError(f"{field.title} is true or false.")
    return value


def _day(field: MetadataField, value: Any) -> Value:
    if isinstance(value, date):
        return value
    try:
        day = parse_date(value) if isinstance(value, str) else None
    except ValueError:
        day = None
    if day is None:
        raise ValueError(f"{field.title} is a date such as 2030-01-31.")
    return day


def _choice(field: MetadataField, value: Any) -> Value:
    if not isinstance(value, str) or value not in field.choices:
        raise ValueError(f"{field.title} is one of {', '.join(field.choices)}.")
    return value


_READERS: dict[Type, Callable[[MetadataField, Any], Value]] = {
    Type.TEXT: _text,
    Type.NUMBER: _number,
    Type.BOOLEAN: _flag,
    Type.DATE: _day,
    Type.CHOICE: _choice,
}


def _told(field: MetadataField) -> dict[str, Any]:
    """Return the fields that are recorded."""
    return {
        "key": field.key,
        "title": field.title,
        "type": str(field.type),
        "choices": list(field.choices),
        "position": field.position,
    }


def _checked_choices(type: str, choices: Sequence[str]) -> list[str]:
    found = list(dict.fromkeys(one.strip() for one in choices if one.strip()))
    if type not in Type.values:
        raise Invalid.field("type", f"The type is one of {', '.join(Type.values)}.")
    if type != Type.CHOICE:
        return []
    if not found or len(found) > MOST_CHOICES or any(len(one) > LONGEST for one in found):
        detail = f"Give 1 to {MOST_CHOICES} choices of at most {LONGEST} characters."
        raise Invalid.field("choices", detail, code="required")
    return found


def _check_values(field: MetadataField, before: Mapping[str, Any]) -> None:
    """Raise FieldInUse when values of prompts would lose their meaning."""
    rows = MetadataValue.objects.filter(field=field)
    if field.type != before["type"]:
        if count := rows.count():
            raise FieldInUse(values=count, field=field.title, change=f"making it {field.get_type_display().lower()}")
    elif field.type == Type.CHOICE and (count := rows.exclude(text__in=field.choices).count()):
        raise FieldInUse(values=count, field=field.title, change="leaving out their choice")
