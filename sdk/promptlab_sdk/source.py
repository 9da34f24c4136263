"""Where deliveries come from and where reports go: PromptLab's API, nothing at all, or a table in memory for tests."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from promptlab_sdk.errors import PromptLabError, PromptNotFound, RateLimited, ServiceUnavailable, Unauthorized
from promptlab_sdk.kernel.spec import JSON, Delivery, Message, PromptSpec, messages_from
from promptlab_sdk.kernel.template import Missing
from promptlab_sdk.memory import Loaded
from promptlab_sdk.prompt import Messages, Prompt, local_spec
from promptlab_sdk.transport import EventStream, Transport

log = logging.getLogger("promptlab")

PASSING = (RateLimited, ServiceUnavailable, Unauthorized)
"""What keeps the server from taking a report now, and says nothing about the report."""

PINNED_TTL_S = 24 * 60 * 60.0
"""How long a version asked for by number is kept: it cannot change, only disappear."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,254}")


Key = tuple[str, str | None, int | str | None]
"""Name, environment (None: the API key's own) and pinned version (None: the live one). The text of a pinned version
depends on the environment where it includes others. A plain tuple, because making one is part of every `get`."""


Report = Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class Bundle:
    """Every live prompt of an environment at one revision. `heartbeat_s`: how often the server wants to hear of us."""

    environment: str
    revision: int
    deliveries: tuple[Delivery, ...]
    etag: str = ""
    heartbeat_s: float | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """Something moved in the environment; which prompts, or everything when `names` is empty.

    `deliveries` is what came along of them; the others have to be fetched.
    """

    revision: int
    names: tuple[str, ...]
    deliveries: tuple[Delivery, ...] = ()


class Movements(Protocol):
    """An open stream of what moves; None is a sign of life."""

    heartbeat_s: float | None

    def __iter__(self) -> Iterator[Moved | None]: ...

    def close(self) -> None:
        """End the stream, also for the thread that is waiting in it."""


class Source(Protocol):
    """Everything the client needs from outside. All raise PromptLabError."""

    address: str

    def load(self, key: Key, etag: str) -> Loaded[Delivery]:
        """Return the delivery, or that the one with this ETag still holds."""

    def bundle(self, env: str | None, etag: str) -> Bundle | float | None:
        """Return every live prompt; when the ETag still holds, only the heartbeat the server wants, or None."""

    def movements(self, env: str | None, after: int) -> AbstractContextManager[Movements]:
        """Open the stream of what moves in the environment after this revision."""

    def fill(self, prompt: Prompt, values: Mapping[str, object], missing: Missing) -> tuple[str, tuple[Message, ...]]:
        """Return the text, or the messages, of a prompt that only the server can fill."""

    def rate(self, ratings: Sequence[Report]) -> int:
        """Hand in feedback and return how much of it was refused, each by itself."""

    def expose(self, exposures: Sequence[Report]) -> None:
        """Hand in who was shown what."""

    def report(self, heartbeat: Report) -> None:
        """Say which revision is served here."""

    def forget_connections(self) -> None:
        """Use nothing any more that the parent process of a fork has opened."""

    def close(self) -> None:
        """Release connections."""


