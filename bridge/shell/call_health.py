"""What one call asks of the health board, and tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bridge.core.effects import Choose, Health
from bridge.core.events import Chosen
from bridge.core.plan import CallSpec
from bridge.shell.health import HealthBoard
from providers.codec import Target


class CallHealth:
    """The board, seen from a call: its candidates, its id, the voices it hears. Times are ns."""

    def __init__(self, board: HealthBoard, spec: CallSpec, targets: Mapping[str, Target]) -> None:
        self._board = board
        self._spec = spec
        self._targets = targets
        self._candidates = [targets[candidate.name] for candidate in spec.plan.candidates]

    def choose(self, action: Choose, now: int) -> Chosen:
        chosen = self._board.choose(
            action.request,
            self._candidates,
            action.purpose,
            action.exclude,
            now,
            self._spec.call_id,
            action.owed,
        )
        if chosen.provider is None:
            return chosen
        return replace(chosen, voice_db=self._board.voice_db(*self._voice_of(chosen.provider)))

    def report(self, action: Health, now: int) -> None:
        target = self._targets[action.provider]
        self._board.report(target, action.fault, action.first_audio_ms, now, action.link_age_ms)
        if action.voice_db is not None:
            self._board.heard(*self._voice_of(action.provider), action.voice_db)

    def leave(self) -> None:
        """The call is over and waits for nothing any more."""
        self._board.leave(self._spec.call_id)

    def _voice_of(self, provider: str) -> tuple[Target, str]:
        return self._targets[provider], self._spec.plan.candidate(provider).voice
