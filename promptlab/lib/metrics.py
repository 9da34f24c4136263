"""What this process counted since it began, in the text format that Prometheus reads.

Every process tells of itself alone: each has to be asked. Label values may come from callers, so their number is bounded:
what comes after the first `MAX_SERIES` of a metric is counted as `other`.
"""

from __future__ import annotations

import hmac
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence

from django.conf import settings

MAX_SERIES = 500
OTHER = "other"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0)
Labels = tuple[str, ...]
Readings = Callable[[], Iterable[tuple[Labels, float]]]

_all: dict[str, Counter | Histogram | Gauge] = {}


class _Series:
    """The label values of a metric: as many as there is room for."""

    def __init__(self, name: str, about: str, labels: Sequence[str]) -> None:
        self.name = name
        self.about = about
        self.labels = tuple(labels)
        self._lock = threading.Lock()

    def _known(self, values: Labels, series: dict[Labels, float] | dict[Labels, list[float]]) -> Labels:
        return values if values in series or len(series) < MAX_SERIES else (OTHER,) * len(self.labels)


class Counter(_Series):
    """A sum that only grows."""

    kind = "counter"

    def __init__(self, name: str, about: str, labels: Sequence[str] = ()) -> None:
        super().__init__(name, about, labels)
        self._sums: dict[Labels, float] = {}
        _all[name] = self

    def add(self, *values: str, by: float = 1.0) -> None:
        """Add to the sum of these label values."""
        with self._lock:
            known = self._known(values, self._sums)
            self._sums[known] = self._sums.get(known, 0.0) + by

    def value(self, *values: str) -> float:
        """Return the sum so far."""
        return self._sums.get(values, 0.0)

    def samples(self) -> Iterator[str]:
        with self._lock:
            sums = list(self._sums.items())
        for values, total in sums:
            yield _sample(self.name, self.labels, values, total)


class Histogram(_Series):
    """How many observations were at most so large, for each of some sizes."""

    kind = "histogram"

    def __init__(self, name: str, about: str, labels: Sequence[str] = (), *, bounds: Sequence[float] = SECONDS) -> None:
        super().__init__(name, about, labels)
        self._bounds = tuple(bounds)
        self._series: dict[Labels, list[float]] = {}
        _all[name] = self

    def observe(self, *values: str, size: float) -> None:
        """Count one observation."""
        with self._lock:
            known = self._known(values, self._series)
            counts = self._series.setdefault(known, [0.0] * (len(self._bounds) + 2))
            counts[bisect_left(self._bounds, size)] += 1
            counts[-1] += size

    def samples(self) -> Iterator[str]:
        with self._lock:
            series = [(values, list(counts)) for values, counts in self._series.items()]
        for values, counts in series:
            total = 0.0
            for bound, count in zip((*map(_number, self._bounds), "+Inf"), counts, strict=False):
                total += count
                yield _sample(f"{self.name}_bucket", (*self.labels, "le"), (*values, bound), total)
            yield _sample(f"{self.name}_sum", self.labels, values, counts[-1])
            yield _sample(f"{self.name}_count", self.labels, values, total)


class Gauge(_Series):
    """A value that is read when somebody asks for it."""

    kind = "gauge"

    def __init__(self, name: str, about: str, labels: Sequence[str], readings: Readings) -> None:
        super().__init__(name, about, labels)
        self._readings = readings
        _all[name] = self

    def samples(self) -> Iterator[str]:
        for values, value in self._readings():
            yield _sample(self.name, self.labels, values, value)


def exposition() -> str:
    """Return everything that was counted."""
    lines: list[str] = []
    for metric in _all.values():
        lines += [f"# HELP {metric.name} {metric.about}", f"# TYPE {metric.name} {metric.kind}", *metric.samples()]
    return "\n".join(lines) + "\n"


def may_read(authorization: str) -> bool:
    """Tell whether the header opens the page; nothing does while there is no token."""
    expected = f"Bearer {settings.METRICS_TOKEN}".encode()
    return bool(settings.METRICS_TOKEN) and hmac.compare_digest(authorization.encode(errors="replace"), expected)


def _sample(name: str, labels: Labels, values: Labels, value: float) -> str:
    pairs = ",".join(f'{label}="{_escaped(said)}"' for label, said in zip(labels, values, strict=True))
    return f"{name}{{{pairs}}} {_number(value)}" if pairs else f"{name} {_number(value)}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
