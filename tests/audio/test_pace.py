"""How finished a turn sounds."""

from __future__ import annotations

from audio.pace import Pace


def spoken(*parts: tuple[int, float]) -> Pace:
    """Stretches of (blocks, dB) with six blocks of silence between them."""
    pace, at = Pace(), 0
    pace.begin(0)
    for blocks, level in parts:
        for n in range(blocks):
            pace.note(at + n, level)
        at += blocks + 6
    return pace


FLUENT = [(18, -20.0)] * 6


def test_fluent_speech_sounds_more_finished_than_a_short_start() -> None:
    assert spoken(*FLUENT).finished() > spoken((18, -20.0)).finished() + 1


def test_a_weak_last_word_sounds_more_finished_than_a_loud_one() -> None:
    assert spoken(*FLUENT, (18, -30.0)).finished() > spoken(*FLUENT, (18, -14.0)).finished()


def test_a_turn_with_a_long_gap_sounds_less_finished() -> None:
    pace, halting = spoken(*FLUENT), Pace()
    halting.begin(0)
    at = 0
    for number, (blocks, level) in enumerate(FLUENT):
        for n in range(blocks):
            halting.note(at + n, level)
        at += blocks + (6 if number else 36)
    assert halting.finished() < pace.finished()


def test_single_words_are_a_list_and_a_sentence_is_not() -> None:
    assert spoken((18, -20.0), (20, -20.0), (16, -20.0)).listed
    assert not spoken((18, -20.0), (60, -20.0)).listed
