"""Telling a link what it needs to know: history, the open exchange, corrections. `handover` decides the content."""

from __future__ import annotations

from bridge.core.asks import Asks
from bridge.core.conversation import Exchange
from bridge.core.desk import Desk
from bridge.core.handover import Handover, history, remark_ref, reply_ref, said, take_over
from bridge.core.links import Link, Links
from providers.base import Forget, HistoryItem, Seed, Text, ToolUse


class Briefing:
    """Keeps on each link what it was told (`known`, `told`)."""

    def __init__(self, desk: Desk, links: Links, asks: Asks) -> None:
        self._desk = desk
        self._links = links
        self._asks = asks

    def brief(self, link: Link, exchange: Exchange | None) -> int:
        """All a link needs to go on, in one go: settled exchanges it does not know, then the open one with its ask.
        Returns how much caller speech was sent again, ms."""
        desk = self._desk
        caps = link.candidate.capabilities
        exchanges = desk.conversation.exchanges
        settled = [past for past in exchanges[link.known :] if past is not exchange]
        items = history(settled, caps, desk.tape, desk.ledger, self._asks.heard)
        link.known = len(exchanges)
        if exchange is None:
            self._seed(link, items)
            return 0
        plan = take_over(exchange, caps, desk.tape, desk.ledger, self._asks.heard)
        self._seed(link, [*items, *plan.seed])
        replayed_ms = self._replay(link, plan)
        if exchange.turns_ended:
            self._asks.ask(link, exchange, plan.instructions, plan.continuation)
        return replayed_ms

    def update(self, link: Link) -> None:
        """Every exchange since, whose heard reply is final, to a link that waits."""
        fresh: list[Exchange] = []
        for exchange in self._desk.conversation.exchanges[link.known :]:
            if exchange.state == "open" or not all(reply.final or reply.void for reply in exchange.replies):
                break
            fresh.append(exchange)
        if fresh:
            link.known += len(fresh)
            caps = link.candidate.capabilities
            self._seed(link, history(fresh, caps, self._desk.tape, self._desk.ledger, self._asks.heard))

    def correct(self, link: Link | None, exchange: Exchange) -> None:
        """A barge-in cut audio that the link was told as heard: tell it the shorter truth."""
        if link is None:
            return
        ref = remark_ref(exchange) if remark_ref(exchange) in link.told else reply_ref(exchange)
        if ref not in link.told:
            return
        text = said(exchange, self._asks.heard)
        if text == link.told[ref]:
            return
        link.told[ref] = text
        if link.candidate.capabilities.delete_item and ref == reply_ref(exchange):
            self._links.send(link, Forget((ref,)))
            if text:
                self._links.send(link, Seed((Text("assistant", text, ref),)))
        elif link.candidate.capabilities.history_anytime:
            heard = f"heard only: “{text}”" if text else "heard nothing of your answer"
            self._links.send(link, Seed((Text("user", f"(The caller interrupted and {heard}.)"),)))

    def _seed(self, link: Link, items: list[HistoryItem]) -> None:
        if not items:
            return
        for item in items:
            if isinstance(item, ToolUse):
                self._desk.ledger.calls[int(item.call_id.removeprefix("segue"))].told.add(link.number)
            elif isinstance(item, Text) and item.ref:
                link.told[item.ref] = item.text
        self._links.send(link, Seed(tuple(items)))

    def _replay(self, link: Link, plan: Handover) -> int:
        """The caller's turns again, from the tape; live frames follow an open one. Returns ms of speech."""
        desk = self._desk
        separate = link.candidate.capabilities.explicit_ask
        replayed = sum(len(getattr(item, "data", b"")) for item in plan.seed)
        for index, turn in enumerate(plan.turns):
            last = index == len(plan.turns) - 1
            if index == 0 or separate:
                self._links.begin_turn(link, turn.id)
            data = desk.tape.read(turn.began, turn.ended)
            replayed += len(data)
            if turn.began < desk.tape.start:
                missing = desk.ms(desk.tape.start - turn.began)
                desk.note("noticed", what=f"the first {missing} ms of the turn are off the tape")
            self._links.audio(link, data)
            if turn.ended is None:
                link.turn = turn.id
            elif last or separate:
                self._links.end_turn(link, turn.id)
        return int(desk.spec.leg.ms(replayed))
