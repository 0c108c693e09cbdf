"""The emulators' voice: every number can be said, words lie where they are said to lie."""

from __future__ import annotations

import numpy as np
import orjson
import pytest

from audio.files import read_audio
from audio.frame import PCM16_8K, PCM16_16K, PCM16_24K, PCMA, PCMU, decode
from bridge.fakes.speech import ASSETS, RATE, answered, bank, filler, number_words, numbers_in, words_of

FORMATS = [PCMU, PCMA, PCM16_8K, PCM16_16K, PCM16_24K]


def test_every_number_can_be_said_and_read_back() -> None:
    for n in range(1000):
        spoken = bank().say(str(n))
        assert spoken is not None
        assert numbers_in(spoken.text) == [n] == numbers_in(number_words(n)) == numbers_in(str(n))


def test_numbers_in_running_text() -> None:
    assert numbers_in("You asked about number one hundred five and about number twenty.") == [105, 20]
    assert numbers_in("I heard you for 3 point 2 seconds, at 40.") == [3, 2, 40]
    assert numbers_in("four twelve") == [4, 12]
    assert numbers_in("nothing") == []
    assert answered("You asked about number three and about number forty one. In twelve minutes.") == [3, 41]
    assert answered("Hello.") == []


def test_text_is_kept_as_it_was_written() -> None:
    spoken = bank().say("Hello! You asked about number 12.")
    assert spoken is not None
    assert spoken.text == "Hello! You asked about number twelve."
    assert bank().say("Hello zebra") is None


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_words_lie_where_the_sound_is(format: object) -> None:
    """Cutting a word out by its times gives the loud part; the joint between two clips is quiet."""
    spoken = bank().say("You asked about number seven. Tomorrow will be cloudy in the morning.")
    assert spoken is not None
    audio = bank().audio(spoken, format)  # type: ignore[arg-type]
    assert abs(len(audio) / format.width / format.rate - spoken.seconds) < 0.001  # type: ignore[attr-defined]
    pcm = decode(audio, format.encoding).astype(float)  # type: ignore[attr-defined]
    rate = format.rate  # type: ignore[attr-defined]
    for word in spoken.words:
        part = pcm[word.begin * rate // RATE : word.end * rate // RATE]
        assert np.sqrt(np.mean(part**2)) > 500, word
    for one, two in zip(spoken.words, spoken.words[1:], strict=False):
        assert one.begin < one.end <= two.begin


def test_cutting_and_joining_loses_nothing() -> None:
    spoken = filler(3, 12.0)
    for at in range(1, len(spoken.words)):
        head, tail = spoken.cut(0, at), spoken.cut(at)
        assert [word.text for word in head.words + tail.words] == [word.text for word in spoken.words]
        assert head.samples + tail.samples == spoken.samples
    data = bank().audio(spoken, PCM16_24K)
    head, tail = spoken.cut(0, 7), spoken.cut(7)
    assert bank().audio(head, PCM16_24K) + bank().audio(tail, PCM16_24K) == data


@pytest.mark.parametrize("seconds", [0.5, 3.0, 8.0, 20.0])
def test_fillers_have_the_length_asked_for(seconds: float) -> None:
    for n in range(20):
        assert seconds - 2.0 <= filler(n, seconds).seconds <= seconds + 1.2


def test_fillers_as_long_as_a_reply_end_with_a_clause() -> None:
    """Whoever listens to an emulator must not think that the end of a sentence was lost."""
    written = [sentence.text for sentence in bank().sentences]
    for n in range(8):
        for seconds in (4.4, 4.5, 4.6):
            text = filler(n, seconds).text.rstrip(".")
            assert any(text.endswith(sentence[:i]) for sentence in written for i in ends(sentence)), text


def ends(sentence: str) -> list[int]:
    return [i for i, letter in enumerate(sentence) if letter in ",."]


def test_fillers_differ_from_number_to_number() -> None:
    assert len({filler(n, 6.0).text for n in range(8)}) == 8


def test_words_of_spells_out_digits() -> None:
    assert words_of("Number 37, it's FINE — okay.") == ["number", "thirty", "seven", "it's", "fine", "okay"]


def test_phrases_have_sound_and_word_times() -> None:
    about = orjson.loads((ASSETS / "phrases" / "phrases.json").read_bytes())
    assert set(about) == {"sorry", "rephrase", "hold", "goodbye", "message"}
    for name, entry in about.items():
        pcm = read_audio(ASSETS / "phrases" / f"{name}.wav", 24000)
        assert [word for word, _, _ in entry["words"]] == entry["text"].split()
        for _, begin, end in entry["words"]:
            part = pcm[int(begin * 24) : int(end * 24)].astype(float)
            assert end - begin < 60 or np.sqrt(np.mean(part**2)) > 500
