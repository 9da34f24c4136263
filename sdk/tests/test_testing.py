"""Test suites as tests of pytest, in a process of its own against a small server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from promptlab_sdk.testing import Answer, Check, SuiteCase

CASES = [
    ("Refund", [("equals", {"value": None, "ignore_case": True})], "yes", 1),
    ("Late", [("contains", {"values": ["sorry"], "any": False, "ignore_case": True})], "", 1),
    ("Kind", [("judge", {"prompt": "judge", "rubric": "kind", "least": 0.5})], "", 1),
    ("Thrice", [("regex", {"pattern": "^[ab]$"})], "", 3),
]
LOCAL = """
from itertools import cycle
from promptlab_sdk.testing import prompt_suite

said = cycle("abx")

@prompt_suite("replies")
def test_reply(case, tmp_path):
    return {"Refund": "YES", "Late": "no", "Kind": "hello"}.get(case.name) or next(said)

@prompt_suite("replies", undecided="fail")
def test_strict(case):
    return "yes, sorry" if case.name == "Late" else "a"
"""
SERVER = """
from promptlab_sdk.testing import suite_run
test_newest = suite_run("replies", version=3, models=["m"], budget_usd=0.5)
test_again = suite_run("replies", version=3, models=["m"], budget_usd=0.5)
"""


class Suites(ThreadingHTTPServer):
    """Answers as PromptLab does for one suite, two cases a page; keeps what was posted."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.posted: list[tuple[Any, str]] = []
        self.looks = 0
        self.state = "finished"

    def answer(self, path: str, page: int) -> Any:
        cases = [
            {
                "name": name, "variables": {}, "messages": [], "expected": expected, "tags": [], "required": False,
                "repeats": repeats, "checks": [{"kind": kind, "options": options} for kind, options in checks],
            }
            for name, checks, expected, repeats in CASES
        ]  # fmt: skip
        if path == "/api/v1/suites/replies":
            common = {"values": ["never"], "whole_words": False, "ignore_case": True}
            return {"checks": [{"kind": "not_contains", "options": common}]}
        if path == "/api/v1/suites/replies/cases":
            return _page(cases, page)
        if path == "/api/v1/runs/7/results":
            return _page(
                [self._result(name, state) for name, state in (("Refund", "passed"), ("Late", "failed"))], page
            )
        self.looks += 1
        return {"id": 7, "state": "running" if self.looks < 2 else self.state, "reason": "No room.", "done": 1}

    def _result(self, name: str, state: str) -> Any:
        outcome = {"check": "contains", "passed": state == "passed", "detail": "Missing: sorry."}
        return {"case": name, "model": "m", "state": state, "outcomes": [outcome], "problem": "", "text": "no"}


def _page(rows: list[Any], page: int) -> Any:
    shown = rows[2 * page - 2 : 2 * page]
    return {"results": shown, "next": "more" if len(rows) > 2 * page else None}


class Handler(BaseHTTPRequestHandler):
    server: Suites

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path.startswith("/api/v1/suites/gone"):
            self._say(404, {"detail": "There is no such test suite.", "code": "suite_not_found"})
        else:
            self._say(200, self.server.answer(url.path, int(parse_qs(url.query).get("page", ["1"])[0])))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.posted.append((body, self.headers["Idempotency-Key"]))
        self._say(201, {"id": 7, "state": "queued", "reason": "", "done": 0})

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing to print."""

    def _say(self, status: int, data: Any) -> None:
        raw = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


@pytest.fixture
def suites() -> Any:
    running = Suites()
    Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


def pytest_says(folder: Path, source: str, server: Suites | None) -> str:
    """Return what pytest says of a test file in a process of its own."""
    (folder / "test_app.py").write_text(source)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rA",
        "-p",
        "promptlab_sdk.pytest_plugin",
        "-p",
        "no:cacheprovider",
    ]
    url = {"PROMPTLAB_URL": f"http://127.0.0.1:{server.server_port}", "PROMPTLAB_API_KEY": "pl_x"} if server else {}
    env = {**os.environ, **url, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # ours alone is asked for, and starts quickly
    done = subprocess.run(
        [*command, "--strict-markers", "--rootdir", str(folder), str(folder)],
        capture_output=True, text=True, check=False, cwd=folder, env=env,
    )  # fmt: skip
    return done.stdout


def test_every_case_is_a_test_decided_here(suites: Suites, tmp_path: Path) -> None:
    said = pytest_says(tmp_path, LOCAL, suites)
    assert "PASSED test_app.py::test_reply[Refund]" in said
    assert "FAILED test_app.py::test_reply[Late]" in said and "contains: Missing: sorry." in said
    assert "judge is decided by the server" in said and "SKIPPED" in said
    assert "PASSED test_app.py::test_reply[Thrice]" in said  # Two of three answers pass.
    assert "PASSED test_app.py::test_strict[Late]" in said and "FAILED test_app.py::test_strict[Kind]" in said
    assert suites.posted == []


def test_the_server_is_asked_once_for_all_cases(suites: Suites, tmp_path: Path) -> None:
    said = pytest_says(tmp_path, SERVER, suites)
    (asked,) = suites.posted
    assert asked[0] == {"version": "3", "models": ["m"], "budget_usd": "0.5", "note": "pytest"} and asked[1]
    assert "PASSED test_app.py::test_newest[Refund]" in said and "FAILED test_app.py::test_newest[Late]" in said
    assert "FAILED test_app.py::test_newest[Kind]" in said and "was not asked" in said
    assert "PASSED test_app.py::test_again[Refund]" in said


def test_a_run_that_stops_fails_with_its_reason(suites: Suites, tmp_path: Path) -> None:
    suites.state = "stopped"
    assert "Run 7 is stopped. No room." in pytest_says(tmp_path, SERVER, suites)


def test_what_cannot_be_fetched_fails_and_says_why(suites: Suites, tmp_path: Path) -> None:
    gone = pytest_says(tmp_path, LOCAL.replace('"replies"', '"gone"'), suites)
    assert "There is no such test suite." in gone and "Traceback" not in gone
    assert "Say where PromptLab is: PROMPTLAB_URL." in pytest_says(tmp_path, LOCAL, None)


def test_answers_may_say_what_they_cost() -> None:
    case = SuiteCase("Cheap", {}, [], "", [], False, 1, [Check("cost", {"most_usd": 0.01})])
    ((_, known),) = case.outcomes(Answer("hi", cost_usd=0.02))
    ((_, unknown),) = case.outcomes("hi")
    assert (known.passed, unknown.passed) == (False, None)


def test_schemas_are_decided_where_the_library_is() -> None:
    pytest.importorskip("jsonschema")
    schema = {"type": "object", "required": ["id"]}
    case = SuiteCase("Shape", {}, [], "", [], False, 1, [Check("json_schema", {"schema": schema})])
    assert [one.passed for _, one in case.outcomes('{"id": 1}')] == [True]
    assert [one.passed for _, one in case.outcomes("{}")] == [False]
