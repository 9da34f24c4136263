"""Putting live later. A plan is a row; a clock looks for what is due, and each row is carried out once."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from promptlab.accounts.access import SYSTEM, Principal
from promptlab.accounts.auth import principal_of_key, principal_of_user
from promptlab.accounts.models import ApiKey, User
from promptlab.audit.recorder import record
from promptlab.lib.errors import DomainError, Forbidden, Invalid
from promptlab.lib.logs import get_logger, request_id
from prompts.errors import NotWaiting, PromptArchived
from prompts.models import Environment, ScheduledDeployment, Version
from prompts.services import deploying, telling

log = get_logger(__name__)
RUN_DUE_TASK = "prompts.run_due_deployments"
PATIENCE = timedelta(hours=1)
"""How long after its time a plan is tried again, with every tick, while the database is busy."""
UNEXPECTED = "Something unexpected happened, and nothing went live. The log says more under the number {request}."
State = ScheduledDeployment.State


def schedule(
    actor: Principal,
    version: Version,
    environment: Environment,
    due_at: datetime,
    *,
    note: str = "",
    confirm: bool = False,
) -> ScheduledDeployment:
    """Plan that the version goes live at `due_at` (with a time zone). Rights and rules are asked again then.

    Raises Invalid for a time without a zone or in the past, PromptArchived, and what forbids moving the pointer there.
    """
    deploying.require_move(version.prompt, environment, by=actor)
    if timezone.is_naive(due_at):
        raise Invalid.field("due_at", "Say the time zone, such as 2030-01-31T09:00:00+01:00.", code="no_time_zone")
    if due_at <= timezone.now():
        raise Invalid.field("due_at", gettext_noop("This moment has passed."), code="past")
    if version.prompt.archived_at is not None:
        raise PromptArchived(prompt=version.prompt.title)
    with transaction.atomic():
        planned: ScheduledDeployment = ScheduledDeployment.objects.create(
            prompt=version.prompt,
            environment=environment,
            version=version,
            due_at=due_at,
            confirm=confirm,
            note=note,
            actor_kind=actor.kind,
            actor_label=actor.label,
            user_id=actor.user_id,
            api_key_id=actor.id if actor.kind == "key" else None,
        )
        _record(actor, "deployment.scheduled", planned, note)
    return planned


def cancel(actor: Principal, planned: ScheduledDeployment) -> ScheduledDeployment:
    """Call a plan off; it stays in the list. Again changes nothing. Raises NotWaiting once it was carried out."""
    deploying.require_move(planned.prompt, planned.environment, by=actor)
    with transaction.atomic():
        is_mine = _take(planned.pk, State.CANCELLED)
        planned.refresh_from_db(fields=["state", "ended_at"])
        if is_mine:
            _record(actor, "deployment.cancelled", planned, "")
        elif planned.state != State.CANCELLED:
            raise NotWaiting(state=planned.get_state_display())
    return planned


def run_due() -> int:
    """Carry out what is due and return how many. However many clocks tick, each plan is carried out once.

    No plan waits for another: one that breaks is marked failed, one for which the database is too busy is tried again.
    """
    waiting = list(ScheduledDeployment.objects.due(timezone.now()).values_list("pk", flat=True))
    return sum(_attempt(pk) for pk in waiting)


def _attempt(pk: int) -> bool:
    """Carry out one plan; whatever breaks is this plan's alone."""
    try:
        return _run(pk)
    except (OperationalError, InterfaceError) as error:
        # A lock that somebody holds for long, or no database at all: the next tick tries it again, for a while.
        log.warning("plan_postponed", plan=pk, error=type(error).__name__)
        due_before = timezone.now() - PATIENCE
    except Exception:
        log.exception("unexpected", plan=pk)
        due_before = timezone.now()
    try:
        return _give_up(pk, due_before)
    except Exception:
        log.exception("unexpected", plan=pk)
        return False


def _run(pk: int) -> bool:
    """Carry out one plan, unless somebody else does: the state and the deployment are one transaction."""
    with transaction.atomic():
        rows = ScheduledDeployment.objects.select_for_update(skip_locked=True, of=("self",))
        planned = rows.filter(pk=pk, state=State.WAITING).with_names().first()
        if planned is None or not _take(pk, State.DONE):
            return False
        try:
            with transaction.atomic():
                _carry_out(planned)
        except DomainError as error:
            _refuse(planned, error.detail)
    return True


@transaction.atomic
def _give_up(pk: int, due_before: datetime) -> bool:
    """Mark a plan failed whose attempt broke, if it was due before that moment; the log has more under the same number."""
    planned = ScheduledDeployment.objects.filter(pk=pk, due_at__lte=due_before).with_names().first()
    if planned is None or not _take(pk, State.FAILED):
        return False
    _refuse(planned, UNEXPECTED.format(request=request_id() or "-"))
    return True


def _take(pk: int, state: State) -> bool:
    """End a waiting plan; False when it was not waiting any more."""
    rows = ScheduledDeployment.objects.filter(pk=pk, state=State.WAITING)
    return rows.update(state=state, ended_at=timezone.now()) == 1


def _carry_out(planned: ScheduledDeployment) -> None:
    version = Version.objects.select_related("prompt").get(pk=planned.version_id)
    actor = _actor_of(planned)
    event, _ = deploying.deploy(actor, version, planned.environment, note=planned.note, confirm=planned.confirm)
    ScheduledDeployment.objects.filter(pk=planned.pk).update(event=event)


def _refuse(planned: ScheduledDeployment, reason: str) -> None:
    ScheduledDeployment.objects.filter(pk=planned.pk).update(state=State.FAILED, failure=reason[:1000])
    _record(SYSTEM, "deployment.refused", planned, reason[:500])
    telling.of_failed_plan(planned, reason)


def _actor_of(planned: ScheduledDeployment) -> Principal:
    """Return who planned it, with the rights of now. Raises Forbidden when they are gone."""
    if planned.actor_kind == "system":
        return SYSTEM
    user = User.objects.filter(pk=planned.user_id or 0, is_active=True).first()
    if user is not None:
        return principal_of_user(user)
    key = ApiKey.objects.usable().filter(pk=planned.api_key_id or 0).first()
    if key is not None:
        return principal_of_key(key)
    raise Forbidden(f"{planned.actor_label}, who planned this, may not act any more.", code="planner_gone")


def _record(actor: Principal, verb: str, planned: ScheduledDeployment, note: str) -> None:
    after = {
        "version": planned.version.number,
        "environment": planned.environment.name,
        "due_at": planned.due_at.isoformat(),
        "schedule": planned.pk,
    }
    record(actor, verb, planned.prompt, team_id=planned.prompt.team_id, after=after, note=note)
