"""The administrators' pages, signing in, and Home."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from experiments.services import lifecycle
from promptlab.accounts import services
from promptlab.accounts.access import SYSTEM, Role
from promptlab.accounts.auth import authenticate
from promptlab.accounts.errors import BadKey
from promptlab.accounts.models import ApiKey, Membership, Team, User
from promptlab.audit.models import AuditEntry
from promptlab.chat.services.metering import roll_up_messages
from prompts.services import authoring, reviewing
from prompts.services.contents import content_of
from prompts.services.environments import freeze, named
from tests.support.cast import Cast
from tests.support.make import make_experiment, make_key, make_live, make_message, make_prompt, make_user, newest

PEOPLE, TEAMS, KEYS, LOG = (
    f"/admin/{name}/" for name in ("accounts/user", "accounts/team", "accounts/apikey", "audit/auditentry")
)
PASSWORD = "correct horse battery"


def signed_in(user: object) -> Client:
    client = Client()
    client.force_login(user)
    return client


def superuser() -> User:
    return User.objects.create_superuser("root", password=PASSWORD)


def roles_of(user: User, team: Team) -> set[str]:
    return set(Membership.objects.filter(user=user, team=team).values_list("role", flat=True))


def account(cast: Cast, user: User | None = None, **fields: Any) -> dict[str, Any]:
    """What the form of a person sends."""
    sent = {"first_name": "Dora", "last_name": "", "username": "dora", "email": "", "is_active": "on"}
    if user is not None:
        sent |= {"first_name": user.first_name, "username": user.username}
    return {**sent, f"roles_{cast.team.pk}": [Role.VIEWER], **fields}


def test_people_with_a_role_sign_in_without_being_staff(cast: Cast) -> None:
    client = Client()
    answer = client.post("/admin/login/", {"username": "vic", "password": "secret", "next": "/admin/prompts/prompt/"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/prompts/prompt/")
    assert client.get("/admin/").status_code == 200


def test_without_a_role_there_is_nothing_to_see_and_it_says_so(cast: Cast) -> None:
    client = signed_in(make_user("nobody"))
    assert client.get("/admin/").status_code == 302
    assert "Your account has no access yet." in client.get("/admin/login/").content.decode()


def test_people_who_are_switched_off_do_not_come_in(cast: Cast) -> None:
    client = signed_in(cast.vic)
    User.objects.filter(pk=cast.vic.pk).update(is_active=False)
    assert client.get("/admin/").status_code == 302


@pytest.mark.parametrize("url", [PEOPLE, TEAMS, KEYS, LOG])
def test_only_administrators_see_administration(cast: Cast, url: str, django_assert_max_num_queries) -> None:
    client = signed_in(cast.cleo)
    with django_assert_max_num_queries(12):
        assert client.get(url).status_code == 200
    assert Client().get(url).status_code == 302
    for user in (cast.ann, cast.ben, cast.vic):
        answer = signed_in(user).get(url)
        assert answer.status_code == 403
        assert "administrator" in answer.content.decode()


def test_the_menu_shows_administration_to_administrators(cast: Cast) -> None:
    assert PEOPLE in signed_in(cast.cleo).get("/admin/").content.decode()
    assert PEOPLE not in signed_in(cast.ann).get("/admin/").content.decode()


def test_adding_a_person_leads_to_their_first_password(cast: Cast) -> None:
    client = signed_in(cast.cleo)
    sent = account(cast, **{f"roles_{cast.team.pk}": [Role.WRITER, Role.REVIEWER]})
    answer = client.post(f"{PEOPLE}add/", sent)
    dora = User.objects.get(username="dora")
    password_page = reverse("admin:accounts_user_password", args=[dora.pk])
    assert answer.headers["Location"] == password_page
    assert roles_of(dora, cast.team) == {Role.WRITER, Role.REVIEWER}
    assert not dora.has_usable_password() and not dora.is_staff and not dora.is_superuser
    client.post(password_page, {"new_password1": PASSWORD, "new_password2": PASSWORD})
    dora.refresh_from_db()
    assert dora.check_password(PASSWORD)
    assert AuditEntry.objects.filter(verb="person.created", actor_label="Cleo").exists()
    assert PASSWORD not in str(list(AuditEntry.objects.values()))


def test_what_is_wrong_with_a_person_is_said_beside_the_field(cast: Cast) -> None:
    client = signed_in(cast.cleo)
    html = client.post(f"{PEOPLE}add/", account(cast, username="ann", last_name="kept")).content.decode()
    assert 'href="#id_username"' in html and "kept" in html
    html = client.post(f"{PEOPLE}add/", account(cast, **{f"roles_{cast.team.pk}": []})).content.decode()
    assert "Tick at least one role" in html
    assert not User.objects.filter(username="dora").exists()


def test_roles_are_given_and_taken_by_ticking(cast: Cast) -> None:
    url = reverse("admin:accounts_user_change", args=[cast.ann.pk])
    client = signed_in(cast.cleo)
    assert "Roles in Acme" in client.get(url).content.decode()
    client.post(url, account(cast, cast.ann, **{f"roles_{cast.team.pk}": [Role.PUBLISHER]}))
    assert roles_of(cast.ann, cast.team) == {Role.PUBLISHER}
    assert AuditEntry.objects.filter(verb__startswith="member.", actor_label="Cleo").count() == 2


def test_the_last_administrator_stays_one(cast: Cast) -> None:
    url = reverse("admin:accounts_user_change", args=[cast.cleo.pk])
    html = signed_in(cast.cleo).post(url, account(cast, cast.cleo)).content.decode()
    assert "Cleo is the last administrator of Acme." in html
    assert roles_of(cast.cleo, cast.team) == {Role.ADMINISTRATOR}


def test_nobody_switches_off_their_own_account(cast: Cast) -> None:
    url = reverse("admin:accounts_user_change", args=[cast.cleo.pk])
    sent = account(cast, cast.cleo, **{f"roles_{cast.team.pk}": [Role.ADMINISTRATOR]})
    del sent["is_active"]
    assert "You cannot switch off your own account." in signed_in(cast.cleo).post(url, sent).content.decode()
    cast.cleo.refresh_from_db()
    assert cast.cleo.is_active


def test_people_of_other_teams_are_out_of_sight(cast: Cast) -> None:
    zoes = reverse("admin:accounts_user_change", args=[cast.zoe.pk])
    client = signed_in(cast.cleo)
    assert "zoe" not in client.get(PEOPLE).content.decode()
    assert client.get(zoes).status_code == 404
    assert client.get(reverse("admin:accounts_user_password", args=[cast.zoe.pk])).status_code == 404


def test_who_works_in_other_teams_too_keeps_their_account(cast: Cast) -> None:
    services.add_member(SYSTEM, cast.zoe.memberships.get().team, cast.ann, Role.WRITER)
    url = reverse("admin:accounts_user_change", args=[cast.ann.pk])
    client = signed_in(cast.cleo)
    assert "in teams you do not manage" in client.get(url).content.decode()
    client.post(url, account(cast, cast.ann, username="taken-over", **{f"roles_{cast.team.pk}": [Role.VIEWER]}))
    cast.ann.refresh_from_db()
    assert cast.ann.username == "ann" and roles_of(cast.ann, cast.team) == {Role.VIEWER}
    password = reverse("admin:accounts_user_password", args=[cast.ann.pk])
    answer = client.post(password, {"new_password1": PASSWORD, "new_password2": PASSWORD})
    assert answer.status_code == 403
    cast.ann.refresh_from_db()
    assert not cast.ann.check_password(PASSWORD)


def test_only_superusers_touch_superusers(cast: Cast) -> None:
    root = superuser()
    services.add_member(SYSTEM, cast.team, root, Role.VIEWER)
    password = reverse("admin:accounts_user_password", args=[root.pk])
    sent = {"new_password1": "another good one", "new_password2": "another good one"}
    assert signed_in(cast.cleo).post(password, sent).status_code == 403
    signed_in(root).post(password, sent)
    root.refresh_from_db()
    assert root.check_password("another good one")


def test_a_weak_password_is_refused(cast: Cast) -> None:
    url = reverse("admin:accounts_user_password", args=[cast.ann.pk])
    html = signed_in(cast.cleo).post(url, {"new_password1": "12345", "new_password2": "12345"}).content.decode()
    assert 'href="#id_new_password2"' in html
    cast.ann.refresh_from_db()
    assert cast.ann.check_password("secret")


def test_who_makes_a_team_administers_it(cast: Cast) -> None:
    client = signed_in(cast.cleo)
    html = client.post(f"{TEAMS}add/", {"name": "Labs"}, follow=True).content.decode()
    team = Team.objects.get(name="Labs")
    assert "Labs is ready." in html and "Cleo" in html
    assert roles_of(cast.cleo, team) == {Role.ADMINISTRATOR}
    assert 'href="#id_name"' in client.post(f"{TEAMS}add/", {"name": "Labs"}).content.decode()


def test_a_new_team_is_given_to_somebody_else(cast: Cast) -> None:
    client = signed_in(cast.cleo)
    shown = client.get(f"{TEAMS}add/").content.decode()
    assert f'<option value="{cast.cleo.pk}" selected>' in shown and "Zoe" not in shown
    refused = client.post(f"{TEAMS}add/", {"name": "Labs", "administrator": cast.zoe.pk}).content.decode()
    assert 'href="#id_administrator"' in refused and not Team.objects.filter(name="Labs").exists()
    html = client.post(f"{TEAMS}add/", {"name": "Labs", "administrator": cast.ann.pk}, follow=True).content.decode()
    team = Team.objects.get(name="Labs")
    assert "Labs is ready. Ann administers it." in html
    assert roles_of(cast.ann, team) == {Role.ADMINISTRATOR} and roles_of(cast.cleo, team) == set()


def test_a_team_gets_another_name(cast: Cast) -> None:
    url = reverse("admin:accounts_team_change", args=[cast.team.pk])
    client = signed_in(cast.cleo)
    for _ in range(2):
        html = client.post(url, {"name": "Acme Labs"}, follow=True).content.decode()
        assert "The team is called Acme Labs." in html
    assert Team.objects.get(pk=cast.team.pk).name == "Acme Labs"
    assert AuditEntry.objects.filter(verb="team.renamed").count() == 1
    assert 'href="#id_name"' in client.post(url, {"name": "Elsewhere"}).content.decode()
    assert signed_in(cast.ben).post(url, {"name": "Mine"}).status_code == 403
    assert signed_in(cast.zoe).post(url, {"name": "Mine"}).status_code == 404


def test_the_first_superuser_of_an_installation_makes_the_first_team(db: None) -> None:
    client = signed_in(superuser())
    assert TEAMS in client.get("/admin/").content.decode()
    for url in (PEOPLE, TEAMS, KEYS, LOG, f"{KEYS}add/"):
        assert client.get(url).status_code == 200, url
    assert client.post(f"{KEYS}add/", {"name": "No team", "scopes": ["read"]}).status_code == 200
    client.post(f"{TEAMS}add/", {"name": "Acme"})
    assert client.get("/admin/prompts/prompt/add/").status_code == 200


def test_a_team_shows_who_is_in_it(cast: Cast) -> None:
    url = reverse("admin:accounts_team_change", args=[cast.team.pk])
    html = signed_in(cast.cleo).get(url).content.decode()
    assert "Ann" in html and "Publisher, Reviewer" in html
    assert signed_in(cast.zoe).get(url).status_code == 404


def new_key(client: Client, **fields: Any) -> Any:
    sent = {"name": "Shop", "scopes": ["read", "chat"], "environments": "production", "calls_per_hour": ""}
    return client.post(f"{KEYS}add/", {**sent, **fields})


def secret_in(html: str) -> str:
    return re.search(r'value="(pl_[^"]+)"', html)[1]


def test_a_key_is_shown_once_and_works(cast: Cast) -> None:
    client = signed_in(cast.cleo)
    answer = new_key(client)
    assert "no-store" in answer.headers["Cache-Control"]
    secret = secret_in(answer.content.decode())
    who = authenticate({"x-api-key": secret})
    assert (who.label, who.environments) == ("Shop (key)", frozenset({"production"}))
    key = ApiKey.objects.get(name="Shop")
    assert key.created_by == cast.cleo
    for url in (KEYS, reverse("admin:accounts_apikey_change", args=[key.pk]), LOG):
        html = client.get(url).content.decode()
        assert secret not in html and secret.split("_", 2)[2] not in html, url


def test_what_is_wrong_with_a_key_is_said_beside_the_field(cast: Cast) -> None:
    client = signed_in(cast.cleo)
    for wrong, field in (
        ({"name": ""}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes"),
        ({"ends_on": "2020-01-01"}, "ends_on"),
        ({"calls_per_hour": "0"}, "calls_per_hour"),
    ):
        assert f"#id_{field}" in new_key(client, **wrong).content.decode(), wrong
    assert not ApiKey.objects.filter(name="Shop").exists()


def test_replacing_shows_a_new_key_and_the_old_one_works_a_day_more(cast: Cast) -> None:
    key, secret = make_key(cast.team, "read", name="Shop")
    url = reverse("admin:accounts_apikey_replace", args=[key.pk])
    client = signed_in(cast.cleo)
    assert "24 hours" in client.get(url).content.decode()
    assert ApiKey.objects.filter(name="Shop").count() == 1
    new = secret_in(client.post(url).content.decode())
    assert new != secret and authenticate({"x-api-key": new}) and authenticate({"x-api-key": secret})
    key.refresh_from_db()
    assert timedelta(hours=23) < key.expires_at - timezone.now() <= timedelta(hours=24)


def test_a_successor_ends_when_the_old_key_would_have_and_keeps_its_environment(cast: Cast) -> None:
    ends = timezone.now() + timedelta(days=300)
    key, _secret = make_key(cast.team, "read", name="Shop", expires_at=ends, environments=["staging", "production"])
    ApiKey.objects.filter(pk=key.pk).update(default_environment="staging")
    signed_in(cast.cleo).post(reverse("admin:accounts_apikey_replace", args=[key.pk]))
    new = ApiKey.objects.get(rotated_from=key)
    assert (new.expires_at, new.default_environment) == (ends, "staging")
    key.refresh_from_db()
    assert key.expires_at < timezone.now() + timedelta(hours=25)


def test_revoking_ends_a_key_at_once(cast: Cast) -> None:
    key, secret = make_key(cast.team, name="Shop")
    url = reverse("admin:accounts_apikey_revoke", args=[key.pk])
    client = signed_in(cast.cleo)
    assert "cannot be brought back" in client.get(url).content.decode()
    assert authenticate({"x-api-key": secret})
    html = client.post(url, {"typed": "Shop"}, follow=True).content.decode()
    assert "Shop no longer works." in html and "Revoked" in html
    with pytest.raises(BadKey):
        authenticate({"x-api-key": secret})


def test_a_key_in_use_is_revoked_by_typing_its_name(cast: Cast) -> None:
    key, secret = make_key(cast.team, name="Shop")
    authenticate({"x-api-key": secret})
    url = reverse("admin:accounts_apikey_revoke", args=[key.pk])
    client = signed_in(cast.cleo)
    assert "Last used just now." in client.get(url).content.decode()
    assert 'href="#id_typed"' in client.post(url, {"typed": "shopp"}).content.decode()
    key.refresh_from_db()
    assert key.revoked_at is None


def test_keys_of_other_teams_are_out_of_reach(cast: Cast) -> None:
    key, _secret = make_key(cast.zoe.memberships.get().team, name="Foreign")
    client = signed_in(cast.cleo)
    assert "Foreign" not in client.get(KEYS).content.decode()
    for name in ("change", "replace", "revoke"):
        assert client.post(reverse(f"admin:accounts_apikey_{name}", args=[key.pk])).status_code == 404
    assert signed_in(cast.ann).post(f"{KEYS}add/", {"name": "Mine", "scopes": ["admin"]}).status_code == 403
    key.refresh_from_db()
    assert key.is_usable


def test_a_revoked_key_offers_nothing_more(cast: Cast) -> None:
    key, _secret = make_key(cast.team, name="Shop")
    services.revoke_key(SYSTEM, key)
    client = signed_in(cast.cleo)
    page = client.get(reverse("admin:accounts_apikey_change", args=[key.pk])).content.decode()
    assert "Replace…" not in page and "Revoked" in page
    html = client.post(reverse("admin:accounts_apikey_replace", args=[key.pk])).content.decode()
    assert "Make a new one." in html


def test_the_log_tells_in_sentences_and_can_be_narrowed(cast: Cast) -> None:
    prompt = make_prompt(cast.team, title="Greeting")
    client = signed_in(cast.cleo)
    client.post(reverse("admin:prompts_prompt_archive", args=[prompt.pk]))
    new_key(client)
    html = client.get(LOG).content.decode()
    assert "archived Greeting" in html and "made the API key Shop" in html
    texts = client.get(f"{LOG}?kind=texts").content.decode()
    assert "archived Greeting" in texts and "made the API key Shop" not in texts
    hers = client.get(f"{LOG}?who={cast.cleo.pk}").content.decode()
    assert "archived Greeting" in hers and "wrote the prompt Greeting" not in hers


def test_an_entry_shows_before_and_after_and_cannot_be_changed(cast: Cast) -> None:
    prompt = make_prompt(cast.team, title="Greeting")
    client = signed_in(cast.cleo)
    sent = {"title": "Welcome", "description": "", "tags": "", "collection": ""}
    client.post(reverse("admin:prompts_prompt_settings", args=[prompt.pk]), sent)
    entry = AuditEntry.objects.get(verb="prompt.changed")
    url = reverse("admin:audit_auditentry_change", args=[entry.pk])
    html = client.get(url).content.decode()
    assert "Greeting" in html and "Welcome" in html and "Cleo changed the settings of" in html
    client.post(url, {"note": "Never happened"})
    client.post(reverse("admin:audit_auditentry_delete", args=[entry.pk]), {"post": "yes"})
    assert AuditEntry.objects.get(pk=entry.pk).note == ""
    assert signed_in(cast.zoe).get(url).status_code == 404


def test_home_of_a_new_team_shows_the_first_steps(cast: Cast) -> None:
    html = signed_in(cast.ann).get("/admin/").content.decode()
    assert "Three steps to your first live prompt" in html and "/admin/prompts/prompt/add/" in html


def test_home_shows_what_runs_what_went_live_and_what_needs_somebody(cast: Cast, django_assert_max_num_queries) -> None:
    running = make_experiment(make_prompt(cast.team, title="Support reply"), title="Shorter", running=True)
    killed = make_experiment(make_prompt(cast.team), title="Too brave", running=True)
    lifecycle.kill(SYSTEM, killed, note="Wrong answers")
    make_live(newest(make_prompt(cast.team, title="Greeting")))
    make_key(cast.team, name="Old app", expires_at=timezone.now() + timedelta(days=3))
    client = signed_in(cast.cleo)
    with django_assert_max_num_queries(15):
        html = client.get("/admin/").content.decode()
    assert "Shorter" in html and reverse("dashboards:experiment", args=[running.key]) in html
    assert "Too brave was stopped at once." in html and "Wrong answers" in html
    assert "PromptLab put Greeting v1 live in Production" in html
    assert "The API key Old app ends soon." in html
    viewers = signed_in(cast.vic).get("/admin/").content.decode()
    assert "Old app" not in viewers
    strangers = signed_in(cast.zoe).get("/admin/").content.decode()
    assert "Shorter" not in strangers and "Greeting" not in strangers


def test_home_shows_what_waits_for_you_what_you_sent_and_what_is_closed(
    cast: Cast, django_assert_max_num_queries
) -> None:
    ann, greeting = cast.principal(cast.ann), make_prompt(cast.team, title="Greeting")
    version, _ = authoring.create_version(ann, greeting, content_of(text="Hi."), message="Shorter")
    reviewing.submit_for_review(ann, version, note="Is it kind?")
    now = timezone.now()
    closed = {"starts_at": now - timedelta(hours=1), "ends_at": now + timedelta(days=1), "reason": "Holidays"}
    freeze(SYSTEM, named(cast.team.pk, "production"), **closed)
    ben = signed_in(cast.ben)
    with django_assert_max_num_queries(15):
        bens = ben.get("/admin/").content.decode()
    page = reverse("admin:prompts_version_change", args=[version.pk])
    assert "Waiting for your review" in bens and page in bens and "Is it kind?" in bens
    assert "Nothing goes live in Production until" in bens and "Holidays" in bens
    anns = signed_in(cast.ann).get("/admin/").content.decode()
    assert "What you sent to review" in anns and "What you wrote last" in anns and "Waiting for your review" not in anns
    reviewing.request_changes(cast.principal(cast.ben), version, comment="Kinder, please.")
    assert "Changes asked for" in signed_in(cast.ann).get("/admin/").content.decode()
    assert "Waiting for your review" not in signed_in(cast.ben).get("/admin/").content.decode()
    assert "Greeting" not in signed_in(cast.zoe).get("/admin/").content.decode()


def test_home_names_prompts_whose_answers_fail(cast: Cast) -> None:
    prompt = make_prompt(cast.team, title="Support reply")
    where = make_live(newest(prompt))
    for number in range(25):
        make_message(newest(prompt), where, state="failed" if number < 3 else "completed")
    roll_up_messages()
    html = signed_in(cast.vic).get("/admin/").content.decode()
    assert "Support reply in Production: 3 of 25 answers failed in the last day." in html
