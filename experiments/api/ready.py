"""HOT PATH. `GET /prompts/{name}/deployed/` answered again: the same key, to which nothing happened, asks for what is fresh.

`quick` makes no mistakes and waits for nobody. Whatever is unlike a fetch that the route has answered, it leaves to it.
What it touches of one prompt is little and lies close together; all that prompts share is shared.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256

from experiments.delivery import entries
from experiments.entries import Entry, Key, Place
from promptlab.accounts.auth import Checked
from promptlab.lib.asgi import Message, Scope
from promptlab.lib.logs import REQUEST_ID, new_request_id
from promptlab.lib.ratelimit import Budget
from promptlab.lib.tally import Tally
from prompts.services.counting import fetched

MAX_CALLERS = 10_000
MAX_QUERIES = 1000
DEPLOYED = "/deployed"
SLASHES = frozenset({"", "/"})
KEY_HEADERS = frozenset({b"x-api-key", b"authorization"})
STARTS = frozenset({"/prompts", "/api/v1/prompts"})
END: Message = {"type": "http.response.body", "body": b""}
Header = tuple[bytes, bytes]
TYPE: Header = (b"content-type", b"application/json")
served = Tally("deployed")


@dataclass(slots=True, eq=False)
class _Caller:
    """A key that fetched before: what was found out about it then. `places` by query string."""

    checked: Checked
    budget: Budget
    places: dict[bytes, Place] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Answer:
    """What is sent of an entry, but for the request's id. `common` is one tuple for all that say the same."""

    body: bytes
    etag: Header
    length: Header
    common: tuple[Header, ...]
    prompt_id: int


_callers: OrderedDict[bytes, _Caller] = OrderedDict()
"""By the digest of the header that names the key."""


def quick(scope: Scope) -> tuple[Message, Message] | None:
    """Return the answer to a fetch that is like an earlier one; None for whatever is not."""
    before, found, end = scope["path"].rpartition(DEPLOYED)
    if not found or end not in SLASHES or scope["method"] != "GET":
        return None
    headers = dict(scope["headers"])
    caller = _caller(headers)
    if caller is None or b"origin" in headers:
        return None
    now = time.monotonic()
    place = caller.places.get(scope["query_string"])
    if place is None or now >= caller.checked.good_until or not place.known.is_newest(place.revision, now):
        return None
    start, _, name = before.rpartition("/")
    answer: _Answer | None = place.ready.get(name)
    if answer is None or start not in STARTS or not caller.budget.spend(now):
        return None
    caller.checked.used_at = place.known.used_at = now
    fetched.add(answer.prompt_id)
    said = (b"x-request-id", _id(headers.get(b"x-request-id")))
    wanted = headers.get(b"if-none-match")
    if wanted is not None and (wanted == answer.etag[1] or _knows(wanted, answer)):
        served.not_modified += 1
        return {"type": "http.response.start", "status": 304, "headers": [*answer.common, answer.etag, said]}, END
    served.ok += 1
    whole = [*answer.common, answer.etag, TYPE, answer.length, said]
    start_of = {"type": "http.response.start", "status": 200, "headers": whole}
    return start_of, {"type": "http.response.body", "body": answer.body}


def matches(if_none_match: str, etag: str) -> bool:
    """Tell whether the caller has this state already. Weak tags count: proxies weaken what they compress."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in tags or "*" in tags


def keep(scope: Scope, checked: Checked, budget: Budget, key: Key, entry: Entry, headers: Mapping[str, str]) -> None:
    """Keep what was found out about this caller and its query, as long as the key is believed, and the answer."""
    place = entries.lay(key, entry, _answer(entry, headers))
    named = [value for header, value in scope["headers"] if header in KEY_HEADERS]
    if len(named) != 1:
        return
    digest = sha256(named[0]).digest()
    caller = _callers.get(digest)
    if caller is None or caller.checked is not checked:
        caller = _callers[digest] = _Caller(checked, budget)
        while len(_callers) > MAX_CALLERS:
            _callers.popitem(last=False)
    if len(caller.places) < MAX_QUERIES or scope["query_string"] in caller.places:
        caller.places[scope["query_string"]] = place


def _answer(entry: Entry, headers: Mapping[str, str]) -> _Answer:
    common = _raw(tuple((name, value) for name, value in headers.items() if name != "ETag"))
    etag = (b"etag", entry.etag.encode())
    return _Answer(entry.body, etag, _length(len(entry.body)), common, entry.prompt_id)


@lru_cache(maxsize=1000)
def _raw(headers: tuple[tuple[str, str], ...]) -> tuple[Header, ...]:
    return tuple((name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers)


@lru_cache(maxsize=10_000)
def _length(size: int) -> Header:
    return (b"content-length", b"%d" % size)


def _knows(if_none_match: bytes, answer: _Answer) -> bool:
    return matches(if_none_match.decode("latin-1"), answer.etag[1].decode())


def _caller(headers: dict[bytes, bytes]) -> _Caller | None:
    """Return the caller whom a single header names."""
    named, other = headers.get(b"x-api-key"), headers.get(b"authorization")
    if named is None:
        named, other = other, None
    return _callers.get(sha256(named).digest()) if named is not None and other is None else None


def _id(incoming: bytes | None) -> bytes:
    if incoming is not None and REQUEST_ID.match(text := incoming.decode("latin-1")):
        return text.encode()
    return new_request_id()
