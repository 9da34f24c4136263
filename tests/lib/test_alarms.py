"""Alarms behind one timer: each at its time, none that was cancelled, and nothing left when none waits."""

from __future__ import annotations

import asyncio

import pytest

from promptlab.lib import alarms


@pytest.mark.asyncio
async def test_each_rings_at_its_time_whatever_the_order_they_were_set_in() -> None:
    loop, rung = asyncio.get_running_loop(), []
    now = loop.time()
    for wait_s in (0.03, 0.01, 0.02):
        alarms.at(now + wait_s, lambda wait_s=wait_s: rung.append((wait_s, loop.time() - now)))
    await asyncio.sleep(0.06)
    assert [wait_s for wait_s, _ in rung] == [0.01, 0.02, 0.03]
    assert all(after >= wait_s - 0.002 for wait_s, after in rung)


@pytest.mark.asyncio
async def test_what_is_cancelled_never_rings_and_others_do() -> None:
    loop, rung = asyncio.get_running_loop(), []
    several = [alarms.at(loop.time() + 0.01, lambda number=number: rung.append(number)) for number in range(500)]
    for number, alarm in enumerate(several):
        if number % 10:
            alarm.cancel()
            alarm.cancel()
    await asyncio.sleep(0.05)
    assert rung == list(range(0, 500, 10))
    several[0].cancel()


@pytest.mark.asyncio
async def test_one_that_fails_keeps_no_other_from_ringing() -> None:
    loop, rung, told = asyncio.get_running_loop(), [], []
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))

    def fail() -> None:
        raise ValueError("on purpose")

    alarms.at(loop.time(), fail)
    alarms.at(loop.time(), lambda: rung.append(1))
    await asyncio.sleep(0.02)
    assert rung == [1]
    assert [str(error) for error in told] == ["on purpose"]


@pytest.mark.asyncio
async def test_when_nothing_waits_the_loop_has_no_timer_and_nothing_is_kept() -> None:
    loop = asyncio.get_running_loop()
    for alarm in [alarms.at(loop.time() + 60 + number, print) for number in range(1000)]:
        alarm.cancel()
    those = alarms._of_loops[loop]
    assert (those._timer, those._waiting) == (None, [])
    alarms.at(loop.time() + 60, print).cancel()
    assert those._timer is None


@pytest.mark.asyncio
async def test_one_that_comes_earlier_is_not_late_for_a_later_one() -> None:
    loop, rung = asyncio.get_running_loop(), []
    alarms.at(loop.time() + 60, print)
    alarms.at(loop.time() + 0.01, lambda: rung.append(1))
    await asyncio.sleep(0.03)
    assert rung == [1]
