"""No door names a prompt in a private collection to those of its team who may not see it."""

from __future__ import annotations

from typing import Any

import pytest

from promptlab.accounts.access import SYSTEM
from promptlab.chat.models import Message
from promptlab.chat.services.external import receipt_of
from promptlab.hooks.models import Delivery, Mail
from promptlab.hooks.services import endpoints
from promptlab.hooks.services.sending import fan_out
from promptlab.lib.asgi import HotRoutes
from prompts.models import Collection, Environment, Prompt
from prompts.services import authoring, collecting, commenting, deploying, reviewing
from prompts.services.authoring import PromptChanges
from prompts.services.collecting import Place
from tests.support.api import Api
from tests.support.asgi import call
from tests.support.cast import Cast
from tests.support.make import make_experiment, make_key, make_live, make_message, make_prompt, make_version

pytestmark = pytest.mark.django_db
NAME = b"whisper"
OTHERS = ("ben", "vic", "writing key")
"""Of the same team. Ann owns the collection; Cleo administers the team."""
DOORS = (
    "/api/v1/conversations",
    "/api/v1/conversations/{talk}",
    "/api/v1/conversations/{talk}/messages",
    "/api/v1/messages/{message}",
    "/api/v1/explain/{receipt}",
    "/api/v1/deployments",
    "/api/v1/experiments",
    "/api/v1/reviews",
    "/api/v1/prompts?search=whisper",
    "/api/v1/feedback",
    "/api/v1/feedback/stats",
    "/admin/",
    "/admin/chat/conversation/",
    "/admin/chat/conversation/{talk_pk}/change/",
    "/admin/prompts/deployment/",
    "/admin/prompts/deploymentevent/",
    "/admin/prompts/reviewrequest/",
    "/admin/experiments/experiment/",
    "/admin/feedback/feedback/",
    "/dashboards/experiments/",
)


@pytest.fixture
def private(cast: Cast) -> Collection:
    place = Place(owner_id=cast.ann.pk, has_owner=True, visibility="private")
    return collecting.create_collection(SYSTEM, cast.team.pk, name="Drawer", place=place)


@pytest.fixture
def prompt(cast: Cast, private: Collection) -> Prompt:
    return make_prompt(cast.team, "Hush, {{name}}.", title="Whisper", collection=private)


@pytest.fixture
def readers(cast: Cast) -> dict[str, Api]:
    people = {name: Api() for name in ("ann", "ben", "vic", "cleo")}
    for name, api in people.items():
        api.client.force_login(getattr(cast, name))
    return {**people, "writing key": Api(make_key(cast.team, "read", "write", "deploy", "chat")[1])}


@pytest.fixture
def ids(cast: Cast, prompt: Prompt) -> dict[str, Any]:
    """Everything that happens to a prompt, under names that are read nowhere else."""
    second = make_version(prompt, "Hush again, {{name}}.")
    reviewing.submit_for_review(SYSTEM, second)
    make_experiment(prompt, title="Whispered", environment="staging", running=True)
    where = make_live(second)
    first = make_message(second, where)
    said = {"role": "user", "state": "completed", "content": "Hello?", "ended_at": first.created_at}
    Message.objects.create(conversation=first.conversation, **said)
    talk = {"conversation": first.conversation, "version": second, "environment": where, "variables": {"name": "x"}}
    rated = {"message_id": str(first.uid), "rating": 1, "comment": "Good"}
    assert Api(cast.key).post("/feedback", rated).status_code == 202
    answer = Message.objects.create(role="assistant", state="completed", revision=1, **talk)
    return {
        "talk": first.conversation.uid,
        "talk_pk": first.conversation_id,
        "message": answer.uid,
        "receipt": receipt_of(answer, cast.team.pk),
    }


@pytest.mark.parametrize("door", DOORS)
def test_a_door_names_it_to_its_owner_and_the_administrators(
    readers: dict[str, Api], ids: dict[str, Any], door: str
) -> None:
    path = door.format(**ids)
    found = {who for who, api in readers.items() if NAME in shown(api.get(path), path)}
    assert found - {"ann", "cleo"} == set()
    assert found >= ({"cleo"} if "/chat/" in door or "admin" not in door else {"ann", "cleo"})


def shown(answer: Any, path: str) -> bytes:
    """Return what is read, without the question, which the answer may repeat."""
    text: bytes = answer.content.lower()
    return text if "search" not in path else text.partition(b'"results"')[2]


