"""Whole calls without a fault: turns, exchanges, barge-in, keys, tools, silence, the end."""

from __future__ import annotations

from audio.turns import TurnEvent
from bridge.core import events as ev
from bridge.core.plan import Tool
from providers import base as pb
from tests.core.stage import GEMINI_LIKE, Behaviour, SimLink, Stage


def question(stage: Stage, begin: int, end: int) -> None:
    """The caller speaks from `begin` to `end` ms; the detector takes 100 ms to open and 500 to close."""
    stage.ears.at(begin + 100, "speech_start", begin)
    stage.ears.at(end + 500, "turn_end", end)


def test_a_question_is_answered_once_and_all_of_it_is_heard() -> None:
    stage = Stage()
    question(stage, 1000, 3000)
    stage.run(12_000)
    assert stage.words() == list(range(10))
    assert stage.noted("exchange_settled") == [{"exchange": 1, "state": "answered"}]
    assert stage.link("a").turns[1] == stage.caller(700, 3500)
    assert [note["text"] for note in stage.noted("heard")] == [" ".join(f"w{n:04}" for n in range(10))]


def test_the_greeting_comes_without_a_caller_turn_and_only_once() -> None:
    stage = Stage(greeting="Hello")
    stage.run(6000)
    assert stage.words() == list(range(10))
    asks = [c for c in stage.link("a").log if isinstance(c, pb.Ask)]
    assert len(asks) == 1 and "Hello" in asks[0].instructions


def test_a_turn_before_the_link_is_ready_is_replayed_from_the_tape() -> None:
    stage = Stage({"a": Behaviour(connect=1400, configure=900), "b": Behaviour()})
    question(stage, 300, 1200)
    stage.run(9000)
    assert stage.link("a").turns[1] == stage.caller(0, 1700)
    assert stage.words() == list(range(10))


def test_a_caller_who_resumes_before_the_answer_is_heard_gets_one_answer_to_both_turns() -> None:
    stage = Stage()
    question(stage, 1000, 2000)
    question(stage, 2800, 4000)  # the ask at 2.5 s has not been heard by 2.9 s
    stage.run(12_000)
    assert stage.words() == list(range(10))
    assert stage.noted("exchange_opened") == [{"exchange": 1, "kind": "speech", "turns": [1]}]
    assert len(stage.noted("exchange_settled")) == 1
    assert set(stage.link("a").turns) == {1, 2}


def test_a_resumed_turn_voids_a_reply_generated_but_not_heard() -> None:
    stage = Stage({"a": Behaviour(first_audio=300, speed=1000.0, words=4), "b": Behaviour()})
    question(stage, 1000, 2000)
    stage.ears.at(2810, "cut", 2700)
    stage.ears.at(4000, "turn_end", 3500)
    stage.run(12_000)
    assert stage.words()[-4:] == [0, 1, 2, 3]
    assert len(stage.words()) <= 5
    assert stage.noted("exchange_opened")[0]["exchange"] == 1


def test_barge_in_ducks_then_cuts_and_the_provider_learns_what_was_heard() -> None:
    stage = Stage({"a": Behaviour(words=30, speed=1.3), "b": Behaviour()})
    question(stage, 1000, 2000)
    stage.ears.at(5100, "barge_in", 5000)
    stage.ears.at(5500, "cut", 5000)
    stage.ears.at(7000, "turn_end", 6500)
    stage.run(20_000)
    link = stage.link("a")
    truncates = [c for c in link.log if isinstance(c, pb.Truncate)]
    first_heard = 2500 + 400
    assert len(truncates) == 1
    assert abs(truncates[0].heard_ms - (5500 - first_heard)) <= 60
    assert link.turns[2] == stage.caller(4700, 7000)
    states = [note["state"] for note in stage.noted("exchange_settled")]
    assert states == ["interrupted", "answered"]
    heard = stage.noted("heard")[0]
    assert abs(len(str(heard["text"]).split()) - truncates[0].heard_ms / 300) <= 1
    assert stage.words()[-30:] == list(range(30))


