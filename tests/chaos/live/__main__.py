"""Makes one call of the matrix over real sockets and says what came of it.

`python -m tests.chaos.live KIND FAULT MOMENT STANDBY [ROUND TRIP IN MS]`
"""

from __future__ import annotations

import asyncio
import sys

from tests.chaos.live.calls import Trial, make
from tests.chaos.matrix.cell import Cell
from tests.chaos.matrix.faults import KINDS, STANDBYS, impossible
from tests.chaos.matrix.phases import PHASES
from tests.chaos.matrix.table import FAULTS

SLACK_MS = 100


def cell(words: list[str]) -> Cell:
    """Raises ValueError for one that cannot be."""
    for word, known in zip(words, (KINDS, FAULTS, PHASES, STANDBYS), strict=True):
        if word not in known:
            raise ValueError(f'"{word}" is none of: {"; ".join(known)}')
    kind, fault, phase, standby = words
    reason = impossible(kind, FAULTS[fault], PHASES[phase], standby)
    if reason:
        raise ValueError(f"there is no such call: {reason}")
    return Cell(kind, fault, phase, standby)


def main(words: list[str]) -> int:
    if not 4 <= len(words) <= 5:
        print(__doc__)
        return 2
    try:
        trial = Trial(cell(words[:4]), int(words[4]) if len(words) > 4 else 0)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    outcome = asyncio.run(make([trial], 4, SLACK_MS)).outcomes[trial]
    print(f"heard: {outcome.heard}")
    print(f"{outcome.added_ms} ms of silence added, {outcome.allowed_ms} allowed; {outcome.lost_ms} ms of speech lost;")
    print(f"{outcome.answers} answers to {outcome.questions} questions; the caller: {outcome.way}")
    print("; ".join(outcome.problems) or "all holds")
    return 1 if outcome.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
