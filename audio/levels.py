"""Loudness of short blocks and the noise floor under them, in dB (a square wave at full scale is 0)."""

from __future__ import annotations

import math

import numpy as np

from audio.frame import Pcm

SILENT = -96.0  # what a block of digital silence measures
_FULL_SCALE = 32768.0 * 32768.0


def level_db(pcm: Pcm) -> float:
    """Mean power of `pcm` (int16, any length) in dBFS, `SILENT` for digital silence or an empty block."""
    if not len(pcm):
        return SILENT
    samples = pcm.astype(np.float32)
    power = float(np.dot(samples, samples)) / (len(samples) * _FULL_SCALE)
    return 10.0 * math.log10(power) if power > 2.6e-10 else SILENT


class NoiseFloor:
    """A low percentile of the block level over the last seconds: falls at once, rises slowly.

    It is kept as the quietest block of each of the last `slots` stretches of `stretch` blocks; their second lowest is
    the floor, so that one dropout does not pull it down. Digital silence (a muted line, discontinuous transmission)
    says nothing of the noise under speech and is left out.
    """

    __slots__ = ("_count", "_lowest", "_slots", "_stretch", "db")

    def __init__(self, start_db: float = -55.0, slots: int = 8, stretch: int = 20) -> None:
        self.db = start_db
        self._slots = [start_db] * slots
        self._stretch = stretch
        self._lowest = 0.0
        self._count = 0

    def push(self, db: float) -> None:
        """Counts one block in."""
        if db <= SILENT:
            return
        if db < self._lowest:
            self._lowest = db
            if db < self.db:
                self.db = db
        self._count += 1
        if self._count >= self._stretch:
            self._slots.pop(0)
            self._slots.append(self._lowest)
            self.db = sorted(self._slots)[1]
            self._lowest = 0.0
            self._count = 0
