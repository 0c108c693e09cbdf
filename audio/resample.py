"""Rate conversion: a streaming polyphase filter for live audio and an offline one for files of any rate.

The live filter is linear phase (Kaiser window), cut at 0.455 of the lower rate: flat within 0.3 dB to 0.425 of it
(3.4 kHz on a telephone line), images and aliases more than 55 dB down from half of it on. Its coefficients are whole
multiples of 2**-20, so that every sum of products is exact in float64: how a stream is cut into chunks, and which
machine adds it up, makes no difference to a single bit of the result.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd

import numpy as np
from numpy.typing import NDArray

from audio.frame import Pcm

RATES = (8000, 16000, 24000, 48000)
_DELAY = 22  # samples of the lower rate: 2.75 ms at 8 kHz
_BLOCK = 8  # samples of the lower rate per row of the matrix product; the fastest of 4 to 40 at 20 ms
_SLICE = 4800  # input samples taken at once: the working memory of a long chunk or a file stays in the cache
_CUTOFF = 0.455
_ATTENUATION_DB = 60.0
_UNIT = 2.0**20

Matrix = NDArray[np.float64]


def _kaiser(attenuation_db: float) -> float:
    """Kaiser's own formula for the window's shape, valid above 50 dB."""
    return 0.1102 * (attenuation_db - 8.7)


def _whole_units(taps: Matrix) -> Matrix:
    """Taps as multiples of 1 / _UNIT that add up to exactly 1, so that a steady level stays exactly what it was."""
    whole = np.rint(taps / taps.sum() * _UNIT)
    whole[np.argmax(whole)] += _UNIT - whole.sum()
    return np.asarray(whole / _UNIT)


@lru_cache(maxsize=32)
def _block_matrix(rate_in: int, rate_out: int) -> tuple[Matrix, int]:
    """The filter for one block of input: rows are input samples (history first), columns output samples.

    Returns the matrix and the number of history rows.
    """
    common = gcd(rate_in, rate_out)
    up, down = rate_out // common, rate_in // common
    lower = min(rate_in, rate_out)
    fine = up * rate_in  # the rate at which both grids meet
    half = _DELAY * fine // lower
    at = np.arange(-half, half + 1)
    taps = np.sinc(2 * _CUTOFF * lower / fine * at) * np.kaiser(2 * half + 1, _kaiser(_ATTENUATION_DB))
    for phase in range(up):
        taps[phase::up] = _whole_units(taps[phase::up])
    history = 2 * half // up
    block = _BLOCK * rate_in // lower
    index = np.arange(block * up // down) * down - (np.arange(history + block)[:, None] - history) * up
    inside = (index >= 0) & (index <= 2 * half)
    return np.where(inside, taps[np.where(inside, index, 0)], 0.0), history


class Resampler:
    """Converts a stream of int16 mono samples from `rate_in` to `rate_out` (each 8000, 16000, 24000 or 48000 Hz).

    After k input samples exactly ceil(k * rate_out / rate_in) output samples were returned, whatever the chunks; the
    sound lags by `delay_ms` (2.75 ms where one side is 8 kHz, 1.4 at 16 kHz, 0.9 at 24 kHz). Equal rates pass through.
    Raises ValueError for any other rate.
    """

    __slots__ = ("_down", "_history", "_matrix", "_pending", "_tail", "_up", "delay_ms", "rate_in", "rate_out")

    def __init__(self, rate_in: int, rate_out: int) -> None:
        for rate in (rate_in, rate_out):
            if rate not in RATES:
                raise ValueError(f"live audio is converted between {', '.join(map(str, RATES))} Hz, not {rate} Hz")
        self.rate_in = rate_in
        self.rate_out = rate_out
        common = gcd(rate_in, rate_out)
        self._up, self._down = rate_out // common, rate_in // common
        self._matrix, self._history = _block_matrix(rate_in, rate_out)
        self.delay_ms = 0.0 if rate_in == rate_out else _DELAY * 1000 / min(rate_in, rate_out)
        self.reset()

    def reset(self) -> None:
        """Forget the stream: the next sample is the first of a new one."""
        self._tail: Matrix = np.zeros(self._history)
        self._pending = 0  # input samples behind the last point where both grids meet; they end the tail

    def process(self, pcm: Pcm) -> Pcm:
        """The output that `pcm` (int16, 1-D, any length) completes. Values that overshoot 16 bits saturate."""
        if self.rate_in == self.rate_out:
            return pcm
        if len(pcm) > _SLICE:
            return np.concatenate([self._step(pcm[at : at + _SLICE]) for at in range(0, len(pcm), _SLICE)])
        return self._step(pcm)

    def _step(self, pcm: Pcm) -> Pcm:
        history, up, down = self._history, self._up, self._down
        rows = len(self._matrix)
        block = rows - history
        given = -(-self._pending * up // down)  # outputs since the meeting point, returned before
        filled = len(self._tail) + len(pcm)
        fresh = filled - history
        blocks = -(-fresh // block)
        line = np.empty(history + blocks * block)
        line[: len(self._tail)] = self._tail
        line[len(self._tail) : filled] = pcm
        line[filled:] = 0.0  # completes the last block; no output that is returned reads it
        windows = np.ndarray((blocks, rows), np.float64, line, 0, (block * 8, 8))
        out: Matrix = np.dot(np.ascontiguousarray(windows), self._matrix).reshape(-1)
        out = out[given : -(-fresh * up // down)]
        self._pending = fresh % down
        self._tail = line[fresh - self._pending : filled].copy()
        np.rint(out, out=out)
        np.minimum(out, 32767.0, out=out)
        np.maximum(out, -32768.0, out=out)
        return out.astype(np.int16)

    def flush(self) -> Pcm:
        """The `delay_ms` of output still inside the filter; the resampler is then as new."""
        rest = self.process(np.zeros(int(self.delay_ms * self.rate_in / 1000 + 0.5), dtype=np.int16))
        self.reset()
        return rest


# ---------------------------------------------------------------------------------------------------------- offline

_OFFLINE_HALF = 32  # samples of the lower rate on each side: 80 dB, flat to 0.42 of the lower rate
_OFFLINE_CUTOFF = 0.46


def convert(pcm: Pcm, rate_in: int, rate_out: int) -> Pcm:
    """All of `pcm` (int16, 1-D) at another rate, without delay: ceil(len * rate_out / rate_in) samples.

    Any whole rates in Hz. Too slow for live audio where a rate is not one of `RATES` (about 2 ms per second of sound).
    Raises ValueError for a rate below 1.
    """
    if min(rate_in, rate_out) < 1:
        raise ValueError(f"cannot convert from {rate_in} Hz to {rate_out} Hz")
    if rate_in == rate_out or not len(pcm):
        return pcm
    if rate_in in RATES and rate_out in RATES:
        live = Resampler(rate_in, rate_out)
        lag = _DELAY * rate_out // min(rate_in, rate_out)
        return np.concatenate([live.process(pcm), live.flush()])[lag:]
    common = gcd(rate_in, rate_out)
    up, down = rate_out // common, rate_in // common
    taps = _offline_taps(rate_in, rate_out)
    half = taps.shape[1] // 2
    padded = np.zeros(len(pcm) + 2 * half)
    padded[half : half + len(pcm)] = pcm
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half)
    out = np.empty(-(-len(pcm) * up // down))
    for phase in range(min(up, len(out))):  # the output samples that share a row of taps lie `down` apart in the input
        alike = out[phase::up]
        first = phase * down // up + 1
        np.einsum("ij,j->i", windows[first::down][: len(alike)], taps[phase * down % up], out=alike)
    return np.clip(np.rint(out), -32768, 32767).astype(np.int16)


@lru_cache(maxsize=4)
def _offline_taps(rate_in: int, rate_out: int) -> Matrix:
    """One row of taps for each position an output sample can have between two input samples."""
    lower = min(rate_in, rate_out)
    up = rate_out // gcd(rate_in, rate_out)
    half = -(-_OFFLINE_HALF * rate_in // lower)
    # An output sample lies between the taps half - 1 and half, or on the first of them.
    distance = np.arange(up)[:, None] / up - np.arange(1 - half, half + 1)
    span = _OFFLINE_HALF * rate_in / lower
    shape = np.i0(_kaiser(80.0) * np.sqrt(np.maximum(1 - (distance / span) ** 2, 0.0)))
    shape[np.abs(distance) > span] = 0.0
    taps = np.sinc(2 * _OFFLINE_CUTOFF * lower / rate_in * distance) * shape
    return np.asarray(taps / taps.sum(axis=1, keepdims=True))
