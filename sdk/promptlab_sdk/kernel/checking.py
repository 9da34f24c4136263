"""How each check of a test suite decides, but the judge, who is a model: plain functions of the answer and the options.

The server's runs and `promptlab_sdk.testing` decide by these, so that they cannot differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Final, Protocol

from promptlab_sdk.kernel.language import language_of

MAX_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said. `cost_usd` is None where nobody knows what it cost."""

    text: str
    expected: str = ""
    latency_ms: int = 0
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check came to. `passed` is None where it could not be decided; `score` is a share where there is one."""

    passed: bool | None
    detail: str = ""
    score: float | None = None


class SchemaError(Protocol):
    """What is wrong with a value, as `jsonschema` says it."""

    @property
    def absolute_path(self) -> Iterable[str | int]: ...

    message: str


class Schema(Protocol):
    """A schema that values are held against: a validator of `jsonschema`."""

    def iter_errors(self, instance: Any) -> Iterable[SchemaError]: ...


def decide(kind: str, options: Mapping[str, Any], answer: Answer) -> Outcome:
    """Return what a check says of an answer, in this process and without a limit of time. Undecided: not one of ours."""
    decider = _DECIDERS.get(kind)
    return decider(options, answer) if decider else Outcome(None, f"The check {kind} is decided by the server.")


def decide_schema(schema: Schema, answer: Answer) -> Outcome:
    """Return whether an answer is JSON of a schema. Loading a library for that is left to the caller."""
    value, problem = _parsed(answer.text)
    if problem:
        return Outcome(False, problem)
    wrong = next(iter(schema.iter_errors(value)), None)
    if wrong is None:
        return Outcome(True)
    place = ".".join(map(str, wrong.absolute_path)) or "the answer"
    return Outcome(False, _short(f"{place}: {wrong.message}"))


def _equals(options: Mapping[str, Any], answer: Answer) -> Outcome:
    said, wanted = answer.text.strip(), _wanted(options, answer).strip()
    if options["ignore_case"]:
        said, wanted = said.casefold(), wanted.casefold()
    return Outcome(said == wanted, "" if said == wanted else f"Not the same as {_short(wanted)}.")


def _contains(options: Mapping[str, Any], answer: Answer) -> Outcome:
    missing = [one for one in options["values"] if not _has(answer.text, one, options["ignore_case"])]
    passed = len(missing) < len(options["values"]) if options["any"] else not missing
    return Outcome(passed, "" if passed else f"Missing: {_short(', '.join(missing))}.")


def _not_contains(options: Mapping[str, Any], answer: Answer) -> Outcome:
    def stands(word: str) -> bool:
        if not options["whole_words"]:
            return _has(answer.text, word, options["ignore_case"])
        flags = re.IGNORECASE if options["ignore_case"] else 0
        return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", answer.text, flags) is not None

    there = [word for word in options["values"] if stands(word)]
    return Outcome(not there, f"Stands there: {_short(', '.join(there))}." if there else "")


def _regex(options: Mapping[str, Any], answer: Answer) -> Outcome:
    passed = re.search(options["pattern"], answer.text) is not None
    return Outcome(passed, "" if passed else f"Nothing fits {_short(options['pattern'])}.")


def _is_json(options: Mapping[str, Any], answer: Answer) -> Outcome:
    _, problem = _parsed(answer.text)
    return Outcome(not problem, problem)


def _structure(options: Mapping[str, Any], answer: Answer) -> Outcome:
    value, problem = _parsed(answer.text)
    problem = problem or _misfit(options["shape"], value, "")
    return Outcome(not problem, problem)


def _length(options: Mapping[str, Any], answer: Answer) -> Outcome:
    unit = options["unit"]
    size = len(answer.text.split()) if unit == "words" else len(answer.text)
    if options["least"] is not None and size < options["least"]:
        return Outcome(False, f"{size} {unit}, at least {options['least']} are asked for.")
    if options["most"] is not None and size > options["most"]:
        return Outcome(False, f"{size} {unit}, at most {options['most']} are allowed.")
    return Outcome(True)


def _latency(options: Mapping[str, Any], answer: Answer) -> Outcome:
    passed = answer.latency_ms <= options["most_ms"]
    return Outcome(passed, "" if passed else f"It took {answer.latency_ms} ms.")


def _cost(options: Mapping[str, Any], answer: Answer) -> Outcome:
    if answer.cost_usd is None:
        return Outcome(None, "Nobody knows what this model costs. Give it a price.")
    passed = answer.cost_usd <= options["most_usd"]
    return Outcome(passed, "" if passed else f"It cost {answer.cost_usd:.6f} dollars.")


def _similarity(options: Mapping[str, Any], answer: Answer) -> Outcome:
    """Compare letters, not meaning: the ratio of difflib's longest common runs to both lengths."""
    ratio = SequenceMatcher(None, _wanted(options, answer), answer.text, autojunk=False).ratio()
    passed = ratio >= options["least"]
    return Outcome(passed, "" if passed else f"Alike to {ratio:.2f}, at least {options['least']} is asked for.", ratio)


def _language(options: Mapping[str, Any], answer: Answer) -> Outcome:
    found = language_of(answer.text)
    if found is None:
        return Outcome(None, "Nobody can tell for sure which language the answer is in.")
    return Outcome(found == options["language"], "" if found == options["language"] else f"The answer is in {found}.")


def _wanted(options: Mapping[str, Any], answer: Answer) -> str:
    value = options["value"]
    return answer.expected if value is None else str(value)


def _has(text: str, word: str, ignore_case: bool) -> bool:
    return word.casefold() in text.casefold() if ignore_case else word in text


def _parsed(text: str) -> tuple[Any, str]:
    """Return the value that a text of JSON says, or what is wrong with it."""
    try:
        return json.loads(text), ""
    except (ValueError, RecursionError) as error:
        return None, _short(f"The answer is no JSON: {error}.")


_IS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "list": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
    "any": lambda value: True,
}


def _misfit(shape: Mapping[str, Any], value: Any, place: str) -> str:
    """Return the first place where a value is not of a structure; keys that nobody asked for are fine."""
    if not isinstance(value, dict):
        return f"{place or 'The answer'} is no object."
    for name, type_ in shape.items():
        where = f"{place}.{name}" if place else name
        if isinstance(type_, Mapping):
            if problem := _misfit(type_, value.get(name), where):
                return problem
        elif name not in value:
            if not type_.endswith("?"):
                return _short(f"{where} is missing.")
        elif not _IS[type_.removesuffix("?")](value[name]):
            return _short(f"{where} is no {type_.removesuffix('?')}.")
    return ""


def _short(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


_DECIDERS: Final[Mapping[str, Callable[[Mapping[str, Any], Answer], Outcome]]] = {
    "equals": _equals,
    "contains": _contains,
    "not_contains": _not_contains,
    "regex": _regex,
    "is_json": _is_json,
    "structure": _structure,
    "length": _length,
    "language": _language,
    "latency": _latency,
    "cost": _cost,
    "similarity": _similarity,
}
