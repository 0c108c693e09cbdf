"""The storm bench: its judgement on stamps made up, and a small storm over real sockets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.storm import GOAL_GAP_MS, HELD_MS, Storm, evaluate, measure, report, table

MS = 1_000_000
KILLED = 10_000 * MS


def _carrier(call: int, **told: Any) -> dict[str, Any]:
    return {"call": call, "whole": True, "slots": 100, "gaps": [], "begun": [], **told}


def _evaluated(*calls: dict[str, Any], asked: Any = ((0, 20),), spoken: Any = ((0, 120),)) -> Storm:
    """One call that loses its provider, number 0, and others. Times in ms after the kill."""
    storm = Storm(1, len(calls) - 1)
    provider = {
        "asked": [(call, KILLED + at * MS) for call, at in asked],
        "spoken": [(call, 0, KILLED + at * MS) for call, at in spoken],
    }
    evaluate(storm, KILLED, provider, {"failed": [], "calls": list(calls)})
    return storm


def test_the_gap_is_from_the_kill_to_the_first_sound() -> None:
    storm = _evaluated(_carrier(0, begun=[KILLED + 131 * MS]))
    assert (storm.gaps, storm.reached, storm.thinking, storm.problems) == ([131.0], [20.0], [100.0], [])
    told = report([storm])
    assert told["gap_p99_ms"] == told["gap_worst_ms"] == 131.0
    assert all(told["goals"].values())


def test_a_slot_is_late_by_what_the_carrier_held_and_what_was_missing() -> None:
    early, late = (KILLED - MS, 500 * MS), (KILLED + 700 * MS, 30 * MS)
    storm = _evaluated(_carrier(0, begun=[KILLED + 131 * MS]), _carrier(1, gaps=[early, late], begun=[5 * MS]))
    assert (storm.late, storm.late_ms, storm.slots) == (1, HELD_MS + 30, 200)
    assert list(report([storm])["goals"].values()) == [True, False]


@pytest.mark.parametrize(
    ("begun", "asked", "problem"),
    [
        ([], [(0, 20)], "heard"),
        ([131, 900], [(0, 20)], "2 answers"),
        ([131], [(0, 20), (0, 800)], "2 times"),
        ([-500, 131], [(0, 20)], "before the kill"),
    ],
)
def test_what_is_not_one_answer_is_a_problem(begun: list[int], asked: Any, problem: str) -> None:
    storm = _evaluated(_carrier(0, begun=[KILLED + at * MS for at in begun]), asked=asked)
    assert len(storm.problems) == 1 and problem in storm.problems[0]
    assert not report([storm])["goals"][f"p99 gap <= {GOAL_GAP_MS:.0f} ms"]


@pytest.mark.slow
def test_a_small_storm_over_real_sockets(tmp_path: Path) -> None:
    """Every caller is answered once, by the standby, which is asked once and after the kill; nobody else notices."""
    storm = measure(4, 2, tmp_path)
    assert storm.problems == []
    assert len(storm.gaps) == len(storm.reached) == len(storm.thinking) == 4
    for gap, reached, thinking in zip(storm.gaps, storm.reached, storm.thinking, strict=True):
        assert 0 < reached < reached + thinking <= gap
    assert storm.slots > 400 and storm.burst_cpu_ms > 0
    told = report([storm])
    assert set(told["goals"]) and told["problems"] == []
    assert "4 calls lose their provider" in table(4, 2, told)
