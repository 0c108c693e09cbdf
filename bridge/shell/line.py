"""Who waits for a connection, in which order. No I/O; times are ns.

A call that may not dial yet gets a place. It is told when its turn comes, goes away, and comes back then; what those
before it will have taken by that time is reckoned when it asks. A place that is not claimed is given up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bridge.shell.breaker import SECOND
from providers.base import Target

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

OWED = 0
RANKS: Mapping[Purpose, int] = {"handover": 1, "call": 2, "standby": 3, "probe": 3}
"""Who comes first. Before all, at `OWED`: a running call whose caller is waiting for an answer."""


def rank_of(purpose: Purpose, owed: bool) -> int:
    return OWED if owed and purpose == "handover" else RANKS[purpose]


@dataclass(slots=True)
class Place:
    """`doors`: what the call would take; `until`: it is given up after that."""

    rank: int
    number: int
    share: float
    doors: Sequence[Door]
    until: int


class Line:
    """One place for each call. Within a rank, who came first is first; who is moved up or down as a caller keeps the
    number it came with, so that waiting is not lost."""

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._places)

    def ahead(self, call: str, rank: int, now: int) -> list[Place]:
        """The places before that of `call`, who asks with `rank`; first one first."""
        if not self._places:
            return []
        for other in [other for other, place in self._places.items() if place.until < now]:
            del self._places[other]
        mine = rank, self._number(call, rank)
        before = [
            place for other, place in self._places.items() if other != call and (place.rank, place.number) < mine
        ]
        before.sort(key=lambda place: (place.rank, place.number))
        return before

    def stand(self, call: str, rank: int, share: float, doors: Sequence[Door], until: int) -> None:
        """Take a place, or keep it."""
        number = self._number(call, rank)
        self._count = max(self._count, number)
        self._places[call] = Place(rank, number, share, doors, until)

    def leave(self, call: str) -> None:
        self._places.pop(call, None)

    def _number(self, call: str, rank: int) -> int:
        old = self._places.get(call)
        if old is not None and (old.rank == rank or max(old.rank, rank) < RANKS["standby"]):
            return old.number
        return self._count + 1
