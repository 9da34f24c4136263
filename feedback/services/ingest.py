"""Taking ratings in. Acknowledged means committed, and unique by (team, idempotency key)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from django.db import IntegrityError

from experiments import receipts
from feedback.attribution import Answer, answers_of
from feedback.errors import FeedbackNotFound, KeyReused, SubjectNotFound
from feedback.models import Feedback, Metric
from feedback.services import privacy, writing
from feedback.services.fitting import ALIASES, MAX_TEXT, RATING, Fitted, Metrics, Value, declared, fitted
from feedback.services.subjects import newest_answers, uid_in
from promptlab.accounts.access import Principal, require, require_environment
from promptlab.chat.errors import ConversationNotFound
from promptlab.chat.services.external import ExternalAnswer, record_external, uid_of
from promptlab.lib.errors import DomainError, Invalid, Unauthenticated
from promptlab.lib.queue import enqueue_on_commit

ROLL_UP_TASK = "feedback.roll_up_feedback"
WAKE_EVERY_S = 0.2
MAX_COMMENT = 5_000
MAX_KEY = 255
MAX_RATER = 200
SOURCES = tuple(Feedback.Source.values)


@dataclass(frozen=True, slots=True)
class NewRating:
    """What somebody thinks of an answer, named by its id or by a receipt, or of the newest one of a conversation.

    `value` is 1 or -1, or what the metric takes that the team declared; None takes it back. A thumb may come with a
    `correction`, the ideal answer. `source`: one of `Feedback.Source`. `user` says who; empty: whom the answer was for.
    A receipt that many share needs it, or `answer_id`: the caller's own name for the answer that was given with the text.

    The same `key` with the same rest is the same rating, for ever.
    """

    message_id: str
    value: Value | None
    receipt: str = ""
    metric: str = RATING
    comment: str = ""
    user: str = ""
    key: str = ""
    answer_id: str = ""
    source: str = Feedback.Source.END_USER
    correction: str = ""
    conversation_id: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A rating that is in the database. `is_replay`: it was before, under the same key."""

    feedback_id: str
    message_id: str
    metric: str
    value: Value | None
    is_replay: bool = False


Said = tuple[Principal, NewRating]
Known = tuple[Answer, NewRating, Fitted]
Outcome = Accepted | DomainError
Key = tuple[int, str]
"""(team id, idempotency key); the key may be empty."""


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
    uid = uid_in(feedback_uid)
    rows = Feedback.objects.visible_to(actor, "feedback.write").select_related("message")
    row = rows.filter(uid=uid).first() if uid is not None else None
    if row is None:
        raise FeedbackNotFound(feedback=feedback_uid[:100])
    if row.said is not None:
        accept(actor, NewRating(str(row.message.uid), None, metric=row.metric, user=row.rater, source=row.source))


def accept_all(said: Sequence[Said]) -> list[Outcome]:
    """Keep ratings, whoever they come from, by one commit; return for each what `accept` returns or raises.

    Two queries however many there are, one more where some come with idempotency keys (three on SQLite), one more for
    declared metrics, two more for conversations; each receipt that many share costs its own.
    """
    outcomes: list[Outcome | None] = [None] * len(said)
    named: dict[int, Said] = {}
    for place, (actor, rating) in enumerate(said):
        try:
            named[place] = actor, _named(actor, rating)
        except DomainError as error:
            outcomes[place] = error
    named = _of_conversations(named)
    uids = {place: uid_in(rating.message_id) for place, (_, rating) in named.items()}
    answers = answers_of({uid for uid in uids.values() if uid is not None})
    found = {place: answers.get(uid) if uid is not None else None for place, uid in uids.items()}
    metrics = declared(
        (answer.team_id, named[place][1].metric) for place, answer in found.items() if answer is not None
    )
    known: dict[int, Known] = {}
    for place, (actor, rating) in named.items():
        try:
            known[place] = _fitted(_rateable(actor, rating, found[place]), rating, metrics)
        except DomainError as error:
            outcomes[place] = error
    for place, outcome in _kept(known).items():
        outcomes[place] = outcome
    return [outcome for outcome in outcomes if outcome is not None]


def _named(actor: Principal, rating: NewRating) -> NewRating:
    """Return the rating with the id of its answer, once all is right that can be told without looking."""
    _may_rate(actor)
    if rating.metric in ALIASES:
        rating = replace(rating, metric=ALIASES[rating.metric])
    _check(actor, rating)
    if rating.message_id or rating.conversation_id:
        return rating
    return replace(rating, message_id=_message_of_receipt(actor, rating))


def _may_rate(actor: Principal) -> None:
    """Raise Forbidden, saying what is missing, for somebody who may rate nowhere."""
    if not actor.may_anywhere("feedback.write"):
        actor.team_for("feedback.write")


