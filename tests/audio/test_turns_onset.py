"""Where a turn begins that the echo gate kept waiting: no word is lost, and no more than that is taken with it."""

from __future__ import annotations

import numpy as np
import pytest

from audio.frame import Pcm
from audio.turns import TurnDetector, TurnEvent, TurnSettings
from tests.audio.lines import RATE, Wave, kinds, line, listen, voice

Echo = tuple[float, float] | None  # dB, delay in s
PREROLL = TurnSettings().preroll_ms / 1000
ECHOES = [None, (-16.0, 0.08), (-16.0, 0.2), (-20.0, 0.13), (-26.0, 0.2)]


def _with_echo(near: Pcm, far: Pcm, echo: Echo) -> Pcm:
    if echo is None:
        return near
    db, delay = echo
    lag = int(delay * RATE)
    back = np.concatenate([np.zeros(lag), far.astype(float), np.zeros(len(near))])[: len(near)] * 10 ** (db / 20)
    return (near + back).clip(-32768, 32767).astype(np.int16)


def _answer(agent: float, offset: float, words: Wave, echo: Echo) -> tuple[float, list[TurnEvent]]:
    """The agent speaks for `agent` seconds and the caller from `offset` s after its end: the caller's begin (s)."""
    end = 0.94 + agent
    said = voice(agent, -18, seed=9, pitch=200)
    for pause in range(int(0.5 * RATE), len(said) - RATE // 2, int(0.7 * RATE)):
        said[pause : pause + RATE // 5] = 0.0
    far = line(0.94, said, len(words) / RATE + 3.0, floor=-90.0)
    near = line(end + offset, words, 2.0)
    return end + offset, listen(_with_echo(near, far, echo), far=far, agent=(0.94, end))


@pytest.mark.parametrize("agent", [0.7, 3.0])
@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("db", [-20.0, -25.0, -30.0])
def test_a_turn_holds_its_first_syllable(agent: float, echo: tuple[float, float] | None, db: float) -> None:
    for offset in np.arange(-0.6, 0.41, 0.1):
        begin, events = _answer(agent, float(offset), voice(2.0, db), echo)
        opened = [event for event in events if event.kind in ("barge_in", "speech_start", "cut")]
        assert kinds(events)[-1] == "turn_end"
        assert all(event.decided / RATE > begin for event in events)
        assert opened[0].at / RATE - PREROLL <= begin, offset
        assert len({event.at for event in opened}) == 1


def test_the_agents_last_words_kept_the_caller_waiting() -> None:
    far = line(0.94, voice(0.4, -14, seed=9, pitch=200), 3.0, floor=-90.0)
    start, _ = listen(line(1.0, voice(1.5, -26), 2.0), far=far, agent=(0.94, 1.34))
    assert start.decided / RATE > 1.7
    assert 0.96 <= start.at / RATE <= 1.06


def test_a_first_word_goes_with_the_second_after_a_pause() -> None:
    """The gate held the word back in full."""
    words = np.concatenate([voice(0.3, -28), np.zeros(int(0.4 * RATE)), voice(1.5, -28, seed=4)])
    begin, events = _answer(0.5, -0.1, words, None)
    assert kinds(events) == ["speech_start", "turn_end"]
    assert begin - 0.06 <= events[0].at / RATE <= begin + 0.06


def test_it_reaches_no_further_back_than_a_second() -> None:
    echo = (-16.0, 0.1)
    far = line(0.1, voice(1.2, -14, seed=9, pitch=200), 3.0, floor=-90.0)
    near = line(1.2, voice(1.5, -24), 2.0)
    start = listen(_with_echo(near, far, echo), far=far, agent=(0.1, 1.3))[0]
    assert start.decided / RATE - 1.2 <= start.at / RATE <= 1.2


def test_the_echo_of_a_line_that_is_known_is_left_out() -> None:
    begin, events = _answer(4.0, 0.3, voice(2.0, -18), (-26.0, 0.2))
    assert abs(events[0].at / RATE - begin) <= 0.06


def test_a_turn_never_reaches_into_the_one_before() -> None:
    settings = TurnSettings(hangover_ms=200, adaptive=False)
    events = listen(line(1.0, voice(1.0, -22), 0.3, voice(1.0, -22, seed=4), 1.0), settings=settings)
    assert kinds(events) == ["speech_start", "turn_end"] * 2
    assert events[2].at >= events[1].decided


def test_a_hold_is_no_silence_to_reach_over() -> None:
    detector = TurnDetector(TurnSettings(), RATE)
    assert listen(line(1.0, voice(0.06, -22)), detector=detector) == []
    detector.skip(0)
    start = listen(line(0.2, voice(1.0, -22), 1.0), detector=detector)[0]
    assert abs(start.at / RATE - 1.26) <= 0.06
