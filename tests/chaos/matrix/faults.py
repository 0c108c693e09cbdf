"""What a fault is, and where it can strike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.chaos.matrix.phases import Phase

Detects = Literal["now", "dial", "configured", "silence", "slow", "empty"]
Outcome = Literal["answered", "unnoticed", "shortened", "refused"]
KINDS = ("openai", "azure_voice_live", "gemini")
STANDBYS = ("cold", "warm", "seeded")
ALL = "*"


@dataclass(frozen=True, slots=True)
class Fault:
    """`do`: what the emulator does, by provider kind or for ALL. `moment`: dialling faults bring their own.

    Expectations: `detects` how the trouble shows; `outcome`: the caller gets the whole answer ("answered"), gets it
    from the same provider as if nothing had happened ("unnoticed"), hears a part and no more ("shortened"), or is asked
    to say it another way ("refused"). `needs`: what must be under way: "anything", a reply ("reply"), or a reply
    nothing of which was sent ("unspoken"). `dials`: how often the failing provider may be dialled in all."""

    name: str
    do: Mapping[str, Any]
    moment: str = ""
    detects: Detects = "now"
    outcome: Outcome = "answered"
    needs: Literal["anything", "reply", "unspoken", "spoken"] = "anything"
    dials: int = 4
    absent: str = ""  # why a kind that `do` does not name has no such fault


RESUMES_MS = {"turn just ended": 2950, "tool result just sent": 4650, "mid-reply, little buffered": 800}


def action(fault: Fault, kind: str, phase: Phase) -> Any:
    """What the emulator is told to do."""
    do = fault.do.get(kind, fault.do.get(ALL))
    if fault.name.startswith("stalled, resumes"):
        return {"stall": {"ms": RESUMES_MS[phase.name]}}
    return do


def impossible(kind: str, fault: Fault, phase: Phase, standby: str) -> str:
    """Why there is no such cell; empty when there is one."""
    if kind not in fault.do and ALL not in fault.do:
        return fault.absent
    if fault.moment:
        if phase.name == "dialling":
            return ""
        if not phase.rotates:
            return "the connection stands already"
        if kind != "gemini" and standby == "cold":
            return "a limit nearly used up is left for another account, the same one is not dialled"
        return "" if standby == "cold" else "the successor is connected already"
    if fault.name == "audio after the interruption" and phase.name != "barge-in in progress":
        return "nothing is interrupted"
    if fault.name == "caller text twice" and phase.name not in ("caller silent", "caller speaking", "greeting"):
        return "the caller's text was sent already, or there is none"
    if fault.needs != "anything" and not phase.owes:
        return "no reply is owed; it strikes the next one, see: turn just ended"
    if fault.needs == "unspoken" and phase.spoken:
        return "some of the reply was sent: it is not empty"
    if fault.needs == "spoken" and not phase.spoken:
        return "nothing of the reply was sent: see the empty reply"
    if fault.name.startswith("stalled, resumes") and phase.name not in RESUMES_MS:
        return "it wakes between ask and first audio of the next one, which is a moment of the named phases only"
    if fault.name == "stalled" and phase.name == "dialling":
        return "see: configuration unanswered"
    return ""
