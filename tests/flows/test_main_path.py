"""The main path over real HTTP: write, deploy, fetch, chat, rate, see; then take it back, and pull the plug."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from promptlab_sdk import Prompts

from tests.flows.browser import Browser
from tests.flows.server import LiveServer

pytestmark = [pytest.mark.flow, pytest.mark.timeout(300)]
USERS = 200
OPEN = """
from feedback.models import Feedback
from promptlab.chat.models import Message
print(Message.objects.filter(state="streaming").count(), Feedback.objects.filter(rolled_up_at=None).count())
"""
FIRST = "Answer {{customer_name}} politely: {{question}}"
SECOND = "Answer {{customer_name}} politely and briefly: {{question}}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("f")) as running:
        yield running


@pytest.fixture(scope="module")
def key(server: LiveServer) -> str:
    """A key as operators make them."""
    scopes = "read,write,deploy,chat,feedback"
    options = ["--team", "Acme", "--name", "flow", "--scopes", scopes, "--calls-per-hour", "100000"]
    key = server.manage("issue_key", *options)
    assert key.startswith("pl_") and len(key.splitlines()) == 1
    return key


def sign_in(server: LiveServer) -> Browser:
    return Browser(server.base).open("/admin/").press("Sign in", username="cleo", password="a long secret")


def stream(client: httpx.Client, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Chat, and return the joined tokens and the last event."""
    text, last = "", {}
    with client.stream("POST", "/chat", json=body) as response:
        assert response.status_code == 200, response.read()
        for line in response.iter_lines():
            if line.startswith("data: "):
                last = json.loads(line.removeprefix("data: "))
                text += last.get("token", "")
    return text, last


def variant_rows(client: httpx.Client, experiment: str) -> dict[str, dict[str, Any]]:
    found = client.get(f"/api/v1/experiments/{experiment}/results").json()
    return {row["variant"]: row for row in found["variants"]}


def test_from_the_first_word_to_the_kill_switch(server: LiveServer, key: str) -> None:
    editor = sign_in(server)

    # Write: a prompt with two versions, through the forms.
    editor.open("/admin/prompts/prompt/add/").press("Save as v1", title="Support reply", prompt_text=FIRST)
    assert "It is not live yet" in editor.page
    prompt_url = editor.url
    editor.follow("Edit").press("Save as v2", prompt_text=SECOND, what_changed="Shorter answers")
    assert "v2" in editor.page

    # Deploy version 1, through the confirmation page.
    editor.open(prompt_url).follow("Put live in Production").press("Show", new_live_version="v1")
    editor.press("live in Production", why="First release")
    assert "v1 is live in Production" in editor.page, editor.page

    # Fetch and render, with the SDK.
    prompts = Prompts.connect(server.base, api_key=key, ttl=0.2)
    rendered = prompts.get("support-reply", env="production", customer_name="Alex", question="Where is it?")
    assert str(rendered) == "Answer Alex politely: Where is it?"

    # Start an experiment through the forms.
    editor.open("/admin/experiments/experiment/add/")
    editor.press("Go on", prompt="Support reply", environment="Production", title="Shorter replies")
    editor.press("Go on", version_1="v2").press("Go on")
    editor.press("Start anyway", why="Shorter may be better", compared="on")
    assert "Running" in editor.page

    client = httpx.Client(base_url=server.base, headers={"X-API-Key": key}, timeout=60)
    rated = chat_and_rate(client)

    # The dashboard shows exactly those counts.
    shown, ups = Counter(v for v, _ in rated.values()), Counter(v for v, rating in rated.values() if rating > 0)
    assert sum(shown.values()) == USERS and set(shown) == {"control", "v2"}
    server.wait_until(
        lambda: (
            {k: (r["shown"], r["rated"], r["up"]) for k, r in variant_rows(client, "shorter-replies").items()}
            == {k: (shown[k], shown[k], ups[k]) for k in shown}
        ),
        "the results do not show what was rated",
    )
    page = editor.open("/dashboards/experiments/shorter-replies/").page
    for variant in shown:
        assert str(shown[variant]) in page and str(ups[variant]) in page

    # Same people, same variants; the SDK and the gateway agree.
    for unit in list(rated)[:20]:
        assert prompts.get("support-reply", unit_id=unit, customer_name="A", question="?").variant == rated[unit][0]

    # Kill: everybody gets the control.
    editor.open("/admin/experiments/experiment/").follow("Shorter replies").follow("Stop now").press("Stop now")
    server.wait_until(lambda: all_control(client), "somebody still gets the alternative", 5)

    # Put version 2 live, then go back; the SDK fetches what was before.
    editor.open(prompt_url).follow("Put live in Production").press("Show", new_live_version="v2")
    editor.press("live in Production", why="It was better", i_compared="on")
    assert "v2 is live in Production" in editor.page, editor.page
    fetch = {"customer_name": "Alex", "question": "Where?"}
    server.wait_until(lambda: "briefly" in prompts.get("support-reply", variables=fetch), "v2 did not arrive", 5)
    editor.open(prompt_url).follow("Go back").press("Go back")
    server.wait_until(lambda: "briefly" not in prompts.get("support-reply", variables=fetch), "v1 did not return", 5)
    prompts.close()


