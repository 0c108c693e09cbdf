"""The runner around a scripted engine: order, no re-entry, one timer, and exceptions that stay with their call."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from audio.frame import PCMU, Frame, decode
from audio.turns import TurnSettings
from bridge.core.effects import (
    AskOpinion,
    Choose,
    ClearLeg,
    Close,
    Emit,
    HangUp,
    Health,
    Note,
    Open,
    Ping,
    RunTool,
    SendMark,
    Transfer,
)
from bridge.core.engine import Transmit
from bridge.core.events import (
    Chosen,
    Drain,
    Dtmf,
    Gone,
    LegLost,
    LinkUp,
    Opinion,
    Pulled,
    Remark,
    Suspect,
    Tick,
    ToolDone,
)
from bridge.core.plan import Agent
from bridge.shell.pacer import Pacer
from providers.base import Fault, FaultClass, NetworkError, SocketClosed
from tests.shell.stage import PHRASE, TARGETS, Stage
from tests.virtual import virtual

MS = 1_000_000


def _now() -> int:
    return round(asyncio.get_running_loop().time() * 1e9)


# ----------------------------------------------------------------------------------------------- inputs and their order


@virtual
async def test_every_input_is_recorded_before_the_engine_sees_it_and_answered_after() -> None:
    stage = Stage()
    data, concealed = os.urandom(160), os.urandom(160)
    inputs: list[Any] = []

    def recorded(what: Any, now: int) -> list[Any]:
        inputs.append((what, list(stage.recorder.kinds())))
        return []

    for kind in ("start", Frame, Pulled, Dtmf, "message", "failed"):
        stage.engine.on[kind] = recorded
    runner = stage.runner
    runner.start()
    runner.heard(Frame(data, PCMU))
    runner.heard(Frame(concealed, PCMU, concealed=True))
    runner.dispatch(Pulled(160))
    runner.dispatch(Dtmf("5"))
    runner.received(3, '{"a":1}')
    runner.failed(3, SocketClosed(1011))
    assert [line for line in stage.recorder.lines if line[0] != "actions"] == [
        ("start", _now()),
        ("caller", data, _now(), False),
        ("caller", concealed, _now(), True),
        ("event", Pulled(160), _now()),
        ("event", Dtmf("5"), _now()),
        ("message", 3, '{"a":1}', _now()),
        ("failed", 3, SocketClosed(1011), _now()),
    ]
    assert stage.recorder.kinds()[1::2] == ["actions"] * 7
    assert [kinds[-1] for _, kinds in inputs] == ["start", "caller", "caller", "event", "event", "message", "failed"]
    runner.abandon("test")


@virtual
async def test_what_happens_while_actions_are_performed_comes_next_in_order() -> None:
    stage = Stage()
    stage.engine.on["start"] = lambda _, now: [Choose(1, "call"), Choose(2, "standby"), SendMark("after both")]
    stage.engine.on[Chosen] = lambda event, now: [
        Open(event.request, event.provider),
        SendMark(f"open {event.request}"),
    ]
    stage.runner.start()
    assert stage.engine.of(Chosen) == [Chosen(1, "one"), Chosen(2, "one")]
    assert stage.leg.of("mark") == ["after both", "open 1", "open 2"]
    assert stage.recorder.kinds() == ["start", "actions", "event", "actions", "event", "actions"]
    stage.runner.abandon("test")


@virtual
async def test_the_loudness_of_a_voice_goes_to_the_board_and_comes_with_the_choice() -> None:
    stage = Stage()
    stage.engine.on["start"] = lambda _, now: [Choose(1, "call"), Health("one", voice_db=66.5), Choose(2, "standby")]
    stage.runner.start()
    assert stage.engine.of(Chosen) == [Chosen(1, "one"), Chosen(2, "one", voice_db=66.5)]
    stage.runner.abandon("test")


@virtual
async def test_time_is_read_once_per_input_and_never_goes_back() -> None:
    stage = Stage()
    stage.runner.start()
    await asyncio.sleep(0.0123)
    stage.runner.dispatch(Dtmf("1"))
    assert stage.engine.inputs[-1] == (_now(), Dtmf("1"))
    assert stage.recorder.lines[-2] == ("event", Dtmf("1"), _now())
    loop = asyncio.get_running_loop()
    loop._clock -= 0.005  # type: ignore[attr-defined]
    stage.runner.dispatch(Dtmf("2"))
    times = [now for now, _ in stage.engine.inputs]
    assert times == sorted(times)
    stage.runner.abandon("test")


# -------------------------------------------------------------------------------------------------------------- actions


@virtual
async def test_actions_reach_leg_sockets_tools_and_board_in_order() -> None:
    stage = Stage()
    stage.engine.on["start"] = lambda _, now: [
        Open(1, "one"),
        Open(2, "two"),
        Transmit(1, ["a", b"b"]),
        Transmit(2, ["c"]),
        Transmit(9, ["nobody"]),
        Ping(2, 1000),
        Ping(9, 1000),
        Emit(b"\x01" * 160),
        SendMark("0:1"),
        ClearLeg(),
        Close(1),
        Close(9),
        RunTool(5, "look_up", "{}", "call-1:5"),
        RunTool(6, "unheard_of", "{}", "call-1:6"),
        Health("two", Fault(FaultClass.ACCOUNT, "no")),
        Note("agent_began", {"ask": 1}),
    ]
    stage.runner.start()
    assert [socket.told for socket in stage.sockets] == [["a", b"b", "close"], ["c", ("ping", 1000)]]
    assert [kind for _, kind, _ in stage.leg.told] == ["send", "mark", "clear"]
    assert [(call, order.call, endpoint) for call, order, endpoint, _ in stage.tools.orders] == [
        ("call-1", 5, stage.endpoint),
        ("call-1", 6, None),
    ]
    assert [(call, note.kind) for call, note, _ in stage.notes] == [("call-1", "agent_began")]
    stage.engine.on[Dtmf] = lambda _, now: [Choose(3, "handover", ("one",))]
    stage.runner.dispatch(Dtmf("1"))
    (chosen,) = stage.engine.of(Chosen)
    assert (chosen.provider, chosen.reason) == (None, "two: credential breaker open")
    stage.tools.orders[0][3](ToolDone(5, "{}"))
    assert stage.engine.of(ToolDone) == [ToolDone(5, "{}")]
    stage.runner.abandon("test")


def judge(pcm: NDArray[np.int16], rate: int) -> bool:
    """`turns.opinion` of the test below: whether it got what was sent to it."""
    return rate == 8000 and pcm.tolist() == decode(bytes(range(200)), "pcmu").tolist()


@virtual
async def test_a_question_on_a_turn_is_answered_by_the_agents_function() -> None:
    stage = Stage(agent=Agent("agent", "be kind", turns=TurnSettings(opinion="tests.shell.test_runner:judge")))
    stage.engine.on["start"] = lambda _, now: [AskOpinion(4, bytes(range(200)))]
    stage.runner.start()
    assert stage.engine.of(Opinion) == [], "not on the loop"
    await asyncio.sleep(0.1)
    assert stage.engine.of(Opinion) == [Opinion(4, True)]
    asked = [line for line in stage.recorder.lines if line[0] == "event" and isinstance(line[1], Opinion)]
    assert len(asked) == 1, "recorded like any other event"
    stage.runner.abandon("test")


@virtual
async def test_what_a_socket_reports_becomes_the_right_input() -> None:
    stage = Stage()
    stage.engine.on["start"] = lambda _, now: [Open(1, "one"), Open(2, "two")]
    stage.runner.start()
    first, second = stage.sockets
    second.handler.opened()
    second.handler.message("hello")
    second.handler.suspect("no pong within 5 ms", True)
    first.handler.closed(NetworkError("refused"))
    await asyncio.sleep(0)
    assert [what for _, what in stage.engine.inputs[1:]] == [
        LinkUp(2),
        (2, "hello"),
        Suspect(2, "no pong within 5 ms", True),
        (1, NetworkError("refused")),
    ]
    stage.engine.on[Dtmf] = lambda _, now: [Transmit(1, ["to the dead"]), Close(1)]
    stage.runner.dispatch(Dtmf("1"))
    assert first.told == []
    stage.runner.abandon("test")
    assert second.told == ["close"]


@virtual
async def test_an_address_that_cannot_be_dialled_is_a_failed_link() -> None:
    stage = Stage()

    def dial(link: int) -> Any:
        raise ValueError("provider one: kind openai needs an endpoint or a url")

    stage.engine.dial = dial  # type: ignore[method-assign]
    stage.engine.on["start"] = lambda _, now: [Open(1, "one"), SendMark("still performed")]
    stage.runner.start()
    ((link, failure),) = [what for _, what in stage.engine.inputs if isinstance(what, tuple)]
    assert (link, failure.kind) == (1, "address")
    assert stage.leg.of("mark") == ["still performed"]
    stage.runner.abandon("test")


@virtual
async def test_a_watcher_that_fails_harms_nobody() -> None:
    stage = Stage()

    def broken(call_id: str, note: Note, now: int) -> None:
        raise RuntimeError("metrics are down")

    object.__setattr__(stage.runner._services, "watchers", (broken, *stage.runner._services.watchers))
    stage.engine.on["start"] = lambda _, now: [Note("heard", {}), SendMark("on")]
    stage.runner.start()
    stage.runner.notice("the edge ignored a message")
    assert [note.kind for _, note, _ in stage.notes] == ["heard"]
    assert stage.engine.of(Remark) == [Remark("the edge ignored a message")]
    assert stage.leg.of("mark") == ["on"]
    stage.runner.abandon("test")


# ------------------------------------------------------------------------------------------------------------ the timer


@virtual
async def test_the_deadline_is_kept_and_moving_it_later_sets_no_timer() -> None:
    stage = Stage()
    loop = asyncio.get_running_loop()
    armed: list[float] = []
    call_at = loop.call_at
    loop.call_at = lambda when, *rest, **options: (armed.append(when), call_at(when, *rest, **options))[1]  # type: ignore

    def postpone(_: Any, now: int) -> list[Any]:
        stage.engine.deadline = now + 500 * MS
        return []

    def ticked(_: Any, now: int) -> list[Any]:
        stage.engine.deadline = None
        return []

    stage.engine.on = {"start": postpone, Frame: postpone, Tick: ticked}
    stage.runner.start()
    loop.call_at = call_at  # type: ignore[method-assign]
    assert len(armed) == 1
    counted: list[float] = []
    loop.call_at = lambda when, *rest, **options: (counted.append(when), call_at(when, *rest, **options))[1]  # type: ignore
    frame = Frame(b"\xff" * 160, PCMU)
    for step in range(100):
        call_at(1000 + step * 0.02, stage.runner.heard, frame)
    finished = loop.create_future()
    call_at(1010.0, finished.set_result, None)
    await finished
    loop.call_at = call_at  # type: ignore[method-assign]
    (at,) = [now for now, what in stage.engine.inputs if isinstance(what, Tick)]
    last = max(now for now, what in stage.engine.inputs if isinstance(what, Frame))
    assert at == last + 500 * MS
    assert len(counted) <= 6  # each of them half a second after the one before
    stage.runner.abandon("test")


@virtual
async def test_an_earlier_deadline_moves_the_timer() -> None:
    stage = Stage()
    begun = _now()
    stage.engine.deadline = begun + 10_000 * MS
    stage.runner.start()

    def sooner(_: Any, now: int) -> list[Any]:
        stage.engine.deadline = now + 100 * MS
        return []

    def ticked(_: Any, now: int) -> list[Any]:
        stage.engine.deadline = None
        return []

    stage.engine.on = {Dtmf: sooner, Tick: ticked}
    await asyncio.sleep(1)
    stage.runner.dispatch(Dtmf("1"))
    await asyncio.sleep(20)
    assert [now - begun for now, what in stage.engine.inputs if isinstance(what, Tick)] == [1100 * MS]
    stage.runner.abandon("test")


@virtual
async def test_a_deadline_that_is_already_past_is_served_next_not_within() -> None:
    stage = Stage()
    ticks = 0

    def again(_: Any, now: int) -> list[Any]:
        nonlocal ticks
        ticks += 1
        stage.engine.deadline = now if ticks < 5 else None
        return []

    stage.engine.deadline = _now()
    stage.engine.on[Tick] = again
    stage.runner.start()
    assert ticks == 0
    seen = []
    for _ in range(12):
        await asyncio.sleep(0)
        seen.append(ticks)
    assert seen[-1] == 5
    assert all(after - before <= 1 for before, after in zip([0, *seen], seen, strict=False))  # others get their turn
    stage.runner.abandon("test")


@virtual
async def test_a_timer_that_fires_early_waits_for_the_rest() -> None:
    stage = Stage()
    loop = asyncio.get_running_loop()
    call_at = loop.call_at
    loop.call_at = lambda when, *rest, **options: call_at(when - 0.0009, *rest, **options)  # type: ignore
    deadline = stage.engine.deadline = _now() + 100 * MS

    def ticked(_: Any, now: int) -> list[Any]:
        stage.engine.deadline = None
        return []

    stage.engine.on[Tick] = ticked
    stage.runner.start()
    loop.call_at = call_at  # type: ignore[method-assign]
    await asyncio.sleep(1)
    (at,) = [now for now, what in stage.engine.inputs if isinstance(what, Tick)]
    assert deadline <= at <= deadline + 2 * MS
    stage.runner.abandon("test")


# ------------------------------------------------------------------------------------------------------------ the pacer


@virtual
async def test_the_pacer_pulls_while_there_is_something_to_play() -> None:
    stage = Stage()
    audio = [os.urandom(160) for _ in range(50)]
    waiting = list(audio)

    def pulled(event: Pulled, now: int) -> list[Any]:
        frames, rest = event.samples // 160, event.samples % 160
        assert rest == 0
        data = b"".join(waiting[:frames])
        del waiting[:frames]
        stage.engine.playing = bool(waiting)
        return [Emit(data)]

    def begin(_: Any, now: int) -> list[Any]:
        stage.engine.playing = True
        return []

    stage.engine.on = {Dtmf: begin, Pulled: pulled}
    stage.runner.start()
    await asyncio.sleep(5)
    assert stage.engine.of(Pulled) == []
    begun = asyncio.get_running_loop().time()
    stage.runner.dispatch(Dtmf("1"))
    assert stage.leg.of("send") == [b"".join(audio[:4])]  # the lead, at once
    await asyncio.sleep(5)
    assert b"".join(stage.leg.of("send")) == b"".join(audio)
    sent = 0
    for at, _, data in stage.leg.told:
        sent += len(data)
        ahead = sent / 8 - (at - begun) * 1000  # ms the caller holds after this frame
        assert 60 < ahead <= 90
    assert stage.pacer.playing == 0
    stage.runner.abandon("test")


@virtual
async def test_a_clear_gives_the_lead_anew() -> None:
    stage = Stage()

    def pulled(event: Pulled, now: int) -> list[Any]:
        stage.engine.playing = False
        return [Emit(b"\x01" * event.samples)]

    def begin(_: Any, now: int) -> list[Any]:
        stage.engine.playing = True
        return [ClearLeg()]

    stage.engine.on = {Dtmf: begin, Pulled: pulled}
    stage.runner.start()
    stage.runner.dispatch(Dtmf("1"))
    stage.runner.dispatch(Dtmf("2"))
    assert [len(data) for data in stage.leg.of("send")] == [640, 640]
    stage.runner.abandon("test")


# -------------------------------------------------------------------------------------------------------------- the end


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        ([HangUp("caller silent"), Note("call_ended", {"reason": "caller silent"})], "caller silent"),
        ([Transfer("+1555"), Note("call_ended", {"reason": "transferred"})], "transferred"),
        ([Note("call_ended", {"reason": "caller hung up"})], "caller hung up"),
    ],
)
def test_when_the_engine_has_ended_everything_is_let_go(last: list[Any], reason: str) -> None:
    @virtual
    async def scenario() -> None:
        stage = Stage()
        stage.engine.on["start"] = lambda _, now: [Open(1, "one")]
        stage.engine.deadline = _now() + 1000 * MS
        stage.engine.playing = True
        stage.runner.start()

        def end(_: Any, now: int) -> list[Any]:
            stage.engine.ended = True
            return last

        stage.engine.on[Gone] = end
        stage.runner.dispatch(Gone("caller hung up"))
        assert stage.runner.over
        assert await stage.runner.finished == reason
        assert stage.sockets[0].told == ["close"]
        assert stage.recorder.lines[-1] == ("close", _now())
        assert stage.pacer.playing == 0
        before = len(stage.engine.inputs)
        stage.runner.dispatch(Dtmf("1"))
        stage.runner.received(1, "late")
        stage.runner.failed(1, SocketClosed(1000))
        stage.runner.abandon("again")
        await asyncio.sleep(10)
        assert len(stage.engine.inputs) == before
        assert stage.recorder.kinds().count("close") == 1

    scenario()


@virtual
async def test_abandoning_lets_the_engine_close_its_books_and_hangs_up() -> None:
    stage = Stage()
    stage.runner.start()

    def end(_: Any, now: int) -> list[Any]:
        stage.engine.ended = True
        return [Note("call_ended", {"reason": "process ends"})]

    stage.engine.on[Gone] = end
    stage.runner.abandon("process ends")
    assert stage.engine.of(Gone) == [Gone("process ends")]
    assert stage.leg.of("hang_up") == ["process ends"]
    assert await stage.runner.finished == "process ends"


@virtual
async def test_abandoning_works_on_an_engine_that_does_not_listen() -> None:
    stage = Stage()
    stage.runner.start()
    stage.runner.abandon("process ends")
    assert stage.runner.over
    assert await stage.runner.finished == "process ends"
    assert stage.leg.of("hang_up") == ["process ends"]


# -------------------------------------------------------------------------------------------------------------- crashes


def _raise(*_: Any) -> Any:
    raise ZeroDivisionError("a bug")


@pytest.mark.parametrize("where", ["start", Frame, "message", "failed", Tick, Pulled, Chosen])
def test_an_engine_that_raises_says_sorry_and_hangs_up(where: Any) -> None:
    @virtual
    async def scenario() -> None:
        stage = Stage()
        begun = asyncio.get_running_loop().time()
        stage.engine.on["start"] = lambda _, now: [Open(1, "one"), Open(2, "two")]
        stage.engine.on[Dtmf] = lambda _, now: [Choose(1, "call")]
        stage.engine.on[where] = _raise
        stage.runner.start()
        stage.runner.heard(Frame(b"\xff" * 160, PCMU))
        stage.runner.received(1, "x")
        stage.runner.failed(1, SocketClosed(1011))
        stage.runner.dispatch(Tick())
        stage.runner.dispatch(Pulled(160))
        stage.runner.dispatch(Dtmf("1"))
        crashed = stage.recorder.kinds().index("crashed")
        assert "ZeroDivisionError: a bug" in stage.recorder.lines[crashed][1]
        inputs = len(stage.engine.inputs)
        stage.runner.heard(Frame(b"\xff" * 160, PCMU))
        assert not stage.runner.over
        assert await stage.runner.finished == "internal error"
        assert len(stage.engine.inputs) == inputs  # it is not asked again
        assert b"".join(stage.leg.of("send")) == PHRASE
        assert stage.leg.told[-1][1:] == ("hang_up", "internal error")
        assert stage.leg.told[-1][0] - begun == pytest.approx(len(PHRASE) / 8000, abs=0.02)  # heard to its end
        assert stage.recorder.kinds()[-1] == "close"
        assert [socket.told for socket in stage.sockets[1:]] == ([] if where == "start" else [["close"]])

    scenario()


@virtual
async def test_an_action_that_cannot_be_performed_is_a_crash_too() -> None:
    stage = Stage()
    stage.engine.on["start"] = lambda _, now: [Health("nobody"), SendMark("not reached")]
    stage.runner.start()
    assert await stage.runner.finished == "internal error"
    assert stage.leg.of("mark") == []
    assert "crashed" in stage.recorder.kinds()


@virtual
async def test_a_leg_that_raises_ends_the_call_all_the_same() -> None:
    stage = Stage()
    stage.leg.send = _raise  # type: ignore[method-assign]
    stage.leg.hang_up = _raise  # type: ignore[method-assign]
    stage.engine.on["start"] = lambda _, now: [Emit(b"\x01" * 160)]
    stage.runner.start()
    assert await stage.runner.finished == "internal error"


@pytest.mark.parametrize("phrases", [{}, {"sorry": b""}, {"goodbye": b"\x01" * 320}])
def test_without_a_phrase_it_hangs_up_at_once(phrases: dict[str, bytes]) -> None:
    @virtual
    async def scenario() -> None:
        stage = Stage(phrases=phrases)
        begun = asyncio.get_running_loop().time()
        stage.engine.on["start"] = _raise
        stage.runner.start()
        assert await stage.runner.finished == "internal error"
        assert asyncio.get_running_loop().time() - begun < 0.001

    scenario()


@virtual
async def test_an_engine_that_answers_itself_for_ever_is_stopped() -> None:
    stage = Stage()
    stage.engine.on["start"] = stage.engine.on[Chosen] = lambda _, now: [Choose(1, "call")]
    stage.runner.start()
    assert "inputs in a row" in stage.recorder.lines[stage.recorder.kinds().index("crashed")][1]
    assert await stage.runner.finished == "internal error"


@virtual
async def test_a_crash_does_not_touch_other_calls() -> None:
    pacer = Pacer()
    good, bad = Stage("good", pacer), Stage("bad", pacer)

    def pulled(event: Pulled, now: int) -> list[Any]:
        return [Emit(b"\x01" * event.samples)]

    for stage in (good, bad):
        stage.engine.on[Pulled] = pulled
        stage.engine.playing = True
        stage.runner.start()
    await asyncio.sleep(1)
    bad.engine.on[Pulled] = _raise
    await asyncio.sleep(2)
    assert bad.runner.over
    assert not good.runner.over
    assert sum(map(len, good.leg.of("send"))) == pytest.approx(3 * 8000 + 480, abs=200)
    assert pacer.late_slots == 0
    good.runner.dispatch(LegLost())
    good.runner.dispatch(Drain(10))
    good.runner.abandon("test")


@virtual
async def test_a_call_that_waits_for_a_connection_keeps_its_place_until_it_is_over() -> None:
    stage = Stage()
    stage.health.set_paces({"one": 1, "two": 1})
    loop = asyncio.get_running_loop()
    stage.engine.on[Dtmf] = lambda _, now: [Choose(1, "handover", owed=True)]
    stage.runner.start()

    def other(call: str = "other") -> int | None:
        now = round(loop.time() * 1e9)
        return stage.health.choose(1, list(TARGETS.values()), "handover", (), now, call, True).retry_ms

    for call in ("one", "two"):
        assert other(call) is None
        await asyncio.sleep(1)
    await asyncio.sleep(57)
    stage.runner.dispatch(Dtmf("1"))
    (told,) = stage.engine.of(Chosen)
    assert told.provider is None and told.retry_ms == 2000
    assert other() == 3000
    stage.runner.abandon("test")
    assert other() == 2000
