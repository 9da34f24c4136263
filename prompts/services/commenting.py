"""Comments on prompts, versions and lines of them. Who is named with @ is remembered.

The same words by the same author at the same place within a minute were sent twice: they are one comment.
"""

from __future__ import annotations

import re
from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from promptlab.accounts.access import Principal, require
from promptlab.accounts.models import User
from promptlab.audit.recorder import record
from promptlab.lib.errors import Invalid
from prompts import diff
from prompts.errors import NotYourComment, TooLateToEdit
from prompts.models import Comment, Mention, Prompt, Version
from prompts.services import telling

EDITABLE_MINUTES = 15
LONGEST = 10_000
TWICE = timedelta(minutes=1)
MENTION = re.compile(r"(?<![\w@.])@([\w.+-]*\w)")
"""A user name behind @; not the middle of a mail address, and without the full stop that ends the sentence."""


def add_comment(
    actor: Principal, prompt: Prompt, text: str, *, version: Version | None = None, line: int | None = None
) -> Comment:
    """Comment on a prompt, a version of it, or a line (from 1) of its readable text. Raises Invalid naming the field."""
    require(actor, "prompt.comment", prompt.team_id)
    if version is not None and version.prompt_id != prompt.pk:
        raise Invalid.field("version", "This version is of another prompt.")
    if line is not None:
        _check_line(version, line)
    return _write(actor, Comment(prompt=prompt, version=version, line=line), text)


def reply(actor: Principal, comment: Comment, text: str) -> Comment:
    """Answer a comment; an answer to an answer stands in the same thread."""
    require(actor, "prompt.comment", comment.prompt.team_id)
    place = Comment(
        prompt=comment.prompt,
        version_id=comment.version_id,
        line=comment.line,
        parent_id=comment.parent_id or comment.pk,
    )
    return _write(actor, place, text)


def edit_comment(actor: Principal, comment: Comment, text: str) -> Comment:
    """Change one's own words, for 15 minutes; the same words change nothing. Raises NotYourComment, TooLateToEdit."""
    require(actor, "prompt.comment", comment.prompt.team_id)
    if actor.user_id is None or comment.author_id != actor.user_id:
        raise NotYourComment
    if timezone.now() - comment.at > timedelta(minutes=EDITABLE_MINUTES):
        raise TooLateToEdit(minutes=EDITABLE_MINUTES)
    words = _checked(text)
    if words == comment.text:
        return comment
    with transaction.atomic():
        comment.text, comment.edited_at = words, timezone.now()
        comment.save(update_fields=["text", "edited_at"])
        _remember_mentions(actor, comment)
        _record(actor, "comment.edited", comment)
    return comment


def resolve_comment(actor: Principal, comment: Comment) -> Comment:
    """Settle the thread; again changes nothing."""
    return _settle(actor, comment, is_settled=True)


def reopen_comment(actor: Principal, comment: Comment) -> Comment:
    """Open a settled thread again; again changes nothing."""
    return _settle(actor, comment, is_settled=False)


def mentioned_in(text: str, team_id: int) -> list[User]:
    """Return the team's people whose user names stand behind an @."""
    names = set(MENTION.findall(text))
    if not names:
        return []
    people = User.objects.filter(username__in=names, is_active=True, memberships__team=team_id)
    return list(people.distinct().order_by("username"))


def nameable(team_id: int) -> list[User]:
    """Return who can be named with @ in a team's comments, by user name."""
    people = User.objects.filter(is_active=True, memberships__team=team_id)
    return list(people.distinct().order_by("username"))


def is_editable(comment: Comment, by: Principal) -> bool:
    """Tell whether it is `by`'s own, and young enough to be changed."""
    is_own = by.user_id is not None and comment.author_id == by.user_id
    return is_own and timezone.now() - comment.at <= timedelta(minutes=EDITABLE_MINUTES)


def _settle(actor: Principal, comment: Comment, *, is_settled: bool) -> Comment:
    require(actor, "prompt.comment", comment.prompt.team_id)
    root_id = comment.parent_id or comment.pk
    now = timezone.now() if is_settled else None
    with transaction.atomic():
        rows = Comment.objects.filter(pk=root_id, resolved_at__isnull=is_settled)
        if rows.update(resolved_at=now, resolved_by_id=actor.user_id if is_settled else None):
            _record(actor, "comment.resolved" if is_settled else "comment.reopened", comment)
    root: Comment = Comment.objects.select_related("prompt").get(pk=root_id)
    return root


def _write(actor: Principal, comment: Comment, text: str) -> Comment:
    comment.text = _checked(text)
    comment.author_id, comment.author_label = actor.user_id, actor.label
    with transaction.atomic():
        # Comments on a prompt are written one after the other, so that a second one of the same words sees the first.
        Prompt.objects.select_for_update(no_key=True).get(pk=comment.prompt_id)
        known = _said_just_now(comment)
        if known is not None:
            return known
        comment.save()
        _remember_mentions(actor, comment)
        telling.of_comment(actor, comment)
        _record(actor, "comment.written", comment)
    return comment


def _said_just_now(comment: Comment) -> Comment | None:
    names = ("prompt_id", "version_id", "line", "parent_id", "author_id", "author_label", "text")
    same = {name: getattr(comment, name) for name in names}
    found: Comment | None = Comment.objects.filter(at__gt=timezone.now() - TWICE, **same).first()
    return found


def _checked(text: str) -> str:
    words = text.strip()
    if not words:
        raise Invalid.field("text", "Write something.", code="required")
    if len(words) > LONGEST:
        raise Invalid.field("text", f"A comment has at most {LONGEST} characters.", code="too_long")
    return words


def _check_line(version: Version | None, line: int) -> None:
    if version is None:
        raise Invalid.field("version", gettext_noop("Say of which version the line is."), code="required")
    last = len(diff.readable(version).splitlines()) or 1
    if not 1 <= line <= last:
        raise Invalid.field("line", f"This version has the lines 1 to {last}.")


def _remember_mentions(actor: Principal, comment: Comment) -> None:
    """Keep who is named, and tell those who were not named before."""
    people = mentioned_in(comment.text, comment.prompt.team_id)
    known = set(Mention.objects.filter(comment=comment).values_list("user_id", flat=True))
    Mention.objects.filter(comment=comment).exclude(user__in=people).delete()
    Mention.objects.bulk_create([Mention(comment=comment, user=one) for one in people], ignore_conflicts=True)
    telling.of_mentions(actor, comment, [one for one in people if one.pk not in known])


def _record(actor: Principal, verb: str, comment: Comment) -> None:
    version = Version.objects.filter(pk=comment.version_id or 0).values_list("number", flat=True).first()
    after = {"comment": comment.pk, "version": version, "line": comment.line}
    record(actor, verb, comment.prompt, team_id=comment.prompt.team_id, after=after)
