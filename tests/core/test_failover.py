"""What the caller hears, and what each provider receives, when a provider fails."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.core import events as ev
from bridge.core.plan import LastRung, Plan
from providers import base as pb
from providers.base import Fault, FaultClass
from providers.codec import Capabilities
from tests.core.stage import GEMINI_LIKE, MS, WORD_AUDIO, Behaviour, SimLink, Stage
from tests.core.test_call import LOOKUP, calls_lookup_once, question

RESET = Fault(FaultClass.NETWORK, "connection reset")
LIMIT = Fault(FaultClass.RATE_LIMITED, "rate limit", "rate_limit_exceeded")
ALL_WORDS = list(range(10))


def dies_at(word: int, fault: Fault = RESET):
    def act(link: SimLink, ask: int, at: int) -> bool:
        if at == word:
            link.die(fault)
            return True
        return False

    return act


def falls_silent_at(word: int):
    def act(link: SimLink, ask: int, at: int) -> bool:
        if at == word:
            link.silent = True
        return link.silent

    return act


def never_answers(link: SimLink, command: pb.Command) -> bool:
    return isinstance(command, pb.Ask)


def fails_reply(link: SimLink, command: pb.Command) -> bool:
    if isinstance(command, pb.Ask):
        link.say(pb.ReplyStarted(command.number), 100)
        link.say(pb.ReplyEnded(command.number, "failed", LIMIT), 200)
        return True
    return False


def pair(first: Behaviour, standby: str = "warm", second: Behaviour | None = None, **more: object) -> Stage:
    return Stage({"a": first, "b": second or Behaviour()}, standby=standby, **more)  # type: ignore[arg-type]


def settled_first_turn(stage: Stage) -> None:
    """A first exchange, so that the standby is up when the trouble comes in the second (asked at 9.5 s)."""
    question(stage, 1000, 2000)
    question(stage, 8000, 9000)


STANDBYS = ["cold", "warm", "seeded"]


@pytest.mark.parametrize("standby", STANDBYS)
@pytest.mark.parametrize("caps", [Behaviour().caps, GEMINI_LIKE], ids=["history audio", "text history"])
@pytest.mark.parametrize("word", [0, 1, 5, 9])
def test_death_mid_reply_is_continued_after_the_last_word(standby: str, caps: Capabilities, word: int) -> None:
    def second_reply_dies(link: SimLink, ask: int, at: int) -> bool:
        return ask >= 2 and at == word and (link.die(RESET) or True)

    stage = pair(Behaviour(on_word=second_reply_dies), standby, Behaviour(caps=caps))
    settled_first_turn(stage)
    stage.run(20_000)
    assert stage.words() == ALL_WORDS + ALL_WORDS
    assert stage.link("b").turns[2] == stage.caller(7700, 9500)
    assert [note["state"] for note in stage.noted("exchange_settled")] == ["answered", "answered"]
    assert len(stage.noted("swap")) == 1


@pytest.mark.parametrize("interrupted", [False, True])
def test_all_that_was_heard_of_a_dead_reply_is_on_record(interrupted: bool) -> None:
    """Also what was sent but not yet heard when the next voice was sent behind it, and not what a barge-in flushed."""
    dies = dies_at(5)
    stage = pair(Behaviour(on_word=dies), "warm", Behaviour(first_audio=100))
    question(stage, 1000, 2000)
    stage.run(2500)
    while not stage.noted("agent_began")[1:]:
        stage.step()
    sent_ms = 5 * 300 - 20  # to 40 ms behind its last word
    left_ms = len(stage._buffer) / 8 - 40  # of which the last 40 ms are the next voice's
    assert left_ms >= 40
    if interrupted:
        at = stage._consumed // 8
        stage.ears.at(at, "barge_in", at)
        stage.ears.at(at, "cut", at)
    stage.run(stage.now // 1_000_000 + 1000)
    told = float(stage.noted("heard")[0]["heard_ms"])  # type: ignore[arg-type]
    if interrupted:
        assert sent_ms - left_ms - 20 <= told <= sent_ms - 20
    else:
        assert told == sent_ms


@pytest.mark.parametrize("standby", STANDBYS)
def test_stall_before_the_reply_is_answered_within_the_deadline(standby: str) -> None:
    stage = pair(Behaviour(on_command=never_answers), standby)
    question(stage, 1000, 2000)
    stage.run(12_000)
    assert stage.words() == ALL_WORDS
    first = next(at for at, kind, fields in stage.notes if kind == "first_audio")
    budget = 2800 + 400 + (150 if standby != "cold" else 250)
    assert first - 2500 <= budget
    assert stage.link("b").turns[1] == stage.caller(700, 2500)


@pytest.mark.parametrize("standby", STANDBYS)
@pytest.mark.parametrize("word", [1, 6, 15])
def test_stall_inside_a_reply_is_covered_by_what_is_buffered(standby: str, word: int) -> None:
    stage = pair(Behaviour(on_word=falls_silent_at(word), words=20), standby, Behaviour(words=20))
    question(stage, 1000, 2000)
    stage.run(16_000)
    assert stage.words() == list(range(20))
    if word == 15:
        assert stage.gaps_ms(3000, 8800) <= 250  # the pauses between words, no more


def test_a_stalled_link_that_resumes_first_is_taken_back() -> None:
    def pauses(link: SimLink, ask: int, word: int) -> bool:
        if word == 6 and not link.silent:
            link.silent = True

            def wake() -> None:
                link.silent = False
                for missing in range(6, 20):
                    link.word(ask, missing)
                link.end(ask, True)

            link.act.on_word = None
            link.stage.later(2600, wake)
            return True
        return link.silent

    stage = pair(Behaviour(on_word=pauses, words=20, speed=3.0), "warm", Behaviour(words=20, first_audio=2500))
    question(stage, 1000, 2000)
    stage.run(16_000)
    assert stage.words() == list(range(20))
    assert {note["provider"] for note in stage.noted("first_audio")} == {"a"}


@pytest.mark.parametrize("standby", STANDBYS)
def test_a_failed_reply_moves_on_without_a_sound(standby: str) -> None:
    stage = pair(Behaviour(on_command=fails_reply), standby)
    question(stage, 1000, 2000)
    stage.run(9000)
    assert stage.words() == ALL_WORDS
    assert stage.noted("swap")[0]["class"] == "rate_limited"


@pytest.mark.parametrize("at_ms", [1300, 1900, 2300])
@pytest.mark.parametrize("standby", STANDBYS)
def test_death_while_the_caller_speaks_loses_nothing_and_is_not_heard(standby: str, at_ms: int) -> None:
    stage = pair(Behaviour(), standby)
    question(stage, 1000, 3000)
    stage.later(at_ms, lambda: stage.link("a").die(RESET))
    stage.run(12_000)
    assert stage.words() == ALL_WORDS
    answering = [link for link in stage.links.values() if any(isinstance(c, pb.Ask) for c in link.log)]
    assert len(answering) == 1
    assert answering[0].turns[1] == stage.caller(700, 3500)
    assert stage.noted("first_audio")[0]["after_ms"] == 400


@pytest.mark.parametrize("second", ["dies dialling", "dies configured", "stalls", "fails"])
def test_a_second_death_during_the_handover(second: str) -> None:
    acts = {
        "dies dialling": Behaviour(refuse=RESET),
        "dies configured": Behaviour(on_command=lambda link, c: isinstance(c, pb.Ask) and (link.die(RESET) or True)),
        "stalls": Behaviour(on_command=never_answers),
        "fails": Behaviour(on_command=fails_reply),
    }
    stage = Stage({"a": Behaviour(on_word=dies_at(5)), "b": acts[second], "c": Behaviour()})
    question(stage, 1000, 2000)
    stage.run(16_000)
    assert stage.words() == ALL_WORDS
    assert stage.link("c").turns[1] == stage.caller(700, 2500)


def test_refused_dial_goes_to_the_next_and_the_greeting_is_heard_once() -> None:
    stage = Stage({"a": Behaviour(refuse=LIMIT), "b": Behaviour(words=4)}, greeting="Hello")
    stage.run(6000)
    assert stage.words() == [0, 1, 2, 3]


def test_a_greeting_partly_heard_is_continued() -> None:
    stage = Stage({"a": Behaviour(on_word=dies_at(5)), "b": Behaviour()}, greeting="Hello", standby="cold")
    stage.run(9000)
    assert stage.words() == ALL_WORDS


def test_a_complete_reply_needs_no_continuation() -> None:
    stage = pair(Behaviour(speed=10.0))
    question(stage, 1000, 2000)
    stage.later(3400, lambda: stage.link("a").die(RESET))
    stage.run(12_000)
    assert stage.words() == ALL_WORDS
    assert not [c for c in stage.link("b").log if isinstance(c, pb.Ask)]


def test_next_turn_after_a_switch_comes_with_the_history_as_heard() -> None:
    stage = pair(Behaviour(on_word=dies_at(5)))
    settled_first_turn(stage)
    stage.run(20_000)
    assert stage.words() == ALL_WORDS + ALL_WORDS
    assert stage.link("b").turns[2] == stage.caller(7700, 9500)


def test_an_empty_reply_is_nudged_once_then_moved() -> None:
    stage = pair(Behaviour(words=0))
    question(stage, 1000, 2000)
    stage.run(12_000)
    assert stage.words() == ALL_WORDS
    assert len([c for c in stage.link("a", 0).log if isinstance(c, pb.Ask)]) == 2


def answers_in_text(link: SimLink, command: pb.Command) -> bool:
    if isinstance(command, pb.Ask) and "Answer" not in command.instructions:
        item = f"text{command.number}"
        link.say(pb.ReplyStarted(command.number), 100)
        link.say(pb.ReplyText(command.number, item, "w0000 w0001"), 200)
        link.say(pb.ReplyEnded(command.number, "empty", Fault(FaultClass.EMPTY, "no audio")), 300)
        return True
    return False


def test_a_reply_in_text_is_taken_out_of_the_session_before_it_is_asked_again() -> None:
    stage = pair(Behaviour(on_command=answers_in_text))
    question(stage, 1000, 2000)
    stage.run(12_000)
    assert stage.words() == ALL_WORDS
    log = stage.link("a", 0).log
    last = [c for c in log if isinstance(c, (pb.Ask, pb.Truncate))]
    assert [type(c) for c in last] == [pb.Ask, pb.Truncate, pb.Ask]
    assert last[1] == pb.Truncate("text1", 0)
    assert not stage.noted("swap")


def test_a_reply_in_text_that_cannot_be_taken_back_is_given_by_the_next_provider() -> None:
    stage = pair(Behaviour(on_command=answers_in_text, caps=replace(GEMINI_LIKE, history_anytime=True)))
    question(stage, 1000, 2000)
    stage.run(12_000)
    assert stage.words() == ALL_WORDS
    assert len([c for c in stage.link("a", 0).log if isinstance(c, pb.Ask)]) == 1
    assert [swap["class"] for swap in stage.noted("swap")] == ["empty"]


def test_a_continuation_in_text_is_not_a_complete_answer() -> None:
    """Its words were not heard: it is asked for once more, after the words that were."""

    def in_text_once(link: SimLink, command: pb.Command) -> bool:
        if isinstance(command, pb.Ask) and "Continue" in command.instructions and not link.turn:
            link.turn = 99
            return answers_in_text(link, pb.Ask(command.number))
        return False

    stage = pair(Behaviour(on_word=dies_at(5)), second=Behaviour(on_command=in_text_once))
    question(stage, 1000, 2000)
    stage.run(14_000)
    assert stage.words() == ALL_WORDS
    assert [type(c) for c in stage.link("b").log if isinstance(c, (pb.Ask, pb.Truncate))] == [
        pb.Ask, pb.Truncate, pb.Ask,
    ]  # fmt: skip
    assert [note["state"] for note in stage.noted("exchange_settled")] == ["answered"]


def test_an_empty_continuation_is_a_complete_answer() -> None:
    def last_word(link: SimLink, ask: int, word: int) -> bool:
        if word == 9:
            link.stage.dispatch(ev.FromLink(link.number, pb.ReplyText(ask, "i", "w0009 ", 9 * 300)))
            link.die(RESET)
        return word == 9

    stage = pair(Behaviour(on_word=last_word), second=Behaviour(words=9))
    question(stage, 1000, 2000)
    stage.run(14_000)
    assert stage.words() == list(range(9))
    assert [note["state"] for note in stage.noted("exchange_settled")] == ["answered"]


def test_a_reply_that_stalled_after_its_last_word_is_on_record_as_heard() -> None:
    stage = pair(Behaviour(on_word=falls_silent_at(9), speed=1.5), second=Behaviour(words=9))
    question(stage, 1000, 2000)
    stage.run(16_000)
    assert stage.words() == list(range(9))
    assert [note["state"] for note in stage.noted("exchange_settled")] == ["answered"]
    assert [note["ask"] for note in stage.noted("heard")] == [1]
    assert len(stage.noted("swap")) == 1
    assert not stage.link("a", 0).alive


def test_a_refused_answer_is_not_an_outage_but_never_silence() -> None:
    def refuses(link: SimLink, command: pb.Command) -> bool:
        if isinstance(command, pb.Ask):
            link.say(pb.ReplyEnded(command.number, "refused", Fault(FaultClass.REFUSED, "content_filter")), 300)
        return isinstance(command, pb.Ask)

    stage = pair(Behaviour(on_command=refuses))
    question(stage, 1000, 2000)
    stage.run(8000)
    assert stage.words() == [392]
    assert not stage.noted("swap")


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_a_tool_survives_the_switch_and_runs_once(when: str) -> None:
    def calls(link: SimLink, command: pb.Command) -> bool:
        if isinstance(command, pb.Ask) and when == "before":
            link.say(pb.ReplyStarted(command.number), 50)
            link.stage.later(100, lambda: link.die(RESET))
            return True
        return calls_lookup_once(link, command)

    stage = pair(Behaviour(on_command=calls), tools=(LOOKUP,), second=Behaviour(on_command=None))
    stage.tool_ms = 800
    question(stage, 1000, 2000)
    if when == "during":
        stage.later(3200, lambda: stage.link("a").die(RESET))
    elif when == "after":
        stage.later(3700, lambda: stage.link("a").die(RESET))
    stage.run(14_000)
    assert stage.words() == ALL_WORDS
    assert len(stage.tools) == (0 if when == "before" else 1)
    if when != "before":
        told = [item for c in stage.link("b").log if isinstance(c, pb.Seed) for item in c.items]
        assert [item.output for item in told if isinstance(item, pb.ToolUse)] == ['{"ok":true}']


def test_the_next_model_asking_for_the_same_tool_is_answered_from_the_ledger() -> None:
    stage = pair(
        Behaviour(on_command=calls_lookup_once), tools=(LOOKUP,), second=Behaviour(on_command=calls_lookup_once)
    )
    stage.tool_ms = 5000
    question(stage, 1000, 2000)
    stage.later(3200, lambda: stage.link("a").die(RESET))
    stage.run(18_000)
    assert len(stage.tools) == 1
    outputs = [c for c in stage.link("b").log if isinstance(c, pb.ToolOutput)]
    assert outputs == [pb.ToolOutput("call_x", "lookup", '{"ok":true}')]
    assert stage.words() == ALL_WORDS


def test_all_providers_down_the_caller_hears_a_message_and_then_the_policy() -> None:
    plan = Plan((), last_rung=LastRung(hold_ms=6000))
    stage = Stage({"a": Behaviour(refuse=LIMIT), "b": Behaviour(refuse=LIMIT)}, plan=plan)
    question(stage, 1000, 2000)
    stage.run(30_000)
    assert stage.words() == [390, 391]
    assert stage.ended == "no provider"


def test_a_provider_that_comes_back_during_the_message_answers_the_question() -> None:
    stage = Stage({"a": Behaviour(refuse=LIMIT), "b": Behaviour(refuse=LIMIT)})
    question(stage, 1000, 2000)

    def recover() -> None:
        stage.behaviours["a"].refuse = None

    stage.later(5000, recover)
    stage.run(16_000)
    assert stage.words() == [390, *ALL_WORDS]
    assert stage.link("a").turns[1] == stage.caller(700, 2500)


def test_transfer_when_nobody_is_left() -> None:
    plan = Plan((), last_rung=LastRung(then="transfer", transfer_to="+15550100", hold_ms=3000))
    stage = Stage({"a": Behaviour(refuse=LIMIT)}, plan=plan)
    question(stage, 1000, 2000)
    stage.run(12_000)
    assert stage.ended == "transfer +15550100"


def test_an_excluded_provider_gets_nothing_more() -> None:
    stage = pair(Behaviour())
    settled_first_turn(stage)
    stage.later(7900, lambda: stage.dispatch(ev.Excluded(("a",))))
    stage.run(16_000)
    assert set(stage.link("a", 0).turns) == {1}
    assert not stage.link("a").alive
    assert stage.words() == ALL_WORDS + ALL_WORDS


def test_a_session_near_its_limit_is_rotated_between_turns_without_a_gap() -> None:
    stage = pair(Behaviour(), "cold")
    stage.later(2600, lambda: stage.link("a").say(pb.Expiring(50_000)))
    settled_first_turn(stage)
    stage.run(16_000)
    assert stage.words() == ALL_WORDS + ALL_WORDS
    assert [swap["class"] for swap in stage.noted("swap")] == ["planned"]
    firsts = [note["after_ms"] for note in stage.noted("first_audio")]
    assert firsts == [400, 400]


def test_a_dead_standby_is_found_out_when_taken() -> None:
    stage = Stage({"a": Behaviour(on_word=dies_at(5)), "b": Behaviour(answers_probe=False), "c": Behaviour()})

    def mute_standby() -> None:
        stage.link("b").silent = True

    stage.later(2800, mute_standby)
    question(stage, 1000, 2000)
    stage.run(14_000)
    assert stage.words() == ALL_WORDS


def test_barge_in_between_the_death_and_the_new_first_audio() -> None:
    stage = pair(Behaviour(on_word=dies_at(5)), second=Behaviour(first_audio=2000))
    question(stage, 1000, 2000)
    stage.ears.at(4000, "cut", 3700)
    stage.ears.at(5500, "turn_end", 5000)
    stage.run(18_000)
    assert stage.link("b").turns[2] == stage.caller(3400, 5500)
    assert stage.words()[-10:] == ALL_WORDS
    assert [note["state"] for note in stage.noted("exchange_settled")] == ["interrupted", "answered"]


def test_a_long_turn_is_replayed_whole_and_in_slices() -> None:
    stage = pair(Behaviour(), "warm")
    question(stage, 1000, 31_000)
    stage.later(30_500, lambda: stage.link("a").die(RESET))
    stage.run(40_000)
    link = stage.link("b")
    assert link.turns[1] == stage.caller(700, 31_500)
    assert max(len(c.data) for c in link.log if isinstance(c, pb.Audio)) <= 16_000
    assert stage.words() == ALL_WORDS


def test_a_silent_socket_while_the_caller_speaks_is_found_by_its_missing_pong() -> None:
    stage = pair(Behaviour())
    question(stage, 1000, 6000)

    def half_open() -> None:
        stage.link("a").silent = True

    stage.later(900, half_open)
    stage.run(14_000)
    assert stage.words() == ALL_WORDS
    assert stage.noted("swap")[0]["silence_ms"] == 0
    assert stage.link("b").turns[1] == stage.caller(700, 6500)


def test_slow_drip_is_left() -> None:
    stage = pair(Behaviour(speed=0.7, words=20), second=Behaviour(words=20))
    question(stage, 1000, 2000)
    stage.run(20_000)
    assert stage.words() == list(range(20))
    assert stage.noted("swap")[0]["class"] in {"slow", "stalled"}


def test_no_switch_in_normal_answers() -> None:
    for first in (100, 600, 1500, 2200):
        stage = pair(Behaviour(first_audio=first, speed=1.3, words=12))
        question(stage, 1000, 2000)
        stage.run(12_000)
        assert stage.words() == list(range(12))
        assert not stage.noted("fault"), first


def test_time_is_counted_in_ns() -> None:
    stage = pair(Behaviour())
    stage.run(100)
    assert stage.call.deadline is not None and stage.call.deadline > 100 * MS


def test_word_times_count_within_their_item() -> None:
    """A reply of two items; the link dies in the second, whose text ran ahead."""

    def two_items(link: SimLink, ask: int, word: int) -> bool:
        if word < 5:
            return False
        if word == 8:
            link.die(RESET)
            return True
        for n in range(5, 10) if word == 5 else ():
            link.stage.dispatch(ev.FromLink(link.number, pb.ReplyText(ask, "second", f"w{n:04} ", (n - 5) * 300)))
        link.stage.dispatch(ev.FromLink(link.number, pb.ReplyAudio(ask, "second", WORD_AUDIO[word])))
        return True

    stage = pair(Behaviour(on_word=two_items))
    question(stage, 1000, 2000)
    stage.run(14_000)
    assert stage.words() == ALL_WORDS