def chat_and_rate(client: httpx.Client) -> dict[str, tuple[str, int]]:
    """Let 200 users chat, eight at a time, and rate; return what each got and said."""

    def one(number: int) -> tuple[str, tuple[str, int]]:
        unit = f"user-{number}"
        variables = {"customer_name": unit, "question": "Where is my parcel?"}
        body = {"message": "Hello", "prompt": "support-reply", "variables": variables, "user": unit}
        text, done = stream(client, body)
        assert done["done"] and done["message_id"] and text, done
        # The new text pleases everybody: nothing may come of it that the guard would take back.
        rating = 1 if number % 3 or done["variant"] == "v2" else -1
        said = client.post("/feedback", json={"message_id": done["message_id"], "rating": rating})
        assert said.status_code == 202, said.text
        return unit, (done["variant"], rating)

    with ThreadPoolExecutor(8) as pool:
        return dict(pool.map(one, range(USERS)))


def all_control(client: httpx.Client) -> bool:
    body = {"message": "Hello", "prompt": "support-reply", "variables": {"customer_name": "A", "question": "?"}}
    return all(stream(client, {**body, "user": f"user-{n}"})[1]["version"] == 1 for n in range(20))


def test_a_page_loads_while_eight_streams_run(server: LiveServer, key: str) -> None:
    editor = sign_in(server)
    client = httpx.Client(base_url=server.base, headers={"X-API-Key": key}, timeout=60)
    started, answers = threading.Barrier(9), []

    def chat() -> None:
        started.wait()
        answers.append(stream(client, {"message": "word " * 120, "model": "echo-slow"})[1])

    threads = [threading.Thread(target=chat) for _ in range(8)]
    for thread in threads:
        thread.start()
    started.wait()
    for _ in range(5):
        began = time.monotonic()
        editor.open("/admin/prompts/prompt/")
        assert time.monotonic() - began < 30
    assert not answers, "the streams ended before the pages were loaded: nothing was shown"
    for thread in threads:
        thread.join(60)
    assert len(answers) == 8 and all(answer["done"] for answer in answers)


def test_nothing_is_lost_when_web_and_worker_are_killed(server: LiveServer, key: str) -> None:
    client = httpx.Client(base_url=server.base, headers={"X-API-Key": key}, timeout=60)
    see_to_the_prompt(client)
    before = client.get("/feedback/stats").json()["totals"]
    acknowledged, message_ids = rate_until_killed(server, client)
    begun = open_stream_and_kill(server, client)
    application = Prompts.connect(server.base, api_key=key, cache_dir=False)
    for number in range(20):
        application.feedback(next(iter(message_ids)), "rating", -1, user=f"application-{number}")
    assert not application.flush(0.2) and application.status().queued == 20

    server.start_web()
    server.start_worker()
    replay(client, acknowledged)
    assert application.flush(60) and application.status().sent == 20
    application.close()

    def all_ended() -> bool:
        state = client.get(f"/messages/{begun}").json()["state"]
        return state == "abandoned"

    # A worker that begins beside others on a busy machine takes its time; the sweep comes after its first beat.
    server.wait_until(all_ended, "the message that was being written has no end", timeout_s=120)
    server.wait_until(
        lambda: server.python(OPEN) == "0 0", "an answer has no end state, or a rating was not counted", 60
    )
    after = client.get("/feedback/stats").json()["totals"]
    assert after["rated"] - before["rated"] == len(message_ids) + 20
    assert after["up"] - before["up"] == len(message_ids)


def see_to_the_prompt(client: httpx.Client) -> None:
    """Write it and put it live, where the first test ran in another process, with a server of its own."""
    if client.get("/prompts/support-reply/deployed/?environment=production").status_code == 404:
        said = {
            "title": "Support reply",
            "name": "support-reply",
            "content": "Reply to {{customer_name}}: {{question}}",
        }
        assert client.post("/prompts", json=said).status_code == 201
        where = {"prompt_name": "support-reply", "environment": "production", "version": 1}
        assert client.post("/deployments", json=where).status_code == 201


def rate_until_killed(server: LiveServer, client: httpx.Client) -> tuple[dict[str, str], set[str]]:
    """Chat and rate 40 times; the worker is killed on the way. Return what was acknowledged."""
    acknowledged: dict[str, str] = {}
    variables = {"customer_name": "A", "question": "?"}
    for number in range(40):
        if number == 15:
            server.kill("worker", signal.SIGKILL)
        body = {"message": "Hello", "prompt": "support-reply", "variables": variables, "user": f"k-{number}"}
        _, done = stream(client, body)
        rating = {"message_id": done["message_id"], "rating": 1, "id": f"rating-{number}"}
        assert client.post("/feedback", json=rating).status_code == 202
        acknowledged[rating["id"]] = done["message_id"]
    return acknowledged, set(acknowledged.values())


def open_stream_and_kill(server: LiveServer, client: httpx.Client) -> str:
    """Start a slow answer, kill the web process in the middle of it, and return the message's id."""
    with client.stream("POST", "/chat", json={"message": "word " * 200, "model": "echo-slow"}) as response:
        message_id = response.headers["X-PromptLab-Message-Id"]
        # Kept by name: let go, it would close the connection, and the server hear of that before it is killed.
        lines = response.iter_lines()
        next(lines)
        server.kill("web", signal.SIGKILL)
    return message_id


def replay(client: httpx.Client, acknowledged: dict[str, str]) -> None:
    """Send everything again, as a caller does who is not sure: nothing may be counted twice."""
    for key, message_id in acknowledged.items():
        again = client.post("/feedback", json={"message_id": message_id, "rating": 1, "id": key})
        assert again.status_code == 202 and again.headers.get("Idempotent-Replayed") == "true"


def test_logs_hold_no_key(server: LiveServer, key: str) -> None:
    httpx.get(f"{server.base}/me", headers={"X-API-Key": key})
    httpx.get(f"{server.base}/nowhere?key={key}", headers={"X-API-Key": key})
    logs = "".join(Path(server.var / f"{name}.log").read_text() for name in ("web", "worker"))
    assert key not in logs
