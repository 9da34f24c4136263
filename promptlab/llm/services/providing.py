"""Setting up who answers: providers, and the keys they are called with. No key is ever given back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from promptlab.accounts.access import Principal
from promptlab.accounts.models import Team
from promptlab.audit.recorder import record
from promptlab.lib import addresses
from promptlab.lib.errors import FieldProblem, Invalid
from promptlab.lib.sealing import seal
from promptlab.llm.keeping import forget_on_commit
from promptlab.llm.models import LanguageModel, Provider
from promptlab.llm.refusals import (
    AddressNeeded,
    KeyNeeded,
    KeyUnreadable,
    NameReserved,
    NameTaken,
    ProviderInUse,
    TooManyProviders,
    VariableRefused,
)
from promptlab.llm.routes import may_use_variable
from promptlab.llm.services.allowing import locked_provider, require_admin
from promptlab.llm.services.hiding import in_words

MOST = 50
LONGEST_KEY = 2000
HINT_CHARS = 4
SHORTEST_HINTED = 12
"""Of a shorter key the last four would tell too much."""
RESERVED = ("echo",)
PLAIN = (
    "name", "kind", "address", "api_version", "connect_timeout_s", "first_token_timeout_s", "deadline_s",
    "on_hang_up", "region_note", "is_on",
)  # fmt: skip
TIMES = ("connect_timeout_s", "first_token_timeout_s", "deadline_s")
LONGEST_S = 600.0


class ProviderFields(TypedDict, total=False):
    """What can be said of a provider; what is left out stays as it is. `key` and `key_variable` exclude each other.

    Times in seconds; None: that of the settings. An empty `address`: that of the kind. An empty `key` takes it away.
    `masked` are kinds of `finding.KINDS`: they leave as tokens.
    """

    name: str
    kind: str
    address: str
    key: str
    key_variable: str
    api_version: str
    connect_timeout_s: float | None
    first_token_timeout_s: float | None
    deadline_s: float | None
    on_hang_up: str
    region_note: str
    is_on: bool
    masked: Sequence[str]


def create_provider(actor: Principal, team_id: int, fields: ProviderFields) -> Provider:
    """Make a provider and return it.

    Raises NameTaken, NameReserved, AddressRefused, AddressNeeded, KeyUnreadable, VariableRefused, TooManyProviders.
    """
    require_admin(actor, team_id)
    with transaction.atomic():
        # Made one after the other, so that they can be counted.
        Team.objects.select_for_update(no_key=True).get(pk=team_id)
        if Provider.objects.filter(team_id=team_id).count() >= MOST:
            raise TooManyProviders(most=MOST)
        provider = Provider(team_id=team_id)
        _apply(actor, provider, fields)
        provider.save()
        record(actor, "provider.created", provider, team_id=team_id, after=_facts(provider))
        forget_on_commit(team_id)
    return provider


def update_provider(actor: Principal, provider: Provider, fields: ProviderFields) -> Provider:
    """Change a provider and return it. A stored key goes to no other host: with another one it is asked for again.

    Raises KeyNeeded, and what `create_provider` raises.
    """
    require_admin(actor, provider.team_id)
    with transaction.atomic():
        locked = locked_provider(provider)
        was, had = _facts(locked), (locked.called_at, locked.sealed_key, locked.generation)
        _apply(actor, locked, fields)
        now = _facts(locked)
        changed = [name for name in now if now[name] != was[name]]
        if changed or locked.generation != had[2]:
            locked.save()
            before = {name: was[name] for name in changed}
            untold = [name for name, is_other in _untold(locked, *had[:2]).items() if is_other]
            after = {**{name: now[name] for name in changed}, **dict.fromkeys(untold, "changed")}
            record(actor, "provider.changed", locked, team_id=locked.team_id, before=before, after=after)
            forget_on_commit(locked.team_id)
    return locked


def remove_provider(actor: Principal, provider: Provider, *, confirm: str = "") -> None:
    """Remove a provider with its key, its models and its prices.

    Raises ProviderInUse while models of it are on, unless `confirm` is the provider's name.
    """
    require_admin(actor, provider.team_id)
    with transaction.atomic():
        locked = locked_provider(provider)
        on = list(LanguageModel.objects.filter(provider=locked, is_on=True).values_list("name", flat=True)[:20])
        if on and confirm != locked.name:
            raise ProviderInUse(provider=locked.name, models=", ".join(on))
        record(actor, "provider.removed", locked, team_id=locked.team_id, before=_facts(locked))
        forget_on_commit(locked.team_id)
        locked.delete()


def _apply(actor: Principal, provider: Provider, fields: ProviderFields) -> None:
    """Put the fields into the row, unsaved, and check what they make together."""
    was_called = _called(provider) if provider.pk else ("", "", 0)
    was = (provider.called_at, provider.kind, provider.api_version, provider.sealed_key, provider.key_variable)
    for name in PLAIN:
        if name in fields:
            setattr(provider, name, fields[name])  # type: ignore[literal-required]
    if "masked" in fields:
        provider.masked = in_words(fields["masked"], "masked")
    _check_words(provider)
    _check_times(provider)
    _check_address(provider)
    _set_key(actor, provider, fields)
    if provider.sealed_key and "key" not in fields and was_called != _called(provider):
        raise _about("key", KeyNeeded())
    if provider.key_variable and not may_use_variable(provider):
        raise _about("key_variable", VariableRefused())
    now = (provider.called_at, provider.kind, provider.api_version, provider.sealed_key, provider.key_variable)
    if provider.pk and now != was:
        provider.generation += 1
        provider.checked_at, provider.check_result, provider.check_status = None, "", None


def _check_words(provider: Provider) -> None:
    if not provider.name.strip() or not provider.name.isprintable():
        raise Invalid.field("name", "Give the provider a name.", code="required")
    if provider.name.lower() in RESERVED:
        raise _about("name", NameReserved(name=provider.name))
    others = Provider.objects.called(provider.team_id, provider.name).exclude(pk=provider.pk)
    if others.exists():
        raise _about("name", NameTaken(what="a provider", name=provider.name))
    for name, known in (("kind", Provider.Kind), ("on_hang_up", Provider.OnHangUp)):
        if getattr(provider, name) not in known.values:
            raise Invalid.field(name, f"One of: {', '.join(known.values)}.", code="invalid_choice")


def _check_times(provider: Provider) -> None:
    for name in TIMES:
        seconds = getattr(provider, name)
        if seconds is not None and not 0.1 <= seconds <= LONGEST_S:
            raise Invalid.field(name, f"Between 0.1 and {LONGEST_S:g} seconds.", code="out_of_range")


def _check_address(provider: Provider) -> None:
    if provider.kind == Provider.Kind.ECHO:
        provider.address = ""
        return
    provider.address = provider.address.rstrip("/")
    if not provider.called_at:
        raise _about("address", AddressNeeded())
    addresses.parse(provider.called_at, trusted=settings.LLM_ALLOWED_PRIVATE, field="address")
    if provider.kind == Provider.Kind.AZURE and not provider.api_version:
        raise Invalid.field(
            "api_version", gettext_noop("Azure wants to know which version of its API is meant."), code="required"
        )


def _set_key(actor: Principal, provider: Provider, fields: ProviderFields) -> None:
    key, variable = fields.get("key"), fields.get("key_variable")
    if key and variable:
        raise Invalid.field("key_variable", gettext_noop("Give a key or the name of a variable, not both."))
    if key is not None:
        key = key.strip()
        if len(key) > LONGEST_KEY or not key.isascii() or not (key.isprintable() and " " not in key):
            raise _about("key", KeyUnreadable())
        provider.sealed_key = seal(key) if key else ""
        provider.key_hint = key[-HINT_CHARS:] if len(key) >= SHORTEST_HINTED else ""
        _note_key(actor, provider)
    if variable is not None and variable != provider.key_variable:
        provider.key_variable = variable
        _note_key(actor, provider)
    if key:
        provider.key_variable = ""
    if variable:
        provider.sealed_key = provider.key_hint = ""


def _note_key(actor: Principal, provider: Provider) -> None:
    provider.key_set_by_id = actor.user_id
    provider.key_set_at = timezone.now()


def _called(provider: Provider) -> tuple[str, str, int]:
    """Return scheme, host and port that a key goes to. Stored addresses were checked, with other settings perhaps."""
    if not provider.called_at:
        return ("", "", 0)
    target = addresses.parse(provider.called_at, trusted=[provider.host])
    return (target.scheme, target.host, target.port)


def _about(field: str, error: Any) -> Any:
    """Return the error, said of one field."""
    error.problems = (FieldProblem(field, error.detail, error.code),)
    return error


def _untold(provider: Provider, called_at: str, sealed_key: str) -> dict[str, bool]:
    """Return which of the things changed that the activity log may not know."""
    return {"address": provider.called_at != called_at, "key": provider.sealed_key != sealed_key}


def _facts(provider: Provider) -> dict[str, Any]:
    """Return what the activity log may know of a provider: neither its key nor the path of its address."""
    said = {name: getattr(provider, name) for name in PLAIN if name != "address"}
    said["masked"] = provider.masked
    return {**said, "host": provider.host, "has_key": provider.has_key, "key_variable": provider.key_variable}
