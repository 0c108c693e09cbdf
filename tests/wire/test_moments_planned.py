"""Switches nobody is forced to: before a session ends, before a rate limit bites, back to a preferred provider, and
hedged turns. Nothing of them may be heard, and what they cost must be on record."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.matrix.phases import LOW_LIMIT
from tests.wire.moments import PAIRS, SCRIPT, ask, asks, assert_same, call, got, heard, rule, times, turns, words
from tests.wire.stage import WireStage

REALTIME = [kinds for kinds in PAIRS if kinds[0] != "gemini"]


def leave(kind: str, phase: str, **when: Any) -> dict[str, Any]:
    """What makes a provider want to be left: a limit nearly used up, or on Gemini its announced end."""
    do = {"go_away": {"left_ms": 60_000, "close": False}} if kind == "gemini" else LOW_LIMIT
    return rule(do, phase, **when)


def waits(stage: WireStage, ends: list[int]) -> list[float]:
    """How long the caller waited for a word after each turn, ms."""
    begins = [word.begin for word in words(stage)]
    return [min(begin for begin in begins if begin > end - 100) - end for end in ends]


@pytest.mark.parametrize("standby", ["cold", "warm", "seeded"])
@pytest.mark.parametrize("kinds", PAIRS)
@pytest.mark.parametrize("phase", ["in the answer", "between turns", "while the caller speaks"])
def test_a_planned_rotation_adds_no_silence(kinds: tuple[str, str], phase: str, standby: str) -> None:
    """The caller's recording is that of a call without rotation, word by word, and so are the waits."""
    when: dict[str, Any] = {
        "in the answer": {"phase": "reply", "reply": 1, "after_deltas": 3},
        "between turns": {"phase": "idle", "reply": 1, "after_ms": 200},
        "while the caller speaks": {"phase": "speaking", "turn": 2, "after_ms": 200},
    }[phase]
    stage = call(*kinds, a=[leave(kinds[0], **when)], standby=standby)
    whole = call(*kinds, standby=standby)
    ends = []
    for each in (stage, whole):
        ends = [ask(each, 300, 31), ask(each, 6900, 32)]
        each.run(13_000)
    assert [swap["class"] for swap in stage.noted("swap")] == ["planned"]
    assert heard(stage) == heard(whole)
    for mine, other in zip(waits(stage, ends), waits(whole, ends), strict=True):
        assert mine <= other + 60  # the emulators' first frame is not on the same 20 ms
    first, second = (socket for socket in stage.sockets.values() if turns(stage, socket))
    if standby != "cold" or kinds[0] != "gemini":  # only another account helps where a limit is used up
        assert (first.provider, second.provider) == ("a", "b")
    assert len(asks(stage, "a")) + len(asks(stage, "b")) == 2
    assert_same(stage, second.provider, turns(stage, second)[-1], 6600, ends[1])
    assert not stage.noted("fault")


@pytest.mark.parametrize("kinds", REALTIME)
def test_a_callers_words_come_from_the_session_that_was_replaced(kinds: tuple[str, str]) -> None:
    """The transcript is 0.7 s late for the swap: the session is kept for it, unheard, then closed."""
    late = {"caller_text": {"delay_ms": 3000}, "rules": [leave(kinds[0], "idle", reply=1, after_ms=1200)]}
    stage = call(*kinds, a=late)
    ask(stage, 300, 33)
    stage.run(9000)
    (swapped,) = stage.when("swap")
    assert [(note["turn"], note["provider"]) for note in stage.noted("caller_text")] == [(1, "a")]
    assert swapped < stage.when("caller_text")[0] <= swapped + 1000
    (closed,) = [at for at, kind, fields in stage.notes if kind == "link_closed" and fields["provider"] == "a"]
    assert closed == swapped + 1000
    assert all(at <= swapped for at in stage.of("a")[0].sent_ms), "nothing more is said to it"


