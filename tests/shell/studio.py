"""A whole recorded call in memory: a caller, a carrier that plays what it is sent, and providers that speak the OpenAI
wire language, around a real `Engine` on simulated time. Nothing here waits and no socket is used."""

from __future__ import annotations

import base64
import heapq
import itertools
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from audio.frame import PCMU, Frame, encode
from bridge.core import effects as fx
from bridge.core import events as ev
from bridge.core.engine import Action, Engine, Transmit
from bridge.core.plan import Agent, CallSpec, Candidate, Plan, Tool
from bridge.fakes.speech import RATE, Spoken, bank, filler
from bridge.shell.recording import Recorder
from providers.base import HttpRefusal, SocketClosed, ToolSpec
from providers.codec import Target
from providers.registry import capabilities_for

MS = 1_000_000
BEGINNING = 7_000 * 1_000_000_000
KEY = "sk-canary-0123456789abcdef"
CALLERS = Path(__file__).parents[2] / "fixtures" / "callers"
FRAME = 160
PIECE_MS = 200
TOOL = Tool(ToolSpec("look_up", "Looks an order up.", {"type": "object", "properties": {}}))


def targets(names: Sequence[str] = ("one", "two")) -> dict[str, Target]:
    return {
        name: Target(
            name, "openai", "gpt-realtime-2.1", url=f"wss://{name}.example/v1/realtime",
            api_key=f"{KEY}-{name}", headers={"X-Gateway": f"gate-canary-{name}"},
        )
        for name in names
    }  # fmt: skip


def spec(call_id: str = "CA1", greeting: str = "Hello.", tools: tuple[Tool, ...] = (), **more: Any) -> CallSpec:
    candidates = tuple(
        Candidate(name, "openai", target.model, capabilities_for(target, PCMU)) for name, target in targets().items()
    )
    agent = Agent("reception", "Be kind.", greeting=greeting, tools=tools, silence=None)
    phrases = {"sorry": noise(600, 1), "goodbye": noise(400, 2)}
    return CallSpec(call_id, PCMU, agent, Plan(candidates), phrases, **more)


def noise(ms: int, seed: int) -> bytes:
    """Loud u-law sound of which no two pieces are alike."""
    values = np.random.default_rng(seed).normal(0, 3000, ms * 8)
    return encode(np.clip(values, -32000, 32000).astype(np.int16), "pcmu")


def speech(name: str) -> bytes:
    """A caller's sentence from the fixtures, u-law."""
    pcm, rate = soundfile.read(CALLERS / f"{name}.flac", dtype="int16")
    assert rate == 8000
    return encode(pcm, "pcmu")


@dataclass
class Provider:
    """How the simulated services of one name behave; times in ms. `dies_after`: the socket closes after so many audio
    messages of the session's reply `dies_in` (from 1). `stalls_after` likewise without closing."""

    refuse: HttpRefusal | None = None
    first_audio: int = 400
    pieces: int = 20  # of speech, PIECE_MS each
    dies_in: int = 0
    dies_after: int = 5
    stalls: bool = False
    calls_tool: int = 0  # the reply that calls the tool
    says: str = ""  # an error message to send once, as the session opens


