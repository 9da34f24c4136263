"""Modes "poll" and "stream": changes arrive without being asked for, and a lost connection costs freshness only."""

from __future__ import annotations

import logging
import os
import socket
from typing import Any

import pytest
from cast import Clock, Connect, our_threads, settle, until
from fake_server import Fault, PromptServer
from promptlab_sdk import Prompt, PromptNotFound, Prompts, __version__
from test_experiment import make_experiment


@pytest.fixture
def stream(server: PromptServer, connect: Connect) -> Prompts:
    """A client that listens, with `a` and `b` in memory."""
    server.deploy("a", "a1", revision=1)
    server.deploy("b", "b1", revision=2)
    prompts = connect(refresh="stream")
    prompts.get("a")
    until(lambda: prompts.status().is_connected, "the connection")
    return prompts


def test_nothing_is_started_before_the_first_prompt_is_asked_for(server: PromptServer, connect: Connect) -> None:
    connect(refresh="stream")
    connect(refresh="poll")
    assert (our_threads(), server.requests) == ([], [])


def test_a_stream_brings_the_whole_environment(server: PromptServer, stream: Prompts) -> None:
    asked = len(server.requests)
    assert (stream.get("b"), stream.get("b").source) == ("b1", "cache")
    assert len(server.requests) == asked
    assert stream.status().revision == 2


def test_what_moves_arrives_without_anybody_asking(server: PromptServer, stream: Prompts) -> None:
    server.deploy("a", "a2", revision=3)
    server.tell()
    until(lambda: stream.get("a") == "a2", "the new text")
    assert (stream.get("a").source, stream.get("a").revision, stream.status().revision) == ("cache", 3, 3)


def test_what_comes_along_with_an_event_is_not_asked_for(server: PromptServer, stream: Prompts) -> None:
    heard: list[int | None] = []
    stream.on_change(lambda name, prompt: heard.append(prompt.revision))
    asked = len(server.requests)
    server.deploy("a", "a2", revision=3)
    server.tell(carry=True)
    until(lambda: stream.status().revision == 3)
    assert (stream.get("a"), stream.get("a").source, stream.get("a").revision) == ("a2", "cache", 3)
    server.deploy("new", "n1", revision=4)
    server.tell(carry=True)
    until(lambda: stream.status().revision == 4)
    assert (stream.get("new"), heard, len(server.requests)) == ("n1", [3], asked)


def test_what_comes_along_twice_or_older_than_what_is_there_changes_nothing(
    server: PromptServer, stream: Prompts
) -> None:
    server.deploy("a", "a4", revision=4)
    stream.invalidate("a")
    assert stream.get("a") == "a4"  # Somebody asked meanwhile, and got what the server had next.
    server.deploy("a", "a3", revision=3)
    server.tell(carry=True)
    until(lambda: stream.status().revision == 3)
    assert (stream.get("a"), stream.get("a").revision) == ("a4", 4)


def test_what_comes_along_broken_means_everything(server: PromptServer, stream: Prompts) -> None:
    server.deploy("a", "a2", revision=3)
    server.say('event: deployment\ndata: {"revision": 3, "names": ["a"], "prompts": [{"name": "a"}]}\n\n')
    until(lambda: stream.get("a") == "a2")


def test_a_kill_switch_arrives_the_same_way(server: PromptServer, stream: Prompts) -> None:
    server.deploy("a", "live {{a}}", revision=3, experiment=make_experiment())
    server.tell()
    until(lambda: stream.fetch("a", unit_id="user-1").variant is not None)
    server.deploy("a", "live {{a}}", revision=4, experiment=make_experiment(state="killed"))
    server.tell()
    until(lambda: stream.fetch("a", unit_id="user-1").variant is None)
    assert stream.get("a", unit_id="user-1", a="x") == "control x"


def test_a_prompt_that_is_new_arrives_as_well(server: PromptServer, stream: Prompts) -> None:
    server.deploy("new", "n1", revision=3)
    server.tell()
    until(lambda: stream.status().revision == 3)
    asked = len(server.requests)
    assert stream.get("new") == "n1"
    assert len(server.requests) == asked


def test_a_prompt_that_is_taken_down_goes_away(server: PromptServer, stream: Prompts) -> None:
    server.deploy("a", "a2", revision=3)
    server.remove("a")
    server.tell()
    until(lambda: stream.status().revision == 3)
    with pytest.raises(PromptNotFound):
        stream.get("a")
    assert stream.get("b") == "b1"


def test_an_event_without_names_means_everything(server: PromptServer, stream: Prompts) -> None:
    server.deploy("a", "a2", revision=3)
    server.deploy("b", "b2", revision=4)
    server.tell(names=[])
    until(lambda: (stream.get("a"), stream.get("b")) == ("a2", "b2"))
    assert server.paths().count("/api/v1/bundle") == 2


