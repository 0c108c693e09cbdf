"""The call's links: one session each on a provider, from dial to close."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from bridge.core.desk import MS, Desk
from bridge.core.effects import Close, Open, Send
from bridge.core.plan import Agent, Candidate
from providers.base import (
    Ask,
    Audio,
    BeginTurn,
    Cancel,
    Command,
    Configure,
    EndTurn,
    Event,
    Fault,
    FaultClass,
    Session,
    Speech,
)

SLICE_MS = 2000  # caller audio handed to one link in one go; more waits for the next turn of the loop
TAIL = 10  # pieces of silence after a turn whose end the provider is to find
TAIL_MS = 100


class LinkState(Enum):
    OPENING = "opening"
    CONFIGURING = "configuring"
    READY = "ready"
    LEAVING = "leaving"  # replaced while it lived: nothing of it is heard, its last transcripts and usage are taken
    CLOSED = "closed"


@dataclass(slots=True)
class Begun:
    """A reply the provider began while our turn was still open. `at`: position of the tape when it did."""

    at: int
    events: list[Event] = field(default_factory=list)


@dataclass(slots=True)
class Link:
    """`known`: how many exchanges of the conversation its session has been told or has lived through. `asks`: replies
    asked for and not ended. `turn`: the caller turn being streamed to it. `told`: text of seeded items by ref.
    `configured`: it was sent its configuration. Without manual turns: `tail` pieces of silence are still to follow a
    turn, `begun` is a reply it began before we found the turn over, `own` the ask its unasked reply stands for."""

    number: int
    candidate: Candidate
    purpose: str
    opened_ns: int
    state: LinkState = LinkState.OPENING
    ready_ns: int = 0
    expires_ns: int | None = None
    known: int = 0
    configured: bool = False
    turn: int | None = None
    asks: set[int] = field(default_factory=set)
    waiting: Ask | None = None
    backlog: list[Command] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)
    probing: bool = False
    tail: int = 0
    begun: Begun | None = None
    own: int = 0

    @property
    def provider(self) -> str:
        return self.candidate.name

    @property
    def timer(self) -> str:
        return f"link {self.number}"

    @property
    def ready(self) -> bool:
        return self.state is LinkState.READY


class Links:
    """Opens, configures, feeds and closes links. Knows nothing of why."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._links: dict[int, Link] = {}
        self.count = 0  # opened so far

    def get(self, number: int) -> Link | None:
        return self._links.get(number)

    def open(self, provider: str, purpose: str) -> Link:
        self.count += 1
        link = Link(self.count, self._desk.plan.candidate(provider), purpose, self._desk.now)
        self._links[link.number] = link
        self._desk.note("link_opened", link=link.number, provider=provider, purpose=purpose)
        self._desk.do(Open(link.number, provider))
        self._desk.after(link.timer, self._desk.deadlines.dial)
        return link

    def up(self, link: Link) -> None:
        """The socket is open: configure the session."""
        link.state = LinkState.CONFIGURING
        link.configured = True
        self._desk.do(Send(link.number, Configure(session_for(self._desk.spec.agent, link.candidate))))
        self._desk.after(link.timer, self._desk.deadlines.configured)

    def ready(self, link: Link, expires_in_ms: int | None) -> None:
        """The configuration was acknowledged."""
        desk = self._desk
        link.state = LinkState.READY
        link.ready_ns = desk.now
        link.expires_ns = desk.now + (expires_in_ms or link.candidate.capabilities.session_ms) * MS
        desk.timers.clear(link.timer)
        desk.note("link_ready", link=link.number, provider=link.provider, after_ms=(desk.now - link.opened_ns) // MS)

    def leave(self, link: Link, why: str) -> None:
        """A living link was replaced. It is told to stop and closed after the grace time if transcripts or usage are
        still to come, else at once."""
        grace = self._desk.deadlines.text_grace
        if not link.ready or not grace or not (link.asks or self._desk.conversation.lacks_text):
            self.close(link, why)
            return
        link.state = LinkState.LEAVING
        link.turn = link.waiting = link.begun = None
        link.tail = 0
        link.backlog.clear()
        for ask in sorted(link.asks):
            self.send(link, Cancel(ask))
        self._desk.after(link.timer, grace)
        self._desk.note("noticed", what=f"{why}; kept for late transcripts and usage", provider=link.provider)

    def close(self, link: Link, why: str) -> None:
        """Close without waiting. Its late transcripts and usage no longer arrive."""
        if link.state is LinkState.CLOSED:
            return
        self.gone(link, why)
        self._desk.do(Close(link.number))

    def gone(self, link: Link, why: str) -> None:
        """The link is over; the shell closed it or found it closed."""
        link.state = LinkState.CLOSED
        link.backlog.clear()
        link.waiting = None
        self._links.pop(link.number, None)
        self._desk.timers.clear(link.timer)
        self._desk.note("link_closed", link=link.number, provider=link.provider, why=why)

    def all(self) -> list[Link]:
        return list(self._links.values())

    def overdue(self, number: int) -> tuple[Link, Fault, int] | None:
        """The timer "link N": who did not come up in time, how to call it, and after how many ms. A link that was kept
        for its last words has been kept for long enough."""
        link = self.get(number)
        if link is None or link.ready:
            return None
        if link.state is LinkState.LEAVING:
            self.close(link, "replaced")
            return None
        what = "dial and upgrade" if link.state is LinkState.OPENING else "acknowledgement of the configuration"
        waited = (self._desk.now - link.opened_ns) // MS
        return link, Fault(FaultClass.NETWORK, f"no {what} within {waited} ms", "timeout"), waited

    # -------------------------------------------------------------------------------------------------------- sending

    def send(self, link: Link, command: Command) -> None:
        """In order behind whatever still waits for its slice."""
        if link.backlog:
            link.backlog.append(command)
        else:
            self._desk.out.append(Send(link.number, command))

    def ask(self, link: Link, ask: Ask) -> None:
        """Ask for a reply, at once or when the running one has ended."""
        if link.asks and link.candidate.capabilities.queue_asks and not ask.begun:
            link.waiting = ask
        else:
            self.send(link, ask)
        link.asks.add(ask.number)

    def reply_ended(self, link: Link, ask: int) -> None:
        link.asks.discard(ask)
        waiting = link.waiting
        if waiting is not None and link.asks == {waiting.number}:
            link.waiting = None
            self.send(link, waiting)

    def withdraw_waiting(self, link: Link, ask: int) -> bool:
        """Take back an ask that was not sent yet."""
        if link.waiting is None or link.waiting.number != ask:
            return False
        link.waiting = None
        link.asks.discard(ask)
        return True

    def begin_turn(self, link: Link, turn: int) -> None:
        link.tail = 0
        self.send(link, BeginTurn(turn))

    def end_turn(self, link: Link, turn: int) -> None:
        """The turn is over: a provider that must find that out itself hears a second of silence, at real time."""
        self.send(link, EndTurn(turn))
        if not link.candidate.capabilities.manual_turns:
            link.tail = TAIL
            self._desk.timers.set("tail", self._desk.now)

    def tails(self) -> None:
        """The timer "tail": a piece of silence for each link that is to find the end of a turn."""
        leg = self._desk.spec.leg
        for link in self.all():
            if link.tail and not link.backlog:
                link.tail -= 1
                self.send(link, Audio(leg.silence * (leg.bytes_for(TAIL_MS) // len(leg.silence))))
        if any(link.tail for link in self.all()):
            self._desk.after("tail", TAIL_MS)

    def audio(self, link: Link, data: bytes) -> None:
        """A stretch of caller audio of any length, in slices."""
        leg = self._desk.spec.leg
        step = leg.bytes_for(SLICE_MS)
        if len(data) <= step and not link.backlog:
            if data:
                self._desk.do(Send(link.number, Audio(data)))
            return
        for begin in range(0, len(data), step):
            link.backlog.append(Audio(data[begin : begin + step]))
        self._desk.timers.set("slice", self._desk.now)

    def slices(self) -> None:
        """The timer "slice": one slice of audio for each link that waits, with what follows it up to the next."""
        for link in self.all():
            sent = 0
            while link.backlog and not (sent and isinstance(link.backlog[0], (Audio, Speech))):
                command = link.backlog.pop(0)
                sent += isinstance(command, (Audio, Speech))
                self._desk.do(Send(link.number, command))
            if link.backlog:
                self._desk.timers.set("slice", self._desk.now)


def session_for(agent: Agent, candidate: Candidate) -> Session:
    """The configuration of a session of `agent` on `candidate`."""
    return Session(
        instructions=agent.instructions,
        voice=candidate.voice,
        tools=tuple(tool.spec for tool in agent.tools),
        language=agent.language,
        manual_turns=candidate.capabilities.manual_turns,
    )
