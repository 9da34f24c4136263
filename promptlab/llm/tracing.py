"""A span for each call, with OpenTelemetry if its API can be imported; without it nothing happens and nothing is needed.

The names are those of the GenAI conventions, and all of them stand here. No attribute holds text of a prompt or an answer.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from promptlab.lib import tracing
from promptlab.llm.types import Completion, CompletionRequest, Route

try:
    trace: Any = import_module("opentelemetry.trace")
except ImportError:
    trace = None

TRACER = "promptlab.llm"
OF_PARAMETERS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "max_tokens": "gen_ai.request.max_tokens",
    "seed": "gen_ai.request.seed",
}


class Span:
    """The span of one call; it ends once, however the call ends."""

    def __init__(self, request: CompletionRequest) -> None:
        self._span: Any = None
        if trace is None:
            return
        known = request.parameters
        asked = {OF_PARAMETERS[name]: known[name] for name in OF_PARAMETERS if known.get(name) is not None}
        self._span = trace.get_tracer(TRACER).start_span(
            f"chat {request.model}",
            kind=trace.SpanKind.CLIENT,
            attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": request.model, **asked},
        )

    @property
    def traceparent(self) -> str:
        """What an upstream may be told of the trace: this span, else what our own caller said; empty for neither."""
        context = self._span.get_span_context() if self._span is not None else None
        if context is None or not context.is_valid:
            return tracing.traceparent()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def end(self, route: Route, outcome: str, first_token_ms: int | None, completion: Completion | None) -> None:
        """Note how the call ended, and who answered."""
        if self._span is None:
            return
        said: dict[str, Any] = {"gen_ai.provider.name": route.provider}
        if first_token_ms is not None:
            said["gen_ai.response.time_to_first_chunk"] = first_token_ms / 1000
        if completion is None:
            said["error.type"] = outcome
        else:
            said |= _of(completion)
        self._span.set_attributes(said)
        self._span.end()


def _of(completion: Completion) -> dict[str, Any]:
    usage = completion.usage
    said: dict[str, Any] = {
        "gen_ai.response.model": completion.model,
        "gen_ai.response.finish_reasons": [str(completion.finish_reason)],
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.usage.cache_write.input_tokens": usage.cache_write_tokens,
    }
    if completion.cost_usd is not None:
        said["promptlab.cost_usd"] = float(completion.cost_usd)
    return said
