"""Setting up which models there are: their names, sizes and tiers, and which others answer when one cannot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from django.db import transaction
from django.utils.translation import gettext_noop

from promptlab.accounts.access import Principal
from promptlab.accounts.models import Team
from promptlab.audit.recorder import record
from promptlab.lib.errors import FieldProblem, Invalid
from promptlab.llm.keeping import forget_on_commit
from promptlab.llm.models import Fallback, LanguageModel, Provider
from promptlab.llm.refusals import ModelRowNotFound, NameReserved, NameTaken, TooManyModels, UnknownFallback
from promptlab.llm.routes import MAX_FALLBACKS
from promptlab.llm.services.allowing import locked_provider, require_admin

MOST = 500
BUILT_IN = "echo"
PLAIN = ("name", "upstream_name", "tier", "context_window", "max_output_tokens", "is_on")
SIZES = ("context_window", "max_output_tokens")


class ModelFields(TypedDict, total=False):
    """What can be said of a model; what is left out stays as it is. `fallbacks`: names of models, the first tried first.

    Sizes in tokens; None: not known. An empty `upstream_name`: the provider calls it as callers do.
    """

    name: str
    upstream_name: str
    tier: str
    context_window: int | None
    max_output_tokens: int | None
    abilities: Sequence[str]
    is_on: bool
    fallbacks: Sequence[str]


def create_model(actor: Principal, provider: Provider, fields: ModelFields) -> LanguageModel:
    """Make a model and return it. Raises NameTaken, NameReserved, UnknownFallback, TooManyModels."""
    require_admin(actor, provider.team_id)
    with transaction.atomic():
        _hold_team(provider.team_id)
        locked = locked_provider(provider)
        if LanguageModel.objects.filter(team_id=locked.team_id).count() >= MOST:
            raise TooManyModels(most=MOST)
        model = LanguageModel(team_id=locked.team_id, provider=locked)
        _apply(model, fields)
        model.save()
        _set_fallbacks(model, fields.get("fallbacks", ()))
        record(actor, "model.created", model, team_id=model.team_id, after=_facts(model))
        forget_on_commit(model.team_id)
    return model


def update_model(actor: Principal, model: LanguageModel, fields: ModelFields) -> LanguageModel:
    """Change a model and return it. Raises what `create_model` raises."""
    require_admin(actor, model.team_id)
    with transaction.atomic():
        _hold_team(model.team_id)
        locked = _locked(model)
        was = _facts(locked)
        _apply(locked, fields)
        if "fallbacks" in fields:
            _set_fallbacks(locked, fields["fallbacks"])
        now = _facts(locked)
        changed = [name for name in now if now[name] != was[name]]
        if changed:
            locked.save()
            before, after = ({name: facts[name] for name in changed} for facts in (was, now))
            record(actor, "model.changed", locked, team_id=locked.team_id, before=before, after=after)
            forget_on_commit(locked.team_id)
    return locked


def remove_model(actor: Principal, model: LanguageModel) -> None:
    """Remove a model; it is no fallback of others any more. Calls that name it go where the settings say."""
    require_admin(actor, model.team_id)
    with transaction.atomic():
        _hold_team(model.team_id)
        locked = _locked(model)
        record(actor, "model.removed", locked, team_id=locked.team_id, before=_facts(locked))
        forget_on_commit(locked.team_id)
        locked.delete()


def _hold_team(team_id: int) -> None:
    """Change a team's models one after the other: they are counted, and name each other."""
    Team.objects.select_for_update(no_key=True).get(pk=team_id)


def _locked(model: LanguageModel) -> LanguageModel:
    rows = LanguageModel.objects.select_for_update(no_key=True, of=("self",)).select_related("provider")
    locked: LanguageModel | None = rows.filter(pk=model.pk).first()
    if locked is None:
        raise ModelRowNotFound
    return locked


def _apply(model: LanguageModel, fields: ModelFields) -> None:
    """Put the fields into the row, unsaved, and check them."""
    for name in PLAIN:
        if name in fields:
            setattr(model, name, fields[name])  # type: ignore[literal-required]
    model.upstream_name = model.upstream_name or model.name
    if "abilities" in fields:
        model.abilities = " ".join(_abilities(fields["abilities"]))
    _check_name(model)
    if model.tier and model.tier not in LanguageModel.Tier.values:
        raise Invalid.field("tier", f"One of: {', '.join(LanguageModel.Tier.values)}.", code="invalid_choice")
    for name in SIZES:
        size = getattr(model, name)
        if size is not None and not 1 <= size <= 100_000_000:
            raise Invalid.field(name, gettext_noop("Between 1 and 100 million tokens."), code="out_of_range")


def _check_name(model: LanguageModel) -> None:
    for name in ("name", "upstream_name"):
        word = getattr(model, name)
        if not word or not word.isprintable() or word != word.strip():
            raise Invalid.field(name, gettext_noop("Give the model a name, without blanks around it."), code="required")
    problem: NameReserved | NameTaken | None = None
    if model.name == BUILT_IN or model.name.startswith(f"{BUILT_IN}-"):
        problem = NameReserved(name=model.name)
    elif LanguageModel.objects.filter(team_id=model.team_id, name=model.name).exclude(pk=model.pk).exists():
        problem = NameTaken(what="a model", name=model.name)
    if problem is not None:
        problem.problems = (FieldProblem("name", problem.detail, problem.code),)
        raise problem


def _abilities(wanted: Sequence[str]) -> list[str]:
    """Return the abilities in our order, once each."""
    known = LanguageModel.Ability.values
    for unknown in sorted(set(wanted) - set(known)):
        raise Invalid.field("abilities", f"There is no ability {unknown!r}. Known: {', '.join(known)}.")
    return [ability for ability in known if ability in wanted]


def _set_fallbacks(model: LanguageModel, names: Sequence[str]) -> None:
    """Write which models answer when this one cannot. Raises UnknownFallback."""
    names = list(dict.fromkeys(names))
    if len(names) > MAX_FALLBACKS:
        raise Invalid.field("fallbacks", f"At most {MAX_FALLBACKS} models.", code="too_many")
    others = {
        one.name: one
        for one in LanguageModel.objects.filter(team_id=model.team_id, name__in=names).exclude(pk=model.pk)
    }
    for name in names:
        if name not in others:
            error = UnknownFallback(model=name[:100])
            error.problems = (FieldProblem("fallbacks", error.detail, error.code),)
            raise error
    model.fallbacks.all().delete()
    Fallback.objects.bulk_create(
        Fallback(model=model, other=others[name], position=at) for at, name in enumerate(names, 1)
    )


def _facts(model: LanguageModel) -> dict[str, Any]:
    """Return what the activity log knows of a model."""
    said = {name: getattr(model, name) for name in PLAIN}
    fallbacks = list(model.fallbacks.order_by("position").values_list("other__name", flat=True))
    return {**said, "provider": model.provider.name, "abilities": model.ability_list, "fallbacks": fallbacks}
