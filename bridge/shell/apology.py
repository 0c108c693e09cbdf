"""The last words of a call whose core has failed: a phrase, played without any decision being left to make."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from audio.frame import Format
from bridge.shell.leg import Leg
from bridge.shell.pacer import SLOT, Pacer, Voice


class Apology:
    """Plays `phrase` (the leg's wire form; may be empty) after what was already sent, then calls `done` once. A leg
    that raises ends it early."""

    def __init__(self, phrase: bytes, leg: Leg, format: Format, pacer: Pacer, voice: Voice, done: Callable[[], None]):
        frame = format.bytes_for(20)
        self._frames = deque(phrase[at : at + frame] for at in range(0, len(phrase), frame))
        self._leg = leg
        self._pacer = pacer
        self._voice = voice
        self._done = done
        self._loop = asyncio.get_running_loop()
        voice.pull = self._pull

    def start(self) -> None:
        self._pacer.start(self._voice)
        if not self._frames:
            self._end()

    def _pull(self, frames: int) -> None:
        try:
            for _ in range(min(frames, len(self._frames))):
                self._leg.send(self._frames.popleft())
                self._voice.sent(SLOT, round(self._loop.time() * 1e9))
        except Exception:  # whatever is wrong with the leg, there is nobody left to tell
            self._frames.clear()
        if not self._frames:
            self._end()

    def _end(self) -> None:
        if self._voice.playing:
            self._pacer.stop(self._voice)
            self._loop.call_at(self._voice.until / 1e9, self._done)
