"""Many calls that lose their provider at one moment: real engines and codecs, emulated accounts, one health board, one
clock. What callers heard and when each account was dialled is for the tests to judge."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random
from typing import Any

import numpy as np

from bridge.core import effects as fx
from bridge.core import events as ev
from bridge.fakes import script as scripts
from bridge.fakes import wire
from bridge.fakes.emulator import Emulator
from bridge.shell.health import HealthBoard
from providers import base as pb
from tests.core.stage import MS
from tests.wire.caller import question
from tests.wire.ear import Heard, ear
from tests.wire.stage import WireStage

DYING = "a"
STYLE: dict[str, Any] = {
    "latency": {"upgrade_ms": 60, "session_ms": 20, "ack_ms": 30},
    "reply": {"seconds": 2.0, "first_audio_ms": 300, "lead_ms": 300},
}
CLOSED = {"when": {"phase": "upgrade", "times": 1_000_000}, "do": {"http": {"status": 503}}}
QUESTION_MS = 1400
LEAVES_MS = 3500  # callers hang up that long after their answer began, when they have heard it
TURN_MS = QUESTION_MS + 500  # until the turn is over


class StormCall(WireStage):
    """One call among many. Dials and questions of the board are on everybody's clock, the rest is on the call's."""

    def __init__(self, storm: Storm, name: str, begin_ms: int, number: int, **options: Any) -> None:
        super().__init__(storm.providers, **options)
        self.storm = storm
        self.name = name
        self.number = number
        self.begin_ms = begin_ms
        self.emulators = storm.emulators
        self.health = storm.health
        self.say_ms: int | None = None
        self.gives_up_ms: int | None = None  # when the caller has waited for long enough
        self.asked = 0

    def asks_at(self, at_ms: int) -> StormCall:
        """The caller asks for the call's number, at a time on everybody's clock."""
        self.say_ms = at_ms
        self.say(at_ms - self.begin_ms, question(self.number, QUESTION_MS))
        return self

    def begin(self, now: int) -> None:
        super().begin(now)
        if self.gives_up_ms is not None:
            self.later(self.gives_up_ms - now / MS, self.hang_up)

    def hang_up(self) -> None:
        if self.ended is None:
            self.dispatch(ev.Gone("hung up"))
            self.ended = "hung up"

    @property
    def started(self) -> bool:
        return self._started

    @property
    def next(self) -> int | None:
        """When something happens next, in ns; None once the call is over."""
        if self.ended is not None:
            return None
        return self.due if self._started else self.begin_ms * MS

    @property
    def owed_ms(self) -> int:
        assert self.say_ms is not None
        return self.say_ms + TURN_MS

    def _do_choose(self, effect: fx.Choose) -> None:
        self.asked += 1
        answer = self.health.choose(
            effect.request,
            list(self.targets.values()),
            effect.purpose,
            effect.exclude,
            self.now,
            self.name,
            effect.owed,
        )
        self._queue.append(lambda: self.call.handle(answer, self.now))  # type: ignore[arg-type]

    def _do_open(self, effect: fx.Open) -> None:
        self.storm.dials[effect.provider].append(Dial(self.now // MS, self))
        super()._do_open(effect)

    def _do_note(self, effect: fx.Note) -> None:
        super()._do_note(effect)
        if effect.kind == "first_audio" and effect.fields["provider"] != DYING :
            self.later(LEAVES_MS, self.hang_up)

    @cached_property
    def words(self) -> list[Heard]:
        """What the caller heard, once the call is over."""
        return ear().words(self.sound)

    @property
    def sound(self) -> bytes:
        return bytes(self.heard)

    @property
    def text(self) -> str:
        return " ".join(word.word for word in self.words if word.whole)

    @property
    def answered_ms(self) -> float:
        """When the answer began, on everybody's clock."""
        return self.begin_ms + next(word.begin for word in self.words if word.word == "you")

    def dialled(self, provider: str) -> list[int]:
        return [dial.at_ms for dial in self.storm.dials[provider] if dial.call is self]


