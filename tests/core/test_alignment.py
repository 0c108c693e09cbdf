"""Text laid along speech, and text read as sounds."""

from __future__ import annotations

import random

import numpy as np
import pytest

from audio.bands import BANDS
from bridge.core.alignment import align
from bridge.core.numbers import is_english, read_out
from bridge.core.sounds import NAMES, sounds_of, words_of
from tests.core.voice import speech, speech_of


def kinds(word: str) -> str:
    return " ".join(NAMES[sound.kind] for sound in sounds_of(word) if not sound.optional)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("speech", "S K ee SH"),
        ("Nation,", "N a SH weak N"),
        ("the", "TH weak"),
        ("made", "N a G"),
        ("straße", "S K R a S"),
        ("garçon", "G a R S o N"),
        ("niño", "N i N o"),
        ("don't", "G o N K"),
        ("should", "SH u G"),
        ("eighty", "ai K y"),
        ("one", "W u N"),
        ("window", "W i N G ou"),
        ("42", "any any any any any any"),
        ("мир", "any any any"),
        ("—", ""),
    ],
)
def test_words_are_read_as_kinds_of_sound(word: str, expected: str) -> None:
    assert kinds(word) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7:30,", "seven:thirty,"),
        ("No. 471", "No. four hundred seventy one"),
        ("$1,250.50", "one thousand two hundred fifty point five zero dollars"),
        ("12%", "twelve percent"),
        ("the 21st of 2,000", "the twenty one st of two thousand"),
        ("Gate B12a", "Gate B twelve a"),
        ("007", "zero zero seven"),
        ("0", "zero"),
        ("305000", "three hundred five thousand"),
        ("4915550123", "four nine one five five five zero one two three"),
        ("none", "none"),
    ],
)
def test_numbers_are_read_as_english_reads_them(text: str, expected: str) -> None:
    assert read_out(text) == expected


def test_digits_are_words_in_english_only() -> None:
    assert is_english("Your train leaves at 7.") and not is_english("Ihr Zug fährt um 7.")
    assert sounds_of("42", True) == sounds_of("forty two") != sounds_of("42")
    assert words_of("Room 42.", True)[1].sounds == sounds_of("forty two")
    assert words_of("Zimmer 42.")[1].sounds == sounds_of("42")


def test_a_word_without_sound_is_over_with_the_one_before_it() -> None:
    said = speech_of(speech(random.Random(5)).spoken)
    bands = said.transcript(said.ms, -1).audio.outline()
    found = align(bands, words_of("— " + said.spoken.text), False)
    plain = align(bands, words_of(said.spoken.text), False)
    assert found.ends == (0, *plain.ends)


def test_a_script_without_spaces_has_a_word_in_every_sign() -> None:
    words = words_of("今日は、晴れ。 Yes.")
    assert [word.end for word in words] == [1, 2, 4, 5, 7, 12]
    assert [word.stop for word in words] == [False, False, True, False, True, True]


def test_words_come_in_order_and_within_the_sound() -> None:
    rng = random.Random(2)
    for complete in (True, False) * 10:
        said = speech(rng)
        transcript = said.transcript(said.ms if complete else rng.uniform(500, said.ms), 1e9)
        bands = transcript.audio.outline()
        found = align(bands, words_of(transcript.text), complete)
        times = [time for pair in zip(found.begins, found.ends, strict=True) for time in pair]
        assert times == sorted(times)
        assert not times or (times[0] >= 0 and times[-1] <= len(bands) * 10)
        if complete:
            assert len(found.ends) == len(said.ends)


