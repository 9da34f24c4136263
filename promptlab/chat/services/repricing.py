"""What answers cost, counted again: with the prices that are known now to have been valid when each was given.

Tokens stay as they were measured. The sums that pages read get the difference, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from experiments.services.rollups import Observation, add_observations
from promptlab.accounts.access import SYSTEM, Principal, require
from promptlab.accounts.models import Team
from promptlab.audit.recorder import record
from promptlab.chat.models import Message, Repricing
from promptlab.chat.services.metering import TEXTS, served_by
from promptlab.lib.logs import get_logger
from promptlab.lib.queue import enqueue_on_commit
from promptlab.llm import Usage
from promptlab.llm.keeping import forget
from promptlab.llm.pricing import Priced, price

log = get_logger(__name__)
CAPABILITY = "provider.admin"
BATCH = 500
RUN_TASK = "chat.run_repricings"


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it: how many answers were looked at, how many cost something else now, and the sums in USD.

    `unknown` have no price now, `found` had none before. Sums are over the answers that were looked at.
    """

    answers: int = 0
    changed: int = 0
    unknown: int = 0
    found: int = 0
    old_usd: Decimal = Decimal(0)
    new_usd: Decimal = Decimal(0)

    def __add__(self, other: Report) -> Report:
        return Report(**{name: number + getattr(other, name) for name, number in asdict(self).items()})


def reprice(
    actor: Principal,
    team: Team,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    is_dry_run: bool = False,
) -> Report:
    """Price a team's ended answers of that time again, 500 in a transaction, and return what came of it.

    Answers given from the cache, or elsewhere, or without measured tokens stay as they are. Again changes nothing.
    """
    require(actor, CAPABILITY, team.pk)
    forget(team.pk)
    report, last_id = Report(), 0
    while True:
        part, last_id = _reprice_batch(team.pk, since, until, last_id, is_dry_run)
        if not last_id:
            break
        report += part
    if report.changed and not is_dry_run:
        told = {name: str(number) for name, number in asdict(report).items()}
        with transaction.atomic():
            record(actor, "messages.repriced", team, team_id=team.pk, after=told)
        log.info("messages_repriced", team=team.pk, **told)
    return report


def ask_repricing(
    actor: Principal, team: Team, *, since: datetime | None = None, until: datetime | None = None, is_trial: bool = True
) -> Repricing:
    """Have a worker price a team's answers of that time again, and return the job, whose row tells how it goes."""
    require(actor, CAPABILITY, team.pk)
    with transaction.atomic():
        job: Repricing = Repricing.objects.create(
            team=team, asked_by=actor.label, since=since, until=until, is_trial=is_trial
        )
        told = {"since": since and since.isoformat(), "until": until and until.isoformat(), "is_trial": is_trial}
        record(actor, "repricing.asked", job, team_id=team.pk, after=told)
        enqueue_on_commit(RUN_TASK)
    return job


def run_repricings() -> int:
    """Do the jobs that wait, and return how many batches that took. Two workers at once take different jobs."""
    forget()
    batches = 0
    while _run_batch():
        batches += 1
    return batches


@transaction.atomic
def _run_batch() -> bool:
    """Do the next 500 answers of a job, and note it in the same transaction: so nothing is counted twice."""
    free = Repricing.objects.waiting().select_for_update(skip_locked=True, of=("self",), no_key=True)
    job: Repricing | None = free.first()
    if job is None:
        return False
    part, last_id = _reprice_batch(job.team_id, job.since, job.until, job.done_to, job.is_trial)
    for name, number in asdict(part).items():
        setattr(job, name, getattr(job, name) + number)
    job.done_to = last_id or job.done_to
    if not last_id:
        job.ended_at = timezone.now()
        _tell(job)
    job.save()
    return True


def _tell(job: Repricing) -> None:
    """Write down what came of a job that changed something."""
    if not job.changed or job.is_trial:
        return
    told = {name: str(getattr(job, name)) for name in asdict(Report())}
    record(SYSTEM, "messages.repriced", job.team, team_id=job.team_id, after={**told, "job": job.pk})


@transaction.atomic
def _reprice_batch(
    team_id: int, since: datetime | None, until: datetime | None, after_id: int, is_dry_run: bool
) -> tuple[Report, int]:
    """Return what came of the next answers, and the id of the last of them; 0 after all of them."""
    rows = Message.objects.answers().filter(
        conversation__team_id=team_id, id__gt=after_id, ended_at__isnull=False, input_tokens__isnull=False
    )
    rows = rows.filter(is_cached=False, is_external=False)
    if since is not None:
        rows = rows.filter(ended_at__gte=since)
    if until is not None:
        rows = rows.filter(ended_at__lt=until)
    # No key: a rating that refers to one of these answers must not wait for us.
    locked = rows.select_for_update(of=("self",), no_key=True).select_related("version").defer(*TEXTS)
    answers: list[Message] = list(locked.order_by("id")[:BATCH])
    pairs = [(answer, _priced(team_id, answer)) for answer in answers]
    if not is_dry_run:
        _write([(answer, priced) for answer, priced in pairs if _differs(answer, priced)])
    return sum((_told(answer, priced) for answer, priced in pairs), Report()), answers[-1].pk if answers else 0


def _priced(team_id: int, answer: Message) -> Priced:
    """Return what the answer costs by the prices of when it ended, to the nanodollar that the column keeps."""
    assert answer.ended_at is not None
    usage = Usage(
        answer.input_tokens or 0,
        answer.output_tokens or 0,
        cached_tokens=answer.cached_tokens or 0,
        reasoning_tokens=answer.reasoning_tokens or 0,
        cache_write_tokens=answer.cache_write_tokens or 0,
    )
    found = price(team_id, answer.provider, answer.model, usage, answer.ended_at)
    if found.cost_usd is None:
        return found
    return replace(found, cost_usd=found.cost_usd.quantize(Decimal("1e-9")))


def _differs(answer: Message, priced: Priced) -> bool:
    return answer.cost_usd != priced.cost_usd


def _write(changed: Sequence[tuple[Message, Priced]]) -> None:
    """Write the new costs, and add the differences to the sums of those that are in them already."""
    differences = [_difference(answer, priced) for answer, priced in changed if answer.rolled_up_at is not None]
    add_observations([one for one in differences if one is not None])
    for answer, priced in changed:
        Message.objects.filter(pk=answer.pk).update(cost_usd=priced.cost_usd, prices=priced.prices or None)


def _difference(answer: Message, priced: Priced) -> Observation | None:
    served = served_by(answer)
    if served is None:
        return None
    assert answer.ended_at is not None
    return Observation(
        served=served,
        unit_id="",
        at=answer.ended_at,
        cost_usd=(priced.cost_usd or Decimal(0)) - (answer.cost_usd or Decimal(0)),
        unpriced=int(priced.cost_usd is None) - int(answer.cost_usd is None),
        model=answer.model,
    )


def _told(answer: Message, priced: Priced) -> Report:
    return Report(
        answers=1,
        changed=int(_differs(answer, priced)),
        unknown=int(priced.cost_usd is None),
        found=int(answer.cost_usd is None and priced.cost_usd is not None),
        old_usd=answer.cost_usd or Decimal(0),
        new_usd=priced.cost_usd or Decimal(0),
    )
