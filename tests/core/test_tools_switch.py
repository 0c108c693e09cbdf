"""Tools across a switch: parallel calls, results in any order, calls a barge-in cancelled; each runs once."""

from __future__ import annotations

import pytest

from bridge.core import events as ev
from bridge.core.plan import Tool
from providers import base as pb
from providers.base import Fault, FaultClass
from providers.codec import Capabilities
from tests.core.stage import GEMINI_LIKE, Behaviour, SimLink, Stage
from tests.core.test_call import question

RESET = Fault(FaultClass.NETWORK, "reset")
TOOLS = tuple(Tool(pb.ToolSpec(name, "", {"type": "object", "properties": {}})) for name in ("lookup", "book"))
ALL_WORDS = list(range(10))
KNOWN = {"history audio": Behaviour().caps, "text history": GEMINI_LIKE}


def calls_both(link: SimLink, command: pb.Command) -> bool:
    """Once a session: two calls in one reply, unless it was told of them."""
    told = [item for c in link.log if isinstance(c, pb.Seed) for item in c.items]
    known = any(isinstance(item, pb.ToolUse) or "still running" in getattr(item, "text", "") for item in told)
    if not isinstance(command, pb.Ask) or known or any(isinstance(c, pb.ToolOutput) for c in link.log):
        return False
    link.say(pb.ReplyStarted(command.number), 60)
    link.say(pb.ToolCalled(command.number, f"l{command.number}", "lookup", "{}"), 120)
    link.say(pb.ToolCalled(command.number, f"b{command.number}", "book", '{"day":1}'), 130)
    link.say(pb.ReplyEnded(command.number, "completed"), 140)
    return True


def stage_of(caps: Capabilities, second: Behaviour | None = None) -> Stage:
    acts = {"a": Behaviour(on_command=calls_both), "b": second or Behaviour(caps=caps)}
    stage = Stage(acts, tools=TOOLS)
    stage.tool_ms = None  # results come when the test says
    question(stage, 1000, 2000)  # asked at 2.5 s, both are called at about 2.63 s
    return stage


def done(stage: Stage, at_ms: int, call: int) -> None:
    stage.later(at_ms, lambda: stage.dispatch(ev.ToolDone(call, f'{{"n":{call}}}')))


def told(link: SimLink) -> list[str]:
    """Results it was given, in whatever form, in order."""
    out = []
    for command in link.log:
        if isinstance(command, pb.ToolOutput):
            out.append(command.output)
        elif isinstance(command, pb.Seed):
            out += [item.output for item in command.items if isinstance(item, pb.ToolUse)]
    return out


def names(stage: Stage) -> list[str]:
    return [tool.name for tool in stage.tools]


@pytest.mark.parametrize("caps", KNOWN.values(), ids=KNOWN)
@pytest.mark.parametrize(
    ("lookup_ms", "book_ms", "death_ms"),
    [
        pytest.param(2800, 3600, 3200, id="one done"),
        pytest.param(3600, 2800, 3200, id="the other done"),
        pytest.param(3400, 3600, 3000, id="both running"),
        pytest.param(2800, 2900, 2950, id="both done"),
        pytest.param(2800, 7000, 3000, id="one is late"),
        pytest.param(6500, 7000, 3000, id="both are late"),
    ],
)
def test_parallel_calls_survive_the_switch(caps: Capabilities, lookup_ms: int, book_ms: int, death_ms: int) -> None:
    stage = stage_of(caps)
    done(stage, lookup_ms, 1)
    done(stage, book_ms, 2)
    stage.later(death_ms, lambda: stage.link("a").die(RESET))
    stage.run(18_000)
    assert names(stage) == ["lookup", "book"], "each ran once"
    assert sorted(told(stage.link("b"))) == ['{"n":1}', '{"n":2}'], "each result reached the model once"
    late = max(lookup_ms, book_ms) > death_ms + 2000
    assert stage.words() == ALL_WORDS * 2 if late else ALL_WORDS  # what could be said without, then with the result
    assert [note["state"] for note in stage.noted("exchange_settled")] == ["answered"]


@pytest.mark.parametrize("caps", KNOWN.values(), ids=KNOWN)
def test_parallel_calls_asked_for_again_are_answered_from_the_ledger(caps: Capabilities) -> None:
    """The next model calls both again, in its own words and under its own names: nothing is done twice."""

    def again(link: SimLink, command: pb.Command) -> bool:
        if not isinstance(command, pb.Ask) or any(isinstance(c, pb.ToolOutput) for c in link.log):
            return False
        link.say(pb.ReplyStarted(command.number), 60)
        link.say(pb.ToolCalled(command.number, "x2", "book", '{"day":"1"}'), 120)
        link.say(pb.ToolCalled(command.number, "x1", "lookup", "{}"), 130)
        link.say(pb.ReplyEnded(command.number, "completed"), 140)
        return True

    stage = stage_of(caps, Behaviour(caps=caps, on_command=again))
    done(stage, 2800, 1)
    done(stage, 2900, 2)
    stage.later(2950, lambda: stage.link("a").die(RESET))
    stage.run(14_000)
    assert names(stage) == ["lookup", "book"]
    outputs = {c.call_id: c.output for c in stage.link("b").log if isinstance(c, pb.ToolOutput)}
    assert outputs == {"x1": '{"n":1}', "x2": '{"n":2}'}
    assert stage.words() == ALL_WORDS


@pytest.mark.parametrize("cancelled", [True, False], ids=["withdrawn by the provider", "left standing"])
def test_calls_a_barge_in_cancelled_do_not_run_again_after_a_switch(cancelled: bool) -> None:
    """The caller goes on while the tools run, and the link dies: what was begun is finished once, with one reply."""
    stage = stage_of(Behaviour().caps)
    stage.ears.at(3100, "speech_start", 3000)
    stage.ears.at(4600, "turn_end", 4100)
    if cancelled:
        stage.later(3150, lambda: stage.link("a").say(pb.ToolCancelled(("l1", "b1"))))
    stage.later(3500, lambda: stage.link("a").die(RESET))
    done(stage, 4000, 1)
    done(stage, 4100, 2)
    stage.run(14_000)
    assert names(stage) == ["lookup", "book"]
    assert not [c for c in stage.link("a").log if isinstance(c, pb.ToolOutput)]
    assert sorted(told(stage.link("b"))) == ['{"n":1}', '{"n":2}']
    assert stage.words() == ALL_WORDS
    assert stage.link("b").turns == {1: stage.caller(700, 2500), 2: stage.caller(2700, 4600)}
