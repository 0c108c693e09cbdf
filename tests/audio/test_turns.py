"""The turn detector over made-up lines: bursts of shaped noise stand for speech."""

from __future__ import annotations

import numpy as np
import pytest

from audio.frame import PCM16_8K, PCMU, Format, Frame, Pcm, encode
from audio.turns import TurnDetector, TurnEvent, TurnSettings

RATE = 8000
BLOCK = 160


def noise(seconds: float, db: float, seed: int = 1, rate: int = RATE) -> Pcm:
    """Noise of `db` dBFS; webrtcvad takes it for speech when it is loud."""
    samples = np.random.default_rng(seed).standard_normal(int(seconds * rate))
    return (samples * 32768 * 10 ** (db / 20)).clip(-32768, 32767).astype(np.int16)


def line(*parts: tuple[float, float], seed: int = 1, rate: int = RATE) -> Pcm:
    """Parts of (seconds, dBFS), one after the other."""
    return np.concatenate([noise(s, db, seed + n, rate) for n, (s, db) in enumerate(parts)])


def listen(
    near: Pcm,
    far: Pcm | None = None,
    agent: tuple[float, float] = (0.0, 0.0),
    settings: TurnSettings | None = None,
    rate: int = RATE,
    size: int | None = None,
    lost: tuple[float, float] = (0.0, 0.0),
    format: Format | None = None,
) -> list[TurnEvent]:
    """Runs the detector; the agent is heard from agent[0] to agent[1] seconds, frames in `lost` are concealed."""
    detector = TurnDetector(settings or TurnSettings(), rate)
    size = size or rate // 50
    wire = format or Format("pcm16", rate)
    events: list[TurnEvent] = []
    for start in range(0, len(near) - size + 1, size):
        t = start / rate
        left = int((agent[1] - t) * rate) if agent[0] <= t < agent[1] else 0
        if left and far is not None:
            detector.played(Frame(encode(far[start : start + size], wire.encoding), wire))
        frame = Frame(encode(near[start : start + size], wire.encoding), wire, concealed=lost[0] <= t < lost[1])
        events.extend(detector.push(frame, left))
    return events


def kinds(events: list[TurnEvent]) -> list[str]:
    return [event.kind for event in events]


def test_a_turn_opens_and_closes_after_the_hangover() -> None:
    events = listen(line((1.0, -65), (1.5, -25), (2.0, -65)))
    assert kinds(events) == ["speech_start", "turn_end"]
    start, end = events
    assert abs(start.at / RATE - 1.0) <= 0.05
    assert start.decided / RATE <= 1.25
    assert abs(end.at / RATE - 2.5) <= 0.15
    assert 0.45 <= end.decided / RATE - 2.5 <= 0.75


@pytest.mark.parametrize("hangover", [300, 900])
def test_the_hangover_is_the_pause_that_a_turn_survives(hangover: int) -> None:
    settings = TurnSettings(hangover_ms=hangover, adaptive=False)
    events = listen(line((1.0, -65), (1.0, -25), (0.6, -65), (1.0, -25), (1.5, -65)), settings=settings)
    assert kinds(events).count("turn_end") == (2 if hangover == 300 else 1)


def test_silence_and_line_noise_open_nothing() -> None:
    assert listen(line((3.0, -70), (5.0, -60), (5.0, -52))) == []
    assert listen(np.zeros(5 * RATE, np.int16)) == []


def test_speech_over_the_agent_ducks_then_cuts() -> None:
    near = line((2.0, -65), (1.5, -22), (2.0, -65))
    events = listen(near, far=noise(6, -20, seed=9), agent=(0.5, 6.0))
    assert kinds(events) == ["barge_in", "cut", "turn_end"]
    duck, cut, _ = events
    assert duck.decided / RATE - 2.0 <= 0.25
    assert 0.39 <= cut.decided / RATE - 2.0 <= 0.6
    assert cut.at == duck.at


