"""HOT PATH. What is served for (team, environment, prompt): the live version and the experiment on it, as one payload.

Kept per process, pre-serialised, and served without asking anybody as long as the environment's newest revision is the
one it was made at; `prompts.revisions` knows.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from django.db import InterfaceError, OperationalError
from promptlab_sdk.kernel.spec import Delivery, PromptSpec

from experiments import moves, receipts
from experiments.entries import Entries, Entry, Key
from experiments.errors import ReceiptInvalid
from experiments.models import Variant
from experiments.receipts import CHECKSUM_CHARACTERS, Receipt
from experiments.specs import experiment_spec
from experiments.stamps import encoded, stamped
from promptlab.lib.errors import Conflict, Invalid
from promptlab.lib.logs import get_logger
from promptlab.lib.threads import Batches, SingleFlight
from promptlab.lib.watch import watch
from prompts import resolve, revisions, snippets
from prompts.errors import NotDeployed
from prompts.models import Deployment, Environment, Version

log = get_logger(__name__)
NOTHING: Mapping[str, int] = MappingProxyType({})
STAMPED_AT_ONCE = 64 * 1024
"""Bytes of a payload that the event loop takes apart itself; a longer one goes to a thread."""
TRIES = 3


entries = Entries()
_loads = SingleFlight()


def deliver(team_id: int, environment: str, name: str) -> Entry:
    """Return what is served now. Raises NotDeployed.

    Queries: none when fresh, one when unchanged, two when new here. After a move of the environment one or two tell all
    prompts what it was about; the one that moved takes two more. Who asks at once, asks once.
    """
    key = (team_id, environment, name)
    entry = entries.get(key)
    if entry is not None and entry.is_fresh():
        entry.known.used_at = time.monotonic()
        return entry
    return _newest(_loads.do(key, lambda: _refresh(key)), key)


async def adeliver(team_id: int, environment: str, name: str) -> Entry:
    """The same as `deliver`, for the hot routes: a fresh entry costs one look-up and no thread.

    What is asked for here for the first time is loaded with all that others wait for: three queries for all.
    """
    key = (team_id, environment, name)
    entry = entries.get(key)
    if entry is not None and entry.is_fresh():
        entry.known.used_at = time.monotonic()
        return entry
    if entry is None:
        await _first.join((team_id, environment), name)
        entry = entries.get(key)
        if entry is not None and entry.is_fresh():
            return entry
    elif (found := _moved_elsewhere(key, entry)) is not None:
        return found
    found = await _loads.ado(key, lambda: _refresh(key))
    return found if _is_newest(found) else await _loads.ado(key, lambda: _refresh(key))


def _newest(found: Entry, key: Key) -> Entry:
    """Return what was found, unless somebody else's look began before a move that is known by now."""
    return found if _is_newest(found) else _loads.do(key, lambda: _refresh(key))


def _is_newest(entry: Entry) -> bool:
    return entry.revision >= entry.known.revision


def _refresh(key: Key) -> Entry:
    """Return the entry, asked for or loaded again. While the database is away, what was served last goes on."""
    entry = entries.get(key)
    try:
        return _load_newest(key) if entry is None else _confirmed(key, entry) or _load_newest(key)
    except (OperationalError, InterfaceError) as error:
        if entry is None:
            raise
        log.warning("served_stale", prompt=key[2], environment=key[1], error=type(error).__name__)
        revisions.trust(entry.environment_id)
        return entry


def _confirmed(key: Key, entry: Entry) -> Entry | None:
    """Return the entry as it is at the newest revision; None when something about its prompt has moved."""
    known = entry.known
    if not known.is_good(time.monotonic()):
        revisions.check(entry.environment_id)
    if _is_newest(entry):
        return entry
    where, until = Environment(pk=entry.environment_id, team_id=key[0]), known.revision
    return _stamped(key, entry, moves.between(where, entry.revision, until), until)


