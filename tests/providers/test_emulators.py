"""Codecs against the emulated services, which are as strict as the real ones and answer what they heard.

In memory, on simulated time: what a codec writes goes into a session, what comes out is decoded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from audio.frame import PCM16_16K, PCM16_48K, PCMA, PCMU, Format, encode
from audio.resample import convert
from bridge.fakes.emulator import Emulator
from bridge.fakes.session import Session as Served
from bridge.fakes.wire import Close, HttpRefusal, Message, Reset
from providers import base as pb
from providers.translate import Translator
from tests.fakes.client import number_speech, question
from tests.providers.servers import codec

MS = 1_000_000
LOOKUP = pb.ToolSpec(
    "lookup_order",
    "Finds an order.",
    {"type": "object", "properties": {"order": {"type": "integer"}}, "additionalProperties": False},
)

# name: kind of the codec, kind of the emulator, model
SERVICES = {
    "openai": ("openai", "openai", "gpt-realtime-2.1"),
    "azure_openai": ("azure_openai", "azure-openai", "gpt-realtime-2.1"),
    "voice_live": ("azure_voice_live", "azure", "gpt-realtime-2.1"),
    "voice_live cascade": ("azure_voice_live", "azure", "gpt-4.1"),
    "gemini 3.8": ("gemini", "gemini", "gemini-3.8-live"),
    "gemini 3.8 thinking": ("gemini", "gemini", "gemini-3.8-live-extended-thinking"),
    "gemini 3.1": ("gemini", "gemini", "gemini-3.1-flash-live-preview"),
    "gemini 2.5": ("gemini", "gemini", "gemini-2.5-flash-native-audio-preview-12-2025"),
}


@dataclass
class Line:
    """One link from a leg to an emulated service."""

    service: str
    leg: Format = PCMU
    script: Any = None
    now: int = 0
    events: list[pb.Event] = field(default_factory=list)
    fault: pb.Fault | None = None

    def __post_init__(self) -> None:
        kind, emulated, model = SERVICES[self.service]
        self.translator = Translator(codec(kind, self.leg, model=model), self.leg)
        self.caps = self.translator.capabilities
        dial = self.translator.dial()
        address = urlsplit(dial.url)
        headers = {name.lower(): value for name, value in dial.headers.items()}
        answer = Emulator(emulated, self.script).connect(0, headers, address.path, dict(parse_qsl(address.query)))  # type: ignore[arg-type]
        if isinstance(answer, HttpRefusal):
            self.fault = self.translator.fault(
                pb.HttpRefusal(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.body)
            )
            return
        assert isinstance(answer, Served)
        self.served = answer
        self.send(pb.Configure(pb.Session("Be brief.", tools=(LOOKUP,))))

    def send(self, *commands: pb.Command) -> None:
        for command in commands:
            for message in self.translator.encode(command):
                self.served.receive(message, self.now)
        self.run(0)

    def run(self, ms: float) -> list[pb.Event]:
        begin, end = len(self.events), self.now + int(ms * MS)
        while self.fault is None:
            due = self.served.next_due
            if due is None or due > end:
                break
            self.now = max(self.now, due)
            for out in self.served.due(self.now):
                if isinstance(out, Message):
                    self.events += self.translator.decode(out.data)
                elif isinstance(out, Close):
                    self.fault = self.translator.fault(pb.SocketClosed(out.code, out.reason))
                else:
                    assert isinstance(out, Reset)
                    self.fault = self.translator.fault(pb.SocketClosed(None))
        self.now = max(self.now, end)
        return self.events[begin:]

    def turn(self, turn: int, number: int, ask: int | None = None) -> None:
        """A caller turn, streamed at real time in frames of 20 ms, that asks question `number`."""
        pcm = convert(number_speech(question(), number), 8000, self.leg.rate)
        data = encode(pcm, self.leg.encoding)
        size = self.leg.bytes_for(20)
        self.send(pb.BeginTurn(turn))
        for at in range(0, len(data), size):
            self.send(pb.Audio(data[at : at + size]))
            self.run(20)
        self.send(pb.EndTurn(turn), *([pb.Ask(ask)] if ask else []))

    def text(self, ask: int) -> str:
        return "".join(e.text for e in self.events if isinstance(e, pb.ReplyText) and e.ask == ask).strip()

    def sound_ms(self, ask: int) -> float:
        return self.leg.ms(sum(len(e.data) for e in self.events if isinstance(e, pb.ReplyAudio) and e.ask == ask))

    def outcomes(self) -> list[tuple[int, str]]:
        return [(e.ask, e.outcome) for e in self.events if isinstance(e, pb.ReplyEnded)]

    def complaints(self) -> list[pb.Event]:
        return [e for e in self.events if isinstance(e, (pb.Noticed, pb.Failed))]


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("leg", [PCMU, PCMA, PCM16_16K, PCM16_48K], ids=str)
def test_a_question_is_heard_and_answered(service: str, leg: Format) -> None:
    line = Line(service, leg)
    line.run(500)
    line.turn(1, 37, ask=5)
    line.run(60_000)
    assert line.fault is None and line.complaints() == []
    assert isinstance(line.events[0], pb.Ready)
    answer = line.text(5)
    assert answer.startswith("You asked about number thirty seven.")
    assert "missing" not in answer and "repeated" not in answer
    assert line.sound_ms(5) > 1500
    assert line.outcomes() == [(5, "completed")]
    kinds = [type(e) for e in line.events if getattr(e, "ask", 0) == 5]
    assert kinds[0] is pb.ReplyStarted and kinds[-2:] == [pb.ReplyComplete, pb.ReplyEnded]
    ended = next(e for e in line.events if isinstance(e, pb.ReplyEnded))
    assert ended.usage is not None and ended.usage.output_audio > 0
    finals = [e for e in line.events if isinstance(e, pb.CallerText) and e.final]
    assert [(e.turn, e.text) for e in finals] == [(1, "question number 37")]


def test_a_greeting_then_two_turns(service: str) -> None:
    line = Line(service)
    line.run(500)
    line.send(pb.Ask(1, "Greet the caller."))
    line.run(40_000)
    line.turn(1, 12, ask=2)
    line.run(60_000)
    line.turn(2, 34, ask=3)
    line.run(60_000)
    assert line.fault is None and line.complaints() == []
    assert line.outcomes() == [(1, "completed"), (2, "completed"), (3, "completed")]
    assert "Hello" in line.text(1)
    assert line.text(2).startswith("You asked about number twelve.")
    assert line.text(3).startswith("You asked about number thirty four.")


def test_a_question_in_two_turns_is_answered_once(service: str) -> None:
    line = Line(service)
    line.run(500)
    line.turn(1, 7)
    line.turn(2, 8, ask=4)
    line.run(60_000)
    assert line.fault is None and line.complaints() == []
    assert line.outcomes() == [(4, "completed")]
    assert "seven" in line.text(4) and "eight" in line.text(4)


def test_a_barge_in(service: str) -> None:
    line = Line(service)
    line.run(500)
    line.turn(1, 51, ask=1)
    while not any(isinstance(e, pb.ReplyAudio) for e in line.events):
        line.run(20)
    line.run(200)
    audio = [e for e in line.events if isinstance(e, pb.ReplyAudio)]
    line.send(pb.Cancel(1), pb.Truncate(audio[0].item, 300))
    line.turn(2, 52, ask=2)
    line.run(60_000)
    assert line.fault is None
    assert not any(isinstance(e, pb.Failed) for e in line.events)
    assert line.outcomes() == [(1, "cancelled"), (2, "completed")]
    assert line.text(2).startswith("You asked about number fifty two.")


def test_a_caller_who_resumes_before_the_reply_began(service: str) -> None:
    """The first ask is taken back before anything came of it; the answer names both parts of the question."""
    line = Line(service, script={"reply": {"first_audio_ms": 1500}})
    line.run(500)
    line.turn(1, 61, ask=1)
    line.run(300)
    line.send(pb.Cancel(1))
    # A late ReplyStarted names the voided ask and is cancelled then, as the core does.
    for event in list(line.events):
        if isinstance(event, pb.ReplyStarted) and event.ask == 1:
            line.send(pb.Cancel(1))
    line.turn(2, 62, ask=2)
    line.run(60_000)
    assert line.fault is None
    assert not any(isinstance(e, pb.Failed) for e in line.events)
    assert line.sound_ms(1) == 0
    assert (2, "completed") in line.outcomes() and (1, "completed") not in line.outcomes()
    assert "sixty two" in line.text(2)


def test_a_tool_round(service: str) -> None:
    line = Line(service, script={"tools": [{"turn": 1, "name": "lookup_order", "arguments": {"order": 4711}}]})
    line.run(500)
    line.turn(1, 41, ask=1)
    line.run(8000)
    (call,) = [e for e in line.events if isinstance(e, pb.ToolCalled)]
    assert (call.ask, call.name, call.arguments) == (1, "lookup_order", '{"order":4711}')
    line.send(pb.ToolOutput(call.call_id, call.name, '{"days":23}'), pb.Ask(2))
    line.run(60_000)
    assert line.fault is None and line.complaints() == []
    assert line.outcomes() == [(1, "completed"), (2, "completed")]
    assert "twenty three" in line.text(2)


def test_a_handover_with_nothing_heard(service: str) -> None:
    """History as text, then the turn in one burst."""
    line = Line(service)
    line.run(500)
    history = (
        pb.Text("user", "question number 5", "a"),
        pb.Text("assistant", "You asked about number five.", "b"),
        pb.ToolUse("segue1", "lookup_order", '{"order":1}', '{"days":2}', "c"),
        pb.Text("user", "Thank you.", "d"),
        pb.Text("assistant", "You are welcome.", "e"),
    )
    data = encode(number_speech(question(), 88), "pcmu")
    line.send(pb.Seed(history), pb.BeginTurn(3), pb.Audio(data), pb.EndTurn(3), pb.Ask(9))
    line.run(60_000)
    assert line.fault is None and line.complaints() == []
    assert line.outcomes() == [(9, "completed")]
    assert "eighty eight" in line.text(9) and "missing" not in line.text(9)
    finals = [e for e in line.events if isinstance(e, pb.CallerText) and e.final]
    assert [(e.turn, e.text) for e in finals] == [(3, "question number 88")]


HEARD = "You asked about number nineteen."
REST = "Continue the answer right after these words. Do not repeat them, do not greet, do not apologise."


def test_a_handover_in_the_middle_of_a_reply(service: str) -> None:
    """In the order of the conversation, by what the service can do: the answer goes on after the last word."""
    whole = Line(service)
    whole.run(500)
    whole.turn(1, 19, ask=1)
    whole.run(60_000)
    line = Line(service)
    line.run(500)
    data = encode(number_speech(question(), 19), "pcmu")
    if line.caps.history_audio and line.caps.explicit_ask:
        seed = (pb.Speech(1, data, "t"), pb.Text("assistant", HEARD, "a"))
        line.send(pb.Seed(seed), pb.Ask(2, f"Your previous answer was cut off after these words: “{HEARD}” {REST}"))
    else:
        heard = f"They have already heard this part of your answer: “{HEARD}” {REST}"
        note = f"(The caller's question follows as audio. {heard})"
        line.send(pb.Seed((pb.Text("user", note, "n"),)), pb.BeginTurn(1), pb.Audio(data), pb.EndTurn(1), pb.Ask(2))
    line.run(60_000)
    assert line.fault is None and line.complaints() == []
    assert line.outcomes() == [(2, "completed")]
    assert line.text(2)
    assert f"{HEARD} {line.text(2)}" == whole.text(1)


def test_seeds_are_forgotten_and_probes_answered() -> None:
    line = Line("openai")
    line.run(500)
    line.send(pb.Seed((pb.Text("user", "Hello", "a"), pb.ToolUse("c", "lookup_order", "{}", "{}", "b"))))
    line.send(pb.Forget(("a", "b")), pb.Probe())
    line.run(500)
    assert line.complaints() == []
    assert sum(isinstance(e, pb.Probed) for e in line.events) == 1


FAULTS: list[tuple[Any, str, pb.FaultClass]] = [
    ({"phase": "upgrade", "do": {"http": {"status": 429}}}, "end", pb.FaultClass.RATE_LIMITED),
    ({"phase": "upgrade", "do": {"http": {"status": 503}}}, "end", pb.FaultClass.OVERLOADED),
    ({"phase": "upgrade", "do": {"http": {"status": 401}}}, "end", pb.FaultClass.ACCOUNT),
    ({"phase": "configuring", "do": {"refuse_config": {}}}, "end or event", pb.FaultClass.CONFIG),
    ({"phase": "configured", "do": {"quota": True}}, "end", pb.FaultClass.ACCOUNT),
    ({"phase": "asked", "do": {"quota": True}}, "end", pb.FaultClass.ACCOUNT),
    ({"phase": "speaking", "do": {"expire": True}}, "end", pb.FaultClass.EXPIRED),
    ({"phase": "reply", "after_deltas": 2, "do": {"reset": True}}, "end", pb.FaultClass.NETWORK),
    ({"phase": "reply", "after_deltas": 2, "do": {"close": {"code": 1011}}}, "end", pb.FaultClass.OVERLOADED),
    ({"phase": "reply", "after_deltas": 2, "do": {"fail": True}}, "end or event", pb.FaultClass.OVERLOADED),
    ({"phase": "asked", "do": {"empty": True}}, "event", pb.FaultClass.EMPTY),
    ({"phase": "asked", "do": {"fail": "content_filter"}}, "event", pb.FaultClass.REFUSED),
]


@pytest.mark.parametrize("rule, where, expected", FAULTS, ids=[str(rule) for rule, _, _ in FAULTS])
def test_faults_are_classified(service: str, rule: Any, where: str, expected: pb.FaultClass) -> None:
    when = {key: value for key, value in rule.items() if key != "do"}
    line = Line(service, script={"rules": [{"when": when, "do": rule["do"]}]})
    if line.fault is None:
        line.run(500)
        if line.fault is None and not any(isinstance(e, pb.Failed) for e in line.events):
            line.turn(1, 3, ask=1)
        line.run(60_000)
    told = [line.fault] if line.fault is not None and "end" in where else []
    for event in line.events:
        if isinstance(event, (pb.Failed, pb.ReplyEnded)) and event.fault is not None:
            told.append(event.fault)
    assert {fault.kind for fault in told} == {expected}
    assert len([e for e in line.events if isinstance(e, pb.ReplyEnded)]) <= 1


@pytest.mark.parametrize("what", ["json", "array", "truncated", "binary", "unknown", "base64"])
def test_garbage_in_between_costs_nothing_but_itself(service: str, what: str) -> None:
    rule = {"when": {"phase": "reply", "after_deltas": 2}, "do": {"malformed": what}}
    line = Line(service, script={"rules": [rule]})
    line.run(500)
    line.turn(1, 3, ask=1)
    line.run(60_000)
    assert line.fault is None
    assert line.outcomes() == [(1, "completed")]
    assert line.text(1).startswith("You asked about number three.")
