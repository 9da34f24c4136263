"""`/metrics`: what is counted, as Prometheus reads it, and who may."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from promptlab import llm
from promptlab.lib import metrics


@pytest.fixture(autouse=True)
def _own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Metrics of these tests are gone after them."""
    before = dict(metrics._all)
    yield
    metrics._all.clear()
    metrics._all.update(before)


def lines(name: str) -> list[str]:
    return [line for line in metrics.exposition().splitlines() if line.startswith(name)]


def test_sums_carry_their_labels_and_strange_values_are_escaped() -> None:
    counter = metrics.Counter("t_total", "Things.", ("kind",))
    counter.add("a")
    counter.add("a", by=1.5)
    counter.add('b"\\\n')
    assert lines("t_total") == ['t_total{kind="a"} 2.5', 't_total{kind="b\\"\\\\\\n"} 1']
    assert "# TYPE t_total counter" in metrics.exposition()


def test_a_histogram_adds_up_to_its_count() -> None:
    histogram = metrics.Histogram("t_seconds", "Waits.", bounds=(1.0, 2.0))
    for size in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(size=size)
    assert lines("t_seconds") == [
        't_seconds_bucket{le="1"} 2',
        't_seconds_bucket{le="2"} 3',
        't_seconds_bucket{le="+Inf"} 4',
        "t_seconds_sum 12",
        "t_seconds_count 4",
    ]


def test_a_gauge_is_read_when_asked() -> None:
    values = [1.0]
    metrics.Gauge("t_open", "Open.", (), lambda: [((), values[0])])
    assert lines("t_open") == ["t_open 1"]
    values[0] = 2.0
    assert lines("t_open") == ["t_open 2"]


def test_names_from_callers_cannot_fill_the_memory() -> None:
    counter = metrics.Counter("t_many_total", "Things.", ("name",))
    for number in range(metrics.MAX_SERIES + 10):
        counter.add(f"name-{number}")
    assert len(lines("t_many_total")) == metrics.MAX_SERIES + 1
    assert counter.value("other") == 10


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("token", "sent", "status"),
    [
        ("", "", 404),
        ("", "Bearer ", 404),
        ("secret", "", 401),
        ("secret", "Bearer wrong", 401),
        ("secret", "Bearer secret", 200),
    ],
)
def test_only_the_token_opens_the_page(client: Client, settings: Any, token: str, sent: str, status: int) -> None:
    settings.METRICS_TOKEN = token
    llm.complete(llm.CompletionRequest([llm.ChatMessage("user", "a secret wish")], "echo"))
    answer = client.get("/metrics", headers={"Authorization": sent})
    assert answer.status_code == status
    if status == 200:
        text = answer.content.decode()
        assert 'promptlab_llm_calls_total{provider="echo",model="echo",outcome="ok"}' in text
        assert "wish" not in text
