"""Where in a call trouble strikes: what the caller and the providers do in it, and the moment as an emulator's rule.

Times are ms of the call. Each call ends with keys pressed, whose answer shows that the call is alive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

HELLO = "Hello."
WELCOME = "Hello, thank you for calling. How can I help you today?"
NUMBER = 7
QUESTION_MS = 1400
LOW_LIMIT = {
    "send": {
        "type": "rate_limits.updated",
        "event_id": "event_low",
        "rate_limits": [{"name": "tokens", "limit": 40000, "remaining": 200, "reset_seconds": 40.0}],
    }
}


@dataclass(frozen=True, slots=True)
class Phase:
    """`when`: the moment of the fault, a condition of an emulator's rule. `asks_ms`: the deadline for a silent provider
    from this phase on; `owes` False: no reply is under way or owed. `pace`: of the failing provider's replies."""

    name: str
    when: Mapping[str, Any]
    greeting: str = HELLO
    speaks_ms: int | None = 1000
    pace: float = 4.0
    tool: bool = False
    asks_ms: int = 2800
    owes: bool = True
    spoken: bool = False  # some of the reply was sent when it strikes
    rotates: bool = False
    keys: str = field(default="5#")


PHASES = {
    phase.name: phase
    for phase in (
        Phase("dialling", {"phase": "configuring"}, greeting="", speaks_ms=300, asks_ms=1000, owes=False),
        Phase("greeting", {"phase": "reply", "reply": 1, "after_deltas": 3}, WELCOME, None, asks_ms=600, spoken=True),
        Phase("caller silent", {"phase": "idle", "reply": 1, "after_ms": 300}, speaks_ms=1700, owes=False),
        Phase("caller speaking", {"phase": "speaking", "turn": 1, "after_ms": 600}, owes=False),
        Phase("turn just ended", {"phase": "asked", "reply": 2}),
        Phase("first audio", {"phase": "reply", "reply": 2, "after_deltas": 1}, asks_ms=600, spoken=True),
        Phase(
            "mid-reply, much buffered",
            {"phase": "reply", "reply": 2, "after_deltas": 9},
            pace=8.0,
            asks_ms=600,
            spoken=True,
        ),
        Phase(
            "mid-reply, little buffered",
            {"phase": "reply", "reply": 2, "after_deltas": 7},
            pace=1.1,
            asks_ms=600,
            spoken=True,
        ),
        Phase("tool running", {"phase": "tool", "reply": 2, "after_ms": 300}, tool=True, asks_ms=4500, owes=False),
        Phase("tool result just sent", {"phase": "asked", "reply": 3}, tool=True, asks_ms=4500),
        Phase(
            "barge-in in progress",
            {"phase": "reply", "reply": 1, "after_ms": 1620},
            WELCOME,
            1500,
            pace=1.2,
            spoken=True,
        ),
        Phase(
            "planned rotation in progress",
            {"phase": "reply", "reply": 2, "after_deltas": 6},
            pace=1.5,
            asks_ms=600,
            spoken=True,
            rotates=True,
        ),
    )
}


def rotation(kind: str, phase: Phase) -> list[dict[str, Any]]:
    """What makes the failing provider want to be left, a little before it fails."""
    if not phase.rotates:
        return []
    leave = {"go_away": {"left_ms": 30_000, "close": False}} if kind == "gemini" else LOW_LIMIT
    return [{"when": {"phase": "reply", "reply": 2, "after_deltas": 2, "connection": 1}, "do": leave}]