def test_a_backchannel_is_withdrawn() -> None:
    near = line((2.0, -65), (0.3, -22), (2.0, -65))
    assert kinds(listen(near, far=noise(6, -20, seed=9), agent=(0.5, 6.0))) == ["barge_in", "cancel"]


def test_a_short_answer_at_the_end_of_a_question_is_a_turn() -> None:
    near = line((2.0, -65), (0.3, -22), (2.0, -65))
    events = listen(near, far=noise(6, -20, seed=9), agent=(0.5, 2.6))
    assert kinds(events) == ["barge_in", "speech_start", "turn_end"]


def test_a_barge_in_that_outlasts_the_agent_starts_a_turn() -> None:
    near = line((2.0, -65), (1.0, -22), (2.0, -65))
    events = listen(near, far=noise(6, -20, seed=9), agent=(0.5, 2.2))
    assert kinds(events) == ["barge_in", "speech_start", "turn_end"]


@pytest.mark.parametrize("delay", [0.08, 0.2])
def test_echo_of_the_agent_is_not_speech(delay: float) -> None:
    far = line((1.0, -70), (1.5, -18), (0.4, -70), (2.0, -20), (2.0, -70), seed=5)
    near = line((1.0 + delay, -65), (1.5, -34), (0.4, -65), (2.0, -36), (2.0 - delay, -65), seed=5)
    assert listen(near, far=far, agent=(1.0, 4.9)) == []


def test_concealed_frames_neither_open_nor_close() -> None:
    near = line((1.0, -65), (1.0, -25), (2.0, -65))
    assert listen(near, lost=(1.0, 2.0)) == []
    held = listen(near, lost=(2.0, 3.5))
    assert kinds(held) == ["speech_start", "turn_end"]
    assert held[1].decided / RATE >= 3.5


@pytest.mark.parametrize(("size", "rate"), [(80, 8000), (240, 8000), (33, 8000), (480, 48000), (320, 16000)])
def test_frames_of_any_length_and_rate_give_the_same_turns(size: int, rate: int) -> None:
    near = line((1.0, -65), (1.5, -25), (2.0, -65), rate=rate)
    events = listen(near, rate=rate, size=size)
    assert kinds(events) == ["speech_start", "turn_end"]
    assert abs(events[0].at / rate - 1.0) <= 0.06
    assert 0.4 <= events[1].decided / rate - 2.5 <= 0.8


def test_g711_and_pcm_give_the_same_turns() -> None:
    near = line((1.0, -65), (1.5, -25), (2.0, -65))
    assert kinds(listen(near, format=PCMU)) == kinds(listen(near, format=PCM16_8K)) == ["speech_start", "turn_end"]


def test_a_number_is_given_time_between_its_groups() -> None:
    near = line((1.0, -65), (1.0, -25), (0.75, -65), (1.0, -25), (2.5, -65))
    detector = TurnDetector(TurnSettings(), RATE)
    detector.expect("number")
    events: list[TurnEvent] = []
    for start in range(0, len(near) - BLOCK + 1, BLOCK):
        events.extend(detector.push(Frame(near[start : start + BLOCK].tobytes(), PCM16_8K), 0))
    assert kinds(events) == ["speech_start", "turn_end"]
    assert kinds(listen(near)).count("turn_end") == 2


def test_what_is_decided_does_not_depend_on_what_comes_later() -> None:
    near = line((1.0, -65), (1.0, -25), (0.9, -65), (1.2, -25), (2.0, -65))
    whole = listen(near)
    for cut in (1.5, 2.4, 3.0, 4.4):
        part = listen(near[: int(cut * RATE)])
        assert part == [event for event in whole if event.decided <= int(cut * RATE)]


def test_speaking_and_consumed_follow_the_stream() -> None:
    near = line((1.0, -65), (1.0, -25))
    detector = TurnDetector(TurnSettings(), RATE)
    for start in range(0, len(near), BLOCK):
        detector.push(Frame(near[start : start + BLOCK].tobytes(), PCM16_8K), 0)
        if start < 0.9 * RATE:
            assert not detector.speaking
    assert detector.speaking
    assert detector.consumed == 2 * RATE
