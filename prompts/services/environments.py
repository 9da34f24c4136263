"""Environments, and the one revision each of them has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from promptlab.accounts.access import Principal, require
from promptlab.accounts.models import ApiKey
from promptlab.audit.recorder import record
from promptlab.lib.errors import Conflict, Invalid
from prompts import resolve, revisions
from prompts.errors import EnvironmentInUse
from prompts.models import Environment, FreezeWindow, Suite, SuiteRequirement

DEFAULTS = ("development", "staging", "production")
NAME = re.compile(r"[a-z][a-z0-9_.-]{0,35}\Z")
MOST_APPROVALS = 10
MOST_A_NIGHT = 100_000


def ensure_defaults(team_id: int) -> list[Environment]:
    """Return the team's environments; a team that has none gets development, staging and production."""
    found = list(Environment.objects.filter(team_id=team_id))
    if found:
        return found
    rows = [Environment(team_id=team_id, name=name, position=place) for place, name in enumerate(DEFAULTS, 1)]
    Environment.objects.bulk_create(rows, ignore_conflicts=True)
    return list(Environment.objects.filter(team_id=team_id))


def create_environment(actor: Principal, team_id: int, *, name: str, position: int = 10) -> Environment:
    """Make an environment of your own. Its name may not look like a version, so that selectors stay unambiguous."""
    require(actor, "team.admin", team_id)
    _check_name(name)
    ensure_defaults(team_id)
    try:
        with transaction.atomic():
            environment = Environment.objects.create(team_id=team_id, name=name, position=position)
            record(actor, "environment.created", environment, team_id=team_id, after={"name": name})
    except IntegrityError as error:
        raise _taken(name) from error
    return environment


def rename_environment(actor: Principal, environment: Environment, name: str) -> Environment:
    """Give an environment another name, while no application can know the old one; the same again changes nothing.

    Raises EnvironmentInUse for the usual three, after the first move, and while a key names it; Invalid, Conflict.
    """
    require(actor, "team.admin", environment.team_id)
    try:
        with transaction.atomic():
            locked = lock(environment)
            if locked.name == name:
                return locked
            _check_name(name)
            reason = _known_as(locked)
            if reason:
                raise EnvironmentInUse(environment=locked.name, reason=reason)
            before = {"name": locked.name}
            locked.name = name
            locked.save(update_fields=["name"])
            record(actor, "environment.renamed", locked, team_id=locked.team_id, before=before, after={"name": name})
    except IntegrityError as error:
        raise _taken(name) from error
    return locked


def _known_as(environment: Environment) -> str:
    """Return why applications may know an environment by its name; empty when none can."""
    if environment.name in DEFAULTS:
        return "every team has it"
    if environment.revision:
        return "something was live there"
    for key in ApiKey.objects.filter(team_id=environment.team_id, revoked_at=None):
        if environment.name in (*key.environments.split(), key.default_environment):
            return f"the key {key.name} is for it"
    return ""


def _check_name(name: str) -> None:
    if not NAME.match(name) or re.match(r"v\d", name) or name == "latest":
        detail = "Lower-case letters, digits, dots, dashes; beginning with a letter, and not like a version (v1)."
        raise Invalid.field("name", detail)


def _taken(name: str) -> Conflict:
    return Conflict(f"There is an environment {name} already.", code="environment_taken")


def named(team_id: int, name: str) -> Environment:
    """Return the team's environment, making the three usual ones for a new team. Raises EnvironmentNotFound."""
    found = next((one for one in ensure_defaults(team_id) if one.name == name), None)
    return found or resolve.environment_named(team_id, name)


@dataclass(frozen=True, slots=True)
class Rules:
    """What to change of an environment; None leaves it as it is. `suites`: all the test suites it asks for, by name.

    `drift_budget_usd`: what a night's runs may cost together; 0 has none run.
    """

    is_protected: bool | None = None
    approvals_needed: int | None = None
    four_eyes: bool | None = None
    position: int | None = None
    drift_budget_usd: Decimal | None = None
    suites: Sequence[str] | None = None


