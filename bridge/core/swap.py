"""The account of a switch: why, how soon it was noticed, what the caller heard of it, what was said again."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.core.conversation import Exchange
from bridge.core.desk import MS, Desk
from bridge.core.links import Link
from providers.base import Fault


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


class Swaps:
    """`open`: the switch under way; a second failure before it is over is part of it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.open: Swap | None = None

    def begin(self, link: Link, fault: Fault, detection_ms: int, exchange: Exchange | None) -> Swap:
        """`link` is left, `detection_ms` after what is the cause of it."""
        desk = self._desk
        swap = self.open
        if swap is None:
            swap = self.open = Swap(link.provider, fault, desk.now - detection_ms * MS, detection_ms)
        if exchange is not None:
            swap.exchange = exchange.id
            after_ms = desk.spec.agent.bridge_phrase_after_ms
            if after_ms is not None:
                desk.after("bridge", after_ms)
        return swap

    def end(self, link: Link | None, silence_ms: int) -> None:
        """`link` has taken over, with so much silence for the caller."""
        swap = self.open
        if swap is None or link is None:
            return
        self.open = None
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

    def cancel(self) -> bytes:
        """The old link speaks again. Returns what had been cut from its reply."""
        swap, self.open = self.open, None
        return swap.tail if swap is not None else b""
