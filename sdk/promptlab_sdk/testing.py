"""Test suites of PromptLab in pytest: one test of every case. Needs pytest, PROMPTLAB_URL and PROMPTLAB_API_KEY.

`@prompt_suite` holds what your own code answers against the checks, here. `suite_run` has the server ask the model.
"""

from __future__ import annotations

import functools
import inspect
import os
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Final, Literal, TypeVar
from urllib.parse import quote

import pytest

from promptlab_sdk.errors import PromptLabError
from promptlab_sdk.kernel.checking import Answer, Outcome, decide, decide_schema
from promptlab_sdk.kernel.spec import JSON
from promptlab_sdk.transport import Transport

__all__ = ["Answer", "Check", "SuiteCase", "prompt_suite", "suite_run"]

TIMEOUT_S: Final = 30.0
LOOK_S: Final = 1.0
MOST_SHOWN: Final = 500
OPEN: Final = ("queued", "running")
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Check:
    """Something that an answer has to be."""

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SuiteCase:
    """One question of a suite, with all the checks that its answer is held to."""

    name: str
    variables: Mapping[str, Any]
    messages: Sequence[Mapping[str, str]]
    expected: str
    tags: Sequence[str]
    is_required: bool
    repeats: int
    checks: Sequence[Check]

    def outcomes(self, answer: str | Answer, latency_ms: int = 0) -> list[tuple[str, Outcome]]:
        """Return what every check says of an answer. One that only the server decides is undecided: its `passed` is None."""
        said = answer if isinstance(answer, Answer) else Answer(answer, latency_ms=latency_ms)
        said = replace(said, expected=self.expected)
        return [(check.kind, _decide(check, said)) for check in self.checks]


def prompt_suite(name: str, *, undecided: Literal["skip", "fail"] = "skip") -> Callable[[F], F]:
    """Make a test function one test of every case: it is given `case`, and returns what your code answers.

    It returns a text, or an `Answer` that says what it cost. A case that asks several times is asked so often, and passes
    when more than half of the answers do, as on the server. `undecided`: what becomes of a case that nothing fails here,
    but that has a check only the server decides (a judge).
    """

    def decorate(function: F) -> F:
        made: Any
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def made(*args: Any, case: SuiteCase, **others: Any) -> None:
                asked = []
                for _ in range(case.repeats):
                    began = time.perf_counter()
                    asked.append((await function(*args, case=case, **others), _since(began)))
                _come_to(case, asked, undecided)

        else:

            @functools.wraps(function)
            def made(*args: Any, case: SuiteCase, **others: Any) -> None:
                asked = []
                for _ in range(case.repeats):
                    began = time.perf_counter()
                    asked.append((function(*args, case=case, **others), _since(began)))
                _come_to(case, asked, undecided)

        marked: F = pytest.mark.prompt_suite(name)(made)
        return marked

    return decorate


def suite_run(
    name: str,
    *,
    version: int | str = "latest",
    prompt: str = "",
    models: Sequence[str] = (),
    environment: str = "",
    budget_usd: float | None = None,
    timeout_s: float = 600.0,
) -> Callable[..., None]:
    """Return a test of every case that has the server ask a version, once a session: `test_reply = suite_run("replies")`.

    All checks are decided there, judges among them. It costs what the run costs, `budget_usd` at most.
    """
    wanted: dict[str, JSON] = {"version": str(version), "note": "pytest"}
    given: dict[str, JSON] = {"prompt": prompt, "models": list(models), "environment": environment}
    wanted |= {key: value for key, value in given.items() if value}
    if budget_usd is not None:
        wanted["budget_usd"] = str(budget_usd)

    def test_suite_run(case: SuiteCase, request: pytest.FixtureRequest) -> None:
        rows = _session(request.config).run(name, wanted, timeout_s).get(case.name)
        if rows is None:
            pytest.fail(f"{case.name} was not asked: the suite changed since.", pytrace=False)
        _read(case, rows)

    marked: Callable[..., None] = pytest.mark.prompt_suite(name)(test_suite_run)
    return marked


def parametrize(metafunc: pytest.Metafunc, name: str) -> None:
    """Give a test one call for every case of the suite. What goes wrong is said without a trace."""
    try:
        cases = _session(metafunc.config).cases(name)
    except (PromptLabError, ValueError) as error:
        pytest.fail(f"The test suite {name} cannot be fetched: {error}", pytrace=False)
    metafunc.parametrize("case", cases, ids=[case.name for case in cases])


