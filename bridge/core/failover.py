"""Which link speaks for the agent, and how the next one takes over.

Make before break: the standby is readied while the old link lives; on a dead link the tape covers the gap and the
playout goes on with what was received.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bridge.core.asks import Asks
from bridge.core.conversation import Exchange, Reply
from bridge.core.desk import MS, Desk
from bridge.core.effects import Choose, Health, Transfer
from bridge.core.events import Chosen
from bridge.core.handover import Handover, history, reply_ref, said, take_over
from bridge.core.links import Link, Links, LinkState
from bridge.core.speaker import Speaker
from providers.base import BeginTurn, EndTurn, Fault, FaultClass, Forget, HistoryItem, Probe, Seed, Text, ToolUse

UNCOUNTED = {FaultClass.PLANNED, FaultClass.EXPIRED, FaultClass.REFUSED}
PROOF_MS = 2000
REOPEN_MS = 5000
FAIL_BACK_MS = 30_000
GO_AWAY_RESERVE_MS = 5000
FORECAST_SHARE = 0.02
MESSAGE_MS = 60_000


@dataclass(slots=True)
class Swap:
    """A switch under way. `tail`: audio cut from the dead reply, for the case that its link wakes up."""

    old: str
    fault: Fault
    cause_ns: int
    detection_ms: int
    exchange: int = 0
    warm: bool = False
    replayed_ms: int = 0
    tail: bytes = b""


class Failover:
    """`active` speaks; `standby` waits; `coming` is being readied to become active; `suspended` has stalled and may yet
    wake up before the next one speaks."""

    def __init__(self, desk: Desk, links: Links, speaker: Speaker, asks: Asks) -> None:
        self._desk = desk
        self._links = links
        self._speaker = speaker
        self._asks = asks
        self.active: Link | None = None
        self.standby: Link | None = None
        self.coming: Link | None = None
        self.suspended: Link | None = None
        self.standby_first_audio_ms = 800
        self.finish: Callable[[str, str], None] = lambda phrase, reason: None
        self.end: Callable[[str], None] = lambda reason: None
        self._requests: dict[int, str] = {}
        self._asked = 0
        self._tried: dict[str, FaultClass] = {}
        self._retried: set[str] = set()
        self._excluded: set[str] = set()
        self._swap: Swap | None = None
        self._rung = False
        self._apologised = False
        self._rotating = False
        self._holding = False

    # ------------------------------------------------------------------------------------------------------ choosing

    def start(self) -> None:
        self._choose("call")

    def _choose(self, purpose: str, exclude: set[str] | None = None) -> None:
        if purpose in self._requests.values():
            return
        self._asked += 1
        self._requests[self._asked] = purpose
        out = sorted(self._excluded | (exclude or set()))
        wanted = "standby" if purpose == "back" else purpose
        self._desk.do(Choose(self._asked, wanted, tuple(out)))  # type: ignore[arg-type]

    def chosen(self, event: Chosen) -> None:
        """The health board's answer."""
        purpose = self._requests.pop(event.request, None)
        if purpose is None:
            return
        provider = event.provider
        if provider is not None and provider in self._excluded:
            provider = None
        if purpose == "back":
            self._back_chosen(provider)
        elif purpose == "standby":
            self._standby_chosen(provider, event)
        elif self.active is None and self.coming is None:
            if provider is None:
                self._exhausted(event.reason, event.retry_ms)
            else:
                self.coming = self._links.open(provider, purpose)

    def _standby_chosen(self, provider: str | None, event: Chosen) -> None:
        if provider is None:
            self._desk.after("standby", max(event.retry_ms or 0, self._desk.deadlines.standby_probe))
        elif self.standby is None:
            self.standby = self._links.open(provider, "standby")
            self.standby_first_audio_ms = event.first_audio_p90_ms

    # ---------------------------------------------------------------------------------------------------- link events

    def ready(self, link: Link, expires_in_ms: int | None) -> None:
        """The link's configuration was acknowledged."""
        if link.state is not LinkState.CONFIGURING:
            return
        self._links.ready(link, expires_in_ms)
        if link is self.coming or (link is self.standby and self.active is None and self.coming is None):
            if link is self.standby:
                self.standby = None
            self._hand_over(link)
        elif link is self.standby:
            self._desk.after("standby", self._desk.deadlines.standby_probe)
            if self._desk.plan.standby == "seeded":
                self.seed_standby()
            self.rotate_if_quiet()

    def proven(self, link: Link) -> None:
        """The link answered a probe."""
        link.probing = False
        self._desk.timers.clear(f"proof {link.number}")

    def unproven(self, number: int) -> None:
        """The timer "proof N": no answer to a probe."""
        link = self._links.get(number)
        if link is not None and link.probing:
            self.lost(link, Fault(FaultClass.NETWORK, "no answer to a probe of the session"))

    def timed_out(self, number: int) -> None:
        """The timer "link N": it did not come up in time."""
        link = self._links.get(number)
        if link is None or link.ready:
            return
        what = "dial and upgrade" if link.state is LinkState.OPENING else "acknowledgement of the configuration"
        waited = (self._desk.now - link.opened_ns) // MS
        self.lost(link, Fault(FaultClass.NETWORK, f"no {what} within {waited} ms", "timeout"), waited)

    def lost(self, link: Link, fault: Fault, detection_ms: int = 0) -> None:
        """The link failed, whatever its part."""
        self._fault(link, fault, detection_ms)
        role = self._role(link)
        self._links.close(link, fault.kind)
        if role == "active":
            self._active_lost(link, fault, detection_ms)
        elif role == "coming":
            self.coming = None
            self._tried[link.provider] = fault.kind
            self._advance()
        elif role == "standby":
            self.standby = None
            self._rotating = self._rotating and self._desk.timers.at("rotate") is not None
            self._desk.after("standby", REOPEN_MS)
        elif role == "suspended":
            self._drop_suspended()

    def stalled(self, link: Link, fault: Fault, detection_ms: int) -> None:
        """The active link went silent. It is kept until another speaks."""
        self._fault(link, fault, detection_ms)
        self._drop_suspended()
        self.suspended = link
        self._active_lost(link, fault, detection_ms)

    def hedge(self, link: Link, waited_ms: int) -> None:
        """Ask the standby as well; nobody is blamed. Without a standby that is ready nothing happens."""
        standby = self.standby
        if standby is None or not standby.ready or self.suspended is not None:
            return
        self._desk.note("noticed", what=f"hedged after {waited_ms} ms", provider=standby.provider)
        self.suspended = link
        self._active_lost(link, Fault(FaultClass.PLANNED, "hedged turn"), waited_ms)

    def _role(self, link: Link) -> str:
        for role in ("active", "coming", "standby", "suspended"):
            if getattr(self, role) is link:
                return role
        return ""

    def _fault(self, link: Link, fault: Fault, detection_ms: int) -> None:
        desk = self._desk
        desk.note(
            "fault",
            **{"class": fault.kind.value},
            link=link.number,
            provider=link.provider,
            code=fault.code,
            reason=fault.reason,
            phase=self._phase(link),
            detection_ms=detection_ms,
        )
        if fault.kind not in UNCOUNTED:
            desk.do(Health(link.provider, fault))

    def _phase(self, link: Link) -> str:
        if not link.ready_ns:
            return "configuring" if link.configured else "dialling"
        if link is not self.active:
            return "standby"
        exchange = self._desk.conversation.open
        if exchange is None:
            return "speaking" if self._speaker.left else "between turns"
        if not exchange.turns_ended:
            return "caller speaking"
        if self._desk.ledger.running(exchange.id):
            return "tool running"
        reply = exchange.reply
        return "mid-reply" if reply is not None and reply.first_audio_ns is not None else "owed"

    # -------------------------------------------------------------------------------------------------------- switching

    def _active_lost(self, link: Link, fault: Fault, detection_ms: int) -> None:
        desk = self._desk
        self.active = None
        self._holding = False
        self._asks.stop_clocks()
        swap = self._swap
        if swap is None:
            swap = self._swap = Swap(link.provider, fault, desk.now - detection_ms * MS, detection_ms)
        exchange = desk.conversation.open
        if exchange is not None:
            swap.exchange = exchange.id
            self._watch_silence()
            self._leave_reply(link, exchange, swap)
        if fault.kind not in UNCOUNTED and (exchange is not None or fault.kind is not FaultClass.NETWORK):
            self._tried[link.provider] = fault.kind
        self._advance()

    def _watch_silence(self) -> None:
        after_ms = self._desk.spec.agent.bridge_phrase_after_ms
        if after_ms is not None:
            self._desk.after("bridge", after_ms)

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
            swap.tail = self._speaker.keep_to_pause(reply.ask, reply.transcript.audio)

    def _advance(self) -> None:
        """Find the next link: the standby, or whoever the health board names."""
        if self.active is not None or self.coming is not None:
            return
        standby, self.standby = self.standby, None
        if standby is not None and (standby.provider in self._tried or standby.provider in self._excluded):
            self._links.close(standby, "its provider just failed")
            standby = None
        if standby is None:
            self._choose("handover", set(self._tried))
        elif standby.ready:
            self._take(standby)
        else:
            self.coming = standby

    def _take(self, standby: Link) -> None:
        """A warm link goes live at once, and must prove itself at the same time."""
        if self._swap is not None:
            self._swap.warm = True
        if standby.candidate.capabilities.probe_command:
            self._probe(standby, self._desk.deadlines.standby_ack)
        self._hand_over(standby)

    def _probe(self, link: Link, budget_ms: int) -> None:
        link.probing = True
        self._links.send(link, Probe())
        self._desk.after(f"proof {link.number}", budget_ms)

    def _hand_over(self, link: Link) -> None:
        """The link becomes active and is told, in one go, all it needs."""
        desk = self._desk
        self.coming = None
        self.active = link
        self.watch_age()
        if self._rung:
            self._rung = self._apologised = False
            desk.timers.clear("retry")
            desk.timers.clear("hold")
        exchange = desk.conversation.open
        if exchange is not None and exchange.turns_ended and desk.ledger.running(exchange.id):
            self._holding = True
            desk.after("tools hold", desk.deadlines.tool_hold)
            return
        self._brief(link, exchange)

    def tools_settled(self) -> None:
        """No tool runs any more, or the timer "tools hold": the held handover goes out."""
        if self._holding and self.active is not None:
            self._holding = False
            self._desk.timers.clear("tools hold")
            self._brief(self.active, self._desk.conversation.open)

    @property
    def holding(self) -> bool:
        """The active link has not been briefed yet: nothing else may be sent to it."""
        return self._holding

    def _brief(self, link: Link, exchange: Exchange | None) -> None:
        desk = self._desk
        conversation = desk.conversation
        caps = link.candidate.capabilities
        settled = [past for past in conversation.exchanges[link.known :] if past is not exchange]
        items = history(settled, caps, desk.tape, desk.ledger, self._asks.heard)
        link.known = len(conversation.exchanges)
        if exchange is None:
            self._seed(link, items)
            self._swapped(0)
            return
        plan = take_over(exchange, caps, desk.tape, desk.ledger, self._asks.heard)
        self._seed(link, [*items, *plan.seed])
        self._replay(link, plan)
        if exchange.turns_ended:
            self._asks.ask(link, exchange, plan.instructions, plan.continuation)
        else:
            self._swapped(0)

    def _seed(self, link: Link, items: list[HistoryItem]) -> None:
        if not items:
            return
        for item in items:
            if isinstance(item, ToolUse):
                self._desk.ledger.calls[int(item.call_id.removeprefix("segue"))].told.add(link.number)
            elif isinstance(item, Text) and item.ref:
                link.told[item.ref] = item.text
        self._links.send(link, Seed(tuple(items)))

    def _replay(self, link: Link, plan: Handover) -> None:
        """The caller's turns again, from the tape; live frames follow an open one."""
        desk = self._desk
        separate = link.candidate.capabilities.explicit_ask
        replayed = sum(len(getattr(item, "data", b"")) for item in plan.seed)
        for index, turn in enumerate(plan.turns):
            last = index == len(plan.turns) - 1
            if index == 0 or separate:
                self._links.send(link, BeginTurn(turn.id))
            data = desk.tape.read(turn.began, turn.ended)
            replayed += len(data)
            if turn.began < desk.tape.start:
                desk.note(
                    "noticed", what=f"the first {desk.ms(desk.tape.start - turn.began)} ms of the turn are off the tape"
                )
            self._links.audio(link, data)
            if turn.ended is None:
                link.turn = turn.id
            elif last or separate:
                self._links.send(link, EndTurn(turn.id))
        if self._swap is not None:
            self._swap.replayed_ms = int(desk.spec.leg.ms(replayed))

    def spoke(self, exchange: Exchange, reply: Reply) -> None:
        """First audio of a reply by the active link: it counts as working."""
        self._tried.clear()
        self._retried.clear()
        self._drop_suspended()
        silent = 0
        if not self._speaker.left:
            silent = (self._desk.now - max(self._speaker.silent_since, exchange.owed_ns)) // MS
        self._swapped(silent)

    def _swapped(self, silence_ms: int) -> None:
        """The switch, if one was under way, is over."""
        swap, link = self._swap, self.active
        if swap is not None and link is not None:
            self._swap = None
            self._desk.note(
                "swap",
                **{"from": swap.old, "class": swap.fault.kind.value},
                to=link.provider,
                code=swap.fault.code,
                reason=swap.fault.reason,
                exchange=swap.exchange,
                detection_ms=swap.detection_ms,
                took_ms=(self._desk.now - swap.cause_ns) // MS,
                warm=swap.warm,
                silence_ms=silence_ms,
                replayed_ms=swap.replayed_ms,
            )
        self.ensure_standby()

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
                self._links.close(other, "the stalled link resumed")
        self._desk.note("noticed", what="stalled link resumed before the next one spoke", provider=link.provider)
        self.active, self.coming, self.suspended = link, None, None
        tail = self._swap.tail if self._swap is not None else b""
        self._swap = None
        self._holding = False
        self._desk.playout.resume(reply.ask, tail)
        self._desk.after("standby", 0)
        return True

    def _drop_suspended(self) -> None:
        """The stalled link's last chance is over, and with it the reply it was giving."""
        link, self.suspended = self.suspended, None
        if link is None:
            return
        self._links.close(link, "replaced")
        last = self._desk.conversation.last
        for reply in last.replies if last is not None else ():
            if reply.link == link.number and not reply.ended:
                reply.ended = True
                reply.void = reply.first_audio_ns is None
                if last is not None and not reply.void and not self._speaker.left:
                    self._asks.finalise(last, reply)

    # ------------------------------------------------------------------------------------------------------ last rung

    def _exhausted(self, why: str, retry_ms: int | None) -> None:
        """No provider may be dialled now."""
        for provider, kind in list(self._tried.items()):
            if kind is FaultClass.NETWORK and provider not in self._retried:
                self._retried.add(provider)
                del self._tried[provider]
                self._choose("handover", set(self._tried))
                return
        rung = self._desk.plan.last_rung
        if not self._rung:
            self._rung = True
            self._desk.note("last_rung", why=why)
            self._desk.after("hold", rung.hold_ms)
        self.apologise()
        self._desk.after("retry", max(rung.retry_ms, min(retry_ms or 0, rung.hold_ms // 2)))

    def apologise(self) -> None:
        """While no provider is left: words of our own for a caller who is owed some."""
        exchange = self._desk.conversation.open
        if self._rung and not self._apologised and exchange is not None and exchange.turns_ended:
            self._apologised = self._speaker.phrase(self._desk.plan.last_rung.phrase)

    def retry(self) -> None:
        """The timer "retry": everybody may be asked again."""
        if self.active is None and self.coming is None:
            self._tried.clear()
            self._retried.clear()
            self._choose("handover")

    def give_up(self) -> None:
        """The timer "hold": nobody came back in time, the policy acts."""
        if self.active is not None:
            return
        rung = self._desk.plan.last_rung
        if rung.then == "transfer" and rung.transfer_to:
            self._desk.do(Transfer(rung.transfer_to))
            self.end("transferred")
        elif rung.then == "take_message":
            self._speaker.phrase("message")
            self._desk.after("message", MESSAGE_MS)
        else:
            self.finish("goodbye", "no provider")

    # -------------------------------------------------------------------------------------------------------- standby

    def ensure_standby(self) -> None:
        """Open a standby where the route wants one and there is none."""
        self._watch_fail_back()
        if self._desk.plan.standby != "cold" and self.standby is None and self.active is not None:
            self._choose("standby", {self.active.provider, *self._tried})

    def prepare(self) -> None:
        """A warning: have a standby, and have it know the conversation so far."""
        if self.standby is None:
            if self.active is not None and self.coming is None:
                self._choose("standby", {self.active.provider, *self._tried})
        else:
            self.seed_standby()

    def seed_standby(self) -> None:
        """Tell the standby of every exchange whose heard reply is final."""
        link = self.standby
        if link is None or not link.ready or not link.candidate.capabilities.history_anytime:
            return
        fresh: list[Exchange] = []
        for exchange in self._desk.conversation.exchanges[link.known :]:
            if exchange.state == "open" or not all(reply.final or reply.void for reply in exchange.replies):
                break
            fresh.append(exchange)
        if fresh:
            link.known += len(fresh)
            caps = link.candidate.capabilities
            self._seed(link, history(fresh, caps, self._desk.tape, self._desk.ledger, self._asks.heard))

    def upkeep(self) -> None:
        """The timer "standby": open a missing one, prove a living one, renew one that grows old."""
        link = self.standby
        if link is None:
            self.ensure_standby()
            return
        if not link.ready:
            return
        margin = self._desk.deadlines.rotate_before * MS
        if link.expires_ns is not None and link.expires_ns - margin < self._desk.now:
            self._links.close(link, "renewed before its session limit")
            self.standby = None
            self.ensure_standby()
            return
        if link.candidate.capabilities.probe_command:
            self._probe(link, PROOF_MS)
        self._desk.after("standby", self._desk.deadlines.standby_probe)

    # ------------------------------------------------------------------------------------------------------ fail-back

    def _preferred(self) -> set[str]:
        """Providers the route would rather use than the active one."""
        names = [candidate.name for candidate in self._desk.plan.candidates]
        active = self.active.provider if self.active is not None else names[0]
        return set(names[: names.index(active)])

    def _watch_fail_back(self) -> None:
        if self._desk.plan.fail_back and self._preferred() and self._desk.timers.at("fail back") is None:
            self._desk.after("fail back", FAIL_BACK_MS)

    def fail_back(self) -> None:
        """The timer "fail back": is somebody better up again?"""
        preferred = self._preferred() - self._excluded
        if self.active is None or self._rotating or not preferred:
            return
        self._choose("back", {candidate.name for candidate in self._desk.plan.candidates} - preferred)

    def _back_chosen(self, provider: str | None) -> None:
        if provider is None or self.active is None:
            self._watch_fail_back()
            return
        if self.standby is not None and self.standby.provider != provider:
            self._links.close(self.standby, "a preferred provider is up again")
            self.standby = None
        if self.standby is None:
            self.standby = self._links.open(provider, "fail back")
        self._rotate("a preferred provider is up again")

    # ------------------------------------------------------------------------------------------------------- rotation

    def expiring(self, link: Link, left_ms: int) -> None:
        """The provider announced the end of the session."""
        if link is self.standby:
            self._links.close(link, "its session ends")
            self.standby = None
            self.ensure_standby()
        elif link is self.active:
            self._rotate("the provider announced the end of the session", max(0, left_ms - GO_AWAY_RESERVE_MS))

    def limits(self, link: Link, remaining: float, reset_ms: int) -> None:
        """A rate limit is about to be exhausted: leave before it is."""
        if link is self.active and remaining <= FORECAST_SHARE and not self._rotating:
            self._rotate(f"rate limit nearly exhausted, resets in {reset_ms} ms")

    def watch_age(self) -> None:
        """Arm the timer "age" for the active link's session limit."""
        if self.active is not None and self.active.expires_ns is not None:
            self._desk.timers.set("age", self.active.expires_ns - self._desk.deadlines.rotate_before * MS)

    def aged(self) -> None:
        """The timer "age"."""
        link = self.active
        if link is None or link.expires_ns is None:
            return
        left = (link.expires_ns - self._desk.now) // MS
        if left <= self._desk.deadlines.rotate_before:
            self._rotate("the session limit is near", max(0, left - GO_AWAY_RESERVE_MS))
        else:
            self.watch_age()

    def _rotate(self, why: str, force_after_ms: int | None = None) -> None:
        """Swap at the next quiet moment, at the latest after `force_after_ms` when given."""
        if self._rotating:
            return
        self._rotating = True
        self._desk.note("noticed", what=f"planned rotation: {why}")
        if force_after_ms is not None:
            self._desk.after("rotate", force_after_ms)
        if self.standby is None:
            self._choose("standby")
        self.rotate_if_quiet()

    def rotate_if_quiet(self) -> None:
        """Swap when nothing is being generated: between exchanges, or while the caller speaks."""
        exchange = self._desk.conversation.open
        standby = self.standby
        if not self._rotating or standby is None or not standby.ready or self.active is None:
            return
        if exchange is not None and exchange.turns_ended:
            return
        self._swap_planned()

    def rotate_now(self) -> None:
        """The timer "rotate": the old session is about to end, quiet or not."""
        if self._rotating and self.active is not None:
            self._swap_planned()

    def _swap_planned(self) -> None:
        old = self.active
        assert old is not None
        self._rotating = False
        self._desk.timers.clear("rotate")
        self._links.close(old, "rotated")
        self._active_lost(old, Fault(FaultClass.PLANNED, "planned rotation"), 0)

    # ------------------------------------------------------------------------------------------------------ the others

    def exclude(self, providers: tuple[str, ...]) -> None:
        """Policy: not one more byte to these."""
        self._excluded.update(providers)
        for link in self._links.all():
            if link.provider in self._excluded:
                self.lost(link, Fault(FaultClass.PLANNED, "excluded by policy"))

    def correct(self, exchange: Exchange) -> None:
        """A barge-in cut audio that the active link was told as heard: tell it the shorter truth."""
        link = self.active
        ref = reply_ref(exchange)
        if link is None or ref not in link.told:
            return
        text = said(exchange, self._asks.heard)
        if text == link.told[ref]:
            return
        link.told[ref] = text
        if link.candidate.capabilities.delete_item:
            self._links.send(link, Forget((ref,)))
            if text:
                self._links.send(link, Seed((Text("assistant", text, ref),)))
        elif link.candidate.capabilities.history_anytime:
            self._links.send(link, Seed((Text("user", f"(The caller interrupted and heard only: “{text}”.)"),)))
