"""A whole call at wire level on simulated time: the real call core and codecs against emulated providers.

The caller asks numbered questions with recorded speech; the emulators answer with speech computed from what they
received, so a lost word or a wrong handover is heard.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from audio.frame import PCMU, Format, Frame, encode
from audio.turns import TurnEvent
from bridge.core import effects as fx
from bridge.core import events as ev
from bridge.core.engine import Engine, Transmit
from bridge.core.plan import Agent, CallSpec, Candidate, Plan
from bridge.fakes.emulator import Emulator
from bridge.fakes.session import Session
from bridge.fakes.wire import Close, HttpRefusal, Message, Reset, Silence
from providers import base as pb
from providers.registry import capabilities_for
from tests.core.stage import MS, Stage

EMULATED = {"openai": "openai", "azure_voice_live": "azure", "azure_openai": "azure-openai", "gemini": "gemini"}
MODELS = {"openai": "gpt-realtime-2.1", "azure_voice_live": "gpt-realtime-2.1", "gemini": "gemini-3.8-live"}


@dataclass
class Socket:
    """One provider connection: the emulated session behind it, and every message either way."""

    number: int
    provider: str
    session: Session | None = None
    alive: bool = True
    mute: bool = False
    sent: list[str | bytes] | None = None
    got: list[str | bytes] | None = None


class WireStage(Stage):
    """`providers`: name -> (kind, emulator script). `speech`: caller sound as int16 at 8 kHz, laid over media time."""

    def __init__(
        self,
        providers: Mapping[str, tuple[str, Any]],
        standby: str = "warm",
        greeting: str = "",
        rtt_ms: int = 0,
        leg: Format = PCMU,
        plan: Mapping[str, Any] | None = None,
        agent: Mapping[str, Any] | None = None,
        seed: int = 1,
        pace: float = 4.0,
    ) -> None:
        super().__init__(standby=standby, greeting=greeting, seed=seed)
        self.rtt_ms = rtt_ms
        self.targets = {
            name: pb.Target(
                name, kind, MODELS.get(kind, "gpt-realtime-2.1"), f"ws://127.0.0.1/{name}", api_key="sk-test-key"
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
        self.spec = CallSpec(
            "call1",
            leg,
            Agent("test", "Be helpful.", **{"greeting": greeting, "silence": None, **(agent or {})}),
            Plan(candidates, **{"standby": standby, **(plan or {})}),
            self.spec.phrases,
        )
        self.call = Engine(self.spec, self.targets, self.ears)  # type: ignore[assignment, arg-type]
        self.sockets: dict[int, Socket] = {}
        self.speech = np.zeros(8 * 120_000, np.int16)
        noise = np.random.default_rng(seed)
        self.line = noise.integers(-12, 12, len(self.speech)).astype(np.int16)
        self._polling: dict[int, int] = {}

    def say(self, at_ms: int, pcm: np.ndarray, hangover_ms: int = 500, kind: str = "speech_start") -> int:
        """Put caller speech on the line and tell the scripted ears; returns when the turn is over (ms)."""
        begin = at_ms * 8
        self.speech[begin : begin + len(pcm)] += pcm
        end_ms = at_ms + len(pcm) // 8
        self.ears.at(at_ms + 100, kind, at_ms)
        self.ears.at(end_ms + hangover_ms, "turn_end", end_ms)
        return end_ms + hangover_ms

    def _frame(self) -> None:
        """As in Stage, with real caller sound."""
        played = bytes(self._buffer[:160])
        del self._buffer[:160]
        self._consumed += len(played)
        self.heard += played + b"\xff" * (160 - len(played))
        while self._marks and self._marks[0][0] <= self._consumed:
            self.dispatch(ev.Mark(self._marks.pop(0)[1]))
        if self.caller_on:
            at = len(self.sent_frames) * 160
            pcm = self.speech[at : at + 160] + self.line[at : at + 160]
            data = encode(pcm, "pcmu")
            self.sent_frames.append(data)
            self.dispatch(ev.CallerAudio(Frame(data, PCMU)))
        if self.ended is None:
            self.later(20, self._frame)

    # ---------------------------------------------------------------------------------------------------- the sockets

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
        names = [name for name in self.targets if name not in effect.exclude and name not in self.unhealthy]
        answer = ev.Chosen(effect.request, names[0] if names else None, "" if names else "none healthy")
        self._queue.append(lambda: self.call.handle(answer, self.now))  # type: ignore[arg-type]

    def _do_open(self, effect: fx.Open) -> None:
        socket = self.sockets[effect.link] = Socket(effect.link, effect.provider, sent=[], got=[])
        emulator = self.emulators[effect.provider]
        dial = self.call.dial(effect.link)  # type: ignore[attr-defined]
        parts = urlsplit(dial.url)

        def upgraded() -> None:
            if not socket.alive:
                return
            answer = emulator.connect(self.now, dial.headers, parts.path, dict(parse_qsl(parts.query)))
            if isinstance(answer, HttpRefusal):
                self.fail(socket, pb.HttpRefusal(answer.status, {k.lower(): v for k, v in answer.headers.items()}))
            elif isinstance(answer, Reset):
                self.fail(socket, pb.NetworkError("reset"))
            elif isinstance(answer, Silence):
                socket.mute = True
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
        if socket.session is not None and socket.alive:
            for message in effect.messages:
                socket.sent.append(message)  # type: ignore[union-attr]
                if not socket.mute:
                    socket.session.receive(message, self.now)
            self._poll(socket)

    def _poll(self, socket: Socket) -> None:
        """Take what the emulator has to say now, and come back when it will have more."""
        session = socket.session
        assert session is not None
        for out in session.due(self.now):
            if not socket.alive or socket.mute:
                break
            if isinstance(out, Message):
                socket.got.append(out.data)  # type: ignore[union-attr]
                data = out.data
                self._feed(lambda data=data: self.call.received(socket.number, data, self.now))  # type: ignore[attr-defined]
            elif isinstance(out, Close):
                self.fail(socket, pb.SocketClosed(out.code, out.reason))
            elif isinstance(out, Reset):
                self.fail(socket, pb.SocketClosed(None))
            else:
                socket.mute = True
        due = session.next_due
        if due is not None and socket.alive and self._polling.get(socket.number) != due:
            self._polling[socket.number] = due
            self.later((due - self.now) / MS, lambda: socket.alive and self._poll(socket))

    def _do_close(self, effect: fx.Close) -> None:
        self.sockets[effect.link].alive = False

    def _do_ping(self, effect: fx.Ping) -> None:
        socket = self.sockets[effect.link]
        if socket.mute:
            self.later(effect.budget_ms, lambda: self.dispatch(ev.Suspect(effect.link, "no pong", dead=True)))


def turn_event(kind: str, at_ms: int) -> TurnEvent:
    return TurnEvent(kind, at_ms * 8, at_ms * 8)  # type: ignore[arg-type]
