"""Text laid along speech."""

from __future__ import annotations

import random

from audio.frame import PCMU
from bridge.core.alignment import Text, anchors, letters_at
from bridge.core.heard import Transcript
from bridge.fakes.speech import Spoken, bank, filler


def reply(rng: random.Random) -> tuple[Spoken, bytes]:
    spoken = filler(rng.randint(0, 7), rng.choice([6, 10, 16]))
    return spoken, bank().audio(spoken, PCMU)


def off_by_ms(spoken: Spoken, text: str, heard_ms: float) -> float:
    """How far the end of `text` in the sound is from what was heard; 0 while it lies in the gap after its last word."""
    count = len(text.split())
    end = spoken.words[count - 1].end / 24 if count else 0.0
    following = spoken.words[count].begin / 24 if count < len(spoken.words) else spoken.seconds * 1000
    return max(0.0, heard_ms - following, end - heard_ms)


def transcript_of(spoken: Spoken, data: bytes, rate: float | None = None) -> Transcript:
    transcript = Transcript(PCMU, rate)
    transcript.audio.push(data)
    for index, word in enumerate(spoken.words):
        transcript.add((" " if index else "") + word.text)
    return transcript


def test_a_complete_reply_is_cut_to_the_word() -> None:
    rng = random.Random(5)
    errors = []
    for _ in range(300):
        spoken, data = reply(rng)
        transcript = transcript_of(spoken, data)
        transcript.complete = True
        heard_ms = rng.randint(600, len(data) // 8)
        errors.append(off_by_ms(spoken, transcript.upto(heard_ms * 8), heard_ms))
    errors.sort()
    assert errors[len(errors) // 2] <= 120
    assert errors[int(len(errors) * 0.9)] <= 450


def test_a_transcript_seconds_ahead_of_a_dead_link_is_held_back() -> None:
    rng = random.Random(6)
    errors = []
    for _ in range(300):
        spoken, data = reply(rng)
        died_ms = rng.randint(2000, len(data) // 8)
        transcript = Transcript(PCMU)
        transcript.audio.push(data[: died_ms * 8])
        lead = rng.choice([0, 800, 3000])
        for word in spoken.words:
            if word.begin / 24 - lead <= died_ms:
                transcript.add(f"{word.text} ")
        errors.append(off_by_ms(spoken, transcript.upto(died_ms * 8), died_ms))
    errors.sort()
    assert errors[len(errors) // 2] <= 250
    assert errors[int(len(errors) * 0.9)] <= 1000


def test_word_times_of_the_provider_decide() -> None:
    transcript = Transcript(PCMU)
    transcript.audio.push(bytes(8000 * 3))
    for text, at in (("One ", 0), ("two ", 400), ("three", 900)):
        transcript.add(text, at)
    assert transcript.upto(8 * 350) == ""
    assert transcript.upto(8 * 450) == "One"
    assert transcript.upto(8 * 950) == "One two"


def test_everything_heard_is_everything_said() -> None:
    spoken, data = reply(random.Random(1))
    transcript = transcript_of(spoken, data)
    transcript.complete = True
    assert transcript.upto(len(data)) == spoken.text.strip()
    assert transcript.upto(0) == ""


def test_a_pause_is_matched_with_the_stop_it_belongs_to() -> None:
    _, chain = anchors([500, 1300, 2500], [10, 52], 0.02)
    assert chain == [(0, 0), (500, 10), (2500, 52)]


def test_the_rate_is_corrected_by_the_stops() -> None:
    pauses, stops = [1000, 2000, 3000], [22, 44, 66]
    assert abs(letters_at(2500, pauses, stops, 0.017, known=False) - 55) <= 2


def test_words_are_rounded_to_their_nearest_end() -> None:
    text = Text("one fourteen, six")
    assert text.stops == [11]
    assert text.upto(6.9) == "one"
    assert text.upto(7.1) == "one fourteen,"