def test_a_long_pause_within_a_reply_is_stepped_over() -> None:
    """Ten seconds of silence, longer than the search looks ahead."""
    said = speech_of(speech(random.Random(6)).spoken)
    gap = next(index for index, word in enumerate(said.spoken.words) if word.text.endswith((",", ".")))
    at = int(said.ends[gap]) + 40
    transcript = said.transcript(at, -1)
    transcript.audio.push(b"\xff" * 8 * 10_000)
    transcript.audio.push(said.data[at * 8 :])
    transcript.add(said.spoken.text)
    transcript.complete = True
    for index, end in enumerate(said.ends):
        moved = end + (10_000 if index > gap else 0)
        heard = len(transcript.upto((int(moved) + 200) * 8).split())
        assert heard > index - 2
        assert len(transcript.upto((int(moved) - 500) * 8).split()) <= index + 1


def test_silence_noise_and_nothing_are_no_trouble() -> None:
    words = words_of("Is anybody there? Hello.")
    noise = np.random.default_rng(3).uniform(20, 40, (5000, BANDS)).astype(np.float32)
    for bands in (noise[:0], np.zeros((3, BANDS), np.float32), np.full((5000, BANDS), 10.0, np.float32), noise):
        for complete in (True, False):
            found = align(bands, words, complete)
            assert len(found.begins) == len(found.ends) <= len(words)
    assert align(noise[:50], [], True).ends == ()


def test_text_far_longer_or_shorter_than_the_sound() -> None:
    said = speech(random.Random(9))
    bands = said.transcript(2000, -1).audio.outline()
    for complete in (False, True):
        long = align(bands, words_of(" ".join([said.spoken.text] * 20)), complete)
        assert 1 <= len(long.ends) <= 12
    bands = said.transcript(said.ms, -1).audio.outline()
    short = align(bands, words_of(" ".join(word.text for word in said.spoken.words[:4])), False)
    assert len(short.ends) == 4
    assert abs(short.ends[3] - said.ends[3]) <= 300


def test_sure_ends_are_right_and_doubtful_ones_less_often() -> None:
    rng = random.Random(21)
    off: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(60):
        said = speech(rng)
        audio = rng.uniform(3000, said.ms)
        transcript = said.transcript(audio, audio + 800)
        bands = transcript.audio.outline()
        found = align(bands, words_of(transcript.text), False, since=0)
        assert len(found.sure) == len(found.ends) and min(found.sure) >= 0
        for word, end in enumerate(found.ends):
            if found.sure[word] >= 12 or found.sure[word] < 3:
                off[found.sure[word] >= 12].append(abs(end - said.ends[word]))
    assert max(off[True]) <= 200
    assert np.mean(off[True]) * 1.5 <= np.mean(off[False])


def test_how_sure_is_told_from_a_time_on() -> None:
    said = speech(random.Random(5))
    bands = said.transcript(said.ms, -1).audio.outline()
    words = words_of(said.spoken.text)
    plain, later, whole = (align(bands, words, False, since=since) for since in (None, 3000, 0))
    assert plain.ends == plain.heard == later.ends == whole.ends and plain.sure == ()
    for end, sure, known in zip(later.ends, later.sure, whole.sure, strict=True):
        assert sure == (0 if end < 3000 else pytest.approx(known, abs=0.01))


def test_from_when_on_a_doubtful_word_counts_is_later_than_its_end() -> None:
    """Where its end is sure it counts from there on, or nearly; else only when little could be wrong."""
    rng = random.Random(21)
    moved: dict[bool, list[int]] = {True: [], False: []}
    for _ in range(60):
        said = speech(rng)
        audio = rng.uniform(3000, said.ms)
        transcript = said.transcript(audio, audio + 800)
        found = align(transcript.audio.outline(), words_of(transcript.text), False, since=0)
        assert list(found.heard) == sorted(found.heard) and len(found.heard) == len(found.ends)
        for end, heard, sure in zip(found.ends, found.heard, found.sure, strict=True):
            if sure >= 15 or sure < 2:
                moved[sure >= 15].append(abs(heard - end))
    assert max(moved[True]) <= 60
    assert np.mean(moved[False]) > 2 * np.mean(moved[True])
