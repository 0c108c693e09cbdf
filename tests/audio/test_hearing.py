"""What only sounds like speech: tones, echo, background; keys are recognised."""

from __future__ import annotations

import numpy as np
import pytest

from audio.dtmf import HIGH, KEYS, LOW
from audio.frame import Pcm
from audio.levels import SILENT, Background, level_db
from audio.turns import TurnDetector, TurnSettings
from audio.voicing import pitch_strength, tone_share
from tests.audio.lines import RATE, Wave, kinds, line, listen, noise, scaled, tones, voice


def test_levels_are_in_db_of_full_scale() -> None:
    assert level_db(np.full(160, -32768, np.int16)) == pytest.approx(0.0, abs=0.01)
    assert level_db(noise(1.0, -40).astype(np.int16)) == pytest.approx(-40.0, abs=0.2)
    assert level_db(np.zeros(160, np.int16)) == level_db(np.zeros(0, np.int16)) == SILENT


def _count(background: Background, *levels: float) -> None:
    for level in levels:
        background.highest = max(background.highest, level)
        background.push(level, False)


def test_the_floor_falls_at_once_and_rises_slowly() -> None:
    background = Background()
    _count(background, *[-50.0] * 100)
    assert background.floor == background.ceiling == -50.0
    _count(background, -70.0)
    assert background.floor == -70.0
    _count(background, *[-40.0] * 40)
    assert background.floor <= -50.0
    _count(background, *[-40.0] * 200)
    assert background.floor == -40.0


def test_digital_silence_says_nothing_of_the_floor() -> None:
    background = Background()
    _count(background, *[-50.0, SILENT] * 200)
    assert background.floor == -50.0


def test_a_background_that_rises_by_itself_is_restless() -> None:
    background = Background()
    for _ in range(10):
        _count(background, *[-50.0] * 15, *[-35.0] * 5)
    assert background.restless
    assert background.ceiling == -35.0


def test_the_background_of_a_turn_is_learned_from_what_stays_far_below_its_speech() -> None:
    background = Background()
    background.opened(reach=-32.0)
    for _ in range(10):
        _count(background, *[-50.0] * 15, *[-20.0] * 5)
    assert not background.restless
    for _ in range(10):
        _count(background, *[-50.0] * 15, *[-35.0] * 5)
    assert background.restless
    assert background.ceiling == -35.0


def test_a_voice_has_a_pitch_and_noise_has_none() -> None:
    spoken, hissed = voice(0.2, -20).astype(np.float32), noise(0.2, -20).astype(np.float32)
    assert pitch_strength(spoken[320:480], spoken[480:640]) > 0.8
    assert pitch_strength(hissed[320:480], hissed[480:640]) < 0.5


def test_tones_are_told_from_a_voice() -> None:
    assert tone_share(tones(0.02, -20, 440, 480).astype(np.float32)) > 0.985
    assert tone_share(voice(0.5, -20).astype(np.float32)[2000:2160]) < 0.97


@pytest.mark.parametrize("hz", [(440, 480), (480, 620), (425,), (950,), (1400,), (2100,)])
def test_telephone_tones_are_not_speech(hz: tuple[float, ...]) -> None:
    assert listen(line(2.0, tones(2.0, -18, *hz), 1.0, tones(2.0, -18, *hz), 1.0)) == []


def _dial(keys: str, press: float, pause: float) -> list[Wave | float]:
    parts: list[Wave | float] = [1.0]
    for key in keys:
        row = next(n for n, row in enumerate(KEYS) if key in row)
        parts += [tones(press, -16, LOW[row], HIGH[KEYS[row].index(key)]), pause]
    return [*parts, 1.0]


@pytest.mark.parametrize(("press", "pause"), [(0.08, 0.06), (0.1, 0.1), (0.25, 0.05)])
def test_keys_are_read_and_never_speech(press: float, pause: float) -> None:
    detector = TurnDetector(TurnSettings(), RATE)
    assert listen(line(*_dial("123A456B789C*0#D5551122", press, pause)), detector=detector) == []
    assert detector.digits() == "123A456B789C*0#D5551122"
    assert detector.digits() == ""


