"""What both dialects of the OpenAI-compatible face share: reading bodies, naming prompts, errors, attribution. Pure.

Field names in errors are the caller's own (`prompt.variables.name`), codes are OpenAI's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from promptlab import llm
from promptlab.chat.services.turn import TurnInput, TurnPlan
from promptlab.lib.errors import DomainError, Invalid, NotFound

Json = dict[str, Any]
PREFIX = "prompt:"
"""A model of this name is a prompt: `prompt:NAME[@SELECTOR]`."""
SUBJECT_HEADER = "x-promptlab-subject"
TEXT_PARTS = ("text", "input_text", "output_text", "refusal")
MAX_NOTES, MAX_NOTE_NAME, MAX_NOTE = 16, 64, 512
MISSING = "missing_required_parameter"
UNSUPPORTED = "unsupported_parameter"
WRONG = "invalid_value"


def wrong(param: str, detail: str, code: str = WRONG) -> Invalid:
    """Return the error about one parameter."""
    return Invalid.field(param, detail, code=code)


def unsupported(param: str, detail: str = "") -> Invalid:
    return wrong(param, detail or f"{param} is not supported here.", UNSUPPORTED)


@dataclass(frozen=True, slots=True)
class Asked:
    """A body that was read: the turn it asks for, and how the answer is to be told. `body` is for what is echoed."""

    turn: TurnInput
    streams: bool
    body: Mapping[str, Any] = field(default_factory=dict)
    wants_usage: bool = False


@dataclass(frozen=True, slots=True)
class Named:
    """Which prompt and model a body names. `reference` is `NAME[@SELECTOR]`, empty without a prompt."""

    reference: str
    variables: Mapping[str, Any]
    model: str


class Body:
    """A JSON object whose values are taken out by their type; null is the same as absent. Raises Invalid naming them."""

    def __init__(self, value: Mapping[str, Any], path: str = "") -> None:
        self.value = value
        self.path = path

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def get(self, name: str) -> Any:
        return self.value.get(name)

    def text(self, name: str) -> str:
        return str(self._of(name, str, "text") or "")

    def flag(self, name: str) -> bool:
        return bool(self._of(name, bool, "true or false"))

    def items(self, name: str) -> list[Any]:
        return list(self._of(name, list, "a list") or ())

    def inner(self, name: str) -> Body:
        """Return the object of that name; an empty one where there is none."""
        return Body(self._of(name, dict, "an object") or {}, self.at(name))

    def one_of(self, name: str, allowed: Sequence[str]) -> str:
        text = self.text(name)
        if text and text not in allowed:
            raise wrong(self.at(name), f"{self.at(name)} is one of {', '.join(allowed)}.")
        return text

    def number(self, name: str) -> int | float | None:
        value = self.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise wrong(self.at(name), f"{self.at(name)} is a number.")
        return value

    def whole(self, name: str, least: int | None = None) -> int | None:
        value = self.number(name)
        if value is not None and (not isinstance(value, int) or (least is not None and value < least)):
            said = "a whole number" if least is None else f"a whole number of at least {least}"
            raise wrong(self.at(name), f"{self.at(name)} is {said}.")
        return value

    def _of(self, name: str, kind: type, said: str) -> Any:
        value = self.get(name)
        if value is not None and not isinstance(value, kind):
            raise wrong(self.at(name), f"{self.at(name)} is {said}.")
        return value


def named(body: Body) -> Named:
    """Return the prompt and the model: `prompt`, else `prompt_id`, else a model that is called `prompt:NAME`."""
    model = body.text("model")
    prompt = body.inner("prompt")
    by_model = model.removeprefix(PREFIX) if model.startswith(PREFIX) else ""
    name, selectors = by_model, []
    if told := prompt.text("id") or prompt.text("prompt_id"):
        name, selectors = told, [_selector(prompt, "version")]
    elif told := body.text("prompt_id"):
        name, selectors = told, [_selector(body, "prompt_version"), body.text("prompt_label")]
    elif body.get("prompt") is not None and not by_model:
        raise wrong("prompt.id", "Say which prompt: prompt.id.", MISSING)
    elif by_model:
        selectors = [_selector(prompt, "version"), _selector(body, "prompt_version"), body.text("prompt_label")]
    elif model.startswith(PREFIX):
        raise wrong("model", "A prompt as a model is called prompt:NAME or prompt:NAME@SELECTOR.")
    holder, key = (prompt, "variables") if prompt.get("variables") is not None else (body, "prompt_variables")
    return Named(
        reference=_reference(name, selectors),
        variables={one: _variable(one, value) for one, value in holder.inner(key).value.items()},
        model="" if model.startswith(PREFIX) else model,
    )


def _selector(body: Body, name: str) -> str:
    value = body.get(name)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else body.text(name)


def _reference(name: str, selectors: Sequence[str]) -> str:
    """Return `NAME[@SELECTOR]`. Two different selectors are refused: which of them counts nobody can guess."""
    short, _, own = name.partition("@")
    told = list(dict.fromkeys(filter(None, [own, *selectors])))
    if len(told) > 1:
        raise wrong("prompt.version", f"The prompt is asked for at {' and at '.join(told)}. Say one of them.")
    return f"{short}@{told[0]}" if told else short


def _variable(name: str, value: Any) -> Any:
    if isinstance(value, str | int | float):
        return value
    param = f"prompt.variables.{name}"
    if not isinstance(value, dict):
        raise wrong(param, "The value of a variable is text or a number.")
    if value.get("type") != "input_text":
        raise unsupported(param, "Images and files are not supported in variables.")
    if not isinstance(value.get("text"), str):
        raise wrong(param, "The value of a variable is text or a number.")
    return value["text"]


def subject(body: Body, headers: Mapping[str, str]) -> str:
    """Return who is served, whom experiments assign by: the first that is said of five spellings."""
    notes = body.inner("metadata")
    return (
        headers.get(SUBJECT_HEADER, "").strip()
        or body.text("safety_identifier")
        or body.text("user")
        or notes.text("user_id")
        or notes.text("subject")
    )


def metadata(body: Body) -> dict[str, str]:
    """Return the caller's notes: at most 16, names of 64 characters, texts of 512."""
    notes = body.inner("metadata")
    if len(notes.value) > MAX_NOTES:
        raise wrong("metadata", f"metadata has at most {MAX_NOTES} entries.")
    for name in notes.value:
        if len(name) > MAX_NOTE_NAME or len(notes.text(name)) > MAX_NOTE:
            raise wrong("metadata", f"A name has at most {MAX_NOTE_NAME} characters, its text {MAX_NOTE}.")
    return {name: notes.text(name) for name in notes.value}


