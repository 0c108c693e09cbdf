"""The judge of calls over real sockets: it finds what it is there to find."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from audio.frame import PCM16_16K, PCMU, Format, decode, encode
from audio.resample import convert
from bridge.fakes.saving import Saver
from bridge.fakes.speech import bank
from bridge.fakes.wire import Request
from tests.chaos.live.saved import links, lost_ms, spoken_ms
from tests.chaos.live.verdict import heard
from tests.wire.caller import Line, question
from tests.wire.received import messages_received

SPEAKS_MS = 1000
QUESTION = question(7, 1400)
BEGIN, END = (SPEAKS_MS + at for at in spoken_ms(QUESTION))


@pytest.fixture(scope="module")
def said() -> bytes:
    """Four seconds of a caller's line with a question in it, u-law."""
    line = Line(1)
    line.say(SPEAKS_MS, QUESTION)
    return b"".join(line.frame(index) for index in range(200))


def given(kind: str, data: bytes) -> bytes:
    """Caller sound in the form a provider gets it in."""
    return convert(decode(data, "pcmu"), 8000, 16000).astype("<i2").tobytes() if kind == "gemini" else data


@pytest.mark.parametrize("kind", ["openai", "gemini"])
@pytest.mark.parametrize(
    ("first_ms", "last_ms", "lost"), [(700, 2900, 0), (1000, 2400, 0), (1120, 2900, 120), (700, 2080, 300)]
)
def test_speech_that_is_missing_at_the_ends(said: bytes, kind: str, first_ms: int, last_ms: int, lost: int) -> None:
    found, trouble = lost_ms(kind, given(kind, said[first_ms * 8 : last_ms * 8]), said, BEGIN, END)
    assert abs(found - lost) <= 20
    assert bool(trouble) == bool(found)


@pytest.mark.parametrize("kind", ["openai", "gemini"])
def test_speech_with_a_hole_or_a_piece_twice_or_another_line(said: bytes, kind: str) -> None:
    hole = said[700 * 8 : 1500 * 8] + said[1800 * 8 : 2900 * 8]
    lost, trouble = lost_ms(kind, given(kind, hole), said, BEGIN, END)
    assert 200 <= lost <= 400 and "no stretch" in trouble
    twice = said[700 * 8 : 1600 * 8] + said[1400 * 8 : 2900 * 8]
    assert "no stretch" in lost_ms(kind, given(kind, twice), said, BEGIN, END)[1]
    noise = encode(np.random.default_rng(1).normal(0, 900, 16000).astype(np.int16), "pcmu")
    assert lost_ms(kind, given(kind, noise), said, BEGIN, END)[0] == END - BEGIN


def test_a_word_that_late_sound_tore_is_one_word() -> None:
    clip = bank().clips["greeting"]
    sound = bank().audio(clip, PCMU)
    whole = [word.word for word in heard(sound)]
    assert len(whole) > 5
    middle = (clip.words[3].begin + clip.words[3].end) // 2 // 3  # 24 kHz to 8 kHz
    torn = sound[:middle] + b"\xff" * 960 + sound[middle:]
    assert [word.word for word in heard(torn)] == whole
    assert all(word.whole for word in heard(torn))
    lost = sound[: clip.words[3].begin // 3] + sound[clip.words[4].begin // 3 :]
    assert [word.word for word in heard(lost)] != whole


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _realtime(sound: bytes) -> list[dict[str, Any]]:
    part = {"type": "input_audio", "audio": _b64(sound[:800])}
    return [
        {"type": "session.update", "session": {"type": "realtime"}},
        {"type": "input_audio_buffer.append", "audio": _b64(sound[:1600])},
        {"type": "input_audio_buffer.append", "audio": _b64(sound[1600:1610])},  # short: left as it is
        {"type": "input_audio_buffer.commit"},
        {"type": "conversation.item.create", "item": {"id": "i", "type": "message", "role": "user", "content": [part]}},
        {"type": "response.create", "response": {"instructions": "Go on."}},
    ]


def _gemini(sound: bytes) -> list[dict[str, Any]]:
    return [
        {"setup": {"model": "models/gemini-3.8-live"}},
        {"realtimeInput": {"activityStart": {}}},
        {"realtimeInput": {"audio": {"data": _b64(sound[:1600]), "mimeType": "audio/pcm;rate=16000"}}},
        {"realtimeInput": {"audio": {"data": _b64(sound[1600:4800]), "mimeType": "audio/pcm;rate=16000"}}},
        {"realtimeInput": {"activityEnd": {}}},
    ]


@pytest.mark.parametrize(("make", "format"), [(_realtime, PCMU), (_gemini, PCM16_16K)])
def test_what_an_emulator_wrote_down_is_what_came(make: Any, format: Format, tmp_path: Path) -> None:
    messages = make(np.random.default_rng(2).integers(0, 256, 6400).astype(np.uint8).tobytes())
    saver = Saver(tmp_path, 1, Request("/", {}, {}), 0)
    for index, message in enumerate(messages):
        saver.received(orjson.dumps(message).decode(), index * 20_000_000)
    with pytest.raises(ValueError, match="has not ended"):
        links("a", "openai", tmp_path)
    saver.close("closed", format, 10**9)
    (link,) = links("a", "openai", tmp_path)
    assert str(link) == "a1"
    assert link.told == messages_received((index * 20, message) for index, message in enumerate(messages))
    assert sum(len(entry.data) for entry in link.told) > 1600
    assert links("b", "openai", tmp_path / "nothing") == []
