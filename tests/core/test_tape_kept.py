"""How long the caller's words stay on the tape: for as long as any provider may still have to be told them."""

from __future__ import annotations

from dataclasses import replace

from audio.opening import REACH, WINDOW
from bridge.core.call import Call
from bridge.core.floor import KEEP_MS
from providers import base as pb
from tests.core.stage import Behaviour, Stage, tone

NETWORK = pb.Fault(pb.FaultClass.NETWORK, "reset")


def test_the_detector_finds_no_turn_that_began_before_what_is_kept() -> None:
    assert (REACH + WINDOW + 2) * 20 <= KEEP_MS, "blocks it reaches back, and frames that are not whole blocks"


def test_between_turns_there_is_room_for_a_turn_noticed_late() -> None:
    """A turn whose onset is told as late as the detector may do it reaches the provider with its pre-roll."""
    stage = Stage()
    stage.ears.at(20_000 + KEEP_MS - 60, "speech_start", 20_000)
    stage.ears.at(23_000, "turn_end", 22_800)
    stage.run(26_000)
    assert stage.link("a").turns[1] == stage.caller(19_700, 23_000)


def test_little_more_is_kept_between_turns() -> None:
    stage = Stage().run(20_000)
    tape = stage.call._desk.tape
    preroll = stage.spec.agent.turns.preroll_ms
    for at in range(20_000, 22_000, 20):
        stage.run(at)
        assert KEEP_MS + preroll <= (tape.end - tape.start) / 8 <= KEEP_MS + preroll + 32 * 20


def test_a_question_whose_answer_was_not_heard_is_kept_for_the_next_provider() -> None:
    """The answer waits behind a phrase when the caller goes on: the question is owed again; then its provider dies."""
    stage = Stage({"a": Behaviour(first_audio=1000), "b": Behaviour()}, standby="cold")
    stage.spec = replace(stage.spec, agent=replace(stage.spec.agent, bridge_phrase_after_ms=600))
    stage.spec.phrases["hold"] = tone(393, 4000)  # type: ignore[index]
    stage.call = Call(stage.spec, stage.ears)  # type: ignore[arg-type]
    for at, kind, about in ((1200, "speech_start", 1000), (5200, "turn_end", 5000), (9000, "barge_in", 8900)):
        stage.ears.at(at, kind, about)
    stage.ears.at(9400, "cut", 8900)
    stage.ears.at(11_000, "turn_end", 10_800)
    stage.later(6000, lambda: stage.link("a").say(pb.CallerText(1, "When do you open?", final=True)))
    stage.later(11_100, lambda: stage.link("a").die(NETWORK))
    stage.run(14_000)
    assert stage.noted("exchange_reopened")
    assert stage.link("b").turns == {1: stage.caller(700, 5200), 2: stage.caller(8600, 11_000)}
    assert not [note for note in stage.noted("noticed") if "off the tape" in str(note["what"])]
