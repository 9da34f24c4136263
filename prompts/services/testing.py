"""Working on runs of a test suite: one process a run, as many calls at once as a provider allows, whatever breaks.

The database says what is to be done. A row says `asked` before its call, and money is reserved with it, in one transaction;
who takes over from a process that died marks such rows as lost, counts what they may have cost, and asks none of them again.
All database work is done in the thread that works on the run, calls in a loop beside it.
"""

from __future__ import annotations

import secrets
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from decimal import ROUND_CEILING, Decimal
from time import monotonic
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import F, Sum, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from promptlab import llm
from promptlab.hooks.services.outbox import emit
from promptlab.lib.errors import DomainError
from promptlab.lib.logs import get_logger
from promptlab.lib.queue import enqueue_on_commit
from promptlab.llm import pricing
from promptlab.llm.ceiling import worst_case
from prompts import checks
from prompts.checks import ASKED, JUDGE, PREFERRED, Answer, Outcome, preferring
from prompts.checks.cases import Case
from prompts.comparing import shares
from prompts.models import SuiteResult, SuiteRun
from prompts.models.running import NANO
from prompts.services.suite_caller import Caller
from prompts.services.suite_calls import Asking, provider_of
from prompts.services.suite_runs import RUN_TASK, plan_from

log = get_logger(__name__)
SWEEP_TASK: Final = "prompts.sweep_suite_runs"
LEASE: Final = timedelta(seconds=15)
RENEW_S: Final = 3.0
WATCH_S: Final = 0.5
"""How often somebody's cancelling is looked for."""
SLICE_S: Final = 300.0
"""After so long a worker hands the run on, so that it can be stopped in between."""
BROKE: Final = "Something unexpected happened. The log says more."
State = SuiteRun.State
Row = SuiteResult.State
_working = threading.Lock()
"""One run at a time in a process: the others of its threads have ratings and deployments to look after."""


def work_on(run_id: int) -> None:
    """Work on a run, then on those that wait; nothing when this process does already, or another one on this run."""
    if not _working.acquire(blocking=False):
        return
    try:
        next_id: int | None = run_id
        while next_id is not None:
            _drive(next_id)
            waiting = SuiteRun.objects.free_at(timezone.now()).exclude(pk=next_id)
            next_id = waiting.order_by("id").values_list("pk", flat=True).first()
    finally:
        _working.release()


def sweep() -> int:
    """Have workers take up what nobody works on, and close what a dead process left of cancelled runs; return how many."""
    now = timezone.now()
    ids = list(SuiteRun.objects.free_at(now).order_by("id").values_list("pk", flat=True)[:20])
    for pk in ids:
        enqueue_on_commit(RUN_TASK, pk)
    left = SuiteResult.objects.filter(state=Row.ASKED, run__lease_until__lt=now).exclude(
        run__in=SuiteRun.objects.open()
    )
    for pk in left.order_by().values_list("run_id", flat=True).distinct()[:20]:
        with transaction.atomic():
            _lose(pk, Row.CANCELLED)
    return len(ids)


def _drive(run_id: int) -> None:
    """Take the run's lease and work until it ends, is cancelled, or the slice is over."""
    lease = _take(run_id)
    if lease is None:
        return
    run = SuiteRun.objects.select_related("suite", "version__prompt").get(pk=run_id)
    try:
        with Caller() as caller:
            _Work(run, lease, caller).go()
    except _Gone:
        log.info("suite_run_gone", run=run_id)
    except DomainError as error:
        _stop(run_id, lease, error.detail)
    except Exception:
        log.exception("unexpected", suite_run=run_id)
        _stop(run_id, lease, BROKE)


@transaction.atomic
def _take(run_id: int) -> str | None:
    """Take the lease of an open run that nobody works on; what the one before left as asked is lost."""
    lease, now = secrets.token_hex(8), timezone.now()
    taken = SuiteRun.objects.free_at(now).filter(pk=run_id)
    began = Coalesce("started_at", Value(now))
    if not taken.update(lease=lease, lease_until=now + LEASE, state=State.RUNNING, started_at=began):
        return None
    if lost := _lose(run_id, Row.LOST):
        log.warning("suite_answers_lost", run=run_id, answers=lost)
    return lease