def test_an_event_that_cannot_be_read_means_everything(server: PromptServer, stream: Prompts) -> None:
    server.deploy("a", "a2", revision=3)
    server.say("event: deployment\ndata: {oops\n\n")
    until(lambda: stream.get("a") == "a2")


def test_a_server_process_that_is_behind_is_asked_again(server: PromptServer, stream: Prompts) -> None:
    server.deploy("a", "a3", revision=3)
    server.deploy("a", "a1", revision=1)  # What the process that is behind still serves ...
    server._moves.append((3, "production", ["a"]))  # ... while another one tells of revision 3.
    server.tell()
    path = "/api/v1/prompts/a/deployed/"
    until(lambda: server.paths().count(path) >= 3, "a second try")
    server.deploy("a", "a3", revision=3)
    until(lambda: stream.get("a") == "a3")


def test_what_was_missed_while_the_stream_was_broken_is_caught_up(server: PromptServer, stream: Prompts) -> None:
    server.kill()
    until(lambda: not stream.status().is_connected, "the loss")
    assert stream.get("a") == "a1"
    server.deploy("a", "a2", revision=3)
    server.deploy("c", "c1", revision=4)
    server.start()
    until(lambda: (stream.get("a"), stream.status().is_connected) == ("a2", True))
    assert (stream.get("c"), stream.status().revision) == ("c1", 4)
    resumed = [request.headers.get("last-event-id") for request in server.requests if request.path == "/api/v1/events"]
    assert resumed[0] is None
    assert resumed[-1] == "2"


def test_a_database_restored_from_a_copy_is_believed(server: PromptServer, stream: Prompts) -> None:
    server.kill()
    server._moves.clear()
    server.remove("b")
    server.deploy("a", "a0", revision=1)
    server.start()
    until(lambda: stream.get("a") == "a0")
    assert stream.status().revision == 1


def test_a_stream_that_falls_silent_leaves_memory_that_is_asked_for_lazily(
    server: PromptServer, stream: Prompts, clock: Clock
) -> None:
    server.deploy("a", "a2", revision=3)
    clock.pass_(91)
    assert stream.get("a").source == "stale"
    until(lambda: stream.get("a") == "a2")


def test_a_sign_of_life_keeps_memory_fresh(server: PromptServer, stream: Prompts, clock: Clock) -> None:
    clock.pass_(80)
    server.say(": keep-alive\n\n")
    until(lambda: [entry.age_s for entry in stream.status().entries if entry.name == "b"] == [0])
    clock.pass_(80)
    assert stream.get("b").source == "cache"


@pytest.mark.parametrize("status", [404, 503])
def test_without_a_stream_the_bundle_is_asked_for(server: PromptServer, connect: Connect, status: int) -> None:
    server.faults_at["/api/v1/events"] = Fault(status)
    server.deploy("a", "a1")
    server.deploy("b", "b1", revision=2)
    prompts = connect(refresh="stream")
    prompts.get("a")
    until(lambda: {entry.name for entry in prompts.status().entries} == {"a", "b"}, "the bundle")
    server.faults_at.clear()
    until(lambda: prompts.status().is_connected, "the stream")


def test_without_either_everything_is_lazy(server: PromptServer, connect: Connect, clock: Clock) -> None:
    server.faults_at = {"/api/v1/events": Fault(404), "/api/v1/bundle": Fault(404)}
    server.deploy("a", "a1")
    prompts = connect(refresh="stream")
    prompts.get("a")
    server.deploy("a", "a2", revision=2)
    clock.pass_(60)
    assert prompts.get("a") == "a1"
    until(lambda: prompts.get("a") == "a2")


def test_polling_brings_changes_and_sends_the_etag(server: PromptServer, connect: Connect) -> None:
    server.deploy("a", "a1")
    prompts = connect(refresh="poll", poll_interval=0.05)
    prompts.get("a")
    until(lambda: server.paths().count("/api/v1/bundle") >= 3)
    server.deploy("a", "a2", revision=2)
    until(lambda: prompts.get("a") == "a2")
    tags = [request.headers.get("if-none-match") for request in server.requests if request.path == "/api/v1/bundle"]
    assert tags[0] is None
    assert tags[1] is not None
    assert tags[1] == tags[2]


