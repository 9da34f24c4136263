"""What processes say they serve. Not audited: these rows are a measurement, and are gone within a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from promptlab.accounts.access import Principal, require, require_environment
from promptlab.lib.errors import Invalid
from prompts.errors import TooManyProcesses
from prompts.models import Environment, ServingProcess, ServingStep
from prompts.services.environments import named
from prompts.services.gathering import Who, gathering

FORGET_TASK = "prompts.forget_processes"
HEARTBEAT_S = 10
"""How often a process is asked to report; it does at once when its revision changes."""
FORGET_AFTER = timedelta(minutes=10)
KEEP_STEPS = timedelta(days=1)
MAX_PROCESSES = 5_000
"""In one environment; a client that makes up new names for itself fills no table."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What one process says. `age_ms`: for how long it has been serving that revision. `is_leaving`: it ends now."""

    environment: str
    revision: int
    host: str
    process: str
    client: str = ""
    client_version: str = ""
    age_ms: int = 0
    is_leaving: bool = False


def report(actor: Principal, team_id: int, heartbeat: Heartbeat) -> None:
    """Note which revision a process serves. Saying the same again only moves `seen_at`.

    Raises Forbidden, EnvironmentNotFound, TooManyProcesses, and Invalid for a revision the environment has not had yet.
    """
    _require(actor, team_id, heartbeat)
    environment = named(team_id, heartbeat.environment)
    if heartbeat.is_leaving:
        gathering.forget(_who(team_id, heartbeat))
        _find(environment, heartbeat).delete()
        return
    if heartbeat.revision > environment.revision:
        raise Invalid.field("revision", f"{environment.name} is at revision {environment.revision}.")
    gathering.remember(_who(team_id, heartbeat), environment.pk, note(environment, heartbeat))


def report_soon(actor: Principal, team_id: int, heartbeat: Heartbeat) -> bool:
    """Take what a listed process says, to be written with what others say: no query. False: it has to be reported.

    Raises Forbidden.
    """
    _require(actor, team_id, heartbeat)
    if heartbeat.is_leaving:
        return False
    said = heartbeat.client, heartbeat.client_version, heartbeat.age_ms
    return gathering.take(_who(team_id, heartbeat), heartbeat.revision, *said)


def _require(actor: Principal, team_id: int, heartbeat: Heartbeat) -> None:
    require(actor, "prompt.read", team_id)
    require_environment(actor, heartbeat.environment)


def _who(team_id: int, heartbeat: Heartbeat) -> Who:
    return team_id, heartbeat.environment, heartbeat.host, heartbeat.process


def note(environment: Environment, heartbeat: Heartbeat) -> int:
    """Write what a process serves, for callers that know it is true, such as our own; return the id it is listed under."""
    now = timezone.now()
    known = _find(environment, heartbeat).first()
    if known is None:
        known = _meet(environment, heartbeat, now)
    elif known.revision == heartbeat.revision:
        ServingProcess.objects.filter(pk=known.pk).update(seen_at=now)
        return known.pk
    since = max(now - timedelta(milliseconds=heartbeat.age_ms), known.first_seen_at)
    with transaction.atomic():
        ServingProcess.objects.filter(pk=known.pk).update(
            revision=heartbeat.revision,
            client=heartbeat.client,
            client_version=heartbeat.client_version,
            seen_at=now,
        )
        ServingStep.objects.create(process=known, revision=heartbeat.revision, at=since)
    return known.pk


def forget_old() -> int:
    """Remove the processes not heard of for `FORGET_AFTER`, and old steps; return how many processes."""
    now = timezone.now()
    ServingStep.objects.filter(at__lt=now - KEEP_STEPS).delete()
    _, counts = ServingProcess.objects.filter(seen_at__lt=now - FORGET_AFTER).delete()
    return counts.get(ServingProcess._meta.label, 0)


def _find(environment: Environment, heartbeat: Heartbeat) -> QuerySet[ServingProcess]:
    return ServingProcess.objects.filter(environment=environment, host=heartbeat.host, process=heartbeat.process)


def _meet(environment: Environment, heartbeat: Heartbeat, now: datetime) -> ServingProcess:
    """Write a process that reports for the first time; another thread of it may be doing the same."""
    if ServingProcess.objects.filter(environment=environment).count() >= MAX_PROCESSES:
        raise TooManyProcesses(limit=MAX_PROCESSES, environment=environment.name)
    try:
        with transaction.atomic():
            return ServingProcess.objects.create(
                environment=environment,
                host=heartbeat.host,
                process=heartbeat.process,
                client=heartbeat.client,
                client_version=heartbeat.client_version,
                revision=heartbeat.revision,
                first_seen_at=now - timedelta(milliseconds=heartbeat.age_ms),
                seen_at=now,
            )
    except IntegrityError:
        return _find(environment, heartbeat).get()
