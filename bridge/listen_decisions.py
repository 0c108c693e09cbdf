"""A recording fed to the turn detector as a call would feed it, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audio.frame import PCM16_8K, Frame, Pcm
from audio.turns import TurnDetector, TurnEvent

RATE = 8000
BLOCK = 160
AUDIBLE = 58.0  # RMS of an int16 block in which the agent speaks (-55 dB)
OPINION_BLOCKS = 400  # given with a question: 8 s
LINE_GAP = 50  # blocks: the agent's line goes on when it speaks again within a second


@dataclass(frozen=True, slots=True)
class Heard:
    """What the detector knew after one block: levels in dB, `echo` the loudest echo it expected (None without one)."""

    level: float
    floor: float
    ceiling: float
    echo: float | None
    speaking: bool


Opinion = Callable[[Pcm, int], bool]
"""Says from the last 8 s of a caller, and their rate, whether the turn is over."""


def decisions(
    near: Pcm,
    far: Pcm,
    detector: TurnDetector,
    heard: list[Heard] | None = None,
    opinion: Opinion | None = None,
) -> Iterator[TurnEvent]:
    """Feeds both recordings (int16, 8 kHz, aligned) to `detector`, block by block; `heard` gets a note per block. The
    answers of `opinion` are there at once; in a call they take as long as they take."""
    left = agent_left(far)
    blocks = len(near) // BLOCK
    left = np.concatenate((left, np.zeros(max(0, blocks - len(left)), np.int64)))
    for n, remaining in enumerate(left[:blocks].tolist()):
        span = slice(n * BLOCK, (n + 1) * BLOCK)
        if remaining:
            detector.played(Frame(far[span].tobytes(), PCM16_8K))
        yield from detector.push(Frame(near[span].tobytes(), PCM16_8K), remaining)
        if opinion is not None and detector.wants_opinion:
            detector.opinion(opinion(near[max(0, n + 1 - OPINION_BLOCKS) * BLOCK : span.stop], RATE))
        if heard is not None:
            heard.append(_state(detector))


def agent_left(far: Pcm) -> NDArray[np.int64]:
    """Samples of the agent's line still to be heard at each block of 20 ms, 0 where it is silent.

    A bridge knows this from its playout, which holds what was generated and not yet heard; here it is read off the
    recording: a line goes on over silences of up to a second.
    """
    blocks = len(far) // BLOCK
    wave = far[: blocks * BLOCK].astype(np.float32).reshape(blocks, BLOCK)
    loud = np.flatnonzero(np.sqrt((wave * wave).mean(axis=1)) > AUDIBLE)
    left = np.zeros(blocks, np.int64)
    if not len(loud):
        return left
    breaks = np.flatnonzero(np.diff(loud) > LINE_GAP)
    starts = loud[np.concatenate(([0], breaks + 1))]
    ends = loud[np.concatenate((breaks, [len(loud) - 1]))] + 1
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        left[start:end] = (end - np.arange(start, end)) * BLOCK
    return left


def _state(detector: TurnDetector) -> Heard:
    hearing = detector.hearing
    return Heard(
        hearing.level,
        hearing.background.floor,
        hearing.background.ceiling,
        hearing.echo.expected() if hearing.echo.live else None,
        detector.speaking,
    )
