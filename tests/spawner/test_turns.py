"""A crowd that asks at once is let in one by one, and nobody who only looks waits for all of it."""

import asyncio
import time

import pytest

from spawner.turns import Turns

WORK_S = 0.02


async def start(turns: Turns, number: int, done: list[int]) -> None:
    await turns.wait()
    time.sleep(WORK_S)  # noqa: ASYNC251  what JupyterHub's own work is to the loop
    done.append(number)


async def test_who_asks_in_the_middle_of_a_crowd_is_answered_between_two_starts():
    turns, done = Turns(pause_s=WORK_S), []
    crowd = [asyncio.ensure_future(start(turns, number, done)) for number in range(20)]
    waits = []
    while len(done) < len(crowd):
        asked = time.monotonic()
        await asyncio.sleep(0)
        waits.append(time.monotonic() - asked)

    assert done == list(range(20))
    assert max(waits) < 10 * WORK_S


async def test_one_who_is_alone_does_not_wait():
    began = time.monotonic()
    await Turns(pause_s=60).wait()

    assert time.monotonic() - began < 1


async def test_one_who_gives_up_or_fails_does_not_keep_the_door():
    turns = Turns(pause_s=0.01)
    await turns.wait()
    gone = asyncio.ensure_future(turns.wait())
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    async with asyncio.timeout(5):
        await turns.wait()
        await turns.wait()
