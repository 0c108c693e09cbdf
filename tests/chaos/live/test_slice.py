"""A slice of the matrix through the whole product: every kind of provider, every way in which trouble shows, every
outcome; over real sockets, with and without a long way to the providers. All calls run side by side in one test: they
take as long as the longest. `python -m bench.failover` runs all faults.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.chaos.live.caller import Part, call
from tests.chaos.live.calls import Trial, make
from tests.chaos.live.emulators import Emulators
from tests.chaos.live.product import Agent, Served, Tool
from tests.chaos.live.verdict import ear_for_product
from tests.chaos.matrix.cell import Cell
from tests.chaos.matrix.faults import KINDS, impossible
from tests.chaos.matrix.known import KNOWN
from tests.chaos.matrix.phases import PHASES
from tests.chaos.matrix.table import FAULTS
from tests.wire.stage import EMULATED

# Provider and moment: the faults that strike there, each with its standby.
SLICE = {
    ("openai", "dialling"): {"HTTP 503": "warm", "dial goes unanswered": "cold"},
    ("gemini", "dialling"): {"configuration unanswered": "warm", "bad key": "cold"},
    ("openai", "mid-reply, little buffered"): {"stalled": "warm", "error event and failed reply": "seeded"},
    ("azure_voice_live", "turn just ended"): {"empty reply": "warm", "content filter": "warm"},
    ("gemini", "caller speaking"): {"closed 1011 truncated": "cold", "half-open, not even that": "warm"},
    ("azure_voice_live", "first audio"): {"slow drip": "seeded", "connection reset": "cold"},
    ("gemini", "mid-reply, much buffered"): {"ends in mid-sentence": "warm", "goAway, then silence": "warm"},
    ("openai", "tool running"): {"quota: error, then 1013": "warm", "huge message": "cold"},
    ("azure_voice_live", "barge-in in progress"): {"session expired": "warm", "poisoned session": "seeded"},
}
CELLS = [
    Cell(kind, fault, phase, standby) for (kind, phase), faults in SLICE.items() for fault, standby in faults.items()
]
TRIPS_MS = (0, 80)
PARALLEL = 64
SLACK_MS = 700  # the machine may be busy with other tests


def test_the_slice_has_everything_in_it() -> None:
    for cell in CELLS:
        assert not impossible(cell.kind, FAULTS[cell.fault], PHASES[cell.phase], cell.standby), f"{cell} is no cell"
        assert str(cell) not in KNOWN
    assert 12 <= len(CELLS) <= 20
    assert {cell.kind for cell in CELLS} == set(KINDS)
    assert {cell.standby for cell in CELLS} == {"cold", "warm", "seeded"}
    assert {FAULTS[cell.fault].detects for cell in CELLS} == {fault.detects for fault in FAULTS.values()}
    assert {cell.outcome for cell in CELLS} == {fault.outcome for fault in FAULTS.values()}


@pytest.mark.slow
def test_nobody_hears_it_over_real_sockets() -> None:
    trials = [Trial(cell, rtt_ms) for cell in CELLS for rtt_ms in TRIPS_MS]
    report = asyncio.run(make(trials, PARALLEL, SLACK_MS))
    assert len(report.outcomes) == len(trials)
    again = [trial for trial, outcome in report.outcomes.items() if outcome.problems]
    if again:  # what a busy machine does to a call in real time does not happen twice
        report.add(asyncio.run(make(again, PARALLEL, SLACK_MS)))
    wrong = [
        f"{trial.cell} (then {trial.cell.other}), round trip {trial.rtt_ms} ms\n    {'; '.join(outcome.problems)}\n"
        f"    heard: {outcome.heard}"
        for trial, outcome in report.outcomes.items()
        if outcome.problems
    ]
    assert not wrong, "\n".join(["", *wrong])
    assert all(outcome.lost_ms == 0 for outcome in report.outcomes.values())
    assert report.records == report.calls  # P8
    assert report.strangers == 0  # P7
    assert report.crashes == 0


@pytest.mark.slow
def test_the_only_healthy_provider_is_not_asked_when_the_route_does_not_name_it(tmp_path: Path) -> None:
    refused = {"rules": [{"when": {"phase": "upgrade", "times": 100}, "do": {"http": {"status": 503}}}]}

    async def scenario() -> None:
        async with Tool() as tool, Emulators() as house:
            named = {}
            for name, kind in (("a", "openai"), ("b", "gemini")):
                named[name] = (kind, await house.open(name, EMULATED[kind], refused, 0, tmp_path / name))
            healthy = {"healthy": ("openai", await house.open("healthy", "openai", None, 0, tmp_path / "healthy"))}
            agent = Agent("reception", named, "warm", "Hello.")
            async with Served(tmp_path, [agent], tool.port, healthy) as served:
                sound = await call(served.stream("reception"), Part(None, 0, "", 0, 20_000))
            assert (await house.close("healthy")).dials == 0
            assert (await house.close("a")).dials >= 1 and (await house.close("b")).dials >= 1
            assert sound.end == "agent hung up"
            heard = [word.word for word in ear_for_product().words(sound.heard)]
            assert "<sorry>" in heard and not [word for word in heard if word[0] != "<"]

    asyncio.run(scenario())