def turn(body: Body, headers: Mapping[str, str], said: Sequence[llm.ChatMessage], parameters: Json) -> TurnInput:
    """Return the turn a body asks for. Raises Invalid when it names neither a model nor a prompt."""
    wanted = named(body)
    if not wanted.model and not wanted.reference:
        raise wrong("model", "Name a model or a prompt.", MISSING)
    notes = metadata(body)
    return TurnInput(
        prompt=wanted.reference,
        variables=wanted.variables,
        unit_id=subject(body, headers),
        model=wanted.model,
        purpose="openai",
        said=said,
        parameters=parameters,
        session=notes.get("session_id") or notes.get("conversation_id") or "",
        metadata=notes,
    )


def text_of(content: Any, param: str) -> str:
    """Return the text of a message: itself, or its text parts line by line. Raises Invalid for images, sound and files."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise wrong(param, "The content is text, or a list of parts.")
    return "\n".join(_part(one, f"{param}.{index}") for index, one in enumerate(content))


def _part(part: Any, param: str) -> str:
    if not isinstance(part, dict):
        raise wrong(param, "A part is an object with a type.")
    kind = part.get("type")
    if kind not in TEXT_PARTS:
        raise unsupported(param, f"Parts of the type {str(kind)[:50]} are not supported; text is.")
    text = part.get("refusal" if kind == "refusal" else "text")
    if not isinstance(text, str):
        raise wrong(param, "The text of a part is text.")
    return text


def refuse(body: Body, names: Sequence[str]) -> None:
    """Raise for what would change the answer and cannot be done. Null, false and empty ask for nothing."""
    for name in names:
        if body.get(name):
            raise unsupported(body.at(name))


def attribution(plan: TurnPlan) -> dict[str, str]:
    """Return the headers that say which answer this is, and what served it."""
    headers = {"X-PromptLab-Inference-Id": str(plan.answer.uid)}
    if plan.version is not None:
        headers["X-PromptLab-Prompt"] = f"{plan.prompt}@{plan.version}"
    if plan.variant is not None:
        headers["X-PromptLab-Variant"] = f"{plan.experiment}/{plan.variant}"
    return headers


def about(plan: TurnPlan) -> Json:
    """Return the object `promptlab` of an answer: its id, which feedback takes, and what served it."""
    prompt = None
    if plan.version is not None:
        labels = [plan.environment] if plan.environment else []
        prompt = {"name": plan.prompt, "version": plan.version, "labels": labels}
    experiment = {"key": plan.experiment, "variant": plan.variant} if plan.variant is not None else None
    return {
        "inference_id": str(plan.answer.uid),
        "prompt": prompt,
        "experiment": experiment,
        "receipt": plan.receipt,
    }


# Errors

NOT_FOUND = frozenset({"prompt_not_found", "not_deployed", "version_not_found", "environment_not_found"})
CODES = {
    "unauthenticated": "invalid_api_key",
    "rate_limited": "rate_limit_exceeded",
    "too_large": "request_too_large",
    "upstream_malformed": "upstream_error",
    "llm_misconfigured": "upstream_unavailable",
    "required": MISSING,
}
KEPT = frozenset({"invalid_json", "missing_variable", "context_length_exceeded", MISSING, UNSUPPORTED, WRONG})
"""Codes of a 400 that are told as they are; all others are `invalid_value`."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as this face tells it."""

    status: int
    body: Json
    headers: Mapping[str, str]


