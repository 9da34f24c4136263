"""Providers, models and prices through the pages."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from promptlab.accounts.access import SYSTEM
from promptlab.lib.sealing import unseal
from promptlab.llm.models import LanguageModel, Price, Provider
from promptlab.llm.services import price_list
from tests.llm.served import Served, serving
from tests.support.cast import Cast
from tests.support.make import make_model, make_provider

pytestmark = pytest.mark.django_db
KEY = "sk-canary-0123456789-7f3a"
ADD = "/admin/llm/provider/add/"
FILLED = {"name": "House", "kind": "server", "address": "https://models.example.com/v1", "on_hang_up": "cancel"}


def signed_in(user: object) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def provider(cast: Cast) -> Provider:
    return make_provider(cast.team, name="House", kind="server", address="https://models.example.com/v1", key=KEY)


@pytest.fixture
def served(settings: Any) -> Iterator[Served]:
    settings.LLM_ALLOWED_PRIVATE = ["127.0.0.1"]
    with serving() as one:
        yield one


def url(one: Provider | LanguageModel, name: str = "change", *more: int) -> str:
    return reverse(f"admin:llm_{one._meta.model_name}_{name}", args=[one.pk, *more])


def test_a_provider_is_made_and_no_page_shows_its_key(cast: Cast) -> None:
    cleo = signed_in(cast.cleo)
    html = cleo.post(ADD, {**FILLED, "key": KEY}, follow=True).content.decode()
    made = Provider.objects.get()
    assert (made.team, unseal(made.sealed_key), made.key_set_by) == (cast.team, KEY, cast.cleo)
    assert "•••• 7f3a, set by Cleo" in html
    for path in ("/admin/llm/provider/", url(made), url(made, "edit"), url(made, "key"), url(made, "history")):
        answer = cleo.get(path)
        assert answer.status_code == 200, path
        assert KEY not in answer.content.decode() and made.sealed_key not in answer.content.decode()


def test_what_is_wrong_is_shown_beside_its_field_and_the_key_is_not_sent_back(cast: Cast) -> None:
    html = signed_in(cast.cleo).post(ADD, {**FILLED, "address": "http://10.0.0.1/", "key": KEY}).content.decode()
    assert 'href="#id_address"' in html and KEY not in html and Provider.objects.count() == 0


def test_another_host_asks_for_the_key_again(cast: Cast, provider: Provider) -> None:
    cleo, moved = signed_in(cast.cleo), {**FILLED, "address": "https://evil.example.com/v1"}
    html = cleo.post(url(provider, "edit"), moved).content.decode()
    assert 'href="#id_key"' in html and Provider.objects.get().address == provider.address
    cleo.post(url(provider, "edit"), {**moved, "key": "another-long-key-9999"})
    assert unseal(Provider.objects.get().sealed_key) == "another-long-key-9999"
    cleo.post(url(provider, "edit"), {**moved, "region_note": "EU"})  # an empty key leaves the stored one
    assert (Provider.objects.get().region_note, Provider.objects.get().key_hint) == ("EU", "9999")


def test_a_key_is_replaced_and_a_provider_switched_and_removed_after_a_question(cast: Cast, provider: Provider) -> None:
    cleo = signed_in(cast.cleo)
    for name in ("key", "switch", "remove", "check"):
        assert cleo.get(url(provider, name)).status_code == 200
    assert Provider.objects.get().is_on
    cleo.post(url(provider, "key"), {"key": "another-long-key-9999"})
    cleo.post(url(provider, "switch"))
    one = Provider.objects.get()
    assert (one.key_hint, one.is_on) == ("9999", False)
    assert "is removed" in cleo.post(url(provider, "remove"), follow=True).content.decode()
    assert Provider.objects.count() == 0


def test_one_whose_models_are_on_is_removed_by_typing_its_name(cast: Cast, provider: Provider) -> None:
    make_model(provider, "llama")
    cleo = signed_in(cast.cleo)
    assert "llama" in cleo.get(url(provider, "remove")).content.decode()
    cleo.post(url(provider, "remove"))
    html = cleo.post(url(provider, "remove"), {"confirm": "Hose"}).content.decode()
    assert 'href="#id_confirm"' in html and Provider.objects.count() == 1
    cleo.post(url(provider, "remove"), {"confirm": "House"})
    assert Provider.objects.count() == 0


def test_a_check_says_in_words_what_it_found(cast: Cast, served: Served) -> None:
    one = make_provider(cast.team, name="Mine", kind="server", address=served.address, key=KEY)
    served.status = 401
    cleo = signed_in(cast.cleo)
    html = cleo.post(url(one, "check"), follow=True).content.decode()
    assert "The address answered, but the key was refused (401)." in html
    assert "Does not answer" in cleo.get("/admin/llm/provider/").content.decode()


def test_a_model_is_made_changed_switched_and_removed(cast: Cast, provider: Provider) -> None:
    cleo = signed_in(cast.cleo)
    make_model(provider, "spare")
    assert (
        f'value="{provider.pk}" selected'
        in cleo.get(f"/admin/llm/languagemodel/add/?provider={provider.pk}").content.decode()
    )
    filled = {"provider": provider.pk, "name": "llama", "abilities": ["tools"], "fallbacks": "spare, "}
    cleo.post("/admin/llm/languagemodel/add/", filled)
    made = LanguageModel.objects.get(name="llama")
    assert (made.upstream_name, made.ability_list, made.fallbacks.get().other.name) == ("llama", ["tools"], "spare")
    html = cleo.post(url(made, "edit"), {"name": "llama", "fallbacks": "nobody"}).content.decode()
    assert 'href="#id_fallbacks"' in html
    cleo.post(url(made, "edit"), {"name": "llama-3", "tier": "economy", "context_window": "8000"})
    cleo.post(url(made, "switch"))
    made.refresh_from_db()
    assert (made.name, made.tier, made.context_window, made.is_on) == ("llama-3", "economy", 8000, False)
    assert made.fallbacks.count() == 0
    cleo.post(url(made, "remove"))
    assert not LanguageModel.objects.filter(pk=made.pk).exists()


def test_prices_are_written_down_shown_and_removed(cast: Cast, provider: Provider) -> None:
    cleo = signed_in(cast.cleo)
    filled = {"model": "llama", "token": "input", "usd_per_million": "0.25"}
    html = cleo.post(url(provider, "price"), filled, follow=True).content.decode()
    price = Price.objects.get()
    assert "$0.25" in html and price.usd_per_million == Decimal("0.25")
    early = {**filled, "valid_from": "2020-01-01 00:00:00"}
    assert 'href="#id_valid_from"' in cleo.post(url(provider, "price"), early).content.decode()
    assert cleo.get(url(provider, "remove_price", price.pk)).status_code == 200
    cleo.post(url(provider, "remove_price", price.pk))
    assert Price.objects.count() == 0
    assert cleo.get(url(provider, "remove_price", price.pk)).status_code == 404


def test_everybody_sees_which_models_there_are_and_only_administrators_more(cast: Cast, provider: Provider) -> None:
    model = make_model(provider, "llama")
    price_list.set_price(
        SYSTEM,
        provider,
        model="llama",
        token="input",
        usd_per_million=Decimal(3),
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
    )
    vic = signed_in(cast.vic)
    for path in ("/admin/llm/languagemodel/", url(model), "/admin/llm/languagemodel/offer/"):
        answer = vic.get(path)
        assert answer.status_code == 200, path
        assert "llama" in answer.content.decode() and "models.example.com" not in answer.content.decode()
    assert "echo" in vic.get("/admin/llm/languagemodel/offer/").content.decode()
    for path in ("/admin/llm/provider/", url(provider), url(model, "edit"), url(model, "switch"), ADD):
        assert vic.get(path).status_code == 403, path
    assert signed_in(cast.zoe).get(url(model)).status_code == 404
    assert signed_in(cast.zoe).get(url(provider)).status_code == 404
    assert "Providers" in signed_in(cast.cleo).get("/admin/").content.decode()
    assert "Providers" not in vic.get("/admin/").content.decode()
