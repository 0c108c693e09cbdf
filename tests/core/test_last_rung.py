"""Callers who have to wait: what they hear meanwhile, when the board is asked again, and when the policy acts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bridge.core import effects as fx
from bridge.core import events as ev
from bridge.core.plan import LastRung, Plan
from providers import base as pb
from tests.core.stage import MS, Behaviour, Stage, tone
from tests.core.test_call import question
from tests.core.test_failover import ALL_WORDS

RESET = pb.Fault(pb.FaultClass.NETWORK, "reset")
SORRY, GOODBYE, HOLD, MESSAGE = 390, 391, 393, 394
Answer = Callable[[fx.Choose, int], ev.Chosen]


class Waiting(Stage):
    """`answer` is the health board's, given the question and the time in ms. `asks`: all questions but the standbys',
    with their times."""

    def __init__(self, answer: Answer, *providers: str, standby: str = "cold", **rung: object) -> None:
        plan = Plan((), standby=standby, last_rung=LastRung(**rung))  # type: ignore[arg-type]
        super().__init__({name: Behaviour() for name in providers or ("a", "b")}, plan=plan)
        phrases = {**self.spec.phrases, "message": tone(MESSAGE, 500)}
        self.spec = replace(self.spec, phrases=phrases)
        self.call = type(self.call)(self.spec, self.ears)  # type: ignore[arg-type]
        self.answer = answer
        self.asks: list[tuple[int, fx.Choose]] = []
        self.standby_asks: list[int] = []

    def _do_choose(self, effect: fx.Choose) -> None:
        now = self.now // MS
        if effect.purpose == "standby":
            self.standby_asks.append(now)
        else:
            self.asks.append((now, effect))
        self._queue.append(self.answer(effect, now))
        self.later(0, lambda: self.dispatch(ev.Tick()))

    def silences(self, begin_ms: int, end_ms: int) -> int:
        return self.gaps_ms(begin_ms, end_ms)


def nobody(retry_ms: int | None = None) -> Answer:
    return lambda effect, now: ev.Chosen(effect.request, None, "a: connection pace reached", retry_ms)


def from_then_on(at_ms: int, name: str) -> Answer:
    """`name` may be dialled at `at_ms`, which the board says from the first."""

    def answer(effect: fx.Choose, now: int) -> ev.Chosen:
        if now >= at_ms:
            return ev.Chosen(effect.request, name)
        return ev.Chosen(effect.request, None, "a: connection pace reached", at_ms - now)

    return answer


def test_who_waits_for_an_answer_is_told_again_and_again() -> None:
    stage = Waiting(nobody(1000), repeat_ms=3000)
    question(stage, 1000, 2000)
    stage.run(30_000)
    assert stage.ended == "no provider"
    # Asked at 2.5 s: sorry (0.6 s), then every 3.5 s, until the policy acts 20 s after the call began.
    assert stage.words() == [SORRY, HOLD, HOLD, HOLD, HOLD, GOODBYE]
    assert stage.silences(2500, 19_900) <= 3100
    assert stage.noted("hold_over") == [{"ms": 20_000}]


def test_said_once_where_it_is_not_to_be_repeated() -> None:
    stage = Waiting(nobody(1000), repeat_ms=0)
    question(stage, 1000, 2000)
    stage.run(30_000)
    assert stage.words() == [SORRY, GOODBYE]


def test_who_waits_for_nothing_hears_nothing() -> None:
    stage = Waiting(nobody(1000), repeat_ms=2000)
    stage.run(19_000)
    assert stage.words() == []


def test_who_speaks_again_while_waiting_is_answered_and_is_asked_for_as_one_who_is_owed() -> None:
    stage = Waiting(nobody(4000), repeat_ms=60_000)
    question(stage, 1000, 2000)
    question(stage, 6000, 7000)
    stage.run(9500)
    assert stage.words() == [SORRY, HOLD]
    assert stage.silences(7500, 9500) <= 1500
    asked = [(at, effect.owed) for at, effect in stage.asks]
    assert asked == [(0, False), (2500, True), (6500, False), (7500, True)]


def test_a_new_call_asks_as_one_until_it_has_dialled() -> None:
    stage = Waiting(from_then_on(3000, "a"))
    stage.behaviours["a"].refuse = RESET
    stage.run(4000)
    purposes = [(at, effect.purpose) for at, effect in stage.asks]
    assert purposes[:2] == [(0, "call"), (3000, "call")]
    assert {purpose for _, purpose in purposes[2:]} == {"handover"}


def test_it_comes_back_when_it_was_told_and_not_before() -> None:
    stage = Waiting(from_then_on(8765, "b"), retry_ms=1000)
    question(stage, 1000, 2000)
    stage.run(20_000)
    assert [at for at, _ in stage.asks] == [0, 2500, 8765]  # at 2.5 s because the caller is owed an answer from then on
    assert stage.words() == [SORRY, *ALL_WORDS]


def test_a_time_that_is_far_away_is_asked_about_again_within_the_hold() -> None:
    stage = Waiting(nobody(3_600_000), hold_ms=12_000)
    stage.run(11_000)
    assert [at for at, _ in stage.asks] == [0, 6000]


def test_without_a_time_it_is_tried_as_the_route_says() -> None:
    stage = Waiting(nobody(None), retry_ms=1500)
    stage.run(5000)
    assert [at for at, _ in stage.asks] == [0, 1500, 3000, 4500]


def test_who_is_being_dialled_when_the_hold_ends_may_still_come() -> None:
    stage = Waiting(from_then_on(5950, "a"), hold_ms=6000)
    question(stage, 1000, 2000)
    stage.run(14_000)
    assert stage.words() == [SORRY, *ALL_WORDS]
    assert stage.ended is None


def test_when_that_dial_fails_the_policy_acts_at_once() -> None:
    plan_ends = 6000
    stage = Waiting(from_then_on(5950, "a"), "a", hold_ms=plan_ends)
    stage.behaviours["a"].refuse = pb.Fault(pb.FaultClass.ACCOUNT, "revoked")
    question(stage, 1000, 2000)
    answer = stage.answer
    stage.answer = lambda effect, now: nobody(9000)(effect, now) if "a" in effect.exclude else answer(effect, now)
    stage.run(7500)
    assert stage.words() == [SORRY, GOODBYE]
    assert stage.ended == "no provider"
    assert [at for at, effect in stage.asks if at > plan_ends + 500] == []


def test_a_message_is_taken_without_asking_on() -> None:
    stage = Waiting(nobody(2000), hold_ms=6000, then="take_message")
    question(stage, 1000, 2000)
    question(stage, 8000, 9000)
    stage.run(12_000)
    assert stage.words() == [SORRY, MESSAGE]
    assert max(at for at, _ in stage.asks) <= 6000
    stage.run(70_000)
    assert stage.ended == "message taken"


def test_nothing_is_said_over_what_is_still_to_be_heard() -> None:
    """The reply is generated faster than it is spoken; its provider dies with some of it unspoken, nobody is left."""
    answers = {0: "a"}

    def answer(effect: fx.Choose, now: int) -> ev.Chosen:
        name = answers.get(now)
        return ev.Chosen(effect.request, name) if name else ev.Chosen(effect.request, None, "full", 3000)

    stage = Waiting(answer, "a")
    stage.behaviours["a"].speed = 4.0
    question(stage, 1000, 2000)
    stage.later(3450, lambda: stage.link("a").die(RESET))
    stage.run(9000)
    words = stage.words()
    assert words[:4] == ALL_WORDS[:4]
    assert words[words.index(SORRY) :] == [SORRY]
    assert words[: words.index(SORRY)] == ALL_WORDS[: words.index(SORRY)]


@pytest.mark.parametrize("told_ms", [1700, 42_000])
def test_a_standby_is_opened_when_the_pace_allows_and_the_record_says_why_there_is_none(told_ms: int) -> None:
    def answer(effect: fx.Choose, now: int) -> ev.Chosen:
        if effect.purpose != "standby":
            return ev.Chosen(effect.request, "a")
        if now < 4000 + 2 * told_ms:
            return ev.Chosen(effect.request, None, "b: connection pace reached", told_ms)
        return ev.Chosen(effect.request, "b")

    stage = Waiting(answer, standby="warm")
    stage.run(6000 + 3 * told_ms)
    first = stage.standby_asks[0]
    asked = [at - first for at in stage.standby_asks]
    assert asked == [told_ms * number for number in range(len(asked))]
    assert stage.link("b").alive
    said = [note["what"] for note in stage.noted("noticed")]
    assert said == ["no standby for now, the call runs cold: b: connection pace reached"]


def test_nothing_is_said_while_somebody_is_being_dialled() -> None:
    """The second message would be due at 9.1 s, in the middle of the dial."""
    stage = Waiting(from_then_on(9000, "a"))
    stage.behaviours["a"].connect = 500
    question(stage, 1000, 2000)
    stage.run(16_000)
    assert stage.words() == [SORRY, *ALL_WORDS]
