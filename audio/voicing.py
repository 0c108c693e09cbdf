"""What tells a voice from other loud things: a pitch, and that it is not a tone. Blocks of 20 ms at 8 kHz."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float32]
BLOCK = 160
RATE = 8000
_LAGS = slice(16, 71)  # of a correlation at 4 kHz whose index k means a lag of 80 - k: pitch 62 to 400 Hz
_STRONGEST = 6  # bins: two windowed tones, one bin each side


def pitch_strength(before: Wave, wave: Wave) -> float:
    """How well `wave` (160 samples at 8 kHz) repeats itself at a pitch of 62 to 400 Hz; `before` is the block before.

    The normalised autocorrelation at 4 kHz, at the lag where it is largest: vowels 0.7 to 1, noise and clatter below
    0.6, pure tones 1.
    """
    now = wave[::2] + wave[1::2]
    half = np.concatenate((before[::2] + before[1::2], now))
    correlation = np.correlate(half, now, "valid")
    start = _LAGS.start + int(correlation[_LAGS].argmax())
    then = half[start : start + 80]
    energy = float(now.dot(now)) * float(then.dot(then))
    return float(correlation[start]) / energy**0.5 if energy > 0.0 else 0.0


def _spectrum_rows() -> list[Wave]:
    """Rows of a windowed Fourier transform: cosines, then sines. In parts, because above some 9,000 elements a matrix
    product is spread over threads, whose coordination costs many times the product."""
    bins = np.arange(3, 75)[:, None]  # 150 to 3700 Hz
    angle = 2 * np.pi * bins * np.arange(BLOCK) / BLOCK
    rows = np.concatenate([np.cos(angle), np.sin(angle)]).astype(np.float32) * np.hanning(BLOCK).astype(np.float32)
    return [np.ascontiguousarray(part) for part in np.split(rows, 4)]


_LOW_COS, _HIGH_COS, _LOW_SIN, _HIGH_SIN = _spectrum_rows()
_HALF = 36


def tone_share(wave: Wave) -> float:
    """The share of `wave`'s energy (160 samples at 8 kHz) that lies in its six strongest bins of 50 Hz: above 0.985 for
    one or two steady tones (ringback, busy, DTMF), rarely for a voice."""
    power = np.empty(2 * _HALF, np.float32)
    power[:_HALF] = _LOW_COS.dot(wave) ** 2 + _LOW_SIN.dot(wave) ** 2
    power[_HALF:] = _HIGH_COS.dot(wave) ** 2 + _HIGH_SIN.dot(wave) ** 2
    total = float(power.sum())
    power.partition(2 * _HALF - _STRONGEST)
    return float(power[2 * _HALF - _STRONGEST :].sum()) / total if total > 0.0 else 0.0
