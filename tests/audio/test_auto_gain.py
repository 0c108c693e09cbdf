"""A quiet caller raised on the wire: by how much, when, and what is left alone."""

from __future__ import annotations

import numpy as np
import pytest

from audio.auto_gain import AutoGain
from audio.files import read_audio
from audio.frame import PCM16_8K, PCM16_16K, PCM16_24K, PCMA, PCMU, Format, Pcm, decode, encode
from audio.levels import level_db
from audio.resample import convert
from tests.audio.lines import RATE, line, noise, voice
from tests.wire.caller import QUESTIONS

FORMATS = [PCMU, PCMA, PCM16_8K, PCM16_16K, PCM16_24K]


def turn(level: float, seconds: float = 6.0, floor: float = -65.0) -> Pcm:
    """0.3 s of pre-roll, speech, 0.5 s of hangover."""
    return line(0.3, voice(seconds, level), 0.5, floor=floor)


def raised(pcm: Pcm, form: Format = PCMU, ms: float = 20) -> tuple[Pcm, list[float]]:
    """`pcm` (8 kHz) through an AutoGain in pieces of `ms`: what came out at 8 kHz, and the gain after each piece."""
    gain = AutoGain(form)
    data = encode(convert(pcm, RATE, form.rate), form.encoding)
    step = form.bytes_for(ms)
    out, gains = [], []
    for at in range(0, len(data), step):
        out.append(gain.process(data[at : at + step]))
        assert len(out[-1]) == len(data[at : at + step])
        gains.append(gain.gain_db)
    return convert(decode(b"".join(out), form.encoding), form.rate, RATE), gains


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_a_quiet_caller_comes_up_to_the_target(form: Format) -> None:
    pcm = turn(-36)
    out, gains = raised(pcm, form)
    assert level_db(out[5 * RATE : 6 * RATE]) - level_db(pcm[5 * RATE : 6 * RATE]) > 10
    assert 10 < gains[300] <= 15
    assert gains[10] == 0.0, "the pre-roll is not speech"
    assert gains[-1] == 0.0, "nor is the hangover"


def test_a_normal_caller_comes_back_as_the_very_bytes() -> None:
    gain = AutoGain(PCMU)
    data = encode(turn(-19), "pcmu")
    for at in range(0, len(data), 160):
        piece = data[at : at + 160]
        assert gain.process(piece) is piece


@pytest.mark.parametrize("level", [-75.0, -54.0])
def test_a_line_without_speech_is_never_raised(level: float) -> None:
    assert max(raised(noise(20.0, level).astype(np.int16))[1]) == 0.0


def test_noise_in_the_pauses_of_a_quiet_caller_is_not_raised() -> None:
    pcm = line(0.3, voice(3.0, -34), 1.0, voice(2.0, -34, seed=2), 1.0, floor=-50)
    _, gains = raised(pcm)
    assert min(gains[200:210]) == min(gains[-10:]) == 0.0
    assert max(gains) > 9


def test_what_was_learned_serves_the_next_turn() -> None:
    _, gains = raised(np.concatenate((turn(-36), turn(-36, 1.0))))
    begin = len(turn(-36)) // 160 + 15
    assert gains[begin + 12] > 9, "a quarter of a second into the second turn"


def test_no_piece_clicks_and_nothing_leaves_full_scale() -> None:
    """Raising makes steps larger by the gain, and no more: no join of pieces shows."""
    spoken = read_audio(QUESTIONS / "weather_trip.flac", RATE)
    pcm = np.rint(spoken * 10 ** (-14 / 20)).astype(np.int16)
    out, gains = raised(pcm, PCM16_8K)
    most = 10 ** (max(gains) / 20)
    assert max(gains) > 6
    steps, natural = np.abs(np.diff(out.astype(float))), np.abs(np.diff(pcm.astype(float)))
    assert (steps <= most * near(natural) + 0.15 * most * near(np.abs(pcm[1:])) + 2).all()
    assert np.abs(out.astype(int)).max() < 32767


def near(values: np.ndarray) -> np.ndarray:
    """The largest of the values within 20 of each."""
    padded = np.pad(values.astype(float), 20, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, 41).max(axis=1)


def test_a_shout_after_whispers_is_not_cut_off() -> None:
    pcm = np.concatenate((turn(-40), line(voice(1.0, -8, seed=2))))
    out, _ = raised(pcm, PCM16_8K)
    tail = slice(len(turn(-40)), None)
    assert level_db(out[tail]) - level_db(pcm[tail]) < 1.0
    assert (np.abs(out[tail].astype(int)) == 32767).mean() <= (np.abs(pcm[tail].astype(int)) == 32767).mean()


@pytest.mark.parametrize("ms", [20, 2000])
def test_the_same_pieces_give_the_same_bytes(ms: int) -> None:
    pcm = turn(-36)
    assert (raised(pcm, PCMU, ms)[0] == raised(pcm, PCMU, ms)[0]).all()
    assert (raised(pcm, PCMU, 2000)[0] == raised(pcm, PCMU, 20)[0]).all(), "slices of a replay are cut as frames come"


def test_nothing_is_lost_of_odd_pieces() -> None:
    data = encode(turn(-36), "pcmu")
    gain, size = AutoGain(PCMU), 0
    for at in range(0, len(data), 333):
        size += len(gain.process(data[at : at + 333]))
    assert size == len(data) and gain.process(b"") == b""