def test_polling_survives_an_outage_quietly(
    server: PromptServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    server.deploy("a", "a1")
    prompts = connect(refresh="poll", poll_interval=0.05)
    prompts.get("a")
    until(lambda: prompts.status().is_connected)
    server.kill()
    until(lambda: not prompts.status().is_connected)
    assert prompts.get("a") == "a1"
    server.deploy("a", "a2", revision=2)
    server.start()
    until(lambda: prompts.get("a") == "a2")
    assert not [record for record in caplog.records if record.levelno > logging.WARNING]


def test_the_keys_own_environment_is_followed_under_its_name(server: PromptServer, connect: Connect) -> None:
    server.default_environment = "staging"
    server.deploy("a", "s1", environment="staging")
    server.deploy("a", "p1", environment="production")
    prompts = connect(refresh="poll", poll_interval=30)
    prompts.get("a")
    until(lambda: prompts.status().is_connected)
    assert (prompts.get("a"), prompts.get("a", "staging"), prompts.get("a", "production")) == ("s1", "s1", "p1")


def test_who_wants_to_know_hears_of_changes(server: PromptServer, stream: Prompts) -> None:
    heard: list[tuple[str, int]] = []

    def note(name: str, prompt: Prompt) -> None:
        heard.append((name, prompt.version))

    def faulty(name: str, prompt: Prompt) -> None:
        raise RuntimeError(name)

    stream.on_change(faulty)
    forget = stream.on_change(note)
    server.deploy("a", "a2", version=2, revision=3)
    server.tell()
    until(lambda: heard == [("a", 2)])
    server.deploy("b", "b1", revision=4)  # The same text again: nothing has changed for anybody.
    server.tell()
    until(lambda: stream.status().revision == 4)
    forget()
    server.deploy("a", "a3", version=3, revision=5)
    server.tell()
    until(lambda: stream.get("a") == "a3")
    assert heard == [("a", 2)]


def test_on_change_works_without_a_stream_too(server: PromptServer, prompts: Prompts, clock: Clock) -> None:
    heard: list[str] = []
    prompts.on_change(lambda name, prompt: heard.append(f"{name} {prompt.version}"))
    server.deploy("a", "a1")
    prompts.get("a")
    server.deploy("a", "a2", version=2, revision=2)
    clock.pass_(60)
    prompts.get("a")
    settle()
    assert heard == ["a 2"]


def test_the_revision_is_reported_when_it_changes_and_in_between(server: PromptServer, connect: Connect) -> None:
    server.heartbeat_s = 1
    server.deploy("a", "a1", revision=7)
    prompts = connect(refresh="stream")
    prompts.get("a")
    until(lambda: prompts.status().is_connected)

    def reports() -> list[dict[str, Any]]:
        return [request.body for request in server.requests if request.path == "/api/v1/heartbeats"]

    until(lambda: len(reports()) == 2, "a report although nothing has changed")
    server.deploy("a", "a2", revision=8)
    server.tell()
    until(lambda: reports()[-1]["revision"] == 8, "a report of revision 8")
    assert {report["revision"] for report in reports()} == {7, 8}
    first, second = reports()[:2]
    assert second["age_ms"] >= first["age_ms"] + 500
    assert first == {
        "environment": "production",
        "revision": 7,
        "sdk": "promptlab-sdk-python",
        "version": __version__,
        "host": socket.gethostname(),
        "process": str(os.getpid()),
        "age_ms": first["age_ms"],
    }
    prompts.close()
    assert reports()[-1]["leaving"] is True


def test_nothing_is_reported_to_a_server_that_does_not_ask(server: PromptServer, stream: Prompts) -> None:
    assert "/api/v1/heartbeats" not in server.paths()


def test_a_failing_report_disturbs_nothing(server: PromptServer, connect: Connect) -> None:
    server.heartbeat_s = 60
    server.faults_at["/api/v1/heartbeats"] = Fault(500)
    server.deploy("a", "a1", revision=7)
    prompts = connect(refresh="stream")
    prompts.get("a")
    until(lambda: "/api/v1/heartbeats" in server.paths())
    server.deploy("a", "a2", revision=8)
    server.tell()
    until(lambda: prompts.get("a") == "a2")
    assert prompts.status().is_connected


@pytest.mark.parametrize("mode", ["poll", "stream"])
def test_however_long_the_server_was_away_it_is_found_within_a_poll_interval(connect: Connect, mode: str) -> None:
    follower = connect(refresh=mode, poll_interval=20)._core.follower
    pauses = [follower._pause_s(failures) for failures in range(11) for _ in range(50)]
    assert max(pauses) <= 20
    assert min(pauses[-50:]) >= 10  # Nor do all knock at every moment.


def test_close_ends_the_stream_at_once(server: PromptServer, stream: Prompts) -> None:
    stream.close()
    assert our_threads() == []
    assert stream.get("a") == "a1"


def test_memory_stays_bounded_by_the_number_of_prompts(server: PromptServer, connect: Connect) -> None:
    for number in range(30):
        server.deploy(f"p{number}", "text", revision=number + 1)
    prompts = connect(refresh="poll", poll_interval=30, max_prompts=10)
    prompts.get("p29")
    until(lambda: prompts.status().is_connected)
    assert len(prompts.status().entries) == 10
    assert prompts.get("p29").source == "cache"
    assert prompts.get("p0") == "text"
    assert len(prompts.status().entries) == 10
