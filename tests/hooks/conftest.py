"""A receiver, and an endpoint that leads to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from promptlab.accounts.access import SYSTEM
from promptlab.accounts.models import Team
from promptlab.hooks.models import Endpoint
from promptlab.hooks.services import endpoints
from tests.hooks.receiver import Receiver, receiving


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.WEBHOOK_ALLOWED_PRIVATE = ["127.0.0.1"]
    with receiving() as one:
        yield one


@pytest.fixture
def endpoint(team: Team, receiver: Receiver) -> Endpoint:
    return endpoints.create_endpoint(SYSTEM, team.pk, url=receiver.url)[0]
