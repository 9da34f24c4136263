"""What a team never sends, over REST and on the provider's page; and what of it reaches a call."""

from __future__ import annotations

from typing import Any

import pytest

from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.audit.models import AuditEntry
from promptlab.llm import finding, keeping
from promptlab.llm.finding import Masks
from promptlab.llm.models import MaskPattern, Provider
from promptlab.llm.routes import masks_of, routes_for
from promptlab.llm.services import hiding, providing
from tests.support.api import Api
from tests.support.cast import Cast
from tests.support.make import make_key, make_model, make_provider, make_team

pytestmark = pytest.mark.django_db
PATH = "/api/v1/masking"
SAID = {"kinds": ["email", "card"], "patterns": {"staff": r"EMP-\d{4,8}"}}
NOTHING: dict[str, Any] = {"kinds": [], "patterns": {}}


def test_a_team_says_what_never_leaves(api: Api, team: Team) -> None:
    assert api.get(PATH).json() == NOTHING
    answer = api.put(PATH, SAID)
    assert (answer.status_code, answer.json()) == (200, SAID)
    for path in (PATH, f"{PATH}/"):
        assert api.get(path).json() == SAID
    keeping.forget()
    assert masks_of(team.pk) == Masks(("email", "card"), (("staff", r"EMP-\d{4,8}"),))
    assert api.put(PATH, NOTHING).json() == NOTHING
    assert not MaskPattern.objects.exists()


def test_the_same_again_changes_nothing(api: Api) -> None:
    api.put(PATH, SAID)
    api.put(PATH, SAID)
    (entry,) = AuditEntry.objects.filter(verb="masking.changed")
    assert entry.before == {"kinds": "", "patterns": {}}
    assert entry.after == {"kinds": "email card", "patterns": SAID["patterns"]}


@pytest.mark.parametrize(
    ("wrong", "field", "code"),
    [
        ({"kinds": ["names"]}, "kinds.0", "invalid_choice"),
        ({"patterns": {"staff": "(a+)+"}}, "patterns.staff", "bad_pattern"),
        ({"patterns": {"Staff No": "abc"}}, "patterns", "bad_name"),
        ({"patterns": {"email": "abc"}}, "patterns", "bad_name"),
        ({"patterns": {f"p_{'a' * n}": "abc" for n in range(1, 18)} | dict.fromkeys(["ab", "ac", "ad", "ae"], "abc")},
         "patterns", "too_many"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_by_its_field(api: Api, wrong: dict[str, Any], field: str, code: str) -> None:
    answer = api.put(PATH, {**NOTHING, **wrong})
    problem = answer.json()["errors"][0]
    assert (answer.status_code, problem["field"], problem["code"]) == (400, field, code)


def test_only_administrators_see_and_change_it(cast: Cast, team: Team) -> None:
    assert Api().get(PATH).status_code == 401
    writer = Api(make_key(team, "write", "read")[1])
    assert (writer.get(PATH).status_code, writer.put(PATH, SAID).status_code) == (403, 403)
    stranger = Api(make_key(make_team())[1])
    assert stranger.put(PATH, {**SAID, "team_id": team.pk}).status_code == 404
    assert stranger.get(f"{PATH}?team_id={team.pk}").status_code == 404
    assert stranger.get(f"{PATH}?team_id=x").status_code == 400
    assert stranger.get(PATH).json() == NOTHING


def test_a_provider_masks_its_own_calls(api: Api, team: Team) -> None:
    provider = make_provider(team, name="House", kind="echo")
    path = f"/api/v1/providers/{provider.pk}"
    assert api.get(path).json()["masked"] == []
    assert api.patch(path, {"masked": ["phone", "email"]}).json()["masked"] == ["email", "phone"]
    assert api.patch(path, {"masked": ["names"]}).status_code == 400
    make_model(provider, "rehearsal")
    keeping.forget()
    (route,) = routes_for(team.pk, "rehearsal")
    assert route.masks == Masks(("email", "phone"))
    entry = AuditEntry.objects.filter(verb="provider.changed").latest("pk")
    assert (entry.before, entry.after) == ({"masked": ""}, {"masked": "email phone"})
    assert Provider.objects.get().generation == 1


def test_a_providers_page_says_what_is_replaced(cast: Cast, client: Any) -> None:
    provider = make_provider(cast.team, name="House", kind="echo")
    providing.update_provider(SYSTEM, provider, {"masked": [finding.EMAIL]})
    client.force_login(cast.cleo)
    page = f"/admin/llm/provider/{provider.pk}"
    assert "E-mail addresses" in client.get(f"{page}/change/").content.decode()
    filled = {"name": "House", "kind": "echo", "on_hang_up": "cancel", "masked": ["card", "iban"]}
    assert client.post(f"{page}/edit/", filled).status_code == 302
    assert Provider.objects.get().masked_list == ["iban", "card"]


def test_patterns_of_one_team_are_no_other_teams(team: Team) -> None:
    hiding.set_masking(SYSTEM, team.pk, kinds=["email"], patterns={"staff": "EMP"})
    assert not masks_of(make_team().pk)
