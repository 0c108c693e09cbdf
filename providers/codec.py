"""One provider's wire language: what a model there can do, where it is dialled, and what every codec offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from audio.frame import Format
from providers.base import Command, Event, Failure, Fault


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model on a provider can do. Formats are in order of preference."""

    input_formats: tuple[Format, ...]
    output_formats: tuple[Format, ...]
    manual_turns: bool = True  # turn edges can be ours; False: it finds the end of a turn itself, and then replies
    explicit_ask: bool = True  # a reply begins only when asked; False: the end of the turn is the ask
    ask_instructions: bool = True  # an ask may carry its own instructions
    history_audio: bool = True  # past caller audio is accepted as a history item
    history_anytime: bool = True  # items may be added at any time; False: only once, before the first turn
    assistant_final_history: bool = True  # history may end with an assistant message
    delete_item: bool = True
    truncate: bool = True
    cancel_by_id: bool = True  # False: begin-of-turn is what interrupts
    queue_asks: bool = True  # a second ask while a reply runs is an error: wait for ReplyEnded first
    probe_ping: bool = True  # a WebSocket ping is answered promptly
    probe_command: bool = True  # Probe works
    hold_audio_for_tools: bool = False  # caller audio during a pending tool call kills the session
    word_timings: bool = False
    session_ms: int = 60 * 60 * 1000
    min_turn_ms: int = 100  # shorter turns are refused and must be padded with silence


@dataclass(frozen=True)
class Target:
    """A provider entry after configuration: where to dial and as whom. `url` is the whole address before the query,
    or empty for the kind's own address derived from `endpoint`/`options`. `api_key` never appears in a repr."""

    name: str
    kind: str
    model: str
    url: str = ""
    endpoint: str = ""
    api_key: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Dial:
    """What the socket needs. Secrets are in `headers`, never in `url`."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    subprotocols: Sequence[str] = ()


class Codec(Protocol):
    """One provider session's wire language. Holds only what the wire needs (ids, counters); never raises from
    `decode`: what it cannot read comes back as `Noticed`."""

    capabilities: Capabilities
    input_format: Format
    output_format: Format

    def dial(self) -> Dial: ...

    def encode(self, command: Command) -> list[str | bytes]:
        """Messages to send, in order; str is a text frame, bytes a binary frame."""
        ...

    def decode(self, message: str | bytes) -> list[Event]:
        """Events in the order of the message; [] for what is known and carries nothing."""
        ...

    def fault(self, failure: Failure) -> Fault:
        """Classify the end (or refusal) of the connection: last error event, then the reason's text, then the code."""
        ...
