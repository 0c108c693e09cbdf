"""Everything that can happen to a call, but for the caller's sound, which comes fifty times a second and is given as
`audio.frame.Frame` by itself. `now` is given beside either, in integer nanoseconds of loop time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from providers.base import Event as ProviderEvent
from providers.base import Fault


@dataclass(frozen=True, slots=True)
class Dtmf:
    """One key: 0-9, *, #, A-D."""

    digit: str


@dataclass(frozen=True, slots=True)
class Mark:
    """The carrier says that everything sent before this mark was played (or cleared)."""

    name: str


@dataclass(frozen=True, slots=True)
class LegLost:
    """The caller's leg is gone without a word; it may come back within the grace time."""


@dataclass(frozen=True, slots=True)
class LegBack:
    """The caller's leg was attached again. What was in flight is void; the playout resumes with unsent audio."""


@dataclass(frozen=True, slots=True)
class LineAway:
    """The caller's leg brought nothing for `ms`, at this place of the stream: a hold, or a loss too long to cover. Of
    it the frames before this event cover a moment, and the stream has no more samples."""

    ms: int


@dataclass(frozen=True, slots=True)
class Gone:
    """The caller hung up, or the grace time passed."""

    reason: str


@dataclass(slots=True)  # made for every frame: frozen would take twice as long
class Pulled:
    """The pacer wants `samples` more of the agent's audio (leg rate)."""

    samples: int


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The socket of `link` is open; the core configures it."""

    link: int


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The link is over: dial refused, socket closed, or broken."""

    link: int
    fault: Fault


@dataclass(slots=True)  # made for every frame: frozen would take twice as long
class FromLink:
    """The provider said something. Audio is in the leg's format."""

    link: int
    event: ProviderEvent


@dataclass(frozen=True, slots=True)
class Suspect:
    """The shell sees a link in trouble without proof: outbox older than 500 ms, or no pong within its budget
    (`dead` True: treat as lost)."""

    link: int
    what: str
    dead: bool = False


@dataclass(frozen=True, slots=True)
class Chosen:
    """Answer to Choose. `provider` None: no candidate may be dialled now; `retry_ms` says when to ask again, and the
    place in the line of all calls is kept until then. `voice_db`: how loud other calls heard the voice the agent has on
    it, in dB above 1 LSB rms."""

    request: int
    provider: str | None
    reason: str = ""
    retry_ms: int | None = None
    first_audio_p90_ms: int = 800
    voice_db: float | None = None


@dataclass(frozen=True, slots=True)
class ToolDone:
    """A tool finished. `output` is a JSON text; `status` "timeout" means nobody knows whether it happened."""

    call: int
    output: str
    status: Literal["ok", "error", "timeout"] = "ok"


@dataclass(frozen=True, slots=True)
class Opinion:
    """Answer to AskOpinion: does what the caller said sound `complete`? None: there is no answer, for the reason
    `problem`."""

    request: int
    complete: bool | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Excluded:
    """A reload of the configuration forbids these providers from now on."""

    providers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Drain:
    """The process is going down: end politely at the next chance, at the latest after `limit_ms`."""

    limit_ms: int


@dataclass(frozen=True, slots=True)
class Remark:
    """Something the edge noticed about this call that changes nothing, for the record."""

    what: str


@dataclass(frozen=True, slots=True)
class Tick:
    """`Call.deadline` has passed."""


Event = (
    Dtmf
    | Mark
    | LegLost
    | LegBack
    | LineAway
    | Gone
    | Pulled
    | LinkUp
    | LinkDown
    | FromLink
    | Suspect
    | Chosen
    | ToolDone
    | Opinion
    | Excluded
    | Drain
    | Remark
    | Tick
)
