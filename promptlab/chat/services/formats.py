"""Does an answer keep the format that its version declares? Looked at by the workers that count it, within limits of time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from promptlab.chat.models import Message
from promptlab.lib.logs import get_logger
from prompts import checks
from prompts.models import Version

log = get_logger(__name__)
LIMIT_S = 0.25
BATCH_LIMIT_S = 5.0
"""So long may one answer take, and all of a batch. What is left then is not counted."""
Check = tuple[str, dict[str, Any]]
"""(kind of check, its options)"""


def kept(answers: Sequence[Message]) -> dict[int, bool]:
    """Return by id whether answers keep their format; those without one, and those nobody can judge, are left out.

    Complete answers to users, whose text we have: not those given elsewhere, trials, nor calls of tools. One query,
    one more where a version declares a format: a JSON schema of the answer, or `response_format` json_object among its
    settings.
    """
    found = [one for one in answers if one.version_id and one.state == Message.State.COMPLETED and _is_ours(one)]
    declared = _declared({one.version_id for one in found if one.version_id is not None})
    version_of = {one.pk: one.version_id for one in found if one.version_id in declared}
    if not version_of:
        return {}
    texts = Message.objects.filter(pk__in=version_of, tool_calls=[], purged_at=None).exclude(content="")
    said: dict[int, bool] = {}
    until = time.monotonic() + BATCH_LIMIT_S
    for pk, text in texts.values_list("pk", "content"):
        if time.monotonic() > until:
            log.warning("formats_not_checked", answers=len(version_of) - len(said))
            break
        kind, options = declared[version_of[pk] or 0]
        passed = checks.decide(kind, options, checks.Answer(text), limit_s=LIMIT_S).passed
        if passed is not None:
            said[pk] = passed
    return said


def _is_ours(answer: Message) -> bool:
    """Whether a user of ours got it from us."""
    return not answer.is_external and answer.purpose != Message.Purpose.TRY


def _declared(version_ids: set[int]) -> Mapping[int, Check]:
    """Return how answers of those versions are checked that declare a format."""
    found: dict[int, Check] = {}
    for pk, schema, parameters in Version.objects.filter(pk__in=version_ids).values_list(
        "pk", "output_schema", "parameters"
    ):
        if schema:
            found[pk] = ("json_schema", {"schema": schema})
        elif _is_json(parameters.get("response_format")):
            found[pk] = ("is_json", {})
    return found


def _is_json(response_format: object) -> bool:
    return isinstance(response_format, Mapping) and response_format.get("type") in ("json_object", "json_schema")
