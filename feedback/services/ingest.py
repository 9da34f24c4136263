"""Taking ratings in. Acknowledged means committed, and unique by (team, idempotency key)."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass

from django.db import IntegrityError, transaction

from experiments import receipts
from feedback.errors import KeyReused, SubjectNotFound
from feedback.models import Feedback, FeedbackReceipt
from promptlab.accounts.access import Principal, require, require_environment
from promptlab.chat.models import Message
from promptlab.chat.services.external import ExternalAnswer, record_external, uid_of
from promptlab.lib.errors import Invalid, Unauthenticated
from promptlab.lib.queue import enqueue_on_commit

ROLL_UP_TASK = "feedback.roll_up_feedback"
METRICS = ("rating",)
MAX_COMMENT = 5_000
MAX_KEY = 255
MAX_RATER = 200


@dataclass(frozen=True, slots=True)
class NewRating:
    """What somebody thinks of an answer, named by its id or by a receipt. `value` is 1 or -1.

    `user` says who; empty: whom the answer was for. A receipt that many share needs it, or `answer_id`: the caller's own
    name for the answer that was given with the text.

    The same `key` with the same rest is the same rating, for ever.
    """

    message_id: str
    value: int
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
    value: int
    is_replay: bool = False


def accept(actor: Principal, rating: NewRating) -> Accepted:
    """Keep a rating and return its receipt. Who rates an answer again changes their rating; the last write wins.

    Raises Forbidden, SubjectNotFound, Invalid naming the field, KeyReused when the key stood for another rating.
    """
    _may_rate(actor)
    _check(rating)
    message = _answer(actor, rating.message_id or _message_of_receipt(actor, rating))
    try:
        with transaction.atomic():
            return _replayed(message, rating) or _kept(message, rating)
    except IntegrityError:
        # The same key twice at once: the other one has committed, or this would not have failed.
        replay = _replayed(message, rating)
        if replay is None:
            raise
        return replay


def _may_rate(actor: Principal) -> None:
    """Raise Forbidden, saying what is missing, for somebody who may rate nowhere."""
    if not actor.may_anywhere("feedback.write"):
        actor.team_for("feedback.write")


def _check(rating: NewRating) -> None:
    """Raise Invalid for a value, text or key that cannot be kept."""
    if rating.metric not in METRICS:
        raise Invalid.field("metric", f"There is no metric {rating.metric[:50]}. Known: {', '.join(METRICS)}.")
    if rating.value not in (1, -1):
        raise Invalid.field("rating", "A rating is 1 (thumbs-up) or -1 (thumbs-down).")
    for field, text, longest in (
        ("comment", rating.comment, MAX_COMMENT),
        ("user", rating.user, MAX_RATER),
        ("id", rating.key, MAX_KEY),
    ):
        if len(text) > longest:
            raise Invalid.field(field, f"At most {longest} characters; this has {len(text)}.", code="max_length")


def _answer(actor: Principal, message_id: str) -> Message:
    """Return an answer that the actor may rate. Raises SubjectNotFound; Forbidden outside a key's environments."""
    try:
        uid = uuid.UUID(message_id)
    except ValueError as error:
        raise SubjectNotFound(message=message_id[:100]) from error
    answers = Message.objects.visible_to(actor, "feedback.write").answers().filter(uid=uid)
    columns = ("uid", "unit_id", "conversation__team_id", "environment__name")
    found: Message | None = answers.select_related("conversation", "environment").only(*columns).first()
    if found is None:
        raise SubjectNotFound(message=message_id[:100])
    if found.environment is not None:
        require_environment(actor, found.environment.name)
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


def _replayed(message: Message, rating: NewRating) -> Accepted | None:
    """Return what was answered to this key before, None when it is new. Raises KeyReused."""
    if not rating.key:
        return None
    receipts = FeedbackReceipt.objects.filter(team_id=message.conversation.team_id, key=rating.key)
    receipt = receipts.select_related("feedback").only("body_sha256", "feedback__uid").first()
    if receipt is None:
        return None
    if receipt.body_sha256 != _digest(message, rating):
        raise KeyReused
    return Accepted(str(receipt.feedback.uid), str(message.uid), rating.metric, rating.value, is_replay=True)


def _kept(message: Message, rating: NewRating) -> Accepted:
    """Write the rating, or change the one this rater gave before, in one statement, so that two at once cannot fail.

    `rolled_up_at` None has the difference to `counted_value` counted.
    """
    team_id = message.conversation.team_id
    row = Feedback(
        team_id=team_id,
        message=message,
        rater=rating.user or message.unit_id,
        metric=rating.metric,
        value=rating.value,
        comment=rating.comment,
    )
    changed = ["value", "comment", "rolled_up_at", "updated_at"]
    once = ["message", "rater", "metric"]
    Feedback.objects.bulk_create([row], update_conflicts=True, unique_fields=once, update_fields=changed)
    uid = Feedback.objects.values_list("uid", flat=True).get(pk=row.pk)
    if rating.key:
        said = _digest(message, rating)
        FeedbackReceipt.objects.create(team_id=team_id, key=rating.key, body_sha256=said, feedback=row)
    enqueue_on_commit(ROLL_UP_TASK)
    return Accepted(str(uid), str(message.uid), rating.metric, rating.value)


def _digest(message: Message, rating: NewRating) -> str:
    """Return the digest of everything that was said but the key, in hex."""
    said = [str(message.uid), rating.metric, rating.value, rating.comment, rating.user]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
