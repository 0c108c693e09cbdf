"""What was heard, as words: 500 random cuts of the emulators' speech, whose word times are known."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest

from audio.frame import PCM16_24K, PCMU
from bridge.core.heard import Transcript
from bridge.fakes.answers import clip, words
from bridge.fakes.speech import Spoken, Word, bank, filler, number_words
from tests.core.voice import Speech, speech, speech_of

LEADS_MS = (0, 800, 1500, 3000, -1000)  # the transcript ahead of the audio, or behind it
COVER_MS = 950  # until the next provider speaks
USUAL_PACE = 1.0  # of this voice, as an earlier reply of the call tells it


def cut(rng: random.Random, how: str) -> float:
    """A random reply cut at a random place: how far off its text is (ms)."""
    said = speech(rng)
    pace = rng.choice((None, USUAL_PACE))
    if how == "barge-in, all received":
        at = rng.uniform(300, said.ms)
        return said.off_ms(said.transcript(said.ms, 1e9, True, pace).upto(int(at) * 8), at)
    lead = rng.choice(LEADS_MS)
    audio = rng.uniform(1200, said.ms)
    transcript = said.transcript(audio, audio + lead, False, pace)
    at = audio
    if how == "barge-in":
        at = rng.uniform(300, audio)
    elif how in HELD_MS:
        seam = transcript.seam(int(audio) * 8, max(0, int(audio) - HELD_MS[how]) * 8, COVER_MS)
        at = audio if seam is None else seam / 8
    text = transcript.upto(int(at) * 8)
    known = len(transcript.text.split())
    if lead < 0:  # no text says what came after
        at = min(at, said.ends[known - 1] if known else 0.0)
    return said.off_ms(text, at)


HELD_MS = {"death, 3 s held": 3000, "death, 1.5 s held": 1500, "death, 0.8 s held": 800}
CUTS = ("barge-in, all received", "barge-in", *HELD_MS, "death, nothing held")


@pytest.mark.parametrize("seed", [17, 29])
@pytest.mark.parametrize("how", CUTS)
def test_the_text_is_what_was_heard_within_200_ms(how: str, seed: int) -> None:
    rng = random.Random(seed)
    off = np.abs([cut(rng, how) for _ in range(500)])
    print(how, "p50, p95, p99, max", np.percentile(off, [50, 95, 99, 100]).round())
    assert np.percentile(off, 50) == 0
    assert off.max() <= 200


@pytest.mark.parametrize("how", [*HELD_MS, "death, nothing held"])
def test_numbers_in_digits_are_heard_as_words(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number of the transcript is one word, whatever the voice makes of it."""

    def in_digits(rng: random.Random) -> Speech:
        number = rng.randint(100, 999)
        first, said = clip("asked"), words(number_words(number) + ".")
        spoken = first + said + filler(rng.randint(0, 7), 6)
        once = spoken.words[len(first.words) : len(first.words) + len(said.words)]
        whole = Word(f"{number}.", once[0].begin, once[-1].end)
        rest = spoken.words[len(first.words) + len(said.words) :]
        return speech_of(Spoken((*first.words, whole, *rest), spoken.pieces))

    monkeypatch.setattr("tests.core.test_heard.speech", in_digits)
    rng = random.Random(23)
    off = np.abs([cut(rng, how) for _ in range(100)])
    print(how, "p50, p95, p99, max", np.percentile(off, [50, 95, 99, 100]).round())
    assert np.percentile(off, 50) == 0
    assert off.max() <= 200


def test_wide_band_sound_is_aligned_as_well() -> None:
    spoken = filler(3, 10)
    said = speech_of(spoken)
    transcript = Transcript(PCM16_24K)
    transcript.audio.push(bank().audio(spoken, PCM16_24K))
    transcript.add(spoken.text)
    transcript.complete = True
    off = [abs(said.off_ms(transcript.upto(ms * 24), ms)) for ms in range(500, said.ms, 250)]
    assert np.percentile(off, 90) <= 100
    assert max(off) <= 300


