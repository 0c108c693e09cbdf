"""The vocabulary between the call core and every realtime provider.

One event means one thing on every provider; what differs is a value in `providers.codec.Capabilities`, read where a
decision is made.
A *link* is one session on one provider. An *ask* is one request for a reply, numbered by the core, unique in a call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

# ------------------------------------------------------------------------------------------------------------ faults


class FaultClass(StrEnum):
    """What kind of trouble it is. The policy per class is one table in `bridge.core.failover`."""

    NETWORK = "network"  # refused, reset, DNS, TLS, 1006, upgrade timeout
    OVERLOADED = "overloaded"  # 5xx, 529, 1011, 1013 without quota text, server_error
    RATE_LIMITED = "rate_limited"  # 429, rate_limit_exceeded, RESOURCE_EXHAUSTED
    ACCOUNT = "account"  # 401, 402, 403, insufficient_quota, close 3000 / 1013 with a quota reason
    CONFIG = "config"  # refused configuration, 400, 404 model, unnamed 1007 / 1008
    STALLED = "stalled"  # decided by the core's deadlines, never by a codec
    SLOW = "slow"  # likewise
    EMPTY = "empty"  # a reply that ended with no audio and no tool call
    EXPIRED = "expired"  # session limit reached
    PLANNED = "planned"  # goAway and forecasts
    REFUSED = "refused"  # content filter, max tokens, cancelled by us: not an outage


@dataclass(frozen=True, slots=True)
class Fault:
    """A classified failure. `reason` is the provider's own text, secrets removed, at most 300 characters; `code` the
    provider's code or the HTTP status / close code as text; `retry_after_ms` only when the provider named a time."""

    kind: FaultClass
    reason: str
    code: str = ""
    retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class HttpRefusal:
    """The upgrade was answered with an HTTP status other than 101. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class SocketClosed:
    """The WebSocket ended. `code` is None when the connection ended without a close frame (1006)."""

    code: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NetworkError:
    """The connection could not be made or broke below WebSocket; `kind` is for people, e.g. "refused", "tls", "dns"."""

    kind: str
    detail: str = ""


Failure = HttpRefusal | SocketClosed | NetworkError

# ------------------------------------------------------------------------------------------------------------- usage


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one reply (or one transcription). Cached tokens are part of the input counts. `seconds` is for
    services that bill by duration."""

    input_text: int = 0
    input_audio: int = 0
    cached_text: int = 0
    cached_audio: int = 0
    output_text: int = 0
    output_audio: int = 0
    total: int = 0
    seconds: float = 0.0
    kind: Literal["reply", "transcription"] = "reply"


# ------------------------------------------------------------------------------------------------------------ events


@dataclass(frozen=True, slots=True)
class Ready:
    """The session is configured and the configuration was acknowledged. `expires_in_ms` is what is left of the
    session's life when the provider says (else None: the capability value counts)."""

    session_id: str = ""
    expires_in_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ReplyStarted:
    """The provider began a reply. `ask` 0: nobody asked for it."""

    ask: int


@dataclass(frozen=True, slots=True)
class ReplyAudio:
    """Reply audio, wire form (codec: `Codec.output_format`; behind a `Translator`: the leg's format)."""

    ask: int
    item: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ReplyText:
    """A piece of the transcript of the reply's audio, spacing as it came. `at_ms`: where in the item's audio this text
    begins, only when the provider gives word timings; `text` is then one word or a few."""

    ask: int
    item: str
    text: str
    at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ReplyComplete:
    """All audio and transcript of the reply has been received (audio done and transcript done, or
    generationComplete): if the link dies now, nothing of the reply is missing."""

    ask: int


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """The provider closed the reply; exactly once per ReplyStarted. `fault` is set unless the outcome is
    "completed" or "cancelled". A reply that made tool calls is "completed"."""

    ask: int
    outcome: Literal["completed", "cancelled", "failed", "refused", "empty"]
    fault: Fault | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """A complete tool call. `arguments` is a JSON text. `call_id` is the provider's and means nothing elsewhere."""

    ask: int
    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolCancelled:
    """The provider withdrew calls it made (Gemini toolCallCancellation)."""

    call_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CallerText:
    """Transcript of a caller turn, `turn` as in BeginTurn or Speech.turn. `final`: the whole text of the turn."""

    turn: int
    text: str
    final: bool


