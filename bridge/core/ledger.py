"""Every tool call of a call, by our own numbers: executed at most once, whoever asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

CallState = Literal["running", "done", "cancelled"]


@dataclass(slots=True)
class Waiter:
    """A provider's own name for a call: where its result goes."""

    link: int
    ask: int
    call_id: str
    delivered_ns: int | None = None

    @property
    def delivered(self) -> bool:
        return self.delivered_ns is not None

    def delivered_after(self, now: int) -> bool:
        """Not delivered, or only after `now`."""
        return self.delivered_ns is None or self.delivered_ns > now


@dataclass(slots=True)
class ToolCall:
    """One execution. `number` with the call id is the idempotency key. `told` names links that got the result, or the
    note that it is running, with their history."""

    number: int
    exchange: int
    name: str
    arguments: str
    began_ns: int
    state: CallState = "running"
    output: str = ""
    waiters: list[Waiter] = field(default_factory=list)
    told: set[int] = field(default_factory=set)


class Ledger:
    """Tool calls in the order they were made."""

    def __init__(self) -> None:
        self.calls: dict[int, ToolCall] = {}

    def add(self, exchange: int, name: str, arguments: str, now: int) -> ToolCall:
        call = ToolCall(len(self.calls) + 1, exchange, name, arguments, now)
        self.calls[call.number] = call
        return call

    def same(self, exchange: int, name: str, link: int, ask: int, asked_ns: int) -> ToolCall | None:
        """The call this one repeats: of that name in this exchange, made by another link, or by this one for an earlier
        ask whose result it did not have when it was asked again. Models word arguments differently, so the name
        decides."""
        for call in self.calls.values():
            if call.exchange == exchange and call.name == name:
                mine = [waiter for waiter in call.waiters if waiter.link == link]
                if all(waiter.ask != ask and waiter.delivered_after(asked_ns) for waiter in mine):
                    return call
        return None

    def running(self, exchange: int) -> list[ToolCall]:
        return [call for call in self.calls.values() if call.exchange == exchange and call.state == "running"]

    def done(self, exchange: int) -> list[ToolCall]:
        return [call for call in self.calls.values() if call.exchange == exchange and call.state == "done"]

    def owed(self, link: int, ask: int) -> list[ToolCall]:
        """Calls of this ask that the link has no result for yet."""
        return [
            call
            for call in self.calls.values()
            for waiter in call.waiters
            if waiter.link == link and waiter.ask == ask and not waiter.delivered
        ]

    def find(self, call_id: str, link: int) -> ToolCall | None:
        for call in self.calls.values():
            if any(waiter.link == link and waiter.call_id == call_id for waiter in call.waiters):
                return call
        return None
