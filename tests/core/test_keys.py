"""Keys by the carrier's report and by their tone: each press counts once, whoever tells of it in whatever order."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.dtmf import HIGH, KEYS, LOW
from audio.frame import Pcm
from bridge.core import events as ev
from bridge.core.desk import MS, Desk
from bridge.core.keys import MOST, PAIR_MS, Keys
from providers import base as pb
from tests.core.stage import Stage
from tests.edges.lossy import FRAME
from tests.edges.test_lossy_line import LineStage, turns
from tests.virtual import virtual


class Pad:
    """Keys at given times (ms); `got` are the collections that came out."""

    def __init__(self) -> None:
        self.desk = Desk(Stage().spec)
        self.got: list[str] = []
        self.keys = Keys(self.desk, self.got.append)

    def at(self, ms: float, carrier: str = "", line: str = "") -> Pad:
        self.until(ms)
        for key in carrier:
            self.keys.reported(key)
        self.keys.heard(line)
        return self

    def until(self, ms: float) -> Pad:
        self.desk.now = int(ms * MS)
        for name in self.desk.timers.due(self.desk.now):
            assert name == "keys"
            self.keys.due()
        return self


@pytest.mark.parametrize("apart", [-1900, -300, -20, 0, 20, 300, 1900])
def test_a_key_reported_by_both_counts_once(apart: int) -> None:
    reports = sorted([(2000, "carrier"), (2000 + apart, "line")], key=lambda report: report[0])
    pad = Pad()
    for at, who in reports:
        pad.at(at, **{who: "5"})
    assert pad.until(9000).got == ["5"]


@pytest.mark.parametrize("who", ["carrier", "line"])
def test_two_presses_of_a_key_count_twice(who: str) -> None:
    assert Pad().at(0, **{who: "5"}).at(250, **{who: "5"}).at(500, **{who: "#"}).got == ["55#"]
    both = Pad().at(0, line="5").at(90, carrier="5").at(250, line="5").at(330, carrier="5#").at(700, line="#")
    assert both.got == ["55#"]
    behind = Pad().at(0, carrier="55").at(300, line="5").at(500, line="5").until(5000)
    assert behind.got == ["55"]


def test_a_closing_key_heard_again_opens_nothing() -> None:
    pad = Pad().at(0, carrier="1").at(60, line="1").at(300, carrier="#").at(380, line="#")
    assert pad.got == ["1#"] and not pad.keys.collecting
    assert pad.until(10_000).got == ["1#"]


def test_what_only_one_of_them_knows_of_counts() -> None:
    assert Pad().at(0, carrier="1").at(100, line="1").at(400, line="2").at(800, carrier="3").until(4000).got == ["123"]


def test_reports_too_far_apart_are_two_presses() -> None:
    assert Pad().at(0, carrier="7").at(PAIR_MS + 1, line="7").until(9000).got == ["7", "7"]


def test_a_collection_is_bounded() -> None:
    pad = Pad()
    for _ in range(3 * MOST):
        pad.keys.reported("1")
    assert [len(digits) for digits in pad.got] == [MOST] * 3


@given(
    st.lists(st.tuples(st.sampled_from("05#"), st.integers(150, 1500)), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 140), st.integers(0, 140)), min_size=12, max_size=12),
)
def test_any_delays_of_the_two_shorter_than_a_press_count_each_press_once(
    presses: list[tuple[str, int]], delays: list[tuple[int, int]]
) -> None:
    reports: list[tuple[int, str, str]] = []
    starts = itertools.accumulate(gap for _, gap in presses)
    for (key, _), at, (carrier, line) in zip(presses, starts, delays, strict=False):
        reports += [(at + carrier, "carrier", key), (at + line, "line", key)]
    pad = Pad()
    for at, who, key in sorted(reports, key=lambda report: report[0]):
        pad.at(at, **{who: key})
    assert "".join(pad.until(100_000).got) == "".join(key for key, _ in presses)


# ------------------------------------------------------------------------------------------------------- a whole call


def tones(keys: str, on_ms: int = 100, off_ms: int = 150, seconds: float = 8.0) -> Pcm:
    """Keys pressed from 2 s on, on a line with a little noise."""
    line = np.random.default_rng(2).normal(0, 12, int(seconds * 8000))
    t = np.arange(on_ms * 8) / 8000
    for index, key in enumerate(keys):
        row = next(row for row, names in enumerate(KEYS) if key in names)
        low, high = LOW[row], HIGH[KEYS[row].index(key)]
        at = 16_000 + index * (on_ms + off_ms) * 8
        line[at : at + len(t)] += 5000 * (np.sin(2 * np.pi * low * t) + np.sin(2 * np.pi * high * t))
    return np.asarray(line, np.int16)


@virtual
@pytest.mark.parametrize("reported", [True, False])
@pytest.mark.parametrize("cut", [0, 1])
async def test_keys_of_a_call_reach_the_provider_once_and_are_never_speech(reported: bool, cut: int) -> None:
    """The carrier reports them or does not; a chunk of a tone may be lost."""
    pressed = "4471#"
    lost = {2000 // 20 + 250 // 20 * index + 4 for index in range(5)} if cut else set()
    stage = LineStage(tones(pressed), lost)
    if reported:
        for index, key in enumerate(pressed):
            stage.later(2120 + 250 * index, lambda key=key: stage.dispatch(ev.Dtmf(key)))
    stage.run(8000)
    told = [item.text for command in stage.link("a").log if isinstance(command, pb.Seed) for item in command.items]  # type: ignore[union-attr]
    assert told == ["(The caller pressed the keys 4 4 7 1 #.)"]
    assert sum(isinstance(command, pb.Ask) for command in stage.link("a").log) == 1
    assert not any(isinstance(command, pb.BeginTurn) for command in stage.link("a").log)
    assert len(turns(stage)) == 1 and stage.noted("barge_in") == []
    assert [note["digit"] for note in stage.noted("dtmf")] == list(pressed)
    assert len(stage.chunks) * FRAME >= 8 * 7990
