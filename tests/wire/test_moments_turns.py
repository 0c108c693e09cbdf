"""Hard moments while the caller speaks or has just spoken."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.core import events as ev
from tests.wire.caller import question
from tests.wire.moments import (
    PAIRS,
    SCRIPT,
    WELCOME,
    ask,
    asks,
    assert_same,
    call,
    difference,
    got,
    heard,
    rule,
    times,
    turns,
    words,
)

RESET = {"reset": True}


@pytest.mark.parametrize("kinds", PAIRS)
def test_death_while_a_provisional_turn_is_open_and_the_caller_meant_it(kinds: tuple[str, str]) -> None:
    stage = call(*kinds, a=[rule(RESET, "reply", reply=1, after_ms=1400)], greeting=WELCOME, pace=1.2)
    end = ask(stage, 1400, 21)  # provisional from 1.5 s, cut at 1.9 s; the link is gone at about 1.55 s
    stage.run(9000)
    assert times(stage, "you asked about number twenty one") == 1
    assert "help you today" not in heard(stage)
    answering = stage.of("b")[0]
    assert len(turns(stage, answering)) == 1
    assert_same(stage, "b", turns(stage, answering)[0], 1100, end)


@pytest.mark.parametrize("kinds", PAIRS)
def test_death_while_a_provisional_turn_is_open_that_was_only_a_backchannel(kinds: tuple[str, str]) -> None:
    long = {"reply": {**SCRIPT["reply"], "seconds": 8}}
    untroubled = call(*kinds, a=long, pace=2.5)
    stage = call(*kinds, a={**long, "rules": [rule(RESET, "reply", reply=1, after_ms=1200)]}, b=long, pace=2.5)
    for each in (untroubled, stage):
        ask(each, 300, 21)
        ask(each, 3200, 22, ms=250)  # provisional from 3.3 s; the link is gone at 3.4 s
        each.run(12_000)
    assert stage.noted("fault") and stage.noted("turn_withdrawn")
    assert difference(heard(untroubled).split(), heard(stage).split()) <= 1
    assert len(turns(stage, stage.of("b")[0])) == 1


@pytest.mark.parametrize("kinds", PAIRS)
def test_barge_in_between_the_death_and_the_new_first_audio(kinds: tuple[str, str]) -> None:
    slow = {"reply": {"seconds": 3.2, "first_audio_ms": 2000, "lead_ms": 300}}
    stage = call(*kinds, a=[rule(RESET, "reply", reply=1, after_deltas=6)], b=slow)
    ask(stage, 300, 31)
    end = ask(stage, 4000, 32)  # b was asked to continue at about 2.8 s and would speak at 4.8 s
    stage.run(12_000)
    assert times(stage, "you asked about number thirty two") == 1
    assert times(stage, "number thirty one") <= 1
    assert_same(stage, "b", turns(stage, stage.of("b")[0])[-1], 3700, end)
    assert len(asks(stage, "b")) == 2


@pytest.mark.parametrize("kinds", PAIRS)
def test_barge_in_into_audio_that_was_handed_over_as_heard(kinds: tuple[str, str]) -> None:
    """The next provider was told words that were still to be played when the caller cut them off."""
    stage = call(*kinds, a=[rule(RESET, "reply", reply=1, after_deltas=10)], pace=8.0)
    ask(stage, 300, 41)
    ask(stage, 3100, 42)  # seconds of the dead link's answer are still buffered
    stage.run(10_000)
    said = heard(stage)
    first = said[: said.index("you asked about number forty two")].replace("~", "").split()
    told = _last_told(stage)
    assert len(told) <= len(first) + 1 and told[: len(first) - 1] == first[: len(first) - 1], (told, first)
    assert times(stage, "you asked about number forty two") == 1


def _last_told(stage: object) -> list[str]:
    """What b believes of the first answer when it is asked about the second."""
    log = got(stage, "b", 0)  # type: ignore[arg-type]
    gone = {entry.item for entry in log if entry.what == "delete"}
    texts = [entry.text for entry in log if entry.what == "text" and entry.item not in gone]
    interrupted = [text for text in texts if "interrupted and heard only" in text]
    kept = [entry.text for entry in log if entry.role == "assistant" and entry.item not in gone]
    text = interrupted[-1].partition("“")[2].partition("”")[0] if interrupted else kept[-1]
    return [word.strip(".,?").lower() for word in text.split()]


@pytest.mark.parametrize("kinds", PAIRS)
def test_a_turn_cut_in_a_pause_with_a_switch_between_its_halves(kinds: tuple[str, str]) -> None:
    """Asked, not yet answered, lost; then the caller goes on. Both halves are one exchange for whoever is left."""
    stage = call(*kinds, a=[rule(RESET, "asked", reply=1)])
    first = ask(stage, 300, 51)
    second = ask(stage, 2260, 52)
    stage.run(9000)
    assert times(stage, "you asked about number fifty one and about number fifty two") == 1
    assert first == 2200
    one, other = turns(stage, stage.of("b")[0])
    assert_same(stage, "b", one, 0, first)
    assert_same(stage, "b", other, first, second)


@pytest.mark.parametrize("kinds", PAIRS)
def test_the_session_expires_while_the_caller_speaks(kinds: tuple[str, str]) -> None:
    stage = call(*kinds, a=[rule({"expire": True}, "speaking", turn=1, after_ms=500)])
    end = ask(stage, 500, 61)
    stage.run(7000)
    assert times(stage, "you asked about number sixty one") == 1
    answering = [socket for socket in stage.sockets.values() if turns(stage, socket)]
    assert len(answering) == 1
    assert_same(stage, answering[0].provider, turns(stage, answering[0])[0], 200, end)
    first = next(word for word in words(stage) if word.word == "you")
    assert first.begin - end <= 450, "the caller waited for it"


@pytest.mark.parametrize("kinds", PAIRS)
def test_keys_pressed_during_a_switch(kinds: tuple[str, str]) -> None:
    """The link dies right after the question; keys come while the next one is being told. They are part of it."""
    stage = call(*kinds, a=[rule(RESET, "asked", reply=1)], standby="cold")
    ask(stage, 300, 71)
    stage.press(2230, "42#")
    stage.run(9000)
    assert "you asked about number seventy one you pressed four two" in heard(stage)
    assert times(stage, "number seventy one") == 1
    assert times(stage, "you pressed four two") == 1


@pytest.mark.parametrize("kinds", PAIRS)
def test_keys_pressed_while_nobody_is_connected(kinds: tuple[str, str]) -> None:
    stage = call(*kinds, a=[rule({"hang": True}, "upgrade")], standby="cold")
    stage.press(700, "9#")
    stage.run(6000)
    assert heard(stage).startswith("you pressed nine")
    assert times(stage, "you pressed nine") == 1


@pytest.mark.parametrize("kinds", PAIRS)
def test_the_greeting_is_interrupted_and_then_its_link_dies(kinds: tuple[str, str]) -> None:
    stage = call(*kinds, a=[rule(RESET, "speaking", turn=1, after_ms=700)], greeting=WELCOME)
    ask(stage, 1500, 81)
    stage.run(8000)
    assert times(stage, "you asked about number eighty one") == 1
    assert "help you today" not in heard(stage)
    greetings = [entry.text for entry in got(stage, "b", 0) if entry.role == "assistant"]
    assert len(greetings) == 1 and WELCOME.startswith(greetings[0]) and len(greetings[0]) < len(WELCOME)


@pytest.mark.parametrize("kinds", PAIRS)
def test_a_four_minute_turn_is_replayed_whole(kinds: tuple[str, str]) -> None:
    """240 s of speech (a numbered minute, four times), the link dies at its end: all of it reaches the next one."""
    stage = call(*kinds, a=[rule(RESET, "asked", reply=1)])
    end = stage.say(500, np.tile(question(91, 60_000), 4))
    stage.run(end + 6000)
    given = b"".join(turns(stage, stage.of("b")[0]))
    assert_same(stage, "b", given, 200, end)
    assert heard(stage).count("you asked about number ninety one") == 1
    pieces = [len(message) for message in stage.of("b")[0].sent]
    assert max(pieces) < 2_000_000, "a message no server takes"


@pytest.mark.parametrize("kinds", PAIRS)
def test_the_carriers_stream_is_attached_again_during_a_switch(kinds: tuple[str, str]) -> None:
    stage = call(*kinds, a=[rule(RESET, "reply", reply=1, after_deltas=5)], pace=1.3)
    ask(stage, 300, 11)
    stage.later(3300, lambda: stage.dispatch(ev.LegLost()))
    stage.later(3900, lambda: stage.dispatch(ev.LegBack()))
    stage.run(9000)
    said = heard(stage).replace("~", "")
    assert times(stage, "number eleven") == 1 and said.count("you asked") == 1
    assert stage.ended is None
