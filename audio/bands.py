"""Speech in bands: what an ear tells apart, a few numbers per 10 ms.

Levels of 14 bands evenly spaced by ear (mel scale) over the telephone band, from windows of 20 ms. What voices and
lines differ in, loudness and the colour of the sound, is taken out by `normalised`.
"""

from __future__ import annotations

import numpy as np
from numpy.fft import rfft
from numpy.typing import NDArray

Floats = NDArray[np.float32]

RATE = 8000  # Hz
HOP = 80  # samples from one frame to the next
BANDS = 14
LOWEST_HZ, HIGHEST_HZ = 120.0, 3800.0
SMALL = 250_000  # multiplications; OpenBLAS starts threads above 262,144
_LOUD_DB = 15.0  # below the loud parts: what is louder shows the colour of a voice
_SOFTEST_DB = 40.0  # below the usual level of a band: all that is softer is alike
_QUIETEST_DB = 50.0  # below the loud parts


def _filters() -> Floats:
    """Triangles of weight 1 over the bins of a window."""
    highest, lowest = (1127 * np.log(1 + hz / 700) for hz in (HIGHEST_HZ, LOWEST_HZ))
    edges = 700 * (np.exp(np.linspace(lowest, highest, BANDS + 2) / 1127) - 1)
    bins = np.arange(HOP + 1) * RATE / (2 * HOP)
    out = np.zeros((HOP + 1, BANDS))
    for band, (begin, middle, end) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        out[:, band] = np.maximum(0, np.minimum((bins - begin) / (middle - begin), (end - bins) / (end - middle)))
        if out[:, band].sum() < 0.5:  # between two bins
            out[np.abs(bins - middle).argmin(), band] = 1
    return np.asarray(out / out.sum(axis=0) / (2 * HOP * 60), np.float32)


_FILTERS = _filters()
_WINDOW = np.hanning(2 * HOP + 2)[1:-1].astype(np.float32)


def band_levels(pcm: Floats) -> NDArray[np.uint8]:
    """Half decibels above 1 LSB rms (about) per 10 ms and band, of sound at 8 kHz behind the `HOP` samples before it.
    Shape (frames, BANDS)."""
    pcm = np.ascontiguousarray(pcm)
    step = HOP * pcm.itemsize
    shape = (len(pcm) // HOP - 1, 2 * HOP)
    # numpy's own way takes as long as a third of all this
    windows = np.ndarray(shape, pcm.dtype, pcm, strides=(step, pcm.itemsize))
    spectrum = rfft(windows * _WINDOW, axis=1)
    power = product(np.asarray(spectrum.real**2 + spectrum.imag**2, np.float32), _FILTERS)
    return np.round(20 * np.log10(power + 1)).astype(np.uint8)


def product(rows: Floats, matrix: Floats) -> Floats:
    """`rows @ matrix`, in blocks so small that no BLAS starts threads for them: waiting for those takes many times as
    long where the cores are busy."""
    count, size = rows.shape
    block = max(1, min(count, SMALL // matrix.size))
    whole = count // block * block
    out = np.empty((count, matrix.shape[1]), np.float32)
    np.matmul(rows[:whole].reshape(-1, block, size), matrix, out=out[:whole].reshape(-1, block, matrix.shape[1]))
    np.matmul(rows[whole:], matrix, out=out[whole:])
    return out


def loudness(levels: Floats) -> Floats:
    """Of each frame, in dB, from `levels` in dB. Shape (frames,)."""
    return np.asarray(10 * np.log10(np.exp(levels * np.float32(np.log(10) / 10)).mean(axis=1)), np.float32)


def normalised(levels: Floats, loud: Floats) -> Floats:
    """Each band against its own usual level in loud sound, and the loudness against that of the loud parts; in steps
    of 10 dB. Shape (frames, BANDS + 1), at least one frame."""
    top = np.sort(loud)[int(0.9 * (len(loud) - 1))]
    usual = levels[loud >= top - _LOUD_DB].mean(axis=0)
    out = np.empty((len(levels), BANDS + 1), np.float32)
    np.maximum(levels - usual, -_SOFTEST_DB, out=out[:, :BANDS])
    np.maximum(loud - top, -_QUIETEST_DB, out=out[:, BANDS])
    out /= 10
    return out
