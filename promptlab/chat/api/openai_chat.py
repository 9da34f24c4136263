"""The dialect of chat completions: a body becomes a turn, an answer becomes a completion or its chunks. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from promptlab import llm
from promptlab.chat.api import openai_wire as wire
from promptlab.chat.api.openai_wire import Asked, Body, Json
from promptlab.chat.services.turn import Done, Token, TurnPlan

ROLES = ("system", "developer", "user", "assistant", "tool")
REFUSED = ("logprobs", "top_logprobs", "audio", "functions", "function_call", "web_search_options")
NUMBERS = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
TEXTS = ("reasoning_effort", "verbosity", "service_tier", "prompt_cache_key", "prompt_cache_retention")
FORMATS = ("text", "json_object", "json_schema")
CHOICES = ("none", "auto", "required")


def read(raw: Mapping[str, Any], headers: Mapping[str, str]) -> Asked:
    """Return what a body asks for. What changes nothing here is dropped. Raises Invalid naming the parameter."""
    body = Body(raw)
    wire.refuse(body, REFUSED)
    if body.get("n") not in (None, 1):
        raise wire.unsupported("n", "One choice is given: n is 1.")
    if set(body.items("modalities")) - {"text"}:
        raise wire.unsupported("modalities", "The only modality is text.")
    turn = wire.turn(body, headers, messages(body), parameters(body))
    if not turn.said and not turn.prompt:
        raise wire.wrong("messages", "Send messages, or name a prompt.", wire.MISSING)
    wants_usage = body.inner("stream_options").flag("include_usage")
    return Asked(turn, body.flag("stream"), raw, wants_usage)


def messages(body: Body) -> list[llm.ChatMessage]:
    """Return the messages of a body."""
    return [_message(one, f"messages.{index}") for index, one in enumerate(body.items("messages"))]


def parameters(body: Body) -> Json:
    """Return the settings of the model that the body gives, under the names this house has for them."""
    found: Json = {name: body.number(name) for name in NUMBERS}
    found |= {name: body.text(name) or None for name in TEXTS}
    most = body.whole("max_completion_tokens", 1)
    found["max_tokens"] = most if most is not None else body.whole("max_tokens", 1)
    found["seed"] = body.whole("seed")
    found["stop"] = stop(body)
    found["response_format"] = _format(body)
    found["tools"] = [tool(one, f"tools.{index}") for index, one in enumerate(body.items("tools"))] or None
    found["tool_choice"] = _choice(body)
    found["parallel_tool_calls"] = (
        body.flag("parallel_tool_calls") if body.get("parallel_tool_calls") is not None else None
    )
    found["logit_bias"] = dict(body.inner("logit_bias").value) or None
    return {name: value for name, value in found.items() if value is not None}


def stop(body: Body) -> list[str] | None:
    """Return the texts to stop at."""
    value = body.get("stop")
    told = [value] if isinstance(value, str) else body.items("stop")
    if not all(isinstance(one, str) and one for one in told):
        raise wire.wrong("stop", "stop is a text, or a list of texts.")
    return told or None


def tool(value: Any, param: str) -> Json:
    """Return a tool that a model may call. Raises Invalid for what is no function."""
    if not isinstance(value, dict):
        raise wire.wrong(param, "A tool is an object with type and function.")
    if value.get("type") != "function":
        raise wire.unsupported(param, "The tools supported here are functions.")
    if not Body(value, param).inner("function").text("name"):
        raise wire.wrong(f"{param}.function.name", "A function has a name.", wire.MISSING)
    return value


def _message(value: Any, param: str) -> llm.ChatMessage:
    if not isinstance(value, dict):
        raise wire.wrong(param, "A message is an object with role and content.")
    body = Body(value, param)
    role = body.one_of("role", ROLES)
    if not role:
        raise wire.wrong(f"{param}.role", "A message has a role.", wire.MISSING)
    content = body.get("content")
    if role == "assistant":
        calls = [_call(one, f"{param}.tool_calls.{index}") for index, one in enumerate(body.items("tool_calls"))]
        said = body.text("refusal") if content is None else wire.text_of(content, f"{param}.content")
        return llm.ChatMessage(role, said, calls)
    if content is None:
        raise wire.wrong(f"{param}.content", "A message has content.", wire.MISSING)
    answered = body.text("tool_call_id") if role == "tool" else ""
    if role == "tool" and not answered:
        raise wire.wrong(f"{param}.tool_call_id", "Say which call the message answers.", wire.MISSING)
    return llm.ChatMessage(role, wire.text_of(content, f"{param}.content"), (), answered)


def _call(value: Any, param: str) -> Json:
    if not isinstance(value, dict) or value.get("type", "function") != "function":
        raise wire.unsupported(param, "The calls supported here are of functions.")
    body = Body(value, param)
    function = body.inner("function")
    return call(body.text("id"), function.text("name"), function.text("arguments"))


def call(call_id: str, name: str, arguments: str) -> Json:
    """Return the call of a function."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _format(body: Body) -> Json | None:
    shape = body.inner("response_format")
    if not shape.value:
        return None
    if shape.one_of("type", FORMATS) == "json_schema" and not shape.inner("json_schema").text("name"):
        raise wire.wrong("response_format.json_schema.name", "A schema has a name.", wire.MISSING)
    return dict(shape.value)


