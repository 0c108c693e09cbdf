"""The pacer in virtual time: who is asked for how much, when."""

from __future__ import annotations

import asyncio
import math
import random

import pytest

from bridge.shell.pacer import LATE, PERIOD, SLOT, Pacer, Voice
from tests.virtual import virtual

MS = 1_000_000


class Call:
    """A call that always has audio, as long as `left` says. Notes when it was asked for how many frames."""

    def __init__(self, pacer: Pacer, lead_ms: int = 80, left: int = 10**9) -> None:
        self.pacer = pacer
        self.loop = asyncio.get_running_loop()
        self.voice = Voice(self.pull, lead_ms)
        self.left = left
        self.log: list[tuple[float, int]] = []

    def pull(self, frames: int) -> None:
        now = self.loop.time()
        self.log.append((round(now * 1000, 3), frames))
        frames = min(frames, self.left)
        self.left -= frames
        if frames:
            self.voice.sent(frames * SLOT, round(now * 1e9))
        if not self.left:
            self.pacer.stop(self.voice)

    def times(self) -> list[float]:
        return [at for at, _ in self.log]


@virtual
async def test_the_lead_at_once_then_two_frames_per_period_without_drift() -> None:
    pacer = Pacer()
    await asyncio.sleep(0.0137)
    call = Call(pacer)
    pacer.start(call.voice)
    assert [frames for _, frames in call.log] == [4]
    begun = call.log[0][0]
    await asyncio.sleep(60)
    pacer.stop(call.voice)
    first = call.log[1][0]
    assert 30 <= first - begun <= 40
    assert call.times()[1:] == pytest.approx([first + 40 * n for n in range(len(call.log) - 1)], abs=0.01)
    assert {frames for _, frames in call.log[1:]} == {2}
    assert len(call.log) == 1501 or len(call.log) == 1500
    assert pacer.late_slots == 0


@virtual
async def test_what_the_caller_holds_never_exceeds_the_lead_by_more_than_half_a_slot() -> None:
    pacer = Pacer()
    loop = asyncio.get_running_loop()
    for lead in (60, 80, 100):
        call = Call(pacer, lead)
        pacer.start(call.voice)
        held = []
        for _ in range(500):
            await asyncio.sleep(0.0017)
            held.append(call.voice.until / MS - loop.time() * 1000)
        assert max(held) <= lead + 10
        assert min(held) >= lead - 40 - 2  # a look every 1.7 ms does not see the very lowest
        pacer.stop(call.voice)


@virtual
async def test_nothing_runs_while_nobody_plays() -> None:
    pacer = Pacer()
    call = Call(pacer, left=6)
    pacer.start(call.voice)
    await asyncio.sleep(1)
    assert sum(frames for _, frames in call.log) == 6
    assert not call.voice.playing
    asked = len(call.log)
    await asyncio.sleep(100)
    assert len(call.log) == asked
    assert pacer.playing == 0


@virtual
async def test_starting_again_soon_does_not_give_the_lead_twice() -> None:
    pacer = Pacer()
    call = Call(pacer, left=6)
    pacer.start(call.voice)  # 4 frames
    await asyncio.sleep(0.041)  # the other two, then it stops
    assert not call.voice.playing
    call.left = 100
    call.log.clear()
    pacer.start(call.voice)
    assert call.log == []  # the caller still holds nearly the whole lead
    await asyncio.sleep(0.1)
    assert {frames for _, frames in call.log} == {2}
    pacer.stop(call.voice)


@virtual
async def test_after_a_clear_the_lead_is_given_anew() -> None:
    pacer = Pacer()
    call = Call(pacer, left=4)
    pacer.start(call.voice)
    call.voice.cleared()
    call.left = 100
    pacer.start(call.voice)
    assert [frames for _, frames in call.log] == [4, 4]
    pacer.stop(call.voice)


