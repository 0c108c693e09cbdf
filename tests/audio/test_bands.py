"""Band levels against the plain definition of a window every 10 ms."""

from __future__ import annotations

import numpy as np
import pytest

from audio.bands import BANDS, HOP, band_levels


@pytest.mark.parametrize("samples", [160, 161, 239, 240, 4080, 4081, 8000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_frame_is_that_of_its_own_window(samples: int, dtype: type) -> None:
    pcm = np.random.default_rng(samples).normal(0, 3000, samples).astype(dtype)
    levels = band_levels(pcm)
    assert levels.shape == ((samples - HOP) // HOP, BANDS)
    alone = [band_levels(pcm[at : at + 2 * HOP])[0] for at in range(0, samples - 2 * HOP + 1, HOP)]
    assert np.abs(levels.astype(int) - np.array(alone)).max() <= 1, "but for how a product of matrices is rounded"
    assert len({bytes(row) for row in levels}) > len(levels) // 2


def test_sound_need_not_lie_in_one_piece() -> None:
    both = np.random.default_rng(2).normal(0, 3000, 1600).astype(np.float32)
    assert (band_levels(both[::2]) == band_levels(both[::2].copy())).all()
