"""The turn detector over made-up lines."""

from __future__ import annotations

import numpy as np
import pytest

from audio.frame import PCM16_8K, PCMU, Frame
from audio.resample import convert
from audio.turns import TurnDetector, TurnEvent, TurnSettings
from tests.audio.lines import BLOCK, RATE, Wave, kinds, line, listen, noise, voice


def test_a_turn_opens_at_its_onset_and_closes_after_the_hangover() -> None:
    events = listen(line(1.0, voice(2.5, -22), 2.0))
    assert kinds(events) == ["speech_start", "turn_end"]
    start, end = events
    assert abs(start.at / RATE - 1.0) <= 0.06
    assert start.decided / RATE <= 1.21
    assert abs(end.at / RATE - 3.5) <= 0.1
    assert 0.4 <= end.decided / RATE - 3.5 <= 0.7


@pytest.mark.parametrize(("hangover", "ends"), [(300, 2), (900, 1)])
def test_the_hangover_is_the_pause_that_a_turn_survives(hangover: int, ends: int) -> None:
    settings = TurnSettings(hangover_ms=hangover, adaptive=False)
    events = listen(line(1.0, voice(1.0, -22), 0.6, voice(1.0, -22), 1.5), settings=settings)
    assert kinds(events).count("turn_end") == ends


def test_a_short_start_is_given_more_time_than_a_long_turn() -> None:
    def latency(seconds: float, adaptive: bool) -> float:
        near = line(1.0, voice(seconds, -22), 2.5)
        return listen(near, settings=TurnSettings(adaptive=adaptive))[-1].decided / RATE - 1.0 - seconds

    assert latency(0.7, adaptive=True) > latency(0.7, adaptive=False) + 0.1


def test_a_number_that_was_asked_for_is_given_time_between_its_groups() -> None:
    near = line(1.0, voice(1.0, -22), 0.85, voice(1.0, -22), 2.5)
    detector = TurnDetector(TurnSettings(adaptive=False), RATE)
    detector.expect("number")
    assert kinds(listen(near, detector=detector)) == ["speech_start", "turn_end"]
    assert kinds(listen(near, settings=TurnSettings(adaptive=False))).count("turn_end") == 2


def test_speech_over_the_agent_ducks_then_cuts() -> None:
    near = line(2.0, voice(2.0, -22), 2.0)
    events = listen(near, far=line(0.5, voice(5.5, -20, seed=9, pitch=200)), agent=(0.5, 6.0))
    assert kinds(events) == ["barge_in", "cut", "turn_end"]
    duck, cut, _ = events
    assert duck.decided / RATE - 2.0 <= 0.25
    assert 0.4 <= cut.decided / RATE - 2.0 <= 0.6
    assert cut.at == duck.at


def test_a_backchannel_is_withdrawn() -> None:
    near = line(2.0, voice(0.35, -22), 2.0)
    far = line(0.5, voice(5.5, -20, seed=9, pitch=200))
    assert kinds(listen(near, far=far, agent=(0.5, 6.0))) == ["barge_in", "cancel"]


def _fading(seconds: float, fade: float) -> Wave:
    """A word of `seconds` whose last `fade` seconds are 14 dB weaker."""
    return np.concatenate([voice(seconds - fade, -20, seed=2), voice(fade, -34, seed=3)])


def test_a_long_backchannel_that_fades_is_withdrawn_and_one_that_stays_loud_is_a_turn() -> None:
    far = line(0.5, voice(5.5, -20, seed=9, pitch=200))
    assert kinds(listen(line(2.0, _fading(0.6, 0.2), 2.0), far=far, agent=(0.5, 6.0))) == ["barge_in", "cancel"]
    loud = line(2.0, voice(0.6, -20, seed=2), 2.0)
    assert kinds(listen(loud, far=far, agent=(0.5, 6.0))) == ["barge_in", "cut", "turn_end"]


def test_speech_that_goes_on_cuts_however_weak_it_has_become() -> None:
    far = line(0.5, voice(5.5, -20, seed=9, pitch=200))
    events = listen(line(2.0, _fading(1.4, 1.1), 2.0), far=far, agent=(0.5, 6.0))
    assert kinds(events) == ["barge_in", "cut", "turn_end"]
    assert 0.6 <= events[1].decided / RATE - 2.0 <= 0.85


