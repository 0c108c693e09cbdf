"""The far-end gate: is what the caller's line carries more than the agent coming back?"""

from __future__ import annotations

from collections import deque

from audio.frame import Pcm
from audio.levels import SILENT, level_db

BLOCK_MS = 20
SPAN_BLOCKS = 20  # 100 ms that audio may be handed over early, plus 280 ms of echo path
MARGIN_DB = 8.0


class EchoGate:
    """Keeps the level of the agent audio that was played and how strongly it comes back.

    `coupling` is the near level minus the loudest far level of the last `SPAN_BLOCKS` blocks, learned as a high
    percentile from blocks where the far end is loud. It starts at -16 dB (a phone on speaker returns 16 to 26 dB less)
    and may only learn downwards quickly, upwards slowly.
    """

    __slots__ = ("_far", "coupling", "far_db")

    def __init__(self) -> None:
        self._far: deque[float] = deque([SILENT] * SPAN_BLOCKS, maxlen=SPAN_BLOCKS)
        self.coupling = -16.0
        self.far_db = SILENT

    def played(self, pcm: Pcm) -> None:
        """The agent audio of the next block (int16)."""
        self._far.append(level_db(pcm))
        self.far_db = max(self._far)

    def idle(self) -> None:
        """A block in which the agent played nothing."""
        if self.far_db > SILENT:
            self._far.append(SILENT)
            self.far_db = max(self._far)

    def passes(self, near_db: float) -> bool:
        """Whether a block this loud is more than echo."""
        return near_db > self.far_db + self.coupling + MARGIN_DB
