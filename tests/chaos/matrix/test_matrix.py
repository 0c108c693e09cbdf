"""Every fault of every provider at every phase of a call, with every kind of standby, judged from the caller's side.

`python -m tests.chaos.matrix` counts the cells and lists what cannot be; `python -m tests.chaos.matrix KIND FAULT
PHASE STANDBY` runs one cell and tells its story.
"""

from __future__ import annotations

import pytest

from tests.chaos.matrix.cell import Cell, judge
from tests.chaos.matrix.faults import KINDS, STANDBYS, impossible
from tests.chaos.matrix.known import KNOWN
from tests.chaos.matrix.phases import PHASES
from tests.chaos.matrix.table import FAULTS


def legal(kind: str, fault: str) -> list[Cell]:
    return [
        Cell(kind, fault, phase, standby)
        for phase in PHASES
        for standby in STANDBYS
        if not impossible(kind, FAULTS[fault], PHASES[phase], standby)
    ]


ROWS = [(kind, fault) for kind in KINDS for fault in FAULTS if legal(kind, fault)]


@pytest.mark.parametrize(("kind", "fault"), ROWS, ids=[f"{kind}: {fault}" for kind, fault in ROWS])
def test_nobody_hears_it(kind: str, fault: str) -> None:
    wrong = []
    for cell in legal(kind, fault):
        judged = judge(cell)
        reason = KNOWN.get(str(cell))
        if judged.problems and reason is None:
            wrong.append(f"{cell} (then {cell.other})\n    {'; '.join(judged.problems)}\n    heard: {judged.heard}")
        elif reason is not None and not judged.problems:
            wrong.append(f"{cell}\n    holds although it is known not to: {reason}")
    assert not wrong, "\n".join(["", *wrong])


def test_what_cannot_be_says_why() -> None:
    for kind in KINDS:
        for fault in FAULTS.values():
            for phase in PHASES.values():
                for standby in STANDBYS:
                    reason = impossible(kind, fault, phase, standby)
                    assert reason == "" or len(reason) > 10
    for cell in KNOWN:
        kind, fault, phase, standby = cell.split(" / ")
        assert not impossible(kind, FAULTS[fault], PHASES[phase], standby), f"{cell} is no cell"
