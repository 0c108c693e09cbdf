"""Concealment: what a lost frame is covered with, how it fades, and that nothing clicks."""

from __future__ import annotations

import numpy as np
import pytest

from audio.conceal import Concealer
from audio.frame import PCM16_8K, PCM16_16K, PCM16_24K, PCM16_48K, PCMA, PCMU, Format, Frame, decode, encode

FORMATS = [PCMU, PCMA, PCM16_8K, PCM16_16K, PCM16_24K, PCM16_48K]


def voice(pitch: float, rate: int, seconds: float = 0.4) -> np.ndarray:
    """A vowel: harmonics of `pitch` falling by 6 dB an octave."""
    at = np.arange(int(rate * seconds)) / rate
    sound = sum(np.sin(2 * np.pi * pitch * n * at + n * n) / n for n in range(1, int(3400 / pitch)))
    return np.rint(sound * 5000).astype(np.int16)


def as_frames(pcm: np.ndarray, format: Format, ms: int = 20) -> list[Frame]:
    size = format.rate * ms // 1000
    return [Frame(encode(pcm[at : at + size], format.encoding), format) for at in range(0, len(pcm), size)]


def through(frames: list[Frame], missing: set[int], format: Format) -> list[Frame]:
    concealer = Concealer(format)
    return [
        concealer.lost(frame.samples) if index in missing else concealer.received(frame)
        for index, frame in enumerate(frames)
    ]


def sound(frames: list[Frame]) -> np.ndarray:
    return np.concatenate([frame.pcm for frame in frames]).astype(float)


def level(pcm: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(pcm.astype(float) ** 2) + 1e-9))


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_lost_nothing_touched(format):
    concealer = Concealer(format)
    for frame in as_frames(voice(120, format.rate), format):
        assert concealer.received(frame) is frame
        assert frame._pcm is None  # not even decoded
    assert concealer.concealed_ms == 0


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("pitch", [73.0, 110.0, 180.0, 261.0])
def test_a_steady_voice_goes_on_in_phase(format, pitch):
    pcm = voice(pitch, format.rate)
    frames = as_frames(pcm, format)
    out = through(frames, {8}, format)
    assert [frame.concealed for frame in out] == [index == 8 for index in range(20)]
    size = format.rate // 50
    real, made = pcm[8 * size : 9 * size].astype(float), out[8].pcm.astype(float)
    assert len(made) == size
    assert np.corrcoef(real, made)[0, 1] > 0.9
    fade = 10 ** (-0.3 * np.arange(size) * 1000 / format.rate / 20)
    assert level(made - real * fade) < level(real) - 8


@pytest.mark.parametrize("format", FORMATS)
def test_it_fades_by_6_db_a_frame_and_is_silent_after_80_ms(format):
    out = through(as_frames(voice(110, format.rate), format), set(range(8, 16)), format)
    levels = [level(frame.pcm) for frame in out]
    steady = levels[7]
    for lost, (low, high) in enumerate([(-5.0, -1.5), (-11.0, -7.0), (-17.0, -13.0), (-30.0, -19.0)]):
        assert low < levels[8 + lost] - steady < high
    for frame in out[12:16]:
        assert frame.concealed and frame.data == format.silence * (format.rate // 50)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("missing", [{8}, {8, 9}, {8, 10}, set(range(8, 12)), set(range(6, 14))])
def test_no_join_clicks(format, missing):
    """No sample jumps further than the voice itself does, before, inside and after the loss."""
    pcm = voice(130, format.rate)
    frames = as_frames(pcm, format)
    jumps = np.abs(np.diff(sound(through(frames, missing, format))))
    assert jumps.max() < 1.5 * np.abs(np.diff(sound(frames))).max()


@pytest.mark.parametrize("format", [PCM16_8K, PCM16_24K])
@pytest.mark.parametrize("first", range(6, 12))
def test_even_sound_without_a_pitch_has_no_step(format, first):
    """A 40 Hz tone is slower than any pitch looked for: neither where the loop begins nor where it goes round does the
    covered sound jump."""
    at = np.arange(format.rate // 2) / format.rate
    pcm = np.rint(10000 * np.sin(2 * np.pi * 41.3 * at)).astype(np.int16)
    made = sound(through(as_frames(pcm, format), {first, first + 1, first + 2}, format))
    assert np.abs(np.diff(made)).max() < 1600 * 8000 / format.rate


@pytest.mark.parametrize("format", FORMATS)
def test_the_first_good_frame_blends_in_and_is_its_own_afterwards(format):
    frames = as_frames(voice(130, format.rate), format)
    out = through(frames, {8, 9}, format)
    blend = format.bytes_for(5)
    assert out[10].data[blend:] == frames[10].data[blend:] and out[10].data[:blend] != frames[10].data[:blend]
    assert not out[10].concealed
    assert all(out[index] is frames[index] for index in range(11, 20))


def test_noise_is_continued_as_noise():
    """Unvoiced sound keeps its level and is not turned into a hum at a high pitch."""
    rng = np.random.default_rng(5)
    pcm = rng.normal(0, 2000, 3200).astype(np.int16)
    made = through(as_frames(pcm, PCM16_8K), {8}, PCM16_8K)[8].pcm.astype(float)
    assert level(pcm) - 5 < level(made) < level(pcm) + 1
    spectrum = np.abs(np.fft.rfft(made)) ** 2
    assert spectrum.max() < 0.25 * spectrum.sum()


@pytest.mark.parametrize("format", FORMATS)
def test_losses_before_anything_was_heard_are_silence(format):
    concealer = Concealer(format)
    first = concealer.lost()
    assert first.concealed and first.data == format.silence * (format.rate // 50)
    frame = as_frames(voice(120, format.rate), format)[0]
    after = concealer.received(frame)
    assert after.data[format.bytes_for(5) :] == frame.data[format.bytes_for(5) :]
    assert concealer.concealed_ms == 20


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("ms", [5, 10, 20, 30, 60])
def test_any_frame_length(format, ms):
    frames = as_frames(voice(110, format.rate, 0.6), format, ms)
    out = through(frames, {len(frames) // 2}, format)
    assert [frame.samples for frame in out] == [frame.samples for frame in frames]
    lost = out[len(frames) // 2]
    assert level(lost.pcm) > level(sound(frames)) - 12
    concealer = Concealer(format)
    concealer.received(frames[0])
    assert concealer.lost().samples == frames[0].samples


def test_a_loss_right_after_the_first_short_frame():
    concealer = Concealer(PCMU)
    concealer.received(as_frames(voice(110, 8000), PCMU, 5)[1])
    made = concealer.lost(160).pcm.astype(int)
    assert np.all(made[24:] == 0)  # too little to repeat: let the last sample die away
    assert np.abs(np.diff(made)).max() < 3000


@pytest.mark.parametrize("format", FORMATS)
def test_loud_sound_saturates_and_silence_stays_silent(format):
    square = np.where(np.arange(format.rate // 2) // (format.rate // 200) % 2, 32767, -32768).astype(np.int16)
    out = through(as_frames(square, format), {8}, format)
    assert np.abs(np.diff(np.sign(out[8].pcm.astype(int)))).astype(bool).sum() <= 6
    silent = [Frame(format.silence * (format.rate // 50), format) for _ in range(6)]
    out = through(silent, {3, 4}, format)
    assert all(np.abs(frame.pcm).max() <= 8 for frame in out)
    assert decode(out[3].data, format.encoding).shape == (format.rate // 50,)
