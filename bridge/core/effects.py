"""Everything the core may ask of the shell, which performs a list of effects in order and never awaits meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from providers.base import Command, Fault


@dataclass(frozen=True, slots=True)
class Choose:
    """Which provider may be dialled now? Candidates are the plan's, in its order, without `exclude`. Answered by
    Chosen with the same `request`. `purpose` sets priority at the connection pace: handover > call > standby; first of
    all a handover that is `owed` to a caller who waits for an answer. A probe can as well be made another time."""

    request: int
    purpose: Literal["call", "handover", "standby", "probe"]
    exclude: tuple[str, ...] = ()
    owed: bool = False


@dataclass(frozen=True, slots=True)
class Open:
    """Dial `provider` as link number `link`; LinkUp or LinkDown follows."""

    link: int
    provider: str


@dataclass(slots=True)  # made for every frame: frozen would take twice as long
class Send:
    """Give `command` to the link. Audio in it is in the leg's format."""

    link: int
    command: Command


@dataclass(frozen=True, slots=True)
class Ping:
    """Send a WebSocket ping on the link; without pong in `budget_ms` the shell answers Suspect(dead=True)."""

    link: int
    budget_ms: int


@dataclass(frozen=True, slots=True)
class Close:
    """Close the link without waiting; no LinkDown follows."""

    link: int


@dataclass(slots=True)  # made for every frame: frozen would take twice as long
class Emit:
    """Send agent audio to the caller, wire form of the leg, usually 20 ms."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ClearLeg:
    """Throw away what the carrier has buffered (barge-in)."""


@dataclass(frozen=True, slots=True)
class SendMark:
    """Ask the carrier for a mark at this point of the audio."""

    name: str


@dataclass(frozen=True, slots=True)
class RunTool:
    """Execute a tool; ToolDone(call) follows exactly once. `key` is the idempotency key: call id + counter."""

    call: int
    name: str
    arguments: str
    key: str


@dataclass(frozen=True, slots=True)
class AskOpinion:
    """The caller pauses: ask the agent's function (`turns.opinion`) whether the turn is over. `sound`: the last seconds
    of the caller, in the leg's wire form. Opinion with the same `request` follows exactly once, soon or too late."""

    request: int
    sound: bytes


@dataclass(frozen=True, slots=True)
class Health:
    """Evidence for the shared health board. `fault` None: the provider generated audio, `first_audio_ms` after the
    ask, on a link that was dialled `link_age_ms` before; `voice_db`: how loud its voice is, see `Chosen`."""

    provider: str
    fault: Fault | None = None
    first_audio_ms: int | None = None
    link_age_ms: int | None = None
    voice_db: float | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the call's timeline: a kind and flat fields, JSON values only."""

    kind: str
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Transfer:
    """Hand the caller to another number or address; the call ends for us."""

    target: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call. Sent once, after the last audio was heard."""

    reason: str


Effect = (
    Choose
    | Open
    | Send
    | Ping
    | Close
    | Emit
    | ClearLeg
    | SendMark
    | RunTool
    | AskOpinion
    | Health
    | Note
    | Transfer
    | HangUp
)
