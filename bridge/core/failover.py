"""Which link speaks for the agent, and how the next one takes over.

Make before break: the standby is readied while the old link lives; on a dead link the tape covers the gap and the
playout goes on with what was received.
"""

from __future__ import annotations

from collections.abc import Callable

from bridge.core.asks import Asks
from bridge.core.briefing import Briefing
from bridge.core.chooser import Chooser
from bridge.core.conversation import Exchange, Reply
from bridge.core.desk import MS, Desk
from bridge.core.doubt import Doubt
from bridge.core.events import Chosen
from bridge.core.faults import UNCOUNTED, FaultLog
from bridge.core.last_rung import LastRung
from bridge.core.links import Link, Links, LinkState
from bridge.core.reserve import PROOF_MS, Reserve
from bridge.core.rotation import Rotation
from bridge.core.speaker import Speaker
from bridge.core.swap import Swap, Swaps
from bridge.core.tried import Tried
from providers.base import Fault, FaultClass


class Failover:
    """`active` speaks; the reserve's link waits; `coming` is being readied to become active; `suspended` has stalled
    and may yet wake up before the next one speaks."""

    def __init__(
        self,
        desk: Desk,
        links: Links,
        speaker: Speaker,
        asks: Asks,
        finish: Callable[[str, str], None],
        end: Callable[[str], None],
    ) -> None:
        self._desk = desk
        self._links = links
        self._speaker = speaker
        self._asks = asks
        self._chooser = Chooser(desk)
        self._briefing = Briefing(desk, links, asks)
        self.reserve = Reserve(desk, links, self._chooser, self._briefing)
        self.rotation = Rotation(desk, links, self._chooser, self.reserve, lambda: self.active, self._swap_planned)
        self._doubt = Doubt(desk, self._chooser, self.reserve)
        self._swaps = Swaps(desk)
        self._log = FaultLog(desk, speaker)
        self.last_rung = LastRung(desk, speaker, finish, end, lambda: self.coming is not None)
        self.active: Link | None = None
        self.coming: Link | None = None
        self.suspended: Link | None = None
        self._tried = Tried()
        self.holding = False

    # ------------------------------------------------------------------------------------------------------ choosing

    def ask(self) -> None:
        """Ask for somebody who has not been tried. Until a link was opened it is a new call that asks."""
        exchange = self._desk.conversation.open
        owed = exchange is not None and exchange.turns_ended
        self._chooser.ask("handover" if self._links.count else "call", set(self._tried), owed)

    def chosen(self, event: Chosen) -> None:
        """The health board's answer."""
        answer = self._chooser.answer(event)
        if answer is None:
            return
        purpose, provider = answer
        if provider is not None:
            self._speaker.loudness.told(provider, event.voice_db)
        if purpose == "back":
            self.rotation.back_chosen(provider)
        elif purpose == "beside" and self._desk.plan.standby == "cold" and not self._doubt.beside:
            return  # the one in doubt has answered meanwhile
        elif purpose in ("standby", "beside"):
            self.reserve.chosen(provider, event)
        elif self.active is None and self.coming is None:
            if provider is None:
                self._exhausted(event.reason, event.retry_ms)
            else:
                self.coming = self._links.open(provider, purpose)

    # ---------------------------------------------------------------------------------------------------- link events

    def ready(self, link: Link, expires_in_ms: int | None) -> None:
        """The link's configuration was acknowledged."""
        if link.state is not LinkState.CONFIGURING:
            return
        self._links.ready(link, expires_in_ms)
        if link is self.coming:
            self._doubt.over(link)
            self._hand_over(link)
        elif link is self.reserve.link and self.active is None and self.coming is None:
            self.reserve.take()
            self._hand_over(link)
        elif link is self.reserve.link and self._doubt.beside:
            self._first_ready()
        elif link is self.reserve.link:
            self.reserve.ready()
            self.rotation.if_quiet()

    def _first_ready(self) -> None:
        """The link that was dialled beside the one in doubt is ready first."""
        link = self._doubt.link
        if link is not None and link is self.coming:
            self._links.close(link, "another was ready first")
            self._doubt.over(link)
            self.coming = None
            self._advance()
        elif link is not None:
            self.lost(link, Fault(FaultClass.NETWORK, "no sign of life before another was ready", "timeout"))

    def doubted(self) -> None:
        """The timer "doubt"."""
        suspended = {self.suspended.provider} if self.suspended is not None else set()
        self._doubt.dial({*self._tried, *suspended})

    def proven(self, link: Link) -> None:
        """The link answered a probe."""
        self.reserve.proven(link)
        self._doubt.over(link)

    def unproven(self, number: int) -> None:
        """The timer "proof N": no answer to a probe."""
        link = self._links.get(number)
        if link is not None and link.probing:
            self.lost(link, Fault(FaultClass.NETWORK, "no answer to a probe of the session"))

    def timed_out(self, number: int) -> None:
        """The timer "link N"."""
        overdue = self._links.overdue(number)
        if overdue is not None:
            self.lost(*overdue)

    def lost(self, link: Link, fault: Fault, detection_ms: int = 0) -> None:
        """The link failed, whatever its part."""
        if link.state is LinkState.LEAVING:
            self._links.close(link, fault.kind)
            return
        self._log.fault(link, fault, detection_ms, link is self.active)
        self._links.close(link, fault.kind)
        self._doubt.over(link)
        if link is self.active:
            self._active_lost(link, fault, detection_ms)
        elif link is self.coming:
            self.coming = None
            self._tried[link.provider] = fault.kind
            self._advance()
        elif link is self.reserve.link:
            self.reserve.lost()
            self.rotation.standby_lost()
            if self._doubt.beside:
                self._tried[link.provider] = fault.kind
                self.doubted()
        elif link is self.suspended:
            self._drop_suspended()

    def stalled(self, link: Link, fault: Fault, detection_ms: int) -> None:
        """The active link went silent. It is kept until another speaks."""
        self._log.fault(link, fault, detection_ms, link is self.active)
        self._drop_suspended()
        self.suspended = link
        self._active_lost(link, fault, detection_ms)

    def hedge(self, link: Link, waited_ms: int) -> None:
        """Ask the standby as well; nobody is blamed. Without a standby that is ready nothing happens."""
        standby = self.reserve.link
        if standby is None or not standby.ready or self.suspended is not None:
            return
        self._desk.note("noticed", what=f"hedged after {waited_ms} ms", provider=standby.provider)
        self.suspended = link
        self._active_lost(link, Fault(FaultClass.PLANNED, "hedged turn"), waited_ms)

    def exclude(self, providers: tuple[str, ...]) -> None:
        """Policy: not one more byte to these."""
        self._chooser.excluded.update(providers)
        for link in self._links.all():
            if link.provider in providers:
                self.lost(link, Fault(FaultClass.PLANNED, "excluded by policy"))

    def expiring(self, link: Link, left_ms: int) -> None:
        """The provider announced the end of the session."""
        if link is self.reserve.link:
            self.reserve.drop("its session ends")
            self.want_standby()
        else:
            self.rotation.expiring(link, left_ms)

    # -------------------------------------------------------------------------------------------------------- leaving

    def _swap_planned(self) -> None:
        old = self.active
        if old is not None:
            self._links.leave(old, "rotated")
            self._active_lost(old, Fault(FaultClass.PLANNED, "planned rotation"), 0)

    def _active_lost(self, link: Link, fault: Fault, detection_ms: int) -> None:
        desk = self._desk
        self.active = None
        self.holding = False
        self._asks.stop_clocks()
        exchange = desk.conversation.open
        swap = self._swaps.begin(link, fault, detection_ms, exchange)
        if exchange is not None:
            self._leave_reply(link, exchange, swap)
        if fault.kind not in UNCOUNTED and (exchange is not None or fault.kind is not FaultClass.NETWORK):
            self._tried[link.provider] = fault.kind
        self._advance()

    def _leave_reply(self, link: Link, exchange: Exchange, swap: Swap) -> None:
        """What becomes of the reply the link was giving."""
        reply = exchange.reply
        if reply is None or reply.link != link.number:
            return
        if reply.complete and not reply.calls and not self._desk.ledger.running(exchange.id):
            self._asks.settle(exchange, "answered")
            return
        if link is not self.suspended:
            reply.ended = True
        if reply.first_audio_ns is None:
            reply.void = link is not self.suspended
        elif not reply.complete:
            swap.tail = self._speaker.keep_to_word(reply.ask, reply.transcript, self._cover_ms())

    def _cover_ms(self) -> int:
        """How long it may be until the next link speaks."""
        deadlines = self._desk.deadlines
        standby = self.reserve.link
        opening = 0 if standby is not None and standby.ready else deadlines.dial
        return opening + self.reserve.first_audio_ms + deadlines.ask_margin

    def _drop_suspended(self) -> None:
        """The stalled link's last chance is over, and with it the reply it was giving."""
        link, self.suspended = self.suspended, None
        if link is None:
            return
        self._links.leave(link, "replaced")
        last = self._desk.conversation.last
        for reply in last.replies if last is not None else ():
            if reply.link == link.number and not reply.ended:
                reply.ended = True
                reply.void = reply.first_audio_ns is None
                if last is not None and not reply.void and not self._speaker.left:
                    self._asks.finalise(last, reply)

    # ---------------------------------------------------------------------------------------------------- taking over

    def _advance(self) -> None:
        """Find the next link: the standby, or whoever the health board names."""
        if self.active is not None or self.coming is not None:
            return
        waiting = self.reserve.link
        if waiting is not None and (waiting.provider in self._tried or waiting.provider in self._chooser.excluded):
            self.reserve.drop("its provider just failed")
        standby = self.reserve.take()
        if standby is None:
            self.ask()
        elif standby.ready:
            self._take(standby)
        else:
            self.coming = standby
            self._doubt.watch(standby)

    def _take(self, standby: Link) -> None:
        """A warm link goes live at once, and must prove itself at the same time."""
        if self._swaps.open is not None:
            self._swaps.open.warm = True
        if standby.candidate.capabilities.probe_command and self._desk.now > standby.ready_ns:
            self.reserve.probe(standby, PROOF_MS)
            self._doubt.watch(standby)
        self._hand_over(standby)

    def _hand_over(self, link: Link) -> None:
        """The link becomes active and is told, in one go, all it needs."""
        desk = self._desk
        self.coming = None
        self.active = link
        self.last_rung.leave()
        self.rotation.watch_age()
        exchange = desk.conversation.open
        if exchange is not None and exchange.turns_ended and desk.ledger.running(exchange.id):
            self.holding = True
            desk.after("tools hold", desk.deadlines.tool_hold)
            return
        self._brief(link, exchange)

    def tools_settled(self) -> None:
        """No tool runs any more, or the timer "tools hold": the held handover goes out. While `holding`, nothing else
        may be sent to the active link."""
        if self.holding and self.active is not None:
            self.holding = False
            self._desk.timers.clear("tools hold")
            self._brief(self.active, self._desk.conversation.open)

    def _brief(self, link: Link, exchange: Exchange | None) -> None:
        replayed_ms = self._briefing.brief(link, exchange)
        if self._swaps.open is not None:
            self._swaps.open.replayed_ms = replayed_ms
        if exchange is None or not exchange.turns_ended:
            self._swapped(0)

    def spoke(self, exchange: Exchange) -> None:
        """First audio of a reply by the active link: it counts as working."""
        self._tried.clear()
        self._doubt.over(self.active)
        self._drop_suspended()
        silent = 0
        if not self._speaker.left:
            silent = (self._desk.now - max(self._speaker.silent_since, exchange.owed_ns)) // MS
        self._swapped(silent)

    def interrupted(self) -> None:
        """The caller speaks on: what a suspended link may still say answers only the half of it."""
        self._drop_suspended()

    def settled(self) -> None:
        """Nothing is owed any more, be it that the continuation came back empty: the switch is over."""
        if self.suspended is not None:
            self._drop_suspended()
            self._swapped(0)

    def _swapped(self, silence_ms: int) -> None:
        """The switch, if one was under way, is over."""
        self._swaps.end(self.active, silence_ms)
        self.want_standby()

    def woke(self, link: Link, reply: Reply) -> bool:
        """Audio from a link that is not active: a stalled one that resumes before the next one spoke is taken back."""
        if link is not self.suspended:
            return False
        exchange = self._desk.conversation.open
        newer = exchange.reply if exchange is not None else None
        if exchange is None or newer is None or reply not in exchange.replies:
            return False
        if newer is not reply:
            if newer.first_audio_ns is not None:
                return False
            self._asks.void(newer)
        for other in (self.active, self.coming):
            if other is not None:
                self._doubt.over(other)
                self._links.leave(other, "the stalled link resumed")
        self._desk.note("noticed", what="stalled link resumed before the next one spoke", provider=link.provider)
        self.active, self.coming, self.suspended = link, None, None
        self.holding = False
        self.last_rung.leave()
        self._desk.playout.resume(reply.ask, self._swaps.cancel())
        self._desk.after("standby", 0)
        return True

    # ------------------------------------------------------------------------------------------------------ last rung

    def _exhausted(self, why: str, retry_ms: int | None) -> None:
        """No provider may be dialled now."""
        if self._tried.once_more():
            self.ask()
        else:
            self.last_rung.reach(why, retry_ms)

    def retry(self) -> None:
        """The timer "retry": everybody may be asked again."""
        if self.active is None and self.coming is None:
            self._tried.clear()
            self.ask()

    def owed(self) -> None:
        """The caller has finished and nobody is there to answer: say so, and move up in the line of those who wait."""
        self._desk.timers.clear("patience")
        self.last_rung.speak()
        if self.last_rung.reached and self.coming is None:
            self.ask()

    # -------------------------------------------------------------------------------------------------------- standby

    def want_standby(self) -> None:
        """Open a standby where the route wants one and there is none."""
        if self.active is None:
            return
        self.rotation.watch_fail_back()
        if self._desk.plan.standby != "cold":
            self.reserve.want({self.active.provider, *self._tried})

    def prepare(self) -> None:
        """A warning: have a standby, and have it know the conversation so far."""
        if self.reserve.link is not None:
            self.reserve.seed()
        elif self.active is not None:
            self.reserve.want({self.active.provider, *self._tried})

    def upkeep(self) -> None:
        """The timer "standby"."""
        if not self.reserve.look_after():
            self.want_standby()

    def correct(self, exchange: Exchange) -> None:
        """A barge-in cut audio of this exchange."""
        self._briefing.correct(self.active, exchange)
