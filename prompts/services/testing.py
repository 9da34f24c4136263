"""Working on runs of a test suite: as many calls at once as a provider allows, each row asked once.

All database work is done in the thread that works on the run, calls in a loop beside it.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from time import monotonic
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from promptlab import llm
from promptlab.hooks.services.outbox import emit
from promptlab.lib.errors import DomainError
from promptlab.llm.ceiling import worst_case
from prompts.checks.cases import Case
from prompts.comparing import shares
from prompts.models import SuiteResult, SuiteRun
from prompts.services.driving import Driver
from prompts.services.running import SLICE_S, WATCH_S, Gone, Hold, NoRoom, SliceOver, nano_of
from prompts.services.suite_caller import Caller
from prompts.services.suite_calls import Asking, provider_of
from prompts.services.suite_jobs import Job
from prompts.services.suite_runs import RUN_TASK, plan_from

SWEEP_TASK: Final = "prompts.sweep_suite_runs"
Row = SuiteResult.State


class _Work:
    """One process's work on one run. Jobs are keyed by the future of the call that they wait for."""

    def __init__(self, run: SuiteRun, hold: Hold, caller: Caller) -> None:
        self._run, self._hold, self._caller = run, hold, caller
        self._team_id = run.suite.team_id
        self._plan, self._asking = plan_from(run), Asking.of(run)
        self._jobs: dict[Future[llm.Completion], Job] = {}
        self._busy: Counter[str] = Counter()
        self._waiting: dict[str, deque[SuiteResult]] = defaultdict(deque)
        for row in SuiteResult.objects.filter(run=run, state=Row.WAITING).order_by("place", "repeat"):
            self._waiting[row.model].append(row)
        self._until = monotonic() + SLICE_S
        self._short: NoRoom | None = None
        self._providers = {model: provider_of(self._team_id, model) for model in run.asked_models}

    def go(self) -> None:
        """Ask, settle, and look whether to go on, until nothing is left. Raises NoRoom, SliceOver, Gone."""
        try:
            while True:
                if self._short is None and monotonic() < self._until:
                    self._begin_more()
                if not self._jobs:
                    break
                done, _ = wait(self._jobs, timeout=WATCH_S, return_when=FIRST_COMPLETED)
                self._settle([(self._jobs.pop(one), one) for one in done])
                self._hold.look()
        except BaseException:
            for one in self._jobs:
                one.cancel()
            raise
        if self._short is not None:
            raise self._short
        if any(self._waiting.values()):
            raise SliceOver

    def _begin_more(self) -> None:
        """Ask as many rows as there is room for at their providers."""
        while jobs := list(self._free()):
            begun = self._reserve(jobs)
            for job in begun:
                self._ask(job)
            if len(begun) < len(jobs):
                break

    def _free(self) -> Iterator[Job]:
        """Yield jobs for the rows that may be asked now; a row that cannot be asked ends here."""
        room = Counter(self._busy)
        for model, rows in self._waiting.items():
            while rows and room[self._providers[model]] < settings.SUITE_CALLS_AT_ONCE:
                row = rows.popleft()
                job = self._job(row, self._plan[row.place])
                if job is not None:
                    room[job.provider] += 1
                    yield job

    def _job(self, row: SuiteResult, case: Case) -> Job | None:
        try:
            request = self._asking.answer(case, row.model)
        except DomainError as error:
            ended = {"state": Row.ERROR, "problem": error.detail[:300], "ended_at": timezone.now()}
            SuiteResult.objects.filter(pk=row.pk, state=Row.WAITING).update(**ended)
            return None
        return Job(row, case, self._providers[row.model], request, worst_case(request, self._team_id))

    def _ask(self, job: Job) -> None:
        self._busy[job.provider] += 1
        self._jobs[self._caller.call(job.request)] = job

    def _reserve(self, jobs: Sequence[Job]) -> list[Job]:
        """Write that these rows are asked, with what they may cost; only the first ones where that is too much."""
        begun = []
        with transaction.atomic():
            for job in jobs:
                if not self._has_room(job.most):
                    break
                rows = SuiteResult.objects.filter(pk=job.row.pk, state=Row.WAITING)
                if not rows.update(state=Row.ASKED, reserved_nanousd=job.most or 0):
                    raise Gone
                begun.append(job)
        for job in reversed(jobs[len(begun) :]):
            self._waiting[job.row.model].appendleft(job.row)
        return begun

    def _has_room(self, most: int | None) -> bool:
        """Reserve one call; False when the run may not make it, which is then its reason to stop. Raises Gone."""
        try:
            self._hold.pay(most or 0)
        except NoRoom as error:
            self._short = error
            return False
        return True

    def _settle(self, done: Sequence[tuple[Job, Future[llm.Completion]]]) -> None:
        """Write what calls came to, all in one transaction; then hand answers to their judges."""
        if not done:
            return
        reserved = spent = unpriced = 0
        for job, future in done:
            self._busy[job.provider] -= 1
            reserved += job.most or 0
            cost = job.end(self._team_id, future)
            spent += job.most or 0 if cost is None else nano_of(cost)
            unpriced += cost is None
            self._hold.look()
        with transaction.atomic():
            self._hold.count(reserved, spent, unpriced=unpriced)
            following = [job for job, _ in done if not self._is_over(job)]
        for job in following:
            self._ask(job)

    def _is_over(self, job: Job) -> bool:
        """Write the row; False when a judge is to be asked about it, with the money for that reserved."""
        rows = SuiteResult.objects.filter(pk=job.row.pk, state=Row.ASKED)
        if not job.is_judged and self._to_judge(job):
            rows.update(**job.changes, reserved_nanousd=job.most or 0)
            job.changes = {}
            return False
        rows.update(**job.ended())
        return True

    def _to_judge(self, job: Job) -> bool:
        """Put the question to the next judge into the job; False, with what the row comes to, when it cannot be asked."""
        assert job.answer is not None
        place, order = job.to_judge[0]
        check = job.case.checks[place]
        try:
            request = self._asking.verdict(check, job.case, job.answer.text, order)
        except DomainError as error:
            job.refuse(error.detail)
            return False
        most = worst_case(request, self._team_id)
        if not self._has_room(most):
            job.refuse("The budget had no room for the judge.")
            return False
        job.request, job.provider, job.most = request, provider_of(self._team_id, request.model), most
        return True


def _work(hold: Hold, caller: Caller) -> None:
    run = SuiteRun.objects.select_related("suite", "version__prompt").get(pk=hold.run_id)
    _Work(run, hold, caller).go()


def _tell(run_id: int) -> None:
    """Tell webhooks that a run is through, and what it came to; one that stopped is not."""
    run = SuiteRun.objects.with_names().get(pk=run_id)
    if run.state != SuiteRun.State.FINISHED:
        return
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


_driver = Driver(SuiteRun.objects.all, SuiteResult.objects.all, RUN_TASK, _work, _tell)
work_on = _driver.work_on
sweep = _driver.sweep