def change_environment(actor: Principal, environment: Environment, rules: Rules) -> Environment:
    """Change what an environment asks for before something goes live. The same again changes nothing. Raises Invalid."""
    require(actor, "team.admin", environment.team_id)
    if rules.approvals_needed is not None and not 0 <= rules.approvals_needed <= MOST_APPROVALS:
        raise Invalid.field("approvals_needed", f"From 0 to {MOST_APPROVALS}.")
    if rules.drift_budget_usd is not None and not 0 <= rules.drift_budget_usd <= MOST_A_NIGHT:
        raise Invalid.field("drift_budget_usd", gettext_noop("It is a number of dollars, from 0 on."))
    with transaction.atomic():
        locked = lock(environment)
        said = {name: value for name, value in asdict(rules).items() if name != "suites"}
        wanted = {name: value for name, value in said.items() if value not in (None, getattr(locked, name))}
        before = {name: getattr(locked, name) for name in wanted}
        for name, value in wanted.items():
            setattr(locked, name, value)
        locked.save(update_fields=list(wanted))
        if rules.suites is not None and (had := locked.suite_names) != sorted(set(rules.suites)):
            before["suites"], wanted["suites"] = had, _require_suites(locked, rules.suites)
        for told in (before, wanted):
            if "drift_budget_usd" in told:
                told["drift_budget_usd"] = f"{told['drift_budget_usd']:f}"
        if wanted:
            record(actor, "environment.changed", locked, team_id=locked.team_id, before=before, after=wanted)
    return locked


def _require_suites(environment: Environment, names: Sequence[str]) -> list[str]:
    """Have the environment ask for these test suites and no others; return their names. Raises Invalid."""
    suites = {one.name: one for one in Suite.objects.active().filter(team_id=environment.team_id, name__in=names)}
    for name in names:
        if name not in suites:
            raise Invalid.field("suites", f"There is no test suite {name[:100]!r}.", code="suite_not_found")
    rows = SuiteRequirement.objects.filter(environment=environment)
    rows.exclude(suite__in=suites.values()).delete()
    known = set(rows.values_list("suite_id", flat=True))
    SuiteRequirement.objects.bulk_create(
        SuiteRequirement(environment=environment, suite=one) for one in suites.values() if one.pk not in known
    )
    return sorted(suites)


def freeze(
    actor: Principal, environment: Environment, *, starts_at: datetime, ends_at: datetime, reason: str
) -> FreezeWindow:
    """Let nothing go live from `starts_at` until `ends_at`. Raises Invalid naming the field."""
    require(actor, "team.admin", environment.team_id)
    for name, moment in (("starts_at", starts_at), ("ends_at", ends_at)):
        if timezone.is_naive(moment):
            raise Invalid.field(name, "Say the time zone, such as 2030-01-31T09:00:00+01:00.", code="no_time_zone")
    if ends_at <= max(starts_at, timezone.now()):
        raise Invalid.field("ends_at", gettext_noop("A freeze ends after it begins, and not in the past."))
    if not reason.strip():
        raise Invalid.field("reason", gettext_noop("Say why nothing may go live."), code="required")
    with transaction.atomic():
        lock(environment)
        window: FreezeWindow = FreezeWindow.objects.create(
            environment=environment, starts_at=starts_at, ends_at=ends_at, reason=reason.strip()
        )
        after = {"starts_at": starts_at.isoformat(), "ends_at": ends_at.isoformat()}
        record(actor, "environment.frozen", environment, team_id=environment.team_id, after=after, note=window.reason)
    return window


def thaw(actor: Principal, window: FreezeWindow) -> None:
    """Take a freeze away. Again changes nothing."""
    environment = window.environment
    require(actor, "team.admin", environment.team_id)
    before = {"starts_at": window.starts_at.isoformat(), "ends_at": window.ends_at.isoformat()}
    with transaction.atomic():
        lock(environment)
        deleted, _ = FreezeWindow.objects.filter(pk=window.pk).delete()
        if deleted:
            record(actor, "environment.thawed", environment, team_id=environment.team_id, before=before)


def lock(environment: Environment) -> Environment:
    """Hold the environment's row until the transaction ends, and return it: moves there happen one after the other."""
    locked: Environment = Environment.objects.select_for_update(no_key=True).get(pk=environment.pk)
    return locked


def next_revision(environment: Environment) -> int:
    """Take the environment's next revision, holding its row until the transaction ends; readers hear of it then."""
    locked = Environment.objects.select_for_update(no_key=True).get(pk=environment.pk)
    locked.revision += 1
    locked.save(update_fields=["revision"])
    revision: int = locked.revision
    revisions.tell_on_commit(environment.pk, revision)
    return revision
