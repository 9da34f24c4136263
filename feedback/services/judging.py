"""Judges: a share of a prompt's answers, scored by a model through another prompt, for so much money a day."""

from __future__ import annotations

import json
import math
import time
import zlib
from dataclasses import dataclass, replace
from decimal import Decimal

from django.db import transaction
from django.db.models import F, Max
from django.utils import timezone

from feedback.models import Feedback, Judge
from feedback.services.ingest import MAX_COMMENT, NewRating, accept
from promptlab import llm
from promptlab.accounts.access import SYSTEM, Principal, require
from promptlab.audit.recorder import record
from promptlab.chat.models import Message
from promptlab.lib.errors import DomainError, Invalid
from promptlab.lib.logs import get_logger
from promptlab.lib.queue import enqueue_on_commit
from promptlab.llm.ceiling import worst_case
from prompts import rendering, resolve
from prompts.checks.judging import BLANKS, read_verdict
from prompts.models import Prompt
from prompts.services.suite_calls import verdict_request

log = get_logger(__name__)
JUDGE_TASK = "feedback.judge_answers"
WRITE = "prompt.write"
NANO = 10**9
WHERE = "production"
"""Where the prompt that judges is live."""
LOOKED_AT = 500
PATIENCE_S = 30.0
"""How long one task begins calls: it is ended after 55 s."""
MOST_USD = Decimal(10_000)


@dataclass(frozen=True, slots=True)
class JudgePlan:
    """What a judge does. `share` of answers from 0 to 1; an answer is good from the score `least` on."""

    by: Prompt
    share: float
    day_usd: Decimal
    rubric: str = ""
    least: float = 0.5
    is_on: bool = True


def set_judge(actor: Principal, prompt: Prompt, plan: JudgePlan) -> Judge:
    """Have a prompt's answers judged from now on, in place of what was said before. The same again changes nothing.

    Raises Invalid naming the field.
    """
    require(actor, WRITE, prompt.team_id)
    _check(prompt, plan)
    with transaction.atomic():
        Prompt.objects.select_for_update(no_key=True, of=("self",)).get(pk=prompt.pk)
        row = Judge.objects.filter(prompt=prompt).first()
        if row is None:
            newest = Message.objects.aggregate(newest=Max("pk"))["newest"]
            row = Judge(team_id=prompt.team_id, prompt=prompt, done_to=newest or 0)
        before = _told(row) if row.pk else {}
        row.by, row.rubric, row.least, row.is_on = plan.by, plan.rubric, plan.least, plan.is_on
        row.share_bp, row.day_nanousd, row.note = round(plan.share * 10_000), int(plan.day_usd * NANO), ""
        after = _told(row)
        if before != after:
            row.save()
            record(actor, "judge.set", row, team_id=row.team_id, before=before, after=after)
    return row


def ask_to_judge(actor: Principal, judge: Judge) -> None:
    """Have a worker look at once for answers to judge: what may be judged, and for what money, stays as it was said."""
    require(actor, WRITE, judge.team_id)
    with transaction.atomic():
        record(actor, "judge.asked", judge, team_id=judge.team_id)
        enqueue_on_commit(JUDGE_TASK)


def judge_answers() -> int:
    """Have answers judged that came since the last time, as far as each judge's money goes; return how many were.

    An answer is passed by before its judge is asked: whatever breaks, none is paid for twice.
    """
    until, judged = time.monotonic() + PATIENCE_S, 0
    for pk in list(Judge.objects.filter(is_on=True).values_list("pk", flat=True)):
        while time.monotonic() < until and (claimed := _claim(pk)) is not None:
            judged += _judge(*claimed)
    if judged:
        log.info("answers_judged", answers=judged)
    return judged


def name_of(judge: Judge) -> str:
    """Return what a judge is called as a rater."""
    return f"judge:{judge.pk}"


Claim = tuple[Judge, Message, llm.CompletionRequest, int]
"""Who judges, what, how it is asked, and what was set aside for that, in billionths of a dollar."""