def _moved_elsewhere(key: Key, entry: Entry) -> Entry | None:
    """Return the entry at the newest revision if all it takes is in memory; None when somebody has to be asked."""
    known, until = entry.known, entry.known.revision
    if _is_newest(entry) or not known.is_good(time.monotonic()) or len(entry.body) > STAMPED_AT_ONCE:
        return None
    since = moves.kept(entry.environment_id, entry.revision, until)
    return _stamped(key, entry, since, until) if since is not None else None


def _stamped(key: Key, entry: Entry, since: Sequence[moves.Move], revision: int) -> Entry | None:
    """Return the entry at a later revision; None when one of the moves since was about its prompt, or may have been."""
    if any(not move.names or entry.prompt_name in move.names for move in since):
        return None
    try:
        body = stamped(entry.body, revision)
    except ReceiptInvalid:  # Signed with a key, or by a clock, that is no longer ours: it is made anew.
        return None
    found = replace(entry, body=body, etag=_etag(body), revision=revision)
    found.known.used_at = time.monotonic()
    entries.put(key, found)
    return found


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def _load_newest(key: Key) -> Entry:
    """Load, and again when the environment moved meanwhile; a few times, for there is always a next move."""
    for _ in range(TRIES):
        entry = _load(key)
        if _is_newest(entry):
            break
    return entry


def _load(key: Key) -> Entry:
    """Read the pointer with the revision first, then the experiment.

    In this order: whoever changes something between the two takes a newer revision than the one noted here, and the next
    check replaces the entry. The other way round an old experiment would pass for new.
    """
    team_id, environment, name = key
    read_at = time.monotonic()
    try:
        pointer = resolve.live_version(team_id, name, environment)
    except NotDeployed:
        entries.drop(key)
        raise
    variants = list(Variant.objects.serving_on(pointer.prompt_id, pointer.environment_id))
    entry = compose(pointer, variants)
    if entry.prompt_name != name:
        entry.deprecated_at = resolve.renamed_at(team_id, name)
    revisions.seen(pointer.environment_id, entry.revision, read_at)
    entry.known.used_at = read_at
    entries.put(key, entry)
    watch.ensure()
    return entry


def _load_all(where: tuple[int, str], names: list[str]) -> None:
    """Load what nobody here has asked for before. Names that this leaves out have to be asked for singly."""
    if len(names) == 1:
        key = (*where, names[0])
        _loads.do(key, lambda: _refresh(key))
        return
    read_at = time.monotonic()
    pointers = resolve.live_versions(*where, names)
    if not pointers:
        return
    tested: dict[int, list[Variant]] = {}
    prompt_ids = [pointer.prompt_id for pointer in pointers]
    for variant in Variant.objects.serving_in(pointers[0].environment_id).filter(experiment__prompt_id__in=prompt_ids):
        tested.setdefault(variant.experiment.prompt_id, []).append(variant)
    for entry in compose_all(pointers, tested):
        revisions.seen(entry.environment_id, entry.revision, read_at)
        entry.known.used_at = read_at
        entries.put((*where, entry.prompt_name), entry)
    watch.ensure()


_first = Batches(_load_all, most=200)


def compose_all(pointers: Sequence[Deployment], tested: Mapping[int, Sequence[Variant]]) -> list[Entry]:
    """Return the entries of many pointers of one environment, with as many queries as for one, if all is well.

    `tested`: by prompt id the variants of the experiment on it. What cannot be put together is left out, and logged.
    """
    pairs = [(pointer, _serving(pointer, tested.get(pointer.prompt_id, ()))) for pointer in pointers]
    versions = [version for pointer, variants in pairs for version in _served(pointer, variants).values()]
    try:
        found = snippets.resolve_all(versions, pointers[0].environment)
    except (Conflict, Invalid):
        return [entry for pointer, variants in pairs if (entry := _unless_broken(pointer, variants))]
    specs = {one.version.pk: one.spec for one in found}
    return [_entry(pointer, variants, specs) for pointer, variants in pairs]


def _unless_broken(pointer: Deployment, variants: Sequence[Variant]) -> Entry | None:
    try:
        return compose(pointer, variants)
    except (Conflict, Invalid) as error:
        log.error("prompt_not_served", prompt_id=pointer.prompt_id, reason=error.detail)
        return None


