"""The dialect of responses: a body becomes a turn, an answer becomes a response or the events that build one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promptlab import llm
from promptlab.chat.api import openai_chat
from promptlab.chat.api import openai_wire as wire
from promptlab.chat.api.openai_wire import Asked, Body, Json
from promptlab.chat.services.turn import Done, Token, TurnPlan
from promptlab.lib.errors import DomainError

ROLES = ("system", "developer", "user", "assistant")
REFUSED = ("previous_response_id", "conversation", "background", "top_logprobs")
KEPT = ("service_tier", "prompt_cache_key", "prompt_cache_retention")
INCOMPLETE = {llm.FinishReason.LENGTH: "max_output_tokens", llm.FinishReason.CONTENT_FILTER: "content_filter"}


def read(raw: Mapping[str, Any], headers: Mapping[str, str]) -> Asked:
    """Return what a body asks for. What changes nothing here is dropped. Raises Invalid naming the parameter."""
    body = Body(raw)
    wire.refuse(body, REFUSED)
    said = messages(body)
    if instructions := body.text("instructions"):
        said.insert(0, llm.ChatMessage("system", instructions))
    turn = wire.turn(body, headers, said, parameters(body))
    if not turn.said and not turn.prompt:
        raise wire.wrong("input", "Send input, or name a prompt.", wire.MISSING)
    return Asked(turn, body.flag("stream"), raw)


def parameters(body: Body) -> Json:
    """Return the settings of the model that the body gives, under the names this house has for them."""
    text = body.inner("text")
    found: Json = {name: body.text(name) or None for name in KEPT}
    found |= {name: body.number(name) for name in ("temperature", "top_p")}
    found["max_tokens"] = body.whole("max_output_tokens", 1)
    found["reasoning_effort"] = body.inner("reasoning").text("effort") or None
    found["verbosity"] = text.text("verbosity") or None
    found["response_format"] = _format(text.inner("format"))
    found["tools"] = [_tool(one, f"tools.{index}") for index, one in enumerate(body.items("tools"))] or None
    found["tool_choice"] = _choice(body)
    if found["tools"] and body.get("parallel_tool_calls") is not None:
        found["parallel_tool_calls"] = body.flag("parallel_tool_calls")
    return {name: value for name, value in found.items() if value is not None}


def messages(body: Body) -> list[llm.ChatMessage]:
    """Return the input as messages: calls that follow each other are one message of the model."""
    value = body.get("input")
    if isinstance(value, str):
        return [llm.ChatMessage("user", value)]
    found: list[llm.ChatMessage] = []
    for index, item in enumerate(body.items("input")):
        one = _item(item, f"input.{index}")
        if one is None:
            continue
        if found and one.tool_calls and found[-1].role == "assistant":
            before = found.pop()
            one = llm.ChatMessage("assistant", before.content, [*before.tool_calls, *one.tool_calls])
        found.append(one)
    return found


def _item(value: Any, param: str) -> llm.ChatMessage | None:
    """Return an item of the input as a message; None for what a model thought to itself."""
    if not isinstance(value, dict):
        raise wire.wrong(param, "An item of the input is an object.")
    item = Body(value, param)
    kind = item.text("type") or "message"
    if kind == "message":
        role = item.one_of("role", ROLES)
        if not role:
            raise wire.wrong(f"{param}.role", "A message has a role.", wire.MISSING)
        return llm.ChatMessage(role, wire.text_of(item.get("content"), f"{param}.content"))
    if kind == "function_call":
        called = openai_chat.call(item.text("call_id"), item.text("name"), item.text("arguments"))
        return llm.ChatMessage("assistant", "", [called])
    if kind == "function_call_output":
        if not item.text("call_id"):
            raise wire.wrong(f"{param}.call_id", "Say which call this is the output of.", wire.MISSING)
        return llm.ChatMessage("tool", wire.text_of(item.get("output"), f"{param}.output"), (), item.text("call_id"))
    if kind == "reasoning":
        return None
    raise wire.unsupported(param, f"Items of the type {kind[:50]} are not supported.")


def _format(shape: Body) -> Json | None:
    """Return the shape of the answer as chat completions have it."""
    kind = shape.one_of("type", openai_chat.FORMATS)
    if kind != "json_schema":
        return {"type": kind} if kind == "json_object" else None
    if not shape.text("name"):
        raise wire.wrong(shape.at("name"), "A schema has a name.", wire.MISSING)
    known = ("name", "description", "schema", "strict")
    return {"type": kind, "json_schema": {key: shape.get(key) for key in known if shape.get(key) is not None}}


def _tool(value: Any, param: str) -> Json:
    if not isinstance(value, dict):
        raise wire.wrong(param, "A tool is an object with a type.")
    tool = Body(value, param)
    if value.get("type") != "function":
        raise wire.unsupported(param, "Hosted tools are not supported; functions are.")
    if not tool.text("name"):
        raise wire.wrong(f"{param}.name", "A function has a name.", wire.MISSING)
    known = ("name", "description", "parameters", "strict")
    return {"type": "function", "function": {key: value[key] for key in known if value.get(key) is not None}}


def _choice(body: Body) -> str | Json | None:
    value = body.get("tool_choice")
    if not isinstance(value, dict):
        return body.one_of("tool_choice", openai_chat.CHOICES) or None
    if value.get("type") != "function":
        raise wire.unsupported("tool_choice", "The tools supported here are functions.")
    return {"type": "function", "function": {"name": body.inner("tool_choice").text("name")}}


# Answers


def usage(counts: llm.Usage) -> Json:
    """Return what an answer took, in this dialect."""
    details = {"cached_tokens": counts.cached_tokens, "cache_write_tokens": counts.cache_write_tokens}
    return {
        "input_tokens": counts.input_tokens,
        "input_tokens_details": details,
        "output_tokens": counts.output_tokens,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning_tokens},
        "total_tokens": counts.input_tokens + counts.output_tokens,
    }


def response(plan: TurnPlan, done: Done, asked: Asked, created: int) -> Json:
    """Return a whole answer."""
    events = Events(plan, asked, created)
    events.opening()
    completion = done.completion
    if completion.text or not completion.tool_calls:
        events.token(Token(completion.text))
    for index, one in enumerate(completion.tool_calls):
        events.token(Token("", [{**one, "index": index}]))
    whole: Json = events.closing(done)[-1]["response"]
    return whole


class Events:
    """The events of one answer, numbered from 0. Items are opened as they come and closed at the end, in their order."""

    def __init__(self, plan: TurnPlan, asked: Asked, created: int) -> None:
        self._plan = plan
        self._asked = asked
        self._created = created
        self._number = -1
        self._items: list[Json] = []
        self._message: int | None = None
        self._calls: dict[int, int] = {}

    def opening(self) -> list[Json]:
        going_on = self._response("in_progress")
        return [self._event(f"response.{name}", response=going_on) for name in ("created", "in_progress")]

    def token(self, token: Token) -> list[Json]:
        found = self._text(token.text) if token.text or not token.tool_calls else []
        return found + [event for piece in token.tool_calls for event in self._piece(piece)]

    def closing(self, done: Done) -> list[Json]:
        found = [] if self._items else self._text("")
        reason = INCOMPLETE.get(done.completion.finish_reason)
        status = "incomplete" if reason else "completed"
        for index in range(len(self._items)):
            found += self._close(index, status)
        return [*found, self._event(f"response.{status}", response=self._response(status, done, reason))]

    def failing(self, error: DomainError) -> list[Json]:
        """Return the events that end an answer which broke off."""
        said = wire.told(error)
        first = self._event("error", code=said["code"], message=said["message"], param=said["param"])
        failed = self._response("failed")
        failed["error"] = {"code": "server_error", "message": said["message"]}
        return [first, self._event("response.failed", response=failed)]

    def _event(self, kind: str, **told: Any) -> Json:
        self._number += 1
        return {"type": kind, "sequence_number": self._number, **told}

    def _text(self, text: str) -> list[Json]:
        found: list[Json] = []
        if self._message is None:
            self._message, found = self._open_message()
        index = self._message
        part = self._items[index]["content"][0]
        part["text"] += text
        if not text:
            return found
        place = {"item_id": self._items[index]["id"], "output_index": index, "content_index": 0}
        return [*found, self._event("response.output_text.delta", **place, delta=text, logprobs=[])]

    def _open_message(self) -> tuple[int, list[Json]]:
        index = len(self._items)
        item_id = f"msg_{self._plan.answer.uid.hex}"
        item = {"id": item_id, "type": "message", "role": "assistant", "status": "in_progress"}
        part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        self._items.append({**item, "content": [part]})
        place = {"item_id": item_id, "output_index": index, "content_index": 0}
        return index, [
            self._event("response.output_item.added", output_index=index, item={**item, "content": []}),
            self._event("response.content_part.added", **place, part=dict(part)),
        ]

    def _piece(self, piece: llm.Json) -> list[Json]:
        """Return the events of one piece of a call; its first one opens the item."""
        told = Body(dict(piece))
        number = told.whole("index") or 0
        function = told.inner("function")
        found: list[Json] = []
        if number not in self._calls:
            found = self._open_call(number, told.text("id"), function.text("name"))
        index = self._calls[number]
        if arguments := function.text("arguments"):
            item = self._items[index]
            item["arguments"] += arguments
            place = {"item_id": item["id"], "output_index": index}
            found.append(self._event("response.function_call_arguments.delta", **place, delta=arguments))
        return found

    def _open_call(self, number: int, call_id: str, name: str) -> list[Json]:
        index = self._calls[number] = len(self._items)
        item = {
            "id": f"fc_{self._plan.answer.uid.hex}_{number}",
            "type": "function_call",
            "status": "in_progress",
            "call_id": call_id,
            "name": name,
            "arguments": "",
        }
        self._items.append(item)
        return [self._event("response.output_item.added", output_index=index, item=dict(item))]

    def _close(self, index: int, status: str) -> list[Json]:
        item = self._items[index]
        item["status"] = status
        place = {"item_id": item["id"], "output_index": index}
        if item["type"] == "function_call":
            ended = [self._event("response.function_call_arguments.done", **place, arguments=item["arguments"])]
        else:
            part = item["content"][0]
            ended = [
                self._event("response.output_text.done", **place, content_index=0, text=part["text"], logprobs=[]),
                self._event("response.content_part.done", **place, content_index=0, part=dict(part)),
            ]
        return [*ended, self._event("response.output_item.done", output_index=index, item=dict(item))]

    def _response(self, status: str, done: Done | None = None, reason: str | None = None) -> Json:
        body, plan = self._asked.body, self._plan
        sent = plan.request.parameters
        return {
            "id": f"resp_{plan.answer.uid.hex}",
            "object": "response",
            "created_at": self._created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": {"reason": reason} if reason else None,
            "instructions": body.get("instructions"),
            "max_output_tokens": sent.get("max_tokens"),
            "model": done.completion.model if done else plan.request.model,
            "output": [dict(item) for item in self._items] if done else [],
            "parallel_tool_calls": sent.get("parallel_tool_calls", True),
            "previous_response_id": None,
            "prompt": _prompt(plan, self._asked),
            "reasoning": {"effort": sent.get("reasoning_effort"), "summary": None},
            "store": False,
            "temperature": sent.get("temperature", 1.0),
            "text": _text(body),
            "tool_choice": body.get("tool_choice") or "auto",
            "tools": body.get("tools") or [],
            "top_p": sent.get("top_p", 1.0),
            "truncation": "disabled",
            "usage": usage(done.completion.usage) if done else None,
            "user": body.get("user"),
            "metadata": dict(self._asked.turn.metadata),
            "promptlab": wire.about(plan),
        }


def _prompt(plan: TurnPlan, asked: Asked) -> Json | None:
    if plan.version is None:
        return None
    return {"id": plan.prompt, "version": str(plan.version), "variables": dict(asked.turn.variables)}


def _text(body: Mapping[str, Any]) -> Json:
    told = body.get("text") or {}
    return {**told, "format": told.get("format") or {"type": "text"}}
