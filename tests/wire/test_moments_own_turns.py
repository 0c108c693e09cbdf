"""Providers without manual turns: they find the end of a turn with an ear of their own, and answer by themselves.

The emulators do so when they are configured with turn detection. One answer to each question must be heard, whoever
finds the end of the turn first.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

import numpy as np
import orjson
import pytest

from audio.frame import Pcm, decode
from tests.wire.caller import question
from tests.wire.moments import SCRIPT, WELCOME, ask, asks, call, heard, rule, times, words
from tests.wire.stage import Socket, WireStage

KINDS = ["openai", "azure_voice_live", "gemini"]
RESET = {"reset": True}
OWN = {"capabilities": {"manual_turns": False}}


def two(first: int, pause_ms: int, second: int) -> Pcm:
    """Two questions in one breath, with a pause."""
    return np.concatenate([question(first), np.zeros(pause_ms * 8, np.int16), question(second)])


def audio(socket: Socket) -> Iterator[tuple[int, bytes]]:
    """Caller audio as it was sent: when (ms), and what."""
    for ms, message in zip(socket.sent_ms, map(orjson.loads, socket.sent), strict=True):
        if message.get("type") == "input_audio_buffer.append":
            yield ms, base64.b64decode(message["audio"])
        elif "audio" in message.get("realtimeInput", {}):
            yield ms, base64.b64decode(message["realtimeInput"]["audio"]["data"])


def lengths(stage: WireStage, socket: Socket) -> list[tuple[int, float, bool]]:
    """When, how many ms, and whether it was dead silent."""
    pcm = stage.targets[socket.provider].kind == "gemini"
    out = []
    for ms, data in audio(socket):
        samples = decode(data, "pcm16" if pcm else "pcmu")
        out.append((ms, len(samples) / (16 if pcm else 8), bool(np.abs(samples.astype(int)).max(initial=0) < 9)))
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_each_question_is_answered_once_and_the_provider_hears_a_second_of_silence_at_real_time(kind: str) -> None:
    stage = call(kind, "openai", options={"a": OWN})
    ends = [ask(stage, 300, 21), ask(stage, 8000, 22)]
    stage.run(14_000)
    assert heard(stage).count("you asked about number") == 2
    assert times(stage, "number twenty one") == 1 and times(stage, "number twenty two") == 1
    assert not stage.noted("fault") and not asks(stage, "b")
    for end in ends:
        sent = lengths(stage, stage.of("a")[0])
        tail = [(ms, length) for ms, length, silent in sent if end < ms < end + 3000 and silent]
        assert 850 <= sum(length for _, length in tail) <= 1000
        assert tail[-1][0] - end == pytest.approx(900, abs=20), "not in one go"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hangover_ms", [300, 500, 900])
def test_whoever_finds_the_end_of_the_turn_first(kind: str, hangover_ms: int) -> None:
    """Its own ear takes 500 ms. A reply it begins before our turn is over is kept and heard when it is."""
    stage = call(kind, "openai", options={"a": OWN})
    end = stage.say(300, question(23), hangover_ms)
    stage.run(8000)
    assert times(stage, "you asked about number twenty three") == 1 and times(stage, "you asked") == 1
    assert "~" not in heard(stage) and not stage.noted("fault")
    first = next(word for word in words(stage) if word.word == "you")
    assert first.begin >= end - 60, "it spoke into the caller's turn"
    assert first.begin - max(end, 1700 + 500) <= 300 + 150


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pause_ms", [600, 1000])
def test_an_answer_begun_in_a_pause_of_the_caller_is_not_heard(kind: str, pause_ms: int) -> None:
    """We wait longer for a caller who reads out a number; the provider does not. Both halves are answered, together or,
    to its ear, the second in the knowledge of the first."""
    quick = {"reply": {**SCRIPT["reply"], "first_audio_ms": 100}}
    stage = call(kind, "openai", a=quick, options={"a": OWN})
    end = stage.say(300, two(24, pause_ms, 25), 1200)
    stage.run(11_000)
    said = heard(stage)
    assert times(stage, "you asked") == 1, said
    assert "number twenty five" in said and "~" not in said
    assert next(word for word in words(stage)).begin >= end - 60
    assert not stage.noted("fault")
    assert len(stage.noted("first_audio")) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_caller_who_interrupts_it(kind: str) -> None:
    stage = call(kind, "openai", options={"a": OWN}, greeting=WELCOME, pace=1.5)
    ask(stage, 1500, 26)
    ask(stage, 5700, 27)
    stage.run(13_000)
    said = heard(stage)
    assert times(stage, "you asked about number twenty six") == 1, said
    assert times(stage, "you asked about number twenty seven") == 1, said
    assert said.replace("~", "").count("you asked") == 2
    assert "help you today" not in said
    assert not stage.noted("fault")


@pytest.mark.parametrize("kind", KINDS)
def test_a_nod_is_never_heard_by_it(kind: str) -> None:
    long = {"reply": {**SCRIPT["reply"], "seconds": 6}}
    whole = call(kind, "openai", a=long, options={"a": OWN})
    stage = call(kind, "openai", a=long, options={"a": OWN})
    for each in (whole, stage):
        ask(each, 300, 28)
        if each is stage:
            ask(each, 4000, 29, ms=250)
        each.run(12_000)
    assert heard(stage).split()[-8:] == heard(whole).split()[-8:]
    # Its own ear would take the nod for a turn: of all that a is sent after the question, none has a sound.
    loud = [ms for ms, _, silent in lengths(stage, stage.of("a")[0]) if not silent]
    assert 1000 < max(loud) < 3000


FROM = {
    "caller speaking": rule(RESET, "speaking", turn=1, after_ms=700),
    "turn just ended": rule(RESET, "asked", reply=1),
    "mid-reply": rule(RESET, "reply", reply=1, after_deltas=5),
}


@pytest.mark.parametrize("phase", FROM)
@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
def test_a_switch_to_it(first: str, second: str, phase: str) -> None:
    """The turn so far, or the whole of it, is replayed, then comes silence at real time; its own ear asks."""
    stage = call(first, second, a=[FROM[phase]], options={"b": OWN}, pace=1.5)
    end = ask(stage, 500, 25)
    stage.run(9000)
    assert times(stage, "number twenty five") == 1, heard(stage)
    assert heard(stage).replace("~", "").count("you asked") == 1
    assert len(stage.noted("fault")) == 1 and len(stage.noted("swap")) == 1
    if phase == "caller speaking":
        assert next(word for word in words(stage)).begin - end <= 300 + 150, "the caller waited for the switch"


@pytest.mark.parametrize("phase", FROM)
@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
def test_a_switch_from_it(first: str, second: str, phase: str) -> None:
    stage = call(first, second, a=[FROM[phase]], options={"a": OWN}, pace=1.5)
    ask(stage, 500, 25)
    stage.run(9000)
    assert times(stage, "number twenty five") == 1, heard(stage)
    assert heard(stage).replace("~", "").count("you asked") == 1
    assert len(stage.noted("fault")) == 1 and len(stage.noted("swap")) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_two_halves_of_a_question_are_replayed_to_it(kind: str) -> None:
    """Its ear may end a turn between the halves and be interrupted by the second: one answer to both."""
    stage = call("openai", kind, a=[rule(RESET, "asked", reply=1)], options={"b": OWN})
    ask(stage, 300, 51)
    ask(stage, 2260, 52)
    stage.run(11_000)
    said = heard(stage)
    assert times(stage, "number fifty two") == 1, said
    assert said.count("you asked") == 1, said


