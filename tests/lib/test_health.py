"""Is it alive, can it work, what does it miss: for machines that hold no key."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.api import Api

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/health", "/health/", "/livez", "/readyz", "/healthz"])
def test_it_needs_no_key_and_is_never_cached(path: str) -> None:
    answer = Api().get(path)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"


def test_healthy_names_what_it_depends_on() -> None:
    state = Api().get("/health").json()
    assert state["status"] == "healthy"
    assert state["version"]
    assert {name: found["status"] for name, found in state["dependencies"].items()} == {"database": "up", "redis": "up"}
    assert Api().get("/readyz").json() == {"status": "ready", "degraded_by": []}


def test_without_redis_it_is_degraded_and_still_takes_traffic(no_redis: None) -> None:
    health, ready = Api().get("/health"), Api().get("/readyz")
    assert (health.status_code, health.json()["status"]) == (200, "degraded")
    assert health.json()["dependencies"]["redis"]["status"] == "down"
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "degraded_by": ["redis"]})


def test_without_a_database_it_takes_no_traffic_but_lives(no_database: Callable[[], None]) -> None:
    no_database()
    health, ready = Api().get("/health"), Api().get("/readyz")
    assert (health.status_code, health.json()["status"]) == (503, "unhealthy")
    assert (ready.status_code, ready.json()) == (503, {"status": "not ready", "failed": ["database"]})
    assert Api().get("/livez").status_code == 200
    assert b"secret-host" not in health.content + ready.content
