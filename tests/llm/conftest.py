"""A fake provider on a free port of this machine, and settings that point at it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from django.test import override_settings

from promptlab import llm
from promptlab.llm import resilience
from tests.llm.upstream import Upstream, serve

KEY = "sk-test-secret"


@pytest.fixture(scope="session")
def running_upstream() -> Iterator[Upstream]:
    with serve() as upstream:
        yield upstream


@pytest_asyncio.fixture
async def upstream(running_upstream: Upstream) -> AsyncIterator[Upstream]:
    """The fake, with a clean slate, as the server that `OPENAI_BASE_URL` names."""
    running_upstream.reset()
    resilience.breakers.clear()
    with override_settings(OPENAI_BASE_URL=running_upstream.url, OPENAI_API_KEY=KEY, LLM_ALLOW_REAL_CALLS=False):
        yield running_upstream
        await llm.aclose()