def test_a_turn_that_a_voice_in_the_background_opened_ends_after_the_caller() -> None:
    """The background is never heard without a turn: it is learned from stretches far below the caller's speech."""
    talk = [part for n in range(16) for part in (voice(0.5, -33, seed=n, pitch=140 + 9 * n), np.zeros(RATE // 5))]
    near = np.concatenate(talk)
    said = voice(2.0, -18, seed=31, pitch=110)
    near[4 * RATE : 4 * RATE + len(said)] += said
    ends = [event.decided / RATE for event in listen(line(near)) if event.kind == "turn_end"]
    assert any(6.0 <= end <= 8.5 for end in ends)


def test_a_turn_does_not_end_in_a_block_of_speech() -> None:
    settings = TurnSettings(adaptive=False)
    quiet = next(e for e in listen(line(1.0, voice(2.0, -22), 1.0), settings=settings) if e.kind == "turn_end")
    pause = quiet.decided / RATE - 3.0 - 0.02  # the caller goes on in the very block that would end the turn
    events = listen(line(1.0, voice(2.0, -22), pause, voice(1.0, -22, seed=4), 1.5), settings=settings)
    assert kinds(events) == ["speech_start", "turn_end"]


@pytest.mark.parametrize("stop", [0.02, 0.04, 0.06])
def test_a_turn_does_not_end_just_after_a_first_block_of_speech(stop: float) -> None:
    """The caller goes on with a stop consonant: a block of speech, a short silence, and more."""
    settings = TurnSettings(adaptive=False)
    quiet = next(e for e in listen(line(1.0, voice(2.0, -22), 1.0), settings=settings) if e.kind == "turn_end")
    pause = quiet.decided / RATE - 3.0 - 0.04
    more = voice(1.0, -22, seed=4)
    more[RATE // 50 : RATE // 50 + int(stop * RATE)] = 0.0
    events = listen(line(1.0, voice(2.0, -22), pause, more, 1.5), settings=settings)
    assert kinds(events) == ["speech_start", "turn_end"]


@pytest.mark.parametrize("pitch", [80.0, 85.0, 90.0])
def test_a_clear_voice_that_is_too_quiet_for_webrtcvad_prolongs_a_turn(pitch: float) -> None:
    said = np.concatenate([voice(1.0, -33, pitch=pitch), voice(1.5, -41, seed=4, pitch=pitch)])
    _, end = listen(line(1.0, said, 2.0))
    assert abs(end.at / RATE - 3.5) <= 0.12


@pytest.mark.parametrize("agent_ends", [2.2, 2.9])
def test_a_short_answer_at_the_end_of_a_question_is_a_turn(agent_ends: float) -> None:
    near = line(2.0, voice(0.35, -22), 2.0)
    events = listen(near, far=line(0.5, voice(5.5, -20, seed=9, pitch=200)), agent=(0.5, agent_ends))
    assert kinds(events) == ["barge_in", "speech_start", "turn_end"]


def test_concealed_frames_neither_open_nor_close() -> None:
    near = line(1.0, voice(2.0, -22), 2.5)
    assert listen(near, lost=(1.0, 3.0)) == []
    end = listen(near)[-1]
    held = listen(near, lost=(3.1, 3.5))
    assert kinds(held) == ["speech_start", "turn_end"]
    assert held[1].decided - end.decided == int(0.4 * RATE)


@pytest.mark.parametrize(
    ("size", "rate"), [(80, 8000), (240, 8000), (33, 8000), (960, 48000), (320, 16000), (480, 24000)]
)
def test_frames_of_any_length_and_rate_give_the_same_turns(size: int, rate: int) -> None:
    near = line(1.0, voice(2.5, -22), 2.0)
    expected = listen(near)
    events = listen(convert(near, RATE, rate), rate=rate, size=size)
    assert kinds(events) == kinds(expected)
    for event, at_8k in zip(events, expected, strict=True):
        assert abs(event.at / rate - at_8k.at / RATE) <= 0.05
        assert abs(event.decided / rate - at_8k.decided / RATE) <= 0.07


def test_an_unknown_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="11025"):
        TurnDetector(TurnSettings(), 11025)


def test_g711_and_pcm_give_the_same_turns() -> None:
    near = line(1.0, voice(2.5, -22), 2.0)
    assert kinds(listen(near, format=PCMU)) == kinds(listen(near, format=PCM16_8K)) == ["speech_start", "turn_end"]


def test_what_is_decided_does_not_depend_on_what_comes_later() -> None:
    near = line(1.0, voice(1.0, -22), 0.9, voice(1.2, -22), 2.0)
    whole = listen(near)
    for cut in (1.5, 2.4, 3.0, 4.4):
        part = listen(near[: int(cut * RATE)])
        assert part == [event for event in whole if event.decided <= int(cut * RATE)]


def test_speaking_and_consumed_follow_the_stream() -> None:
    near = line(1.0, voice(1.0, -22))
    detector = TurnDetector(TurnSettings(), RATE)
    for start in range(0, len(near), BLOCK):
        detector.push(Frame(near[start : start + BLOCK].tobytes(), PCM16_8K), 0)
        if start < 0.9 * RATE:
            assert not detector.speaking
    assert detector.speaking
    assert detector.consumed == 2 * RATE


def test_a_gap_ends_the_turn_and_keeps_media_time() -> None:
    detector = TurnDetector(TurnSettings(), RATE)
    listen(line(1.0, voice(1.0, -22)), detector=detector)
    (end,) = detector.skip(10 * RATE)
    assert end.kind == "turn_end"
    assert detector.consumed == 12 * RATE
    assert not detector.speaking
    (start, _) = listen(line(1.0, voice(2.0, -22), 1.5), detector=detector)
    assert abs(start.at / RATE - 13.0) <= 0.06


def _opinion_at(complete: bool | None) -> tuple[float, TurnEvent]:
    detector = TurnDetector(TurnSettings(), RATE)
    near = line(1.0, voice(2.5, -22), 3.0)
    asked = 0.0
    for start in range(0, len(near), BLOCK):
        events = detector.push(Frame(near[start : start + BLOCK].tobytes(), PCM16_8K), 0)
        if events and events[0].kind == "turn_end":
            return asked, events[0]
        if detector.wants_opinion and complete is not None:
            asked = asked or detector.consumed / RATE
            detector.opinion(complete)
            assert not detector.wants_opinion
    raise AssertionError("the turn never ended")


def test_an_opinion_is_asked_for_after_240_ms_and_moves_the_end() -> None:
    _, alone = _opinion_at(None)
    asked, complete = _opinion_at(True)
    _, incomplete = _opinion_at(False)
    assert 0.2 <= asked - 3.5 <= 0.28
    assert complete.decided < alone.decided < incomplete.decided
    assert incomplete.decided / RATE - 3.5 >= 1.4


def test_noise_hum_and_silence_open_nothing() -> None:
    assert listen(line(8.0, floor=-45)) == []
    assert listen(np.zeros(5 * RATE, np.int16)) == []
    bursts = [part for n in range(12) for part in (noise(0.06, -25, seed=n), 0.2)]
    assert listen(line(2.0, *bursts)) == []