def _check(actor: Principal, rating: NewRating) -> None:
    """Raise Invalid for a text, source or key that cannot be kept."""
    if rating.value is None and (rating.comment or rating.correction):
        raise Invalid.field("comment" if rating.comment else "correction", "What is taken back has no words.")
    if rating.correction and rating.metric != RATING:
        raise Invalid.field("correction", "An ideal answer comes with a thumb, or in a metric of its own.")
    if rating.source not in SOURCES:
        raise Invalid.field("source", f"One of: {', '.join(SOURCES)}.", code="invalid_choice")
    if rating.source != Feedback.Source.END_USER and actor.kind == "receipt":
        raise Invalid.field("source", "Only end users rate without a key.", code="invalid_choice")
    if rating.source in (Feedback.Source.ANNOTATOR, Feedback.Source.JUDGE) and not rating.user:
        raise Invalid.field("user", "Say who: annotators and judges have names.", code="required")
    for field, text, longest in (
        ("comment", rating.comment, MAX_COMMENT),
        ("correction", rating.correction, MAX_TEXT),
        ("user", rating.user, MAX_RATER),
        ("id", rating.key, MAX_KEY),
    ):
        if len(text) > longest:
            raise Invalid.field(field, f"At most {longest} characters; this has {len(text)}.", code="max_length")


def _of_conversations(named: dict[int, Said]) -> dict[int, Said]:
    """Return the ratings; those of a conversation with the id of its newest answer, where it has one."""
    conversations = [rating.conversation_id for _, rating in named.values() if rating.conversation_id]
    if not conversations:
        return named
    newest = newest_answers(conversations)
    found = dict(named)
    for place, (actor, rating) in named.items():
        uid = uid_in(rating.conversation_id) if rating.conversation_id else None
        if uid in newest:
            found[place] = actor, replace(rating, message_id=newest[uid])
    return found


def _fitted(answer: Answer, rating: NewRating, metrics: Metrics) -> Known:
    found = fitted(answer.team_id, rating.metric, rating.value, rating.source, metrics)
    text = found.text or rating.correction
    if not (text or rating.comment):
        return answer, rating, found
    kept = privacy.kept.of(answer.team_id)
    if rating.metric == RATING or metrics[answer.team_id, rating.metric].kind != Metric.Kind.CATEGORY:
        text = kept.stored(text)
    return answer, rating, Fitted(found.value, found.score, text, kept.stored(rating.comment))


def _rateable(actor: Principal, rating: NewRating, found: Answer | None) -> Answer:
    """Return the answer if the actor may rate it. Raises SubjectNotFound; Forbidden outside a key's environments."""
    if found is None or not actor.may("feedback.write", found.team_id):
        if rating.conversation_id:
            raise ConversationNotFound(conversation=rating.conversation_id[:100])
        raise SubjectNotFound(message=rating.message_id[:100])
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
        except writing.KeyTaken:
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
    """Write what no key says was written before. Raises KeyTaken when another process was faster with a key."""
    rows: dict[int, writing.Row] = {}
    first: dict[Key, int] = {}
    outcomes: dict[int, Outcome] = {}
    before = writing.kept({_key(one) for one in known.values() if one[1].key})
    for place, one in known.items():
        key = _key(one)
        if key in before:
            outcomes[place] = _replayed(one, *before[key])
        elif not key[1] or first.setdefault(key, place) == place:
            rows[place] = _row(one)
    if rows:
        keys = [writing.Key(*key, _digest(known[place]), rows[place].once) for key, place in first.items()]
        held = writing.write(list(rows.values()), keys)
        enqueue_on_commit(ROLL_UP_TASK, every_s=WAKE_EVERY_S)
    for place, row in rows.items():
        outcomes[place] = _accepted(known[place], held[row.once][1])
    for place in known.keys() - outcomes.keys():
        twin = first[_key(known[place])]
        outcomes[place] = _replayed(known[place], _digest(known[twin]), held[rows[twin].once][1])
    return outcomes


def _replayed(one: Known, digest: str, feedback_uid: str) -> Outcome:
    """Return what was answered to this key before."""
    return _accepted(one, feedback_uid, is_replay=True) if digest == _digest(one) else KeyReused()


def _accepted(one: Known, feedback_uid: str, *, is_replay: bool = False) -> Accepted:
    answer, rating, _ = one
    return Accepted(feedback_uid, str(answer.uid), rating.metric, rating.value, is_replay)


def _key(one: Known) -> Key:
    answer, rating, _ = one
    return answer.team_id, rating.key


def _row(one: Known) -> writing.Row:
    answer, rating, held = one
    rater = rating.user or answer.unit_id
    words = held.comment, held.score, held.text, rating.source
    return writing.Row(answer.team_id, answer.pk, rater, rating.metric, held.value, *words)


def _digest(one: Known) -> str:
    """Return the digest of everything that was said but the key, in hex."""
    answer, rating, _ = one
    said = [rating.conversation_id or str(answer.uid), rating.metric, rating.value, rating.comment, rating.user]
    more = [rating.correction, rating.source if rating.source != Feedback.Source.END_USER else ""]
    said += more if any(more) else []  # as it was written before there were any
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
