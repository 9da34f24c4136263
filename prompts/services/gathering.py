"""Reports of processes that are listed already: kept for a moment, and written together by the watch.

A move makes all processes report within a second. What a crash takes along is not missed: every process says again and
again what it serves, and since when.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from django.db import DatabaseError, transaction
from django.utils import timezone

from promptlab.lib.watch import watch
from prompts import revisions
from prompts.models import ServingProcess, ServingStep

MOST = 10_000
"""Processes that are remembered here; a report of another one is written at once."""
Who = tuple[int, str, str, str]
"""(team id, environment name, host, process)"""


@dataclass(frozen=True, slots=True)
class Report:
    """What one process says: which revision it serves, with what, and since when."""

    revision: int
    client: str
    client_version: str
    since: datetime


class Gathering:
    """The processes that this one has listed, and what they said since the last writing. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._listed: OrderedDict[Who, tuple[int, int]] = OrderedDict()
        self._waiting: dict[Who, Report] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def remember(self, who: Who, environment_id: int, process_id: int) -> None:
        """Take the reports of this process from now on."""
        with self._lock:
            self._listed[who] = environment_id, process_id
            self._listed.move_to_end(who)
            while len(self._listed) > MOST:
                self._waiting.pop(self._listed.popitem(last=False)[0], None)

    def forget(self, who: Who) -> None:
        """Let the next report of this process be written at once."""
        with self._lock:
            self._listed.pop(who, None)
            self._waiting.pop(who, None)

    def clear(self) -> None:
        """Forget everything, as a new process would."""
        with self._lock:
            self._listed.clear()
            self._waiting.clear()

    def take(self, who: Who, revision: int, client: str, client_version: str, age_ms: int) -> bool:
        """Keep a report that is sure to be right, to be written within the next moment; False for every other one."""
        found = self._listed.get(who)
        if found is None or not watch.is_running or revision > revisions.known(found[0]).revision:
            return False
        since = timezone.now() - timedelta(milliseconds=age_ms)
        with self._lock:
            before = self._waiting.get(who)
            if before is not None and before.revision == revision:
                since = min(since, before.since)
            self._waiting[who] = Report(revision, client, client_version, since)
        return True

    def write(self) -> bool:
        """Write what waits, with four statements if all serve the same. Returns False: it is no use of anything."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            rows = {self._listed[who][1]: (who, report) for who, report in waiting.items() if who in self._listed}
        if not rows:
            return False
        try:
            known = _write({process_id: report for process_id, (_, report) in rows.items()})
        except DatabaseError:
            with self._lock:
                self._waiting = {**waiting, **self._waiting}
            raise
        for process_id in rows.keys() - known:
            self.forget(rows[process_id][0])
        return False


@transaction.atomic
def _write(reports: dict[int, Report]) -> set[int]:
    """Write reports by the ids of their processes; return the ids of those that are still listed."""
    listed = ServingProcess.objects.select_for_update().filter(pk__in=reports).order_by("pk")
    rows = {row.pk: row for row in listed.only("revision", "first_seen_at")}
    now = timezone.now()
    for report, process_ids in _alike(rows, reports).items():
        revision, client, client_version = report
        ServingProcess.objects.filter(pk__in=process_ids).update(
            revision=revision, client=client, client_version=client_version, seen_at=now
        )
    ServingStep.objects.bulk_create(
        ServingStep(
            process_id=row.pk, revision=reports[row.pk].revision, at=max(reports[row.pk].since, row.first_seen_at)
        )
        for row in rows.values()
        if row.revision != reports[row.pk].revision
    )
    return set(rows)


def _alike(process_ids: Iterable[int], reports: dict[int, Report]) -> dict[tuple[int, str, str], list[int]]:
    """Return the ids of processes by what they said of themselves; mostly all say the same."""
    found: dict[tuple[int, str, str], list[int]] = {}
    for process_id in process_ids:
        report = reports[process_id]
        found.setdefault((report.revision, report.client, report.client_version), []).append(process_id)
    return found


gathering = Gathering()
watch.every(gathering.write)
watch.at_end(gathering.write)
