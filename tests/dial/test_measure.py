from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.dial.measure import Gap, first_audio, gaps, join, overlap, quantile, speech

RATE = 8000


def s(*spans: tuple[float, float]) -> list[tuple[int, int]]:
    return [(int(begin * RATE), int(end * RATE)) for begin, end in spans]


def recording(length: float, *loud: tuple[float, float], floor: int = 20) -> NDArray[np.int16]:
    rng = np.random.default_rng(3)
    pcm = rng.integers(-floor, floor + 1, int(length * RATE))
    for begin, end in loud:
        a, b = int(begin * RATE), int(end * RATE)
        pcm[a:b] = rng.integers(-3000, 3000, b - a)
    return pcm.astype(np.int16)


def test_speech_is_found_by_level() -> None:
    found = speech(recording(5, (0.5, 1.0), (1.2, 2.0), (3.0, 3.04), (4.0, 5.0)), RATE)
    assert found == s((0.5, 2.0), (4.0, 5.0))  # a pause of 200 ms does not divide, 40 ms are a click


@pytest.mark.parametrize("length", [0, 10, 159])
def test_too_little_sound_is_no_speech(length: int) -> None:
    assert speech(np.full(length, 9000, np.int16), RATE) == []


def test_join() -> None:
    assert join([(0, 10), (15, 20), (40, 50), (45, 48)], 6) == [(0, 20), (40, 50)]


def test_first_audio_is_counted_from_the_end_of_each_turn() -> None:
    turns = s((1, 2), (5, 6), (10, 11), (14, 15))
    sound = s((0, 0.8), (2.6, 4.5), (7.25, 8), (16.0, 17.0))
    assert first_audio(turns, sound, RATE, 20 * RATE) == [600, 1250, None, 1000]
    assert first_audio([], sound, RATE, 20 * RATE) == []


def test_audio_that_was_there_before_the_end_of_the_turn_is_no_answer() -> None:
    assert first_audio(s((1, 2)), s((1.5, 3.0)), RATE, 10 * RATE) == [None]
    assert first_audio(s((1, 2)), s((1.5, 3.0), (3.4, 4)), RATE, 10 * RATE) == [1400]


def test_an_answer_to_a_later_turn_does_not_answer_the_earlier_one() -> None:
    assert first_audio(s((1, 2), (3, 4)), s((4.5, 5)), RATE, 10 * RATE) == [None, 500]


def test_gaps_are_silences_inside_the_agents_speech() -> None:
    sound = s((0, 1), (1.1, 2), (2.9, 4), (8, 9))
    assert gaps(sound, s((5, 6)), RATE) == [Gap(2 * RATE, 900)]
    assert gaps(sound, [], RATE) == [Gap(2 * RATE, 900), Gap(4 * RATE, 4000)]
    assert gaps(sound, s((3.5, 4.5)), RATE) == [Gap(2 * RATE, 900)]  # the caller spoke into it
    assert gaps(sound, [], RATE, shortest_ms=1000) == [Gap(4 * RATE, 4000)]


def test_overlap() -> None:
    assert overlap(s((1, 3)), s((0, 1.5), (2.5, 4)), RATE) == 1000


def test_quantiles() -> None:
    assert quantile([], 0.5) is None
    assert quantile([7], 0.9) == 7
    assert quantile([5, 1, 3, 2, 4], 0.5) == 3
    assert quantile(list(range(1, 101)), 0.9) == 90
    assert quantile([1, 2], 1.0) == 2
