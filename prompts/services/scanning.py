"""Keys and passwords that stand in a prompt by mistake. What is found is named by kind and line, and never repeated."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from promptlab_sdk.kernel.spec import Content

from promptlab.accounts.access import Principal, require
from promptlab.audit.recorder import record
from promptlab.lib.errors import FieldProblem
from prompts.errors import SecretInText
from prompts.models import Prompt

LEAST_BITS = 3.5
"""Entropy of one character from which on what is assigned to a name such as `api_key` is taken for a key."""
FEWEST_SIGNS = 10
"""A key has as many different characters; `sk-xxxxxxxx` in an example has not."""
CAPABILITY = "prompt.break_glass"
"""Whoever has it may let a key through."""
CODE = SecretInText.code

_START = r"(?<![A-Za-z0-9])"
KINDS: Mapping[str, re.Pattern[str]] = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"),
    "a key of PromptLab": re.compile(_START + r"pl_[A-Za-z0-9]{4,32}_[A-Za-z0-9_-]{30,}"),
    "a key of a model provider": re.compile(_START + r"sk-[A-Za-z0-9_-]{20,}"),
    "a key of AWS": re.compile(_START + r"(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    "a key of GitHub": re.compile(_START + r"(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})"),
    "a key of GitLab": re.compile(_START + r"glpat-[A-Za-z0-9_-]{20,}"),
    "a key of Slack": re.compile(_START + r"xox[abeprs]-[A-Za-z0-9-]{10,}"),
    "a key of Google": re.compile(_START + r"AIza[A-Za-z0-9_-]{35}"),
    "a key of Stripe": re.compile(_START + r"[rs]k_live_[A-Za-z0-9]{16,}"),
    "a signed token (JWT)": re.compile(
        r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{10,}"
    ),
}
_ASSIGNED = re.compile(
    r"(?i)(?:api[_-]?key|access[_-]?key|secret|token|passw(?:or)?d|credential)s?[\"']?\s{0,4}[:=]\s{0,4}[\"']?"
    r"(?P<value>[A-Za-z0-9+/_=.~-]{16,})"
)
ASSIGNED = "an assigned secret"
LOOKED_AT = ("content", "messages", "parameters", "variables", "output_schema", "stop", "tools", "model_texts")


@dataclass(frozen=True, slots=True)
class Secret:
    """A key that was found: in which field, of what kind, in which line of it. `value` leaves this module never."""

    field: str
    kind: str
    line: int
    value: str

    def problem(self) -> FieldProblem:
        return FieldProblem(self.field, f"Line {self.line} has {self.kind}.", CODE)


def check(actor: Principal, prompt: Prompt, content: Content, *, allow: str = "") -> None:
    """Refuse content with a key that the prompt does not have already. `allow` is why an administrator lets it through.

    Raises SecretInText naming field, kind and line; Forbidden for `allow` of somebody else.
    """
    found = new_secrets(prompt, said(content))
    if not found:
        return
    if not allow:
        raise refusal(found)
    require(actor, CAPABILITY, prompt.team_id)
    after = {"found": [f"{one.field}, line {one.line}: {one.kind}" for one in found]}
    record(actor, "secret.allowed", prompt, team_id=prompt.team_id, after=after, note=allow)


def new_secrets(prompt: Prompt, body: Mapping[str, Any]) -> list[Secret]:
    """Return the keys in what was typed, but for those of the newest version, or of the one it was copied from.

    What was let through once is not asked about again with every version that follows.
    """
    found = list(secrets_in(body))
    before = (prompt.newest or prompt.forked_from) if found else None
    known = {one.value for one in secrets_in(said(before.content))} if before is not None else set()
    return [one for one in found if one.value not in known]


def refusal(found: list[Secret]) -> SecretInText:
    """Return the refusal of texts with these keys."""
    first = found[0]
    problems = [one.problem() for one in found]
    return SecretInText(field=first.field, kind=first.kind, line=first.line, problems=problems)


def secrets_in(body: Mapping[str, Any]) -> Iterator[Secret]:
    """Yield the keys in the fields of a body, as REST names them."""
    for name in LOOKED_AT:
        for field, text in _texts(name, body.get(name)):
            yield from _in_text(field, text)


def said(content: Content) -> Mapping[str, Any]:
    """Return a content under the names that REST has for its fields."""
    return {**content.to_dict(), "content": content.text}


def _texts(field: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield every text in a value, with its path."""
    if isinstance(value, str):
        yield field, value
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield from _texts(f"{field}.{name}", one)
    elif isinstance(value, list | tuple):
        for index, one in enumerate(value):
            yield from _texts(f"{field}.{index}", one)


def _in_text(field: str, text: str) -> Iterator[Secret]:
    places = set()
    for kind, pattern in KINDS.items():
        for one in pattern.finditer(text):
            if not _is_example(one[0]):
                places.add(one.start())
                yield Secret(field, kind, _line(text, one.start()), one[0])
    for one in _ASSIGNED.finditer(text):
        value = one["value"]
        if one.start("value") not in places and not _is_example(value) and _looks_random(value):
            yield Secret(field, ASSIGNED, _line(text, one.start("value")), value)


def _line(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1


def _is_example(value: str) -> bool:
    """Tell whether it is what documentation writes in place of a key."""
    return len(set(value)) < FEWEST_SIGNS or value.endswith("EXAMPLE") or "-your-" in value.lower()


def _looks_random(value: str) -> bool:
    """Tell whether letters and digits are mixed as chance does it: Shannon's entropy of its characters, in bits."""
    shares = [count / len(value) for count in Counter(value).values()]
    is_mixed = any(sign.isdigit() for sign in value) and any(sign.isalpha() for sign in value)
    return is_mixed and -sum(share * math.log2(share) for share in shares) >= LEAST_BITS
