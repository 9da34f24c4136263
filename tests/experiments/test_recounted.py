"""Every figure of the pages equals a recount of the answers and ratings behind them. 200,000: bench/recount.py."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

from tests.experiments.test_dashboard import browser
from tests.support.cast import Cast
from tests.support.eventful import World, make_world
from tests.support.figures import Figures, changes_now, compare_experiment, compare_launch, compare_use
from tests.support.figures_of_change import compare_api, compare_budgets, compare_changes

EVENTS = 3_000


@pytest.mark.django_db
def test_every_figure_is_what_the_events_say(cast: Cast) -> None:
    days: list[tuple[date, Any]] = []

    def each_day(world: World, end: datetime) -> None:
        days.append((end, changes_now(world)))

    world = make_world(cast.team, EVENTS, days=5, each_day=each_day)
    found, client = Figures(), browser(cast.cleo)
    compare_experiment(world, client, days, found)
    compare_launch(world, client, found)
    compare_use(world, client, found)
    compare_changes(client, found)
    compare_api(world, found)
    compare_budgets(world, browser(cast.cleo), found)
    assert found.differences == []
    assert found.compared > 1_800
