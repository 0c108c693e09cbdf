"""Asking for replies, taking asks back, and keeping account of what was heard of each reply."""

from __future__ import annotations

from bridge.core.conversation import Exchange, ExchangeState, Reply
from bridge.core.desk import Desk
from bridge.core.heard import Transcript
from bridge.core.links import Link, Links
from bridge.core.speaker import Speaker
from providers.base import Ask, Cancel, Truncate


class Asks:
    """Each ask has a number; only the latest ask's audio may play."""

    def __init__(self, desk: Desk, links: Links, speaker: Speaker) -> None:
        self._desk = desk
        self._links = links
        self._speaker = speaker
        self._count = 0

    def ask(
        self,
        link: Link,
        exchange: Exchange,
        instructions: str = "",
        continuation: bool = False,
        after_tool: bool = False,
        begun: bool = False,
    ) -> Reply:
        """Ask `link` for the reply of `exchange` and start its clocks. `begun`: what the link began without being asked
        is that reply."""
        desk = self._desk
        self._count += 1
        begun = begun or self._begun(link, exchange)
        transcript = Transcript(desk.spec.leg, desk.conversation.pace(link.provider))
        reply = Reply(self._count, link.number, link.provider, transcript, desk.now, continuation, after_tool)
        desk.conversation.new_reply(exchange, reply)
        self._links.ask(link, Ask(reply.ask, instructions, begun))
        if begun:
            link.own = reply.ask
            desk.timers.set("begun", desk.now)
        desk.note(
            "asked",
            ask=reply.ask,
            exchange=exchange.id,
            link=link.number,
            provider=link.provider,
            continuation=continuation,
        )
        times = desk.deadlines
        desk.after("prepare", times.prepare)
        desk.after("first audio", times.first_audio_after_tool if after_tool else times.first_audio)
        if desk.plan.hedge_ms is not None:
            desk.after("hedge", desk.plan.hedge_ms)
        return reply

    def _begun(self, link: Link, exchange: Exchange) -> bool:
        """Was a reply kept that answers all the caller said? One begun in a pause, before the last words, does not."""
        if link.begun is None:
            return False
        if exchange.turns and link.begun.at >= exchange.turns[-1].spoken:
            return True
        link.begun = None
        self._links.send(link, Cancel(0))
        return False

    def stop_clocks(self) -> None:
        """No reply is waited for."""
        for name in ("prepare", "first audio", "stall", "hedge"):
            self._desk.timers.clear(name)

    def void(self, reply: Reply) -> None:
        """Take the ask back: nothing more of it may be heard, the provider is told to stop."""
        if not reply.ended:
            link = self._links.get(reply.link)
            if link is not None and not self._links.withdraw_waiting(link, reply.ask):
                self._links.send(link, Cancel(reply.ask))
        reply.void = True
        self._desk.playout.drop(reply.ask)
        self.stop_clocks()

    # ----------------------------------------------------------------------------------------------- what was heard

    def heard(self, reply: Reply) -> str:
        """The words the caller heard of a reply, or is certain to hear because they are held by us."""
        samples = reply.heard if reply.final else self._desk.playout.pushed(reply.ask)
        return reply.transcript.upto(samples)

    def any_heard(self, exchange: Exchange) -> bool:
        """Has the caller heard any of the exchange's replies yet?"""
        return any(self.heard_samples(reply) > 0 for reply in exchange.replies)

    def heard_samples(self, reply: Reply) -> int:
        return reply.heard if reply.final else self._desk.playout.heard(reply.ask, self._desk.now)

    def held(self, exchange: Exchange) -> bool:
        """Has any of it been heard, or is it certain to be?"""
        return any(
            (reply.heard if reply.final else self._desk.playout.pushed(reply.ask)) > 0 for reply in exchange.replies
        )

    def finalise(self, exchange: Exchange, reply: Reply) -> None:
        """Nothing more of this reply will be heard: write down what was."""
        if reply.final:
            return
        desk = self._desk
        reply.heard = desk.playout.heard(reply.ask, desk.now)
        reply.final = True
        desk.playout.forget(reply.ask)
        if reply.heard or not reply.void:
            desk.note(
                "heard",
                exchange=exchange.id,
                ask=reply.ask,
                provider=reply.provider,
                text=reply.transcript.upto(reply.heard),
                heard_ms=desk.ms(reply.heard),
                complete=reply.complete and reply.heard >= reply.transcript.audio.samples,
            )
        if reply.complete or reply.void:
            reply.transcript.settle(reply.heard)

    def truncate(self, reply: Reply) -> None:
        """Tell the link that made the reply how much of it was heard."""
        link = self._links.get(reply.link)
        if link is None or not link.ready or not link.candidate.capabilities.truncate:
            return
        ends = [begin for _, begin in reply.items[1:]] + [reply.transcript.audio.samples]
        for (item, begin), end in zip(reply.items, ends, strict=True):
            if reply.heard < end:
                self._links.send(link, Truncate(item, self._desk.ms(max(0, reply.heard - begin))))

    def unsay(self, reply: Reply) -> bool:
        """Take what came as text only out of the session that made it, where it stands as said. False where that cannot
        be done."""
        link = self._links.get(reply.link)
        if not reply.silent or link is None:
            return True
        if not link.candidate.capabilities.truncate:
            return False
        for item in reply.silent:
            self._links.send(link, Truncate(item, 0))
        return True

    def settle(self, exchange: Exchange, state: ExchangeState) -> None:
        """The exchange is owed nothing more."""
        if exchange.state != "open":
            return
        exchange.state = state
        self.stop_clocks()
        self._desk.note("exchange_settled", exchange=exchange.id, state=state)
