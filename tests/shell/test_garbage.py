"""The collector's passes fall where nobody is on the line, and an ended call needs none."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from random import Random

import pytest

from audio.frame import PCMU, Frame
from bridge.core.events import Gone
from bridge.shell.calls import Calls
from bridge.shell.garbage import MANY, NEVER, QUIET_S, Garbage
from bridge.shell.health import HealthBoard
from bridge.shell.pacer import Pacer
from bridge.shell.services import Services
from tests.shell.stage import TARGETS, NotingLeg, NotingSocket, NotingTools, make_spec
from tests.virtual import virtual


class Ring:
    """What only a pass over everything finds."""

    def __init__(self) -> None:
        self.own = self


@pytest.fixture
def usual() -> Iterator[tuple[int, int, int]]:
    """The collector as it was, now and afterwards."""
    before = gc.get_threshold()
    yield before
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def old_ring() -> weakref.ref[Ring]:
    ring = Ring()
    for _ in range(3):
        gc.collect(1)  # it outlives the young
    return weakref.ref(ring)


def test_what_was_there_is_frozen_and_nothing_old_is_looked_at(usual: tuple[int, int, int]) -> None:
    @virtual
    async def run() -> None:
        garbage = Garbage()
        garbage.begin()
        assert gc.get_freeze_count() > 10_000 and gc.get_threshold()[2] == NEVER
        ring = old_ring()
        keep = [[n] for n in range(200_000)]  # with the usual thresholds several passes over everything
        assert ring() is not None
        del keep
        garbage.close()

    run()


def test_everything_is_looked_at_when_nobody_has_been_on_the_line_for_a_while(usual: tuple[int, int, int]) -> None:
    @virtual
    async def run() -> None:
        garbage = Garbage()
        garbage.begin()
        ring = old_ring()
        garbage.ended(running=1)
        await asyncio.sleep(QUIET_S + 1)
        garbage.ended(running=0)
        await asyncio.sleep(QUIET_S / 2)
        garbage.started()
        await asyncio.sleep(QUIET_S + 1)
        assert ring() is not None and garbage.passes == 0
        garbage.ended(running=0)
        await asyncio.sleep(QUIET_S + 1)
        assert ring() is None and garbage.passes == 1
        garbage.close()

    run()


def test_many_calls_are_not_waited_for_for_ever(usual: tuple[int, int, int]) -> None:
    @virtual
    async def run() -> None:
        garbage = Garbage()
        garbage.begin()
        for _ in range(MANY - 1):
            garbage.ended(running=50)
        await asyncio.sleep(1)
        assert garbage.passes == 0
        garbage.ended(running=50)
        garbage.started()  # a busy server: there is always one that begins
        await asyncio.sleep(1)
        garbage.ended(running=50)
        await asyncio.sleep(1)
        assert garbage.passes == 1
        garbage.close()

    run()


@virtual
async def test_an_ended_call_is_gone_without_a_pass() -> None:
    pacer = Pacer()
    services = Services(HealthBoard(Random(2)), pacer, NotingTools(), NotingSocket)  # type: ignore[arg-type]
    calls = Calls(services, 10)
    runner = calls.start(make_spec("c1"), TARGETS, NotingLeg())
    for _ in range(50):
        runner.heard(Frame(bytes(range(160)), PCMU))
    call = runner._engine._call
    inside = [weakref.ref(part) for part in (call._desk, call._floor, call._failover, call._replies)]
    del call
    gc.collect()
    gc.disable()
    try:
        runner.dispatch(Gone("caller hung up"))
        assert await runner.finished == "caller hung up"
        await asyncio.sleep(0.1)
        assert [ref() for ref in inside] == [None] * 4
    finally:
        gc.enable()
    runner.dispatch(Gone("again"))
    runner.received(1, "late")
    runner.abandon("again")
    assert runner.over
    pacer.close()
