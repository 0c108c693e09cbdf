"""What a runner is tested with: an engine that does as the test says, a leg and a recorder that take notes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from audio.frame import PCMU, Format, Frame
from bridge.core.effects import RunTool
from bridge.core.engine import Action
from bridge.core.events import Event, ToolDone
from bridge.core.plan import Agent, CallSpec, Candidate, Plan
from bridge.shell.endpoints import ToolEndpoint
from bridge.shell.health import HealthBoard
from bridge.shell.pacer import Pacer
from bridge.shell.runner import CallRunner
from bridge.shell.services import Services
from bridge.shell.socket import Handler
from providers.base import Failure
from providers.codec import Capabilities, Dial, Target

Answer = Callable[[Any, int], list[Action]]


class ScriptedEngine:
    """Answers with what `on` says for the type of the event ("start", "message" and "failed" for the other inputs),
    and notes every input. `deadline`, `playing` and `ended` are the test's to set."""

    def __init__(self) -> None:
        self.deadline: int | None = None
        self.playing = False
        self.ended = False
        self.moved = True
        self.inputs: list[tuple[int, Any]] = []
        self.on: dict[Any, Answer] = {}
        self.url = "ws://127.0.0.1:1/"
        self._inside = False

    def release(self) -> None: ...

    def _answer(self, kind: Any, what: Any, now: int) -> list[Action]:
        assert not self._inside, "re-entered"
        self._inside = True
        self.inputs.append((now, what))
        answer = self.on.get(kind)
        actions = answer(what, now) if answer else []
        self._inside = False
        return actions

    def start(self, now: int) -> list[Action]:
        return self._answer("start", "start", now)

    def heard(self, frame: Frame, now: int) -> list[Action]:
        return self._answer(Frame, frame, now)

    def handle(self, event: Event, now: int) -> list[Action]:
        return self._answer(type(event), event, now)

    def received(self, link: int, message: str | bytes, now: int) -> list[Action]:
        return self._answer("message", (link, message), now)

    def failed(self, link: int, failure: Failure, now: int) -> list[Action]:
        return self._answer("failed", (link, failure), now)

    def dial(self, link: int) -> Dial:
        return Dial(self.url)

    def of(self, kind: type) -> list[Any]:
        return [what for _, what in self.inputs if isinstance(what, kind)]


class NotingLeg:
    """Takes down what it is told, with the loop time."""

    marks = True

    def __init__(self, format: Format = PCMU) -> None:
        self.format = format
        self.told: list[tuple[float, str, Any]] = []

    def _note(self, kind: str, value: Any) -> None:
        self.told.append((asyncio.get_running_loop().time(), kind, value))

    def send(self, data: bytes) -> None:
        self._note("send", data)

    def clear(self) -> None:
        self._note("clear", None)

    def mark(self, name: str) -> None:
        self._note("mark", name)

    def transfer(self, target: str) -> None:
        self._note("transfer", target)

    def hang_up(self, reason: str) -> None:
        self._note("hang_up", reason)

    def of(self, kind: str) -> list[Any]:
        return [value for _, each, value in self.told if each == kind]


class NotingRecorder:
    """`bridge.shell.recording.Recorder` as a list of tuples."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []

    def start(self, now: int) -> None:
        self.lines.append(("start", now))

    def caller(self, data: bytes, now: int, concealed: bool = False) -> None:
        self.lines.append(("caller", data, now, concealed))

    def message(self, link: int, raw: str | bytes, now: int) -> None:
        self.lines.append(("message", link, raw, now))

    def failed(self, link: int, failure: Failure, now: int) -> None:
        self.lines.append(("failed", link, failure, now))

    def event(self, event: Event, now: int) -> None:
        self.lines.append(("event", event, now))

    def actions(self, actions: Sequence[Action]) -> None:
        self.lines.append(("actions", list(actions)))

    def crashed(self, trace: str, now: int) -> None:
        self.lines.append(("crashed", trace, now))

    def close(self, now: int) -> None:
        self.lines.append(("close", now))

    def kinds(self) -> list[str]:
        return [line[0] for line in self.lines]


class NotingTools:
    """Runs nothing; keeps the orders and whom to tell."""

    def __init__(self) -> None:
        self.orders: list[tuple[str, RunTool, ToolEndpoint | None, Callable[[ToolDone], None]]] = []

    def run(
        self, call_id: str, order: RunTool, endpoint: ToolEndpoint | None, done: Callable[[ToolDone], None]
    ) -> None:
        self.orders.append((call_id, order, endpoint, done))


class NotingSocket:
    """A provider socket that only takes notes. `handler` is the runner's."""

    def __init__(self, dial: Dial, handler: Handler) -> None:
        self.dial = dial
        self.handler = handler
        self.told: list[Any] = []

    def write(self, messages: list[str | bytes]) -> None:
        self.told += messages

    def ping(self, budget_ms: int) -> None:
        self.told.append(("ping", budget_ms))

    def close(self) -> None:
        self.told.append("close")

    def abort(self) -> None:
        self.told.append("abort")


PHRASE = bytes(range(1, 251)) * 10  # 312.5 ms of G.711


def make_spec(call_id: str = "call-1", **options: Any) -> CallSpec:
    """A call with two providers, "one" and "two"."""
    capabilities = Capabilities((PCMU,), (PCMU,))
    candidates = tuple(Candidate(name, "openai", "m", capabilities) for name in ("one", "two"))
    fields = {"phrases": {"sorry": PHRASE}, "agent": Agent("agent", "be kind"), **options}
    return CallSpec(call_id, PCMU, plan=Plan(candidates), **fields)


TARGETS = {name: Target(name, "openai", "m", url=f"ws://{name}.example/") for name in ("one", "two")}


class Stage:
    """A runner with everything around it. `sockets`: those it opened, in order."""

    def __init__(self, call_id: str = "call-1", pacer: Pacer | None = None, **options: Any) -> None:
        self.engine = ScriptedEngine()
        self.leg = NotingLeg()
        self.recorder = NotingRecorder()
        self.tools = NotingTools()
        self.sockets: list[NotingSocket] = []
        self.notes: list[tuple[str, Any, int]] = []
        self.health = HealthBoard(Random(1))
        self.pacer = pacer or Pacer()
        services = Services(
            self.health,
            self.pacer,
            self.tools,
            self._connect,  # type: ignore[arg-type]
            (lambda call_id, note, now: self.notes.append((call_id, note, now)),),
        )
        self.endpoint = ToolEndpoint("look_up", "http://tools.example/look_up")
        self.runner = CallRunner(
            self.engine,  # type: ignore[arg-type]
            self.leg,
            services,
            spec=make_spec(call_id, **options),
            targets=TARGETS,
            tools={"look_up": self.endpoint},
            recorder=self.recorder,
        )

    def _connect(self, dial: Dial, handler: Handler) -> NotingSocket:
        self.sockets.append(NotingSocket(dial, handler))
        return self.sockets[-1]
