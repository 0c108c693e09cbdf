"""Marks can be read wherever they are looked for in the bench, and speech is not taken for one."""

from __future__ import annotations

import numpy as np
import pytest

from audio.frame import PCM16_16K, PCM16_24K, PCMU, Frame, encode
from audio.g711 import ulaw_encode
from audio.turns import TurnDetector, TurnSettings
from bench import edge_sound as sound
from providers.translate import Converter

NUMBERS = (0, 1, 2, 5, 1023, 1024, 1365, 2046, 2047)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_mark_is_read_from_g711_and_at_another_place_is_none(number: int) -> None:
    frame = ulaw_encode(np.concatenate([sound.mark(number), np.full(28, 77, np.int16)]))
    assert sound.read_ulaw(frame) == number
    assert sound.read_ulaw(b"\xff" * 22 + frame, 22) == number
    assert sound.read_ulaw(frame[:100]) is None
    assert sound.read_ulaw(b"\xff" * 160) is None


@pytest.mark.parametrize("format", [PCM16_16K, PCM16_24K])
@pytest.mark.parametrize("number", NUMBERS)
def test_a_mark_survives_the_resampler_in_frames_of_a_stream(number: int, format) -> None:
    voice = sound.speech()
    up = Converter(PCMU, format)
    up.process(ulaw_encode(voice[:160]))
    marked = voice[160:320].copy()
    marked[:132] = sound.mark(number)
    assert sound.read_pcm(up.process(ulaw_encode(marked)), format.rate) == number
    assert sound.read_pcm(up.process(ulaw_encode(voice[320:480])), format.rate) is None


@pytest.mark.parametrize("number", NUMBERS)
def test_the_first_piece_of_a_reply_says_which_reply_it_is(number: int) -> None:
    voice = sound.speech()
    pieces = sound.reply(number, 8000, voice)
    assert sound.read_ulaw(ulaw_encode(pieces[0])) == number
    assert sum(map(len, pieces)) == 12800 and {len(piece) for piece in pieces} == {1600}
    down = Converter(PCM16_24K, PCMU)
    heard = down.process(encode(sound.reply(number, 24000, voice)[0], "pcm16"))
    assert sound.read_ulaw(heard, sound.DELAY) == number


def test_speech_is_hardly_ever_taken_for_a_mark() -> None:
    voice = sound.speech()
    found = [sound.read_ulaw(ulaw_encode(voice[at : at + 160])) for at in range(0, len(voice) - 160, 7)]
    assert len(found) > 10_000
    assert sum(number is not None for number in found) < len(found) / 500


def test_callers_speak_six_tenths_of_the_time_and_number_their_frames() -> None:
    voice = sound.speech()
    for number in (0, 17, 99):
        frames = sound.caller(number, 20.0, voice)
        assert len(frames) == 1000 and {len(frame) for frame in frames} == {160}
        quiet = [sound.is_quiet(frame) for frame in frames]
        assert 0.38 < sum(quiet) / 1000 < 0.5  # speech has a quiet frame now and then
        marks = {index: sound.read_ulaw(frame) for index, frame in enumerate(frames) if index % 5 == 0}
        spoken = {index for index, found in marks.items() if found is not None}
        assert len(spoken) >= 110 and all(marks[index] == index for index in spoken)
    assert sound.caller(1, 20.0, voice) != sound.caller(2, 20.0, voice)


def test_turns_are_found_where_callers_make_them() -> None:
    voice = sound.speech()
    for number in (3, 4):
        ears = TurnDetector(TurnSettings(), 8000)
        frames = sound.caller(number, 20.0, voice)
        kinds = [event.kind for frame in frames for event in ears.push(Frame(frame, PCMU), 0)]
        assert kinds.count("turn_end") in (2, 3) and set(kinds) == {"speech_start", "turn_end"}


def test_the_material_is_speech_without_pauses() -> None:
    voice = sound.speech()
    levels = np.sqrt(np.mean(voice[: len(voice) // 800 * 800].reshape(-1, 800).astype(float) ** 2, axis=1))
    assert len(voice) > 8000 * 8 and float(np.mean(levels > 250)) > 0.9
