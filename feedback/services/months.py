"""Answers and their ratings by months: parts are made ahead, and what need not be kept goes, on PostgreSQL a month at once.

Retention takes the texts; what is left of an answer are numbers, and the sums hold those. With `MONTHS_KEPT` the rows
go, too, so many months later: only of teams whose texts went, and only what is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from django.conf import settings
from django.db import IntegrityError, OperationalError, connection, models, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from feedback.models import (
    AnnotationItem,
    Care,
    DeadLetter,
    Feedback,
    FeedbackChange,
    FeedbackReceipt,
    Label,
    Note,
    ReplayItem,
    SavedCase,
)
from promptlab.chat.models import Conversation, Message
from promptlab.lib import monthly
from promptlab.lib.batches import in_batches
from promptlab.lib.logs import get_logger
from promptlab.lib.monthly import Monthly, Part

log = get_logger(__name__)
MONTHS_TASK = "feedback.keep_months"
MESSAGES = Monthly(Message._meta.db_table)
RATINGS = Monthly(Feedback._meta.db_table, "message_id", ("id", "uid"), MESSAGES.table)
ABOUT: tuple[type[models.Model], ...] = (
    FeedbackChange,
    FeedbackReceipt,
    DeadLetter,
    Care,
    Label,
    Note,
    SavedCase,
    ReplayItem,
)
"""What hangs on a rating."""
KEYS = "chat_messagekey"
BATCH = 500


def keep_months(now: datetime | None = None) -> int:
    """Make the months to come, begin this one, and remove what is not kept; return how many answers and parts went.

    Safe to repeat and to break off. What somebody holds at this moment is left for the next time.
    """
    moment = now or timezone.now()
    try:
        for one in (MESSAGES, RATINGS):
            if made := monthly.make_ahead(one, moment):
                log.info("months_made", parts=made)
        if monthly.parts(RATINGS):
            monthly.begin(MESSAGES, moment)
    except OperationalError as error:
        log.warning("months_wait", error=type(error).__name__)
    return remove_old(moment) if settings.MONTHS_KEPT else 0


def remove_old(now: datetime) -> int:
    """Remove the rows of months that are over for longer than they are kept; return how many answers and parts went."""
    before = kept_from(now)
    gone = _drop_parts(before) + in_batches(lambda limit: _remove_rows(before, limit), BATCH)
    if gone:
        log.info("old_rows_removed", number=gone)
    return gone


def kept_from(now: datetime) -> datetime:
    """Return the beginning of the oldest month that is kept, where months are removed."""
    year, number = divmod(monthly.month_of(now) - settings.MONTHS_KEPT, 12)
    return datetime(monthly.SINCE + year, number + 1, 1, tzinfo=UTC)


def _staying() -> Q:
    """Return which messages may not go: with texts, or with something that is not in the sums."""
    uncounted = Feedback.objects.filter(message=OuterRef("pk"), rolled_up_at=None)
    asked = AnnotationItem.objects.filter(message=OuterRef("pk"), round__closed_at=None)
    ours = Q(role="assistant", is_sent=False, version__isnull=False, rolled_up_at=None)
    return Q(purged_at=None) | ours | Q(Exists(uncounted)) | Q(Exists(asked))


@transaction.atomic
def _remove_rows(before: datetime, limit: int) -> int:
    """Remove messages with all that hangs on them, and return how many. Who rates one of them at this moment waits."""
    old = Message.objects.filter(created_at__lt=before).exclude(_staying()).order_by("pk")
    held = list(old.select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True)[:limit])
    # What was said of them until now is seen only when nobody can say more.
    going = list(Message.objects.filter(pk__in=held).exclude(_staying()).values_list("pk", "conversation"))
    Message.objects.filter(pk__in=[pk for pk, _ in going]).delete()
    talks = Conversation.objects.filter(pk__in={talk for _, talk in going})
    talks.exclude(Exists(Message.objects.filter(conversation=OuterRef("pk")))).delete()
    return len(going)


def _drop_parts(before: datetime) -> int:
    """Drop the parts in which every row may go, the oldest first; return how many of answers."""
    _finish()
    dropped, low = 0, 0
    for ratings in monthly.parts(RATINGS):
        answers = [part for part in monthly.parts(MESSAGES) if part.high <= ratings.high]
        if ratings.high > monthly.first_id(monthly.month_of(before)) or not _may_go(low, ratings.high, before):
            break
        try:
            _take_out(ratings, answers)
        except (OperationalError, IntegrityError) as error:
            log.warning("month_not_dropped", part=ratings.name, error=type(error).__name__)
            break
        dropped, low = dropped + len(answers), ratings.high
    _finish()
    return dropped


def _may_go(low: int, high: int, before: datetime) -> bool:
    rows = Message.objects.filter(pk__gte=low, pk__lt=high)
    return not rows.filter(Q(created_at__gte=before) | _staying()).order_by().exists()


def _take_out(ratings: Part, answers: Sequence[Part]) -> None:
    """Take a month out of both tables. Raises OperationalError when it is in use, or was rated since it was looked at."""
    with monthly.brief():
        AnnotationItem.objects.filter(message__lt=ratings.high).delete()
        monthly.detach(RATINGS, ratings)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT EXISTS (SELECT 1 FROM {ratings.name} WHERE rolled_up_at IS NULL)")
            if cursor.fetchone()[0]:
                raise OperationalError("This month was rated a moment ago.")
        for part in answers:
            monthly.detach(MESSAGES, part)


def _finish() -> None:
    """Drop the parts that were taken out, after what hangs on their rows."""
    for name in monthly.detached(RATINGS):
        for model in ABOUT:
            monthly.empty_by(name, "id", model._meta.db_table, "feedback_id")
        monthly.drop(name)
    for name in monthly.detached(MESSAGES):
        monthly.empty_by(name, "uid", KEYS, "uid")
        monthly.drop(name)
