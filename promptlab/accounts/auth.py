"""From a header or a session to a Principal. The only code that reads credentials.

Keys carry 256 random bits, so a fast keyed digest is right: two microseconds instead of a quarter of a second.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import string
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q
from django.utils import timezone

from promptlab.accounts.access import OF_ROLE, OF_SCOPE, Principal
from promptlab.accounts.errors import BadKey
from promptlab.accounts.models import ApiKey, Membership, Team, User
from promptlab.lib import push
from promptlab.lib.errors import Unauthenticated
from promptlab.lib.logs import get_logger
from promptlab.lib.threads import SingleFlight
from promptlab.lib.watch import watch

log = get_logger(__name__)
CACHE_S = 1.0
"""How long a verified key is believed without asking the database: a revoked one ends within this time.

Keys in use are confirmed before that, all with one read (`confirm`); a revocation is pushed besides.
"""
CACHE_SIZE = 10_000
IN_USE_S = 10.0
"""How long after its last use a key goes on being confirmed."""
BATCH = 1000
NEVER = float("-inf")
TOPIC = "key"
UNCHECKED_S = 3600.0
"""How long a key that worked here goes on working while the database is away: what is live is served from memory then."""
LABEL = 200
"""What the columns that keep a principal's label hold; a person's two names may be longer together."""
ALPHABET = string.ascii_letters + string.digits


def new_secret() -> tuple[str, str, str]:
    """Return a fresh key: (prefix, digest, the key itself to be shown once)."""
    prefix = "".join(secrets.choice(ALPHABET) for _ in range(8))
    key = f"pl_{prefix}_{secrets.token_urlsafe(32)}"
    return prefix, digest(key), key


def digest(key: str) -> str:
    """Return the keyed digest of a key, in hex."""
    return hmac.new(settings.API_KEY_PEPPER.encode(), key.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def credential(headers: Mapping[str, str]) -> str:
    """Return the key in `X-API-Key`, `Authorization: Bearer`, or Basic's password; "" when there is none.

    `headers` has lower-case names.
    """
    direct = headers.get("x-api-key", "").strip()
    if direct:
        return direct
    scheme, _, value = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        return _basic_password(value.strip())
    return ""


def _basic_password(value: str) -> str:
    try:
        pair = base64.b64decode(value, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise BadKey from error
    return pair.partition(":")[2].strip()


@dataclass(slots=True, eq=False)
class Checked:
    """A key that worked. Times are monotonic. Who keeps it asks `good_until` again before each use."""

    principal: Principal
    expires_at: datetime | None = None
    good_until: float = 0.0
    checked_at: float = 0.0
    used_at: float = 0.0
    streams: set[Callable[[], None]] = field(default_factory=set)
    """What is called when the key ends: of each stream that is open with it."""

    @property
    def is_over(self) -> bool:
        """Whether the key was found to work no more."""
        return self.checked_at == NEVER


class _Verified:
    """Keys that worked, by digest. Bounded; the one verified longest ago goes first."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, Checked] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key_digest: str) -> Checked | None:
        """Return a key that may be believed now."""
        entry = self._entries.get(key_digest)
        now = time.monotonic()
        if entry is None or now >= entry.good_until:
            return None
        entry.used_at = now
        return entry

    def last(self, key_digest: str) -> Checked | None:
        """Return what was last known of a key, for while nobody can be asked."""
        entry = self._entries.get(key_digest)
        return entry if entry is not None and time.monotonic() - entry.checked_at < UNCHECKED_S else None

    def put(
        self, key_digest: str, principal: Principal, *, at: float | None = None, expires_at: datetime | None = None
    ) -> Checked:
        """Keep a key that a read begun at `at` found working, and return it."""
        at = time.monotonic() if at is None else at
        with self._lock:
            entry = self._entries.pop(key_digest, None)
            if entry is None or entry.principal != principal:
                _end(entry)
                entry = Checked(principal)
            entry.expires_at, entry.used_at = expires_at, at
            _believe(entry, at)
            self._entries[key_digest] = entry
            while len(self._entries) > CACHE_SIZE:
                _end(self._entries.popitem(last=False)[1])
        return entry

    def drop(self, key_digest: str) -> None:
        with self._lock:
            _end(self._entries.pop(key_digest, None))

    def drop_id(self, key_id: int) -> None:
        """Forget the key of this id."""
        for key_digest, entry in list(self._entries.items()):
            if entry.principal.id == key_id:
                self.drop(key_digest)

    def clear(self) -> None:
        with self._lock:
            for entry in self._entries.values():
                _end(entry)
            self._entries.clear()

    def in_use(self) -> dict[int, list[tuple[str, Checked]]]:
        """Return the keys used lately, by their ids."""
        since = time.monotonic() - IN_USE_S
        found: dict[int, list[tuple[str, Checked]]] = {}
        for key_digest, entry in list(self._entries.items()):
            if (entry.streams or entry.used_at > since) and entry.principal.id is not None:
                found.setdefault(entry.principal.id, []).append((key_digest, entry))
        return found


def _end(entry: Checked | None) -> None:
    """Let nobody who kept the entry believe it any more."""
    if entry is not None:
        entry.good_until = entry.checked_at = NEVER
        for close in list(entry.streams):
            close()


