"""Values that processes share: made by one while the others wait, and never believed without proof."""

from __future__ import annotations

import asyncio
import secrets

import pytest
import redis as client

from promptlab.lib import cache, redis
from promptlab.lib.cache import Lease, Place, find, find_or_lead, keep


@pytest.fixture
def place() -> Place:
    return Place("tests", 1, secrets.token_hex(8))


def test_what_is_kept_is_found_and_ends(place: Place) -> None:
    async def there_and_back() -> None:
        assert await find(place) is None
        assert await keep(place, {"text": "Grüße"}, 60)
        assert await find(place) == {"text": "Grüße"}

    asyncio.run(there_and_back())
    assert 0 < int(client.Redis(connection_pool=redis.pool()).ttl(place.name)) <= 60


def test_what_was_changed_or_moved_counts_as_none(place: Place) -> None:
    other = Place(place.kind, 2, place.digest)
    server = client.Redis(connection_pool=redis.pool())

    async def meddle() -> None:
        await keep(place, {"text": "ours"}, 60)
        written = server.get(place.name)
        assert isinstance(written, bytes)
        server.set(other.name, written)
        assert await find(other) is None
        for wrong in (written.replace(b"ours", b"mine"), b"", b"null", b"\xff\xfe", b'.{"text":"ours"}'):
            server.set(place.name, wrong)
            assert await find(place) is None, wrong

    asyncio.run(meddle())


def test_one_leads_and_the_others_get_what_it_made(place: Place) -> None:
    async def lead_and_follow() -> None:
        lease = await find_or_lead(place, 20)
        assert isinstance(lease, Lease)
        assert lease.is_held
        followers = [asyncio.ensure_future(find_or_lead(place, 20)) for _ in range(3)]
        async with lease:
            await keep(place, {"n": 1}, 60)
        assert await asyncio.gather(*followers) == [{"n": 1}] * 3

    asyncio.run(lead_and_follow())


def test_when_the_leader_dies_the_next_leads(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "LEASE_S", 0.2)

    async def die() -> None:
        dead = await find_or_lead(place, 20)
        assert isinstance(dead, Lease)
        heir = await find_or_lead(place, 20)
        assert isinstance(heir, Lease)
        assert heir.is_held
        # The dead one wakes up: the lease is no longer its own to give back.
        await dead.release()
        assert await redis.acommand("GET", heir.name) == heir.token.encode()

    asyncio.run(die())


def test_a_lease_is_renewed_while_its_holder_works(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "LEASE_S", 0.6)
    commands: list[object] = []

    async def seen(*words: str | bytes | int) -> object:
        commands.append(words)
        return await acommand(*words)

    async def work() -> None:
        lease = await find_or_lead(place, 20)
        assert isinstance(lease, Lease)
        async with lease, asyncio.timeout(20):
            while not any(words[1] == cache.RENEW for words in commands if isinstance(words, tuple)):
                await asyncio.sleep(0.02)

    acommand = redis.acommand
    monkeypatch.setattr(redis, "acommand", seen)
    asyncio.run(work())


def test_whose_patience_ends_makes_it_alone(place: Place) -> None:
    async def wait() -> None:
        lease = await find_or_lead(place, 20)
        assert isinstance(lease, Lease)
        impatient = await find_or_lead(place, 0)
        assert isinstance(impatient, Lease)
        assert not impatient.is_held
        await lease.release()

    asyncio.run(wait())


def test_without_redis_everybody_makes_it(place: Place, no_redis: None) -> None:
    async def alone() -> None:
        lease = await find_or_lead(place, 20)
        assert isinstance(lease, Lease)
        assert not lease.is_held
        async with lease:
            assert await keep(place, {}, 60) is False

    asyncio.run(alone())
