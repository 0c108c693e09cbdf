"""Which sounds of speech are heard: a small network from the bands of a stretch of audio to classes of sound.

Two layers over seven frames within 160 ms. It was trained on five synthetic voices and knows no language; what a letter
sounds like is a mixture of classes (`LETTERS`), learnt from how those voices read English. `scripts/make_phones.py`
makes both; `bridge/assets/phones.npz` holds them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audio.bands import product

Floats = NDArray[np.float32]

OFFSETS = (-8, -4, -2, 0, 2, 4, 8)  # frames that are looked at
CLASSES = ("SIL", "I", "E", "A", "O", "U", "ER", "X", "L", "W", "N", "S", "SH", "F", "V", "H", "K", "G")


def _load() -> tuple[Floats, ...]:
    path = Path(__file__).resolve().parent.parent / "assets" / "phones.npz"
    with np.load(path) as stored:
        return tuple(np.asarray(stored[name], np.float32) for name in ("w1", "b1", "w2", "b2", "letters"))


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
