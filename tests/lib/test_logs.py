"""Log lines: one line of JSON each, with the request's id, and never a secret."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from promptlab.lib import logs

KEY = "pl_AbCd1234_" + "x" * 43


class Lines:
    """What the process wrote to standard error."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def __call__(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    written = Lines()
    root, level, before = logging.getLogger(), logging.getLogger().level, logging.getLogger().handlers
    monkeypatch.setattr("sys.stderr", written.stream)
    logs.configure("INFO")
    yield written
    root.handlers = before
    root.setLevel(level)
    structlog.contextvars.clear_contextvars()


def test_a_line_is_one_json_object_with_event_and_fields(lines: Lines) -> None:
    logs.get_logger("tests.some").info("deployed", prompt="greeting", text="two\nlines")
    (line,) = lines()
    assert line["event"] == "deployed"
    assert line["prompt"] == "greeting"
    assert line["text"] == "two\nlines"
    assert line["level"] == "info"
    assert line["logger"] == "tests.some"
    assert line["timestamp"].endswith("Z")


def test_lines_of_libraries_look_the_same(lines: Lines) -> None:
    logging.getLogger("somebody.else").warning("it %s", "broke")
    (line,) = lines()
    assert (line["event"], line["level"], line["logger"]) == ("it broke", "warning", "somebody.else")


@pytest.mark.parametrize("field", ["authorization", "x_api_key", "password", "secret", "key", "token", "PASSWORD"])
def test_fields_that_are_secrets_by_name_are_hidden(lines: Lines, field: str) -> None:
    logs.get_logger("tests.some").info("called", **{field: "hunter2"})
    assert "hunter2" not in lines.stream.getvalue()
    assert lines()[0][field] == "***"


def test_a_key_inside_any_text_is_hidden(lines: Lines) -> None:
    logs.get_logger("tests.some").info("called", url=f"/x?key={KEY}&y=1", where={"deep": [f"Bearer {KEY}"]})
    logging.getLogger("somebody.else").error("sent %s", KEY)
    try:
        raise RuntimeError(f"refused {KEY}")
    except RuntimeError:
        logs.get_logger("tests.some").exception("unexpected")
    assert KEY not in lines.stream.getvalue()
    assert lines()[0]["url"] == "/x?key=pl_***&y=1"
    assert "pl_***" in lines()[2]["exception"]


def test_every_line_of_a_request_carries_its_id(lines: Lines) -> None:
    assert logs.begin("req-1", address="10.0.0.9") == "req-1"
    logs.bind(task="some.task")
    logs.get_logger("tests.some").info("one")
    logging.getLogger("somebody.else").warning("two")
    for line in lines():
        assert (line["request_id"], line["address"], line["task"]) == ("req-1", "10.0.0.9", "some.task")
    assert (logs.request_id(), logs.client_address()) == ("req-1", "10.0.0.9")


def test_the_next_request_starts_with_nothing_of_the_last(lines: Lines) -> None:
    logs.begin("req-1", address="10.0.0.9")
    logs.bind(prompt="x")
    other = logs.begin()
    logs.get_logger("tests.some").info("one")
    assert other != "req-1"
    assert "prompt" not in lines()[0]
    assert "address" not in lines()[0]


@pytest.mark.parametrize("incoming", ["", "a b", "x" * 65, "a\nb", "é", "a\n", '"', "<script>"])
def test_an_id_that_is_not_well_formed_is_replaced(incoming: str) -> None:
    chosen = logs.begin(incoming)
    assert chosen != incoming
    assert len(chosen) == 32


@pytest.mark.parametrize("incoming", ["a", "x" * 64, "01J-a.b_c:d"])
def test_a_well_formed_id_is_kept(incoming: str) -> None:
    assert logs.begin(incoming) == incoming
