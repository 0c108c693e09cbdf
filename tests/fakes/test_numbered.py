"""Numbers hidden in speech: read back after everything a line does, and honest about what is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import webrtcvad

from audio.frame import Pcm, decode, encode
from audio.resample import convert
from bridge.fakes.numbered import number_speech, read_number, read_numbers
from tests.fakes.client import ROOT, question

NAMES = sorted(path.stem for path in (ROOT / "fixtures" / "callers").glob("*.flac"))
CORPUS = ROOT.parent / "shared" / "corpus" / "calls"
NUMBERS = [0, 7, 37, 420, 999]


def law(pcm: Pcm, encoding: str = "pcmu") -> Pcm:
    return decode(encode(pcm, encoding), encoding)  # type: ignore[arg-type]


def silence(ms: int) -> Pcm:
    return np.zeros(ms * 8, np.int16)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", NUMBERS)
def test_survives_the_line_and_every_rate(name: str, n: int) -> None:
    marked = number_speech(question(name), n)
    framed = np.concatenate([silence(300), marked, silence(500)])
    for encoding in ("pcmu", "pcma"):
        reading = read_number(law(framed, encoding), 8000)
        assert (reading.number, reading.complete) == (n, True)
    for rate in (16000, 24000):
        reading = read_number(convert(law(framed), 8000, rate), rate)
        assert (reading.number, reading.complete, reading.repeated_ms) == (n, True, 0)


@pytest.mark.parametrize("name", NAMES)
def test_survives_noise(name: str) -> None:
    marked = number_speech(question(name), 512)
    rng = np.random.default_rng(5)
    level = np.sqrt(np.mean(marked.astype(float) ** 2)) * 10 ** (-20 / 20)
    noisy = (marked + rng.normal(0, level, len(marked))).astype(np.int16)
    assert read_number(law(noisy), 8000).number == 512


@pytest.mark.parametrize("ms", [200, 300, 700])
@pytest.mark.parametrize("name", NAMES)
def test_a_lost_stretch_is_noticed(name: str, ms: int) -> None:
    marked = number_speech(question(name), 64)
    for begin in (500, 900, 1300):
        cut = np.concatenate([marked[: begin * 8], marked[(begin + ms) * 8 :]])
        reading = read_number(convert(law(cut), 8000, 24000), 24000)
        assert reading.number == 64
        assert not reading.complete
        assert abs(reading.missing_ms - ms) <= 80
        assert reading.repeated_ms <= 80


@pytest.mark.parametrize("ms", [200, 500])
@pytest.mark.parametrize("name", NAMES)
def test_a_doubled_stretch_is_noticed(name: str, ms: int) -> None:
    marked = number_speech(question(name), 65)
    twice = np.concatenate([marked[: 1500 * 8], marked[(1500 - ms) * 8 :]])
    reading = read_number(law(twice), 8000)
    assert reading.number == 65
    assert not reading.complete
    assert abs(reading.repeated_ms - ms) <= 80
    assert reading.missing_ms <= 80


def test_a_muted_stretch_is_noticed() -> None:
    marked = number_speech(question(), 66)
    marked[1000 * 8 : 1400 * 8] = 0
    reading = read_number(law(marked), 8000)
    assert (reading.number, reading.complete) == (66, False)
    assert 300 <= reading.missing_ms <= 480


@pytest.mark.parametrize("name", NAMES)
def test_half_a_turn_has_a_number_and_is_not_complete(name: str) -> None:
    marked = number_speech(question(name), 131)
    first = read_number(law(marked[: len(marked) // 2]), 8000)
    second = read_number(law(marked[len(marked) // 2 :]), 8000)
    for reading in (first, second):
        assert (reading.number, reading.complete) == (131, False)
        assert reading.missing_ms > 900


def test_the_same_question_twice_is_a_repetition() -> None:
    marked = number_speech(question(), 9)
    reading = read_number(np.concatenate([marked, silence(400), marked]), 8000)
    assert reading.number == 9
    assert reading.repeated_ms > 2500


@pytest.mark.parametrize("pause", [150, 400, 900])
def test_two_numbers_in_one_stretch(pause: int) -> None:
    both = np.concatenate(
        [number_speech(question("table"), 13), silence(pause), number_speech(question("order_status"), 14)]
    )
    readings = read_numbers(convert(law(both), 8000, 16000), 16000)
    assert [(reading.number, reading.complete) for reading in readings] == [(13, True), (14, True)]


@pytest.mark.parametrize("name", NAMES)
def test_plain_speech_has_no_number(name: str) -> None:
    assert read_number(question(name), 8000).number is None


@pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus of calls here")
def test_real_calls_have_no_numbers() -> None:
    from audio.files import read_audio

    for path in sorted(CORPUS.glob("*_caller.flac")):
        pcm = read_audio(path, 8000)
        for begin in range(0, len(pcm) - 40000, 40000):
            assert read_numbers(pcm[begin : begin + 40000], 8000) == [], f"{path.name} at {begin / 8000} s"


def test_silence_and_noise_have_no_number() -> None:
    assert read_numbers(silence(3000), 8000) == []
    assert read_numbers(np.zeros(0, np.int16), 8000) == []
    rng = np.random.default_rng(1)
    for level in (20, 500, 5000):
        assert read_numbers(rng.normal(0, level, 32000).astype(np.int16), 8000) == []


@pytest.mark.parametrize("name", NAMES)
def test_marked_speech_is_still_speech(name: str) -> None:
    plain, marked = question(name), number_speech(question(name), 888)
    heard = [0, 0]
    for i, pcm in enumerate((plain, marked)):
        vad = webrtcvad.Vad(3)
        data = law(pcm).astype("<i2").tobytes()
        heard[i] = sum(vad.is_speech(data[at : at + 320], 8000) for at in range(0, len(data) - 319, 320))
    assert heard[1] >= 0.85 * heard[0]
    faint = marked.astype(float) - plain
    assert np.sqrt(np.mean(faint**2)) < 0.2 * np.sqrt(np.mean(plain.astype(float) ** 2))


@pytest.mark.parametrize("n", [-1, 1000])
def test_refuses_numbers_it_cannot_write(n: int) -> None:
    with pytest.raises(ValueError, match="0 to 999"):
        number_speech(question(), n)


def test_refuses_silence() -> None:
    with pytest.raises(ValueError, match="nothing spoken"):
        number_speech(silence(1000), 1)


def test_the_scripted_caller_carries_its_numbers() -> None:
    import orjson

    from audio.files import read_audio

    folder = Path(ROOT / "bridge" / "assets" / "callers")
    about = orjson.loads((folder / "caller_questions.json").read_bytes())
    pcm = read_audio(folder / "caller_questions.flac", 8000)
    assert 60 <= len(pcm) / 8000 <= 90
    for turn in about["turns"]:
        part = pcm[int((turn["begin_s"] - 0.3) * 8000) : int((turn["end_s"] + 0.5) * 8000)]
        reading = read_number(law(part), 8000)
        assert (reading.number, reading.complete) == (turn["number"], True)
