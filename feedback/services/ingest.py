"""Taking ratings in. Acknowledged means committed, and unique by (team, idempotency key)."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from django.db import IntegrityError, transaction

from experiments import receipts
from feedback.errors import FeedbackNotFound, KeyReused, SubjectNotFound
from feedback.models import Feedback, FeedbackReceipt
from feedback.services import writing
from promptlab.accounts.access import Principal, require, require_environment
from promptlab.chat.models import Message
from promptlab.chat.services.external import ExternalAnswer, record_external, uid_of
from promptlab.lib.errors import DomainError, Invalid, Unauthenticated
from promptlab.lib.queue import enqueue_on_commit

ROLL_UP_TASK = "feedback.roll_up_feedback"
METRICS = ("rating",)
MAX_COMMENT = 5_000
MAX_KEY = 255
MAX_RATER = 200


@dataclass(frozen=True, slots=True)
class NewRating:
    """What somebody thinks of an answer, named by its id or by a receipt. `value` is 1 or -1; None takes it back.

    `user` says who; empty: whom the answer was for. A receipt that many share needs it, or `answer_id`: the caller's own
    name for the answer that was given with the text.

    The same `key` with the same rest is the same rating, for ever.
    """

    message_id: str
    value: int | None
    receipt: str = ""
    metric: str = "rating"
    comment: str = ""
    user: str = ""
    key: str = ""
    answer_id: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A rating that is in the database. `is_replay`: it was before, under the same key."""

    feedback_id: str
    message_id: str
    metric: str
    value: int | None
    is_replay: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What has to be known of an answer to rate it."""

    pk: int
    uid: uuid.UUID
    unit_id: str
    team_id: int
    environment: str | None


Said = tuple[Principal, NewRating]
Known = tuple[Answer, NewRating]
Outcome = Accepted | DomainError
Key = tuple[int, str]
"""(team id, idempotency key); the key may be empty."""


class _KeyTaken(Exception):
    """Another process kept a key of ours since we looked."""


def accept(actor: Principal, rating: NewRating) -> Accepted:
    """Keep a rating and return its receipt. Who rates an answer again changes their rating; the last write wins.

    Raises Forbidden, SubjectNotFound, Invalid naming the field, KeyReused when the key stood for another rating.
    """
    outcome = accept_all([(actor, rating)])[0]
    if isinstance(outcome, DomainError):
        raise outcome
    return outcome


def retract(actor: Principal, feedback_uid: str) -> None:
    """Take a rating back, by its own id. Again changes nothing. Raises FeedbackNotFound, Forbidden."""
    _may_rate(actor)
    uid = _uid(feedback_uid)
    rows = Feedback.objects.visible_to(actor, "feedback.write").select_related("message")
    row = rows.filter(uid=uid).first() if uid is not None else None
    if row is None:
        raise FeedbackNotFound(feedback=feedback_uid[:100])
    if row.value is not None:
        accept(actor, NewRating(str(row.message.uid), None, metric=row.metric, user=row.rater))


def accept_all(said: Sequence[Said]) -> list[Outcome]:
    """Keep ratings, whoever they come from, in one transaction; return for each what `accept` returns or raises.

    Three queries however many there are, five where some come with idempotency keys; each receipt that many share costs
    its own.
    """
    outcomes: list[Outcome | None] = [None] * len(said)
    named: dict[int, Said] = {}
    for place, (actor, rating) in enumerate(said):
        try:
            named[place] = actor, _named(actor, rating)
        except DomainError as error:
            outcomes[place] = error
    answers = _answers([rating.message_id for _, rating in named.values()])
    known: dict[int, Known] = {}
    for place, (actor, rating) in named.items():
        try:
            known[place] = _rateable(actor, rating.message_id, answers), rating
        except DomainError as error:
            outcomes[place] = error
    for place, outcome in _kept(known).items():
        outcomes[place] = outcome
    return [outcome for outcome in outcomes if outcome is not None]


def _named(actor: Principal, rating: NewRating) -> NewRating:
    """Return the rating with the id of its answer, once all is right that can be told without looking."""
    _may_rate(actor)
    _check(rating)
    return rating if rating.message_id else replace(rating, message_id=_message_of_receipt(actor, rating))


def _may_rate(actor: Principal) -> None:
    """Raise Forbidden, saying what is missing, for somebody who may rate nowhere."""
    if not actor.may_anywhere("feedback.write"):
        actor.team_for("feedback.write")


def _check(rating: NewRating) -> None:
    """Raise Invalid for a value, text or key that cannot be kept."""
    if rating.metric not in METRICS:
        raise Invalid.field("metric", f"There is no metric {rating.metric[:50]}. Known: {', '.join(METRICS)}.")
    if rating.value not in (1, -1, None):
        raise Invalid.field("rating", "A rating is 1 (thumbs-up) or -1 (thumbs-down).")
    if rating.value is None and rating.comment:
        raise Invalid.field("comment", "What is taken back has no comment.")
    for field, text, longest in (
        ("comment", rating.comment, MAX_COMMENT),
        ("user", rating.user, MAX_RATER),
        ("id", rating.key, MAX_KEY),
    ):
        if len(text) > longest:
            raise Invalid.field(field, f"At most {longest} characters; this has {len(text)}.", code="max_length")


def _answers(message_ids: Sequence[str]) -> dict[uuid.UUID, Answer]:
    """Return the answers that there are, by uid: one query."""
    uids = {uid for uid in map(_uid, message_ids) if uid is not None}
    if not uids:
        return {}
    names = ("pk", "uid", "unit_id", "conversation__team_id", "environment__name")
    found = Message.objects.answers().filter(uid__in=uids).values_list(*names)
    return {row[1]: Answer(*row) for row in found}


def _uid(message_id: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(message_id)
    except ValueError:
        return None


def _rateable(actor: Principal, message_id: str, answers: Mapping[uuid.UUID, Answer]) -> Answer:
    """Return the answer if the actor may rate it. Raises SubjectNotFound; Forbidden outside a key's environments."""
    uid = _uid(message_id)
    found = answers.get(uid) if uid is not None else None
    if found is None or not actor.may("feedback.write", found.team_id):
        raise SubjectNotFound(message=message_id[:100])
    if found.environment is not None:
        require_environment(actor, found.environment)
    return found


