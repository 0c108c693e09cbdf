"""A turn on a line whose background gets about as loud as the caller: which sound still belongs to the turn, and since
when none of it was strong enough to be the caller's."""

from __future__ import annotations

from audio.hearing import Hearing
from audio.opening import ABOVE_CEILING_DB

NOISY_ABOVE_DB = 20.0  # a line is noisy when speech rises no further than this above a restless background's ceiling
RESTLESS_DROP_DB = 18.0  # within reach of a restless background speech is no further than this below the loud blocks;
RESTLESS_TOP_DB = 10.0  # ... that reach ends this far above its ceiling
ALIKE_DB = 5.0  # less than this above a restless background's ceiling, sound is speech only with a voice:
HELD_PITCH = 0.6  # a pitch as clear as this ...
VOICED_BLOCKS = 3  # ... twice, so many blocks apart at most, ...
HELD_BLOCKS = 5  # ... no longer ago than this
STRONG_DB = 9.0  # on a noisy line a turn ends without speech this close to its peak, ...
STRONGEST_DB = 5.5  # or above the ceiling where that is closer, but no closer than this


class Masked:
    """Told of the blocks of speech of one turn after the other; `strong` is the block after the last one that is as
    strong as the caller must be now and then."""

    __slots__ = ("_hearing", "_voice", "_voiced", "strong")

    def __init__(self, hearing: Hearing) -> None:
        self._hearing = hearing
        self._voiced = 0  # the last block with a clear pitch
        self._voice = 0  # the last one that had another one before it
        self.strong = 0

    def begin(self, block: int) -> None:
        """A turn opened with the block before `block`."""
        self.strong = self._voice = block
        self._voiced = block - 1

    def missing(self) -> None:
        """A concealed block: time stands still."""
        self.strong += 1
        self._voiced += 1

    def belongs(self, block: int, level: float, peak: float) -> bool:
        """Whether a block of speech of `level` dB belongs to the turn, before a restless background. `peak`: the level
        of the turn's loud blocks."""
        ceiling = self._hearing.background.ceiling
        if level < min(peak - RESTLESS_DROP_DB, ceiling + RESTLESS_TOP_DB):
            return False
        if level < ceiling + ALIKE_DB and not self._voiced_lately(block):
            return False
        if level > min(max(peak - STRONG_DB, ceiling + ABOVE_CEILING_DB), peak - STRONGEST_DB):
            self.strong = block + 1
        return True

    def noisy(self, peak: float) -> bool:
        """Whether the background can be mistaken for the turn's own speech."""
        background = self._hearing.background
        return background.restless and peak < background.ceiling + NOISY_ABOVE_DB

    def _voiced_lately(self, block: int) -> bool:
        if self._hearing.pitch() > HELD_PITCH:
            if block - self._voiced <= VOICED_BLOCKS:
                self._voice = block
            self._voiced = block
        return block - self._voice <= HELD_BLOCKS
