"""Webhooks through the pages."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from promptlab.accounts.access import SYSTEM
from promptlab.hooks.models import Delivery, Endpoint
from promptlab.hooks.services import endpoints
from promptlab.lib.sealing import unseal
from tests.support.cast import Cast

ADD = "/admin/hooks/endpoint/add/"
URL = "https://hooks.example.com/in"
SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]{44}")


def signed_in(user: object) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def endpoint(cast: Cast) -> Endpoint:
    return endpoints.create_endpoint(SYSTEM, cast.team.pk, url=URL)[0]


def url(one: Endpoint, name: str = "change") -> str:
    return reverse(f"admin:hooks_endpoint_{name}", args=[one.pk])


def test_the_page_that_makes_one_shows_its_secret_and_no_other_page_does(cast: Cast) -> None:
    cleo = signed_in(cast.cleo)
    filled = {"url": URL, "event_types": ["prompt.created"], "description": "Chat room"}
    html = cleo.post(ADD, filled).content.decode()
    made = Endpoint.objects.get()
    assert SECRET.search(html) and unseal(made.sealed_secret) in html.replace("&#x2B;", "+")
    assert (made.team, made.event_list, made.created_by) == (cast.team, ["prompt.created"], cast.cleo)
    for path in ("/admin/hooks/endpoint/", url(made), url(made, "edit"), url(made, "history")):
        answer = cleo.get(path)
        assert answer.status_code == 200, path
        assert "whsec_" not in answer.content.decode()


def test_an_address_inside_is_refused_beside_its_field(cast: Cast) -> None:
    html = signed_in(cast.cleo).post(ADD, {"url": "https://127.0.0.1/"}).content.decode()
    assert 'href="#id_url"' in html and Endpoint.objects.count() == 0


def test_another_address_shows_another_secret(cast: Cast, endpoint: Endpoint) -> None:
    filled = {"url": URL + "/new", "is_active": "on", "description": "x"}
    html = signed_in(cast.cleo).post(url(endpoint, "edit"), filled).content.decode()
    was = endpoint.sealed_secret
    endpoint.refresh_from_db()
    assert SECRET.search(html) and endpoint.sealed_secret != was and endpoint.description == "x"


def test_a_new_secret_trying_out_and_removing_are_confirmed_first(cast: Cast, endpoint: Endpoint) -> None:
    cleo = signed_in(cast.cleo)
    for name in ("rotate", "test", "remove"):
        assert cleo.get(url(endpoint, name)).status_code == 200
    assert Endpoint.objects.get().sealed_secret == endpoint.sealed_secret and Delivery.objects.count() == 0
    assert SECRET.search(cleo.post(url(endpoint, "rotate")).content.decode())
    assert "on its way" in cleo.post(url(endpoint, "test"), follow=True).content.decode()
    assert "is removed" in cleo.post(url(endpoint, "remove"), follow=True).content.decode()
    assert Endpoint.objects.count() == 0


def test_deliveries_are_listed_and_sent_again(cast: Cast, endpoint: Endpoint) -> None:
    delivery = endpoints.send_test(SYSTEM, endpoint)
    Delivery.objects.update(state="dead", attempts=10, last_error="answered 500")
    cleo = signed_in(cast.cleo)
    html = cleo.get("/admin/hooks/delivery/").content.decode()
    assert "webhook.test" in html and "Given up" in html and "answered 500" in html
    page = reverse("admin:hooks_delivery_change", args=[delivery.pk])
    assert delivery.event.webhook_id in cleo.get(page).content.decode()
    again = reverse("admin:hooks_delivery_again", args=[delivery.pk])
    assert cleo.get(again).status_code == 200
    cleo.post(again)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("waiting", 0)


def test_only_administrators_of_the_team_see_them(cast: Cast, endpoint: Endpoint) -> None:
    for user, status in ((cast.ben, 403), (cast.zoe, 404)):
        assert signed_in(user).get(url(endpoint)).status_code == status
    assert signed_in(cast.ben).get("/admin/hooks/delivery/").status_code == 403
    assert "Webhooks" in signed_in(cast.cleo).get("/admin/").content.decode()
    assert "Webhooks" not in signed_in(cast.ben).get("/admin/").content.decode()
