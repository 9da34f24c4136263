"""Texts that include others: what is refused when a version is saved, and the rows that say who includes whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from promptlab_sdk.kernel import template
from promptlab_sdk.kernel.spec import Content, Text, text_to_dict

from promptlab.lib.errors import Conflict, FieldProblem, Invalid
from prompts import snippets
from prompts.models import Prompt, SnippetUse, Version


def unsaved(prompt: Prompt, content: Content) -> Version:
    """Return what the content would be as a version: a row in memory, to be asked."""
    return Version(
        prompt=prompt,
        text=content.text,
        messages=[part.to_dict() for part in content.messages],
        variables=dict(content.variables),
        syntax=content.syntax,
        model_texts={name: text_to_dict(text) for name, text in content.model_texts.items()},
    )


def check(prompt: Prompt, content: Content) -> None:
    """Raise Invalid naming every include that cannot be saved in this prompt, saved or not, by its field."""
    problems = list(problems_in(unsaved(prompt, content)))
    if problems:
        raise Invalid(problems[0].detail, code=problems[0].code, problems=problems)


def problems_in(version: Version, others: Sequence[Version] = (), *, is_newest: bool = True) -> Iterator[FieldProblem]:
    """Yield what is wrong with the includes of a version that is to be saved; without any, nothing is asked.

    An unknown name, a chat prompt, the prompt itself; and, of one that becomes the newest, a circle over the newest
    versions, more than five levels, another syntax, too much text. `others` are versions that are to be saved with it,
    the newest of their prompts.
    """
    fields = _fields(version.content)
    names = {name for found in fields.values() for name in found}
    if not names:
        return
    newest = snippets.Newest(version.prompt.team_id, (version, *others))
    known = newest(names)
    walker = newest.weaver(version) if is_newest else None
    for field, found in fields.items():
        for name in found:
            snippet = known.get(name)
            if snippet is None:
                yield FieldProblem(field, f"There is no prompt {name} to include.", "snippet_not_found")
            elif snippet is version:
                yield FieldProblem(field, f"{name} cannot include itself.", "snippet_includes_itself")
            elif snippet.prompt.type != Prompt.Type.TEXT:
                yield FieldProblem(field, f"{name} has messages. Only a text can be included.", "snippet_is_chat")
            elif walker is not None and (problem := _in_the_way(walker, version, name)):
                yield FieldProblem(field, problem.detail, problem.code)


def note_uses(version: Version) -> None:
    """Write which prompts a saved version includes, in the transaction that saves it; without any, do nothing."""
    names = snippets.included_in(version)
    if names:
        meant = {prompt.pk for prompt in snippets.called(version.prompt.team_id, names).values()}
        SnippetUse.objects.bulk_create(SnippetUse(version=version, snippet_id=pk) for pk in sorted(meant))


def _in_the_way(walker: snippets.Weaver, version: Version, name: str) -> Conflict | Invalid | None:
    """Return why the newest texts cannot be put into each other."""
    try:
        walker.walk(version, [name])
    except (Conflict, Invalid) as error:
        return error
    return None


def _fields(content: Content) -> dict[str, tuple[str, ...]]:
    """Return the names included in each field."""
    fields = dict(_fields_of(content.messages or content.text, "messages" if content.messages else "content"))
    for name, text in content.model_texts.items():
        fields |= _fields_of(text, f"model_texts.{name}")
    return {field: template.includes(text, content.syntax) for field, text in fields.items()}


def _fields_of(text: Text, field: str) -> dict[str, str]:
    """Return each text by its field."""
    if isinstance(text, str):
        return {field: text}
    return {f"{field}.{index}.content": part.content for index, part in enumerate(text)}
