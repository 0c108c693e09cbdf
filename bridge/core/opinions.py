"""Asking somebody who understands speech whether the caller's turn is over (`turns.opinion`)."""

from __future__ import annotations

from audio.turns import TurnDetector
from bridge.core.desk import Desk
from bridge.core.effects import AskOpinion
from bridge.core.events import Opinion

SOUND_MS = 8000
"""Of the caller, given with each question."""


class Opinions:
    """Asks once in each pause that lasts; an answer counts in the pause it was asked for, and no later."""

    def __init__(self, desk: Desk, ears: TurnDetector) -> None:
        self._desk = desk
        self._ears = ears
        self._request = 0
        self._asked = False  # in the pause that goes on

    def look(self) -> None:
        """After a frame of the caller."""
        if not self._ears.wants_opinion:
            self._asked = False
        elif not self._asked:
            self._asked = True
            self._request += 1
            tape = self._desk.tape
            self._desk.do(AskOpinion(self._request, tape.read(tape.end - self._desk.samples(SOUND_MS))))

    def told(self, event: Opinion) -> None:
        desk = self._desk
        if event.problem:
            desk.note("noticed", what=f"no opinion on the turn: {event.problem}")
        if event.complete is None:
            return
        timely = self._asked and event.request == self._request and self._ears.wants_opinion
        desk.note("opinion", complete=event.complete, timely=timely)
        if timely:
            self._ears.opinion(event.complete)
