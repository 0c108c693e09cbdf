"""Comfort noise: the line never falls silent, and nothing else notices."""

from __future__ import annotations

import numpy as np
import pytest

from audio.frame import PCM16_8K, PCM16_24K, PCMA, PCMU, Format
from bridge.core import effects as fx
from bridge.core import events as ev
from bridge.core.plan import Line
from providers import base as pb
from tests.core.line import HumStage, asked, hum
from tests.core.stage import GEMINI_LIKE, MS, Behaviour, SimLink

NARROW = [PCMU, PCMA, PCM16_8K]
NOISY = Line(comfort_noise=True)


def call(format: Format, line: Line, **more: object) -> HumStage:
    act = {"a": Behaviour(words=5, first_audio=407, **more), "b": Behaviour(caps=GEMINI_LIKE)}  # type: ignore[arg-type]
    return asked(HumStage(format, act, line=line))


def levels(stage: HumStage) -> np.ndarray:
    """dB of full scale, one per 20 ms."""
    size = stage.format.rate // 50
    pcm = stage.pcm().astype(float)
    power = np.mean(pcm[: len(pcm) // size * size].reshape(-1, size) ** 2, axis=1)
    return 10 * np.log10(power / 2**30 + 1e-12)


@pytest.mark.parametrize("format", NARROW, ids=str)
def test_there_is_noise_wherever_the_agent_is_silent(format: Format) -> None:
    stage = call(format, NOISY)
    stage.run(6000)
    quiet = levels(stage)[levels(stage) < -40]
    assert len(quiet) > 150
    assert np.all(np.abs(quiet[1:] + 62) < 3.5)  # padding of the last frame included; the call's first slot is empty
    assert not np.any(np.isclose(levels(call(format, Line()).run(6000)), -62, atol=3.5))
    assert stage.steps()[0] <= stage.smooth()


def test_a_wide_band_line_gets_none() -> None:
    assert call(PCM16_24K, NOISY).run(6000).heard == call(PCM16_24K, Line()).run(6000).heard


@pytest.mark.parametrize("format", NARROW, ids=str)
def test_it_is_the_same_every_time(format: Format) -> None:
    assert call(format, NOISY).run(6000).heard == call(format, NOISY).run(6000).heard


@pytest.mark.parametrize("late", range(0, 20, 3))
def test_the_first_audio_waits_for_two_frames_at_most(late: int) -> None:
    onsets = []
    for line in (Line(), NOISY):
        stage = call(PCMU, line)
        stage.behaviours["a"].first_audio = 400 + late
        stage.run(6000)
        onsets.append(int(np.flatnonzero(np.abs(stage.pcm()) > 1000)[0]) / 8)
    assert 0 <= onsets[1] - onsets[0] <= 40


def test_what_was_heard_is_known_as_well_as_without() -> None:
    """Cut at many places: the words said to be heard are those in the recording, to a frame or two."""
    for index in range(12):
        heard = {}
        for line in (Line(), NOISY):
            stage = asked(HumStage(PCMU, {"a": Behaviour(words=20, first_audio=407), "b": Behaviour()}, line=line))
            barge = 2600 + 47 * index
            stage.ears.at(barge, "barge_in")
            stage.ears.at(barge + 300, "cut", barge)
            stage.ears.at(barge + 900, "turn_end")
            stage.run(barge + 800)
            told = float(stage.noted("cut")[0]["heard_ms"])  # type: ignore[arg-type]
            loud = np.flatnonzero(np.abs(stage.pcm()[: (barge + 800) * 8]) > 1000)
            assert abs((loud[-1] - loud[0]) / 8 - told) <= 40
            heard[line] = told
        assert abs(heard[NOISY] - heard[Line()]) <= 40  # it begins so much later


def test_the_ears_hear_of_no_noise() -> None:
    """The echo gate is told what the agent says, and is idle while it says nothing."""
    stages = [call(PCMU, line).run(9000) for line in (Line(), NOISY)]
    assert stages[0].ears.heard_far == stages[1].ears.heard_far


def test_nothing_is_sent_to_a_caller_whose_stream_is_lost() -> None:
    stage = call(PCMU, NOISY)
    stage.run(800)
    emitted: list[int] = []
    stage._do_emit = lambda effect: emitted.append(stage.now // MS)  # type: ignore[method-assign]
    stage.dispatch(ev.LegLost())
    stage.run(1400)
    assert not emitted
    stage.dispatch(ev.LegBack())
    stage.run(1500)
    assert emitted


def test_notes_and_marks_are_those_of_a_call_without() -> None:
    one, two = (call(PCMU, line).run(8000) for line in (Line(), NOISY))
    plain = [(kind, fields) for _, kind, fields in one.notes if kind != "usage"]
    noisy = [(kind, fields) for _, kind, fields in two.notes if kind != "usage"]
    assert [kind for kind, _ in plain] == [kind for kind, _ in noisy]
    assert one.noted("heard") == two.noted("heard")


def test_a_dead_reply_and_the_next_voice() -> None:
    stage = call(PCMU, NOISY, speed=1.3)
    stage.later(2600, lambda: stage.link("a").die(pb.Fault(pb.FaultClass.NETWORK, "reset")))
    stage.run(7000)
    assert {note["provider"] for note in stage.noted("first_audio")} == {"a", "b"}
    assert stage.steps()[0] <= stage.smooth()
    assert np.min(levels(stage)[20:]) > -66


def test_every_frame_is_whole() -> None:
    stage = call(PCMU, NOISY)
    sizes: list[int] = []
    first = stage._do_emit

    def emit(effect: fx.Emit) -> None:
        sizes.append(len(effect.data))
        first(effect)

    stage._do_emit = emit  # type: ignore[method-assign]
    stage.run(6000)
    assert len(sizes) > 200 and all(size % 160 == 0 for size in sizes)


@pytest.mark.parametrize("format", NARROW, ids=str)
def test_pauses_within_a_reply_and_the_rest_of_its_last_frame(format: Format) -> None:
    """Words of 240 ms, then 67 ms of digital silence: the last frame of the reply is half empty."""

    def say(link: SimLink, ask: int, word: int) -> bool:
        pause = format.silence * (format.rate * 67 // 1000)
        data = hum("a", word, format, 1.0)[: format.bytes_for(240)] + pause
        link.stage.dispatch(ev.FromLink(link.number, pb.ReplyAudio(ask, f"i{ask}", data)))
        return True

    for line, silent in ((NOISY, False), (Line(), True)):
        stage = call(format, line, on_word=say)
        stage.run(6000)
        size = format.rate // 200  # 5 ms
        pcm = stage.pcm()[format.rate // 2 :]
        power = np.mean(pcm[: len(pcm) // size * size].reshape(-1, size).astype(float) ** 2, axis=1)
        speaking = np.flatnonzero(power > 1000**2)
        reply = power[speaking[0] : speaking[-1] + 8]
        # Only frames that are silent as a whole are filled: pauses keep up to 20 ms of digital silence at either end.
        runs = "".join("." if step < 100 else "x" for step in reply).split("x")
        assert (max(map(len, runs)) >= 10) == silent
        after = power[speaking[-1] + 14 : speaking[-1] + 60]
        assert np.all(after < 100) if silent else np.all(after > 100)
