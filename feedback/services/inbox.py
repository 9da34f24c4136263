"""Looking after comments: who does, what they are about, what is said of them, and cases that are made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from feedback.models import Care, Feedback, Label, Note, SavedCase
from feedback.services.asking import case_of, turns_before
from promptlab.accounts.access import Principal, require
from promptlab.accounts.models import Membership, User
from promptlab.audit.recorder import record
from promptlab.lib.errors import Invalid
from prompts.checks.cases import Case
from prompts.models import Suite, SuiteCase
from prompts.services import suite_runs, suites

CARE = "prompt.comment"
LONGEST_LABEL = 40
MOST_LABELS = 20
LONGEST_NOTE = 10_000


def assign(actor: Principal, rating: Feedback, person: User | None) -> None:
    """Have somebody of the team look after a comment; None: nobody. The same again changes nothing. Raises Invalid."""
    require(actor, CARE, rating.team_id)
    if person is not None and not Membership.objects.filter(team_id=rating.team_id, user=person).exists():
        raise Invalid.field("assignee", gettext_noop("Choose somebody of the team."))
    with transaction.atomic():
        care = _locked(rating)
        if care.assignee_id != (person.pk if person else None):
            before = {"who": str(care.assignee) if care.assignee else None}
            care.assignee = person
            care.save(update_fields=["assignee"])
            _record(actor, "inbox.assigned", care, rating, before=before, after={"who": str(person or "nobody")})


def label(actor: Principal, rating: Feedback, names: Sequence[str]) -> None:
    """Give a comment these labels, in place of those it has. The same again changes nothing. Raises Invalid."""
    require(actor, CARE, rating.team_id)
    wanted = list(dict.fromkeys(name.strip().lower() for name in names if name.strip()))
    if len(wanted) > MOST_LABELS or any(len(name) > LONGEST_LABEL for name in wanted):
        raise Invalid.field("labels", f"At most {MOST_LABELS} labels of at most {LONGEST_LABEL} characters.")
    with transaction.atomic():
        care = _locked(rating)
        before = list(Label.objects.filter(feedback=rating).values_list("name", flat=True))
        if set(before) != set(wanted):
            Label.objects.filter(feedback=rating).exclude(name__in=wanted).delete()
            new = (Label(feedback_id=rating.pk, name=name) for name in wanted if name not in before)
            Label.objects.bulk_create(new)
            # Not the words: the log is never erased.
            _record(actor, "inbox.labelled", care, rating, after={"labels": len(wanted)})


def settle(actor: Principal, rating: Feedback) -> None:
    """Say that a comment needs nobody any more. Again changes nothing."""
    _settle(actor, rating, True)


def reopen(actor: Principal, rating: Feedback) -> None:
    """Say that a comment needs somebody after all. Again changes nothing."""
    _settle(actor, rating, False)


def add_note(actor: Principal, rating: Feedback, text: str) -> Note:
    """Say something to colleagues about a comment; who sent it does not read that. Raises Invalid."""
    require(actor, CARE, rating.team_id)
    said = text.strip()
    if not 0 < len(said) <= LONGEST_NOTE:
        raise Invalid.field("note", f"A note has 1 to {LONGEST_NOTE} characters.", code="required")
    with transaction.atomic():
        care = _locked(rating)
        note = Note.objects.create(
            feedback_id=rating.pk, author_id=actor.user_id, author_label=actor.label[:200], text=said
        )
        _record(actor, "inbox.noted", care, rating)
    return note


def save_as_case(actor: Principal, rating: Feedback, suite: Suite | None = None, *, name: str = "") -> SuiteCase:
    """Make a case of a suite of what was asked; without a suite, of the prompt's own for comments, made if need be.

    What was expected is the ideal answer if one was sent, or the answer if it was liked. Addresses and numbers are
    replaced, and the end user's id. Raises Invalid for an answer without a prompt or text, CaseTaken.
    """
    answer = rating.message
    prompt = answer.version.prompt if answer.version else None
    if prompt is None or answer.purged_at is not None:
        raise Invalid.field("suite", gettext_noop("Nothing is known any more of what was asked."))
    require(actor, "prompt.write", prompt.team_id)
    with transaction.atomic():
        if suite is None:
            known = Suite.objects.active().filter(team_id=prompt.team_id, name=f"{prompt.name[:90]}.comments").first()
            suite = known or suites.create_suite(
                actor, prompt.team_id, name=f"{prompt.name[:90]}.comments", prompt=prompt, description="From comments."
            )
        case = suites.add_case(actor, suite, _case(rating, name))
        SavedCase.objects.create(feedback_id=rating.pk, case=case)
    return case


def forget(ratings: Sequence[int], actor: Principal) -> None:
    """Remove what was written about ratings that are erased, and the cases that were made of them."""
    for saved in SavedCase.objects.filter(feedback__in=ratings).select_related("case__suite"):
        suite_runs.forget_case(saved.case)
        suites.delete_case(actor, saved.case)
    Note.objects.filter(feedback__in=ratings).delete()
    Label.objects.filter(feedback__in=ratings).delete()


def _settle(actor: Principal, rating: Feedback, is_settled: bool) -> None:
    require(actor, CARE, rating.team_id)
    with transaction.atomic():
        care = _locked(rating)
        if (care.settled_at is not None) != is_settled:
            care.settled_at = timezone.now() if is_settled else None
            care.save(update_fields=["settled_at"])
            _record(actor, "inbox.settled" if is_settled else "inbox.reopened", care, rating)


def _case(rating: Feedback, name: str) -> Case:
    answer = rating.message
    return case_of(
        answer,
        turns_before([answer])[answer.pk],
        name=name.strip() or f"Comment {rating.pk}",
        expected=rating.text or (answer.content if rating.value == 1 else ""),
        tags=["comment", "liked" if rating.value == 1 else "disliked"],
    )


def _locked(rating: Feedback) -> Care:
    Care.objects.get_or_create(feedback_id=rating.pk)
    return Care.objects.select_for_update(of=("self",)).select_related("assignee").get(pk=rating.pk)


def _record(actor: Principal, verb: str, care: Care, rating: Feedback, **facts: Any) -> None:
    care.feedback = rating
    record(actor, verb, care, team_id=rating.team_id, **facts)
