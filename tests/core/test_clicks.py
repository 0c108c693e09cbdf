"""No join of the agent's sound clicks: the caller's recording takes no larger step than the voices do by themselves."""

from __future__ import annotations

import numpy as np
import pytest

from audio.frame import PCM16_8K, PCM16_16K, PCM16_24K, PCMA, PCMU, Format
from bridge.core.events import Drain, Dtmf, FromLink
from providers import base as pb
from tests.core.line import HumStage, asked, hum
from tests.core.stage import GEMINI_LIKE, Behaviour, SimLink

FORMATS = [PCMU, PCMA, PCM16_8K, PCM16_24K]
NETWORK = pb.Fault(pb.FaultClass.NETWORK, "reset")


def dies_at(stage: HumStage, provider: str, ms: int) -> None:
    def die() -> None:
        if any(link.provider == provider for link in stage.links.values()):
            stage.link(provider).die(NETWORK)

    stage.later(ms, die)


def test_the_ruler_sees_a_hard_cut() -> None:
    stage = asked(HumStage(PCMU, {"a": Behaviour(words=4), "b": Behaviour()}))
    stage.run(4000)
    assert stage.steps()[0] <= stage.smooth()
    stage.heard[2 * 8000 + 7 :] = b"\xff" * 8000
    assert stage.steps()[0] > stage.smooth()


@pytest.mark.parametrize("format", FORMATS, ids=str)
@pytest.mark.parametrize("standby", ["cold", "warm"])
def test_a_switch_anywhere_in_a_reply(format: Format, standby: str) -> None:
    """The voice dies at forty places of its reply, with much and with little of it at hand; the other is 6 dB lower."""
    for index in range(40):
        stage = HumStage(
            format,
            {"a": Behaviour(words=14, speed=1.2 + 0.1 * (index % 5)), "b": Behaviour(words=12, caps=GEMINI_LIKE)},
            {"b": 0.5},
            standby=standby,
        )
        dies_at(asked(stage), "a", 1950 + 43 * index)
        stage.run(8000)
        assert {note["provider"] for note in stage.noted("first_audio")} == {"a", "b"}
        step, at = stage.steps()
        assert step <= stage.smooth(), f"place {index}: a step of {step} at {at} ms"


@pytest.mark.parametrize("format", FORMATS, ids=str)
@pytest.mark.parametrize("cuts", [False, True])
def test_duck_resume_and_cut(format: Format, cuts: bool) -> None:
    for index in range(20):
        stage = asked(HumStage(format, {"a": Behaviour(words=14), "b": Behaviour()}))
        barge = 2300 + 20 * index
        stage.ears.at(barge, "barge_in")
        stage.ears.at(barge + 300, "cut" if cuts else "cancel", barge)
        if cuts:
            stage.ears.at(barge + 900, "turn_end")
        stage.run(6000)
        assert bool(stage.noted("cut")) == cuts
        step, at = stage.steps()
        assert step <= stage.smooth(), f"place {index}: a step of {step} at {at} ms"


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_keys_cut_a_voice_that_is_not_ducked(format: Format) -> None:
    for index in range(20):
        stage = asked(HumStage(format, {"a": Behaviour(words=14), "b": Behaviour()}))
        stage.later(2401 + 20 * index, lambda stage=stage: stage.dispatch(Dtmf("#")))
        stage.run(6000)
        assert stage.noted("cut")
        step, at = stage.steps()
        assert step <= stage.smooth(), f"place {index}: a step of {step} at {at} ms"


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_a_stalled_voice_that_comes_back(format: Format) -> None:
    """It falls silent for a second in mid-word, before and after the next one could have spoken."""
    for pause in (700, 900, 1100, 1300, 1500):
        gone: list[int] = []

        def on_word(link: SimLink, ask: int, word: int, pause: int = pause, gone: list[int] = gone) -> bool:
            if word != 3 or gone:
                return bool(gone) and link.stage.now < gone[0]
            gone.append(link.stage.now + pause * 1_000_000)
            return True

        halting = Behaviour(words=14, on_word=on_word, speed=2.0)
        stage = asked(HumStage(format, {"a": halting, "b": Behaviour(words=14)}))
        stage.run(9000)
        step, at = stage.steps()
        assert step <= stage.smooth(), f"after {pause} ms: a step of {step} at {at} ms"


@pytest.mark.parametrize("format", FORMATS, ids=str)
@pytest.mark.parametrize("speed", [0.7, 0.85])
def test_a_voice_that_drips(format: Format, speed: float) -> None:
    """It runs dry in every word, ends in silence and begins again."""
    stage = asked(HumStage(format, {"a": Behaviour(words=8, speed=speed), "b": Behaviour(words=8)}))
    stage.run(9000)
    assert stage.noted("underrun")
    step, at = stage.steps()
    assert step <= stage.smooth(), f"a step of {step} at {at} ms"


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_a_voice_that_dies_when_it_has_run_dry(format: Format) -> None:
    """It drips in pieces that are no whole frames. What was left of one when it ran dry is no sound to end with."""

    def on_word(link: SimLink, ask: int, word: int) -> bool:
        size = format.bytes_for(287)
        data = b"".join(hum(link.provider, n, format, 1.0) for n in range(10))[word * size : (word + 1) * size]
        link.stage.dispatch(FromLink(link.number, pb.ReplyAudio(ask, f"i{ask}", data)))
        return True

    for index in range(12):
        slow = Behaviour(words=9, on_word=on_word, speed=0.8)
        stage = asked(HumStage(format, {"a": slow, "b": Behaviour(words=9)}))
        stage.later(2250 + 7 * index, lambda stage=stage: stage.link("a").die(NETWORK))
        stage.run(9000)
        step, at = stage.steps()
        assert step <= stage.smooth(), f"place {index}: a step of {step} at {at} ms"
        size = format.rate // 200  # 5 ms
        pcm = stage.pcm()
        loud = np.abs(pcm[: len(pcm) // size * size].reshape(-1, size)).max(axis=1) > 500
        runs = "".join("x" if one else "." for one in loud).replace(".", " ").split()
        assert min(map(len, runs)) > 6, f"place {index}: a blip of {min(map(len, runs)) * 5} ms"


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_a_reply_that_is_taken_back_while_it_sounds(format: Format) -> None:
    """The process goes down in mid-word, and says goodbye."""
    for index in range(20):
        stage = asked(HumStage(format, {"a": Behaviour(words=40, speed=1.5), "b": Behaviour()}))
        stage.later(2400, lambda stage=stage, ms=20 + 17 * index: stage.dispatch(Drain(ms)))
        stage.run(9000)
        assert stage.ended == "shutting down"
        step, at = stage.steps()
        assert step <= stage.smooth(), f"place {index}: a step of {step} at {at} ms"


@pytest.mark.parametrize("format", [PCMU, PCM16_16K], ids=str)
def test_local_phrases(format: Format) -> None:
    """The bridge phrase before an answer, and the last words of a call."""
    stage = asked(
        HumStage(format, {"a": Behaviour(words=6, first_audio=2000), "b": Behaviour()}, bridge_phrase_after_ms=700)
    )
    stage.run(6000)
    assert [note["name"] for note in stage.noted("phrase")] == ["hold"]
    assert stage.steps()[0] <= stage.smooth()
    stage.dispatch(Drain(100))
    stage.run(9000)
    assert stage.ended == "shutting down"
    assert stage.steps()[0] <= stage.smooth()
    assert int(np.abs(stage.pcm()[-4:]).max()) < 64
