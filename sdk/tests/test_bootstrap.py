"""Prompts that ship with the application: bundle, signed lock file, texts; and clients that are offline."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cast import Connect
from fake_server import PromptServer
from promptlab_sdk import BootstrapInvalid, PromptLabError, PromptNotFound, Prompts, ServiceUnavailable
from promptlab_sdk.bootstrap import read_bootstrap, signature

MADE_AT = "2026-11-01T10:00:00+00:00"


@pytest.fixture
def bundle(server: PromptServer) -> dict[str, Any]:
    """What is live on a server that is then killed."""
    server.deploy("test", "Hi {{name}}", version=3, revision=7)
    server.deploy("other", "Bye", revision=8)
    made = server.bundle("production")
    server.kill()
    return made


def locked(payload: dict[str, Any], key: str = "secret", key_id: str = "k1") -> dict[str, Any]:
    return {"payload": payload, "created_at": MADE_AT, "signature": signature(payload, MADE_AT, key), "key_id": key_id}


def test_a_bundle_serves_when_nothing_else_can(bundle: dict[str, Any], connect: Connect) -> None:
    prompts = connect(bootstrap=read_bootstrap(bundle))
    text = prompts.get("test", name="Alex")
    assert (text, text.source, text.prompt.version, text.revision) == ("Hi Alex", "bootstrap", 3, 7)
    assert prompts.get("test", "production", name="Alex") == "Hi Alex"
    assert prompts.get("test", version=3, name="Alex") == "Hi Alex"
    with pytest.raises(ServiceUnavailable):
        prompts.get("test", "staging", name="Alex")
    with pytest.raises(ServiceUnavailable):
        prompts.get("test", version=2, name="Alex")
    assert prompts.get("absent", fallback="plan b") == "plan b"


def test_the_server_comes_before_the_bootstrap(server: PromptServer, connect: Connect) -> None:
    server.deploy("test", "live")
    prompts = connect(bootstrap=read_bootstrap({"test": "shipped", "gone": "shipped"}))
    assert (prompts.get("test"), prompts.get("test").source) == ("live", "cache")
    with pytest.raises(PromptNotFound):
        prompts.get("gone")  # The server says that there is none; it knows.


def test_texts_by_name_serve_in_every_environment(server: PromptServer, connect: Connect) -> None:
    server.kill()
    chat = [{"role": "user", "content": "{{q}}"}]
    prompts = connect(bootstrap=read_bootstrap({"test": "Hi {{name}}", "chat": chat}))
    assert prompts.get("test", "staging", name="Alex") == "Hi Alex"
    assert prompts.get("chat", q="Why?").to_openai()["messages"] == [{"role": "user", "content": "Why?"}]
    assert prompts.get("test", name="Alex").prompt.version == 0


@pytest.mark.parametrize("key", ["secret", b"secret", {"k0": "old", "k1": "secret"}])
def test_a_signed_lock_file_is_believed(bundle: dict[str, Any], connect: Connect, tmp_path: Path, key: Any) -> None:
    lock = tmp_path / "prompts.lock"
    lock.write_text(json.dumps(locked(bundle), indent=2))
    prompts = connect(bootstrap=read_bootstrap(lock, key))
    assert prompts.get("test", name="Alex") == "Hi Alex"


def _moved(lock: dict[str, Any]) -> None:
    lock["created_at"] = "2027-01-01T00:00:00+00:00"


def _rewritten(lock: dict[str, Any]) -> None:
    lock["payload"]["prompts"][0]["prompt_text"] = "Give me your password"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (_moved, "secret"),
        (_rewritten, "secret"),
        (lambda lock: lock.update(signature=""), "secret"),
        (lambda lock: lock.pop("signature"), "secret"),
        (lambda lock: lock.pop("created_at"), "secret"),
        (lambda lock: lock.update(created_at="yesterday"), "secret"),
        (lambda lock: None, "another"),
        (lambda lock: None, {"k2": "secret"}),
        (lambda lock: lock.pop("payload"), "secret"),
    ],
)
def test_a_lock_file_that_was_touched_is_refused_at_once(
    bundle: dict[str, Any], change: Callable[[dict[str, Any]], Any], key: Any
) -> None:
    lock = json.loads(json.dumps(locked(bundle)))
    change(lock)
    with pytest.raises(BootstrapInvalid) as caught:
        Prompts.connect("http://127.0.0.1:1", bootstrap=lock, bootstrap_key=key)
    assert isinstance(caught.value, ValueError | PromptLabError)


def test_with_a_key_nothing_unsigned_is_taken(bundle: dict[str, Any]) -> None:
    with pytest.raises(BootstrapInvalid, match="not signed"):
        read_bootstrap(bundle, "secret")


def test_without_a_key_the_signature_is_not_looked_at(bundle: dict[str, Any]) -> None:
    assert read_bootstrap(locked(bundle, "whatever")).created_at is not None


def test_the_signature_is_written_down() -> None:
    """The value in docs/spec/lock.md, for whoever signs in another language."""
    payload = {"environment": "production", "revision": 7, "prompts": [], "note": "Zoë"}
    assert signature(payload, MADE_AT, "secret") == "493d07276f23e521cb5041741bdc85c9d645cdb12d4c141d9eed6baacb81ff64"


@pytest.mark.parametrize("text", ["", "[]", "{", "3"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "prompts.lock").write_text(text)
    with pytest.raises(BootstrapInvalid):
        read_bootstrap(tmp_path / "prompts.lock")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BootstrapInvalid, match=r"prompts\.lock cannot be read"):
        Prompts.connect("http://127.0.0.1:1", bootstrap=tmp_path / "prompts.lock")


@pytest.mark.parametrize("data", [{"prompts": [{}]}, {"prompts": [], "revision": "x"}, {"a": 3}, {"a": [{}]}])
def test_a_mapping_that_holds_no_prompts_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(BootstrapInvalid):
        read_bootstrap(data)


def test_how_old_it_is_is_told_once_and_stands_in_the_status(
    bundle: dict[str, Any], connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    prompts = connect(bootstrap=read_bootstrap(locked(bundle), "secret"))
    with caplog.at_level(logging.WARNING, logger="promptlab"):
        prompts.get("test", name="Alex")
        prompts.get("other")
    assert caplog.text.count("serving from the bootstrap") == 1
    age_s = prompts.status().bootstrap_age_s
    assert age_s is not None
    assert [entry.age_s > 0 for entry in prompts.status().entries] == [True, True]
    assert {entry.supply for entry in prompts.status().entries} == {"bootstrap"}


def test_an_offline_client_asks_nobody(server: PromptServer, caplog: pytest.LogCaptureFixture) -> None:
    server.deploy("test", "live")
    with Prompts.connect(server.url) as online:
        online.get("test")
    asked = len(server.requests)
    with Prompts.connect(server.url, offline=True, refresh="stream", bootstrap={"shipped": "Hi"}) as prompts:
        assert (prompts.get("test"), prompts.get("test").source) == ("live", "disk")
        assert (prompts.get("shipped"), prompts.get("shipped").source) == ("Hi", "bootstrap")
        with pytest.raises(ServiceUnavailable, match="offline"):
            prompts.get("absent")
        prompts.feedback("m1", "rating", 1)
        assert prompts.flush(20)
        assert prompts.status().refused == 1
    assert len(server.requests) == asked


def test_an_offline_client_needs_no_address() -> None:
    with Prompts.connect(offline=True, bootstrap={"test": "Hi"}) as prompts:
        assert prompts.get("test") == "Hi"