@pytest.mark.parametrize("kinds", PAIRS)
def test_nothing_is_waited_for_where_nothing_is_to_come(kinds: tuple[str, str]) -> None:
    """A session that owes no words is closed at the swap."""
    stage = call(*kinds, a=[leave(kinds[0], "idle", reply=1, after_ms=1500)])
    ask(stage, 300, 34)
    stage.run(8000)
    (closed,) = [at for at, kind, fields in stage.notes if kind == "link_closed" and fields["provider"] == "a"]
    assert closed == stage.when("swap")[0]


@pytest.mark.parametrize("kinds", PAIRS)
@pytest.mark.parametrize("first_ms", [900, 2000])
def test_a_hedged_turn_books_both_legs(kinds: tuple[str, str], first_ms: int) -> None:
    """Asked at 2.2 s, and the other as well at 3.0 s, which would speak at 3.3 s. The loser is told to stop where it
    can be, and what it read and made is on record."""
    slow = {"reply": {**SCRIPT["reply"], "first_audio_ms": first_ms}}
    stage = call(*kinds, a=slow, plan={"hedge_ms": 800})
    ask(stage, 300, 35)
    stage.run(9000)
    assert times(stage, "you asked about number thirty five") == 1 and times(stage, "you asked") == 1
    winner, loser = ("a", "b") if first_ms == 900 else ("b", "a")
    spoke_ms = {"a": 2200 + 900, "b": 2200 + 800 + 300}[winner]
    assert 0 <= words(stage)[0].begin - spoke_ms <= 120, "who speaks first is heard, at once"
    assert not stage.noted("fault")
    booked = {note["provider"]: note for note in stage.noted("usage") if note["kind"] == "reply"}
    assert booked[winner]["output_audio"]
    if kinds["ab".index(loser)] != "gemini":  # Gemini counts at the end of a reply only, which nobody waits for
        assert booked[loser]["input_audio"], stage.noted("usage")
        assert [entry.what for entry in got(stage, loser, 0)][-1] == "cancel"


@pytest.mark.parametrize("kinds", PAIRS)
def test_a_preferred_provider_is_taken_back_at_a_turns_boundary(kinds: tuple[str, str]) -> None:
    """a refuses the call and is asked again half a minute later; the caller hears nothing of the way back."""
    down = rule({"http": {"status": 503}}, "upgrade", connection=[1])
    stage = call(*kinds, a=[down], plan={"fail_back": True})
    whole = call(*reversed(kinds), plan={"fail_back": True})
    ends = []
    for each in (stage, whole):
        ends = [ask(each, 1300, 36), ask(each, 70_000, 37)]
        each.run(76_000)
    assert [note["provider"] for note in stage.noted("asked")] == ["b", "a"]
    assert [swap["class"] for swap in stage.noted("swap")] == ["planned"]
    assert heard(stage) == heard(whole)
    assert waits(stage, ends)[1] <= waits(whole, ends)[1] + 60
    assert_same(stage, "a", turns(stage, stage.of("a")[-1])[-1], 69_700, ends[1])


@pytest.mark.parametrize("kinds", PAIRS)
@pytest.mark.parametrize("resumes_ms", [2800, 2950, 3050])
def test_a_caller_who_goes_on_while_two_are_asked(kinds: tuple[str, str], resumes_ms: int) -> None:
    """a was asked at 2.2 s and would speak at 3.5 s, b as well at 3.0 s. What a would say answers half a question."""
    slow = {"reply": {**SCRIPT["reply"], "first_audio_ms": 1300}}
    stage = call(*kinds, a=slow, b=slow, plan={"hedge_ms": 800})
    first = ask(stage, 300, 38)
    end = ask(stage, resumes_ms, 39)
    stage.run(11_000)
    said = heard(stage)
    assert times(stage, "you asked about number thirty eight and about number thirty nine") == 1, said
    assert said.replace("~", "").count("you asked") == 1, said
    assert min(word.begin for word in words(stage)) >= end
    assert first == 2200 and not stage.noted("fault")
