"""What was said by whom: turns, exchanges, replies, and the truth of what was heard."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from bridge.core.heard import Transcript

TurnSort = Literal["speech", "keys"]
ExchangeSort = Literal["speech", "keys", "greeting", "reprompt"]
ExchangeState = Literal["open", "answered", "interrupted", "withdrawn"]


@dataclass(slots=True)
class Turn:
    """One stretch of caller speech (or keys). `began`/`ended` are positions on the tape, pre-roll included; `ended`
    None while it is open. `spoken`: the last position at which the caller was heard to speak, once that is known."""

    id: int
    began: int
    ended: int | None = None
    spoken: int = 0
    kind: TurnSort = "speech"
    text: str = ""
    text_final: bool = False
    provisional: bool = False


@dataclass(slots=True)
class Reply:
    """What came of one ask. `items` are the provider's item names with the sample at which each begins; `silent` those
    that brought text before there was any sound. `heard` is final once `final`; before that the playout knows."""

    ask: int
    link: int
    provider: str
    transcript: Transcript
    asked_ns: int
    continuation: bool = False
    after_tool: bool = False
    items: list[tuple[str, int]] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    started: bool = False
    first_audio_ns: int | None = None
    last_audio_ns: int = 0
    underrun_ns: int = 0
    complete: bool = False
    ended: bool = False
    void: bool = False
    final: bool = False
    heard: int = 0

    @property
    def open(self) -> bool:
        """More of it may still come."""
        return not (self.complete or self.ended or self.void)


@dataclass(slots=True)
class Exchange:
    """One or more turns owed one reply. `prompt`: instructions of an ask no caller turn stands behind. `owed_ns`: when
    the reply became due."""

    id: int
    kind: ExchangeSort
    turns: list[Turn] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    state: ExchangeState = "open"
    nudges: int = 0
    prompt: str = ""
    owed_ns: int = 0

    @property
    def reply(self) -> Reply | None:
        """The latest reply that was not voided: the only one whose audio may still be added to the playout."""
        for reply in reversed(self.replies):
            if not reply.void:
                return reply
        return None

    @property
    def turns_ended(self) -> bool:
        return all(turn.ended is not None for turn in self.turns)


class Conversation:
    """All exchanges of a call, oldest first; at most one is open, and it is the last."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.turns: dict[int, Turn] = {}
        self.replies: dict[int, tuple[Exchange, Reply]] = {}
        self._paces: dict[str, float] = {}

    @property
    def open(self) -> Exchange | None:
        """The exchange that is owed a reply, if any."""
        last = self.exchanges[-1] if self.exchanges else None
        return last if last is not None and last.state == "open" else None

    @property
    def last(self) -> Exchange | None:
        return self.exchanges[-1] if self.exchanges else None

    @property
    def lacks_text(self) -> bool:
        """Is the text of a turn of the last two exchanges not (all) known yet?"""
        recent = (turn for exchange in self.exchanges[-2:] for turn in exchange.turns)
        return any(turn.kind == "speech" and not turn.text_final for turn in recent)

    def new_turn(self, began: int, kind: TurnSort = "speech") -> Turn:
        turn = Turn(len(self.turns) + 1, began, kind=kind)
        self.turns[turn.id] = turn
        return turn

    def new_exchange(self, kind: ExchangeSort, prompt: str = "") -> Exchange:
        exchange = Exchange(len(self.exchanges) + 1, kind, prompt=prompt)
        self.exchanges.append(exchange)
        return exchange

    def new_reply(self, exchange: Exchange, reply: Reply) -> None:
        exchange.replies.append(reply)
        self.replies[reply.ask] = (exchange, reply)

    def pace(self, provider: str) -> float | None:
        """How slowly a provider's voice speaks, as measured in this call (see `Transcript.pace`); None before that."""
        return self._paces.get(provider)

    def learn_pace(self, reply: Reply) -> None:
        """A complete reply tells of the voice."""
        pace = reply.transcript.measured_pace()
        if pace is not None:
            self._paces[reply.provider] = pace

    def oldest_needed(self, position: int, text_samples: int) -> int:
        """The first tape position still needed: turns that are unsettled, or settled without text and not older than
        `text_samples`."""
        oldest = position
        for exchange in reversed(self.exchanges):
            for turn in exchange.turns:
                waits_for_text = turn.kind == "speech" and not turn.text_final and turn.began > position - text_samples
                if exchange.state == "open" or waits_for_text:
                    oldest = min(oldest, turn.began)
            if exchange.state != "open" and position - text_samples > (
                exchange.turns[-1].began if exchange.turns else 0
            ):
                break
        return oldest
