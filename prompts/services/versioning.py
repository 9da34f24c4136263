"""Writing a version: how it is checked, numbered, recorded and told of. The verbs that people use are in `authoring`."""

from __future__ import annotations

from typing import Any

from promptlab_sdk.kernel.spec import Content, text_to_dict

from promptlab.accounts.access import Principal
from promptlab.audit.recorder import record
from promptlab.hooks.services.outbox import emit
from promptlab.lib.errors import Invalid
from prompts.errors import VersionStringTaken
from prompts.models import Prompt, Version
from prompts.services import including, scanning


def add_version(
    actor: Principal,
    prompt: Prompt,
    content: Content,
    *,
    version_string: str,
    message: str,
    with_others: bool = False,
    allow_secret: str = "",
) -> Version | None:
    """Write the next version under the prompt's lock; None when the newest says the same already."""
    if content.type != prompt.type:
        raise Invalid.field("content", f"{prompt.title} is a {prompt.type} prompt; its versions are, too.")
    newest = newest_of(prompt)
    is_named = bool(version_string) and version_string != newest.version_string
    if newest.checksum == content.checksum() and not is_named:
        return None
    version = write_version(
        actor,
        prompt,
        content,
        number=newest.number + 1,
        version_string=version_string,
        message=message,
        with_others=with_others,
        allow_secret=allow_secret,
    )
    point_to_newest(prompt, version)
    after = {"number": version.number, "checksum": version.checksum}
    record(actor, "version.created", version, team_id=prompt.team_id, after=after, note=message)
    facts = told(actor, prompt, version=version.number, checksum=version.checksum)
    emit(prompt.team_id, "version.created", facts, **about(prompt))
    return version


def write_version(
    actor: Principal,
    prompt: Prompt,
    content: Content,
    *,
    number: int,
    version_string: str,
    message: str,
    with_others: bool,
    allow_secret: str,
) -> Version:
    taken = version_string and Version.objects.filter(prompt=prompt, version_string=version_string).first()
    if taken:
        raise VersionStringTaken(number=taken.number, prompt=prompt.title, version_string=version_string)
    _check_said_once(content)
    scanning.check(actor, prompt, content, allow=allow_secret)
    if not with_others:
        including.check(prompt, content)
    written: Version = Version.objects.create(
        prompt=prompt,
        number=number,
        version_string=version_string,
        text=content.text,
        messages=[part.to_dict() for part in content.messages],
        model=content.model,
        parameters=dict(content.parameters),
        variables=dict(content.variables),
        syntax=content.syntax,
        output_schema=dict(content.output_schema),
        stop=list(content.stop),
        tools=[dict(tool) for tool in content.tools],
        model_texts={name: text_to_dict(text) for name, text in content.model_texts.items()},
        message=message,
        checksum=content.checksum(),
        author_id=actor.user_id,
        author_label=actor.label,
    )
    if not with_others:
        including.note_uses(written)
    return written


def _check_said_once(content: Content) -> None:
    """Raise for a model setting that the content also says by itself: one of the two would be overwritten."""
    said = {"stop": content.stop, "tools": content.tools, "response_format": content.output_schema}
    twice = [name for name, value in said.items() if value and name in content.parameters]
    if twice:
        raise Invalid.field(
            f"parameters.{twice[0]}", f"{twice[0]} is said twice. Leave it out here.", code="said_twice"
        )


def point_to_newest(prompt: Prompt, version: Version) -> None:
    prompt.newest = version
    prompt.save(update_fields=["newest", "updated_at"])


def newest_of(prompt: Prompt) -> Version:
    assert prompt.newest_id is not None, "every prompt has a version 1"
    return Version.objects.select_related("prompt").get(pk=prompt.newest_id)


def about(prompt: Prompt) -> dict[str, Any]:
    """Return what an event is about, for the outbox."""
    return {"about": f"prompts/{prompt.name}", "is_private": prompt.is_private}


def told(actor: Principal, prompt: Prompt, **facts: str | int) -> dict[str, str | int]:
    """Return what webhooks hear: names and numbers, no texts."""
    return {"prompt": prompt.name, **facts, "actor": actor.label}
