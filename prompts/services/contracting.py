"""What changes for callers when a version goes live: held against what they sent in the last seven days.

Seen are callers whom the gateway answered, by the names of what they sent. Who takes the text and fills it in itself, as the
SDK does, sends no names, and is not in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final

from django.db.models import Min, Sum
from django.utils import timezone
from promptlab_sdk.kernel.spec import Content

from promptlab import llm
from promptlab.accounts.models import ApiKey
from promptlab.lib.errors import DomainError
from promptlab.llm import pricing
from promptlab.llm.offering import estimate, estimate_all
from promptlab.llm.routes import routes_for
from prompts import rendering, snippets
from prompts.models import CallerDay, Deployment, Environment, Version
from prompts.querysets import day_ago

DAYS: Final = 7
NOBODY: Final = "no key"


@dataclass(frozen=True, slots=True)
class Broken:
    """A caller that does not send what the version asks for. `never`: in none of the calls that were looked at."""

    caller: str
    names: tuple[str, ...]
    never: bool
    calls: int


@dataclass(slots=True)
class _Caller:
    """What one caller did in all days: how many calls were looked at, and how many of these sent each variable."""

    seen: int = 0
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    since: date | None = None
    sent: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contract:
    """What differs from what is live, and for whom. Of tokens and dollars: more, or less than nothing.

    `usd_per_day` None: a model has no price, or nobody called. `new_names`: variables that the live version does not ask for.
    """

    live: Version
    days: int
    calls: int
    callers: int
    broken: tuple[Broken, ...]
    new_names: tuple[str, ...]
    gone_names: tuple[str, ...]
    is_schema_changed: bool
    new_tools: tuple[str, ...]
    gone_tools: tuple[str, ...]
    model_before: str
    model_after: str
    tokens: int | None
    usd_per_day: Decimal | None

    @property
    def sentence(self) -> str:
        """All of it in a line, for programs and logs; empty when nothing changes for anybody."""
        said = [_breaks(name, found) for name, found in self.by_name.items()]
        if self.model_before != self.model_after:
            said.append(f"{self.model_after} instead of {self.model_before}")
        if self.is_schema_changed:
            said.append("another shape of the answer")
        said += [f"new tool {name}" for name in self.new_tools] + [f"tool {name} is gone" for name in self.gone_tools]
        if self.tokens:
            said.append(f"{self.tokens:+d} tokens")
        if self.usd_per_day:
            said.append(f"about {self.usd_per_day:+.2f} dollars a day")
        return ", ".join(said)

    @property
    def by_name(self) -> Mapping[str, list[Broken]]:
        """Who does not send what, by the names of variables."""
        names = dict.fromkeys(name for one in self.broken for name in one.names)
        return {name: [one for one in self.broken if name in one.names] for name in names}


def contract_of(version: Version, environment: Environment) -> Contract | None:
    """Return what putting `version` live changes for callers there; None where nothing is live, or the same.

    Five queries and those of prices, which are kept for seconds.
    """
    pointers = Deployment.objects.live().filter(prompt=version.prompt_id, environment=environment)
    pointer = pointers.select_related("version__prompt").first()
    return between(pointer.version if pointer else None, version, environment)


def between(live: Version | None, version: Version, environment: Environment) -> Contract | None:
    """Return the same where it is known what is live."""
    if live is None or live.pk == version.pk:
        return None
    live.prompt = version.prompt
    before, after = _served(live, environment), _served(version, environment)
    callers = _callers(version, environment)
    models = (llm.resolve(before.model).name, llm.resolve(after.model).name)
    tokens = _tokens(version.prompt.team_id, (before, after), models)
    was, now = _needed(before), _needed(after)
    tools_before, tools_after = _tools(before), _tools(after)
    return Contract(
        live=live,
        days=DAYS,
        calls=sum(one.calls for one in callers.values()),
        callers=len(callers),
        broken=tuple(_broken(callers, now)),
        new_names=tuple(name for name in now if name not in was),
        gone_names=tuple(name for name in was if name not in now),
        is_schema_changed=dict(before.output_schema) != dict(after.output_schema),
        new_tools=tuple(name for name in tools_after if name not in tools_before),
        gone_tools=tuple(name for name in tools_before if name not in tools_after),
        model_before=models[0],
        model_after=models[1],
        tokens=tokens,
        usd_per_day=_usd_per_day(version.prompt.team_id, models, list(callers.values()), tokens),
    )


def _callers(version: Version, environment: Environment) -> dict[int, _Caller]:
    """Return what each caller did in the last days, by the id of its key."""
    rows = CallerDay.objects.filter(prompt=version.prompt_id, environment=environment, day__gte=day_ago(DAYS - 1))
    summed = (
        rows.order_by()
        .values_list("caller", "name")
        .annotate(
            all_seen=Sum("seen"),
            all_calls=Sum("calls"),
            tokens_in=Sum("input_tokens"),
            tokens_out=Sum("output_tokens"),
            since=Min("day"),
        )
    )
    found: dict[int, _Caller] = {}
    for caller, name, seen, calls, tokens_in, tokens_out, since in summed:
        one = found.setdefault(caller, _Caller())
        if name:
            one.sent[name] = seen
        else:
            one.seen, one.calls, one.since = seen, calls, since
            one.input_tokens, one.output_tokens = tokens_in, tokens_out
    return found


def _served(version: Version, environment: Environment) -> Content:
    """Return what the version says there; as it is written where what it includes is not live, which is said elsewhere."""
    try:
        return snippets.resolve(version, environment).content
    except DomainError:
        return version.content


def _needed(content: Content) -> list[str]:
    """Return the variables without which a call is refused."""
    told = content.variables
    names = [name for name in rendering.blanks_of(content) if name not in told]
    return [
        *names,
        *(name for name, spec in told.items() if spec.get("required", True) and spec.get("default") is None),
    ]


def _tools(content: Content) -> list[str]:
    return [str(tool.get("function", {}).get("name", "")) for tool in content.tools]


def _broken(callers: Mapping[int, _Caller], needed: Sequence[str]) -> list[Broken]:
    """Return the callers that do not always send what is needed: those that never do first."""
    labels = dict(ApiKey.objects.filter(pk__in=callers).values_list("pk", "name"))
    found = []
    for pk, one in callers.items():
        times = {name: one.sent.get(name, 0) for name in needed}
        never = tuple(name for name, number in times.items() if one.seen and not number)
        rarely = tuple(name for name, number in times.items() if 0 < number < one.seen)
        label = labels.get(pk, NOBODY)
        found += [Broken(label, names, is_never, one.calls) for names, is_never in ((never, True), (rarely, False))]
    return sorted((one for one in found if one.names), key=lambda one: (not one.never, -one.calls, one.caller))


def _tokens(team_id: int, contents: Sequence[Content], models: Sequence[str]) -> int | None:
    """Return how many tokens more the text has, before anything is filled in; None for a model that cannot be."""
    texts = [_text(content.for_model(model)) for content, model in zip(contents, models, strict=True)]
    try:
        if models[0] == models[1]:
            was, now = estimate_all(team_id, texts, models[0])
        else:
            was, now = (estimate(team_id, text, model) for text, model in zip(texts, models, strict=True))
    except llm.LLMError:
        return None
    return now.tokens - was.tokens


def _text(content: Content) -> str:
    return content.text or "\n".join(part.content for part in content.messages)


def _usd_per_day(
    team_id: int, models: tuple[str, str], callers: Sequence[_Caller], tokens: int | None
) -> Decimal | None:
    """Return what a day costs more, at as many calls of the same length as in the days that were seen."""
    calls = sum(one.calls for one in callers)
    if not calls or tokens is None:
        return None
    since = min(one.since for one in callers if one.since is not None)
    a_day = Decimal(calls) / ((timezone.now().date() - since).days + 1)
    asked = sum(one.input_tokens for one in callers) // calls
    answered = sum(one.output_tokens for one in callers) // calls
    was = _price(team_id, models[0], asked, answered)
    now = _price(team_id, models[1], max(0, asked + tokens), answered)
    return None if was is None or now is None else (now - was) * a_day


def _price(team_id: int, model: str, asked: int, answered: int) -> Decimal | None:
    try:
        routes = routes_for(team_id, model)
    except DomainError:
        return None
    provider, name = (routes[0].provider, routes[0].model) if routes else (llm.resolve(model).provider, model)
    usage = llm.Usage(asked, answered)
    return pricing.price(team_id, provider, name, usage, timezone.now(), asked=model).cost_usd


def _breaks(name: str, found: Sequence[Broken]) -> str:
    never = sum(one.never for one in found)
    callers = "caller" if len(found) == 1 else "callers"
    do = "does" if len(found) == 1 else "do"
    always = "" if never else "always "
    return f"breaks {len(found)} {callers} that {do} not {always}send {name}"