class HttpSource:
    """PromptLab's API through a transport."""

    def __init__(self, transport: Transport) -> None:
        self.address = transport.service_url
        self._transport = transport
        self.forget_connections = transport.forget_connections
        self.close = transport.close

    def load(self, key: Key, etag: str) -> Loaded[Delivery]:
        name, env, version = key
        if not _NAME.fullmatch(name):
            raise PromptNotFound(f"{name[:80]!r} is not a name a prompt can have.")
        if version is not None:
            return self._load_version(name, env, version, etag)
        params = {"environment": env} if env else {}
        answer = self._transport.get(f"/api/v1/prompts/{_quoted(name)}/deployed/", params, etag)
        if answer.data is None:
            return Loaded(None, answer.etag)
        return loaded(delivery_of(answer.data), answer.etag)

    def _load_version(self, name: str, env: str | None, version: int | str, etag: str) -> Loaded[Delivery]:
        path = f"/api/v1/prompts/{_quoted(name)}/versions/{_quoted(str(version))}"
        # What a version includes is put in as it is live somewhere: there, or where the key is at home.
        where = {"environment": env} if env else {}
        answer = self._transport.get(path, {"resolved": "1", **where}, etag)
        # A number names one text for ever; a string may be "latest", or be given to another version.
        ttl_s = PINNED_TTL_S if isinstance(version, int) else None
        if answer.data is None:
            return Loaded(None, answer.etag, ttl_s)
        if answer.data.get("includes"):
            ttl_s = None
        return loaded(_pinned(answer.data), answer.etag, ttl_s)

    def bundle(self, env: str | None, etag: str) -> Bundle | float | None:
        answer = self._transport.get("/api/v1/bundle", {"environment": env} if env else {}, etag)
        if answer.data is None:
            return answer.heartbeat_s
        return bundle_of(answer.data, answer.etag, answer.heartbeat_s)

    @contextmanager
    def movements(self, env: str | None, after: int) -> Iterator[Movements]:
        params = {"environment": env} if env else {}
        with self._transport.stream("/api/v1/events", params, str(after) if after else "") as stream:
            yield _HttpMovements(stream)

    def fill(self, prompt: Prompt, values: Mapping[str, object], missing: Missing) -> tuple[str, tuple[Message, ...]]:
        path = f"/api/v1/prompts/{_quoted(prompt.name)}/versions/{prompt.version}/render"
        where = {"environment": prompt.environment} if prompt.environment else {}
        asks = {"model": prompt.model} if prompt.model else {}
        # Only what the prompt asks for leaves the process; dates and the like as their text.
        asked = {name: values[name] for name in prompt.variables if name in values}
        sent = json.loads(json.dumps(asked, default=str))
        try:
            answer = self._transport.post(path, {"variables": sent, "missing": missing, **where, **asks})
            return str(answer["text"]), messages_from(answer["messages"])
        except ServiceUnavailable as error:
            syntax = prompt.content.syntax
            problem = f"{prompt.name} is written in {syntax}, which only the server fills, and that is away: {error}"
            raise ServiceUnavailable(problem, status=error.status) from error
        except (AttributeError, KeyError, TypeError) as error:
            raise ServiceUnavailable(f"PromptLab's answer is no filled prompt ({type(error).__name__}).") from error

    def rate(self, ratings: Sequence[Report]) -> int:
        if len(ratings) > 1:
            try:
                return _rejected(self._transport.post("/api/v1/feedback", {"items": ratings}))
            except PASSING:
                raise
            except PromptLabError:
                log.info("a list of ratings was refused as a whole, sending them one by one")
        return sum(self._is_refused(rating) for rating in ratings)

    def _is_refused(self, rating: Report) -> bool:
        """Hand in one rating; what is wrong with it must not cost the others. Raises what passes."""
        try:
            self._transport.post("/api/v1/feedback", rating)
        except PASSING:
            raise
        except PromptLabError as error:
            log.info("a rating was refused: error=%s", type(error).__name__)
            return True
        return False

    def expose(self, exposures: Sequence[Report]) -> None:
        self._transport.post("/api/v1/exposures", exposures)

    def report(self, heartbeat: Report) -> None:
        self._transport.post("/api/v1/heartbeats", heartbeat)


def _rejected(answer: JSON) -> int:
    """Return how many of a list were refused. Raises Unauthorized where it is the key that may not: none is dropped."""
    errors = answer.get("errors") or [] if isinstance(answer, dict) else []
    if any(error.get("status") == 403 for error in errors if isinstance(error, dict)):
        raise Unauthorized("The key may not rate some of these.", status=403)
    return len(errors)


class _HttpMovements:
    """A stream of events, read as what moved."""

    def __init__(self, stream: EventStream) -> None:
        self.heartbeat_s = stream.heartbeat_s
        self.close = stream.close
        self._stream = stream

    def __iter__(self) -> Iterator[Moved | None]:
        for event in self._stream:
            yield _moved(event.data) if event.kind == "deployment" else None


