"""Loudness of short blocks in dB (a square wave at full scale is 0), and what the line sounds like without speech."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from audio.frame import Pcm

SILENT = -96.0  # what a block of digital silence measures
SMALLEST = 2.6e-10
FULL_SCALE = 32768.0 * 32768.0
ACTIVE_DB = 15.0  # this far below the loud steps of speech is a pause
LOWEST = 6  # x 50 Hz: a telephone line need not pass on what is below
AUDIBLE = 35.0  # dB above 1 LSB rms (-55 dB of full scale): what stays below is no speech


def level_db(pcm: Pcm) -> float:
    """Mean power of `pcm` (int16, any length) in dB, `SILENT` for digital silence or an empty block."""
    if not len(pcm):
        return SILENT
    wave = pcm.astype(np.float32)
    return to_db(float(wave.dot(wave)), len(pcm))


def upper_level_db(pcm: Pcm) -> float:
    """The same of what 20 ms of `pcm` (int16) hold above 280 Hz or so, which any telephone line passes on."""
    wave = pcm.astype(np.float32)
    return to_db(float(wave.dot(wave)) - low_power(wave), len(pcm))


def low_power(wave: NDArray[np.float32]) -> float:
    """The part of 20 ms' sum of squares that lies below 280 Hz or so."""
    low = _low_rows(len(wave)).dot(wave)
    return float(low.dot(low))


@cache
def _low_rows(size: int) -> NDArray[np.float32]:
    """Sines and cosines of 0 to 250 Hz in 20 ms of `size` samples, each of power 1."""
    angle = 2 * np.pi * np.arange(LOWEST)[:, None] * np.arange(size) / size
    rows: NDArray[np.float64] = np.concatenate([np.cos(angle), np.sin(angle[1:])]) * (2.0 / size) ** 0.5
    rows[0] /= 2.0**0.5
    return rows.astype(np.float32)


def to_db(power: float, samples: int) -> float:
    """`power`: the sum of squares of `samples` int16 samples."""
    mean = power / (samples * FULL_SCALE)
    return 10.0 * math.log10(mean) if mean > SMALLEST else SILENT


def speech_level(levels: bytes) -> tuple[float, int]:
    """How loud speech is, from levels of 20 ms steps (one byte each, dB above 1 LSB rms): the mean power of the steps
    within `ACTIVE_DB` of the loud ones, in the dB of the steps, and how many steps those are. (0.0, 0) where nothing
    is loud enough to be speech. The idea of ITU-T P.56: pauses do not count.
    """
    steps = np.frombuffer(levels, dtype=np.uint8)
    if not len(steps):
        return 0.0, 0
    loud = float(np.sort(steps)[(len(steps) * 19) // 20])
    if loud < AUDIBLE:
        return 0.0, 0
    active = steps[steps > loud - ACTIVE_DB]
    return 10.0 * math.log10(float(np.mean(10.0 ** (active / 10.0)))), len(active)


STRETCH = 20  # blocks
QUIET = 8  # stretches
LONG = 20  # within a turn: fluent speech hardly lets the floor be heard
LOUD = 20
KNOWN = 3  # stretches after which the ceiling is known
ONSET = 8  # blocks before a turn opens that may already be its speech
RESTLESS_DB = 8.0
GUESS = -55.0  # the floor of a line of which nothing is known


class Background:
    """The noise under the speech: `floor` is its quiet side, `ceiling` how loud it gets by itself.

    Both are learned from stretches of 400 ms. The floor is the second quietest of the last 3.2 s (8 s in a turn),
    speech or not: it falls with the first quieter block and rises slowly. The ceiling is the upper quartile of the
    loudest blocks of the last 8 s without a turn, or in a turn but far below its speech (`reach`): where voices in the
    background open a turn by themselves, nothing else would tell them from the caller's. Digital silence (a muted
    line, discontinuous transmission) says nothing of the noise under speech and is left out.
    """

    __slots__ = ("_blocks", "_known", "_loud", "_lowest", "_quiet", "ceiling", "floor", "highest", "reach")

    def __init__(self) -> None:
        self.floor = GUESS
        self.ceiling = GUESS
        self._quiet = [GUESS] * 2
        self._known = 0
        self._loud: list[float] = []
        self._lowest = 0.0
        self.highest = SILENT
        self.reach = 0.0
        self._blocks = 0

    def push(self, level: float, turn: bool) -> None:
        """Counts one block in; `turn`: one is open. Whoever knows that a block holds no echo raises `highest`."""
        if level < self._lowest and level > SILENT:
            self._lowest = level
            if level < self.floor:
                self.floor = level
        self._blocks = blocks = self._blocks + 1
        if blocks == STRETCH:
            self._stretch(LONG if turn else QUIET)

    def _stretch(self, keep: int) -> None:
        self._blocks = 0
        if self._lowest < 0.0:
            self._known += 1
            if self._known == 3:
                del self._quiet[:2]  # the guess has served
            self._quiet.append(self._lowest)
            del self._quiet[:-keep]
            self.floor = sorted(self._quiet)[1]
            self._lowest = 0.0
        if self.highest > SILENT:
            if self.highest < self.reach:
                self._loud.append(self.highest)
                del self._loud[: -LOUD]
                self._settle()
            self.highest = SILENT

    @property
    def restless(self) -> bool:
        """The background is known and gets much louder than its floor by itself."""
        return self.ceiling > self.floor + RESTLESS_DB and len(self._loud) >= KNOWN

    def opened(self, reach: float) -> None:
        """A turn opened: what was loudest just before was its onset, not the background. What stays below `reach` dB
        for a whole stretch is background all the same; whoever hears the turn raises it with the turn's level."""
        self.highest = SILENT
        self.reach = reach
        if self._blocks < ONSET and self._loud:
            self._loud.pop()
            self._settle()

    def closed(self) -> None:
        """A turn ended: the stretch that runs holds some of it."""
        self.highest = SILENT
        self.reach = 0.0

    def _settle(self) -> None:
        if len(self._loud) >= KNOWN:
            self.ceiling = sorted(self._loud)[len(self._loud) * 3 // 4]
