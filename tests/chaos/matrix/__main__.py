"""Counts the cells of the matrix, or tells the story of one."""

from __future__ import annotations

import sys
from collections import Counter

from tests.chaos.matrix.cell import Cell
from tests.chaos.matrix.faults import KINDS, STANDBYS, impossible
from tests.chaos.matrix.known import KNOWN
from tests.chaos.matrix.phases import PHASES
from tests.chaos.matrix.table import FAULTS
from tests.chaos.matrix.virtual import judge, run
from tests.wire.ear import ear
from tests.wire.received import received


def count() -> None:
    reasons: Counter[str] = Counter()
    for kind in KINDS:
        for fault in FAULTS.values():
            for phase in PHASES.values():
                for standby in STANDBYS:
                    reasons[impossible(kind, fault, phase, standby)] += 1
    legal = reasons.pop("")
    print(
        f"{legal} cells: {len(KINDS)} providers, {len(FAULTS)} faults, {len(PHASES)} phases, {len(STANDBYS)} standbys"
    )
    print(f"{len(KNOWN)} of them are known not to hold; {sum(reasons.values())} combinations cannot be:")
    for reason, times in reasons.most_common():
        print(f"{times:6}  {reason}")


def tell(cell: Cell) -> None:
    stage, base, keys_ms = run(cell)
    for at, kind, fields in stage.notes:
        print(f"{at:6} {kind:18} {' '.join(f'{name}={value}' for name, value in fields.items())}")
    for socket in stage.sockets.values():
        print(f"--- {socket.provider}{socket.number} ({stage.targets[socket.provider].kind}) received:")
        for entry in received(socket):
            size = f"{len(entry.data)} bytes" if entry.data else ""
            print(f"{entry.ms:6} {entry.what:8} {entry.role:10} {entry.item:10} {entry.text} {size}")
    print("--- heard:")
    print(
        " ".join(f"{word.begin:.0f}:{word.word}{'' if word.whole else '~'}" for word in ear().words(bytes(stage.heard)))
    )
    print(f"keys at {keys_ms}; without trouble it ends at {base.end_ms:.0f}")
    judged = judge(cell)
    print(f"{judged.added_ms} ms added; {judged.problems or 'all holds'}")


if __name__ == "__main__":
    if len(sys.argv) == 5:
        tell(Cell(*sys.argv[1:]))
    else:
        count()