@transaction.atomic
def _claim(pk: int) -> Claim | None:
    """Take the next answer to judge and set its money aside; None when there is none, or no money for it."""
    judge = Judge.objects.select_for_update(of=("self",), skip_locked=True).filter(pk=pk, is_on=True).first()
    if judge is None:
        return None
    answer = _next(judge)
    if answer is None:
        judge.save(update_fields=["done_to"])
        return None
    try:
        live = resolve.live_version(judge.team_id, judge.by.name, WHERE).version
        assert live is not None
        request = verdict_request(judge.team_id, live.content, _said(judge, answer))
    except (DomainError, llm.LLMError) as error:
        _rest(judge, str(getattr(error, "detail", error)))
        return None
    most = worst_case(request, judge.team_id)
    if most is None:
        _rest(judge, "Nobody knows what the model costs that judges.")
        return None
    today = timezone.now().date()
    if judge.day != today:
        judge.day, judge.spent_nanousd = today, 0
    if judge.spent_nanousd + most > judge.day_nanousd:
        _rest(judge, "The money of this day is spent.")
        return None
    judge.spent_nanousd += most
    judge.done_to, judge.note = answer.pk, ""
    judge.save(update_fields=["done_to", "day", "spent_nanousd", "note"])
    return judge, answer, request, most


def _next(judge: Judge) -> Message | None:
    """Return the next answer in the judge's share, and remember the ones before it as looked at."""
    rows = Message.objects.answers().filter(version__prompt=judge.prompt_id, pk__gt=judge.done_to)
    for answer in rows.select_related("version__prompt").order_by("pk")[:LOOKED_AT]:
        if answer.state == Message.State.STREAMING:
            return None
        is_told = answer.state == Message.State.COMPLETED and answer.content and answer.purged_at is None
        if is_told and zlib.crc32(answer.uid.bytes) % 10_000 < judge.share_bp:
            return answer
        judge.done_to = answer.pk
    return None


def _rest(judge: Judge, why: str) -> None:
    judge.note = why[:200]
    judge.save(update_fields=["note", "done_to"])


def _said(judge: Judge, answer: Message) -> dict[str, str]:
    asked = Message.objects.filter(conversation=answer.conversation_id, role="user", pk__lt=answer.pk).order_by("-pk")
    question = asked.values_list("content", flat=True).first() or ""
    told = json.dumps([answer.variables, question], ensure_ascii=False)
    return {"answer": answer.content, "rubric": judge.rubric, "expected": "", "input": told}


def _judge(judge: Judge, answer: Message, request: llm.CompletionRequest, most: int) -> int:
    """Ask, settle what it cost, and keep the verdict; return 1 if there is one. What was lost cost the most it could."""
    try:
        found = llm.complete(request)
    except llm.LLMError as error:
        Judge.objects.filter(pk=judge.pk).update(note=f"The model did not answer: {type(error).__name__}.")
        return 0
    if found.cost_usd is not None:
        cost = math.ceil(found.cost_usd * NANO)
        Judge.objects.filter(pk=judge.pk).update(spent_nanousd=F("spent_nanousd") - most + cost)
    verdict = read_verdict(found.text, judge.least)
    if verdict.passed is None:
        Judge.objects.filter(pk=judge.pk).update(note=verdict.detail[:200])
        return 0
    said = NewRating(str(answer.uid), 1 if verdict.passed else -1, comment=verdict.detail[:MAX_COMMENT])
    accept(SYSTEM, replace(said, user=name_of(judge), source=Feedback.Source.JUDGE))
    return 1


def _check(prompt: Prompt, plan: JudgePlan) -> None:
    if plan.by.team_id != prompt.team_id or plan.by.pk == prompt.pk:
        raise Invalid.field("by", "Choose another prompt of the team.")
    content = plan.by.newest.content if plan.by.newest else None
    blanks = rendering.blanks_of(content) if content else {}
    if "answer" not in blanks or set(blanks) - set(BLANKS):
        raise Invalid.field("by", f"A prompt that judges asks for answer, and for no other than {', '.join(BLANKS)}.")
    if not 0.0001 <= plan.share <= 1:
        raise Invalid.field("share", "From 0.0001 to 1.", code="out_of_range")
    if not 0 < plan.least <= 1:
        raise Invalid.field("least", "Above 0, to 1.", code="out_of_range")
    if not 0 < plan.day_usd <= MOST_USD:
        raise Invalid.field("day_usd", f"Above 0, to {MOST_USD}.", code="out_of_range")


def _told(row: Judge) -> dict[str, object]:
    names = ("share_bp", "day_nanousd", "least", "is_on", "rubric")
    return {"by": row.by.name, **{name: getattr(row, name) for name in names}}
