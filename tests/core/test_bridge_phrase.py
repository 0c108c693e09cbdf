"""The bridge phrase ("one moment"): only into silence, never over or after an answer, and no part of the history."""

from __future__ import annotations

import numpy as np
import pytest

from audio.frame import PCMU
from providers import base as pb
from tests.core.line import HERTZ, HumStage, asked
from tests.core.stage import GEMINI_LIKE, Behaviour, SimLink

NETWORK = pb.Fault(pb.FaultClass.NETWORK, "reset")
PHRASE = 290.0  # Hz


def heard(stage: HumStage) -> list[str]:
    """Who was heard, in order: "a", "b" or "phrase"."""
    pcm = stage.pcm().astype(float)
    names = {**HERTZ, "phrase": PHRASE}
    out: list[str] = []
    for begin in range(0, len(pcm) - 800, 400):
        part = pcm[begin : begin + 800]
        if np.mean(part**2) < 1000**2:
            continue
        spectrum = np.abs(np.fft.rfft(part * np.hanning(800), 16_000))
        at = np.argmax(spectrum) / 2
        name = min(names, key=lambda one: abs(names[one] - at))
        if not out or out[-1] != name:
            out.append(name)
    return out


def call(first_audio: int, after: int = 700, **more: object) -> HumStage:
    act = Behaviour(words=5, first_audio=first_audio, **more)  # type: ignore[arg-type]
    return asked(
        HumStage(PCMU, {"a": act, "b": Behaviour(words=5, caps=GEMINI_LIKE)}, bridge_phrase_after_ms=after)
    )


def test_it_comes_before_a_late_answer_which_waits_for_its_end() -> None:
    stage = call(1000)
    stage.run(6000)
    assert heard(stage) == ["phrase", "a"]
    assert stage.when("phrase") == [2200]
    assert stage.steps()[0] <= stage.smooth()


@pytest.mark.parametrize("first_audio", [300, 690, 699])
def test_an_answer_in_time_needs_none(first_audio: int) -> None:
    assert heard(call(first_audio).run(6000)) == ["a"]  # type: ignore[arg-type]


def test_it_is_not_said_into_an_answer_that_halts() -> None:
    """The reply drips: now and then nothing is left to play when the timer runs out."""
    for after in range(300, 1600, 20):
        stage = call(250, after, speed=0.8)
        stage.run(6000)
        assert stage.noted("underrun")
        assert heard(stage) == ["a"], after


def test_nobody_is_told_of_it() -> None:
    """Not the next provider, and not as heard: only in the notes of the call."""
    stage = call(10_000)

    def die(link: SimLink = None) -> None:  # type: ignore[assignment]
        stage.link("a").die(NETWORK)

    stage.later(3000, die)
    stage.run(9000)
    assert heard(stage) == ["phrase", "b"]
    told = [
        item
        for link in stage.links.values()
        for command in link.log
        if isinstance(command, pb.Seed)
        for item in command.items
    ]
    assert not [item for item in told if isinstance(item, pb.Text) and item.role == "assistant"]
    assert [note["provider"] for note in stage.noted("heard")] == ["b"]
    assert [note["name"] for note in stage.noted("phrase")] == ["hold"]


def test_the_caller_who_speaks_over_it_is_heard() -> None:
    stage = call(2500)
    stage.ears.at(2400, "barge_in")
    stage.ears.at(2700, "cut", 2400)
    stage.ears.at(3300, "turn_end")
    stage.run(4000)
    assert stage.noted("cut")[0]["ask"] == 0
    stage.run(9000)
    assert heard(stage).count("phrase") >= 1 and heard(stage)[-1] == "a"
    assert stage.steps()[0] <= stage.smooth()
