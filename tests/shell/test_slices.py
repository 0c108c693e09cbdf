"""Work in slices: in order, all of it, and with room for others in between."""

from __future__ import annotations

import asyncio
import time

from bridge.shell.slices import BUDGET, Slices


def test_a_lot_of_work_leaves_room_for_what_is_due_meanwhile() -> None:
    async def scenario() -> None:
        slices, done, turns = Slices(), [], 0
        loop = asyncio.get_running_loop()

        def other() -> None:
            nonlocal turns
            turns += 1
            if len(done) < 20:
                loop.call_soon(other)

        def work(number: int) -> None:
            end = time.perf_counter() + BUDGET * 0.6
            while time.perf_counter() < end:
                pass
            done.append(number)

        for number in range(20):
            slices.do(lambda number=number: work(number))  # type: ignore[misc]
        assert done == []
        loop.call_soon(other)
        while len(done) < 20:
            await asyncio.sleep(0)
        assert done == list(range(20))
        assert turns >= 10  # two pieces fill a slice

    asyncio.run(scenario())


def test_work_that_makes_work_and_work_after_a_pause() -> None:
    async def scenario() -> None:
        slices, done = Slices(), []
        slices.do(lambda: slices.do(lambda: done.append("second")))
        await asyncio.sleep(0.01)
        slices.do(lambda: done.append("later"))
        await asyncio.sleep(0.01)
        assert done == ["second", "later"]

    asyncio.run(scenario())
