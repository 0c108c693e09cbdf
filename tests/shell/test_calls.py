"""Calls of a process, with real call cores whose providers never answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

from bridge.core.events import Excluded, Gone
from bridge.core.plan import CallSpec
from bridge.shell.calls import Busy, Calls
from bridge.shell.health import HealthBoard
from bridge.shell.pacer import Pacer
from bridge.shell.runner import CallRunner
from bridge.shell.services import Services
from providers.codec import Target
from tests.shell.stage import TARGETS, NotingLeg, NotingRecorder, NotingSocket, NotingTools, make_spec
from tests.virtual import virtual

GOODBYE = b"\x31" * 8000  # a second


class Office:
    """`Calls` with everything around it."""

    def __init__(self, max_calls: int = 3) -> None:
        self.recorders: list[NotingRecorder] = []
        self.pacer = Pacer()
        services = Services(HealthBoard(Random(2)), self.pacer, NotingTools(), NotingSocket)  # type: ignore[arg-type]
        self.calls = Calls(services, max_calls, self)
        self.legs: list[NotingLeg] = []

    def open(self, spec: CallSpec, targets: Mapping[str, Target]) -> NotingRecorder:
        if "/" in spec.call_id:
            raise ValueError("no safe file name")
        self.recorders.append(NotingRecorder())
        return self.recorders[-1]

    def start(self, call_id: str, **options: Any) -> CallRunner:
        self.legs.append(NotingLeg())
        return self.calls.start(make_spec(call_id, **options), TARGETS, self.legs[-1])


@virtual
async def test_there_is_room_for_so_many_and_again_when_one_ends() -> None:
    office = Office(max_calls=3)
    runners = [office.start(f"c{n}") for n in range(3)]
    assert not office.calls.has_room()
    with pytest.raises(Busy, match="3 calls are running"):
        office.start("c4")
    assert office.calls.get("c1") is runners[1]
    runners[1].dispatch(Gone("caller hung up"))
    assert await runners[1].finished == "caller hung up"
    await asyncio.sleep(0)
    assert office.calls.get("c1") is None
    assert office.calls.has_room()
    assert not office.calls.has_room(waiting=1)
    assert office.calls.counters() == {"running": 2, "started": 3, "ended": 1, "refused": 1}
    office.calls.max_calls = 1
    assert not office.calls.has_room()
    await office.calls.drain(0)


@virtual
async def test_a_call_id_is_used_once_and_must_be_recordable() -> None:
    office = Office()
    office.start("c1")
    for call_id in ("c1", "../c2"):
        with pytest.raises(ValueError):
            office.start(call_id)
    assert office.calls.counters()["running"] == 1
    await office.calls.drain(0)


@virtual
async def test_every_call_has_its_own_record_closed_once() -> None:
    office = Office()
    for name in ("c1", "c2"):
        office.start(name)
    await asyncio.sleep(1)
    await office.calls.drain(0)
    assert [recorder.kinds()[0] for recorder in office.recorders] == ["start", "start"]
    assert [recorder.kinds().count("close") for recorder in office.recorders] == [1, 1]


@virtual
async def test_all_calls_are_told() -> None:
    office = Office()
    for name in ("c1", "c2"):
        office.start(name)
    office.calls.tell_all(Excluded(("one",)))
    for recorder in office.recorders:
        assert Excluded(("one",)) in [line[1] for line in recorder.lines if line[0] == "event"]
    await office.calls.drain(0)


@virtual
async def test_draining_an_idle_process_takes_no_time_and_no_more_calls() -> None:
    office = Office()
    begun = asyncio.get_running_loop().time()
    await office.calls.drain(60_000)
    assert asyncio.get_running_loop().time() == begun
    with pytest.raises(Busy, match="shutting down"):
        office.start("c1")


@virtual
async def test_draining_waits_for_calls_that_end_by_themselves() -> None:
    office = Office()
    runners = [office.start(name) for name in ("c1", "c2")]
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for after, runner in zip((3, 7), runners, strict=True):
        loop.call_later(after, runner.dispatch, Gone("caller hung up"))
    await office.calls.drain(20_000)
    assert loop.time() - begun == pytest.approx(7, abs=0.001)
    assert [await runner.finished for runner in runners] == ["caller hung up"] * 2


@virtual
async def test_draining_ends_the_others_politely_within_the_limit() -> None:
    office = Office()
    runner = office.start("c1", phrases={"goodbye": GOODBYE})
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await office.calls.drain(10_000)
    assert await runner.finished == "shutting down"
    assert loop.time() - begun < 10
    (leg,) = office.legs
    heard = b"".join(leg.of("send"))
    assert GOODBYE[40:-80] in heard  # faded in and out at its ends
    assert leg.told[-1][1:] == ("hang_up", "shutting down")
    assert office.pacer.playing == 0


@virtual
async def test_draining_ends_by_force_what_does_not_end() -> None:
    office = Office()
    runner = office.start("c1", phrases={"goodbye": GOODBYE * 60})  # a minute's farewell
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await office.calls.drain(2_000)
    assert loop.time() - begun == pytest.approx(2)
    assert runner.over
    assert office.legs[0].of("hang_up") == ["shutting down"]
    await asyncio.sleep(0)
    assert office.calls.counters()["running"] == 0
