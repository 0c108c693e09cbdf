"""Asking the shared health board who may be dialled, one question of a kind at a time."""

from __future__ import annotations

from typing import Literal

from bridge.core.desk import Desk
from bridge.core.effects import Choose
from bridge.core.events import Chosen

Purpose = Literal["call", "handover", "standby", "back", "beside"]
PRIORITY: dict[Purpose, Literal["call", "handover", "standby", "probe"]] = {
    "call": "call",
    "handover": "handover",
    "standby": "standby",
    "back": "probe",
    "beside": "handover",  # a standby for a caller who is waiting
}


class Chooser:
    """`excluded`: providers that policy forbids from now on."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._open: dict[int, Purpose] = {}
        self._count = 0
        self.excluded: set[str] = set()

    def ask(self, purpose: Purpose, avoid: set[str] | None = None, owed: bool = False) -> None:
        """Ask for a provider; nothing happens while the same question is open. `owed`: the caller waits for an
        answer."""
        if purpose in self._open.values():
            return
        self._count += 1
        self._open[self._count] = purpose
        self._desk.do(Choose(self._count, PRIORITY[purpose], tuple(sorted(self.excluded | (avoid or set()))), owed))

    def answer(self, event: Chosen) -> tuple[Purpose, str | None] | None:
        """What the answer was asked for, and the provider if it may (still) be used; None for an unknown question."""
        purpose = self._open.pop(event.request, None)
        if purpose is None:
            return None
        return purpose, None if event.provider in self.excluded else event.provider
