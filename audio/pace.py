"""How a turn has been spoken so far, and from that how long a silence ends it.

Every detector lies on one curve of end latency against cut turns, set by the pauses of callers. What moves off the
curve is that people who have finished sound different from people who pause: they have spoken for a while without long
gaps, in many short stretches (fluent speech), and their last word is weaker than the ones before. Somebody reading out
a number, or searching for words, stops after a short start or a loud word, and has paused before.
"""

from __future__ import annotations

from audio.levels import SILENT

BLOCK_S = 0.02
JOINED = 3  # blocks: a shorter silence does not separate two stretches of speech
WINDOW = 75  # blocks (1.5 s) in which stretches are counted
SHORT_S = 1.9
WORD_S = 0.55  # no single word is longer
# Weights of the log-odds that the turn is over; fitted on pauses of 0.4 s or more and ends of turns (docs/ears.md).
PER_STRETCH = 0.69
MOST_STRETCHES = 5
SHORT = -1.77
PER_DB = -0.082
PER_GAP_S = -2.16
BIAS = 0.65


class Pace:
    """Stretches of speech within one turn; `note` is called for each block of speech, `block` counts blocks."""

    __slots__ = ("_first", "_gap", "_last", "_longest", "_loud", "_peak", "_spoken", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._first = 0
        self._last = 0
        self._gap = 0
        self._longest = 0
        self._peak = SILENT
        self._loud = 0.0
        self._spoken = 0

    def begin(self, block: int) -> None:
        """A turn opens with its first speech in `block`."""
        self._starts.clear()
        self._first = block
        self._last = block - JOINED - 1
        self._gap = 0
        self._longest = 0
        self._loud = 0.0
        self._spoken = 0

    def note(self, block: int, level: float) -> None:
        """`block` is speech of `level` dB."""
        gap = block - self._last - 1
        self._last = block
        self._loud += level
        self._spoken += 1
        if gap < JOINED:
            if level > self._peak:
                self._peak = level
            return
        if self._starts:
            self._longest = max(self._longest, block - gap - self._starts[-1])
            self._gap = max(self._gap, gap)
        self._starts.append(block)
        self._peak = level

    @property
    def listed(self) -> bool:
        """Nothing but single words so far: digits, letters, items of a list."""
        return max(self._longest, self._last + 1 - self._starts[-1]) * BLOCK_S < WORD_S

    def finished(self) -> float:
        """Log-odds that the silence after the last stretch is the end of the turn rather than a pause."""
        since = self._last - WINDOW
        stretches = sum(1 for start in self._starts if start > since) or 1
        score = BIAS + PER_STRETCH * min(stretches, MOST_STRETCHES)
        score += PER_DB * min(self._peak - self._loud / self._spoken, 12.0)
        score += PER_GAP_S * min(self._gap * BLOCK_S, 1.0)
        if (self._last - self._first) * BLOCK_S < SHORT_S:
            score += SHORT
        return score
