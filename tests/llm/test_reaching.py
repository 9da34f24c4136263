"""Where calls to a provider may lead: what a name leads to is looked at when a connection is opened."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from promptlab import llm
from promptlab.accounts.models import Team
from promptlab.llm import routes
from tests.llm.upstream import TEXT, Upstream, serve
from tests.support.make import make_model, make_provider

NAME = "models.example.com"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with serve() as running:
        yield running


@pytest.fixture(autouse=True)
def _may_call(settings: Any) -> None:
    settings.LLM_ALLOW_REAL_CALLS = True


@pytest.fixture
def leads_to(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses of `NAME`, whatever a real name server would say."""
    found, real = ["127.0.0.1"], socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host != NAME:
            return real(host, port, *args, **kwargs)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, int(port or 0))) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return found


def ask(upstream: Upstream, *, is_public_only: bool) -> str:
    address = upstream.url.replace("127.0.0.1", NAME)
    route = llm.Route("lab", "openai", "gpt-5", address, "k", version="1", is_public_only=is_public_only)
    request = llm.CompletionRequest([llm.ChatMessage("user", "Hi")], routes=(route,))
    return llm.complete(request).text


def test_a_name_that_leads_into_our_network_is_not_called(upstream: Upstream, leads_to: list[str]) -> None:
    with pytest.raises(llm.ProviderUnavailable):
        ask(upstream, is_public_only=True)
    assert upstream.requests == []
    assert ask(upstream, is_public_only=False) == TEXT


def test_one_address_that_is_not_public_is_enough(upstream: Upstream, leads_to: list[str]) -> None:
    leads_to[:] = ["93.184.216.34", "127.0.0.1"]
    with pytest.raises(llm.ProviderUnavailable):
        ask(upstream, is_public_only=True)
    assert upstream.requests == []


def test_public_addresses_are_handed_on(leads_to: list[str]) -> None:
    from promptlab.llm.providers.reaching import PublicOnly

    leads_to[:] = ["93.184.216.34"]

    async def resolved() -> list[Any]:
        return list(await PublicOnly().resolve(NAME, 443))

    found = asyncio.run(resolved())
    assert [one["host"] for one in found] == ["93.184.216.34"]


@pytest.mark.django_db
def test_hosts_that_the_operator_trusts_are_not_looked_at(team: Team, settings: Any) -> None:
    settings.LLM_ALLOWED_PRIVATE = ["gpu.internal"]
    trusted = make_provider(team, name="Ours", kind="server", address="http://gpu.internal:8000/v1")
    make_model(trusted, "local")
    make_model(make_provider(team, name="Theirs"), "remote")
    assert not routes.routes_for(team.pk, "local")[0].is_public_only
    assert routes.routes_for(team.pk, "remote")[0].is_public_only
