"""Who hears by mail of what happens to prompts. The rows are written in the caller's transaction; see `hooks`."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Q

from promptlab.accounts.access import SYSTEM, Principal
from promptlab.accounts.models import User
from promptlab.hooks.models import MailKind
from promptlab.hooks.services import mailing
from promptlab.hooks.services.mailing import Page, tell
from prompts.models import Comment, DeploymentEvent, GoldenRun, Prompt, ReviewDecision, ScheduledDeployment, Version


def who_see(prompt: Prompt, people: Iterable[int | None]) -> list[int]:
    """Return which of these people (ids; None is nobody) may hear of a prompt: of a private one not all of its team."""
    wanted = {one for one in people if one is not None}
    if wanted and prompt.is_private:
        assert prompt.collection is not None
        administrators = set(mailing.holders("team.admin", prompt.team_id))
        above = User.objects.filter(is_superuser=True, pk__in=wanted).values_list("pk", flat=True)
        wanted &= {prompt.collection.owner_id, *administrators, *above}
    return sorted(wanted)


def of_comment(actor: Principal, comment: Comment) -> None:
    """Tell whose prompt or version it is about, and who wrote in the same thread; who is named in it hears of that."""
    prompt, version = comment.prompt, comment.version
    root_id = comment.parent_id
    thread = Comment.objects.filter(Q(pk=root_id) | Q(parent_id=root_id)) if root_id else Comment.objects.none()
    people = {prompt.owner_id, version.author_id if version else None, *thread.values_list("author_id", flat=True)}
    people -= set(comment.mentions.values_list("user_id", flat=True))
    _say(actor, MailKind.COMMENT_ON_MINE, people, comment)


def of_mentions(actor: Principal, comment: Comment, people: Iterable[User]) -> None:
    """Tell those who are named in a comment."""
    _say(actor, MailKind.MENTION, [one.pk for one in people], comment)


def of_request(actor: Principal, version: Version, reviewers: Iterable[User], note: str) -> None:
    """Tell those who may approve."""
    _on(actor, MailKind.REVIEW_REQUESTED, [one.pk for one in reviewers], version, excerpt=note)


def of_decision(actor: Principal, version: Version, decision: ReviewDecision) -> None:
    """Tell who asked for the review and who wrote the version."""
    people = {decision.request.requested_by_id, version.author_id}
    facts = {"decision": decision.decision, "excerpt": decision.comment}
    _on(actor, MailKind.REVIEW_DECIDED, people, version, **facts)


def of_move(actor: Principal, event: DeploymentEvent) -> None:
    """Tell, of a protected environment, the prompt's owner and the authors of what came and of what went."""
    if not event.environment.is_protected:
        return
    came, went = event.to_version, event.from_version
    people = {event.prompt.owner_id, came.author_id if came else None, went.author_id if went else None}
    tell(
        actor,
        MailKind.WENT_LIVE,
        who_see(event.prompt, people),
        event.prompt.team_id,
        Page("prompts_prompt_change", event.prompt_id),
        move=event.kind,
        prompt=event.prompt.title,
        version=came.number if came else None,
        environment=event.environment.name,
        excerpt=event.note,
    )


def of_failed_plan(planned: ScheduledDeployment, reason: str) -> None:
    """Tell who planned it; if that was no person, the prompt's owner."""
    people = [planned.user_id or planned.prompt.owner_id]
    facts = {"environment": planned.environment.name, "reason": reason}
    _on(SYSTEM, MailKind.PLAN_FAILED, people, planned.version, **facts)


def of_drift(found: GoldenRun) -> None:
    """Tell the prompt's owner, the version's author and who puts live that what is live there became worse by itself."""
    version, prompt = found.version, found.version.prompt
    people = {prompt.owner_id, version.author_id, *mailing.holders("prompt.deploy", prompt.team_id)}
    tell(
        SYSTEM,
        MailKind.DRIFTED,
        who_see(prompt, people),
        prompt.team_id,
        Page("prompts_suiterun_change", found.run_id or 0),
        prompt=prompt.title,
        version=version.number,
        environment=found.environment.name,
        suite=found.suite.name,
        before=round(100 * (found.rate_before or 0)),
        after=round(100 * (found.rate_after or 0)),
    )


def _say(actor: Principal, kind: MailKind, people: Iterable[int | None], comment: Comment) -> None:
    prompt, version = comment.prompt, comment.version
    where = Page("prompts_version_change", version.pk) if version else Page("prompts_prompt_change", prompt.pk)
    number = version.number if version else None
    seen = who_see(prompt, people)
    tell(actor, kind, seen, prompt.team_id, where, prompt=prompt.title, version=number, excerpt=comment.text)


def _on(actor: Principal, kind: MailKind, people: Iterable[int | None], version: Version, **facts: str) -> None:
    prompt, where = version.prompt, Page("prompts_version_change", version.pk)
    seen = who_see(prompt, people)
    tell(actor, kind, seen, prompt.team_id, where, prompt=prompt.title, version=version.number, **facts)