def test_how_the_sound_was_cut_into_chunks_does_not_matter() -> None:
    said = speech(random.Random(4))
    whole, pieces = Transcript(PCMU), Transcript(PCMU)
    whole.audio.push(said.data)
    rng = random.Random(1)
    at = 0
    while at < len(said.data):
        size = rng.randint(1, 900)
        pieces.audio.push(said.data[at : at + size])
        at += size
        if rng.random() < 0.1:
            pieces.audio.pause_before(at, 600)
    assert np.array_equal(pieces.audio.outline(), whole.audio.outline())
    assert pieces.audio.levels == whole.audio.levels


def test_nothing_heard_is_no_word_and_everything_heard_every_word() -> None:
    said = speech(random.Random(1))
    transcript = said.transcript(said.ms, 1e9, complete=True)
    assert transcript.upto(len(said.data)) == said.spoken.text
    assert transcript.upto(0) == ""
    assert transcript.upto(80) == ""


def test_without_a_transcript_there_are_no_words_but_a_pause_to_cut_at() -> None:
    said = speech_of(filler(2, 10))
    transcript = said.transcript(said.ms, -1)
    assert transcript.upto(len(said.data)) == ""
    gaps = [
        (end, begin) for end, begin in zip(said.ends, said.begins[1:], strict=False) if begin - end >= 150 and end > 700
    ]
    assert gaps
    for end, begin in gaps:
        seam = transcript.seam(int(begin) * 8, 0, COVER_MS)
        assert seam is not None and end - 40 <= seam / 8 <= begin


def test_text_without_sound_is_not_heard() -> None:
    transcript = Transcript(PCMU)
    transcript.add("Nothing of this was spoken yet.")
    assert transcript.upto(8000) == ""
    transcript.audio.push(b"\xff" * 16000)
    assert transcript.upto(16000) == ""


def test_a_seam_breaks_no_word_that_the_text_counts() -> None:
    """The text at the seam is the text of the sound that is kept, also once the sound after it is gone."""
    rng = random.Random(8)
    for _ in range(40):
        said = speech(rng)
        audio = rng.uniform(1500, said.ms)
        transcript = said.transcript(audio, audio + 800)
        seam = transcript.seam(int(audio) * 8, 0, COVER_MS)
        if seam is not None:
            assert 0 < seam / 8 <= audio
            assert transcript.upto(seam) == transcript.upto(seam + 1)
            assert len(transcript.upto(seam).split()) <= len(transcript.upto(int(audio) * 8).split())


def test_a_seam_leaves_enough_to_play_where_the_words_are_equally_sure() -> None:
    """It goes back to a surer place as long as what is left covers the next provider's first audio."""
    rng = random.Random(12)
    left = []
    for _ in range(60):
        said = speech(rng, (10, 16))
        audio = rng.uniform(7000, said.ms)
        seam = said.transcript(audio, audio + 800).seam(int(audio) * 8, int(audio - 4000) * 8, COVER_MS)
        assert seam is not None
        left.append(seam / 8 - (audio - 4000))
    assert np.percentile(left, 10) >= COVER_MS - 300
    assert np.mean(np.array(left) >= COVER_MS) >= 0.8


def test_text_that_is_behind_the_sound_is_cut_at_its_last_words() -> None:
    """Sound whose words are not known is not played: the next model would say it again."""
    rng = random.Random(3)
    for _ in range(40):
        said = speech(rng, (10, 16))
        audio = rng.uniform(7000, said.ms)
        transcript = said.transcript(audio, audio - 1000)
        seam = transcript.seam(int(audio) * 8, int(audio - 4000) * 8, COVER_MS)
        assert seam is not None
        assert abs(said.off_ms(transcript.upto(seam), seam / 8)) <= 400


