"""The client: connect once, get filled prompts for ever, server or no server."""

from __future__ import annotations

import functools
import os
import uuid
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, cast

from promptlab_sdk.core import Core, OnChange, one_unit
from promptlab_sdk.errors import PromptLabError
from promptlab_sdk.follow import Refresh
from promptlab_sdk.kernel import template
from promptlab_sdk.kernel.spec import JSON
from promptlab_sdk.prompt import Messages, Prompt, Rendered, local_spec, rendered
from promptlab_sdk.source import FakeSource
from promptlab_sdk.spans import note
from promptlab_sdk.status import Status

if TYPE_CHECKING:
    import httpx

    from promptlab_sdk.bootstrap import BootstrapKey


_OPTIONS = frozenset({"version", "subject", "fallback", "missing", "placeholders", "variables", "attributes"})
"""The keywords of `get` that are no variables, besides the unit."""

F = TypeVar("F", bound=Callable[..., object])


def shortcut_of(whole: F) -> Callable[[Callable[..., object]], F]:
    """Let a function stand for `whole`: same signature, same documentation, same answers, sooner."""

    def signed(short: Callable[..., object]) -> F:
        found = functools.wraps(whole)(short)
        found.__name__, found.__qualname__ = short.__name__, short.__qualname__
        return cast(F, found)

    return signed


class Client:
    """What both clients can do without waiting. One per process is enough; threads and tasks may share it.

    What was once loaded keeps being served while the server is away, however long that takes, also by the next process
    (from disk). After a fork the child goes on with what is in memory and makes its own connections.
    """

    def __init__(self, core: Core) -> None:
        """Most callers want `connect`."""
        self._core = core
        self._get = core.cache.get
        self._entry = core.cache.entry
        self._clock = core.cache.clock

    @classmethod
    def connect(
        cls,
        service_url: str | None = None,
        *,
        api_key: str | None = None,
        env: str | None = None,
        ttl: float = 60.0,
        timeout: float = 5.0,
        retries: int = 2,
        cache_dir: str | os.PathLike[str] | Literal[False] | None = None,
        refresh: Refresh = "lazy",
        poll_interval: float = 30.0,
        offline: bool = False,
        bootstrap: Mapping[str, JSON] | str | os.PathLike[str] | None = None,
        bootstrap_key: BootstrapKey | None = None,
        on_error: Callable[[Exception], None] | None = None,
        http_client: httpx.Client | None = None,
    ) -> Self:
        """Return a client; nothing is sent before the first prompt is asked for.

        What is left out comes from PROMPTLAB_URL, PROMPTLAB_API_KEY and PROMPTLAB_ENV. `ttl`, `timeout` and
        `poll_interval` are seconds; `timeout` bounds a call with all its retries.

        `refresh`: "lazy" asks when a prompt is used and older than `ttl`; "poll" fetches the whole environment every
        `poll_interval`; "stream" hears of every change as it happens. `cache_dir` is where the last known good is
        kept, the user's own cache folder unless said otherwise, nowhere when it is False. `bootstrap` ships with the
        application: a bundle, a lock file, or a mapping of names to texts; with `bootstrap_key` only a lock file
        signed with it. `offline` asks nobody.

        `on_error` hears of every failed attempt to load, also of those that no caller notices; it may be called from a
        background thread. A given `http_client` is never closed. Raises ValueError, BootstrapInvalid.
        """
        return cls(
            Core.connect(
                service_url,
                api_key=api_key,
                env=env,
                ttl=ttl,
                timeout=timeout,
                retries=retries,
                cache_dir=cache_dir,
                refresh=refresh,
                poll_interval=poll_interval,
                offline=offline,
                bootstrap=bootstrap,
                bootstrap_key=bootstrap_key,
                on_error=on_error,
                http_client=http_client,
            )
        )

    def invalidate(self, name: str | None = None) -> None:
        """Make the next `get` of this prompt, or of any, ask the server first; memory still backs it."""
        self._core.invalidate(name)

    def feedback(
        self,
        answer: str | Rendered,
        /,
        metric: str,
        value: bool | float | str,
        *,
        comment: str | None = None,
        user: str | None = None,
        answer_id: str | None = None,
        key: str | None = None,
    ) -> str:
        """Hand in one rating of an answer, to be sent in the background; return the key it is sent with.

        `answer` is the message id that came with an answer of PromptLab's gateway, or the text from `get` if your
        application asked the model itself; then `answer_id` is what `track` was told. `user` says who rates, if it is not
        the unit that got the answer. `key` makes it safe to hand in again: the same key counts once. Never blocks, never
        raises for what the server says; `status()` counts what was refused.
        """
        key = key or str(uuid.uuid4())
        rating: dict[str, JSON] = {"metric": metric, "value": value, "id": key}
        if isinstance(answer, Rendered):
            rating["receipt"] = answer.prompt.receipt
            user = user or answer.prompt.counted_unit
        else:
            rating["message_id"] = answer
        more = {"comment": comment, "user": user, "answer_id": answer_id}
        self._core.rate({**rating, **{name: said for name, said in more.items() if said is not None}})
        return key

    def track(
        self,
        shown: Rendered,
        *,
        answer_id: str | None = None,
        model: str | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        latency_ms: int | None = None,
        cost_usd: float | None = None,
    ) -> None:
        """Report that this unit was shown this text, if your application asks the model itself.

        Experiments need it; PromptLab's gateway does it by itself. `answer_id` names one answer, for feedback on it.
        Without it and without figures the same text is reported once per unit and process. Nothing is reported for
        fallbacks, and without a unit and an answer id. Never blocks, never raises.
        """
        figures = {
            "model": model,
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "latency_ms": latency_ms,
            "cost_usd": cost_usd,
        }
        self._core.expose(shown, answer_id, {name: said for name, said in figures.items() if said is not None})

    def on_change(self, callback: OnChange) -> Callable[[], None]:
        """Call `callback(name, prompt)` whenever a prompt in memory has changed; return what ends that.

        It is called in a background thread, or in the one that was loading.
        """
        return self._core.on_change(callback)

    def status(self) -> Status:
        """Return what is in memory, how old it is, and what became of the reports."""
        return self._core.status()