def test_a_backchannel_never_reaches_the_provider() -> None:
    stage = Stage({"a": Behaviour(words=30), "b": Behaviour()})
    question(stage, 1000, 2000)
    stage.ears.at(5100, "barge_in", 5000)
    stage.ears.at(5600, "cancel", 5000)
    stage.run(14_000)
    assert stage.words() == list(range(30))
    assert set(stage.link("a").turns) == {1}
    assert len(stage.noted("turn_withdrawn")) == 1


def test_keys_form_a_turn() -> None:
    stage = Stage()
    for ms, key in ((1000, "4"), (1400, "2"), (1800, "#")):
        stage.later(ms, lambda key=key: stage.dispatch(ev.Dtmf(key)))
    stage.run(8000)
    seeds = [c for c in stage.link("a").log if isinstance(c, pb.Seed)]
    assert any("4 2 #" in item.text for c in seeds for item in c.items if isinstance(item, pb.Text))
    assert stage.words() == list(range(10))


def test_keys_without_hash_count_after_two_seconds() -> None:
    stage = Stage()
    stage.later(1000, lambda: stage.dispatch(ev.Dtmf("7")))
    stage.run(9000)
    assert stage.noted("turn_ended")[0]["digits"] == "7"
    assert stage.words() == list(range(10))


LOOKUP = Tool(pb.ToolSpec("lookup", "Looks up.", {"type": "object"}))


def calls_lookup_once(link: SimLink, command: pb.Command) -> bool:
    asked = sum(isinstance(c, pb.Ask) for c in link.log)
    outputs = sum(isinstance(c, pb.ToolOutput) for c in link.log)
    if isinstance(command, pb.Ask) and outputs == 0 and asked == 1:
        link.say(pb.ReplyStarted(command.number), 100)
        link.say(pb.ToolCalled(command.number, "call_x", "lookup", '{"n":1}'), 300)
        link.say(pb.ReplyEnded(command.number, "completed"), 310)
        return True
    return False


def test_a_tool_runs_once_and_the_answer_follows_its_result() -> None:
    stage = Stage({"a": Behaviour(on_command=calls_lookup_once), "b": Behaviour()}, tools=(LOOKUP,))
    question(stage, 1000, 2000)
    stage.run(9000)
    assert [(tool.name, tool.key) for tool in stage.tools] == [("lookup", "call1-1")]
    outputs = [c for c in stage.link("a").log if isinstance(c, pb.ToolOutput)]
    assert outputs == [pb.ToolOutput("call_x", "lookup", '{"ok":true}')]
    assert stage.words() == list(range(10))
    assert len(stage.noted("exchange_settled")) == 1


def test_hang_up_lets_the_playout_drain() -> None:
    def hang_up(link: SimLink, ask: int, word: int) -> bool:
        if word == 9:
            link.say(pb.ToolCalled(ask, "c1", "hang_up", "{}"))
        return False

    stage = Stage({"a": Behaviour(on_word=hang_up), "b": Behaviour()})
    question(stage, 1000, 2000)
    stage.run(9000)
    assert stage.words() == list(range(10))
    assert stage.ended == "agent hung up"


def test_a_silent_caller_is_prompted_and_then_let_go() -> None:
    stage = Stage(silence=True, providers={"a": Behaviour(words=3), "b": Behaviour()})
    stage.run(60_000)
    assert [note["count"] for note in stage.noted("silence_prompt")] == [1, 2, 3]
    assert stage.ended == "caller silent"
    assert stage.words() == [0, 1, 2] * 3 + [391]


def test_one_record_of_the_end_and_no_link_left() -> None:
    stage = Stage()
    question(stage, 1000, 2000)
    stage.later(2600, lambda: stage.dispatch(ev.Gone("caller hung up")))
    stage.run(9000)
    assert stage.noted("call_ended") == [{"reason": "caller hung up"}]
    assert stage.noted("exchange_settled") == [{"exchange": 1, "state": "withdrawn"}]
    assert not any(link.alive for link in stage.links.values())
    assert stage.call.deadline is None


