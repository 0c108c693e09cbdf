"""Standby upkeep, rotation, hedged turns, fail-back, and the phrase over a long silence."""

from __future__ import annotations

from dataclasses import replace

from bridge.core import events as ev
from bridge.core.plan import Plan
from providers import base as pb
from providers.base import Fault, FaultClass
from tests.core.stage import Behaviour, SimLink, Stage
from tests.core.test_call import question

ALL_WORDS = list(range(10))


def slow_first_audio(link: SimLink, command: pb.Command) -> bool:
    if isinstance(command, pb.Ask):
        link.stage.later(1500, lambda: link.reply(command.number))
    return isinstance(command, pb.Ask)


def hedged(first: Behaviour, second: Behaviour) -> Stage:
    stage = Stage({"a": first, "b": second}, plan=Plan((), hedge_ms=600))
    question(stage, 1000, 2000)
    return stage.run(12_000)


def test_a_hedged_turn_is_answered_by_whoever_speaks_first_and_only_once() -> None:
    stage = hedged(Behaviour(on_command=slow_first_audio), Behaviour(first_audio=200))
    assert stage.words() == ALL_WORDS
    assert stage.noted("first_audio")[0] == {"ask": 2, "provider": "b", "after_ms": 200}
    assert not stage.noted("fault")
    assert not stage.link("a", 0).alive


def test_the_hedged_one_wins_when_it_is_first_after_all() -> None:
    stage = hedged(Behaviour(first_audio=800), Behaviour(first_audio=900))
    assert stage.words() == ALL_WORDS
    assert [note["provider"] for note in stage.noted("first_audio")] == ["a"]


def test_a_standby_is_proven_renewed_and_reopened() -> None:
    caps = replace(Behaviour().caps, session_ms=6 * 60_000)
    stage = Stage({"a": Behaviour(), "b": Behaviour(caps=caps)})
    stage.run(70_000)
    first = stage.link("b", 0)
    assert sum(isinstance(command, pb.Probe) for command in first.log) >= 2
    stage.later(1000, lambda: stage.link("b").die(Fault(FaultClass.OVERLOADED, "1011")))
    stage.run(140_000)
    assert stage.link("b").alive and stage.link("b") is not first


def test_the_standby_receives_no_audio_and_no_ask() -> None:
    stage = Stage(standby="warm")
    question(stage, 1000, 2000)
    stage.run(10_000)
    assert {type(command).__name__ for command in stage.link("b").log} <= {"Configure", "Probe"}


def test_a_seeded_standby_knows_the_conversation_and_is_not_told_twice() -> None:
    stage = Stage(standby="seeded")
    question(stage, 1000, 2000)
    question(stage, 8000, 9000)
    stage.later(8500, lambda: stage.link("a").die(Fault(FaultClass.NETWORK, "reset")))
    stage.run(16_000)
    items = [item for c in stage.link("b").log if isinstance(c, pb.Seed) for item in c.items]
    said = [item.text for item in items if isinstance(item, pb.Text) and item.role == "assistant"]
    assert said == [" ".join(f"w{n:04}" for n in ALL_WORDS)]
    assert stage.words() == ALL_WORDS * 2


def test_fail_back_at_a_turn_boundary() -> None:
    stage = Stage(
        {"a": Behaviour(refuse=Fault(FaultClass.OVERLOADED, "503")), "b": Behaviour()}, plan=Plan((), fail_back=True)
    )
    question(stage, 1000, 2000)

    def recover() -> None:
        stage.behaviours["a"].refuse = None

    stage.later(10_000, recover)
    question(stage, 70_000, 71_000)
    stage.run(80_000)
    assert [note["provider"] for note in stage.noted("asked")] == ["b", "a"]
    assert stage.words() == ALL_WORDS * 2


def test_a_phrase_of_our_own_covers_a_long_silence() -> None:
    stage = Stage({"a": Behaviour(first_audio=2600), "b": Behaviour()})
    agent = replace(stage.spec.agent, bridge_phrase_after_ms=1500)
    stage.spec = replace(stage.spec, agent=agent, phrases={**stage.spec.phrases, "hold": stage.spec.phrases["sorry"]})
    stage.call = type(stage.call)(stage.spec, stage.ears)  # type: ignore[arg-type]
    question(stage, 1000, 2000)
    stage.run(12_000)
    assert stage.words() == [390, *ALL_WORDS]
    assert not any(isinstance(c, pb.Seed) for c in stage.link("a").log)


def test_a_nearly_exhausted_rate_limit_is_left_before_it_bites() -> None:
    stage = Stage()
    question(stage, 1000, 2000)
    stage.later(6500, lambda: stage.link("a").say(pb.RateLimits(0.01, 30_000)))
    question(stage, 8000, 9000)
    stage.run(16_000)
    assert [note["provider"] for note in stage.noted("asked")] == ["a", "b"]
    assert stage.words() == ALL_WORDS * 2


def test_a_link_in_trouble_makes_the_standby_ready() -> None:
    stage = Stage(standby="cold")
    stage.later(1000, lambda: stage.dispatch(ev.Suspect(1, "outbox older than 500 ms")))
    stage.run(2000)
    assert [link.provider for link in stage.links.values()] == ["a", "b"]