@dataclass(frozen=True, slots=True)
class UsageReported:
    """Usage that did not come with ReplyEnded (transcription, late counts)."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Advisory: the lowest remaining share (0..1) among the announced limits and when it resets."""

    remaining: float
    reset_ms: int


@dataclass(frozen=True, slots=True)
class Expiring:
    """The provider will end this session soon (goAway)."""

    left_ms: int


@dataclass(frozen=True, slots=True)
class Failed:
    """An error that concerns the link, not one reply: refused configuration or seed, quota, expiry. Benign errors are
    `Noticed`."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something worth a line in the record and nothing else: benign errors, warnings, garbage that was skipped."""

    what: str


@dataclass(frozen=True, slots=True)
class Probed:
    """The answer to a Probe."""


Event = (
    Ready
    | ReplyStarted
    | ReplyAudio
    | ReplyText
    | ReplyComplete
    | ReplyEnded
    | ToolCalled
    | ToolCancelled
    | CallerText
    | UsageReported
    | RateLimits
    | Expiring
    | Failed
    | Noticed
    | Probed
)

# ----------------------------------------------------------------------------------------------------------- history


@dataclass(frozen=True, slots=True)
class Text:
    """A message of the conversation as text. `ref` names it for Forget (unique in a call; empty: never forgotten)."""

    role: Literal["system", "user", "assistant"]
    text: str
    ref: str = ""


@dataclass(frozen=True, slots=True)
class Speech:
    """A caller turn as audio, only where `history_audio`. `data` in the leg's format above the Translator, in
    `input_format` below it."""

    turn: int
    data: bytes
    ref: str = ""


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A finished tool call: both halves. `arguments` and `output` are JSON texts; `call_id` is ours."""

    call_id: str
    name: str
    arguments: str
    output: str
    ref: str = ""


HistoryItem = Text | Speech | ToolUse

# ---------------------------------------------------------------------------------------------------------- commands


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as models see it; `parameters` is a JSON Schema object."""

    name: str
    description: str
    parameters: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Session:
    """What a session is configured with."""

    instructions: str
    voice: str = ""
    tools: tuple[ToolSpec, ...] = ()
    language: str = ""
    transcribe: bool = True
    manual_turns: bool = True


@dataclass(frozen=True, slots=True)
class Configure:
    """First command on every link; answered by Ready or Failed."""

    session: Session


@dataclass(frozen=True, slots=True)
class Seed:
    """Add items to the conversation, in order. A refusal comes back as Failed(config)."""

    items: tuple[HistoryItem, ...]


@dataclass(frozen=True, slots=True)
class BeginTurn:
    """Caller audio of turn `turn` follows."""

    turn: int


@dataclass(slots=True)  # made for every frame: frozen would take twice as long
class Audio:
    """Caller audio of the open turn, wire form."""

    data: bytes


@dataclass(frozen=True, slots=True)
class EndTurn:
    """The caller's turn is over. The core always follows with Ask, and with a second of silence where not
    `manual_turns`; where the end of a turn is itself the ask
    (`explicit_ask` False), the codec sends nothing for an Ask that follows EndTurn or ToolOutput, and a text nudge for
    an Ask that follows neither."""

    turn: int


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask for a reply. `instructions` are for this reply only, on top of the session's; only where
    `ask_instructions`, else the codec gives them as a text note before asking where that is possible. `begun`: the
    reply that the provider began last without being asked is this one; it has this number from now on."""

    number: int
    instructions: str = ""
    begun: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop the reply to `ask`. Sent before the reply started it is a no-op on the wire where replies are cancelled by
    id: the core sends it again when ReplyStarted names a voided ask."""

    ask: int


@dataclass(frozen=True, slots=True)
class Truncate:
    """Tell the provider that only `heard_ms` of the item's audio was heard; 0 deletes the item. No-op where not
    `truncate`."""

    item: str
    heard_ms: int


@dataclass(frozen=True, slots=True)
class Forget:
    """Delete seeded items by `ref`; only where `delete_item`."""

    refs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """The result of a ToolCalled of this link, a JSON text. The core asks again afterwards."""

    call_id: str
    name: str
    output: str


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask the session for a sign of life at application level; answered by Probed. Only where `probe_command`."""


Command = (
    Configure | Seed | BeginTurn | Audio | EndTurn | Ask | Cancel | Truncate | Forget | ToolOutput | Probe
)
