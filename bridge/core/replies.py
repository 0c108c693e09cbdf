"""What providers say, taken in: reply audio and text, ends, tools, transcripts, and the clocks of a reply."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bridge.core.asks import Asks
from bridge.core.conversation import Exchange, Reply
from bridge.core.desk import MS, Desk
from bridge.core.effects import Health
from bridge.core.failover import Failover
from bridge.core.handover import continue_after, said
from bridge.core.links import Begun, Link, Links
from bridge.core.loudness import measured
from bridge.core.speaker import Speaker
from bridge.core.tools import Tools
from providers.base import (
    CallerText,
    Cancel,
    Event,
    Expiring,
    Failed,
    Fault,
    FaultClass,
    Noticed,
    Probed,
    RateLimits,
    Ready,
    ReplyAudio,
    ReplyComplete,
    ReplyEnded,
    ReplyStarted,
    ReplyText,
    ToolCalled,
    ToolCancelled,
    Usage,
    UsageReported,
)

NUDGE = "(Answer what the caller said last, aloud, now.)"  # on some services it stands in the caller's mouth


class Replies:
    """One handler per provider event."""

    def __init__(
        self, desk: Desk, links: Links, speaker: Speaker, asks: Asks, tools: Tools, failover: Failover
    ) -> None:
        self._desk = desk
        self._links = links
        self._speaker = speaker
        self._asks = asks
        self._tools = tools
        self._failover = failover

    def handle(self, link: Link, event: Event) -> None:
        if link.begun is not None and self._keep(link, link.begun, event):
            return
        _EVENTS[type(event)](self, link, event)

    def _find(self, link: Link, ask: int) -> tuple[Exchange, Reply] | None:
        """The reply of that ask, if this link is the one that was asked."""
        found = self._desk.conversation.replies.get(ask or link.own)
        return found if found is not None and found[1].link == link.number else None

    # ---------------------------------------------------------------------------------------------------- the reply

    def _started(self, link: Link, event: ReplyStarted) -> None:
        if not event.ask:
            link.own = 0
            if self._unasked(link):
                return
        found = self._find(link, event.ask)
        if found is None or found[1].void:
            self._links.send(link, Cancel(event.ask))
            return
        found[1].started = True

    def _unasked(self, link: Link) -> bool:
        """A reply nobody asked for. A provider that ends turns itself may answer before we find the turn over: then its
        reply is kept. After that it is the answer, unless there is one already. False: it is to be stopped."""
        exchange = self._desk.conversation.open
        if exchange is None or link is not self._failover.active or link.candidate.capabilities.manual_turns:
            return False
        if link.turn is not None:
            link.begun = Begun(self._desk.tape.end)
            return True
        latest = exchange.reply
        if not exchange.turns or not exchange.turns_ended or (latest is not None and latest.first_audio_ns is not None):
            return False
        if latest is not None:
            self._asks.void(latest)
        self._asks.ask(link, exchange, begun=True).started = True
        return True

    def _keep(self, link: Link, begun: Begun, event: Event) -> bool:
        """Keep what belongs to a reply begun before our turn was over, but for one that the provider took back."""
        if not isinstance(event, (ReplyAudio, ReplyText, ReplyComplete, ReplyEnded, ToolCalled)) or event.ask:
            return False
        if isinstance(event, ReplyEnded) and event.outcome == "cancelled":
            link.begun = None
        else:
            begun.events.append(event)
        return True

    def release(self) -> None:
        """The timer "begun": a reply that was kept is the one that was asked for meanwhile."""
        for link in self._links.all():
            if link.begun is not None and link.own:
                events, link.begun = link.begun.events, None
                for event in events:
                    self.handle(link, event)

    def _audio(self, link: Link, event: ReplyAudio) -> None:
        found = self._find(link, event.ask)
        if found is None:
            return
        exchange, reply = found
        if reply.void or reply.final:
            return
        if link is not self._failover.active and not self._failover.woke(link, reply):
            return
        desk = self._desk
        if reply.first_audio_ns is None:
            self._first_audio(link, exchange, reply)
        reply.last_audio_ns = desk.now
        if not reply.items or reply.items[-1][0] != event.item:
            reply.items.append((event.item, reply.transcript.audio.samples))
        reply.transcript.push(event.data)
        self._speaker.push(reply.ask, event.data)
        self._watch_stall()

    def _first_audio(self, link: Link, exchange: Exchange, reply: Reply) -> None:
        desk = self._desk
        reply.first_audio_ns = desk.now
        after_ms = (desk.now - reply.asked_ns) // MS
        self._asks.stop_clocks()
        desk.note("first_audio", ask=reply.ask, provider=reply.provider, after_ms=after_ms)
        told = None if reply.after_tool else after_ms  # with a tool's result to digest they are late by nature
        desk.do(Health(reply.provider, None, told, (desk.now - link.opened_ns) // MS))
        self._failover.spoke(exchange)

    def _text(self, link: Link, event: ReplyText) -> None:
        found = self._find(link, event.ask)
        if found is None or found[1].void:
            return
        reply = found[1]
        at_ms = event.at_ms
        if at_ms is not None:  # within its item, which may be the next to sound
            begins = (begin for item, begin in reply.items if item == event.item)
            at_ms += self._desk.ms(next(begins, reply.transcript.audio.samples))
        reply.transcript.add(event.text, at_ms)
        if reply.first_audio_ns is None and event.item not in reply.silent:
            reply.silent.append(event.item)

    def _complete(self, link: Link, event: ReplyComplete) -> None:
        found = self._find(link, event.ask)
        if found is None or found[1].void or not link.ready:
            return
        reply = found[1]
        reply.complete = True
        reply.transcript.complete = True
        self._desk.conversation.learn_pace(reply)
        self._desk.timers.clear("stall")
        self._speaker.finish(reply.ask)
        voice_db = measured(reply.transcript.audio)
        if voice_db is not None:
            age_ms = (self._desk.now - link.opened_ns) // MS
            self._desk.do(Health(reply.provider, link_age_ms=age_ms, voice_db=voice_db))

    def _ended(self, link: Link, event: ReplyEnded) -> None:
        if event.usage is not None:
            self._usage(link, event.ask or link.own, event.usage)
        self._links.reply_ended(link, event.ask or link.own)
        found = self._find(link, event.ask)
        if found is None or found[1].ended:
            return
        exchange, reply = found
        reply.ended = True
        if reply.void or exchange.state != "open":
            self._speaker.finish(reply.ask)
            return
        if reply is not exchange.reply or link is not self._failover.active:
            return
        if event.outcome == "failed" and event.fault is not None:
            # Its audio and text were said to be done when it broke off; that was not all of it.
            reply.complete = reply.transcript.complete = False
            self._failover.lost(link, event.fault, (self._desk.now - reply.asked_ns) // MS)
            return
        if event.outcome == "cancelled" and reply.first_audio_ns is None and link.tail:
            return  # it hears more of the turn, and will answer that
        self._speaker.finish(reply.ask)
        if event.outcome == "completed" or (event.outcome == "cancelled" and reply.first_audio_ns is not None):
            reply.complete = reply.transcript.complete = True
            self.go_on(link, exchange, reply)
        elif event.outcome == "refused":
            reply.transcript.complete = False  # it was cut short: text that ran ahead was never spoken
            self._refused(exchange)
        else:
            self._empty(link, exchange, reply)

    def go_on(self, link: Link, exchange: Exchange, reply: Reply) -> None:
        """The reply ended well: wait for its tools, ask with their results, or the exchange is answered."""
        if reply.calls:
            if self._tools.owed(reply):
                self._asks.stop_clocks()
            elif exchange.turns_ended:
                self._asks.ask(link, exchange, after_tool=True)
            return
        told = self._tools.tell(exchange, link)
        if self._desk.ledger.running(exchange.id):
            self._asks.stop_clocks()  # one answer to all results, when the last is there
        elif told:
            self._asks.ask(link, exchange, after_tool=True)
        else:
            self._asks.settle(exchange, "answered")

    def tool_done(self, exchange: Exchange) -> None:
        """A result arrived for the open exchange."""
        link = self._failover.active
        reply = exchange.reply
        if link is None or self._failover.holding:
            return
        if reply is None or reply.link != link.number:
            self._tools.tell(exchange, link)
        elif reply.ended and not self._tools.owed(reply):
            self.go_on(link, exchange, reply)

    def _refused(self, exchange: Exchange) -> None:
        """A policy outcome, not an outage: no switch, but never silence."""
        if not self._asks.held(exchange):
            self._speaker.phrase("rephrase")
        self._asks.settle(exchange, "answered")

    def _empty(self, link: Link, exchange: Exchange, reply: Reply) -> None:
        """Ended without sound: complete when it was a continuation with nothing to say, else one nudge, then the next
        provider, then words of our own. Where text came instead that cannot be taken back, a nudge would find the
        question answered."""
        held = reply.continuation or self._asks.held(exchange)
        if held and not reply.silent:
            self._asks.settle(exchange, "answered")
            return
        exchange.nudges += 1
        if exchange.nudges > 2:
            self._refused(exchange)
            return
        reply.void = True
        if exchange.nudges == 1 and self._asks.unsay(reply):
            self._desk.note("noticed", what="reply without sound, asked again", provider=link.provider)
            text = said(exchange, self._asks.heard)
            instructions = continue_after(text) if text else exchange.prompt or NUDGE
            self._asks.ask(link, exchange, instructions, continuation=bool(text))
            return
        exchange.nudges = 2
        waited_ms = (self._desk.now - reply.asked_ns) // MS
        self._failover.lost(link, Fault(FaultClass.EMPTY, "a reply without sound"), waited_ms)

    # -------------------------------------------------------------------------------------------------------- others

    def _tool_called(self, link: Link, event: ToolCalled) -> None:
        found = self._find(link, event.ask)
        if found is None or found[1].void or link is not self._failover.active:
            return
        exchange, reply = found
        self._asks.stop_clocks()
        self._desk.do(Health(link.provider, link_age_ms=(self._desk.now - link.opened_ns) // MS))
        self._tools.called(link, exchange, reply, event)

    def _caller_text(self, link: Link, event: CallerText) -> None:
        turn = self._desk.conversation.turns.get(event.turn)
        if turn is None or turn.kind != "speech" or turn.text_final:
            return
        turn.text = event.text if event.final else turn.text + event.text
        turn.text_final = event.final
        if event.final:
            self._desk.note("caller_text", turn=turn.id, text=turn.text.strip(), provider=link.provider)

    def _usage(self, link: Link, ask: int, usage: Usage) -> None:
        self._desk.note(
            "usage",
            provider=link.provider,
            ask=ask,
            kind=usage.kind,
            input_text=usage.input_text,
            input_audio=usage.input_audio,
            cached_text=usage.cached_text,
            cached_audio=usage.cached_audio,
            output_text=usage.output_text,
            output_audio=usage.output_audio,
            seconds=usage.seconds,
        )

    # ---------------------------------------------------------------------------------------------------- the clocks

    def _watch_stall(self) -> None:
        """Mid-reply the playout is the clock: look again when the gap is long enough and little enough is left."""
        desk = self._desk
        times = desk.deadlines
        left = desk.ms(self._speaker.left)
        wait = max(times.stall_gap, left - max(times.seed_left, self._ask_left))
        desk.after("stall", wait)

    @property
    def _ask_left(self) -> int:
        return self._failover.reserve.first_audio_ms + self._desk.deadlines.ask_margin

    def stall(self) -> None:
        """The timer "stall"."""
        desk = self._desk
        exchange = desk.conversation.open
        reply = exchange.reply if exchange is not None else None
        link = self._failover.active
        if reply is None or link is None or not reply.open or reply.first_audio_ns is None or reply.link != link.number:
            return
        gap = (desk.now - reply.last_audio_ns) // MS
        left = desk.ms(self._speaker.left)
        if gap < desk.deadlines.stall_gap:
            desk.after("stall", desk.deadlines.stall_gap - gap)
        elif left > max(desk.deadlines.seed_left, self._ask_left):
            desk.after("stall", left - max(desk.deadlines.seed_left, self._ask_left))
        elif left > self._ask_left:
            self._failover.prepare()
            desk.after("stall", left - self._ask_left)
        else:
            self._failover.stalled(link, Fault(FaultClass.STALLED, f"no audio for {gap} ms within a reply"), gap)

    def first_audio_due(self) -> None:
        """The timer "first audio"."""
        link, waited = self._silent_link()
        if link is not None:
            self._failover.stalled(link, Fault(FaultClass.STALLED, f"no audio {waited} ms after the ask"), waited)

    def hedge(self) -> None:
        """The timer "hedge": ask a second provider; whoever speaks first answers."""
        link, waited = self._silent_link()
        if link is not None:
            self._failover.hedge(link, waited)

    def _silent_link(self) -> tuple[Link | None, int]:
        """The active link if it owes the first audio of the open exchange, and for how long (ms)."""
        exchange = self._desk.conversation.open
        reply = exchange.reply if exchange is not None else None
        link = self._failover.active
        if reply is None or link is None or reply.first_audio_ns is not None or reply.link != link.number:
            return None, 0
        return link, (self._desk.now - reply.asked_ns) // MS

    def underrun(self, ask: int, gap_ns: int) -> None:
        """The caller heard silence within a reply."""
        found = self._desk.conversation.replies.get(ask)
        if found is None:
            return
        exchange, reply = found
        reply.underrun_ns += gap_ns
        self._desk.note("underrun", ask=ask, ms=gap_ns // MS)
        link = self._links.get(reply.link)
        total = reply.underrun_ns // MS
        if link is None or link is not self._failover.active or total < self._desk.deadlines.slow_sum:
            return
        if reply.open and exchange.state == "open" and exchange.reply is reply:
            self._failover.lost(link, Fault(FaultClass.SLOW, f"{total} ms of silence within a reply"), total)


_EVENTS: Mapping[type, Callable[[Replies, Link, Any], None]] = {
    ReplyAudio: Replies._audio,
    ReplyText: Replies._text,
    ReplyStarted: Replies._started,
    ReplyComplete: Replies._complete,
    ReplyEnded: Replies._ended,
    ToolCalled: Replies._tool_called,
    ToolCancelled: lambda replies, link, event: replies._tools.cancelled(link, event.call_ids),
    CallerText: Replies._caller_text,
    UsageReported: lambda replies, link, event: replies._usage(link, 0, event.usage),
    RateLimits: lambda replies, link, event: replies._failover.rotation.limits(link, event.remaining, event.reset_ms),
    Expiring: lambda replies, link, event: replies._failover.expiring(link, event.left_ms),
    Failed: lambda replies, link, event: replies._failover.lost(link, event.fault),
    Ready: lambda replies, link, event: replies._failover.ready(link, event.expires_in_ms),
    Probed: lambda replies, link, event: replies._failover.proven(link),
    Noticed: lambda replies, link, event: replies._desk.note("noticed", what=event.what, provider=link.provider),
}