def holder_of(token: str) -> Principal:
    """Return who somebody is that has nothing but the receipt of one answer: they may rate that answer.

    Raises ReceiptInvalid, ReceiptExpired, and Unauthenticated for a receipt that many share.
    """
    receipt = receipts.read(token)
    if receipt.is_shared:
        raise Unauthenticated("This receipt stands for a text, not for one answer: send an API key with it.")
    return Principal(kind="receipt", id=None, label="receipt", grants={receipt.team_id: frozenset({"feedback.write"})})


def _message_of_receipt(actor: Principal, rating: NewRating) -> str:
    """Return the id of the message a receipt stands for; for a shared one, of the answer given elsewhere, kept now."""
    receipt = receipts.read(rating.receipt)
    require(actor, "feedback.write", receipt.team_id)
    answer = ExternalAnswer(rating.receipt, unit_id=rating.user, id=rating.answer_id)
    if receipt.is_shared:
        return str(record_external(actor, [answer])[0])
    return str(uid_of(receipt, answer))


def _kept(known: Mapping[int, Known]) -> dict[int, Outcome]:
    """Write all of it; where the database refuses the lot, each alone, so that one cannot stop the others."""
    if not known:
        return {}
    for _ in range(3):
        try:
            return _written(known)
        except _KeyTaken:
            continue  # the other one has committed: what it kept is found now
        except IntegrityError:
            break  # an answer was removed since it was found
    if len(known) == 1:
        raise SubjectNotFound(message=str(next(iter(known.values()))[0].uid))
    return {place: _alone(place, one) for place, one in known.items()}


def _alone(place: int, one: Known) -> Outcome:
    try:
        return _kept({place: one})[place]
    except DomainError as error:
        return error


def _written(known: Mapping[int, Known]) -> dict[int, Outcome]:
    """Write what no key says was written before. Raises _KeyTaken when another process was faster with a key."""
    rows: dict[int, writing.Row] = {}
    first: dict[Key, int] = {}
    outcomes: dict[int, Outcome] = {}
    with transaction.atomic():
        before = _kept_keys(known.values())
        for place, one in known.items():
            key = _key(one)
            if key in before:
                outcomes[place] = _replayed(one, *before[key])
            elif not key[1] or first.setdefault(key, place) == place:
                rows[place] = _row(one)
        held = writing.upsert(list(rows.values())) if rows else {}
        kept = [(*key, _digest(known[place]), held[rows[place].once][0]) for key, place in first.items()]
        if kept and writing.remember_keys(kept) < len(kept):
            raise _KeyTaken
        enqueue_on_commit(ROLL_UP_TASK)
    for place, row in rows.items():
        outcomes[place] = _accepted(known[place], held[row.once][1])
    for place in known.keys() - outcomes.keys():
        twin = first[_key(known[place])]
        outcomes[place] = _replayed(known[place], _digest(known[twin]), held[rows[twin].once][1])
    return outcomes


def _kept_keys(known: Iterable[Known]) -> dict[Key, tuple[str, str]]:
    """Return the digest and the rating's uid for every key that came before: one query, none without keys."""
    keys = {_key(one) for one in known if one[1].key}
    if not keys:
        return {}
    found = FeedbackReceipt.objects.filter(team_id__in={team for team, _ in keys}, key__in={key for _, key in keys})
    columns = found.values_list("team_id", "key", "body_sha256", "feedback__uid")
    return {(team_id, key): (digest, str(uid)) for team_id, key, digest, uid in columns if (team_id, key) in keys}


def _replayed(one: Known, digest: str, feedback_uid: str) -> Outcome:
    """Return what was answered to this key before."""
    return _accepted(one, feedback_uid, is_replay=True) if digest == _digest(one) else KeyReused()


def _accepted(one: Known, feedback_uid: str, *, is_replay: bool = False) -> Accepted:
    answer, rating = one
    return Accepted(feedback_uid, str(answer.uid), rating.metric, rating.value, is_replay)


def _key(one: Known) -> Key:
    answer, rating = one
    return answer.team_id, rating.key


def _row(one: Known) -> writing.Row:
    answer, rating = one
    rater = rating.user or answer.unit_id
    return writing.Row(answer.team_id, answer.pk, rater, rating.metric, rating.value, rating.comment)


def _digest(one: Known) -> str:
    """Return the digest of everything that was said but the key, in hex."""
    answer, rating = one
    said = [str(answer.uid), rating.metric, rating.value, rating.comment, rating.user]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
