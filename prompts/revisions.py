"""How new this process's knowledge of each environment is. What is served is believed only as far as this reaches.

An environment's revision is learned by push, and confirmed for all environments in use by one read within
`REVISION_CHECK_S`: nobody serves what was replaced longer than that, even when no word arrives.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction

from promptlab.lib import push
from promptlab.lib.logs import get_logger
from promptlab.lib.threads import SingleFlight
from promptlab.lib.watch import watch
from prompts.models import Environment

log = get_logger(__name__)
TOPIC = "revision"
IN_USE_S = 10.0
"""How long after its last use an environment goes on being confirmed."""


@dataclass(slots=True, eq=False)
class Known:
    """What this process knows of one environment. Times are monotonic.

    `revision` is the newest one heard of; until `good_until` there is none that is newer by more than the time promised.
    """

    environment_id: int
    revision: int = 0
    good_until: float = 0.0
    used_at: float = 0.0
    holds: int = 0
    """How many streams want to hear of it."""

    def is_newest(self, revision: int, now: float) -> bool:
        """Tell whether what was made at `revision` may be served without asking anybody."""
        return now < self.good_until and revision == self.revision

    def is_good(self, now: float) -> bool:
        """Tell whether there is nothing newer by more than the time promised."""
        return now < self.good_until


Listener = Callable[[int, int], None]
"""Gets (environment id, revision) of everything newer, from whatever thread heard of it."""

_known: dict[int, Known] = {}
_listeners: list[Listener] = []
_checks = SingleFlight()


def known(environment_id: int) -> Known:
    """Return what is known of an environment."""
    found = _known.get(environment_id)
    return found if found is not None else _known.setdefault(environment_id, Known(environment_id))


def forget() -> None:
    """Forget everything, as a new process would: for tests, whose databases start again."""
    for one in _known.values():
        one.good_until = 0.0
    _known.clear()


def listen(listener: Listener) -> None:
    """Call `listener` whenever an environment moved. It must be quick and raise nothing."""
    _listeners.append(listener)


def tell_on_commit(environment_id: int, revision: int) -> None:
    """Tell this process's readers and all others that the environment moves with this transaction."""
    transaction.on_commit(lambda: touch(environment_id, revision))
    push.tell_on_commit(TOPIC, environment_id, revision)


def touch(environment_id: int, revision: int) -> None:
    """Note a newer revision: what was made at an older one is not served any more."""
    here = known(environment_id)
    if revision > here.revision:
        here.revision = revision
        for listener in _listeners:
            listener(environment_id, revision)


def seen(environment_id: int, revision: int, at: float) -> None:
    """Note that a read begun at `at` found this revision."""
    touch(environment_id, revision)
    here = known(environment_id)
    if revision == here.revision:
        here.good_until = max(here.good_until, at + settings.REVISION_CHECK_S)


def check(environment_id: int) -> None:
    """Ask the database for the environment's revision; those who ask at once ask once. Raises what the database raises."""
    watch.ensure()
    here = known(environment_id)
    here.used_at = time.monotonic()
    _checks.do(environment_id, lambda: _confirm([environment_id]))


def trust(environment_id: int) -> None:
    """Go on with what is known for another moment, because the database does not answer."""
    here = known(environment_id)
    here.good_until = max(here.good_until, time.monotonic() + settings.REVISION_CHECK_S)


def in_use() -> list[Known]:
    """Return what is known of the environments that this process serves."""
    since = time.monotonic() - IN_USE_S
    return [one for one in list(_known.values()) if one.holds or one.used_at > since]


def confirm() -> bool:
    """Confirm all environments in use, with one read."""
    used = [one.environment_id for one in in_use()]
    if used:
        _confirm(used)
    return bool(used)


def _confirm(environment_ids: list[int]) -> None:
    at = time.monotonic()
    rows = Environment.objects.filter(pk__in=environment_ids).values_list("pk", "revision")
    for environment_id, revision in rows:
        seen(environment_id, revision, at)


def _heard(subject: str, value: str) -> None:
    """Take a word from another process. Whatever else is on the channel is none of ours."""
    if subject.isdecimal() and value.isdecimal() and int(subject) in _known:
        touch(int(subject), int(value))


push.on(TOPIC, _heard)
watch.every(confirm)
