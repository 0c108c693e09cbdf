"""What is heard while no turn is open: whether it is enough speech to open one, and where that one began."""

from __future__ import annotations

from collections import deque

from audio.hearing import Hearing

REACH = 50  # blocks before its onset in which a turn may have begun that did not open at once,
REACH_GAP = 25  # ... silences as long as this included
WINDOW = 8  # blocks of 20 ms looked at to open ...
OPEN = 5  # ... how many of them must be speech
VOICED = 1.5  # ... and how much voice they must hold: a block with a clear pitch counts 1
PITCH_NONE, PITCH_CLEAR = 0.5, 0.8
ABOVE_CEILING_DB = 2.0  # speech opens only this far above what the background does by itself,
MOST_CEILING_DB = 22.0  # which is never taken to be further than this above the floor
PEAK_DROP_DB = 24.0  # speech is no further than this below the turn's loud blocks
_WINDOW_MASK = (1 << WINDOW) - 1


class Opening:
    """Told of every block outside a turn that is speech (`speech`), and of those that are not (`none`) while there is
    `recent` speech (one bit a block) or the echo gate held something back.

    Once `speech` has opened a turn: `onset` is the block in which the speech that opened it began, `begun` the one in
    which the turn began, and `loud` the level of its loud blocks in dB.
    """

    __slots__ = ("_heard", "_hearing", "_near", "begun", "loud", "onset", "recent")

    def __init__(self, hearing: Hearing) -> None:
        self._hearing = hearing
        self.recent = 0
        self._heard: list[tuple[int, float, float]] = []  # block, level, voice of recent speech
        self._near: deque[tuple[int, float]] = deque(maxlen=REACH + WINDOW)  # block, level of what is likely speech
        self.onset = 0
        self.begun = 0
        self.loud = 0.0

    def restart(self) -> None:
        """The line was away."""
        self.recent = 0
        self._near.clear()

    def none(self, block: int) -> None:
        """A block that is no speech, or may be echo."""
        hearing = self._hearing
        if hearing.gated:
            hearing.gated = False
            self._near.append((block, hearing.level))
        self.recent = self.recent << 1 & _WINDOW_MASK

    def speech(self, block: int) -> bool:
        """A block of speech: whether there is enough of it now, voiced, above the background, to open a turn."""
        self.recent = (self.recent << 1 | 1) & _WINDOW_MASK
        hearing, heard = self._hearing, self._heard
        voice = min(1.0, max(0.0, (hearing.pitch() - PITCH_NONE) / (PITCH_CLEAR - PITCH_NONE)))
        heard.append((block, hearing.level, voice))
        self._near.append((block, hearing.level))
        while heard[0][0] <= block - WINDOW:
            del heard[0]
        if self.recent.bit_count() < OPEN or sum(item[2] for item in heard) < VOICED:
            return False
        self.loud = loud = sorted(item[1] for item in heard)[-3]
        background = hearing.background
        if loud < min(background.ceiling, background.floor + MOST_CEILING_DB) + ABOVE_CEILING_DB:
            return False
        if hearing.tone():
            heard.clear()
            self.recent = 0
            return False
        self.onset = heard[0][0]
        self.begun = self._reach_back()
        return True

    def take(self) -> list[tuple[int, float]]:
        """The speech that opened the turn, block and level; forgotten with that."""
        taken = [(block, level) for block, level, _ in self._heard]
        self._heard.clear()
        self._near.clear()
        self.recent = 0
        return taken

    def _reach_back(self) -> int:
        """The block in which the turn began: before its onset, where speech was held back by the echo gate, or because
        it was too little or too much like a tone. What is only likely to be speech cannot open a turn, but it goes with
        one: an echo in front of it does no harm, a word that is missing does."""
        begun, least = self.onset, self.loud - PEAK_DROP_DB
        for block, level in reversed(self._near):
            if block < begun - REACH_GAP or block < self.onset - REACH:
                break
            if level >= least:
                begun = min(begun, block)
        return begun