def test_a_voice_presses_no_keys() -> None:
    detector = TurnDetector(TurnSettings(), RATE)
    for seed in range(6):
        listen(line(0.5, voice(5.0, -20, seed=seed, pitch=90 + 25 * seed), 0.5), detector=detector)
    assert detector.digits() == ""


def _echoed(far: Pcm, delay: float, db: float) -> Wave:
    lag = int(delay * RATE)
    return np.concatenate([np.zeros(lag), far[: len(far) - lag].astype(float)]) * 10 ** (db / 20)


@pytest.mark.parametrize("delay", [0.08, 0.13, 0.2, 0.3])
@pytest.mark.parametrize("db", [-16.0, -20.0, -26.0])
def test_echo_of_the_agent_is_not_speech_and_hides_no_barge_in(delay: float, db: float) -> None:
    far = line(1.0, voice(2.0, -18, seed=5, pitch=210), 0.3, voice(3.0, -20, seed=6, pitch=210), 1.5)
    echo = _echoed(far, delay, db)
    assert listen(line(echo), far=far, agent=(1.0, 6.3)) == []
    spoken = np.zeros(len(echo))
    words = voice(1.5, -22, seed=8)
    spoken[4 * RATE : 4 * RATE + len(words)] = words
    events = listen(line(echo + spoken), far=far, agent=(1.0, 6.3))
    assert kinds(events)[:2] == ["barge_in", "cut"]
    assert 0 <= events[0].decided / RATE - 4.0 <= 0.3


def test_the_echo_is_learned_and_a_line_without_echo_has_none() -> None:
    far = line(0.5, voice(5.0, -18, seed=5, pitch=210), 0.5)
    for echo_db, low, high in ((-20.0, -26.0, -15.0), (-90.0, -60.0, -35.0)):
        detector = TurnDetector(TurnSettings(), RATE)
        listen(line(_echoed(far, 0.12, echo_db)), far=far, agent=(0.5, 5.5), detector=detector)
        assert low <= detector.hearing.echo.coupling <= high


def test_audio_played_ahead_of_time_is_gated_as_well() -> None:
    """The pacer sends a burst first and then keeps its lead: the gate follows what is due, not what was sent."""
    from audio.frame import PCM16_8K, Frame

    far = line(voice(4.0, -18, seed=5, pitch=210))
    near = line(1.0 + 0.1, _echoed(far, 0.12, -16.0), 1.0)
    detector = TurnDetector(TurnSettings(), RATE)
    sent, events = 0, []
    for n in range(len(near) // 160):
        due = max(0, n - 50 + 5) if n >= 50 else 0  # five frames at once, then one a frame
        while sent < min(due, len(far) // 160):
            detector.played(Frame(far[160 * sent : 160 * sent + 160].tobytes(), PCM16_8K))
            sent += 1
        left = max(0, len(far) - (n - 50) * 160) if n >= 50 else 0
        events += detector.push(Frame(near[160 * n : 160 * n + 160].tobytes(), PCM16_8K), left)
    assert events == []


def test_speech_opens_over_a_noisy_background() -> None:
    rng = np.random.default_rng(4)
    clatter: Wave = np.zeros(8 * RATE)
    for at in rng.integers(0, 7 * RATE, 30):
        clatter[at : at + 1600] += noise(0.2, rng.uniform(-42, -34), seed=int(at)) * np.exp(-np.arange(1600) / 500)
    assert listen(line(clatter, floor=-48)) == []
    said = np.zeros(len(clatter))
    said[5 * RATE : 5 * RATE + int(1.5 * RATE)] = scaled(voice(1.5, -20), -20)
    events = listen(line(clatter + said, 1.0, floor=-48))
    assert kinds(events) == ["speech_start", "turn_end"]
    assert 0 <= events[0].decided / RATE - 5.0 <= 0.25