def compose(pointer: Deployment, variants: Sequence[Variant]) -> Entry:
    """Return what is served for a pointer and the variants of the experiment on it."""
    return _entry(pointer, *_put_together(pointer, _serving(pointer, variants)))


def _serving(pointer: Deployment, variants: Sequence[Variant]) -> Sequence[Variant]:
    """Return the variants, unless the pointer moved under the experiment: what was taken back is taken back from everybody."""
    return variants if variants and variants[0].version_id == pointer.version_id else ()


def _served(pointer: Deployment, variants: Sequence[Variant]) -> dict[int, Version]:
    """Return by id the versions that somebody is served."""
    assert pointer.version is not None
    return {pointer.version.pk: pointer.version, **{variant.version_id: variant.version for variant in variants}}


def _entry(pointer: Deployment, variants: Sequence[Variant], specs: Mapping[int, PromptSpec]) -> Entry:
    """Return the entry of a pointer. `specs`: by version id what each says with its snippets put in."""
    assert pointer.version is not None
    delivery = Delivery(
        prompt=specs[pointer.version.pk],
        environment=pointer.environment.name,
        revision=pointer.environment.revision,
        experiment=experiment_spec(variants, specs) if variants else None,
    )
    delivery = _with_receipts(delivery, pointer, variants)
    body = encoded(delivery.to_dict())
    return Entry(
        body=body,
        etag=_etag(body),
        environment=delivery.environment,
        prompt_name=delivery.prompt.name,
        revision=delivery.revision,
        known=revisions.known(pointer.environment_id),
        prompt_id=pointer.prompt_id,
        version_id=pointer.version.pk,
        variant_ids={variant.key: variant.pk for variant in variants} or NOTHING,
        variant_version_ids={variant.key: variant.version_id for variant in variants} or NOTHING,
    )


def _with_receipts(delivery: Delivery, pointer: Deployment, variants: Sequence[Variant]) -> Delivery:
    """Return the payload with a shared receipt at each text. Their time is the move's: all servers write the same bytes."""
    assert pointer.version is not None
    base = Receipt(
        team_id=pointer.environment.team_id,
        prompt_id=pointer.prompt_id,
        version_id=pointer.version.pk,
        checksum=pointer.version.checksum[:CHECKSUM_CHARACTERS],
        environment_id=pointer.environment_id,
        revision=delivery.revision,
        at=int(pointer.updated_at.timestamp()),
    )
    experiment = delivery.experiment
    if experiment is not None:
        arms = (
            replace(spec, prompt=replace(spec.prompt, receipt=receipts.write(_of_variant(base, variant))))
            for spec, variant in zip(experiment.variants, variants, strict=True)
        )
        experiment = replace(experiment, variants=tuple(arms))
    return replace(delivery, prompt=replace(delivery.prompt, receipt=receipts.write(base)), experiment=experiment)


def _of_variant(base: Receipt, variant: Variant) -> Receipt:
    return replace(
        base,
        version_id=variant.version_id,
        checksum=variant.version.checksum[:CHECKSUM_CHARACTERS],
        experiment_id=variant.experiment_id,
        phase=variant.experiment.phase,
        variant_id=variant.pk,
    )


def _put_together(pointer: Deployment, variants: Sequence[Variant]) -> tuple[Sequence[Variant], dict[int, PromptSpec]]:
    """Return the variants, and by id what each version says with its snippets put in, at the pointer's revision.

    Deploying keeps what is live whole; what a variant includes may be gone. Then everybody is served what is live.
    """
    assert pointer.version is not None
    try:
        found = snippets.resolve_all(list(_served(pointer, variants).values()), pointer.environment)
    except (Conflict, Invalid) as error:
        if not variants:
            raise
        log.error("variants_not_served", prompt=pointer.version.prompt.name, reason=error.detail)
        return _put_together(pointer, [])
    return variants, {one.version.pk: one.spec for one in found}
