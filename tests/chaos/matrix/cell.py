"""One call of the matrix: what its providers are told to do, and how much silence its fault may add."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.chaos.matrix.faults import KINDS, Fault, action
from tests.chaos.matrix.phases import NUMBER, PHASES, Phase, rotation
from tests.chaos.matrix.table import FAULTS
from tests.wire.ear import Heard

FIRST_AUDIO_MS = 300
MARGIN_MS = 150
AIM_MS = 25  # the margin a warm standby stays within on simulated time
CONNECT_MS = 150  # dial, session and configuration of the emulators below, and their steps
CONNECT_TRIPS = 4  # round trips it takes: TCP and upgrade, the session's first message, its configuration
TOOL_MS = 900
SCRIPT: dict[str, Any] = {
    "latency": {"upgrade_ms": 60, "session_ms": 20, "ack_ms": 30},
    "reply": {"seconds": 1.0, "first_audio_ms": FIRST_AUDIO_MS, "lead_ms": 300},
    "replies": [{"number": NUMBER, "seconds": 3.2}],
    "caller_text": {"delay_ms": 400},
}


@dataclass(frozen=True, slots=True)
class Cell:
    kind: str
    fault: str
    phase: str
    standby: str

    @property
    def other(self) -> str:
        """The kind that takes over: each of the others in turn."""
        others = [kind for kind in KINDS if kind != self.kind]
        return others[(list(FAULTS).index(self.fault) + list(PHASES).index(self.phase)) % 2]

    @property
    def outcome(self) -> str:
        """As the fault's, except that a Gemini turn that ends in mid-sentence cannot be told from one that is over."""
        if self.kind == "gemini" and self.fault == "poisoned session" and PHASES[self.phase].spoken:
            return "shortened"
        return FAULTS[self.fault].outcome

    def __str__(self) -> str:
        return f"{self.kind} / {self.fault} / {self.phase} / {self.standby}"


@dataclass(frozen=True)
class Baseline:
    """The same call without trouble. `first`: its words up to the keys; `last`: those of the keys' answer."""

    first: tuple[Heard, ...]
    last: tuple[str, ...]
    end_ms: float


def scripts(phase: Phase, rules: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of the failing provider and of the other one."""
    failing = {**SCRIPT, "rules": rules, "reply": {**SCRIPT["reply"], "pace": phase.pace}}
    tools = {"tools": [{"name": "lookup", "number": NUMBER}]} if phase.tool else {}
    return {**failing, **tools}, {**SCRIPT, **tools}


def baseline_of(words: list[Heard], phase: Phase, keys_ms: int) -> Baseline:
    """From what was heard of a call without trouble. Raises AssertionError when that is not what it should be."""
    first = tuple(heard for heard in words if heard.begin < keys_ms)
    last = tuple(heard.word for heard in words if heard.begin >= keys_ms)
    assert last[:3] == ("you", "pressed", "five"), last
    if phase.speaks_ms is not None:
        answer = " ".join(heard.word for heard in first)
        assert "you asked about number seven" in answer and "missing" not in answer, answer
        assert ("the result is seven" in answer) == phase.tool, answer
    return Baseline(first, last, first[-1].end)


def rules_for(kind: str, fault: Fault, phase: Phase) -> list[dict[str, Any]]:
    rules = rotation(kind, phase)
    connection = 2 if fault.moment and phase.rotates else 1
    when = {"phase": fault.moment} if fault.moment else dict(phase.when)
    if fault.dials == 1 and fault.moment == "upgrade":
        return [*rules, {"when": when, "do": action(fault, kind, phase)}] if not phase.rotates else [
            *rules, {"when": {**when, "connection": 2}, "do": action(fault, kind, phase)}]  # fmt: skip
    return [*rules, {"when": {**when, "connection": connection}, "do": action(fault, kind, phase)}]


def strictly_allowed_ms(cell: Cell) -> int:
    """On simulated time: none where there is enough left to play, nor where nobody is owed a word and the fault shows
    at once; elsewhere what a warm standby aims at."""
    fault, phase = FAULTS[cell.fault], PHASES[cell.phase]
    silent = phase.name in ("caller speaking", "caller silent") and fault.detects != "silence" and not fault.moment
    return 0 if silent or phase.name == "mid-reply, much buffered" else allowed_ms(cell, margin_ms=AIM_MS)


def allowed_ms(cell: Cell, rtt_ms: int = 0, margin_ms: int = MARGIN_MS) -> int:
    """How much silence a fault may add: detection, the next provider's first audio, a margin, connecting when cold, and
    the round trips these take."""
    fault, phase = FAULTS[cell.fault], PHASES[cell.phase]
    if cell.outcome in ("unnoticed", "shortened", "refused") and not fault.name.startswith("stalled"):
        return 0
    detection = {
        "now": 0,
        "dial": 1500,
        "configured": 1000,
        "silence": phase.asks_ms,
        "slow": 600,
        "empty": 2 * (FIRST_AUDIO_MS + rtt_ms),
    }[fault.detects]
    if fault.detects == "silence" and phase.name == "barge-in in progress":
        detection = 2800
    cold = cell.standby == "cold" or phase.name in ("dialling", "greeting")
    connect = CONNECT_MS + CONNECT_TRIPS * rtt_ms if cold else 0
    return detection + FIRST_AUDIO_MS + (MARGIN_MS if cold else margin_ms) + rtt_ms + connect
