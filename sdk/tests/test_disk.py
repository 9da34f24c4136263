"""The last known good on disk: a new process starts without a server."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cast import Connect, until
from fake_server import Fault, PromptServer
from promptlab_sdk import PromptNotFound, Prompts, ServiceUnavailable
from promptlab_sdk.disk import Disk, disk_path
from promptlab_sdk.kernel.spec import Content
from promptlab_sdk.source import bundle_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "last.json"


@pytest.fixture
def again(connect: Connect, path: Path) -> Callable[..., Prompts]:
    """Return a function that makes one client after the other over the same file, as new processes do."""
    return lambda **options: connect(disk=Disk(path), **options)


def test_a_new_process_starts_from_disk_while_the_server_is_away(
    server: PromptServer, again: Callable[..., Prompts]
) -> None:
    server.deploy("test", "Hi {{name}}", version=4, revision=9)
    with again() as first:
        first.get("test", name="Alex")
    server.kill()
    text = again().get("test", name="Zoë")
    assert (text, text.source, text.prompt.version, text.revision) == ("Hi Zoë", "disk", 4, 9)


def test_what_comes_from_disk_is_confirmed_as_soon_as_the_server_is_back(
    server: PromptServer, again: Callable[..., Prompts], clock: Callable[[], float]
) -> None:
    server.deploy("test", "one")
    with again() as first:
        first.get("test")
    server.kill()
    second = again()
    assert second.get("test").source == "disk"
    server.deploy("test", "two", revision=2)
    server.start()
    clock.pass_(5)  # type: ignore[attr-defined]
    assert second.get("test") == "one"
    until(lambda: second.get("test") == "two")
    assert second.get("test").source == "cache"


def test_after_one_failure_no_other_prompt_waits_for_the_network(
    server: PromptServer, again: Callable[..., Prompts]
) -> None:
    for name in ("a", "b", "c"):
        server.deploy(name, name)
    with again() as first:
        first.prefetch("a", "b", "c")
    asked = len(server.requests)
    server.fault = Fault(503)
    second = again()
    assert [second.get(name).source for name in ("a", "b", "c")] == ["disk"] * 3
    assert len(server.requests) == asked + 1


def test_the_network_comes_before_the_disk(server: PromptServer, again: Callable[..., Prompts]) -> None:
    server.deploy("test", "one")
    with again() as first:
        first.get("test")
    server.deploy("test", "two", revision=2)
    text = again().get("test")
    assert (text, text.source) == ("two", "network")


def test_a_pinned_version_and_an_experiment_survive_as_well(
    server: PromptServer, again: Callable[..., Prompts]
) -> None:
    from test_experiment import make_experiment

    server.deploy("test", "live {{a}}", version=3, experiment=make_experiment())
    with again() as first:
        first.get("test", version=3, a="x")
        before = first.get("test", unit_id="user-1", a="x")
    server.kill()
    second = again()
    assert second.get("test", version=3, a="x") == "live x"
    after = second.get("test", unit_id="user-1", a="x")
    assert (after, after.variant) == (before, before.variant)


def test_what_the_server_has_taken_down_goes_from_disk_too(server: PromptServer, again: Callable[..., Prompts]) -> None:
    server.deploy("test", "one")
    with again() as first:
        first.get("test")
    server.remove("test")
    with again() as second, pytest.raises(PromptNotFound):
        second.get("test")
    server.kill()
    with pytest.raises(ServiceUnavailable):
        again().get("test")


def test_a_revoked_key_starts_from_its_disk(server: PromptServer, again: Callable[..., Prompts]) -> None:
    server.deploy("test", "one")
    with again() as first:
        first.get("test")
    server.fault = Fault(401)
    assert again().get("test").source == "disk"


def test_the_age_is_told_once(
    server: PromptServer, connect: Connect, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b"):
        server.deploy(name, name)
    with connect(disk=Disk(path, wall=lambda: 1000.0)) as first:
        first.prefetch("a", "b")
    server.kill()
    second = connect(disk=Disk(path, wall=lambda: 4600.0))
    with caplog.at_level(logging.WARNING, logger="promptlab"):
        second.prefetch("a", "b")
    assert caplog.text.count("last known good from disk") == 1
    assert "age_s=3600" in caplog.text
    assert [round(entry.age_s) for entry in second.status().entries] == [3600, 3600]


@pytest.mark.parametrize(
    "damage",
    [
        lambda body: body[:-20],
        lambda body: body.replace(b"one", b"two"),
        lambda body: b"",
        lambda body: b"\0" * 100,
        lambda body: b'{"format": 1}\n{}',
        lambda body: b"[]\n[]",
        lambda body: b'{"format": 99, "sha256": ""}\n{}',
    ],
)
def test_a_damaged_file_is_as_good_as_none_and_is_replaced(
    server: PromptServer, again: Callable[..., Prompts], path: Path, damage: Callable[[bytes], bytes]
) -> None:
    server.deploy("test", "one")
    with again() as first:
        first.get("test")
    path.write_bytes(damage(path.read_bytes()))
    server.kill()
    with again() as second:
        assert second.get("test", fallback="plan b") == "plan b"
    server.start()
    with again() as third:
        third.get("test")
    server.kill()
    assert again().get("test") == "one"


def test_the_file_is_private_and_its_name_tells_nothing(
    server: PromptServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTLAB_CACHE_DIR", str(tmp_path / "mine"))
    server.deploy("test", "one")
    with Prompts.connect(server.url, api_key="pl_secret", env="production") as prompts:
        prompts.get("test")
        disk = prompts.status().disk
    (file,) = (tmp_path / "mine").glob("*.json")
    assert str(file) == disk
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert b"pl_secret" not in file.read_bytes()
    others = {
        disk_path(None, server.url, env, key) for env in ("production", "staging") for key in ("pl_secret", "pl_b")
    }
    assert len(others) == 4
    assert file in others


def test_the_disk_can_be_switched_off(server: PromptServer, tmp_path: Path) -> None:
    server.deploy("test", "one")
    with Prompts.connect(server.url, cache_dir=False) as prompts:
        prompts.get("test")
    assert not list(tmp_path.rglob("*.json"))


def test_a_folder_that_cannot_be_written_costs_a_warning(
    server: PromptServer, connect: Connect, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    server.deploy("test", "one")
    with connect(disk=Disk(tmp_path / "file" / "last.json")) as prompts:
        assert prompts.get("test") == "one"
    assert "cannot be written" in caplog.text


def test_clients_of_one_file_keep_each_others_prompts(server: PromptServer, again: Callable[..., Prompts]) -> None:
    server.deploy("a", "A")
    server.deploy("b", "B")
    first, second = again(), again()
    first.get("a")
    second.get("b")
    first.close()
    second.close()
    server.kill()
    third = again()
    assert (third.get("a"), third.get("b")) == ("A", "B")


def test_it_is_written_while_the_process_runs(server: PromptServer, again: Callable[..., Prompts], path: Path) -> None:
    server.deploy("test", "one")
    prompts = again()
    prompts.get("test")
    until(path.exists, "the file")
    assert b"one" in path.read_bytes()
    assert [name.name for name in path.parent.iterdir() if name.suffix == ""] == []


def test_a_whole_environment_is_kept(server: PromptServer, again: Callable[..., Prompts]) -> None:
    server.deploy("a", "A")
    server.deploy("b", "B", revision=2)
    with again(refresh="poll") as first:
        first.get("a")
        until(lambda: first.status().is_connected)
    server.kill()
    second = again()
    assert (second.get("a"), second.get("b"), second.get("b", "production")) == ("A", "B", "B")


def test_a_killed_server_and_a_fresh_process(server: PromptServer, tmp_path: Path) -> None:
    """A process starts from the network; the next one, without a server, from disk; one on a new machine from the lock."""
    from promptlab_sdk.bootstrap import signature

    server.deploy("test", Content(text="Hi {{name}}"), version=3)
    code = """
import sys
from promptlab_sdk import Prompts
with Prompts.connect(sys.argv[1], cache_dir=sys.argv[2], bootstrap=sys.argv[3], bootstrap_key="secret") as prompts:
    text = prompts.get("test", name="Alex")
    print(text, text.source, text.prompt.version)
"""
    lock = tmp_path / "prompts.lock"
    payload = bundle_of(server.bundle("production"))
    raw = server.bundle("production")
    made_at = "2026-11-01T10:00:00+00:00"
    signed = {"payload": raw, "created_at": made_at, "signature": signature(raw, made_at, "secret"), "key_id": "k1"}
    lock.write_text(json.dumps(signed))
    assert payload.revision == 1

    def run(folder: str) -> str:
        command = [sys.executable, "-c", code, server.url, str(tmp_path / folder), str(lock)]
        env = {**os.environ, "PYTHONWARNINGS": "error"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=60)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout.strip()

    assert run("here") == "Hi Alex network 3"
    server.kill()
    assert run("here") == "Hi Alex disk 3"
    assert run("elsewhere") == "Hi Alex bootstrap 3"
