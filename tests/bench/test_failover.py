"""The bench of failover: which calls it makes, and what it makes of them. The calls themselves: tests/chaos/live."""

from __future__ import annotations

from pathlib import Path
from random import Random
from xml.etree import ElementTree

import pytest

from bench.failover import broken, main, select
from bench.failover_chart import chart
from bench.failover_report import Result, cells, page, rows, trouble
from tests.chaos.live.verdict import Outcome
from tests.chaos.matrix.cell import Cell
from tests.chaos.matrix.faults import KINDS, impossible
from tests.chaos.matrix.known import KNOWN
from tests.chaos.matrix.phases import PHASES
from tests.chaos.matrix.table import FAULTS

FACTS = {
    "runs": 5, "parallel": 8, "rtt_ms": 0, "slack_ms": 100, "seconds": 130, "calls": 9, "records": 9, "strangers": 0,
    "crashes": 0, "again": 0, "machine": "2 cores",
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
@pytest.mark.parametrize("standby", ["warm", "cold"])
def test_calls_are_spread_over_providers_and_moments(fault: object, standby: str) -> None:
    possible = {
        (kind, phase.name)
        for kind in KINDS
        for phase in PHASES.values()
        if not impossible(kind, fault, phase, standby)  # type: ignore[arg-type]
    }
    trials = select(fault, standby, 6, 0, Random(1), KINDS)  # type: ignore[arg-type]
    assert len(trials) == len(set(trials)) == 6
    made = [(trial.cell.kind, trial.cell.phase) for trial in trials]
    assert set(made) <= possible
    assert {kind for kind, _ in made} == {kind for kind, _ in possible}
    assert len({phase for _, phase in made}) == min(6, len({phase for _, phase in possible}))
    assert trials == select(fault, standby, 6, 0, Random(1), KINDS)  # type: ignore[arg-type]


def result(added_ms: int, standby: str = "warm", problem: str = "", fault: str = "stalled", **more: int) -> Result:
    cell = Cell("openai", fault, "turn just ended", standby)
    figures = {"answers": 2, "questions": 2, **more}
    return Result(cell, Outcome([problem] if problem else [], added_ms, 3250, way="answered", **figures))


def test_figures_of_a_row() -> None:
    some = [result(2700), result(2900), result(2800), result(3300, "cold", "P3: late", lost_ms=40, off=2, answers=1)]
    table = rows(some)
    assert cells(table["stalled"]) == ["2800 / 2900", "3300 / 3300", "40", "0.875", "2", "3 of 4"]
    assert trouble(some) == ["openai / stalled / turn just ended / cold: P3: late"]
    by_moment = rows(some, "phase")
    assert list(by_moment) == ["turn just ended"] and by_moment["turn just ended"]["warm"].middle == 2800


def test_silence_means_nothing_where_no_answer_was_to_come() -> None:
    table = rows([result(0, fault="content filter", answers=1)])
    assert cells(table["content filter"])[:2] == ["–", "–"] and cells(table["content filter"])[3] == "–"
    assert "content filter" not in chart(table)


@pytest.mark.skipif(not KNOWN, reason="no cell is known not to hold")
def test_what_is_known_not_to_hold_is_told_and_is_no_trouble() -> None:
    name, reason = next(iter(KNOWN.items()))
    bad = Result(Cell(*name.split(" / ")), Outcome(["P2: off by 5 words"], way="answered badly"))
    assert trouble([bad]) == []
    text = page([bad], FACTS)
    assert reason in text and name in text and "0 of 1" in text


def test_all_calls_together() -> None:
    assert broken(FACTS) == []
    assert len(broken({**FACTS, "records": 8, "strangers": 1, "crashes": 2})) == 3


@pytest.mark.parametrize("text", ["", "[]", '{"results": [{"cell": {}}]}'])
def test_a_file_of_another_kind_is_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "other.json"
    file.write_text(text)
    assert main(["--from", str(file)]) == 2
    assert f"{file} was not written by --json" in capsys.readouterr().err


def test_a_fault_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--faults", "earthquake"]) == 2
    assert "earthquake" in capsys.readouterr().err


def test_page_and_chart() -> None:
    some = [result(2700), result(3000, "cold"), result(0, fault="closed 1012"), result(9, "cold", fault="closed 1012")]
    text = page(some, FACTS)
    assert "| stalled | by its silence | 2700 / 2700 | 3000 / 3000 | 0 | 1 | 0 | 2 of 2 | answered |" in text
    assert "| turn just ended | 1350 / 2700 | 1504 / 3000 |" in text
    assert "What did not hold" not in text and "4 calls" in text
    drawing = ElementTree.fromstring(chart(rows(some)))
    bars = [float(bar.get("width", 0)) for bar in drawing.iter("{http://www.w3.org/2000/svg}rect")]
    assert len(bars) == 3 + 4 and max(bars[3:]) > 100 * min(bars[3:])
