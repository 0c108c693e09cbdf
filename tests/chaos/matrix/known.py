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

TEXT_ONLY = (
    "a reply that came as text instead of sound is in the provider's history as said: nudged for sound, the model "
    "finds the question answered and asks something else"
)
KNOWN |= {
    f"{kind} / text instead of speech / {phase} / {standby}": TEXT_ONLY
    for kind in ("openai", "azure_voice_live")
    for phase in ("turn just ended", "tool result just sent")
    for standby in STANDBYS
}
