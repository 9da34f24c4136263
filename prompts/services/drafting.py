"""Writing without saving: one draft for each writer of a prompt. It takes no number, and may hold errors until it is saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from promptlab_sdk.kernel.spec import Content

from promptlab.accounts.access import Principal, require
from promptlab.audit.recorder import record
from promptlab.lib.errors import FieldProblem, Invalid
from prompts.errors import DraftBehind, DraftNeedsSomebody, DraftNotFound, DraftStale, PromptArchived
from prompts.models import Draft, Prompt, Version
from prompts.services import authoring, including, scanning
from prompts.services.contents import content_of

SETTINGS = ("model", "parameters", "variables", "syntax", "output_schema", "stop", "tools", "model_texts")
"""What `content_of` takes besides the text. Left out of a draft, it is taken from the newest version."""


def draft_of(writer: Principal, prompt: Prompt) -> Draft | None:
    """Return the caller's own draft; None when they have none."""
    found: Draft | None = Draft.objects.of(writer).filter(prompt=prompt).first()
    return found


def keep_draft(
    actor: Principal,
    prompt: Prompt,
    body: Mapping[str, Any],
    *,
    row_version: int | None = None,
    started_from: int | None = None,
    is_by_itself: bool = False,
) -> Draft:
    """Keep what was typed so far, in place of what was kept before. The same again changes nothing.

    `row_version` is the state the caller read, 0 for none; without it the last one wins. `started_from` says which
    version the caller has taken in; it stays as it is when left out. `is_by_itself`: a page keeps it while somebody
    types, every few seconds; of that the activity log tells the beginning alone.
    Raises DraftStale with both texts, PromptArchived, SecretInText, Invalid naming the field.
    """
    require(actor, "prompt.write", prompt.team_id)
    with transaction.atomic():
        locked = _locked(prompt)
        found = draft_of(actor, locked)
        begun = _begun(locked, found, started_from)
        # Before the state is compared: who did not hear the answer sends the same again.
        if found and (found.body, found.started_from) == (dict(body), begun):
            return found
        if row_version is not None and row_version != (found.row_version if found else 0):
            raise _stale(locked, found, body)
        secrets = scanning.new_secrets(locked, body)
        if secrets:
            raise scanning.refusal(secrets)
        draft = found or Draft(prompt=locked, row_version=0, **_writer(actor))
        draft.body, draft.started_from = dict(body), begun
        draft.row_version += 1
        draft.save()
        if found is None or not is_by_itself:
            after = {"started_from": begun, "row_version": draft.row_version}
            record(actor, "draft.kept", draft, team_id=prompt.team_id, after=after)
    return draft


def discard_draft(actor: Principal, prompt: Prompt) -> bool:
    """Throw the caller's draft away and tell whether there was one."""
    require(actor, "prompt.write", prompt.team_id)
    with transaction.atomic():
        draft = Draft.objects.of(actor).select_for_update().filter(prompt=prompt).first()
        if draft is None:
            return False
        record(actor, "draft.discarded", draft, team_id=prompt.team_id, before={"started_from": draft.started_from})
        draft.delete()
    return True


def publish_draft(
    actor: Principal,
    prompt: Prompt,
    *,
    body: Mapping[str, Any] | None = None,
    version_string: str = "",
    message: str = "",
    confirm: bool = False,
    row_version: int | None = None,
    started_from: int | None = None,
    allow_secret: str = "",
) -> tuple[Version, bool]:
    """Save the draft as the next version, and be done with it. Returns what `create_version` returns.

    `allow_secret` as of `create_version`.

    `body` is saved in place of what was kept; without a draft or `started_from` it counts as begun at the newest version.
    `row_version` and `started_from` as of `keep_draft`. Raises DraftNotFound, Invalid for what cannot be read, DraftStale,
    and DraftBehind with both texts when somebody saved another text since, unless `confirm`. The draft stays when
    anything is refused.
    """
    require(actor, "prompt.write", prompt.team_id)
    with transaction.atomic():
        locked = _locked(prompt)
        draft = draft_of(actor, locked)
        if draft is None and body is None:
            raise DraftNotFound(prompt=prompt.title)
        words = body if body is not None else draft.body if draft else {}
        content = content_in(words, locked)
        is_other = locked.newest is None or content.checksum() != locked.newest.checksum
        is_stale = row_version is not None and row_version != (draft.row_version if draft else 0)
        if is_stale and (is_other if draft is None else not _says(draft, content, locked)):
            raise _stale(locked, draft, words)
        if is_other and not confirm:
            _refuse_behind(locked, _begun(locked, draft, started_from), words)
        saved, is_new = authoring.create_version(
            actor,
            locked,
            content,
            version_string=version_string,
            message=message or words.get("message", ""),
            allow_secret=allow_secret,
        )
        if draft:
            record(actor, "draft.saved", draft, team_id=prompt.team_id, after={"number": saved.number})
            draft.delete()
    return saved, is_new


