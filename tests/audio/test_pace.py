"""How finished a turn sounds."""

from __future__ import annotations

from audio.pace import Pace
from audio.turns import HALTING


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


def syllables(each: int, seconds: float) -> Pace:
    """One stretch of speech whose level rises and falls with syllables of `each` blocks."""
    pace = Pace()
    pace.begin(0)
    for block in range(int(seconds * 50)):
        pace.note(block, -20.0 if block % each < each - 3 else -34.0)
    return pace


def test_many_syllables_a_second_sound_more_finished_than_few() -> None:
    assert syllables(12, 3.0).finished() > syllables(36, 3.0).finished() + 1


def test_syllables_are_counted_without_silence_between_them_or_with_it() -> None:
    joined, apart = syllables(12, 3.0), Pace()
    apart.begin(0)
    for block in range(150):
        if block % 12 < 10:
            apart.note(block, -20.0)
    assert abs(joined.finished() - apart.finished()) < 0.7


def test_digits_read_out_in_groups_sound_unfinished_after_the_first_group() -> None:
    pace = Pace()
    pace.begin(0)
    for digit in range(3):
        for block in range(20):
            pace.note(26 * digit + block, -20.0 - abs(block - 8))
    assert pace.finished() < HALTING


def in_groups(*groups: int, gap: int = 19) -> Pace:
    """Groups of so many digits with `gap` blocks between them; every other digit has two syllables."""
    pace, at = Pace(), 0
    pace.begin(0)
    for digits in groups:
        for digit in range(digits):
            for block in range(20):
                between = 12.0 if digit % 2 and 8 <= block < 11 else 0.0
                pace.note(at + block, -20.0 - between)
            at += 25
        at += gap - 5
    return pace


def test_two_groups_alike_sound_unfinished_and_a_third_need_not() -> None:
    assert in_groups(3, 3).finished() < HALTING < in_groups(3, 3, 4).finished()


def test_a_short_pause_makes_no_groups_of_ordinary_speech() -> None:
    assert in_groups(3, 3, gap=12).finished() > HALTING
    assert in_groups(6, 3).finished() > HALTING, "the first part is too long for a group"
