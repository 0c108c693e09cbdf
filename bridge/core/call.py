"""One call, as a pure function of (event, now): told what happened and when, it answers with what to do.

frame ──► Floor     the caller's sound, fifty times a second
event ──► Floor     who speaks: turns, barge-in, keys, silence
          Replies   what providers say, clocks of a reply
          Failover  which link is active, handover, standby, last rung      ──► effects
          Speaker   playout, ducking, what is being heard
          Tools     run once
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from audio.frame import Frame
from audio.turns import TurnDetector
from bridge.core.asks import Asks
from bridge.core.desk import MS, Desk
from bridge.core.effects import Effect, HangUp
from bridge.core.events import (
    Chosen,
    Drain,
    Dtmf,
    Event,
    Excluded,
    FromLink,
    Gone,
    LegBack,
    LegLost,
    LineAway,
    LinkDown,
    LinkUp,
    Mark,
    Opinion,
    Pulled,
    Remark,
    Suspect,
    Tick,
    ToolDone,
)
from bridge.core.failover import Failover
from bridge.core.floor import Floor
from bridge.core.links import Links, LinkState
from bridge.core.plan import CallSpec
from bridge.core.replies import Replies
from bridge.core.speaker import Speaker
from bridge.core.tools import Tools
from providers.base import Fault, FaultClass

GOODBYE_MS = 10_000  # a last message that cannot be heard to its end does not keep the call for longer


class Call:
    """`start` once, then `heard` for the caller's frames and `handle` for everything else that happens, at the latest
    when `deadline` has passed (`Tick`).

    `playing`: there is agent audio (or noise) to pull. After `ended` every event is ignored. `timers` and `playout` are
    where `deadline` and `playing` come from, for those who ask after every frame.
    """

    def __init__(self, spec: CallSpec, ears: TurnDetector) -> None:
        self._desk = desk = Desk(spec)
        self._links = links = Links(desk)
        self._speaker = speaker = Speaker(desk, ears)
        self._asks = asks = Asks(desk, links, speaker)
        self._tools = tools = Tools(desk, links, asks)
        self._failover = failover = Failover(desk, links, speaker, asks, self._finish, self._end)
        self._replies = Replies(desk, links, speaker, asks, tools, failover)
        self._floor = Floor(desk, ears, links, speaker, asks, failover, self._finish)
        self.ended = False
        self.timers, self.playout = desk.timers, desk.playout
        self._ending = ""
        self._lost_ns = 0  # when the leg was lost

    # ---------------------------------------------------------------------------------------------------- the contract

    @property
    def deadline(self) -> int | None:
        """When `Tick` is due, in ns."""
        return None if self.ended else self._desk.timers.next

    @property
    def playing(self) -> bool:
        return self._desk.playout.ready or self._desk.playout.filling

    def start(self, now: int) -> list[Effect]:
        desk = self._desk
        desk.now = now
        spec = desk.spec
        desk.note(
            "call_started",
            agent=spec.agent.name,
            providers=[candidate.name for candidate in spec.plan.candidates],
            leg=f"{spec.leg.encoding}@{spec.leg.rate}",
        )
        desk.after("duration", spec.max_duration_ms)
        if spec.agent.greeting:
            self._floor.prompt("greeting", f"Greet the caller. Say exactly: “{spec.agent.greeting}”")
        else:
            self._floor.listen()
        self._failover.ask()
        return self._take_out()

    def handle(self, event: Event, now: int) -> list[Effect]:
        if self.ended:
            return []
        desk = self._desk
        desk.now = now
        due = self.timers.next
        if due is None or due > now or self._due(now):
            _EVENTS[type(event)](self, event)
        return self._take_out()

    def heard(self, frame: Frame, now: int) -> list[Effect]:
        """A frame of the caller in the leg's format, usually 20 ms."""
        if self.ended:
            return []
        desk = self._desk
        desk.now = now
        due = self.timers.next
        if due is None or due > now or self._due(now):
            self._floor.heard(frame)
        out = desk.out  # as `_take_out`, without the call: this comes fifty times a second
        if out:
            desk.out = []
        return out

    def _due(self, now: int) -> bool:
        """What has fallen due by `now`. Whether the call goes on."""
        for name in self._desk.timers.due(now):
            if not self.ended:
                self._timer(name)
        return not self.ended

    def release(self) -> None:
        """Let go of everything; nothing may be asked any more. The parts know each other, and what goes round in
        circles is otherwise found by the garbage collector only, which holds up every call."""
        for part in (
            self._links, self._speaker, self._asks, self._tools, self._failover, self._replies, self._floor, self
        ):  # fmt: skip
            vars(part).clear()

    def _take_out(self) -> list[Effect]:
        out = self._desk.out
        if out:
            self._desk.out = []
        return out

    def _timer(self, name: str) -> None:
        handler = _TIMERS.get(name)
        if handler is not None:
            handler(self)
            return
        kind, _, number = name.partition(" ")
        if kind == "link":
            self._failover.timed_out(int(number))
        else:
            self._failover.unproven(int(number))

    # ------------------------------------------------------------------------------------------------------ the agent

    def _pulled(self, event: Pulled) -> None:
        self._speaker.pulled()
        if self._speaker.underrun is not None:
            (ask, gap), self._speaker.underrun = self._speaker.underrun, None
            self._replies.underrun(ask, gap)
        if self._speaker.ended:
            self._finalise()

    def _quiet(self) -> None:
        """The timer "quiet"."""
        quiet = self._speaker.quiet()
        self._finalise()
        if not quiet:
            return
        if self._tools.hang_up and self._desk.conversation.open is None:
            self._hang_up("agent hung up")
        elif self._ending:
            self._hang_up()
        else:
            self._floor.listen()

    def _finalise(self) -> None:
        """Replies the caller has heard to their end."""
        ended, self._speaker.ended = self._speaker.ended, []
        for key in ended:
            found = self._desk.conversation.replies.get(key)
            if found is not None and (found[1].complete or found[1].ended):
                self._asks.finalise(*found)
                self._floor.agent_said(self._asks.heard(found[1]))
        if ended and self._desk.plan.standby == "seeded":
            self._failover.reserve.seed()

    # ----------------------------------------------------------------------------------------------------------- links

    def _from_link(self, event: FromLink) -> None:
        link = self._links.get(event.link)
        if link is None:
            return
        self._replies.handle(link, event.event)
        self._after_link()

    def _after_link(self) -> None:
        """What may have become due after any news from a link."""
        exchange = self._desk.conversation.open
        if exchange is None:
            self._failover.settled()
            self._failover.rotation.if_quiet()
            if self._speaker.left == 0 and not self._desk.playout.ready:
                if self._tools.hang_up:
                    self._hang_up("agent hung up")
                elif self._desk.timers.at("silence") is None:
                    self._floor.listen()

    def _link_up(self, event: LinkUp) -> None:
        link = self._links.get(event.link)
        if link is not None and link.state is LinkState.OPENING:
            self._links.up(link)

    def _link_down(self, event: LinkDown) -> None:
        link = self._links.get(event.link)
        if link is not None:
            leaving = link.state is LinkState.LEAVING
            self._links.gone(link, event.fault.reason or event.fault.kind)
            if not leaving:
                self._failover.lost(link, event.fault)

    def _suspect(self, event: Suspect) -> None:
        link = self._links.get(event.link)
        if link is None:
            return
        if event.dead:
            self._failover.lost(link, Fault(FaultClass.NETWORK, event.what))
        elif link is self._failover.active:
            self._desk.note("noticed", what=event.what, provider=link.provider)
            self._failover.prepare()

    def _tool_done(self, event: ToolDone) -> None:
        call = self._tools.done(event)
        exchange = self._desk.conversation.open
        if call is None:
            return
        if exchange is not None and call.exchange == exchange.id:
            if self._failover.holding and not self._desk.ledger.running(exchange.id):
                self._failover.tools_settled()
            else:
                self._replies.tool_done(exchange)
        self._floor.resume_stream()

    # ------------------------------------------------------------------------------------------------------ the leg

    def _leg_lost(self, event: LegLost) -> None:
        self._lost_ns = self._desk.now
        self._desk.playout.detach(self._desk.now)
        self._desk.timers.clear("silence")
        self._desk.after("leg", self._desk.deadlines.leg_grace)
        self._desk.note("noticed", what="the caller's stream is lost")

    def _leg_back(self, event: LegBack) -> None:
        self._desk.playout.attach()
        self._desk.timers.clear("leg")
        self._desk.note("noticed", what="the caller's stream is attached again")
        self._desk.note("line_away", ms=(self._desk.now - self._lost_ns) // MS)
        self._floor.away()
        self._floor.listen()

    def _opinion(self, event: Opinion) -> None:
        if self._floor.opinions is not None:
            self._floor.opinions.told(event)

    # -------------------------------------------------------------------------------------------------------- the end

    def _drain(self, event: Drain) -> None:
        self._desk.after("drain", event.limit_ms)

    def _finish(self, phrase: str, reason: str) -> None:
        """End politely: the phrase is heard out, then the call ends."""
        if self._ending:
            return
        self._ending = reason
        exchange = self._desk.conversation.open
        if exchange is not None and exchange.reply is not None and exchange.reply.open:
            self._asks.void(exchange.reply)
        if phrase and self._speaker.phrase(phrase):
            self._desk.after("end", GOODBYE_MS)
            self._speaker.finish(0)
        else:
            self._hang_up()

    def _hang_up(self, reason: str = "") -> None:
        reason = reason or self._ending or "ended"
        self._desk.do(HangUp(reason))
        self._end(reason)

    def _end(self, reason: str) -> None:
        """The call is over: nothing is left open."""
        desk = self._desk
        if self._speaker.left > 0:
            self._speaker.stop()
        for exchange in desk.conversation.exchanges:
            for reply in exchange.replies:
                if not reply.final and reply.first_audio_ns is not None:
                    self._asks.finalise(exchange, reply)
        owed = desk.conversation.open
        if owed is not None:
            self._asks.settle(owed, "withdrawn")
        for link in self._links.all():
            self._links.close(link, "call ended")
        desk.timers.clear_all()
        if self._floor.concealed:
            desk.note("concealed", ms=desk.ms(self._floor.concealed))
        desk.note("call_ended", reason=reason)
        self.ended = True


# Functions of a call, not methods bound to each: a table for every call would take 6 KiB of it.
_EVENTS: Mapping[type, Callable[[Call, Any], None]] = {
    Pulled: Call._pulled,
    FromLink: Call._from_link,
    Mark: lambda call, event: call._speaker.marked(event.name),
    Dtmf: lambda call, event: call._floor.keys.reported(event.digit),
    LinkUp: Call._link_up,
    LinkDown: Call._link_down,
    Suspect: Call._suspect,
    Chosen: lambda call, event: call._failover.chosen(event),
    ToolDone: Call._tool_done,
    LegLost: Call._leg_lost,
    LegBack: Call._leg_back,
    LineAway: lambda call, event: call._floor.line_away(event),
    Opinion: Call._opinion,
    Gone: lambda call, event: call._end(event.reason),
    Excluded: lambda call, event: call._failover.exclude(event.providers),
    Drain: Call._drain,
    Remark: lambda call, event: call._desk.note("noticed", what=event.what),
    Tick: lambda call, event: None,
}
_TIMERS: Mapping[str, Callable[[Call], None]] = {
    "slice": lambda call: call._links.slices(),
    "tail": lambda call: call._links.tails(),
    "begun": lambda call: call._replies.release(),
    "quiet": Call._quiet,
    "dry": lambda call: call._speaker.dry(),
    "stall": lambda call: call._replies.stall(),
    "prepare": lambda call: call._failover.prepare(),
    "hedge": lambda call: call._replies.hedge(),
    "fail back": lambda call: call._failover.rotation.fail_back(),
    "bridge": lambda call: call._floor.bridge_phrase(),
    "first audio": lambda call: call._replies.first_audio_due(),
    "standby": lambda call: call._failover.upkeep(),
    "doubt": lambda call: call._failover.doubted(),
    "rotate": lambda call: call._failover.rotation.force(),
    "age": lambda call: call._failover.rotation.aged(),
    "retry": lambda call: call._failover.retry(),
    "hold": lambda call: call._failover.last_rung.give_up(),
    "patience": lambda call: call._failover.last_rung.speak(),
    "tools hold": lambda call: call._failover.tools_settled(),
    "keys": lambda call: call._floor.keys.due(),
    "silence": lambda call: call._floor.silence(),
    "ping": lambda call: call._floor.ping(),
    "message": lambda call: call._finish("goodbye", "message taken"),
    "duration": lambda call: call._finish("goodbye", "maximum duration"),
    "drain": lambda call: call._finish("goodbye", "shutting down"),
    "leg": lambda call: call._end("caller lost"),
    "end": Call._hang_up,
}
