"""What is counted of model calls, for `/metrics`: names and numbers, never text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from promptlab.lib.metrics import Counter, Gauge, Histogram
from promptlab.llm.finding import KINDS
from promptlab.llm.resilience import breakers
from promptlab.llm.types import Completion, Route

WHO = ("provider", "model")
STATES = {"closed": 0, "half_open": 1, "open": 2}

calls = Counter("promptlab_llm_calls_total", "Model calls, by how they ended.", (*WHO, "outcome"))
tries = Counter("promptlab_llm_tries_total", "Tries of model calls, by how they ended.", (*WHO, "outcome"))
spent = Counter("promptlab_llm_tokens_total", "Tokens of whole answers.", (*WHO, "kind"))
cost = Counter("promptlab_llm_cost_usd_total", "Cost of whole answers whose price is known, in USD.", WHO)
unpriced = Counter("promptlab_llm_unpriced_total", "Whole answers whose price is not known.", WHO)
masked = Counter("promptlab_llm_masked_total", "Values replaced by tokens before calls.", (*WHO, "kind"))
first_token = Histogram("promptlab_llm_first_token_seconds", "Wait for the first token.", WHO)
duration = Histogram("promptlab_llm_duration_seconds", "From the question to the end of the call.", WHO)


def count(
    route: Route, outcome: str, elapsed_ms: int, first_token_ms: int | None, completion: Completion | None
) -> None:
    """Count one call that ended."""
    who = route.provider, route.model
    calls.add(*who, outcome)
    duration.observe(*who, size=elapsed_ms / 1000)
    if first_token_ms is not None:
        first_token.observe(*who, size=first_token_ms / 1000)
    if completion is not None:
        _count_usage(who, completion)


def count_masked(route: Route, counts: Mapping[str, int]) -> None:
    """Count the values that did not leave, by kind; those of own patterns as one kind, for teams name them freely."""
    for kind, values in counts.items():
        masked.add(route.provider, route.model, kind if kind in KINDS else "own", by=values)


def _count_usage(who: tuple[str, str], completion: Completion) -> None:
    usage = completion.usage
    kinds = {
        "input": usage.input_tokens,
        "cached": usage.cached_tokens,
        "cache_write": usage.cache_write_tokens,
        "output": usage.output_tokens,
        "reasoning": usage.reasoning_tokens,
    }
    for kind, tokens in kinds.items():
        if tokens:
            spent.add(*who, kind, by=tokens)
    if completion.cost_usd is None:
        unpriced.add(*who)
    else:
        cost.add(*who, by=float(completion.cost_usd))


def _states() -> Iterator[tuple[tuple[str, ...], float]]:
    for breaker in breakers.all():
        yield (breaker.provider, breaker.model), STATES[breaker.local.state]


Gauge("promptlab_llm_breaker_state", "0 closed, 1 finding out, 2 open.", WHO, _states)