def test_what_was_said_stays_readable_without_the_name(readers: dict[str, Api], ids: dict[str, Any]) -> None:
    (talk,) = readers["vic"].get("/conversations").json()["results"]
    assert (talk["title"], talk["prompt"]) == ("Hello?", None)
    told = readers["vic"].get(f"/conversations/{ids['talk']}/messages").json()["results"]
    assert [(one["prompt"], one["experiment"]) for one in told] == [(None, None)] * 3
    assert told[0]["content"] == "An answer."
    page = readers["vic"].get(f"/admin/chat/conversation/{ids['talk_pk']}/change/").content.decode()
    assert "An answer." in page and "A private prompt" in page
    assert readers["ben"].get(f"/admin/chat/conversation/{ids['talk_pk']}/history/").status_code == 404


def test_asking_for_the_name_finds_nothing(readers: dict[str, Api], ids: dict[str, Any]) -> None:
    """Else a guess would be confirmed."""
    for who, count in (("ann", 1), ("cleo", 1), ("vic", 0), ("writing key", 0)):
        assert len(readers[who].get("/conversations?prompt=whisper").json()["results"]) == count, who
        assert readers[who].get("/feedback?prompt=whisper").json()["count"] == count, who
    for who, count in (("cleo", 1), ("vic", 0)):
        html = readers[who].get("/admin/chat/conversation/?q=whisper").content.decode()
        assert html.count("field-question") == count, who
        html = readers[who].get("/admin/feedback/feedback/?q=whisper").content.decode()
        assert html.count("field-rated") == count, who


@pytest.mark.django_db(transaction=True)
def test_an_export_does_not_name_it(cast: Cast, application: HotRoutes, prompt: Prompt) -> None:
    make_message(prompt.newest)
    for key, is_named in ((make_key(cast.team, "read")[1], False), (cast.key, True)):
        body = call(application, "GET", "/conversations/export", key=key).body
        assert b"An answer." in body
        assert (NAME in body) is is_named


def test_mails_go_to_those_who_see_it(cast: Cast, prompt: Prompt) -> None:
    for user in (cast.ann, cast.ben, cast.cleo):
        user.email = f"{user.username}@example.com"
        user.save()
    commenting.add_comment(SYSTEM, prompt, "Look, @ann, @ben and @cleo")
    version = make_version(prompt)
    reviewing.submit_for_review(cast.principal(cast.ann), version)
    told = {(mail.kind, mail.user.username) for mail in Mail.objects.select_related("user")}
    assert {who for _, who in told} == {"ann", "cleo"}
    assert {("mention", "ann"), ("review_requested", "cleo")} <= told


def test_webhooks_hear_of_it_only_when_told_so(cast: Cast, private: Collection) -> None:
    url = "https://hooks.example.com/in"
    plain, _ = endpoints.create_endpoint(SYSTEM, cast.team.pk, url=url)
    trusted, _ = endpoints.create_endpoint(SYSTEM, cast.team.pk, url=url, with_private=True)
    secret = make_prompt(cast.team, title="Whisper", collection=private)
    deploying.deploy(SYSTEM, secret.newest, Environment.objects.get(team=cast.team, name="staging"))  # type: ignore[arg-type]
    make_experiment(secret, title="Whispered", running=True)
    fan_out()
    assert not Delivery.objects.filter(endpoint=plain).exists()
    heard = list(Delivery.objects.filter(endpoint=trusted).values_list("event__type", flat=True).order_by("pk"))
    assert set(heard) == {"prompt.created", "version.created", "deployment.created", "experiment.started"}
    authoring.update_prompt(SYSTEM, secret, PromptChanges(title="Aloud", collection=None, has_collection=True))
    fan_out()
    assert Delivery.objects.get(endpoint=plain).event.type == "prompt.updated"


def test_a_webhook_says_whether_it_hears_of_private_prompts(cast: Cast) -> None:
    api = Api(cast.key)
    made = api.post("/webhooks", {"url": "https://hooks.example.com/in"}).json()
    assert made["with_private"] is False
    changed = api.patch(f"/webhooks/{made['id']}", {"with_private": True})
    assert changed.json()["with_private"] is True
    assert api.patch(f"/webhooks/{made['id']}", {"with_private": "perhaps"}).status_code == 400
