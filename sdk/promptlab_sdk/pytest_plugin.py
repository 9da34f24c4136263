"""The fixture `promptlab` and the tests of `promptlab_sdk.testing`, known to pytest as soon as the SDK is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from promptlab_sdk import FakePrompts


@pytest.fixture
def promptlab(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePrompts]:
    """Return a client without a server; while the test runs, `Prompts.connect(...)` returns it as well.

    `promptlab.put("greeting", "Hi {{name}}")` writes a prompt; `promptlab.calls`, `.ratings` and `.exposures` tell what
    the code under test did. `AsyncPrompts.connect(...)` returns a client with the same prompts.
    """
    # Imported here: a test run that does not use the fixture does not pay for httpx.
    from promptlab_sdk import AsyncPrompts, Prompts

    fake = Prompts.fake({})
    monkeypatch.setattr(Prompts, "connect", lambda *args, **options: fake)
    monkeypatch.setattr(AsyncPrompts, "connect", lambda *args, **options: AsyncPrompts(fake._core))
    yield fake
    fake.close()


def pytest_configure(config: pytest.Config) -> None:
    """Say which mark is ours."""
    config.addinivalue_line("markers", "prompt_suite(name): one test of every case of a test suite of PromptLab.")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make of a marked test one of every case."""
    mark = metafunc.definition.get_closest_marker("prompt_suite")
    if mark is not None:
        from promptlab_sdk.testing import parametrize

        parametrize(metafunc, mark.args[0])
