"""Sound that begins or ends in mid-word: no step beyond what it has itself, and nothing done where none is needed."""

from __future__ import annotations

import numpy as np
import pytest

from audio.frame import PCM16_8K, PCM16_24K, PCMA, PCMU, Format, decode, encode
from audio.joins import STEP, fade_in, fade_out, last_ring, ring_out

FORMATS = [PCMU, PCMA, PCM16_8K, PCM16_24K]


def hum(format: Format, samples: int, begin: int = 0) -> bytes:
    """A 300 Hz tone that begins and ends anywhere in its period."""
    at = np.arange(begin, begin + samples)
    return encode(np.rint(9000 * np.sin(2 * np.pi * 300 * at / format.rate + 1.1)).astype(np.int16), format.encoding)


def smooth(format: Format) -> float:
    return 9000 * 2 * np.pi * 300 / format.rate * 1.1 + (500 if format.width == 1 else 10)


def steps(data: bytes, format: Format) -> int:
    pcm = np.concatenate([[0], decode(data, format.encoding).astype(int), [0]])
    return int(np.abs(np.diff(pcm)).max())


@pytest.mark.parametrize("format", FORMATS)
def test_wherever_a_sound_begins_and_ends(format: Format) -> None:
    frame = format.rate // 50
    for begin in range(0, format.rate // 300, 2):
        data = hum(format, 4 * frame, begin)
        assert steps(fade_out(fade_in(data, format), format), format) <= smooth(format)
        for sound in (1, 5, frame // 3, frame // 2, frame - 1, frame):
            before, last = hum(format, frame, begin), hum(format, sound, begin + frame)
            pad = frame - sound
            out = ring_out(last + format.silence * pad, before, pad, format)
            assert len(out) == frame * format.width
            # Where there is hardly a pad, the fall lies in the sound; where there is hardly sound, behind it.
            assert steps(fade_in(before, format) + out, format) <= smooth(format), (begin, sound)


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_quiet_at_its_edge_is_left_alone(format: Format) -> None:
    frame = format.rate // 50
    quiet = encode(np.full(frame, STEP // 2, np.int16), format.encoding)
    assert fade_in(quiet + hum(format, frame), format) == quiet + hum(format, frame)
    data = hum(format, frame) + quiet
    assert ring_out(data, b"", 0, format) is data
    padded = quiet[: 30 * format.width] + format.silence * (frame - 30)
    assert ring_out(padded, hum(format, frame), frame - 30, format) is padded
    assert last_ring(data, frame, format) is None


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_cut_off_rings_out(format: Format) -> None:
    frame = format.rate // 50
    for begin in range(0, format.rate // 300, 2):
        before = hum(format, frame, begin)
        ring = last_ring(before, frame, format)
        if abs(int(decode(before, format.encoding)[-1])) <= STEP:
            continue
        assert ring is not None and len(ring) == len(before)
        assert steps(fade_in(before, format) + ring, format) <= smooth(format)
        assert np.abs(decode(ring, format.encoding)[frame // 2 :].astype(int)).max() <= 8