def _lose(run_id: int, state: Row) -> int:
    """End rows whose calls nobody waits for any more: each counts as the most it can have cost."""
    rows = SuiteResult.objects.filter(run_id=run_id, state=Row.ASKED)
    most = rows.aggregate(most=Sum("reserved_nanousd"))["most"] or 0
    count = rows.update(state=state, ended_at=timezone.now(), reserved_nanousd=0)
    if count:
        SuiteRun.objects.filter(pk=run_id).update(
            reserved_nanousd=F("reserved_nanousd") - most, spent_nanousd=F("spent_nanousd") + most
        )
    return count


@transaction.atomic
def _stop(run_id: int, lease: str, reason: str) -> None:
    """End a run that cannot go on, saying why."""
    mine = SuiteRun.objects.filter(pk=run_id, lease=lease, state=State.RUNNING)
    if mine.update(state=State.STOPPED, reason=reason[:300], ended_at=timezone.now(), lease="", lease_until=None):
        _lose(run_id, Row.LOST)


class _Gone(Exception):
    """The run is not ours any more: it was cancelled, or another process took it over."""


@dataclass
class _Job:
    """A row that is being asked: first its model, then the judges one after the other."""

    row: SuiteResult
    case: Case
    provider: str
    request: llm.CompletionRequest
    most: int | None
    answer: Answer | None = None
    outcomes: list[tuple[str, Outcome]] = field(default_factory=list)
    to_judge: deque[tuple[int, int]] = field(default_factory=deque)
    judged: list[str] = field(default_factory=list)
    cost_usd: Decimal | None = Decimal(0)
    changes: dict[str, Any] = field(default_factory=dict)


