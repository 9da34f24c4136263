"""Which ways lead to a model, as a team's providers and models say. The gateway takes them as plain values.

A model that is in no row has no way here: then the settings say how it is reached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from django.conf import settings

from promptlab.lib import addresses
from promptlab.lib.addresses import AddressRefused
from promptlab.lib.logs import get_logger
from promptlab.lib.sealing import CannotBeOpened, unseal
from promptlab.llm import config
from promptlab.llm.finding import Masks
from promptlab.llm.keeping import Kept
from promptlab.llm.models import Fallback, LanguageModel, Masking, MaskPattern, Provider
from promptlab.llm.refusals import ModelOff, NoModelOfTier, ProviderNotReady
from promptlab.llm.types import Route

log = get_logger(__name__)
MAX_FALLBACKS = 5


@dataclass(frozen=True, slots=True)
class Known:
    """A model of a team. No route: it is off, or `problem` says why it cannot be called."""

    name: str
    tier: str
    is_on: bool
    route: Route | None = None
    problem: ProviderNotReady | None = None
    fallbacks: Sequence[str] = ()
    window: int | None = None


@dataclass(frozen=True, slots=True)
class Shelf:
    """A team's models by name, those made first in front."""

    models: Mapping[str, Known] = field(default_factory=dict)


def routes_for(team_id: int, model: str) -> tuple[Route, ...]:
    """Return the ways to a model, the best first: its own provider's, then those of its fallbacks.

    Empty when no row knows the model: the settings say how it is reached. Two queries, kept for seconds.
    Raises ModelOff, and ProviderNotReady when nothing at all can be called.
    """
    shelf = _shelves.of(team_id)
    known = shelf.models.get(model or config.current().default_model)
    if known is None:
        return ()
    if not known.is_on:
        raise ModelOff(known.name)
    ways = (known, *(shelf.models[name] for name in known.fallbacks))
    routes = tuple(way.route for way in ways if way.is_on and way.route is not None)
    if not routes:
        assert known.problem is not None
        raise ProviderNotReady(**known.problem.data)
    return routes


def masks_of(team_id: int) -> Masks:
    """Return what is replaced before every call of a team, whoever answers. Two queries, kept for seconds."""
    return _masks.of(team_id)


def read_masks(team_id: int) -> Masks:
    """Return what a team's rows say is replaced before every call, as they stand in the database now."""
    kinds = Masking.objects.filter(team_id=team_id).values_list("kinds", flat=True).first() or ""
    patterns = MaskPattern.objects.filter(team_id=team_id).values_list("name", "pattern")
    return Masks(tuple(kinds.split()), tuple(patterns))


def offered_models(team_id: int) -> list[tuple[str, str]]:
    """Return the names of the team's models that can be called, each with that of its provider, those made first in front.

    Two queries, kept for seconds.
    """
    known = _shelves.of(team_id).models.values()
    return [(one.name, one.route.provider) for one in known if one.is_on and one.route is not None]


def switched_off(team_id: int) -> set[str]:
    """Return the names of the models that an administrator of the team switched off."""
    return {one.name for one in _shelves.of(team_id).models.values() if not one.is_on}


def window_of(team_id: int, model: str) -> int | None:
    """Return the context window that a team's row gives a model, in tokens; None where it says nothing."""
    known = _shelves.of(team_id).models.get(model)
    return known.window if known else None


def model_of_tier(team_id: int, tier: str) -> str:
    """Return the name of the team's model of a tier: of those that can be called the one that was made first.

    A team that gave no model a tier has the default model for all of them. Raises NoModelOfTier.
    """
    known = _shelves.of(team_id).models.values()
    for one in known:
        if one.tier == tier and one.is_on and one.route is not None:
            return one.name
    if tier not in LanguageModel.Tier.values or any(one.tier for one in known):
        raise NoModelOfTier(tier=tier[:20])
    return config.current().default_model


def route_to(provider: Provider, model: str) -> Route:
    """Return the way to a model of a provider. Raises ProviderNotReady: no key, or an address that is not allowed."""
    return Route(
        provider=provider.name,
        kind=provider.kind,
        model=model,
        address=_address(provider),
        key=_key(provider),
        version=provider.version,
        api_version=provider.api_version,
        connect_timeout_s=provider.connect_timeout_s,
        first_token_timeout_s=provider.first_token_timeout_s,
        deadline_s=provider.deadline_s,
        drains=provider.on_hang_up == Provider.OnHangUp.READ,
        masks=Masks(tuple(provider.masked_list)),
        is_public_only=provider.host not in {host.strip("[]").lower() for host in settings.LLM_ALLOWED_PRIVATE},
    )


def _load(team_id: int) -> Shelf:
    rows = list(LanguageModel.objects.filter(team_id=team_id).select_related("provider").order_by("id"))
    names = {row.pk: row.name for row in rows}
    fallbacks: dict[int, list[str]] = {}
    for model_id, other_id in Fallback.objects.filter(model__team_id=team_id).values_list("model_id", "other_id"):
        if model_id in names and other_id in names:
            fallbacks.setdefault(model_id, []).append(names[other_id])
    return Shelf({row.name: _known(row, fallbacks.get(row.pk, ())) for row in rows})


def _known(row: LanguageModel, fallbacks: Sequence[str]) -> Known:
    if not (row.is_on and row.provider.is_on):
        return Known(row.name, row.tier, is_on=False)
    known = Known(row.name, row.tier, is_on=True, fallbacks=fallbacks, window=row.context_window)
    try:
        route = route_to(row.provider, row.upstream_name)
    except ProviderNotReady as error:
        return replace(known, problem=error)
    return replace(known, route=replace(route, name=row.name))


def _address(provider: Provider) -> str:
    """Return where to call. What the operator allowed once may not be allowed any more."""
    if provider.kind == Provider.Kind.ECHO:
        return ""
    try:
        addresses.parse(provider.called_at, trusted=settings.LLM_ALLOWED_PRIVATE)
    except AddressRefused:
        raise ProviderNotReady(provider=provider.name, reason="its address is not allowed") from None
    return provider.called_at


def _key(provider: Provider) -> str:
    """Return the key, open; empty for a kind that needs none. No caller may log it."""
    if provider.key_variable:
        key = settings.LLM_KEYS.get(provider.key_variable, "") if may_use_variable(provider) else ""
    elif provider.sealed_key:
        try:
            key = unseal(provider.sealed_key)
        except CannotBeOpened:
            log.error("provider_key_unreadable", provider=provider.pk)
            raise ProviderNotReady(provider=provider.name, reason="its key cannot be opened") from None
    else:
        key = ""
    if not key and (provider.key_variable or provider.kind not in Provider.KEYLESS):
        raise ProviderNotReady(provider=provider.name, reason="it has no key")
    return key


def may_use_variable(provider: Provider) -> bool:
    """Tell whether the operator lets the provider's variable go to its host.

    Otherwise an administrator of a team could send the operator's key to a host of their own.
    """
    if provider.key_variable not in settings.LLM_KEYS:
        return False
    is_home = not provider.address and bool(provider.called_at)
    return is_home or provider.host in {host.lower() for host in settings.LLM_KEY_HOSTS}


_shelves: Kept[Shelf] = Kept(_load)
_masks: Kept[Masks] = Kept(read_masks)
