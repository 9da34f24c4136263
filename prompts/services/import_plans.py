"""What an import would do, prompt by prompt; nothing is written here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from promptlab_sdk.kernel.spec import Content

from promptlab.accounts.access import Principal, require
from promptlab.lib.errors import FieldProblem, Invalid
from prompts.models import Collection, MetadataField, Prompt, Version
from prompts.porting.bundle import Bundle, BundledPrompt, BundledVersion
from prompts.porting.names import NAME
from prompts.services import fields, including, scanning
from prompts.services.contents import content_of

Outcome = Literal["new", "changed", "same", "problem"]


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version to be written: its content, checked, and the name it keeps if that is free."""

    number: int
    content: Content
    version_string: str
    message: str


@dataclass(frozen=True, slots=True)
class PlanItem:
    """What an import does with one prompt of the file. `settings` are the fields of the prompt that change."""

    name: str
    outcome: Outcome
    place: str = ""
    versions: tuple[NewVersion, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    problems: tuple[FieldProblem, ...] = ()
    source: BundledPrompt | None = field(default=None, repr=False)
    prompt: Prompt | None = field(default=None, repr=False)

    @property
    def sentence(self) -> str:
        """What will happen, or what is wrong, in words."""
        if self.outcome == "problem":
            return " ".join(problem.detail for problem in self.problems)
        if self.outcome == "same":
            return "Nothing changes."
        first, last = (self.versions[0].number, self.versions[-1].number) if self.versions else (0, 0)
        versions = f"version {first}" if first == last else f"versions {first} to {last}"
        if self.outcome == "new":
            return f"A new prompt with {versions}."
        told = [f"new {versions}"] if self.versions else []
        if self.settings:
            told.append(f"other {', '.join(sorted(self.settings))}")
        return f"{' and '.join(told)}.".capitalize()


@dataclass(frozen=True, slots=True)
class Plan:
    """What an import does, or did, prompt by prompt."""

    items: tuple[PlanItem, ...]
    notices: tuple[str, ...] = ()
    import_id: int | None = None
    """Of an import that was carried out and changed something: what it is taken back by."""

    @property
    def problems(self) -> tuple[FieldProblem, ...]:
        """Everything that keeps the file from being imported."""
        return tuple(problem for item in self.items for problem in item.problems)

    @property
    def changes(self) -> bool:
        """Whether anything would change."""
        return any(item.outcome != "same" for item in self.items)


def plan_import(actor: Principal, bundle: Bundle, team_id: int) -> Plan:
    """Return what importing would do; nothing is written. Raises Forbidden, NotFound."""
    require(actor, "prompt.write", team_id)
    names = [one.name for one in bundle.prompts]
    rows = Prompt.objects.filter(team_id=team_id, name__in=names).select_related("collection").prefetch_related("tags")
    known = {prompt.name: prompt for prompt in rows.prefetch_related("metadata__field")}
    seen = set(
        Prompt.objects.visible_to(actor).filter(pk__in=[one.pk for one in known.values()]).values_list("pk", flat=True)
    )
    kept = {one.key: one for one in MetadataField.objects.filter(team_id=team_id)}
    had: dict[int, list[tuple[int, str, str]]] = defaultdict(list)
    versions = Version.objects.filter(prompt__in=[prompt.pk for prompt in known.values()]).order_by("number")
    for prompt_id, *told in versions.values_list("prompt_id", "number", "checksum", "version_string"):
        had[prompt_id].append(cast("tuple[int, str, str]", tuple(told)))
    groups = {
        one.name: one for one in Collection.objects.visible_to(actor).filter(team_id=team_id).active().order_by("-pk")
    }
    items = []
    for one in bundle.prompts:
        prompt = known.get(one.name)
        if prompt is not None and prompt.pk not in seen:
            problem = _problem(one, one.place, "the short name is taken.", "name_taken")
            items.append(PlanItem(one.name, "problem", one.place, problems=(problem,)))
            continue
        items.append(_planned(one, prompt, had[prompt.pk] if prompt else [], groups, kept))
    return Plan(tuple(_with_includes(items, team_id)), bundle.notices)


def _planned(
    one: BundledPrompt,
    prompt: Prompt | None,
    had: Sequence[tuple[int, str, str]],
    groups: Mapping[str, Collection],
    kept: Mapping[str, MetadataField],
) -> PlanItem:
    """Return what happens with one prompt of the file; `had` are its versions here: number, checksum, name."""
    problems = _wrong(one, prompt)
    notices: list[str] = []
    values = _values(one, kept, problems, notices)
    one = replace(one, metadata=values)
    contents: list[tuple[BundledVersion, Content]] = []
    for version in one.versions:
        try:
            contents.append((version, _checked(version.content)))
        except Invalid as error:
            problems.append(_problem(one, version.place or one.place, error.detail, error.code))
    if problems:
        return PlanItem(one.name, "problem", one.place, problems=tuple(problems))
    number = had[-1][0] if had else 0
    taken = {version_string for _, _, version_string in had if version_string}
    written = []
    for version, content in _missing(contents, [checksum for _, checksum, _ in had]):
        number += 1
        name = version.version_string
        if name and name in taken:
            notices.append(f"{one.name}: the version name {name} is taken; version {number} gets none.")
            name = ""
        taken.add(name)
        written.append(NewVersion(number, content, name, version.message))
    if one.collection and one.collection not in groups:
        notices.append(f"{one.name}: there is no collection {one.collection} here; it was left out.")
    settings = _settings(one, prompt, groups.get(one.collection))
    outcome: Outcome = "new" if prompt is None else "changed" if written or settings else "same"
    return PlanItem(one.name, outcome, one.place, tuple(written), settings, tuple(notices), source=one, prompt=prompt)


def _values(
    one: BundledPrompt, kept: Mapping[str, MetadataField], problems: list[FieldProblem], notices: list[str]
) -> dict[str, Any]:
    """Return the typed values in the fields that the team has; what cannot be taken is said."""
    found = {}
    for key, value in one.metadata.items():
        if key not in kept:
            notices.append(f"{one.name}: there is no field {str(key)[:50]} here; it was left out.")
            continue
        try:
            found[key] = fields.typed(kept[key], value)
        except ValueError as error:
            problems.append(_problem(one, one.place, f"metadata.{key}: {error}", "bad_value"))
    return found


def _wrong(one: BundledPrompt, prompt: Prompt | None) -> list[FieldProblem]:
    """Return what is wrong with the prompt itself."""
    if not NAME.match(one.name) or one.name.isdigit():
        detail = "a short name has letters, digits, dots, dashes and underscores, and is not a number alone."
        return [_problem(one, one.place, detail)]
    if prompt is not None and prompt.archived_at is not None:
        return [_problem(one, one.place, "it is archived here. Bring it back first.", "prompt_archived")]
    if prompt is not None and prompt.type != one.type:
        return [_problem(one, one.place, f"it is a {prompt.type} prompt here, and a {one.type} prompt in the file.")]
    return []


def _problem(one: BundledPrompt, place: str, detail: str, code: str = "invalid") -> FieldProblem:
    where = f"{one.name[:100]} ({place})" if place else one.name[:100]
    return FieldProblem(one.name[:100], f"{where}: {detail}", code)


def _checked(content: Content) -> Content:
    """Return the content as it is saved when somebody types it. Raises Invalid."""
    said: dict[str, Any] = content.to_dict()
    said.pop("type")
    return content_of(**said)


def _missing(
    contents: Sequence[tuple[BundledVersion, Content]], had: Sequence[str]
) -> list[tuple[BundledVersion, Content]]:
    """Return the versions that are not here yet.

    The beginning of the file that is also the beginning of what is here (with others between, perhaps) is the same
    history and skipped, repeats included; of the rest, what this prompt ever said is skipped.
    """
    start, rest = 0, iter(had)
    while start < len(contents) and contents[start][1].checksum() in rest:
        start += 1
    known = set(had)
    found: list[tuple[BundledVersion, Content]] = []
    for version, content in contents[start:]:
        is_repeat = bool(found) and found[-1][1].checksum() == content.checksum() and not version.version_string
        if content.checksum() not in known and not is_repeat:
            found.append((version, content))
    return found


def _settings(one: BundledPrompt, prompt: Prompt | None, collection: Collection | None) -> dict[str, Any]:
    """Return the fields of an existing prompt that the file says otherwise."""
    if prompt is None:
        return {}
    told: dict[str, Any] = {}
    for name in ("title", "description", "model_type"):
        value = getattr(one, name)
        value = value.strip() if name == "title" and value is not None else value
        if value not in (None, "" if name == "title" else None, getattr(prompt, name)):
            told[name] = value
    if one.tags is not None and {tag.lower() for tag in one.tags} != {tag.name.lower() for tag in prompt.tags.all()}:
        told["tags"] = tuple(one.tags)
    had = {value.field.key: value.value for value in prompt.metadata.all()}
    if changed := {key: value for key, value in one.metadata.items() if had.get(key) != value}:
        told["metadata"] = changed
    if collection is not None and collection.pk != prompt.collection_id:
        told |= {"collection": collection}
    return told


def _with_includes(items: Sequence[PlanItem], team_id: int) -> Iterator[PlanItem]:
    """Yield the items, those as problems that include what is neither in the file nor here, or cannot be included.

    A circle, and how deep it goes, is asked of what is the newest afterwards.
    """
    written = {item.name: _unsaved(item, team_id) for item in items if item.versions}
    newest = [versions[-1] for versions in written.values()]
    for item in items:
        problems = [
            _problem(item.source, item.place, problem.detail, problem.code)
            for version in written.get(item.name, ())
            for problem in _problems_in(version, newest)
            if item.source is not None
        ]
        yield replace(item, outcome="problem", versions=(), problems=tuple(problems)) if problems else item


def _problems_in(version: Version, newest: Sequence[Version]) -> Iterator[FieldProblem]:
    """Yield why a version cannot be written: what it includes, and keys that stand in it."""
    yield from including.problems_in(version, newest, is_newest=version in newest)
    for secret in scanning.new_secrets(version.prompt, scanning.said(version.content)):
        yield FieldProblem(secret.field, scanning.refusal([secret]).detail, scanning.CODE)


def _unsaved(item: PlanItem, team_id: int) -> list[Version]:
    """Return the versions that an item writes, as rows in memory."""
    assert item.source is not None, "a plan keeps what it was made of"
    prompt = item.prompt or Prompt(team_id=team_id, name=item.name, type=item.source.type)
    return [including.unsaved(prompt, version.content) for version in item.versions]
