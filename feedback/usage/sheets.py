"""Groups of use as the rows of a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from feedback.usage.groups import Groups
from feedback.usage.sums import Row, Used
from promptlab.lib.errors import Invalid
from promptlab.lib.sheets import harmless

MOST_ROWS = 10_000
MEASURES = (
    "calls", "shown", "errors", "rated", "up", "approval", "approval_low", "approval_high", "coverage",
    "median_ms", "p95_ms", "input_tokens", "output_tokens", "cost_usd", "unpriced",
)  # fmt: skip
"""Named as the API names them."""


def lines(groups: Groups) -> list[list[Any]]:
    """Return the rows of a file with all groups, of which the first says what is in them. Raises Invalid over 10,000."""
    rows = groups[: MOST_ROWS + 1]
    if len(rows) > MOST_ROWS:
        raise Invalid(f"More than {MOST_ROWS:,} rows. Ask for fewer days or groups.")
    return [[*groups.names, *MEASURES], *_lines(groups.names, rows)]


def _lines(names: Sequence[str], rows: Iterable[tuple[Row, Used]]) -> Iterable[list[Any]]:
    for named, one in rows:
        said = one.said
        rated = (said.ratings, said.ups, said.rate, said.low, said.high, one.coverage)
        waits = (one.median_ms, one.p95_ms)
        tokens = (one.input_tokens, one.output_tokens, f"{one.cost_usd:.9f}", one.unpriced)
        told = (one.calls, one.shown, one.errors, *rated, *waits, *tokens)
        yield [
            harmless(cell)
            for cell in (*(named[name] for name in names), *("" if cell is None else cell for cell in told))
        ]
