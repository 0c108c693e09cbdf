"""Every fault of every provider at every phase of a call, with every kind of standby, judged from the caller's side.

`python -m tests.chaos.matrix` counts the cells and lists what cannot be; `python -m tests.chaos.matrix KIND FAULT
PHASE STANDBY` runs one cell and tells its story.
"""

from __future__ import annotations

import pytest

from tests.chaos.matrix.cell import Cell
from tests.chaos.matrix.faults import KINDS, STANDBYS, impossible
from tests.chaos.matrix.known import KNOWN
from tests.chaos.matrix.phases import PHASES
from tests.chaos.matrix.table import FAULTS
from tests.chaos.matrix.virtual import judge


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


# What the table must have at least, by what goes wrong.
PROMISED = {
    "upgraded, then an error and close 1013 for the quota": ["quota: error, then 1013"],
    "bare 1013, with and without the quota as its reason": ["closed 1013 with quota reason", "closed 1013 bare"],
    "an error event and a failed reply for the same": ["error event and failed reply"],
    "gone without a close frame": ["connection reset"],
    "1001 with sound left to play": ["closed 1001, drained", "closed 1001 expired"],
    "1011 with its reason cut off": ["closed 1011 truncated", "too many sessions"],
    "1007 and 1008, named and not": ["closed 1007 named", "closed 1007", "closed 1008 named", "closed 1008"],
    "a session in which each reply fails": ["poisoned session"],
    "a refused configuration": ["configuration refused", "configuration refused by name"],
    "an announced end, then silence": ["goAway, then silence"],
    "a turn that is over and empty": ["empty reply"],
    "half-open": ["half-open, acknowledged", "half-open, not even that"],
    "a slow drip": ["slow drip"],
    "accepted, then silent": ["accepted, then silent", "configuration unanswered", "stalled"],
    "wakes up after the switch and answers": ["stalled, wakes after the switch"],
}
MOMENTS = [
    "dialling", "greeting", "caller silent", "caller speaking", "turn just ended", "first audio",
    "mid-reply, much buffered", "mid-reply, little buffered", "tool running", "tool result just sent",
    "barge-in in progress", "planned rotation in progress",
]  # fmt: skip


def test_the_table_has_what_was_promised() -> None:
    assert list(PHASES) == MOMENTS
    for name in {name for names in PROMISED.values() for name in names} | set(FAULTS):
        kinds = [kind for kind in KINDS if legal(kind, name)]
        assert kinds, f"{name} happens to nobody"
        assert len(kinds) == len(KINDS) or FAULTS[name].absent, f"{name} happens to {kinds} only, and nothing says why"
    for kind in KINDS:
        cells = [cell for name in FAULTS for cell in legal(kind, name)]
        met = {(cell.phase, cell.standby) for cell in cells}
        assert met == {(phase, standby) for phase in PHASES for standby in STANDBYS}


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