@dataclass(frozen=True, slots=True)
class Dial:
    at_ms: int
    call: StormCall


class Storm:
    """`paces`: connections a minute by account; each emulator refuses what is over its own. The one that dies takes all
    it is asked for until it is killed, and nothing after that."""

    def __init__(self, kinds: Mapping[str, str], paces: Mapping[str, int], **plan: Any) -> None:
        self.providers = {DYING: ("openai", STYLE)} | {name: (kind, STYLE) for name, kind in kinds.items()}
        kinds = {DYING: "openai", **kinds}
        emulated = {"openai": "openai", "azure_voice_live": "azure", "gemini": "gemini"}
        self.emulators = {
            name: Emulator(
                emulated[kind],  # type: ignore[arg-type]
                {**STYLE, "connections_per_minute": paces.get(name), **self._slow(name)},
            )
            for name, kind in kinds.items()
        }
        self.health = HealthBoard(Random(7), paces=paces)
        self.dials: dict[str, list[Dial]] = {name: [] for name in kinds}
        self.calls: list[StormCall] = []
        self._plan = plan

    def _slow(self, name: str) -> dict[str, Any]:
        """The one that dies does not answer before it does."""
        return {"reply": {**STYLE["reply"], "first_audio_ms": 2500}} if name == DYING else {}

    def call(self, begin_ms: int, standby: str = "cold") -> StormCall:
        number = len(self.calls)
        made = StormCall(self, f"call{number}", begin_ms, number, standby=standby, plan=self._plan)
        self.calls.append(made)
        return made

    def prefill(self, name: str, at_ms: Sequence[int]) -> None:
        """Connections somebody else asked the account for, before these calls."""
        target = self.calls[0].targets[name]
        for at in at_ms:
            assert self.health.choose(0, [target], "handover", (), at * MS).provider == name
            assert not isinstance(self.emulators[name].connect(at * MS), wire.HttpRefusal)

    def run(self, until_ms: int, kill_ms: int) -> None:
        """Until then, or until every call has ended. At `kill_ms` all sessions of the dying provider are cut, and from
        then on it lets nobody in."""
        agenda = [(call.begin_ms * MS, number) for number, call in enumerate(self.calls)]
        heapq.heapify(agenda)
        killed = False
        while agenda and agenda[0][0] <= until_ms * MS:
            if not killed and agenda[0][0] >= kill_ms * MS:
                killed = True
                self._kill(kill_ms * MS)
                agenda = [(due, number) for number, call in enumerate(self.calls) if (due := call.next) is not None]
                heapq.heapify(agenda)
                continue
            at, number = heapq.heappop(agenda)
            call = self.calls[number]
            if call.started:
                call.step()
            else:
                call.begin(at)
            due = call.next
            if due is not None:
                heapq.heappush(agenda, (due, number))
            else:
                self.health.leave(call.name)

    def _kill(self, now: int) -> None:
        emulator = self.emulators[DYING]
        emulator.script = replace(emulator.script, rules=scripts.parse({"rules": [CLOSED]}).rules)
        for call in self.calls:
            if call.started and call.ended is None:
                call.now = now
                for socket in call.of(DYING):
                    call.fail(socket, pb.SocketClosed(1006))


def most_in_a_minute(times_ms: Sequence[int]) -> int:
    """The fullest sixty seconds of a list of times."""
    return max((sum(1 for at in times_ms if begin <= at < begin + 60_000) for begin in times_ms), default=0)


def longest_silence(call: StormCall, begin_ms: int, end_ms: int) -> int:
    """The longest stretch in which the caller heard nothing, between two times on everybody's clock, in ms."""
    sound = np.frombuffer(call.sound, np.uint8)[(begin_ms - call.begin_ms) * 8 : (end_ms - call.begin_ms) * 8]
    loud = np.flatnonzero(sound < 0xFE)
    edges = np.concatenate([[-1], loud, [len(sound)]])
    return int(np.diff(edges).max() - 1) // 8