class _Work:
    """One process's work on one run. Jobs are keyed by the future of the call that they wait for."""

    def __init__(self, run: SuiteRun, lease: str, caller: Caller) -> None:
        self._run, self._lease, self._caller = run, lease, caller
        self._team_id = run.suite.team_id
        self._plan, self._asking = plan_from(run), Asking.of(run)
        self._jobs: dict[Future[llm.Completion], _Job] = {}
        self._busy: Counter[str] = Counter()
        self._waiting: dict[str, deque[SuiteResult]] = defaultdict(deque)
        for row in SuiteResult.objects.filter(run=run, state=Row.WAITING).order_by("place", "repeat"):
            self._waiting[row.model].append(row)
        self._until = monotonic() + SLICE_S
        self._renewed = self._watched = monotonic()
        self._short = ""
        self._providers = {model: provider_of(self._team_id, model) for model in run.asked_models}

    def go(self) -> None:
        """Ask, settle, and look whether to go on, until nothing is left."""
        try:
            while True:
                if not self._short and monotonic() < self._until:
                    self._begin_more()
                if not self._jobs:
                    break
                done, _ = wait(self._jobs, timeout=WATCH_S, return_when=FIRST_COMPLETED)
                self._settle([(self._jobs.pop(one), one) for one in done])
                self._look()
        except BaseException:
            for one in self._jobs:
                one.cancel()
            with transaction.atomic():
                if SuiteRun.objects.filter(pk=self._run.pk, lease=self._lease, state=State.CANCELLED).exists():
                    _lose(self._run.pk, Row.CANCELLED)
                    SuiteRun.objects.filter(pk=self._run.pk, lease=self._lease).update(lease="", lease_until=None)
            raise
        self._hand_over()

    def _begin_more(self) -> None:
        """Ask as many rows as there is room for at their providers."""
        while jobs := list(self._free()):
            begun = self._reserve(jobs)
            for job in begun:
                self._busy[job.provider] += 1
                self._jobs[self._caller.call(job.request)] = job
            if len(begun) < len(jobs):
                break

    def _free(self) -> Iterator[_Job]:
        """Yield jobs for the rows that may be asked now; a row that cannot be asked ends here."""
        room = Counter(self._busy)
        for model, rows in self._waiting.items():
            while rows and room[self._providers[model]] < settings.SUITE_CALLS_AT_ONCE:
                row = rows.popleft()
                job = self._job(row, self._plan[row.place])
                if job is not None:
                    room[job.provider] += 1
                    yield job

    def _job(self, row: SuiteResult, case: Case) -> _Job | None:
        try:
            request = self._asking.answer(case, row.model)
        except DomainError as error:
            ended = {"state": Row.ERROR, "problem": error.detail[:300], "ended_at": timezone.now()}
            SuiteResult.objects.filter(pk=row.pk, state=Row.WAITING).update(**ended)
            return None
        return _Job(row, case, self._providers[row.model], request, worst_case(request, self._team_id))

    def _reserve(self, jobs: Sequence[_Job]) -> list[_Job]:
        """Write that these rows are asked, with what they may cost; only the first ones where that is too much."""
        begun = []
        with transaction.atomic():
            for job in jobs:
                if not self._pay(job.most):
                    break
                rows = SuiteResult.objects.filter(pk=job.row.pk, state=Row.WAITING)
                if not rows.update(state=Row.ASKED, reserved_nanousd=job.most or 0):
                    raise _Gone
                begun.append(job)
        for job in jobs[len(begun) :]:
            self._waiting[job.row.model].appendleft(job.row)
        return begun

    def _pay(self, most: int | None) -> bool:
        """Reserve one call; False when the run may not make it, which is then its reason to stop. Raises _Gone."""
        mine = SuiteRun.objects.filter(pk=self._run.pk, lease=self._lease, state=State.RUNNING)
        room = mine.filter(
            calls__lt=F("max_calls"), spent_nanousd__lte=F("budget_nanousd") - F("reserved_nanousd") - (most or 0)
        )
        if room.update(calls=F("calls") + 1, reserved_nanousd=F("reserved_nanousd") + (most or 0)):
            return True
        if not mine.exists():
            raise _Gone
        self._short = "The budget has no room for the next call. Raise it to go on."
        return False

    def _settle(self, done: Sequence[tuple[_Job, Future[llm.Completion]]]) -> None:
        """Write what calls came to, all in one transaction; then hand answers to their judges."""
        if not done:
            return
        reserved = spent = unpriced = 0
        for job, future in done:
            self._busy[job.provider] -= 1
            reserved += job.most or 0
            cost = self._ended(job, future)
            spent += job.most or 0 if cost is None else int((cost * NANO).to_integral_value(ROUND_CEILING))
            unpriced += cost is None
            self._look()
        with transaction.atomic():
            mine = SuiteRun.objects.filter(pk=self._run.pk, lease=self._lease)
            if not mine.update(
                reserved_nanousd=F("reserved_nanousd") - reserved,
                spent_nanousd=F("spent_nanousd") + spent,
                unpriced_calls=F("unpriced_calls") + unpriced,
            ):
                raise _Gone
            following = [self._next(job) for job, _ in done]
        for job in filter(None, following):
            self._busy[job.provider] += 1
            self._jobs[self._caller.call(job.request)] = job

    def _ended(self, job: _Job, future: Future[llm.Completion]) -> Decimal | None:
        """Note with the job what its call came to, and return what it cost; None: nobody knows."""
        try:
            completion = future.result()
        except llm.LLMError as error:
            job.changes = {"state": Row.ERROR, "problem": f"{error.code}: {error.detail}"[:300]}
            if error.partial:
                job.cost_usd = None
            return None if error.partial else Decimal(0)
        except Exception:
            log.exception("unexpected", suite_result=job.row.pk)
            job.changes, job.cost_usd = {"state": Row.ERROR, "problem": BROKE}, None
            return None
        usage, now = completion.usage, timezone.now()
        asked = job.request.model
        priced = pricing.price(self._team_id, completion.provider, completion.model, usage, now, asked=asked)
        job.cost_usd = None if None in (job.cost_usd, priced.cost_usd) else job.cost_usd + priced.cost_usd  # type: ignore[operator]
        if job.answer is None:
            job.changes = {
                "text": completion.text,
                "latency_ms": completion.latency_ms,
                "input_tokens": usage.input_tokens,
                "output_tokens": usage.output_tokens,
            }
            self._decide(job, completion, priced.cost_usd)
        else:
            self._judged(job, completion.text)
        return priced.cost_usd

    def _decide(self, job: _Job, completion: llm.Completion, cost_usd: Decimal | None) -> None:
        """Hold an answer against every check but the judges."""
        cost = None if cost_usd is None else float(cost_usd)
        job.answer = Answer(completion.text, job.case.expected, completion.latency_ms, cost)
        for place, check in enumerate(job.case.checks):
            same = check.kind == PREFERRED and preferring.settled(
                job.answer.text, job.case.expected, check.options["least"]
            )
            if same:
                job.outcomes.append((check.kind, same))
            elif check.kind in ASKED:
                job.to_judge += [(place, order) for order in range(ASKED[check.kind])]
            else:
                job.outcomes.append((check.kind, checks.decide(check.kind, check.options, job.answer)))

    def _judged(self, job: _Job, said: str) -> None:
        """Note what a judge said; of two answers it says it in both orders, and only then it counts."""
        place, order = job.to_judge.popleft()
        check = job.case.checks[place]
        job.judged.append(said)
        if check.kind == JUDGE:
            job.outcomes.append((check.kind, checks.read_verdict(said, check.options["least"])))
        elif order:
            first, second = job.judged[-2:]
            job.outcomes.append((check.kind, checks.read_preferences(first, second, check.options["least"])))

    def _next(self, job: _Job) -> _Job | None:
        """Write the row; return the job if a judge has to be asked about it, with the money for that reserved."""
        rows = SuiteResult.objects.filter(pk=job.row.pk, state=Row.ASKED)
        if job.to_judge and "state" not in job.changes and self._to_judge(job):
            rows.update(**job.changes, reserved_nanousd=job.most or 0)
            job.changes = {}
            return job
        outcomes = [{"check": kind, **asdict(outcome)} for kind, outcome in job.outcomes]
        ended = {"outcomes": outcomes, "cost_usd": job.cost_usd, "ended_at": timezone.now(), "reserved_nanousd": 0}
        verdict = {} if "state" in job.changes else _verdict(job)
        rows.update(**{**ended, **verdict, **job.changes})
        return None

    def _to_judge(self, job: _Job) -> bool:
        """Put the question to the next judge into the job; False, with what the row comes to, when it cannot be asked."""
        assert job.answer is not None
        place, order = job.to_judge[0]
        check = job.case.checks[place]
        try:
            request = self._asking.verdict(check, job.case, job.answer.text, order)
        except DomainError as error:
            job.changes |= {"state": Row.ERROR, "problem": error.detail[:300]}
            return False
        most = worst_case(request, self._team_id)
        if not self._pay(most):
            job.changes |= {"state": Row.ERROR, "problem": "The budget had no room for the judge."}
            return False
        job.request, job.provider, job.most = request, provider_of(self._team_id, request.model), most
        return True

    def _look(self) -> None:
        """Keep the lease, and see whether the run is still ours. Raises _Gone when it is not."""
        now = monotonic()
        if now - self._watched < WATCH_S:
            return
        self._watched = now
        mine = SuiteRun.objects.filter(pk=self._run.pk, lease=self._lease, state=State.RUNNING)
        if now - self._renewed < RENEW_S:
            is_mine = mine.exists()
        else:
            is_mine = bool(mine.update(lease_until=timezone.now() + LEASE))
            self._renewed = now
        if not is_mine:
            raise _Gone

    @transaction.atomic
    def _hand_over(self) -> None:
        """Give the lease back: the run is finished, stopped, or for another worker to go on with."""
        mine = SuiteRun.objects.filter(pk=self._run.pk, lease=self._lease, state=State.RUNNING)
        free: dict[str, Any] = {"lease": "", "lease_until": None}
        if self._short:
            mine.update(state=State.STOPPED, reason=self._short, ended_at=timezone.now(), **free)
        elif SuiteResult.objects.filter(run=self._run, state=Row.WAITING).exists():
            mine.update(state=State.QUEUED, **free)
            enqueue_on_commit(RUN_TASK, self._run.pk)
        elif mine.update(state=State.FINISHED, ended_at=timezone.now(), **free):
            _tell(self._run)


def _verdict(job: _Job) -> dict[str, Any]:
    """Return what a row comes to: one check that fails is enough, else one that could not be decided."""
    undecided = next((outcome for _, outcome in job.outcomes if outcome.passed is None), None)
    if any(outcome.passed is False for _, outcome in job.outcomes):
        return {"state": Row.FAILED}
    if undecided is not None:
        return {"state": Row.ERROR, "problem": undecided.detail[:300]}
    return {"state": Row.PASSED}


def _tell(run: SuiteRun) -> None:
    """Tell webhooks that a run is through, and what it came to."""
    found = shares(run)
    passed, decided = sum(one.passed for one in found), sum(one.decided for one in found)
    told = {
        "suite": run.suite.name,
        "run": run.pk,
        "prompt": run.version.prompt.name,
        "version": run.version.number,
        "passed": passed,
        "failed": decided - passed,
        "undecided": sum(one.undecided for one in found),
    }
    emit(run.suite.team_id, "suite.finished", {**told, "actor": run.requested_label}, about=f"suites/{run.suite_id}")
