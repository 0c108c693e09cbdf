"""How a turn has been spoken so far, and from that how long a silence ends it.

Every detector lies on one curve of end latency against cut turns, set by the pauses of callers. What moves off the
curve is that people who have finished sound different from people who pause: they have spoken for a while without long
gaps, with many syllables a second, and their last word is weaker than the ones before. Somebody reading out a number,
or searching for words, speaks few syllables a second, stops after a short start or a loud word, and has paused before.
"""

from __future__ import annotations

from audio.levels import SILENT

BLOCK_S = 0.02
JOINED = 3  # blocks: a shorter silence does not separate two stretches of speech
WINDOW = 75  # blocks (1.5 s) in which syllables are counted
DIP_DB = 4.0  # the level falls by this much after a syllable and rises by it again with the next
SHORT_S = 1.9
# Weights of the log-odds that the turn is over; fitted on pauses of 0.4 s or more and ends of turns (docs/ears.md).
PER_SYLLABLE = 0.32
MOST_SYLLABLES = 8
SHORT = -2.11
PER_DB = -0.051
PER_GAP_S = -2.62
BIAS = 1.08
# A number that is read out: a group of few syllables, a pause, and another one. Its third group is likely its last.
GROUP_GAP = 16  # blocks
SHORTEST_GROUP, LONGEST_GROUP = 40, 115
ALIKE = 20  # blocks
GROUP_SYLLABLES = 5
IN_GROUPS = -0.1  # the turn is no more likely to be over than this


class Pace:
    """Stretches and syllables of one turn; `note` is called for each block of speech, `block` counts blocks."""

    __slots__ = (
        "_before",
        "_extreme",
        "_first",
        "_gap",
        "_group",
        "_last",
        "_loud",
        "_one",
        "_pauses",
        "_peak",
        "_rising",
        "_spoken",
        "_syllables",
    )

    def __init__(self) -> None:
        self._syllables: list[int] = []  # the block after which each one's level fell
        self._first = 0
        self._last = 0
        self._gap = 0
        self._pauses = 0  # as long as between groups of digits
        self._one = 0  # how long the group before the last of them was
        self._group = 0  # the block in which the one after it began
        self._peak = SILENT
        self._loud = 0.0
        self._spoken = 0
        self._rising = False
        self._before = SILENT
        self._extreme = SILENT

    def begin(self, block: int) -> None:
        """A turn opens with its first speech in `block`."""
        self._syllables.clear()
        self._first = block
        self._last = block - JOINED - 1
        self._gap = 0
        self._pauses = 0
        self._group = block
        self._loud = 0.0
        self._spoken = 0
        self._rising = False

    def note(self, block: int, level: float) -> None:
        """`block` is speech of `level` dB."""
        gap = block - self._last - 1
        if gap:
            self._pause(gap, level)
        elif level > self._peak:
            self._peak = level
        self._last = block
        self._loud += level
        self._spoken += 1
        smooth = 0.5 * (level + self._before)
        self._before = level
        if self._rising:
            if smooth > self._extreme:
                self._extreme = smooth
            elif smooth < self._extreme - DIP_DB:
                self._syllables.append(block)
                self._rising = False
                self._extreme = smooth
        elif smooth < self._extreme:
            self._extreme = smooth
        elif smooth > self._extreme + DIP_DB:
            self._rising = True
            self._extreme = smooth

    def _pause(self, gap: int, level: float) -> None:
        """A silence of `gap` blocks before a block of `level` dB ends a syllable, and a longer one a stretch."""
        if self._rising:
            self._syllables.append(self._last)
        self._rising = True
        self._extreme = self._before = level
        if gap < JOINED:
            self._peak = max(self._peak, level)
            return
        if self._spoken:
            self._gap = max(self._gap, gap)
            if gap >= GROUP_GAP:
                self._pauses += 1
                self._one = self._last - self._group
                self._group = self._last + gap + 1
        self._peak = level

    def finished(self) -> float:
        """Log-odds that the silence after the last stretch is the end of the turn rather than a pause."""
        since = self._last - WINDOW
        syllables = sum(1 for block in self._syllables if block > since) + self._rising
        score = BIAS + PER_SYLLABLE * min(syllables, MOST_SYLLABLES)
        score += PER_DB * min(self._peak - self._loud / self._spoken, 12.0)
        score += PER_GAP_S * min(self._gap * BLOCK_S, 1.0)
        if (self._last - self._first) * BLOCK_S < SHORT_S:
            score += SHORT
        return min(score, IN_GROUPS) if syllables <= GROUP_SYLLABLES and self._two_groups() else score

    def _two_groups(self) -> bool:
        """Whether two groups have been said that are about as long as each other and as some digits."""
        two = self._last - self._group
        return (
            self._pauses == 1
            and min(self._one, two) >= SHORTEST_GROUP
            and max(self._one, two) <= LONGEST_GROUP
            and abs(self._one - two) <= ALIKE
        )