def _believe(entry: Checked, at: float) -> None:
    """Believe a key from a read begun at `at`, but not beyond its own end."""
    entry.checked_at = at
    entry.good_until = at + CACHE_S
    if entry.expires_at is not None:
        left_s = (entry.expires_at - timezone.now()).total_seconds()
        entry.good_until = min(entry.good_until, time.monotonic() + left_s)


verified = _Verified()
_checks = SingleFlight()


def authenticate(headers: Mapping[str, str]) -> Principal:
    """Return the key's principal. Raises Unauthenticated without a key, BadKey for one that does not work."""
    key = credential(headers)
    if not key:
        raise Unauthenticated
    key_digest = digest(key)
    found = verified.get(key_digest) or _checks.do(key_digest, lambda: _verify(key, key_digest))
    return found.principal


async def aauthenticate(headers: Mapping[str, str]) -> Principal:
    """The same as `authenticate`, for the hot routes."""
    return (await acheck(headers)).principal


async def acheck(headers: Mapping[str, str]) -> Checked:
    """Return the key as it was checked, for routes that keep it; asks the database only for one not in use lately."""
    key = credential(headers)
    if not key:
        raise Unauthenticated
    key_digest = digest(key)
    found = verified.get(key_digest)
    return found if found is not None else await _checks.ado(key_digest, lambda: _verify(key, key_digest))


def _verify(key: str, key_digest: str) -> Checked:
    """Ask the database. While it is away, a key that worked here lately is believed; one that was refused is not."""
    at = time.monotonic()
    try:
        found = _usable(key)
        if found is None or not hmac.compare_digest(found.digest, key_digest):
            verified.drop(key_digest)
            raise BadKey
        _mark_used([found.pk], found.last_used_at)
    except (OperationalError, InterfaceError) as error:
        entry = verified.last(key_digest)
        if entry is None:
            raise
        log.warning("key_unchecked", key_id=entry.principal.id, error=type(error).__name__)
        entry.good_until = time.monotonic() + CACHE_S
        return entry
    watch.ensure()
    return verified.put(key_digest, principal_of_key(found), at=at, expires_at=found.expires_at)


def confirm() -> bool:
    """Confirm all keys in use, with one read for each thousand, and note the use. What ended meanwhile is refused."""
    used = verified.in_use()
    ids = list(used)
    for start in range(0, len(ids), BATCH):
        _confirm({key_id: used[key_id] for key_id in ids[start : start + BATCH]})
    return bool(used)


def _confirm(used: Mapping[int, list[tuple[str, Checked]]]) -> None:
    at = time.monotonic()
    rows = ApiKey.objects.usable().filter(pk__in=list(used)).values_list("pk", "expires_at", "last_used_at")
    found = {key_id: (expires_at, last_used_at) for key_id, expires_at, last_used_at in rows}
    for key_id, entries in used.items():
        for key_digest, entry in entries:
            if key_id not in found:
                verified.drop(key_digest)
            elif not entry.is_over:
                entry.expires_at = found[key_id][0]
                _believe(entry, at)
    _mark_used(list(found), min((last for _, last in found.values() if last), default=None))


def _usable(key: str) -> ApiKey | None:
    parts = key.split("_", 2)
    if len(parts) != 3 or parts[0] != "pl" or len(parts[1]) != 8 or "\x00" in parts[1]:
        return None
    found: ApiKey | None = ApiKey.objects.usable().filter(prefix=parts[1]).first()
    return found


def _mark_used(key_ids: list[int], last_used_at: datetime | None) -> None:
    """Note the use, at most once a minute: this must not become a write per request."""
    now = timezone.now()
    if key_ids and (last_used_at is None or now - last_used_at > timedelta(minutes=1)):
        minute_ago = now - timedelta(minutes=1)
        stale = Q(last_used_at=None) | Q(last_used_at__lt=minute_ago)
        ApiKey.objects.filter(stale, pk__in=key_ids).update(last_used_at=now)


def principal_of_key(key: ApiKey) -> Principal:
    """Return the principal that acts with this key."""
    granted = frozenset().union(*(OF_SCOPE[scope] for scope in key.scope_list))
    return Principal(
        kind="key",
        id=key.pk,
        label=f"{key.name} (key)",
        grants={key.team_id: granted},
        environments=frozenset(key.environments.split()),
        default_environment=key.default_environment,
        calls_per_hour=key.calls_per_hour,
    )


def principal_of_user(user: User) -> Principal:
    """Return the principal of a person: one query for their roles, one more for a superuser (who may do all)."""
    grants: dict[int, frozenset[str]] = {}
    if user.is_superuser:
        everything = frozenset().union(*OF_ROLE.values())
        grants = dict.fromkeys(Team.objects.values_list("pk", flat=True), everything)
    else:
        for team_id, role in Membership.objects.filter(user=user).values_list("team_id", "role"):
            grants[team_id] = grants.get(team_id, frozenset()) | OF_ROLE[role]
    return Principal(kind="user", id=user.pk, label=str(user)[:LABEL], grants=grants)


def tell_revoked(key: ApiKey) -> None:
    """Refuse the key here, now and when this transaction commits, and let all other processes know then."""
    key_id = key.pk
    verified.drop_id(key_id)
    transaction.on_commit(lambda: verified.drop_id(key_id))
    push.tell_on_commit(TOPIC, key_id, "revoked")


def _heard(subject: str, value: str) -> None:
    """Take another process's word that a key was revoked."""
    if subject.isdecimal():
        verified.drop_id(int(subject))


push.on(TOPIC, _heard)
watch.every(confirm)
