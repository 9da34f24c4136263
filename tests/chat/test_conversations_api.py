"""Conversations over REST: list, name, put away; and the file of everything that was said."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from django.utils import timezone

from promptlab.accounts.models import Team
from promptlab.audit.models import AuditEntry
from promptlab.chat import exporting
from promptlab.chat.models import Conversation, Message
from promptlab.lib.asgi import HotRoutes
from tests.support.api import Api
from tests.support.asgi import call
from tests.support.cast import Cast
from tests.support.make import make_key, make_message, make_prompt, make_team, newest


def talk(team: Team, question: str = "Where is my parcel?", **fields: Any) -> Conversation:
    """Return a conversation with a question and its answer."""
    prompt = fields.pop("prompt", None)
    found = Conversation.objects.create(team=team, prompt=prompt, **fields)
    said = {"conversation": found, "state": "completed", "ended_at": timezone.now()}
    Message.objects.create(role="user", content=question, **said)
    Message.objects.create(role="assistant", content="On its way.", model="echo", input_tokens=3, **said)
    return found


def titles(api: Api, query: str = "") -> list[str]:
    answer = api.get(f"/conversations{query}")
    assert answer.status_code == 200, answer.content
    return [one["title"] for one in answer.json()["results"]]


def test_the_list_is_newest_first_with_the_first_question_as_title(team: Team, api: Api) -> None:
    talk(team, "First?")
    talk(team, "A long one: " + "word " * 40)
    talk(team, "Third?", title="Named")
    talk(make_team(), "Theirs?")
    shown = titles(api)
    assert (shown[0], shown[2], len(shown)) == ("Named", "First?", 3)
    assert len(shown[1]) <= 80
    assert shown[1].endswith("…")


def test_the_list_is_cut_into_pages_that_do_not_overlap(team: Team, api: Api) -> None:
    for number in range(5):
        talk(team, f"Q{number}")
    first = api.get("/conversations?limit=2").json()
    second = api.client.get(first["next"]).json()
    seen = [one["title"] for one in first["results"] + second["results"]]
    assert seen == ["Q4", "Q3", "Q2", "Q1"]
    assert first["previous"] is None


def test_it_can_be_narrowed(team: Team, api: Api) -> None:
    prompt = make_prompt(team, title="Support reply")
    talk(team, "A", prompt=prompt, environment="production", unit_id="u-1")
    talk(team, "B", session="s-1")
    talk(team, "C", archived_at=timezone.now())
    assert titles(api) == ["B", "A"]
    assert titles(api, "?prompt=support-reply") == titles(api, "?environment=production&unit_id=u-1") == ["A"]
    assert titles(api, "?session=s-1") == ["B"]
    assert titles(api, "?archived=true") == ["C"]
    assert titles(api, "?since=2099-01-01T00:00:00Z") == []
    refused = api.get("/conversations?since=yesterday")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "since")


def test_a_conversation_is_named_and_named_again(team: Team, api: Api) -> None:
    address = f"/conversations/{talk(team).uid}"
    assert api.patch(address, {"title": "  The  parcel "}).json()["title"] == "The parcel"
    assert api.get(address).json()["title"] == "The parcel"
    assert api.patch(address, {"title": ""}).json()["title"] == "Where is my parcel?"
    for body in ({}, {"title": "x" * 201}):
        refused = api.patch(address, body)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "title")


def test_a_conversation_is_put_away_and_brought_back(team: Team, api: Api) -> None:
    address = f"/conversations/{talk(team).uid}"
    for _ in range(2):
        assert api.post(f"{address}/archive").json()["archived_at"]
    assert titles(api) == []
    for _ in range(2):
        assert api.post(f"{address}/unarchive").json()["archived_at"] is None
    verbs = list(
        AuditEntry.objects.filter(verb__startswith="conversation.").order_by("id").values_list("verb", flat=True)
    )
    assert verbs == ["conversation.archived", "conversation.unarchived"]


def test_who_may_only_look_changes_nothing(cast: Cast) -> None:
    address = f"/conversations/{talk(cast.team).uid}"
    viewer = Api(make_key(cast.team, "read")[1])
    assert viewer.get(address).status_code == 200
    assert viewer.patch(address, {"title": "x"}).status_code == 403
    assert viewer.post(f"{address}/archive").status_code == 403
    assert viewer.client.delete(f"/api/v1{address}").status_code == 405


def test_how_long_they_are_kept_is_the_administrators_to_say(team: Team, api: Api) -> None:
    assert api.get("/conversations/retention").json() == {"days": None}
    assert api.put("/conversations/retention", {"days": 30}).json() == {"days": 30}
    assert api.get("/conversations/retention").json() == {"days": 30}
    assert api.put("/conversations/retention", {"days": None}).json() == {"days": None}
    for body in ({}, {"days": 0}, {"days": "x"}, {"days": 10**9}):
        assert api.put("/conversations/retention", body).status_code == 400, body
    assert Api(make_key(team, "write")[1]).put("/conversations/retention", {"days": 1}).status_code == 403


# The file


@pytest.fixture
def files(transactional_db: None, application: HotRoutes) -> tuple[Team, Any]:
    team = make_team()
    key = make_key(team, "read")[1]
    return team, lambda query="", key=key: call(application, "GET", f"/conversations/export{query}", key=key)


def test_every_message_is_a_line_of_json(files: Any) -> None:
    team, export = files
    prompt = make_prompt(team, title="Support reply")
    talk(team, "Grüße?", prompt=prompt, unit_id="u-1", archived_at=timezone.now())
    make_message(newest(prompt))
    answer = export()
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.body.decode().splitlines()]
    assert [(one["role"], one["content"]) for one in lines] == [
        ("user", "Grüße?"), ("assistant", "On its way."), ("assistant", "An answer."),
    ]  # fmt: skip
    assert (lines[0]["prompt"], lines[1]["input_tokens"], lines[1]["cost_usd"]) == ("support-reply", 3, None)
    assert (lines[2]["version"], lines[2]["cost_usd"], lines[2]["is_cached"]) == (1, "0.001000000", False)


def test_no_cell_of_the_csv_is_a_formula(files: Any) -> None:
    team, export = files
    talk(team, "=HYPERLINK(1)", title="@risk", session="+1")
    rows = list(csv.DictReader(io.StringIO(export("?format=csv").body.decode())))
    assert (rows[0]["content"], rows[0]["title"], rows[0]["session"]) == ("'=HYPERLINK(1)", "'@risk", "'+1")
    assert rows[1]["content"] == "On its way."
    assert list(rows[0]) == list(exporting.COLUMNS)


def test_it_is_read_a_page_at_a_time(files: Any, monkeypatch: pytest.MonkeyPatch, statements: list[str]) -> None:
    team, export = files
    for number in range(5):
        talk(team, f"Q{number}")
    monkeypatch.setattr(exporting, "PAGE", 4)
    export()
    statements.clear()
    assert len(export().body.splitlines()) == 10
    assert len([one for one in statements if "chat_message" in one]) == 3


def test_it_is_narrowed_like_the_list(files: Any) -> None:
    team, export = files
    talk(team, "A", session="s-1")
    talk(team, "B", session="s-2")
    talk(make_team(), "Theirs", session="s-1")
    assert len(export("?session=s-1").body.splitlines()) == 2
    for query, field in (("?format=xml", "format"), ("?since=x", "since")):
        assert (export(query).status, export(query).json()["errors"][0]["field"]) == (400, field)
    assert export(key=make_key(team, "chat")[1]).status == 403
    assert export(key="").status == 401
