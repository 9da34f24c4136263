"""How a prompt is used, version by version: calls, waits, cost, and what people think. Reads sums, and few answers."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Sum
from django.utils import timezone

from experiments.models import HourRollup
from experiments.stats.proportion import Approval, approval, ratio
from feedback.results import READ
from promptlab.accounts.access import Principal
from promptlab.chat.models import Message
from prompts.models import Prompt, Version

SAMPLE = 2_000
"""The newest answers of a prompt that waits are read from: their order is in no sum."""
SUMMED = (
    "requests", "shown", "errors", "ratings", "ups", "input_tokens", "output_tokens", "cost_usd", "unpriced",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Used:
    """What came of some calls. `cost_usd` is of those whose price is known; `unpriced` counts the others.

    `median_ms` and `p95_ms` are of those among the prompt's newest `SAMPLE` answers; None where no wait is known.
    """

    calls: int
    shown: int
    errors: int
    said: Approval
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    unpriced: int
    median_ms: int | None
    p95_ms: int | None

    @property
    def coverage(self) -> float | None:
        """Ratings per answer shown."""
        return ratio(self.said.ratings, self.shown)


@dataclass(frozen=True, slots=True)
class VersionUse:
    """How one version was used."""

    number: int
    version_string: str
    used: Used


@dataclass(frozen=True, slots=True)
class PromptUsage:
    """How a prompt was used since a full hour: altogether, and by version, the newest first."""

    since: datetime
    totals: Used
    versions: tuple[VersionUse, ...]


def prompt_usage(
    principal: Principal, prompt: Prompt, *, days: int = 30, environment: str = "", now: datetime | None = None
) -> PromptUsage:
    """Return how a prompt was used in the last days. Three queries.

    What workers have not added to the sums yet is not in it: some seconds, as a rule.
    """
    since = ((now or timezone.now()) - timedelta(days=days)).replace(minute=0, second=0, microsecond=0)
    rows = HourRollup.objects.visible_to(principal, READ).filter(prompt=prompt, hour__gte=since)
    if environment:
        rows = rows.filter(environment__name=environment)
    summed = list(rows.order_by().values("version_id").annotate(**{f"n_{name}": Sum(name) for name in SUMMED}))
    versions = Version.objects.only("number", "version_string").in_bulk([one["version_id"] for one in summed])
    waits = _waits(list(versions), since, environment)
    used = [
        VersionUse(versions[one["version_id"]].number, versions[one["version_id"]].version_string, _used([one], waits))
        for one in summed
    ]
    used.sort(key=lambda one: -one.number)
    return PromptUsage(since, _used(summed, waits), tuple(used))


def _used(summed: Sequence[dict[str, Any]], waits: dict[int, list[int]]) -> Used:
    total: dict[str, Any] = defaultdict(int)
    known: list[int] = []
    for one in summed:
        known += waits[one["version_id"]]
        for name in SUMMED:
            total[name] += one[f"n_{name}"]
    known.sort()
    # A mind that changed is known by its difference alone, so sums of a window can leave what is possible.
    ratings = max(total["ratings"], 0)
    return Used(
        calls=total["requests"],
        shown=total["shown"],
        errors=total["errors"],
        said=approval(min(max(total["ups"], 0), ratings), ratings),
        input_tokens=total["input_tokens"],
        output_tokens=total["output_tokens"],
        cost_usd=Decimal(total["cost_usd"]),
        unpriced=total["unpriced"],
        median_ms=_quantile(known, 0.5),
        p95_ms=_quantile(known, 0.95),
    )


def _waits(versions: Sequence[int], since: datetime, environment: str) -> dict[int, list[int]]:
    rows = Message.objects.answers().filter(version__in=versions, ended_at__gte=since, latency_ms__isnull=False)
    if environment:
        rows = rows.filter(environment__name=environment)
    found: dict[int, list[int]] = defaultdict(list)
    for version_id, latency_ms in rows.order_by("-pk").values_list("version_id", "latency_ms")[:SAMPLE]:
        found[version_id].append(latency_ms)
    return found


def _quantile(ordered: Sequence[int], share: float) -> int | None:
    """Return the nearest-rank quantile of ordered values: one that occurred; None of nothing."""
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1] if ordered else None
