"""Opinions on whether a turn is over: asked once a pause, and whatever they say or fail to say, the call goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from audio.files import read_audio
from audio.frame import Pcm, encode
from audio.turns import TurnSettings
from bridge.core import effects as fx
from bridge.core import events as ev
from bridge.core.call import Call
from providers import base as pb
from tests.edges.test_lossy_line import LineStage
from tests.virtual import virtual
from tests.wire.caller import QUESTIONS

Answer = Callable[[int, int], ev.Opinion | None]
"""From the number of the request and the ms of the caller heard so far."""
SPOKEN = read_audio(QUESTIONS / "order_status.flac", 8000)
SPOKEN = SPOKEN[: np.flatnonzero(np.abs(SPOKEN) > 400)[-1] + 160]
SPOKEN_MS = len(SPOKEN) // 8
END = 1000 + SPOKEN_MS  # of the first sentence, which has pauses of its own


def said(*pauses_ms: int) -> Pcm:
    """The sentence, a pause, the sentence, ..., on a line that is not quite silent."""
    parts = [np.zeros(8000, np.int16)]
    for pause in (*pauses_ms, 4000):
        parts += [SPOKEN, np.zeros(pause * 8, np.int16)]
    whole = np.concatenate(parts)
    return np.asarray(whole + np.random.default_rng(3).integers(-10, 11, len(whole)), np.int16)


class AskedStage(LineStage):
    """Opinions are answered by `answer`, `after_ms` later."""

    def __init__(self, pcm: Pcm, answer: Answer, after_ms: int = 20) -> None:
        super().__init__(pcm)
        agent = replace(self.spec.agent, turns=TurnSettings(opinion="somebody:knows"))
        self.spec = replace(self.spec, agent=agent)
        self.call = Call(self.spec, self.detector)
        self.asked: list[tuple[int, fx.AskOpinion]] = []
        self._answer, self._after = answer, after_ms

    def _do_askopinion(self, effect: fx.AskOpinion) -> None:
        self.asked.append((len(self.given), effect))
        answer = self._answer(effect.request, 20 * len(self.given))
        if answer is not None:
            self.later(self._after, lambda: self.dispatch(answer))


def latency(stage: LineStage) -> int:
    """From the end of the sound of the last sentence to the end of the turn, in ms."""
    loud = np.flatnonzero(np.abs(np.concatenate([frame.pcm for frame in stage.given])) > 400)
    return int(str(stage.noted("turn_ended")[-1]["at_ms"])) - int(loud[-1]) // 8


def run(pcm: Pcm, answer: Answer, after_ms: int = 20) -> AskedStage:
    stage = AskedStage(pcm, answer, after_ms)
    stage.run(len(pcm) // 8)
    return stage


def nobody(request: int, at_ms: int) -> None:
    """No answer at all."""


@virtual
async def test_a_complete_turn_is_answered_sooner() -> None:
    sure = run(said(), lambda request, at_ms: ev.Opinion(request, at_ms > END))
    unasked = run(said(), nobody)
    assert latency(sure) < latency(unasked) - 80
    assert len(sure.noted("turn_ended")) == len(unasked.noted("turn_ended")) == 1
    assert sure.noted("opinion")[-1] == {"complete": True, "timely": True}
    assert sum(isinstance(command, pb.Ask) for command in sure.link("a").log) == 1


@virtual
async def test_an_incomplete_turn_lasts_through_its_pause() -> None:
    pcm = said(900)
    stage = run(pcm, lambda request, at_ms: ev.Opinion(request, at_ms > END + 900 + SPOKEN_MS))
    assert len(run(pcm, nobody).noted("turn_ended")) == 2
    assert len(stage.noted("turn_ended")) == 1


@virtual
async def test_it_is_asked_once_in_each_pause_with_the_last_seconds_as_they_came() -> None:
    pcm = said(400, 400, 400, 400)
    stage = run(pcm, nobody)
    requests = [effect.request for _, effect in stage.asked]
    assert requests == list(range(1, len(requests) + 1)) and len(requests) >= 5
    line = encode(pcm, "pcmu")
    for frames, effect in stage.asked:
        end = frames * 160
        assert effect.sound == line[max(0, end - 64_000) : end]
    assert any(len(effect.sound) == 64_000 for _, effect in stage.asked)


@virtual
@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("after_ms", [300, 600, 5000])
async def test_an_answer_after_its_pause_changes_nothing(complete: bool, after_ms: int) -> None:
    pcm = said(400, 2500)

    def late(request: int, at_ms: int) -> ev.Opinion:
        return ev.Opinion(request, complete)

    stage, unasked = run(pcm, late, after_ms), run(pcm, nobody)
    if after_ms > 300:
        ends = [[note["at_ms"] for note in each.noted("turn_ended")] for each in (stage, unasked)]
        assert ends[0] == ends[1]
        assert not any(note["timely"] for note in stage.noted("opinion"))
    assert stage.noted("opinion"), "what came is told all the same"


@virtual
async def test_what_was_not_answered_is_told_and_harmless() -> None:
    pcm = said(2500)
    stage = run(pcm, lambda request, at_ms: ev.Opinion(request, None, "ValueError: no idea"))
    unasked = run(pcm, nobody)
    assert [n["at_ms"] for n in stage.noted("turn_ended")] == [n["at_ms"] for n in unasked.noted("turn_ended")]
    told = [str(note["what"]) for note in stage.noted("noticed")]
    assert told == ["no opinion on the turn: ValueError: no idea"] * len(stage.asked)
    assert stage.noted("opinion") == []


@virtual
async def test_nobody_is_asked_by_default_and_stray_answers_are_ignored() -> None:
    stage = LineStage(said())
    stage.later(3000, lambda: stage.dispatch(ev.Opinion(1, True)))
    stage.run(8000)  # an AskOpinion would have no handler here
    assert stage.noted("opinion") == [] and len(stage.noted("turn_ended")) == 1