class Prompts(Client):
    """Prompts by name, from memory whenever possible."""

    @classmethod
    def fake(cls, prompts: Mapping[str, str | Messages]) -> FakePrompts:
        """Return a client for tests: it knows these prompts, needs no server, and records calls."""
        return FakePrompts(FakeSource(prompts))

    def _get_any(
        self,
        name: str,
        /,
        env: str | None = None,
        *,
        version: int | str | None = None,
        unit_id: str | None = None,
        subject: str | None = None,
        attributes: Mapping[str, JSON] | None = None,
        fallback: str | Messages | None = None,
        missing: template.Missing = "error",
        placeholders: Mapping[str, Messages] | None = None,
        variables: Mapping[str, object] | None = None,
        **more: object,
    ) -> Rendered:
        """Return the prompt with its blanks filled: a string that knows its version, variant and messages.

        `unit_id` names who is served, for experiments; the same unit always gets the same variant, and
        without one the control is served. `subject` is another spelling of it. `attributes` say more about the
        unit, for experiments with a condition: texts, numbers, true, false, and lists of these. `version` pins a
        version and takes no part in experiments. `fallback` is a template to use when nothing can be had. Variables
        named like one of these parameters go through `variables`. Raises MissingVariable, VariablesInvalid,
        PromptNotFound, Unauthorized, RateLimited, ServiceUnavailable.
        """
        if unit_id is not None or subject is not None:
            unit_id = one_unit(unit_id, subject)
        prompt = self._find(name, env, version, unit_id, attributes, fallback)
        return prompt.fill({**variables, **more} if variables else more, placeholders, missing)

    @shortcut_of(_get_any)
    def get(self, name: str, /, env: str | None = None, **given: Any) -> Rendered:
        # Naming the options here would cost a microsecond: Python compares every keyword with every one of them.
        unit_id = given.pop("unit_id", None)
        if _OPTIONS.isdisjoint(given):
            if unit_id is not None:
                unit_id = one_unit(unit_id, None)
            entry = self._entry((name, env or self._core.env, None))
            if entry is not None and self._clock() < entry.fresh_until and entry.supply == "network":
                entry.used = True
                ready = entry.value
                plain: template.Template | None = ready.plain
                if unit_id is None and plain is not None:
                    prompt = ready.prompt
                else:
                    prompt = ready.serve("cache", unit_id)
                    plain = prompt.plain
                text = None if plain is None else plain.filled(given)
                if text is None:
                    return prompt.fill(given, None, "error")
                note(prompt)
                return rendered(text, prompt, given)
        return self._get_any(name, env, unit_id=unit_id, **given)

    def fetch(
        self,
        name: str,
        /,
        env: str | None = None,
        *,
        version: int | str | None = None,
        unit_id: str | None = None,
        subject: str | None = None,
        attributes: Mapping[str, JSON] | None = None,
        fallback: str | Messages | None = None,
    ) -> Prompt:
        """Return the prompt with its blanks unfilled; parameters and errors as for `get`."""
        if unit_id is not None or subject is not None:
            unit_id = one_unit(unit_id, subject)
        return self._find(name, env, version, unit_id, attributes, fallback)

    def prefetch(self, *names: str, env: str | None = None) -> None:
        """Load these prompts now, so that no later `get` waits. Tries all, then raises the first error."""
        errors: list[PromptLabError] = []
        for name in names:
            try:
                self._get(self._core.key(name, env, None))
            except PromptLabError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def flush(self, timeout: float = 5.0) -> bool:
        """Send feedback and exposures that are queued; tell whether all have gone within the time."""
        return self._core.outbox.flush(timeout)

    def close(self) -> None:
        """Send what is queued (for two seconds at most), stop background work, close connections.

        What is in memory can still be got, as it is.
        """
        self._core.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _find(
        self,
        name: str,
        env: str | None,
        version: int | str | None,
        unit_id: str | None,
        attributes: Mapping[str, JSON] | None,
        fallback: str | Messages | None,
    ) -> Prompt:
        try:
            # `Core.key`, spelt out: this is every `get`.
            value, origin = self._get((name, env or self._core.env, version))
        except PromptLabError:
            if fallback is None:
                raise
            return spare_prompt(name, fallback, unit_id)
        if origin == "cache" and unit_id is None and not value.is_split:
            return value.prompt
        return value.serve(origin, unit_id, attributes)


class FakePrompts(Prompts):
    """What `Prompts.fake` returns. `calls` lists every rendered prompt, `ratings` and `exposures` what was reported."""

    def __init__(self, source: FakeSource) -> None:
        super().__init__(Core(source))
        self.calls: list[Rendered] = []
        self._source = source

    @property
    def ratings(self) -> list[Mapping[str, JSON]]:
        self.flush()
        return self._source.ratings

    @property
    def exposures(self) -> list[Mapping[str, JSON]]:
        self.flush()
        return self._source.exposures

    def put(self, name: str, content: str | Messages) -> None:
        """Serve this under `name` from now on, as its next version."""
        self._source.put(name, content)
        self.invalidate(name)

    def get(self, name: str, /, env: str | None = None, **options: Any) -> Rendered:
        """Return what `Prompts.get` returns for the same arguments, and note it."""
        shown = super().get(name, env, **options)
        self.calls.append(shown)
        return shown


def spare_prompt(name: str, fallback: str | Messages, unit_id: str | None) -> Prompt:
    """Return the caller's own words as a prompt."""
    return Prompt(local_spec(name, fallback), "fallback", unit_id=unit_id)