class Nowhere:
    """No server at all: what disk and bootstrap know is everything."""

    def __init__(self, address: str = "offline") -> None:
        self.address = address

    def load(self, key: Key, etag: str) -> Loaded[Delivery]:
        raise ServiceUnavailable(f"This client is offline, and {key[0]!r} is neither on disk nor in the bootstrap.")

    def bundle(self, env: str | None, etag: str) -> Bundle | float | None:
        raise ServiceUnavailable("This client is offline.")

    def movements(self, env: str | None, after: int) -> AbstractContextManager[Movements]:
        raise ServiceUnavailable("This client is offline.")

    def fill(self, prompt: Prompt, values: Mapping[str, object], missing: Missing) -> tuple[str, tuple[Message, ...]]:
        raise ServiceUnavailable(f"Nobody fills {prompt.content.syntax} for a client that is offline or a fake.")

    def rate(self, ratings: Sequence[Report]) -> int:
        raise PromptLabError("This client is offline: feedback goes nowhere.")

    def expose(self, exposures: Sequence[Report]) -> None:
        raise PromptLabError("This client is offline: exposures go nowhere.")

    def report(self, heartbeat: Report) -> None:
        raise ServiceUnavailable("This client is offline.")

    def forget_connections(self) -> None:
        """There are none."""

    def close(self) -> None:
        """There is nothing to release."""


class FakeSource(Nowhere):
    """Prompts from a dictionary, served in every environment as version 1; keeps what it is told."""

    def __init__(self, prompts: Mapping[str, str | Messages]) -> None:
        super().__init__("fake")
        self.ratings: list[Report] = []
        self.exposures: list[Report] = []
        self._prompts: dict[str, PromptSpec] = {}
        for name, content in prompts.items():
            self.put(name, content)

    def put(self, name: str, content: str | Messages) -> None:
        """Serve this from now on, as the next version."""
        known = self._prompts.get(name)
        self._prompts[name] = local_spec(name, content, version=known.version + 1 if known else 1)

    def load(self, key: Key, etag: str) -> Loaded[Delivery]:
        name, env, _ = key
        if name not in self._prompts:
            known = ", ".join(self._prompts) or "none"
            raise PromptNotFound(f"The fake has no prompt {name!r}; it has {known}.")
        return loaded(Delivery(self._prompts[name], env or "production", revision=1))

    def rate(self, ratings: Sequence[Report]) -> int:
        self.ratings += ratings
        return 0

    def expose(self, exposures: Sequence[Report]) -> None:
        self.exposures += exposures


def loaded(delivery: Delivery, etag: str = "", ttl_s: float | None = None) -> Loaded[Delivery]:
    """Return a delivery as the cache wants it: with its revision and its weight in characters."""
    return Loaded(delivery, etag, ttl_s, order=delivery.revision, weight=_weight(delivery))


def bundle_of(data: JSON, etag: str = "", heartbeat_s: float | None = None) -> Bundle:
    """Return the bundle, every delivery checked. Raises ServiceUnavailable."""
    try:
        environment, revision, items = str(data["environment"]), int(data["revision"]), list(data["prompts"])
    except (KeyError, TypeError, ValueError) as error:
        raise ServiceUnavailable(f"PromptLab's answer is not a bundle ({type(error).__name__}).") from error
    return Bundle(environment, revision, tuple(delivery_of(item) for item in items), etag, heartbeat_s)


def _quoted(part: str) -> str:
    return quote(part, safe="")


def delivery_of(data: JSON) -> Delivery:
    """Return the delivery, checked for what serving it will need. Raises ServiceUnavailable."""
    try:
        delivery = Delivery.from_dict(data)
        if delivery.experiment is not None:
            next(variant for variant in delivery.experiment.variants if variant.is_control)
    except (AttributeError, KeyError, StopIteration, TypeError, ValueError) as error:
        raise ServiceUnavailable(f"PromptLab's answer is not a delivery ({type(error).__name__}).") from error
    return delivery


def _pinned(data: JSON) -> Delivery:
    """Return a version as a delivery that belongs to no environment. Raises ServiceUnavailable."""
    try:
        return Delivery(PromptSpec.from_dict(data), environment="", revision=0)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ServiceUnavailable(f"PromptLab's answer is not a version ({type(error).__name__}).") from error


def _moved(data: str) -> Moved:
    """Return what an event says; when it cannot be read, that anything may have moved."""
    try:
        said = json.loads(data)
        revision, names = int(said["revision"]), tuple(str(name) for name in said["names"])
        return Moved(revision, names, tuple(delivery_of(item) for item in said.get("prompts") or ()))
    except (AttributeError, KeyError, TypeError, ValueError, ServiceUnavailable):
        return Moved(0, ())


def _weight(delivery: Delivery) -> int:
    specs = [delivery.prompt]
    if delivery.experiment is not None:
        specs += [variant.prompt for variant in delivery.experiment.variants]
    return sum(len(text) for spec in specs for text in spec.content.texts)
