"""A whole call at wire level on simulated time: the real call core and codecs against emulated providers.

The caller asks numbered questions with recorded speech; the emulators answer with speech computed from what they
received, so a lost word or a wrong handover is heard. The real health board says who may be dialled.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from audio.frame import PCMU, Format, Frame, Pcm
from bridge.core import effects as fx
from bridge.core import events as ev
from bridge.core.engine import Engine, Transmit
from bridge.core.plan import Agent, CallSpec, Candidate, Plan, Tool
from bridge.fakes.emulator import Emulator
from bridge.fakes.session import Session
from bridge.fakes.wire import Close, HttpRefusal, Message, Reset, Silence
from bridge.shell.health import HealthBoard
from providers import base as pb
from providers.codec import Target
from providers.registry import capabilities_for
from tests.core.stage import MS, Stage
from tests.wire.caller import Ears, Line

EMULATED = {"openai": "openai", "azure_voice_live": "azure", "azure_openai": "azure-openai", "gemini": "gemini"}
MODELS = {"gemini": "gemini-3.8-live"}
PATHS = {"gemini": "BidiGenerateContent"}
UNACKNOWLEDGED_MS = 2000  # TCP_USER_TIMEOUT of provider sockets


@dataclass
class Socket:
    """One provider connection: the emulated session behind it, and every message either way with its time (ms)."""

    number: int
    provider: str
    opened_ms: int
    session: Session | None = None
    alive: bool = True
    mute: Silence | None = None
    unacknowledged: bool = False
    sent: list[str | bytes] = field(default_factory=list)
    sent_ms: list[int] = field(default_factory=list)
    got: list[str | bytes] = field(default_factory=list)
    got_ms: list[int] = field(default_factory=list)


class WireStage(Stage):
    """`providers`: name -> (kind, emulator script). `say` and `press` are the caller's."""

    def __init__(
        self,
        providers: Mapping[str, tuple[str, Any]],
        standby: str = "warm",
        greeting: str = "",
        rtt_ms: int = 0,
        leg: Format = PCMU,
        plan: Mapping[str, Any] | None = None,
        agent: Mapping[str, Any] | None = None,
        tools: Sequence[Tool] = (),
        seed: int = 1,
        pace: float = 4.0,
        models: Mapping[str, str] | None = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__(standby=standby, greeting=greeting, seed=seed)
        models = {**MODELS, **(models or {})}
        self.targets = {
            name: Target(
                name,
                kind,
                models.get(kind, "gpt-realtime-2.1"),
                f"ws://127.0.0.1/{name}/{PATHS.get(kind, 'realtime')}",
                api_key="sk-test-key",
                options=(options or {}).get(name, {}),
            )
            for name, (kind, _) in providers.items()
        }
        self.emulators = {
            name: Emulator(EMULATED[kind], script, seed, rtt_ms, pace)  # type: ignore[arg-type]
            for name, (kind, script) in providers.items()
        }
        self.behaviours = dict.fromkeys(providers)  # type: ignore[assignment]
        candidates = tuple(
            Candidate(name, target.kind, target.model, capabilities_for(target, leg))
            for name, target in self.targets.items()
        )
        about = {"greeting": greeting, "silence": None, "tools": tuple(tools), **(agent or {})}
        self.spec = CallSpec(
            "call1",
            leg,
            Agent("test", "Be helpful.", **about),
            Plan(candidates, **{"standby": standby, **(plan or {})}),
            self.spec.phrases,
        )
        self.ears = Ears()  # type: ignore[assignment]
        self.call = Engine(self.spec, self.targets, self.ears)  # type: ignore[assignment, arg-type]
        self.health = HealthBoard(Random(seed))
        self.sockets: dict[int, Socket] = {}
        self.line = Line(seed)
        self.tool_output = '{"value": 7}'
        self._polling: dict[int, int] = {}

    # ------------------------------------------------------------------------------------------------------ the caller

    def say(self, at_ms: int, pcm: Pcm, hangover_ms: int = 500) -> int:
        """Caller speech at a time of the call; returns when the turn is over (ms)."""
        end_ms = at_ms + len(pcm) // 8
        self.line.say(at_ms, pcm)
        self.ears.say(at_ms, end_ms, hangover_ms)  # type: ignore[attr-defined]
        return end_ms + hangover_ms

    def press(self, at_ms: int, keys: str) -> None:
        for index, key in enumerate(keys):
            self.later(at_ms - self.now // MS + 80 * index, lambda key=key: self.dispatch(ev.Dtmf(key)))

    def _frame(self) -> None:
        """As in Stage, with real caller sound."""
        played = bytes(self._buffer[:160])
        del self._buffer[:160]
        self._consumed += len(played)
        self.heard += played + b"\xff" * (160 - len(played))
        while self._marks and self._marks[0][0] <= self._consumed:
            self.dispatch(ev.Mark(self._marks.pop(0)[1]))
        if self.caller_on:
            data = self.line.frame(len(self.sent_frames))
            self.sent_frames.append(data)
            self._feed(lambda: self.call.heard(Frame(data, PCMU), self.now))
        if self.ended is None:
            self.later(20, self._frame)

    # ---------------------------------------------------------------------------------------------------- the contract

    def dispatch(self, event: ev.Event) -> None:
        self._feed(lambda: self.call.handle(event, self.now))

    def _feed(self, source: Callable[[], list[Any]]) -> None:
        self._queue.append(source)  # type: ignore[arg-type]
        if self._busy:
            return
        self._busy = True
        while self._queue:
            self._perform(self._queue.pop(0)())  # type: ignore[operator]
        self._busy = False
        if self.call.playing and not self._pacing:
            self._pacing = True
            self.later(0, self._pace)

    def _do_choose(self, effect: fx.Choose) -> None:
        candidates = [target for name, target in self.targets.items() if name not in self.unhealthy]
        answer = self.health.choose(effect.request, candidates, effect.purpose, effect.exclude, self.now)
        if answer.provider is not None:
            answer = replace(answer, voice_db=self.health.voice_db(self.targets[answer.provider], ""))
        self._queue.append(lambda: self.call.handle(answer, self.now))  # type: ignore[arg-type]

    def _do_health(self, effect: fx.Health) -> None:
        self.health.report(self.targets[effect.provider], effect.fault, effect.first_audio_ms, self.now)
        if effect.voice_db is not None:
            self.health.heard(self.targets[effect.provider], "", effect.voice_db)

    def _do_runtool(self, effect: fx.RunTool) -> None:
        self.tools.append(effect)
        if self.tool_ms is not None:
            self.later(self.tool_ms, lambda: self.dispatch(ev.ToolDone(effect.call, self.tool_output)))

    # ---------------------------------------------------------------------------------------------------- the sockets

    def _do_open(self, effect: fx.Open) -> None:
        socket = self.sockets[effect.link] = Socket(effect.link, effect.provider, self.now // MS)
        emulator = self.emulators[effect.provider]
        dial = self.call.dial(effect.link)  # type: ignore[attr-defined]
        parts = urlsplit(dial.url)

        def upgraded() -> None:
            if not socket.alive:
                return
            answer = emulator.connect(self.now, dial.headers, parts.path, dict(parse_qsl(parts.query)))
            if isinstance(answer, HttpRefusal):
                headers = {name.lower(): value for name, value in answer.headers.items()}
                self.fail(socket, pb.HttpRefusal(answer.status, headers, answer.body))
            elif isinstance(answer, Reset):
                self.fail(socket, pb.NetworkError("reset"))
            elif isinstance(answer, Silence):
                socket.mute = answer
            else:
                socket.session = answer
                self.dispatch(ev.LinkUp(socket.number))
                self._poll(socket)

        self.later(1 + emulator.upgrade_ms, upgraded)

    def fail(self, socket: Socket, failure: pb.Failure) -> None:
        if socket.alive:
            socket.alive = False
            self._feed(lambda: self.call.failed(socket.number, failure, self.now))  # type: ignore[attr-defined]

    def _do_transmit(self, effect: Transmit) -> None:
        socket = self.sockets[effect.link]
        if socket.session is None or not socket.alive:
            return
        socket.sent += effect.messages
        socket.sent_ms += [self.now // MS] * len(effect.messages)
        if socket.mute is not None:
            if not socket.mute.acknowledged and not socket.unacknowledged:
                socket.unacknowledged = True
                self.later(UNACKNOWLEDGED_MS, lambda: self.fail(socket, pb.SocketClosed(None)))
            return
        for message in effect.messages:
            socket.session.receive(message, self.now)
        self._poll(socket)

    def _poll(self, socket: Socket) -> None:
        """Take what the emulator has to say now, and come back when it will have more."""
        session = socket.session
        assert session is not None
        for out in session.due(self.now):
            if not socket.alive or socket.mute is not None:
                break
            if isinstance(out, Message):
                socket.got.append(out.data)
                socket.got_ms.append(self.now // MS)
                self._hear(socket, out.data)
            elif isinstance(out, Close):
                self.fail(socket, pb.SocketClosed(out.code, out.reason))
            elif isinstance(out, Reset):
                self.fail(socket, pb.SocketClosed(None))
            else:
                socket.mute = out
        due = session.next_due
        if due is not None and socket.alive and self._polling.get(socket.number) != due:
            self._polling[socket.number] = due
            heapq.heappush(self._heap, (due, next(self._order), lambda: socket.alive and self._poll(socket)))

    def _hear(self, socket: Socket, data: str | bytes) -> None:
        self._feed(lambda: self.call.received(socket.number, data, self.now))  # type: ignore[attr-defined]

    def _do_close(self, effect: fx.Close) -> None:
        self.sockets[effect.link].alive = False

    def _do_ping(self, effect: fx.Ping) -> None:
        socket = self.sockets[effect.link]
        if socket.mute is not None:
            self.later(effect.budget_ms, lambda: self.dispatch(ev.Suspect(effect.link, "no pong", dead=True)))

    # -------------------------------------------------------------------------------------------------------- judging

    def of(self, provider: str) -> list[Socket]:
        """Its connections, in order."""
        return [socket for socket in self.sockets.values() if socket.provider == provider]