def test_a_link_that_was_to_be_left_and_dies_takes_the_plan_with_it() -> None:
    """A goAway, then death within the reply: the provider that took over is not left as well."""
    stage = Stage(standby="warm")
    question(stage, 1000, 2000)
    stage.later(3000, lambda: stage.link("a").say(pb.Expiring(50_000)))
    stage.later(3300, lambda: stage.link("a").die(Fault(FaultClass.NETWORK, "reset")))
    question(stage, 12_000, 13_000)
    stage.run(20_000)
    assert [note["provider"] for note in stage.noted("asked")] == ["a", "b", "b"]
    assert [swap["class"] for swap in stage.noted("swap")] == ["network"]
    assert stage.words() == ALL_WORDS * 2


def test_a_session_about_to_end_is_left_in_time_although_it_was_to_be_left_at_leisure_before() -> None:
    stage = Stage({"a": Behaviour(words=60), "b": Behaviour(words=60)})
    question(stage, 1000, 2000)
    stage.later(3500, lambda: stage.link("a").say(pb.RateLimits(0.01, 30_000)))
    stage.later(3600, lambda: stage.link("a").say(pb.Expiring(6000)))
    stage.run(24_000)
    asked = [(at, fields["provider"]) for at, kind, fields in stage.notes if kind == "asked"]
    assert asked == [(2500, "a"), (4600, "b")]
    assert stage.words() == list(range(60))


RESET = Fault(FaultClass.NETWORK, "reset")


def dies_when_asked(link: SimLink, command: pb.Command) -> bool:
    if isinstance(command, pb.Ask):
        link.die(RESET)
    return isinstance(command, pb.Ask)


def proves_itself_after(ms: int):
    def act(link: SimLink, command: pb.Command) -> bool:
        if isinstance(command, pb.Probe):
            link.say(pb.Probed(), ms)
            return True
        if isinstance(command, pb.Ask):
            link.stage.later(max(0, ms - 100), lambda: link.reply(command.number))
        return isinstance(command, pb.Ask)

    return act


def taken_at_2500(second: Behaviour, standby: str = "warm", **third: int) -> Stage:
    """a dies when it is asked; b has been up for long; c can be dialled."""
    acts = {"a": Behaviour(on_command=dies_when_asked), "b": second, "c": Behaviour(**third)}  # type: ignore[arg-type]
    stage = Stage(acts, standby=standby)
    question(stage, 1000, 2000)
    return stage.run(9000)


def test_a_standby_slow_to_prove_itself_serves_while_the_next_one_is_dialled() -> None:
    """Its proof comes after 600 ms, the other would be ready after 1.2 s: it stays, the other waits as standby."""
    stage = taken_at_2500(Behaviour(on_command=proves_itself_after(600)), connect=700, configure=100)
    assert stage.words() == ALL_WORDS
    assert stage.link("c").opened == 2900 * 1_000_000
    assert stage.link("c").alive and stage.link("b").alive
    assert not [command for command in stage.link("c").log if isinstance(command, pb.Ask)]
    assert [fault["provider"] for fault in stage.noted("fault")] == ["a"]


def test_whoever_is_ready_first_serves_and_the_other_is_closed() -> None:
    """The taken standby would prove itself after 1.5 s; the one dialled beside it is ready after 0.5 s."""
    stage = taken_at_2500(Behaviour(on_command=proves_itself_after(1500)))
    assert stage.words() == ALL_WORDS
    assert not stage.link("b", 0).alive
    firsts = [(note["provider"], note["ask"]) for note in stage.noted("first_audio")]
    assert firsts == [("c", 3)]
    at = stage.when("first_audio")[0]
    assert at == 2500 + 400 + 80 + 400  # found out, connected and configured, its own first audio
    assert stage.link("c").turns[1] == stage.caller(700, 2500)


def test_a_standby_that_is_still_being_dialled_when_taken_is_overtaken() -> None:
    """Opened half a second before the link dies, and slow: the next one is dialled 400 ms after."""
    stage = Stage(
        {"a": Behaviour(on_command=dies_when_asked), "b": Behaviour(connect=1400, configure=900), "c": Behaviour()},
        standby="cold",
    )
    question(stage, 1000, 2000)
    stage.later(2200, lambda: stage.dispatch(ev.Suspect(1, "slow outbox")))
    stage.run(9000)
    assert stage.words() == ALL_WORDS
    assert stage.when("first_audio")[0] == 2500 + 400 + 80 + 400
    assert [fault["provider"] for fault in stage.noted("fault")] == ["a"], "slow is no fault"
    assert not stage.link("b").alive


def test_when_the_one_dialled_beside_fails_the_one_in_doubt_goes_on() -> None:
    refused = {"refuse": Fault(FaultClass.OVERLOADED, "503")}
    stage = taken_at_2500(Behaviour(on_command=proves_itself_after(1200)), **refused)  # type: ignore[arg-type]
    assert stage.words() == ALL_WORDS
    assert [note["provider"] for note in stage.noted("first_audio")] == ["b"]


def test_on_a_cold_route_nothing_waits_after_the_doubt_is_over() -> None:
    stage = Stage(
        {"a": Behaviour(on_command=dies_when_asked), "b": Behaviour(connect=500), "c": Behaviour(connect=400)},
        standby="cold",
    )
    question(stage, 1000, 2000)
    stage.later(2480, lambda: stage.dispatch(ev.Suspect(1, "slow outbox")))
    stage.run(9000)
    assert stage.words() == ALL_WORDS
    assert [link.provider for link in stage.links.values() if link.alive] == ["b"]
