"""Cells that do not hold yet, with the reason. A cell in here that holds fails the test."""

from __future__ import annotations

from tests.chaos.matrix.faults import KINDS, STANDBYS

RATE = (
    "no word times and no pause near the end of what was received: the text heard is reckoned by rate, and the "
    "transcript that ran ahead is taken for heard: a word broken off and the one after it are lost"
)
KNOWN: dict[str, str] = {
    f"{kind} / crawl / mid-reply, much buffered / {standby}": RATE for kind in KINDS for standby in STANDBYS
}
