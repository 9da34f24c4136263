"""Links that show the numbers of an experiment to people without an account: signed, for some days, ended at any time."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from experiments.models import Experiment, SharedResults
from promptlab.accounts.access import Principal, require
from promptlab.audit.recorder import record
from promptlab.lib import signed
from promptlab.lib.errors import Invalid

PURPOSE = "results"
LONGEST_DAYS = 90
CAPABILITY = "experiment.run"


def share(actor: Principal, experiment: Experiment, *, days: int) -> SharedResults:
    """Let whoever gets the link see the numbers of the experiment for so many days. Raises Forbidden, Invalid."""
    require(actor, CAPABILITY, experiment.team_id)
    if not 1 <= days <= LONGEST_DAYS:
        raise Invalid.field("days", f"Between 1 and {LONGEST_DAYS} days.")
    with transaction.atomic():
        link: SharedResults = SharedResults.objects.create(
            experiment=experiment,
            made_by_id=actor.user_id,
            maker_label=actor.label[:200],
            ends_at=timezone.now() + timedelta(days=days),
        )
        after = {"ends_at": link.ends_at.isoformat()}
        record(actor, "experiment.shared", experiment, team_id=experiment.team_id, after=after)
    return link


def unshare(actor: Principal, link: SharedResults) -> SharedResults:
    """End a link now. Ended already: changes nothing. Raises Forbidden."""
    experiment = link.experiment
    require(actor, CAPABILITY, experiment.team_id)
    with transaction.atomic():
        now = timezone.now()
        if SharedResults.objects.filter(pk=link.pk, revoked_at=None, ends_at__gt=now).update(revoked_at=now):
            before = {"ends_at": link.ends_at.isoformat()}
            record(actor, "experiment.unshared", experiment, team_id=experiment.team_id, before=before)
    link.refresh_from_db()
    return link


def token_of(link: SharedResults) -> str:
    """Return what stands in the address of the link."""
    return signed.sign(PURPOSE, [link.pk])


def opened(token: str) -> SharedResults | None:
    """Return the link of a token while it holds; None for anything else."""
    try:
        (pk,) = signed.read(PURPOSE, token)
    except (signed.BadToken, ValueError):
        return None
    link: SharedResults | None = SharedResults.objects.filter(pk=pk).first()
    return link if link is not None and link.holds(timezone.now()) else None