def _choice(body: Body) -> str | Json | None:
    value = body.get("tool_choice")
    return dict(value) if isinstance(value, dict) else body.one_of("tool_choice", CHOICES) or None


# Answers


def completion(plan: TurnPlan, done: Done, created: int) -> Json:
    """Return a whole answer."""
    answer = done.completion
    message: Json = {"role": "assistant", "content": answer.text, "refusal": None, "annotations": []}
    if answer.tool_calls:
        message |= {"content": answer.text or None, "tool_calls": list(answer.tool_calls)}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": str(answer.finish_reason)}
    return {
        "id": f"chatcmpl-{plan.answer.uid}",
        "object": "chat.completion",
        "created": created,
        "model": answer.model,
        "choices": [choice],
        "usage": usage(answer.usage),
        "service_tier": "default",
        "system_fingerprint": None,
        "promptlab": wire.about(plan),
    }


def usage(counts: llm.Usage) -> Json:
    """Return what an answer took, in this dialect."""
    return {
        "prompt_tokens": counts.input_tokens,
        "completion_tokens": counts.output_tokens,
        "total_tokens": counts.input_tokens + counts.output_tokens,
        "prompt_tokens_details": {"cached_tokens": counts.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": counts.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


class Chunks:
    """The chunks of one answer, in their order: all of one id; the first says who speaks and what served it."""

    def __init__(self, plan: TurnPlan, created: int, *, wants_usage: bool) -> None:
        self.plan = plan
        self.wants_usage = wants_usage
        self._frame = {
            "id": f"chatcmpl-{plan.answer.uid}",
            "object": "chat.completion.chunk",
            "created": created,
            "model": plan.request.model,
            "system_fingerprint": None,
        }

    def opening(self) -> list[Json]:
        delta = {"role": "assistant", "content": "", "refusal": None}
        return [{**self._chunk(delta), "promptlab": wire.about(self.plan)}]

    def token(self, token: Token) -> list[Json]:
        delta: Json = {"content": token.text} if token.text else {}
        if token.tool_calls:
            delta["tool_calls"] = [dict(piece) for piece in token.tool_calls]
        return [self._chunk(delta)] if delta else []

    def closing(self, done: Done) -> list[Json]:
        last = [self._chunk({}, str(done.completion.finish_reason))]
        if self.wants_usage:
            last.append({**self._frame, "choices": [], "usage": usage(done.completion.usage)})
        return last

    def _chunk(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> Json:
        choices: Sequence[Json] = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}]
        chunk: Json = {**self._frame, "choices": choices}
        return {**chunk, "usage": None} if self.wants_usage else chunk