def test_a_long_reply_is_aligned_in_stretches() -> None:
    """What lies before is settled, and as right as ever; what is aligned at the handover stays short."""
    said = speech_of(filler(1, 29) + filler(4, 29))
    transcript = Transcript(PCMU)
    transcript.add(said.spoken.text)
    for begin in range(0, len(said.data), 800):
        transcript.push(said.data[begin : begin + 800])
        fixed = transcript._fixed.ends[-1] if transcript._fixed.ends else 0
        assert (begin / 8) - fixed <= 25_000
    assert transcript._fixed.ends
    off = np.abs([said.off_ms(transcript.upto(ms * 8), ms) for ms in range(500, said.ms, 333)])
    assert np.percentile(off, 90) <= 60
    assert off.max() <= 500


def test_what_is_settled_stays_and_holds_no_outline() -> None:
    said = speech(random.Random(3))
    transcript = said.transcript(said.ms, 1e9, complete=True)
    heard = transcript.upto(4000 * 8)
    transcript.settle(4000 * 8)
    assert transcript.upto(4000 * 8) == heard
    assert transcript.audio.outline().size == 0
    assert transcript.audio.levels and transcript.audio.samples == len(said.data)


def test_little_of_the_sound_itself_is_held() -> None:
    transcript = Transcript(PCMU)
    rng = np.random.default_rng(5)
    for _ in range(300):
        transcript.audio.push(rng.integers(0, 256, 1600, np.uint8).tobytes())
        assert sum(len(part) for part in transcript.audio._waiting) <= 8_000
    assert len(transcript.audio._bands) + len(transcript.audio.levels) <= 60 * 1450


def test_half_a_minute_is_aligned_in_a_few_ms() -> None:
    said = speech_of(filler(2, 29))
    best = 1.0
    for _ in range(5):
        transcript = said.transcript(said.ms, 1e9, complete=True)
        begun = time.perf_counter()
        transcript.upto(8 * 15_000)
        best = min(best, time.perf_counter() - begun)
    assert best < 0.05  # ten times what it takes on a quiet machine


# ------------------------------------------------------------------------------------------------------- word timings


def timed(data: bytes, *words: tuple[str, int]) -> Transcript:
    transcript = Transcript(PCMU)
    transcript.audio.push(data)
    for text, at in words:
        transcript.add(text, at)
    return transcript


NOISE = np.random.default_rng(2).integers(0, 256, 16_000, np.uint8).tobytes()  # two seconds
THREE = (("One ", 0), ("two ", 400), ("three", 900))


def test_word_times_of_the_provider_decide() -> None:
    transcript = timed(NOISE, *THREE)
    assert transcript.upto(8 * 350) == ""
    assert transcript.upto(8 * 450) == "One"
    assert transcript.upto(8 * 950) == "One two"
    assert transcript.upto(8 * 1990) == "One two"  # the last may still be sounding
    transcript.complete = True
    assert transcript.upto(8 * 2000) == "One two three"


def test_timed_words_that_come_without_spaces_are_words() -> None:
    transcript = timed(NOISE, ("One", 0), ("two", 400), (",", 600), ("three", 900), (" four", 1400), ("five", 1600))
    assert transcript.text == "One two, three four five"
    assert transcript.upto(8 * 950) == "One two,"


def test_a_timed_word_followed_by_a_pause_is_heard_when_the_pause_begins() -> None:
    data = NOISE[: 8 * 700] + b"\xff" * 8 * 200 + NOISE[: 8 * 500] + b"\xff" * 8 * 100
    transcript = timed(data, *THREE)
    assert transcript.upto(8 * 690) == "One"
    assert transcript.upto(8 * 720) == "One two"
    assert transcript.upto(8 * 1390) == "One two"
    assert transcript.upto(8 * 1450) == "One two three"
    assert transcript.seam(8 * 1390, 0, 500) == 8 * 740
    assert transcript.seam(8 * 1250, 8 * 1000, 0) == 8 * 1000  # what is left is no whole word
    assert transcript.seam(8 * 1500, 0, 0) == 8 * 1440
