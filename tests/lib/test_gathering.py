"""What arrives together is one piece of work; who comes alone waits for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence

import pytest

from promptlab.lib.gathering import Gathering, settled


class Kitchen:
    """Doubles what it is given, refuses 13, breaks down at 666; `groups` is what it was given at once."""

    def __init__(self, most: int = 100) -> None:
        self.groups: list[list[int]] = []
        self.line: Gathering[int, int] = Gathering(self.work, most)

    async def work(self, about: Hashable, given: Sequence[int]) -> list[int | Exception]:
        self.groups.append(list(given))
        await asyncio.sleep(0)
        if 666 in given:
            raise OSError
        return [ValueError(one) if one == 13 else one * 2 for one in given]

    async def ask(self, *given: int, about: Sequence[Hashable] = ()) -> list[int | BaseException]:
        abouts = about or [None] * len(given)
        asked = (self.line.join(one, name) for one, name in zip(given, abouts, strict=True))
        return list(await asyncio.gather(*asked, return_exceptions=True))


@pytest.mark.asyncio
async def test_those_who_come_at_once_are_one_group_and_each_gets_its_own() -> None:
    kitchen = Kitchen()
    told = await kitchen.ask(1, 13, 3)
    assert (told[0], type(told[1]), told[2]) == (2, ValueError, 6)
    assert await kitchen.ask(4) == [8]
    assert kitchen.groups == [[1, 13, 3], [4]]


@pytest.mark.asyncio
async def test_a_group_has_only_so_many_and_those_about_other_things_are_not_in_it() -> None:
    kitchen = Kitchen(most=2)
    assert await kitchen.ask(1, 2, 3, 4, about="aaab") == [2, 4, 6, 8]
    assert sorted(kitchen.groups) == [[1, 2], [3], [4]]


@pytest.mark.asyncio
async def test_a_group_that_breaks_down_is_told_and_the_next_goes_on() -> None:
    kitchen = Kitchen(most=2)
    told = await kitchen.ask(1, 666, 3)
    assert [type(one) for one in told] == [OSError, OSError, int]


@pytest.mark.asyncio
async def test_who_leaves_takes_nobody_along() -> None:
    kitchen = Kitchen()
    first, second = (asyncio.ensure_future(kitchen.line.join(one)) for one in (1, 2))
    await asyncio.sleep(0)
    first.cancel()
    await settled()
    assert second.result() == 4
    assert kitchen.groups == [[1, 2]]
    assert await kitchen.ask(5) == [10]