class _Session:
    """What one run of pytest fetched: every suite once, and every run of the server's once."""

    def __init__(self) -> None:
        url, key = (os.environ.get(name, "").strip() for name in ("PROMPTLAB_URL", "PROMPTLAB_API_KEY"))
        if not url:
            raise ValueError("Say where PromptLab is: PROMPTLAB_URL.")
        self._transport = Transport(url, api_key=key, timeout_s=TIMEOUT_S)
        self._cases: dict[str, list[SuiteCase]] = {}
        self._runs: dict[str, dict[str, list[JSON]]] = {}
        # The processes of pytest-xdist share this id, and so one run of the server's.
        self._id = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex
        self.close = self._transport.close

    def cases(self, name: str) -> list[SuiteCase]:
        """Return the suite's cases, each with its own checks and those of every case."""
        if name not in self._cases:
            path = f"/api/v1/suites/{quote(name, safe='')}"
            common = self._transport.get(path, {}, "").data["checks"]
            self._cases[name] = [_case(said, common) for said in self._pages(f"{path}/cases")]
        return self._cases[name]

    def run(self, name: str, wanted: Mapping[str, JSON], timeout_s: float) -> dict[str, list[JSON]]:
        """Return the answers of a run by case, asked for once and waited for. Fails when it does not end well."""
        key = f"{name} {sorted(wanted.items())}"
        if key not in self._runs:
            self._runs[key] = self._ask(
                name, wanted, timeout_s, uuid.uuid5(uuid.NAMESPACE_URL, f"{self._id} {key}").hex
            )
        return self._runs[key]

    def _ask(self, name: str, wanted: Mapping[str, JSON], timeout_s: float, once: str) -> dict[str, list[JSON]]:
        run = self._transport.post(f"/api/v1/suites/{quote(name, safe='')}/runs", wanted, once=once)
        path, until = f"/api/v1/runs/{run['id']}", time.monotonic() + timeout_s
        while run["state"] in OPEN:
            if time.monotonic() > until:
                pytest.fail(f"Run {run['id']} takes longer than {timeout_s:g} s: {run['done']} answers.", pytrace=False)
            time.sleep(LOOK_S)
            run = self._transport.get(path, {}, "").data
        if run["state"] != "finished":
            pytest.fail(f"Run {run['id']} is {run['state']}. {run['reason']}", pytrace=False)
        found: dict[str, list[JSON]] = {}
        for row in self._pages(f"{path}/results"):
            found.setdefault(row["case"], []).append(row)
        return found

    def _pages(self, path: str) -> Iterator[JSON]:
        page, there = 1, True
        while there:
            answer = self._transport.get(path, {"page": str(page), "page_size": "100"}, "").data
            yield from answer["results"]
            page, there = page + 1, bool(answer["next"])


_KEPT: Final = pytest.StashKey[_Session]()


def _session(config: pytest.Config) -> _Session:
    """Return what this run of pytest keeps. Raises ValueError without PROMPTLAB_URL."""
    if _KEPT not in config.stash:
        config.stash[_KEPT] = _Session()
        config.add_cleanup(config.stash[_KEPT].close)
    return config.stash[_KEPT]


def _case(said: Mapping[str, JSON], common: Sequence[JSON]) -> SuiteCase:
    return SuiteCase(
        said["name"],
        said["variables"],
        said["messages"],
        said["expected"],
        said["tags"],
        said["required"],
        said["repeats"],
        [Check(one["kind"], one["options"]) for one in (*common, *said["checks"])],
    )


def _decide(check: Check, answer: Answer) -> Outcome:
    if check.kind != "json_schema":
        return decide(check.kind, check.options, answer)
    try:
        library = import_module("jsonschema")
    except ImportError:
        return Outcome(None, "json_schema takes the library jsonschema, or the server.")
    return decide_schema(library.Draft202012Validator(check.options["schema"]), answer)


def _since(began: float) -> int:
    return round((time.perf_counter() - began) * 1000)


def _come_to(case: SuiteCase, asked: Sequence[tuple[Any, int]], undecided: str) -> None:
    """End the test as its answers deserve."""
    states: Counter[str] = Counter()
    said = []
    for answer, latency_ms in asked:
        if not isinstance(answer, str | Answer):
            pytest.fail(f"Return what was answered, a text, not {type(answer).__name__}.", pytrace=False)
        found = case.outcomes(answer, latency_ms)
        wrong = [(kind, one) for kind, one in found if one.passed is False]
        open_ = [(kind, one) for kind, one in found if one.passed is None]
        states["failed" if wrong else "open" if open_ else "passed"] += 1
        said += [f"{kind}: {one.detail}" for kind, one in wrong or open_]
        if wrong:
            said.append(f"Answer: {(answer.text if isinstance(answer, Answer) else answer)[:MOST_SHOWN]}")
    _end(states, said, undecided)


def _read(case: SuiteCase, rows: Sequence[Mapping[str, JSON]]) -> None:
    """End the test as the server's answers deserve, model by model."""
    for model in dict.fromkeys(row["model"] for row in rows):
        states: Counter[str] = Counter()
        said = []
        for row in (one for one in rows if one["model"] == model):
            states[row["state"] if row["state"] in ("passed", "failed") else "open"] += 1
            said += [f"{one['check']}: {one['detail']}" for one in row["outcomes"] if one["passed"] is not True]
            said += [row["problem"]] if row["problem"] else []
            if row["state"] == "failed":
                said.append(f"{model}: {row['text'][:MOST_SHOWN]}")
        _end(states, said, "fail")


def _end(states: Counter[str], said: Sequence[str], undecided: str) -> None:
    """Pass when more than half of the answers do; who may still pass by what is undecided neither passes nor fails."""
    total = states.total()
    if 2 * states["passed"] > total:
        return
    problem = "\n".join([f"{states['passed']} of {total} answers passed.", *said])
    if 2 * (states["passed"] + states["open"]) > total and undecided == "skip":
        pytest.skip(problem)
    pytest.fail(problem, pytrace=False)