@dataclass
class Wire:
    """One session on a service."""

    studio: Studio
    link: int
    name: str
    act: Provider
    replies: int = 0
    running: str = ""
    alive: bool = True
    log: list[dict[str, Any]] = field(default_factory=list)

    def say(self, message: dict[str, Any], after: float = 20) -> None:
        self.studio.later(after, lambda: self.alive and self.studio.message(self.link, json.dumps(message)))

    def close(self, code: int, reason: str) -> None:
        if self.alive:
            self.alive = False
            self.studio.failed(self.link, SocketClosed(code, reason))

    def take(self, raw: str | bytes) -> None:
        message = json.loads(raw)
        self.log.append(message)
        match message["type"]:
            case "session.update":
                if self.act.says:
                    error = {"type": "invalid_request_error", "code": "odd", "message": self.act.says}
                    self.say({"type": "error", "error": error})
                self.say({"type": "session.updated", "session": {"id": f"s{self.link}"}}, 60)
            case "input_audio_buffer.commit":
                item = f"caller{len(self.log)}"
                self.say({"type": "input_audio_buffer.committed", "item_id": item})
                done = "conversation.item.input_audio_transcription.completed"
                usage = {"type": "duration", "seconds": 2.5}
                self.say({"type": done, "item_id": item, "transcript": "Where is it?", "usage": usage}, 300)
            case "input_audio_buffer.clear":
                self.say({"type": "input_audio_buffer.cleared"})
            case "conversation.item.create":
                self.say({"type": "conversation.item.added", "item": message["item"]})
            case "response.create":
                self.reply(message)
            case "response.cancel":
                self.finish("cancelled", 0)

    def reply(self, message: dict[str, Any]) -> None:
        self.replies += 1
        number = self.replies
        id = self.running = f"r{self.link}-{number}"
        metadata = message["response"]["metadata"]
        self.say({"type": "response.created", "response": {"id": id, "metadata": metadata}}, self.act.first_audio - 50)
        if self.act.calls_tool == number:
            self.studio.later(self.act.first_audio, lambda: self.tool(id))
            return
        for piece in range(self.act.pieces):
            self.studio.later(self.act.first_audio + piece * 50, lambda piece=piece: self.piece(id, number, piece))
        self.studio.later(self.act.first_audio + self.act.pieces * 50, lambda: self.end(id))

    def speech(self, number: int) -> Spoken:
        """What the session says in its so-manieth reply: real words, whose times are known."""
        return filler(zlib.crc32(f"{self.name} {number}".encode()), self.act.pieces * PIECE_MS / 1000)

    def piece(self, id: str, number: int, piece: int) -> None:
        if self.running != id or not self.alive:
            return
        if number == self.act.dies_in and piece == self.act.dies_after:
            self.running = ""
            if not self.act.stalls:
                self.close(1011, "internal error")
            return
        spoken = self.speech(number)
        text = "".join(f"{word.text} " for word in spoken.words if word.begin * 1000 // RATE // PIECE_MS == piece)
        size = PCMU.bytes_for(PIECE_MS)
        sound = bank().audio(spoken, PCMU)[piece * size : (piece + 1) * size].ljust(size, PCMU.silence)
        audio = base64.b64encode(sound).decode()
        common = {"response_id": id, "item_id": f"item-{id}"}
        if text:
            self.say({"type": "response.output_audio_transcript.delta", "delta": text, **common}, 0)
        self.say({"type": "response.output_audio.delta", "delta": audio, **common}, 0)

    def tool(self, id: str) -> None:
        if self.running == id:
            done = "response.function_call_arguments.done"
            item = {"id": "f1", "type": "function_call", "call_id": "c1", "name": "look_up", "arguments": "{}"}
            self.say({"type": "response.output_item.added", "response_id": id, "item": item}, 0)
            self.say({"type": done, "response_id": id, "item_id": "f1", "call_id": "c1", "arguments": "{}"}, 1)
            self.say({"type": "response.output_item.done", "response_id": id, "item": item}, 2)
            self.finish("completed", 3)

    def end(self, id: str) -> None:
        if self.running == id:
            common = {"response_id": id, "item_id": f"item-{id}"}
            self.say({"type": "response.output_audio.done", **common}, 0)
            self.say({"type": "response.output_audio_transcript.done", **common}, 0)
            self.finish("completed", 10)

    def finish(self, status: str, after: float) -> None:
        id, self.running = self.running, ""
        if id:
            details = {"text_tokens": 40, "audio_tokens": 20, "cached_tokens": 0}
            usage = {
                "total_tokens": 90, "input_tokens": 60, "output_tokens": 30,
                "input_token_details": details, "output_token_details": {"text_tokens": 10, "audio_tokens": 20},
            }  # fmt: skip
            self.say({"type": "response.done", "response": {"id": id, "status": status, "usage": usage}}, after)


class Studio:
    """Runs one call. `heard`: what the carrier played to the caller, from the start of the call; `sent`: the caller's
    frames; both u-law."""

    def __init__(
        self, recorder: Recorder, call: CallSpec | None = None, acts: dict[str, Provider] | None = None,
    ) -> None:  # fmt: skip
        self.spec = call or spec()
        self.recorder = recorder
        self.engine = Engine(self.spec, targets())
        self.acts = acts or {}
        self.now = BEGINNING
        self.wires: dict[int, Wire] = {}
        self.notes: list[fx.Note] = []
        self.heard = bytearray()
        self.sent = bytearray()
        self.tools = 0
        self._say: list[tuple[int, bytes]] = []
        self._buffer = bytearray()
        self._marks: list[tuple[int, str]] = []
        self._played = 0
        self._heap: list[tuple[int, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._queue: list[Callable[[], None]] = []
        self._busy = False
        self._pacing = False
        self.caller_on = True

    def says(self, at_ms: int, sound: bytes) -> Studio:
        self._say.append((at_ms, sound))
        return self

    def later(self, ms: float, what: Callable[[], object]) -> None:
        heapq.heappush(self._heap, (self.now + int(ms * MS), next(self._order), what))

    def run(self, ms: int) -> Studio:
        """The call from its start for `ms`, then the caller hangs up."""
        self._give(lambda: self.recorder.start(self.now), lambda: self.engine.start(self.now))
        self.later(20, self._frame)
        end = BEGINNING + ms * MS
        while True:
            at = self._heap[0][0]
            deadline = self.engine.deadline
            if min(at, deadline or at) > end:
                break
            if deadline is not None and deadline < at:
                self.now = max(self.now, deadline)
                self.event(ev.Tick())
                continue
            self.now = at
            heapq.heappop(self._heap)[2]()
        self.now = end
        self.event(ev.Gone("hung up"))
        self.recorder.close(self.now)
        return self

    def _frame(self) -> None:
        played = bytes(self._buffer[:FRAME])
        del self._buffer[:FRAME]
        self.heard += played + b"\xff" * (FRAME - len(played))
        self._played += len(played)
        while self._marks and self._marks[0][0] <= self._played:
            self.event(ev.Mark(self._marks.pop(0)[1]))
        at = (self.now - BEGINNING) // MS - 20
        data = b"\xff" * FRAME
        for begin, sound in self._say:
            piece = sound[max(0, at - begin) * 8 :][:FRAME] if at >= begin else b""
            data = piece + data[len(piece) :]
        if self.caller_on:
            self.sent += data
            self.hears(Frame(data, PCMU))
        if not self.engine.ended:
            self.later(20, self._frame)

    # -------------------------------------------------------------------------------------------------------- inputs

    def hears(self, frame: Frame) -> None:
        """The caller's next frame."""
        self._give(
            lambda: self.recorder.caller(frame.data, self.now, frame.concealed),
            lambda: self.engine.heard(frame, self.now),
        )

    def event(self, event: ev.Event) -> None:
        self._give(lambda: self.recorder.event(event, self.now), lambda: self.engine.handle(event, self.now))

    def message(self, link: int, raw: str) -> None:
        self._give(
            lambda: self.recorder.message(link, raw, self.now), lambda: self.engine.received(link, raw, self.now)
        )

    def failed(self, link: int, failure: HttpRefusal | SocketClosed) -> None:
        self._give(
            lambda: self.recorder.failed(link, failure, self.now), lambda: self.engine.failed(link, failure, self.now)
        )

    def _give(self, record: Callable[[], None], feed: Callable[[], list[Action]]) -> None:
        def step() -> None:
            record()
            actions = feed()
            self.recorder.actions(actions)
            for action in actions:
                self._perform(action)

        self._queue.append(step)
        if self._busy:
            return
        self._busy = True
        while self._queue:
            self._queue.pop(0)()
        self._busy = False
        if self.engine.playing and not self._pacing:
            self._pacing = True
            self.later(0, self._pace)

    def _pace(self) -> None:
        self._pacing = self.engine.playing
        if self._pacing:
            self._give(
                lambda: self.recorder.event(ev.Pulled(FRAME), self.now),
                lambda: self.engine.handle(ev.Pulled(FRAME), self.now),
            )
            self.later(20, self._pace)

    # ------------------------------------------------------------------------------------------------------- actions

    def _perform(self, action: Action) -> None:
        match action:
            case fx.Choose(request, _, exclude):
                free = [name for name in targets() if name not in exclude]
                self.event(ev.Chosen(request, free[0] if free else None))
            case fx.Open(link, provider):
                self._open(link, provider)
            case Transmit(link, messages):
                wire = self.wires[link]
                for message in messages if wire.alive else ():
                    wire.take(message)
            case fx.Close(link):
                self.wires[link].alive = False
            case fx.Emit(data):
                self._buffer += data
            case fx.ClearLeg():
                self._played += len(self._buffer)
                self._buffer.clear()
            case fx.SendMark(name):
                self._marks.append((self._played + len(self._buffer), name))
            case fx.RunTool(number):
                self.tools += 1
                self.later(150, lambda: self.event(ev.ToolDone(number, '{"order":"on its way"}')))
            case fx.AskOpinion(request, sound):
                verdict = ev.Opinion(request, bool(zlib.crc32(sound) & 1))
                self.later(90, lambda: self.event(verdict))
            case fx.Note():
                self.notes.append(action)

    def _open(self, link: int, provider: str) -> None:
        wire = self.wires[link] = Wire(self, link, provider, self.acts.get(provider, Provider()))
        refuse = wire.act.refuse
        if refuse is not None:
            wire.alive = False
            self.later(40, lambda: self.failed(link, refuse))
        else:
            self.later(40, lambda: wire.alive and self.event(ev.LinkUp(link)))


SCENES: dict[str, tuple[dict[str, Any], dict[str, Provider], list[tuple[int, str]], int]] = {
    "two turns": ({}, {}, [(5000, "order_status"), (13500, "table")], 22000),
    "death in a reply": ({}, {"one": Provider(dies_in=2)}, [(5000, "order_status")], 14000),
    "stall in a reply": ({}, {"one": Provider(dies_in=2, stalls=True)}, [(5000, "thanks")], 16000),
    "death in the greeting": ({}, {"one": Provider(dies_in=1, dies_after=2)}, [(6000, "thanks")], 13000),
    "refused": ({}, {"one": Provider(refuse=HttpRefusal(429, {"retry-after": "3"}))}, [(5000, "table")], 14000),
    "all refused": ({}, dict.fromkeys(("one", "two"), Provider(refuse=HttpRefusal(503, {}))), [(2000, "table")], 9000),
    "interruption": ({}, {}, [(1500, "order_status")], 11000),
    "tool": ({"tools": (TOOL,)}, {"one": Provider(calls_tool=2)}, [(5000, "order_status")], 14000),
    "no greeting, quoted key": (
        {"greeting": ""}, {"one": Provider(says=f"Incorrect API key provided: {KEY}-one.")}, [(500, "thanks")], 9000,
    ),
}  # fmt: skip
"""What a call is made with beside the defaults, its providers, what the caller says when, how long it lasts (ms)."""


def play(scene: str, recorder: Recorder, call_id: str = "CA1") -> Studio:
    """One of the scenes, from beginning to end."""
    about, acts, says, ms = SCENES[scene]
    studio = Studio(recorder, spec(call_id, **about), acts)
    for at, name in says:
        studio.says(at, speech(name))
    return studio.run(ms)