@virtual
async def test_a_call_with_nothing_to_send_is_asked_once_per_period() -> None:
    pacer = Pacer()
    call = Call(pacer)
    asked: list[int] = []
    call.voice.pull = asked.append  # it never sends
    pacer.start(call.voice)
    await asyncio.sleep(1)
    assert len(asked) in (25, 26)
    pacer.stop(call.voice)


@pytest.mark.parametrize("stall_ms", [15, 45, 75, 95, 200, 1000])
def test_after_a_stall_no_burst_and_the_late_slots_are_counted(stall_ms: int) -> None:
    @virtual
    async def scenario() -> None:
        pacer = Pacer()
        loop = asyncio.get_running_loop()
        call = Call(pacer)
        pacer.start(call.voice)
        await asyncio.sleep(1)
        await _until_next(call)
        last = call.log[-1][0]
        loop._clock += stall_ms / 1000  # type: ignore[attr-defined] - the process did not run for a while
        await asyncio.sleep(0.001)
        lateness = stall_ms - PERIOD / MS  # of what came due first; each slot more is another silent one
        assert pacer.late_slots == max(0, math.ceil((lateness - LATE / MS) / 20 - 1e-6))
        await asyncio.sleep(0.5)
        after = [frames for at, frames in call.log if at > last]
        assert after[0] <= 4
        assert after[1] in (1, 2) and set(after[2:]) == {2}
        slots = [at for at in call.times() if at > last][1:]
        assert all((at - last) % 40 == pytest.approx(0, abs=0.01) or (at - last) % 40 > 39.99 for at in slots)
        pacer.stop(call.voice)

    scenario()


async def _until_next(call: Call) -> None:
    count = len(call.log)
    while len(call.log) == count:
        await asyncio.sleep(0.001)


@virtual
async def test_a_timer_that_fires_early_serves_the_slot_and_does_not_spin() -> None:
    """uvloop rounds to milliseconds: make every timer fire up to 1 ms early."""
    loop = asyncio.get_running_loop()
    early = random.Random(3)
    plain, armed = loop.call_at, 0

    def call_at(when: float, callback: object, *args: object, **options: object) -> asyncio.TimerHandle:
        nonlocal armed
        armed += 1
        return plain(when - early.random() / 1000, callback, *args, **options)  # type: ignore[arg-type]

    pacer = Pacer()
    loop.call_at = call_at  # type: ignore[assignment, method-assign]
    call = Call(pacer)
    pacer.start(call.voice)
    before = armed
    await plain_sleep(plain, 20)
    assert 499 <= len(call.log) <= 501
    assert armed - before <= 503
    pacer.stop(call.voice)


async def plain_sleep(call_at: object, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    call_at(loop.time() + seconds, done.set_result, None)  # type: ignore[operator]
    await done


@virtual
async def test_many_calls_are_spread_and_share_few_wake_ups() -> None:
    pacer = Pacer()
    calls = [Call(pacer) for _ in range(96)]
    for call in calls:  # all begin at the same instant
        pacer.start(call.voice)
    await asyncio.sleep(1)
    for call in calls:
        call.log.clear()
    await asyncio.sleep(1)
    together: dict[float, int] = {}
    for call in calls:
        for at in call.times():
            together[round(at, 1)] = together.get(round(at, 1), 0) + 1
    assert max(together.values()) <= 24
    assert len(together) <= 400
    assert sum(together.values()) == pytest.approx(96 * 25, abs=96)
    pacer.close()
    assert pacer.playing == 0


@virtual
async def test_a_call_may_stop_others_and_itself_while_being_served() -> None:
    pacer = Pacer()
    calls = [Call(pacer) for _ in range(20)]
    for call in calls:
        pacer.start(call.voice)

    def stop_all(frames: int) -> None:
        for call in calls:
            pacer.stop(call.voice)

    await asyncio.sleep(0.5)
    for call in calls:
        call.log.clear()
        call.voice.pull = stop_all
    await asyncio.sleep(1)
    assert pacer.playing == 0
    assert all(call.log == [] for call in calls)