def failure(error: DomainError) -> Failure:
    """Return the envelope, its status, and the headers that tell clients whether and when to try again."""
    status = _status(error)
    return Failure(status, {"error": told(error, status)}, _headers(error, status))


def told(error: DomainError, status: int | None = None) -> Json:
    """Return what stands under `error`."""
    status = status or _status(error)
    return {"message": error.detail, "type": _type(error, status), "param": _param(error), "code": _code(error, status)}


def _status(error: DomainError) -> int:
    """Return the status: clients repeat a 409 by themselves, and know 422 for something else, so neither is sent."""
    if isinstance(error, llm.UnknownModel):
        return 404
    if error.status == 409:
        return 503
    return 400 if error.status == 422 else error.status


def _type(error: DomainError, status: int) -> str:
    if error.code == "insufficient_quota":
        return "insufficient_quota"
    if status == 429:
        return "tokens" if error.data.get("of") == "tokens" else "requests"
    return "server_error" if status >= 500 else "invalid_request_error"


def _code(error: DomainError, status: int) -> str:
    code = CODES.get(error.code, error.code)
    if isinstance(error, NotFound):
        return "prompt_not_found" if code in NOT_FOUND else code
    if status == 403:
        return code if code == "model_not_allowed" else "insufficient_permissions"
    if status == 400 and not isinstance(error, llm.LLMError):
        return code if code in KEPT else WRONG
    return code


def _param(error: DomainError) -> str | None:
    if isinstance(error, llm.UnknownModel):
        return "model"
    if isinstance(error, llm.ContextTooLong):
        return "messages"
    if isinstance(error, NotFound) and error.code in NOT_FOUND:
        return "prompt"
    if not error.problems:
        return None
    name = error.problems[0].field
    return f"prompt.{name}" if name.startswith("variables.") else name or None


def _headers(error: DomainError, status: int) -> dict[str, str]:
    found = {}
    if status == 401:
        found["WWW-Authenticate"] = "Bearer"
    if error.retry_after_s is not None or status == 429:
        found["Retry-After"] = str(max(1, error.retry_after_s or 1))
    if _is_final(error, status):
        found["x-should-retry"] = "false"
    return found


def _is_final(error: DomainError, status: int) -> bool:
    """Tell whether a client's own repetition would only multiply ours, or wait for what does not come."""
    if error.code == "insufficient_quota":
        return True
    if not isinstance(error, llm.LLMError):
        return False
    return status >= 500 or not error.is_retryable
