"""How loud speech is: pauses do not count."""

from __future__ import annotations

import numpy as np
import pytest

from audio.envelope import Envelope
from audio.frame import PCM16_24K, PCMU, encode
from audio.levels import speech_level


@pytest.mark.parametrize("format", [PCMU, PCM16_24K])
@pytest.mark.parametrize("pause", [0.0, 0.3, 0.8])
def test_the_level_is_that_of_the_speech_however_much_is_pause(format, pause):
    rng = np.random.default_rng(3)
    sound = rng.normal(0, 2000, format.rate * 4)
    gate = rng.random(200) >= pause
    sound *= np.repeat(np.where(gate, 1.0, 0.005), format.rate // 50)
    outline = Envelope(format)
    outline.push(encode(np.clip(sound, -32000, 32000).astype(np.int16), format.encoding))
    level, steps = speech_level(outline.levels)
    assert level == pytest.approx(20 * np.log10(2000) - 0.5, abs=0.6)  # the outline rounds down
    assert steps == np.count_nonzero(gate)


def test_silence_and_line_noise_are_no_speech():
    assert speech_level(b"") == (0.0, 0)
    assert speech_level(bytes([20] * 50)) == (0.0, 0)
