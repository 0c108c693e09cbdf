"""The agent's echo on lines that change its sound: no alarm, and the caller is heard over it."""

from __future__ import annotations

import numpy as np
import pytest

from audio.frame import Pcm
from audio.hearing import Hearing
from audio.levels import level_db, upper_level_db
from audio.resample import convert
from tests.audio.lines import BLOCK, RATE, Wave, kinds, line, listen, noise, tones, voice


def _agent(seconds: float, seed: int) -> Wave:
    """A deep voice: most of its power is its fundamental, but for every fifth syllable or so."""
    at = np.arange(int(seconds * RATE)) / RATE
    rng = np.random.default_rng(seed)
    deep = np.repeat(np.where(rng.random(int(seconds * 4) + 1) < 0.8, 4.0, 0.3), RATE // 4)[: len(at)]
    words = np.repeat(rng.random(int(seconds * 4) + 1) < 0.75, RATE // 4)[: len(at)]
    return (voice(seconds, -26, seed, 180) + deep * tones(seconds, -26, 130.0)) * words


def _upper(wave: Wave) -> Wave:
    """What a telephone line lets through: 300 to 3400 Hz."""
    spectrum = np.fft.rfft(wave)
    hz = np.fft.rfftfreq(len(wave), 1 / RATE)
    spectrum[(hz < 300) | (hz > 3400)] = 0.0
    return np.fft.irfft(spectrum, len(wave))


def _echo(far: Pcm, db: float, delay: float) -> Wave:
    late = np.concatenate([np.zeros(int(delay * RATE)), far.astype(float)])[: len(far)]
    return _upper(late) * 10 ** (db / 20)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("db", "delay"), [(-16.0, 0.08), (-18.0, 0.12), (-20.0, 0.2)])
def test_the_echo_of_a_deep_voice_on_a_narrow_line_raises_no_alarm(seed: int, db: float, delay: float) -> None:
    far = line(0.5, _agent(20.0, seed), 1.0, floor=-90.0)
    assert listen(line(_echo(far, db, delay)), far=far, agent=(0.5, 20.5)) == []


@pytest.mark.parametrize("seed", range(4))
def test_the_caller_is_heard_over_it(seed: int) -> None:
    far = line(0.5, _agent(12.0, seed), 1.0, floor=-90.0)
    near = _echo(far, -18.0, 0.12)
    near[6 * RATE : 8 * RATE] += voice(2.0, -26, seed=20 + seed)
    events = listen(line(near), far=far, agent=(0.5, 12.5))
    assert kinds(events)[:2] == ["barge_in", "cut"]
    assert 6.0 <= events[0].decided / RATE <= 6.35


@pytest.mark.parametrize(("above", "grows"), [(5.0, False), (7.5, True)])
def test_little_more_than_the_echo_to_expect_does_not_prolong_a_turn(above: float, grows: bool) -> None:
    """The echo of one sound is a few dB stronger than that of another: a backchannel would grow on it."""
    hearing = Hearing("webrtc")
    said = line(voice(8.0, -22), floor=-90.0)
    speech = 0
    for start in range(0, len(said), BLOCK):
        block = said[start : start + BLOCK]
        hearing.echo.played(upper_level_db(block))
        learning = start < 6 * RATE
        gain = 10 ** ((-18.0 if learning else hearing.echo.coupling + above) / 20)
        heard = hearing.hear((block * gain).astype(np.int16), turn=not learning)
        speech += heard and not learning
    assert speech >= 60 if grows else speech <= 10


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 48000])
def test_the_upper_level_leaves_out_what_no_line_returns(rate: int) -> None:
    def level(wave: Wave) -> float:
        pcm = convert(wave.astype(np.int16), RATE, rate)
        middle = len(pcm) // 2 // 16 * 16
        return upper_level_db(pcm[middle : middle + rate // 50])

    speech = tones(1.0, -20, 700.0, 1500.0)
    assert level(speech) == pytest.approx(-20.0, abs=1.0)
    assert level(speech + tones(1.0, -12, 100.0)) == pytest.approx(-20.0, abs=2.5)
    assert level(np.zeros(RATE)) == -96.0
    hiss = noise(0.02, -30).astype(np.int16)
    assert level_db(hiss) - 1.5 <= upper_level_db(hiss) <= level_db(hiss)
