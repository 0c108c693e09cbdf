"""Which sounds of speech are heard: a small network from the bands of a stretch of audio to classes of sound.

Two layers over seven frames within 160 ms. It was trained on five synthetic voices and knows no language; what a letter
sounds like is a mixture of classes (`LETTERS`), learnt from how those voices read English. `scripts/make_phones.py`
makes both; `bridge/assets/phones.f16` holds them, one array after the other as little-endian half-precision numbers.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audio.bands import BANDS, product

Floats = NDArray[np.float32]

OFFSETS = (-8, -4, -2, 0, 2, 4, 8)  # frames that are looked at
CLASSES = ("SIL", "I", "E", "A", "O", "U", "ER", "X", "L", "W", "N", "S", "SH", "F", "V", "H", "K", "G")
HIDDEN = 64
PATH = Path(__file__).resolve().parent.parent / "assets" / "phones.f16"
_SHAPES = ((len(OFFSETS) * (BANDS + 1), HIDDEN), (HIDDEN,), (HIDDEN, len(CLASSES)), (len(CLASSES),), (-1, len(CLASSES)))


def _load() -> list[Floats]:
    ends = np.cumsum([math.prod(shape) for shape in _SHAPES[:-1]])
    parts = np.split(np.fromfile(PATH, "<f2").astype(np.float32), ends)
    return [part.reshape(shape) for part, shape in zip(parts, _SHAPES, strict=True)]


_W1, _B1, _W2, _B2, LETTERS = _load()  # LETTERS: log of the mixture of each kind in `sounds.NAMES`; (KINDS, CLASSES)


def probabilities(frames: Floats) -> Floats:
    """Of each class, per frame of `audio.bands.normalised`. Shape (frames, CLASSES)."""
    reach = OFFSETS[-1]
    padded = np.concatenate([np.repeat(frames[:1], reach, 0), frames, np.repeat(frames[-1:], reach, 0)])
    end = len(frames) + reach
    around = np.concatenate([padded[reach + offset : end + offset] for offset in OFFSETS], axis=1)
    hidden = product(around, _W1)
    hidden += _B1
    score = product(np.maximum(hidden, 0, out=hidden), _W2)
    score += _B2
    score -= score.max(axis=1, keepdims=True)
    np.exp(score, out=score)
    score /= score.sum(axis=1, keepdims=True)
    return score
