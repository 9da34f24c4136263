"""Erasing a person: what applications told of one of their users, wherever it is kept. Sums stay sums."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from django.db import transaction
from django.utils import timezone

from experiments.services.forgetting import rename_unit
from feedback.models import Feedback, FeedbackChange, FeedbackReceipt
from feedback.services import inbox, replaying
from feedback.services.purging import categories_of
from promptlab.accounts.access import SYSTEM, Principal, require
from promptlab.accounts.idempotency import forget
from promptlab.accounts.models import Team
from promptlab.audit.recorder import record
from promptlab.chat.services import kept_answers
from promptlab.chat.services.purging import purge_unit, said_with
from promptlab.lib.errors import Invalid

LONGEST = 200
BATCH = 500


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased. `stands_for` is the random name that what is left goes by; nothing leads back from it.

    `kept_answers`: how many answers of the team's, of whoever, will not be given again.
    """

    stands_for: str
    messages: int
    ratings: int
    experiment_rows: int
    kept_answers: int = 0


def erase_unit(actor: Principal, team: Team, unit_id: str) -> Erased:
    """Erase an end user of a team: texts and comments go, ids become a random name, counts stay. Again finds nothing.

    What they said in an answer that is being written at this moment is left, under the new name. Raises Invalid, and
    Unavailable when all is erased but the answers that are kept to be given again: then it has to be done again.
    """
    require(actor, "team.admin", team.pk)
    if not 0 < len(unit_id) <= LONGEST:
        raise Invalid.field("unit_id", f"Say whom: 1 to {LONGEST} characters.")
    name = f"erased-{secrets.token_hex(8)}"
    with transaction.atomic():
        said = said_with(team.pk, unit_id)
        _erase_about(team.pk, list(said))
        forget(team.pk, [str(uid) for uid in said.values()], unit_id, name)
        erased = Erased(
            name,
            messages=purge_unit(team.pk, unit_id, name, timezone.now()),
            ratings=_erase_ratings(team.pk, unit_id, name),
            experiment_rows=rename_unit(team.pk, unit_id, name),
        )
        while replaying.forget_purged():
            continue
        if erased.messages or erased.ratings or erased.experiment_rows:
            record(actor, "unit.erased", team, team_id=team.pk, after=asdict(erased))
    return replace(erased, kept_answers=kept_answers.forget(team.pk))


def _erase_about(team_id: int, messages: Sequence[int]) -> None:
    """Take off the words that others, such as judges, said of what a person was answered: they may tell it again."""
    for start in range(0, len(messages), BATCH):
        rows = Feedback.objects.filter(message__in=messages[start : start + BATCH])
        about = list(rows.with_words().values_list("pk", flat=True))
        of_words = rows.filter(pk__in=about)
        of_words.exclude(text="").exclude(metric__in=categories_of(team_id)).update(text="")
        of_words.update(comment="")
        inbox.forget(about, SYSTEM)
        FeedbackChange.objects.filter(feedback__in=about).delete()


def _erase_ratings(team_id: int, unit_id: str, stands_for: str) -> int:
    """Take the words and the name off a person's ratings, and off what they said before.

    Their idempotency keys go too: applications make them of whatever they know.
    """
    theirs = list(Feedback.objects.filter(team_id=team_id, rater=unit_id).values_list("pk", flat=True))
    Feedback.objects.filter(pk__in=theirs).update(rater=stands_for, comment="", text="")
    inbox.forget(theirs, SYSTEM)
    FeedbackReceipt.objects.filter(feedback__in=theirs).delete()
    FeedbackChange.objects.filter(feedback__in=theirs).delete()  # the update has just written some, too
    return len(theirs)