def _says(draft: Draft, content: Content, prompt: Prompt) -> bool:
    """Tell whether a draft is this content: whoever kept it last, saving loses none of its words."""
    try:
        return content_in(draft.body, prompt).checksum() == content.checksum()
    except Invalid:
        return False


def content_in(body: Mapping[str, Any], prompt: Prompt) -> Content:
    """Return the content that was typed; what it leaves out is taken from the newest version. Raises Invalid."""
    newest = prompt.newest
    assert newest is not None, "every prompt has a version 1"
    keeps_text = "content" not in body and "messages" not in body
    text = newest.text if keeps_text else body.get("content", "")
    messages = newest.messages if keeps_text else body.get("messages", ())
    if text and messages:
        raise Invalid.field("messages", "Send content for a text prompt or messages for a chat prompt, not both.")
    settings = {name: body.get(name, getattr(newest, name)) for name in SETTINGS}
    return content_of(text=text, messages=messages, **settings)


def problems_in(body: Mapping[str, Any], prompt: Prompt) -> tuple[FieldProblem, ...]:
    """Return why this could not be saved as it is; empty when it could."""
    try:
        content = content_in(body, prompt)
    except Invalid as error:
        return error.problems
    if content.type != prompt.type:
        return (FieldProblem("content", f"{prompt.title} is a {prompt.type} prompt; its versions are, too."),)
    return tuple(including.problems_in(including.unsaved(prompt, content)))


def _writer(actor: Principal) -> dict[str, int]:
    if actor.id is None or actor.kind not in ("user", "key"):
        raise DraftNeedsSomebody
    return {"key_id" if actor.kind == "key" else "person_id": actor.id}


def _locked(prompt: Prompt) -> Prompt:
    """Return the prompt with its newest version, for one writer at a time."""
    Prompt.objects.select_for_update(no_key=True).get(pk=prompt.pk)
    locked = Prompt.objects.select_related("newest__prompt").get(pk=prompt.pk)
    if locked.archived_at is not None:
        raise PromptArchived(prompt=locked.title)
    return locked


def _begun(prompt: Prompt, found: Draft | None, told: int | None) -> int:
    assert prompt.newest is not None
    newest: int = prompt.newest.number
    if told is None:
        return found.started_from if found else newest
    if not 1 <= told <= newest:
        raise Invalid.field("started_from", f"{prompt.title} has the versions 1 to {newest}.")
    return told


def _newest_words(prompt: Prompt) -> dict[str, Any]:
    assert prompt.newest is not None
    return authoring.said(prompt.newest.content)


def _stale(prompt: Prompt, found: Draft | None, yours: Mapping[str, Any]) -> DraftStale:
    kept = found.body if found else None
    return DraftStale(
        prompt=prompt.title,
        yours=dict(yours),
        newest=kept,
        etag=found.etag if found else "",
        row_version=found.row_version if found else 0,
    )


def _refuse_behind(prompt: Prompt, begun: int, yours: Mapping[str, Any]) -> None:
    assert prompt.newest is not None
    if prompt.newest.number > begun:
        raise DraftBehind(
            prompt=prompt.title,
            yours=dict(yours),
            newest=_newest_words(prompt),
            version=prompt.newest.number,
            started_from=begun,
            etag=prompt.etag,
        )
