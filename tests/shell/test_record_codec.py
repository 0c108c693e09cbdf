"""Everything a record may hold comes back from JSON as it was."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields, replace
from typing import Any, get_args

import pytest

from audio.frame import PCMU, Frame
from bridge.core import effects as fx
from bridge.core import events as ev
from bridge.core.engine import Transmit
from bridge.core.plan import CallSpec
from bridge.shell.record_codec import TYPES, from_json, to_json
from providers import base as pb
from providers.codec import Target
from tests.shell.studio import TOOL, spec, targets

FAULT = pb.Fault(pb.FaultClass.RATE_LIMITED, "too many", "429", 1500)
USAGE = pb.Usage(1, 2, 3, 4, 5, 6, 7, 8.5, "transcription")
HISTORY = (
    pb.Text("user", "hé", "t1"),
    pb.Speech(3, b"\x00\xff\x80", "t2"),
    pb.ToolUse("c1", "look_up", "{}", "[]", "t3"),
)

SAMPLES: list[Any] = [
    ev.Dtmf("#"),
    ev.Mark("2:17\n\"odd\""),
    ev.LegLost(),
    ev.LegBack(),
    ev.LineAway(2300),
    ev.Opinion(3, None, "ValueError: é"),
    ev.Opinion(4, True),
    ev.Gone("hung up"),
    ev.Pulled(160),
    ev.LinkUp(4),
    ev.LinkDown(4, FAULT),
    ev.FromLink(4, pb.ReplyAudio(2, "item", b"\x01\x02")),
    ev.Suspect(4, "no pong", dead=True),
    ev.Chosen(7, None, "none healthy", 900, 650),
    ev.Chosen(7, "openai", voice_db=67.5),
    ev.ToolDone(1, '{"a":1}', "timeout"),
    ev.Excluded(("a", "b")),
    ev.Drain(5000),
    ev.Tick(),
    fx.Choose(3, "handover", ("a",), owed=True),
    fx.Open(1, "openai"),
    fx.Send(1, pb.Seed(HISTORY)),
    fx.Ping(1, 1000),
    fx.Close(1),
    fx.Emit(b"\xff\x00"),
    fx.ClearLeg(),
    fx.SendMark("1:2"),
    fx.RunTool(1, "look_up", '{"x":"é"}', "call-1"),
    fx.AskOpinion(3, bytes(range(250))),
    fx.Health("openai", FAULT, 700),
    fx.Health("openai"),
    fx.Health("openai", None, 700, 65_000, 67.5),
    fx.Note("swap", {"from": "a", "to": None, "silence_ms": 12, "again": {"input_text": 4}, "warm": True}),
    ev.Remark("ignored 3 messages"),
    fx.Transfer("+1555"),
    fx.HangUp("ended"),
    pb.Ready("s", 1000),
    pb.ReplyStarted(1),
    pb.ReplyAudio(1, "i", bytes(range(256))),
    pb.ReplyText(1, "i", " wörd", 120),
    pb.ReplyComplete(1),
    pb.ReplyEnded(1, "failed", FAULT, USAGE),
    pb.ReplyEnded(1, "completed"),
    pb.ToolCalled(1, "c", "look_up", "{}"),
    pb.ToolCancelled(("c", "d")),
    pb.CallerText(1, "text", True),
    pb.UsageReported(USAGE),
    pb.RateLimits(0.25, 4000),
    pb.Expiring(30_000),
    pb.Failed(FAULT),
    pb.Noticed("odd"),
    pb.Probed(),
    *HISTORY,
    pb.Configure(pb.Session("be kind", "marin", (TOOL.spec,), "en", False, False)),
    pb.Seed(HISTORY),
    pb.BeginTurn(1),
    pb.Audio(b"\x7f"),
    pb.EndTurn(1),
    pb.Ask(2, "go on", True),
    pb.Cancel(2),
    pb.Truncate("i", 300),
    pb.Forget(("r1", "r2")),
    pb.ToolOutput("c", "look_up", "{}"),
    pb.Probe(),
    pb.HttpRefusal(429, {"retry-after": "2"}, b"\x00busy"),
    pb.SocketClosed(1011, "gone"),
    pb.SocketClosed(None),
    pb.NetworkError("dns", "no such host"),
    Transmit(2, ["text", b"\x00bytes"]),
    replace(spec(tools=(TOOL,)), phrases={"sorry": b"\x00\x01"}),
    targets()["one"],
]  # fmt: skip


def alike(one: Any, other: Any) -> bool:
    """Equality that looks into frames, which compare by identity."""
    if isinstance(one, Frame):
        return (one.data, one.format, one.concealed) == (other.data, other.format, other.concealed)
    return bool(one == other)


@pytest.mark.parametrize("value", SAMPLES, ids=lambda value: type(value).__name__)
def test_comes_back_from_json_text(value: Any) -> None:
    again = from_json(json.loads(json.dumps(to_json(value))))
    assert type(again) is type(value)
    assert alike(value, again)


def test_every_class_that_may_be_recorded_is_tried() -> None:
    unions = (ev.Event, fx.Effect, pb.Event, pb.Command, pb.HistoryItem, pb.Failure)
    classes = {cls for union in unions for cls in get_args(union)} | {Transmit, CallSpec, Target}
    assert {type(sample) for sample in SAMPLES} == classes == set(TYPES.values())
    assert len(TYPES) == len(classes), "two classes share a name"


def test_samples_say_something_in_every_field() -> None:
    """A field whose samples all hold its default would come back even if it were never written."""
    for cls in set(TYPES.values()) - {CallSpec, Target}:
        samples = [sample for sample in SAMPLES if type(sample) is cls]
        for item in fields(cls):
            if item.default is not MISSING:
                assert any(getattr(sample, item.name) != item.default for sample in samples), f"{cls}.{item.name}"


def test_a_field_the_record_lacks_takes_its_default_and_one_too_many_is_ignored() -> None:
    assert from_json({"type": "Chosen", "request": 1, "provider": "a", "later": True}) == ev.Chosen(1, "a")


@pytest.mark.parametrize("stored", [{"type": "os.system"}, {}, {"type": "Dtmf"}, {"type": "Desk", "x": 1}])
def test_what_is_unknown_or_incomplete_is_refused(stored: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="record"):
        from_json(stored)


def test_a_class_without_place_in_a_record_is_refused() -> None:
    with pytest.raises(TypeError, match="Frame"):
        to_json(Frame(b"\xff", PCMU))