def test_an_ask_waits_for_a_cancelled_reply_to_end() -> None:
    stage = Stage({"a": Behaviour(words=30, speed=1.3), "b": Behaviour()})
    question(stage, 1000, 2000)
    stage.ears.at(5500, "cut", 5000)
    stage.ears.at(5700, "turn_end", 5600)
    stage.run(20_000)
    log = stage.link("a").log
    cancel = next(i for i, c in enumerate(log) if isinstance(c, pb.Cancel))
    asks = [i for i, c in enumerate(log) if isinstance(c, pb.Ask)]
    assert cancel < asks[1]


def test_a_lost_stream_that_comes_back_goes_on_where_it_was() -> None:
    stage = Stage({"a": Behaviour(words=20), "b": Behaviour()})
    question(stage, 1000, 2000)
    stage.later(4500, lambda: stage.dispatch(ev.LegLost()))
    stage.later(7500, lambda: stage.dispatch(ev.LegBack()))
    stage.run(16_000)
    words = stage.words()
    assert sorted(set(words)) == list(range(20))
    assert len(words) <= 21  # the word that was cut may be heard in two parts
    assert stage.ended is None


def test_the_ears_are_told_that_the_stream_was_away() -> None:
    """Nothing of the gap is on the tape, so nothing of it counts for the detector either."""
    stage = Stage()
    stage.later(3000, lambda: stage.dispatch(ev.LegLost()))
    stage.later(4000, lambda: stage.dispatch(ev.LegBack()))
    stage.later(6000, lambda: stage.dispatch(ev.LineAway(1300)))
    stage.run(5000)
    assert stage.ears.skipped == [0]
    stage.run(8000)
    assert stage.ears.skipped == [0, 0]
    assert stage.noted("line_away") == [{"ms": 1000}, {"ms": 1300}]


def test_a_line_that_goes_away_under_a_question_answers_what_was_said() -> None:
    stage = Stage()
    stage.ears.at(1200, "speech_start", 1000)
    stage.ears.skip = lambda samples: [TurnEvent("turn_end", 16_000, 16_000)]  # type: ignore[method-assign, assignment]
    stage.later(2010, lambda: stage.dispatch(ev.LineAway(5000)))
    stage.run(6000)
    (note,) = stage.noted("turn_ended")
    assert note["at_ms"] == 2000
    assert stage.words() == list(range(10))
    assert stage.link("a").turns[1] == b"".join(stage.sent_frames)[700 * 8 : 2000 * 8]


def test_a_stream_that_stays_away_ends_the_call() -> None:
    stage = Stage()
    stage.later(1000, lambda: stage.dispatch(ev.LegLost()))
    stage.run(20_000)
    assert stage.noted("call_ended") == [{"reason": "caller lost"}]


def test_gemini_like_turns_are_asked_by_their_end() -> None:
    stage = Stage({"a": Behaviour(caps=GEMINI_LIKE), "b": Behaviour()})
    question(stage, 1000, 2000)
    stage.run(8000)
    kinds = [type(c).__name__ for c in stage.link("a").log if not isinstance(c, pb.Audio)]
    assert kinds == ["Configure", "BeginTurn", "EndTurn", "Ask"]
    assert stage.words() == list(range(10))


def test_the_ears_are_told_when_the_agent_asked_for_a_number() -> None:
    def asks(link: SimLink, ask: int, word: int) -> bool:
        if word == 9:
            link.say(pb.ReplyText(ask, f"i{ask}", "What is your order number? "))
        return False

    stage = Stage({"a": Behaviour(on_word=asks), "b": Behaviour()})
    question(stage, 1000, 2000)
    stage.run(9000)
    assert stage.ears.expected == ["number"]
    plain = Stage()
    question(plain, 1000, 2000)
    plain.run(9000)
    assert plain.ears.expected == []
