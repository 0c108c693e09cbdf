"""Who waits for a connection, in which order. No I/O; times are ns.

A call that may not dial yet gets a place. It is told when its turn comes, goes away, and comes back then; what those
before it will have taken by that time is reckoned when it asks. A place that is not claimed is given up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bridge.shell.breaker import SECOND
from providers.codec import Target

Purpose = Literal["call", "handover", "standby", "probe"]
Scope = Literal["endpoint", "account", "credential", "model"]
Key = tuple[str, ...]
Door = tuple[Target, Mapping[Scope, Key]]
"""A candidate and the keys of what may keep it shut."""

LOOK: Mapping[Purpose, int] = {"call": 5 * SECOND, "handover": 5 * SECOND, "standby": 20 * SECOND}
"""Who is told to wait for longer looks in this often, or up to a fifth sooner: those before it may have hung up. A
probe has no place; it is an attempt that can as well be made some other time."""

GRACE = 2 * SECOND
"""How long after the time it was told a place is kept."""

YIELD = SECOND // 2
"""When an account is dialled by many calls at once, a running one whose caller does not wait for an answer steps aside
for so long, once: calls lose their provider in no order, and the connections left are for callers who wait."""

OWED = 0
RANKS: Mapping[Purpose, int] = {"handover": 1, "call": 2, "standby": 3, "probe": 3}
"""Who comes first. Before all, at `OWED`: a running call whose caller is waiting for an answer."""


def rank_of(purpose: Purpose, owed: bool) -> int:
    return OWED if owed and purpose == "handover" else RANKS[purpose]


@dataclass(slots=True)
class Place:
    """`since`: when the call came for its caller's sake; `numbers`: its turn in each rank it has been in; `doors`: what
    it would take; `until`: the place is given up after that."""

    since: int
    rank: int
    numbers: dict[int, int]
    share: float
    doors: Sequence[Door]
    until: int

    @property
    def order(self) -> tuple[int, int]:
        return self.rank, self.numbers[self.rank]


class Line:
    """One place for each call. Within a rank, who came into it first is first; who changes rank and back, because its
    caller speaks again, has lost nothing."""

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}
        self._count = 0

    def ahead(self, call: str, rank: int, now: int) -> list[Place]:
        """The places before that of `call`, who asks with `rank`; first one first."""
        if not self._places:
            return []
        for other in [other for other, place in self._places.items() if place.until < now]:
            del self._places[other]
        own = self._places.get(call)
        mine = rank, self._count + 1 if own is None else own.numbers.get(rank, self._count + 1)
        before = [place for other, place in self._places.items() if other != call and place.order < mine]
        before.sort(key=lambda place: place.order)
        return before

    def stand(self, call: str, rank: int, share: float, doors: Sequence[Door], now: int, until: int) -> None:
        """Take a place, or keep it."""
        own = self._places.get(call)
        numbers = {} if own is None else own.numbers
        since = now if own is None or own.rank == RANKS["standby"] else own.since
        if rank not in numbers:
            self._count += 1
            numbers[rank] = self._count
        self._places[call] = Place(since, rank, numbers, share, doors, until)

    def aside(self, call: str, now: int) -> int:
        """How long the call, which nobody waits for, is to step aside when there is a rush, in ns."""
        own = self._places.get(call)
        if own is None or own.rank == RANKS["standby"]:
            return YIELD
        return max(0, own.since + YIELD - now)

    def leave(self, call: str) -> None:
        self._places.pop(call, None)
