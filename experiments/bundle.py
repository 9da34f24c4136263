"""Everything that is live in an environment, as one answer: built once for each revision and process."""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from threading import Lock

from django.conf import settings
from django.db import InterfaceError, OperationalError

from experiments import delivery
from experiments.delivery import entries
from experiments.entries import Entry
from experiments.models import Variant
from promptlab.lib.logs import get_logger
from promptlab.lib.snapshot import reading_snapshot
from promptlab.lib.threads import SingleFlight
from prompts import resolve, revisions
from prompts.models import Deployment, Environment

log = get_logger(__name__)
Key = tuple[int, str]
"""(team id, environment name)"""
BATCH = 500
PART = 256 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """One environment's payloads, sorted by name. The bodies are the entries' own: nothing is held twice."""

    environment: str
    revision: int
    known: revisions.Known
    bodies: tuple[bytes, ...]
    etag: str
    length: int
    """Bytes of the whole answer."""

    def parts(self) -> Iterator[bytes]:
        """Yield the answer in parts of about 256 kB."""
        held, size = [_head(self.environment, self.revision)], 0
        for number, body in enumerate(self.bodies):
            held.append(b"," + body if number else body)
            size += len(body)
            if size > PART:
                yield b"".join(held)
                held, size = [], 0
        yield b"".join([*held, TAIL])

    def is_newest(self) -> bool:
        return self.revision >= self.known.revision


TAIL = b"]}"
_bundles: OrderedDict[Key, Bundle] = OrderedDict()
_lock = Lock()
_builds = SingleFlight()


async def abundle(team_id: int, environment: str) -> Bundle:
    """Return what is live now, all of it. Who asks at once, waits for one build. Raises EnvironmentNotFound."""
    key = (team_id, environment)
    found = _bundles.get(key)
    if found is not None and found.known.is_newest(found.revision, time.monotonic()):
        found.known.used_at = time.monotonic()
        return found
    built = await _builds.ado(key, lambda: _refresh(key))
    return built if built.is_newest() else await _builds.ado(key, lambda: _refresh(key))


def build(team_id: int, environment: str) -> Bundle:
    """Return what is live now, read for this caller alone: for commands. Raises EnvironmentNotFound."""
    return _build(resolve.environment_named(team_id, environment))


def forget() -> None:
    """Forget all bundles: for tests."""
    _bundles.clear()


def _refresh(key: Key) -> Bundle:
    """Return the bundle, asked for or built again. While the database is away, the last one goes on."""
    found = _bundles.get(key)
    try:
        if found is not None and found.is_newest():
            revisions.check(found.known.environment_id)
            if found.is_newest():
                return found
        return _build_newest(key)
    except (OperationalError, InterfaceError) as error:
        if found is None:
            raise
        log.warning("served_stale", environment=key[1], error=type(error).__name__)
        revisions.trust(found.known.environment_id)
        return found


def _build_newest(key: Key) -> Bundle:
    """Build, and again when the environment moved meanwhile. Each one is whole; the last one says how new it is."""
    environment = resolve.environment_named(*key)
    for _ in range(delivery.TRIES):
        bundle = _build(environment)
        revisions.check(environment.pk)
        if bundle.is_newest():
            break
    _keep(key, bundle)
    return bundle


def _build(environment: Environment) -> Bundle:
    """Read everything at one revision; each payload lies ready for single fetches from then on, too."""
    read_at = time.monotonic()
    with reading_snapshot():
        revision = resolve.revision_of(environment.pk)
        environment.revision = revision
        made = list(_entries(environment))
    revisions.seen(environment.pk, revision, read_at)
    for entry in made:
        entries.put((environment.team_id, environment.name, entry.prompt_name), entry)
    bodies = tuple(entry.body for entry in made)
    head = _head(environment.name, revision)
    digest = hashlib.sha256(head)
    for body in bodies:
        digest.update(body)
    length = len(head) + sum(map(len, bodies)) + max(0, len(bodies) - 1) + len(TAIL)
    known = revisions.known(environment.pk)
    return Bundle(environment.name, revision, known, bodies, f'"{digest.hexdigest()[:32]}"', length)


def _head(environment: str, revision: int) -> bytes:
    return f'{{"environment":{json.dumps(environment)},"revision":{revision},"prompts":['.encode()


def _entries(environment: Environment) -> Iterator[Entry]:
    """Yield what is live there, by name: one query for the experiments, one for each 500 prompts' rows."""
    tested: dict[int, list[Variant]] = {}
    for variant in Variant.objects.serving_in(environment.pk):
        tested.setdefault(variant.experiment.prompt_id, []).append(variant)
    pointers = Deployment.objects.live().filter(environment=environment).select_related("version__prompt")
    ordered = pointers.order_by("prompt__name").iterator(chunk_size=BATCH)
    for batch in _batches(ordered):
        for pointer in batch:
            pointer.environment = environment
        yield from delivery.compose_all(batch, tested)


def _batches(rows: Iterable[Deployment]) -> Iterator[list[Deployment]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, BATCH)):
        yield batch


def _keep(key: Key, bundle: Bundle) -> None:
    """Keep the bundle, and as many others as fit into the memory for what is served."""
    with _lock:
        _bundles.pop(key, None)
        _bundles[key] = bundle
        while sum(one.length for one in _bundles.values()) > settings.DELIVERY_MEMORY_MB * 1_000_000:
            if len(_bundles) == 1:
                break
            _bundles.popitem(last=False)
