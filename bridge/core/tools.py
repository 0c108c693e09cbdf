"""Tools of a call: run once, answered to whoever is active."""

from __future__ import annotations

from bridge.core.asks import Asks
from bridge.core.conversation import Exchange, Reply
from bridge.core.desk import MS, Desk
from bridge.core.effects import RunTool
from bridge.core.events import ToolDone
from bridge.core.ledger import ToolCall, Waiter
from bridge.core.links import Link, Links
from bridge.core.plan import Tool
from providers.base import Seed, ToolCalled, ToolOutput, ToolUse

HANG_UP = "hang_up"


class Tools:
    """Executes through effects; the ledger decides whether a call is new."""

    def __init__(self, desk: Desk, links: Links, asks: Asks) -> None:
        self._desk = desk
        self._links = links
        self._asks = asks
        self._known = {tool.spec.name: tool for tool in desk.spec.agent.tools}
        self.hang_up = False

    def called(self, link: Link, exchange: Exchange, reply: Reply, event: ToolCalled) -> None:
        """The model wants a tool. A repeat of what a former link of this exchange asked for is answered from the
        ledger unless the tool may be repeated."""
        desk = self._desk
        if event.name == HANG_UP:
            self.hang_up = True
            desk.note("tool_called", call=0, name=HANG_UP, provider=link.provider)
            return
        tool = self._known.get(event.name)
        call = self._repeated(tool, exchange, event.name, reply)
        if call is None:
            call = desk.ledger.add(exchange.id, event.name, event.arguments, desk.now)
            exchange.calls.append(call.number)
            desk.note("tool_called", call=call.number, name=event.name, provider=link.provider)
            if tool is None:
                call.state, call.output = "done", '{"error":"there is no tool of this name"}'
            else:
                key = f"{desk.spec.call_id}-{call.number}"
                desk.do(RunTool(call.number, event.name, event.arguments, key))
        call.waiters.append(Waiter(link.number, reply.ask, event.call_id))
        reply.calls.append(call.number)
        if call.state == "done":
            self._deliver(call)

    def _repeated(self, tool: Tool | None, exchange: Exchange, name: str, reply: Reply) -> ToolCall | None:
        if tool is not None and (tool.repeatable or not tool.side_effects):
            return None
        return self._desk.ledger.same(exchange.id, name, reply.link, reply.ask, reply.asked_ns)

    def cancelled(self, link: Link, call_ids: tuple[str, ...]) -> None:
        """The provider withdrew calls: what runs goes on, its result is not sent there."""
        for call_id in call_ids:
            call = self._desk.ledger.find(call_id, link.number)
            if call is not None:
                for waiter in call.waiters:
                    if waiter.call_id == call_id:
                        waiter.delivered_ns = self._desk.now

    def done(self, event: ToolDone) -> ToolCall | None:
        """A tool finished. Returns its call, None for one that is not running."""
        call = self._desk.ledger.calls.get(event.call)
        if call is None or call.state != "running":
            return None
        call.state, call.output = "done", event.output
        self._desk.note(
            "tool_done", call=call.number, status=event.status, after_ms=(self._desk.now - call.began_ns) // MS
        )
        self._deliver(call)
        return call

    def _deliver(self, call: ToolCall) -> None:
        for waiter in call.waiters:
            link = self._links.get(waiter.link)
            if not waiter.delivered and link is not None and link.ready:
                self._links.send(link, ToolOutput(waiter.call_id, call.name, call.output))
                call.told.add(link.number)
            if waiter.delivered_ns is None:
                waiter.delivered_ns = self._desk.now

    def owed(self, reply: Reply) -> bool:
        """Is a result still owed to the link that made this reply?"""
        return bool(self._desk.ledger.owed(reply.link, reply.ask))

    def untold(self, exchange: Exchange, link: Link) -> list[ToolCall]:
        """Finished calls of the exchange whose result this link only knows as running."""
        return [
            call
            for call in self._desk.ledger.done(exchange.id)
            if link.number not in call.told and f"c{call.number}r" in link.told
        ]

    def tell(self, exchange: Exchange, link: Link) -> bool:
        """Give the link results that came after it took over; True when there were any (ask again then)."""
        calls = self.untold(exchange, link)
        for call in calls:
            call.told.add(link.number)
            item = ToolUse(f"segue{call.number}", call.name, call.arguments, call.output, f"c{call.number}")
            self._links.send(link, Seed((item,)))
        return bool(calls)
