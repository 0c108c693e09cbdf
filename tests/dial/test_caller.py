"""The caller in a conversation: what it says is checked against the recording, sample by sample."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

from bridge.dial.caller import Caller, Keys, Manners, Phase
from bridge.dial.turns import Turn

RATE = 8000
FRAME = 160
SOUND = bytes(random.Random(2).choices(range(255), k=20 * RATE))  # no 0xff: what is not in it is silence
TURNS = [Turn(1 * RATE, 2 * RATE), Turn(5 * RATE, int(6.5 * RATE)), Turn(12 * RATE, 13 * RATE)]


def talk(caller: Caller, agent: Callable[[float], bool], seconds: float = 120) -> tuple[bytes, list[tuple[float, str]]]:
    """Run the caller beside an agent that plays when `agent(t)`; what was said and which keys were pressed when."""
    said = bytearray()
    keys = []
    while caller.phase is not Phase.DONE and len(said) < seconds * RATE:
        now = len(said) / RATE
        said += caller.frame(agent(now))
        keys += [(round(now, 2), digit) for digit in caller.pressed]
    return bytes(said), keys


def answers(caller: Caller, after: float = 0.6, length: float = 2.0, greeting: float = 1.0) -> Callable[[float], bool]:
    """An agent that greets and answers each turn `after` its end for `length` seconds."""

    def playing(now: float) -> bool:
        ends = [turn.end / RATE for turn in caller.spoken if turn.end is not None]
        start = ends[-1] + after if ends else 0.3
        return start <= now < start + (length if ends else greeting)

    return playing


def test_a_polite_caller_waits_for_greeting_and_answers() -> None:
    caller = Caller(SOUND, TURNS)
    said, _ = talk(caller, answers(caller))
    assert len(caller.spoken) == 3
    starts = [turn.begin / RATE for turn in caller.spoken]
    # greeting until 1.3, a pause of 1 s, then 200 ms of the recording before the turn
    assert abs(starts[0] - 2.5) <= 0.04
    # the answer comes 0.6 s after the turn and lasts 2 s, then again 1 s and 0.2 s
    assert abs(starts[1] - (caller.spoken[0].end or 0) / RATE - 3.8) <= 0.04
    for turn, spoken in zip(TURNS, caller.spoken, strict=True):
        assert said[spoken.begin : spoken.end] == SOUND[turn.begin : turn.end]
    assert abs(len(said) / RATE - (caller.spoken[2].end or 0) / RATE - 3.6) <= 0.06


def test_without_a_greeting_the_caller_begins() -> None:
    caller = Caller(SOUND, TURNS[:1], manners=Manners(greeting=2000))
    talk(caller, lambda now: False)
    assert abs(caller.spoken[0].begin / RATE - 2.2) <= 0.04


def test_patience_ends() -> None:
    caller = Caller(SOUND, TURNS[:2], manners=Manners(patience=4000))
    talk(caller, lambda now: False)
    gap = (caller.spoken[1].begin - (caller.spoken[0].end or 0)) / RATE
    assert abs(gap - 4.3) <= 0.06


def test_talking_over_plays_the_recording_as_it_is() -> None:
    caller = Caller(SOUND, TURNS, "talk_over")
    said, _ = talk(caller, lambda now: True, seconds=20)
    assert said == SOUND
    assert [(turn.begin, turn.end) for turn in caller.spoken] == [(turn.begin, turn.end) for turn in TURNS]


def test_a_barge_in_falls_into_the_agents_speech() -> None:
    turns = [TURNS[0], Turn(5 * RATE, int(6.5 * RATE), "barge_in"), TURNS[2]]
    caller = Caller(SOUND, turns, manners=Manners(overlap=2000))
    talk(caller, answers(caller, after=0.5, length=10.0))
    first, second, third = caller.spoken
    assert second.kind == "barge_in"
    assert abs((second.begin - (first.end or 0)) / RATE - 2.7) <= 0.06
    assert abs((third.begin - (second.end or 0)) / RATE - 11.7) <= 0.06


def test_a_barge_in_into_silence_waits_no_longer_than_patience() -> None:
    turns = [TURNS[0], Turn(5 * RATE, int(6.5 * RATE), "barge_in")]
    caller = Caller(SOUND, turns, manners=Manners(patience=3000))
    talk(caller, answers(caller, length=0.5))
    assert len(caller.spoken) == 2


def test_keys_of_their_own_come_after_the_last_turn_and_want_an_answer() -> None:
    caller = Caller(SOUND, TURNS[:1], keys=[Keys(None, "12#")])
    said, keys = talk(caller, answers(caller))
    assert [digit for _, digit in keys] == ["1", "2", "#"]
    assert [round(b - a, 2) for (a, _), (b, _) in pairwise(keys)] == [0.2, 0.2]
    assert [turn.kind for turn in caller.spoken] == ["turn", "keys"]
    end = caller.spoken[1].end
    assert end is not None and abs(len(said) - end - 3.6 * RATE) <= 0.1 * RATE


def test_keys_with_a_time_come_at_their_time() -> None:
    caller = Caller(SOUND, TURNS[:1], keys=[Keys(3 * RATE, "5"), Keys(RATE, "9")])
    _, keys = talk(caller, answers(caller))
    assert keys == [(1.0, "9"), (3.0, "5")]


def test_every_frame_is_20_ms() -> None:
    caller = Caller(SOUND[:1000], [Turn(33, 777)])
    while caller.phase is not Phase.DONE:
        assert len(caller.frame(False)) == FRAME


def test_a_recording_without_turns_waits_for_the_greeting_and_leaves() -> None:
    caller = Caller(SOUND, [])
    said, _ = talk(caller, answers(caller))
    assert set(said) == {0xFF}
    assert 2.2 <= len(said) / RATE <= 2.5
