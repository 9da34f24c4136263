"""Reviews: somebody asks, others approve or ask for changes. An approval is bound to the content that was looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from promptlab.accounts.access import OF_ROLE, Principal, require
from promptlab.accounts.models import Membership, User
from promptlab.audit.recorder import record
from promptlab.lib.errors import Invalid
from prompts.errors import NotInReview, PersonsOnly, PromptArchived, SelfApproval
from prompts.models import Environment, ReviewDecision, ReviewRequest, Version
from prompts.services import suite_gate, telling

State = ReviewRequest.State
Decision = ReviewDecision.Decision
STANDING = (State.OPEN, State.APPROVED)
"""What an approval of counts; taken back or sent back, a request takes its approvals with it."""
SHORTEST_COMMENT = 10


def submit_for_review(actor: Principal, version: Version, *, note: str = "") -> tuple[ReviewRequest, bool]:
    """Ask for a review; return the request with True, or the standing one with False. Raises PromptArchived.

    The test suites that an environment of the team asks for are run on it, where they were not.
    """
    require(actor, "prompt.write", version.prompt.team_id)
    if version.prompt.archived_at is not None:
        raise PromptArchived(prompt=version.prompt.title)
    with transaction.atomic():
        _lock(version)
        standing = standing_request(version)
        if standing is not None:
            return standing, False
        request = ReviewRequest.objects.create(
            version=version, requested_by_id=actor.user_id, requested_label=actor.label, note=note
        )
        _mark(version, Version.ReviewState.IN_REVIEW)
        _record(actor, "version.submitted", version, note=note)
        telling.of_request(actor, version, reviewers(version), note)
        suite_gate.queue_for_review(actor, version)
    return request, True


def approve(actor: Principal, version: Version, *, comment: str = "") -> ReviewDecision:
    """Approve exactly this content. Again by the same person counts once, and changes nothing.

    Raises PersonsOnly for keys, SelfApproval for its author, NotInReview when nobody asked.
    """
    _require_reviewer(actor, version)
    if version.author_id is not None and version.author_id == actor.user_id:
        raise SelfApproval
    with transaction.atomic():
        request = _standing(version)
        known = request.decisions.filter(
            reviewer_id=actor.user_id, decision=Decision.APPROVE, checksum=version.checksum
        ).first()
        if known is not None:
            return known
        decision = _decide(actor, request, Decision.APPROVE, comment)
        if request.state == State.OPEN and len(approvals(version)) >= _most_needed(version):
            _close(request, State.APPROVED)
            _mark(version, Version.ReviewState.APPROVED)
        _record(actor, "version.approved", version, after={"checksum": version.checksum}, note=comment[:500])
        telling.of_decision(actor, version, decision)
    return decision


def request_changes(actor: Principal, version: Version, *, comment: str) -> ReviewDecision:
    """Send a version back, saying why; approvals it had count no more. Raises PersonsOnly, NotInReview, Invalid."""
    _require_reviewer(actor, version)
    if len(comment.strip()) < SHORTEST_COMMENT:
        detail = f"Say what should change, in {SHORTEST_COMMENT} characters or more."
        raise Invalid.field("comment", detail, code="too_short")
    with transaction.atomic():
        request = _standing(version)
        decision = _decide(actor, request, Decision.REQUEST_CHANGES, comment)
        _close(request, State.CHANGES_REQUESTED)
        _mark(version, Version.ReviewState.CHANGES_REQUESTED)
        _record(actor, "version.changes_requested", version, note=comment[:500])
        telling.of_decision(actor, version, decision)
    return decision


def withdraw(actor: Principal, version: Version, *, note: str = "") -> ReviewRequest:
    """Take the request back; approvals it had count no more. Raises NotInReview."""
    require(actor, "prompt.write", version.prompt.team_id)
    with transaction.atomic():
        request = _standing(version)
        _close(request, State.WITHDRAWN)
        _mark(version, Version.ReviewState.DRAFT)
        _record(actor, "version.withdrawn", version, note=note)
    return request


def approvals(version: Version) -> set[int]:
    """Return the ids of the people whose approval of this very content stands."""
    rows = ReviewDecision.objects.filter(
        request__version=version,
        request__state__in=STANDING,
        decision=Decision.APPROVE,
        checksum=F("request__version__checksum"),
    )
    return set(rows.values_list("reviewer_id", flat=True))


def standing_request(version: Version) -> ReviewRequest | None:
    """Return the request that is open or was approved; None after it was taken or sent back."""
    return ReviewRequest.objects.filter(version=version, state__in=STANDING).order_by("-id").first()


def reviewers(version: Version) -> list[User]:
    """Return who may approve the version: the team's reviewers without its author."""
    roles = [role for role, granted in OF_ROLE.items() if "prompt.review" in granted]
    held = Membership.objects.filter(team_id=version.prompt.team_id, role__in=roles)
    people = User.objects.filter(is_active=True, pk__in=held.values("user_id"))
    return list(people.exclude(pk=version.author_id or 0).order_by("username"))


def _require_reviewer(actor: Principal, version: Version) -> None:
    if actor.is_system or (actor.kind == "key" and version.prompt.team_id in actor.grants):
        raise PersonsOnly
    require(actor, "prompt.review", version.prompt.team_id)


def _lock(version: Version) -> None:
    """Hold the version's row until the transaction ends: decisions on it come one after the other."""
    Version.objects.select_for_update(no_key=True).get(pk=version.pk)


def _standing(version: Version) -> ReviewRequest:
    """Lock the version and return the request that decisions are about. Raises NotInReview."""
    _lock(version)
    request = standing_request(version)
    if request is None:
        raise NotInReview(prompt=version.prompt.title, version=version.number)
    return request


def _decide(actor: Principal, request: ReviewRequest, decision: Decision, comment: str) -> ReviewDecision:
    checksum = Version.objects.values_list("checksum", flat=True).get(pk=request.version_id)
    assert actor.user_id is not None
    return ReviewDecision.objects.create(
        request=request,
        reviewer_id=actor.user_id,
        reviewer_label=actor.label,
        decision=decision,
        comment=comment,
        checksum=checksum,
    )


def _close(request: ReviewRequest, state: State) -> None:
    request.state = state
    request.decided_at = timezone.now()
    request.save(update_fields=["state", "decided_at"])


def _most_needed(version: Version) -> int:
    """Return how many approvals the strictest protected environment of the team asks for; 1 at least."""
    rows = Environment.objects.filter(team_id=version.prompt.team_id, is_protected=True)
    return max([1, *rows.values_list("approvals_needed", flat=True)])


def _mark(version: Version, state: Version.ReviewState) -> None:
    Version.objects.filter(pk=version.pk)._mark(state)
    version.review_state = state


def _record(
    actor: Principal, verb: str, version: Version, *, note: str, after: Mapping[str, Any] | None = None
) -> None:
    facts = {"version": version.number, **(after or {})}
    record(actor, verb, version, team_id=version.prompt.team_id, after=facts, note=note)
