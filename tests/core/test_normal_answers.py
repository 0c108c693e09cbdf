"""No switch without need: 10,000 answers of a provider in good health, as quick and as uneven as they come.

First audio is log-normal with a median of 0.6 s and 2.2 s at the 99th percentile; pieces of audio come up to three
times as early or as late as their pace says. Of 10,000 such answers some thirty begin after the deadline of 2.8 s:
there the other provider is asked as well, and whoever speaks first is heard.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random

import pytest

from audio.frame import PCMU, Frame
from audio.turns import TurnEvent
from bridge.core import effects as fx
from bridge.core import events as ev
from bridge.core.call import Call
from bridge.core.plan import Agent, CallSpec, Candidate, Plan
from providers import base as pb
from tests.core.stage import CAPS, MS, ScriptedEars, tone

CALLS = 50
ANSWERS = 200  # in each call
SIGMA = math.log(2.2 / 0.6) / 2.326
STANDBY_MS = 600
DEADLINE_MS = 2800
PIECES = [tone(number, 200) for number in range(8)]
FRAME = Frame(bytes(range(160)), PCMU)


class Ears(ScriptedEars):
    """Says what it is told to at the next frame."""

    def __init__(self) -> None:
        super().__init__()
        self.next: str = ""
        self._at = 0

    def push(self, frame: Frame, agent_left: int) -> list[TurnEvent]:
        self._at += frame.samples
        kind, self.next = self.next, ""
        return [TurnEvent(kind, self._at - 160, self._at)] if kind else []  # type: ignore[arg-type]


class Talk:
    """One call of many questions on simulated time. Frames of the caller come only at the edges of turns."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        candidates = tuple(Candidate(name, "sim", "m", CAPS) for name in "ab")
        self.ears = Ears()
        spec = CallSpec("c", PCMU, Agent("test", "", silence=None), Plan(candidates), marks=False)
        self.call = Call(spec, self.ears)  # type: ignore[arg-type]
        self.now = 0
        self.links: dict[int, str] = {}
        self.notes: list[tuple[str, dict[str, object]]] = []
        self.late: list[int] = []  # first audio (ms) of answers that began after the deadline
        self.answers = 0
        self.pieces = 0
        self._void: set[int] = set()
        self._heap: list[tuple[int, int, ev.Event | str]] = []
        self._order = itertools.count()
        self._pacing = False
        self._owed = False

    def later(self, ms: float, what: ev.Event | str) -> None:
        heapq.heappush(self._heap, (self.now + int(ms * MS), next(self._order), what))

    def run(self) -> Talk:
        self.perform(self.call.start(0))
        self.later(3000, "speaks")
        while True:
            due = self.call.deadline
            if self._heap and (due is None or self._heap[0][0] <= due):
                self.now, _, what = heapq.heappop(self._heap)
            elif due is not None:
                self.now, what = max(self.now, due), ev.Tick()
            if what == "over":
                return self
            self.take(what)

    def take(self, what: ev.Event | str) -> None:
        if what == "pull":
            self._pacing = self.call.playing
            if self._pacing:
                self.later(20, "pull")
                self.perform(self.call.handle(ev.Pulled(160), self.now))
            return
        if what == "speaks" or what == "pauses":
            self.ears.next = "speech_start" if what == "speaks" else "turn_end"
            self._owed = what == "pauses"
            if what == "speaks":
                self.later(1000, "pauses")
            self._then(self.call.heard(FRAME, self.now))
            return
        if isinstance(what, ev.FromLink) and getattr(what.event, "ask", 0) in self._void:
            return
        self._then(self.call.handle(what, self.now))  # type: ignore[arg-type]

    def _then(self, effects: list[fx.Effect]) -> None:
        self.perform(effects)
        if self.call.playing and not self._pacing:
            self._pacing = True
            self.later(0, "pull")

    def perform(self, effects: list[fx.Effect]) -> None:
        for effect in effects:
            if isinstance(effect, fx.Choose):
                name = next((name for name in "ab" if name not in effect.exclude), None)
                self.later(0, ev.Chosen(effect.request, name, first_audio_p90_ms=STANDBY_MS + 200))
            elif isinstance(effect, fx.Open):
                self.links[effect.link] = effect.provider
                self.later(50, ev.LinkUp(effect.link))
            elif isinstance(effect, fx.Send):
                self.told(effect.link, effect.command)
            elif isinstance(effect, fx.Note):
                self.notes.append((effect.kind, dict(effect.fields)))

    def told(self, link: int, command: pb.Command) -> None:
        if isinstance(command, pb.Configure):
            self.later(50, ev.FromLink(link, pb.Ready()))
        elif isinstance(command, pb.Probe):
            self.later(30, ev.FromLink(link, pb.Probed()))
        elif isinstance(command, pb.Cancel):
            self._void.add(command.ask)
        elif isinstance(command, pb.Ask):
            self.answer(link, command.number)

    def answer(self, link: int, ask: int) -> None:
        rng = self.rng
        at: float = STANDBY_MS
        if self._owed:
            self._owed = False
            at = 600 * math.exp(rng.gauss(0, SIGMA))
            self.answers += 1
            if at > DEADLINE_MS:
                self.late.append(int(at))
            self.later(at + 4500, "speaks" if self.answers < ANSWERS else "over")
        pace = rng.uniform(2.5, 6.0)
        self.later(at - 50, ev.FromLink(link, pb.ReplyStarted(ask)))
        for piece in PIECES[: rng.randint(4, 8)]:
            self.later(at, ev.FromLink(link, pb.ReplyAudio(ask, f"i{ask}", piece)))
            self.pieces += 1
            at += 200 / pace * rng.choice((1 / 3, 1 / 3, 0.6, 1.0, 3.0))
        self.later(at, ev.FromLink(link, pb.ReplyComplete(ask)))
        self.later(at, ev.FromLink(link, pb.ReplyEnded(ask, "completed")))

    def count(self, kind: str) -> int:
        return sum(name == kind for name, _ in self.notes)


@pytest.mark.parametrize("first", range(0, CALLS, 10))
def test_no_switch_in_two_thousand_of_ten_thousand_normal_answers(first: int) -> None:
    for seed in range(first, first + 10):
        talk = Talk(seed).run()
        assert talk.answers == ANSWERS
        stalls = [fields for kind, fields in talk.notes if kind == "fault"]
        assert len(stalls) == len(talk.late), f"seed {seed}: {stalls} although only {talk.late} were late"
        hopeless = sum(at > DEADLINE_MS + STANDBY_MS + 50 for at in talk.late)
        resumed = sum(at < DEADLINE_MS + STANDBY_MS - 50 for at in talk.late)
        assert hopeless <= talk.count("swap") <= len(talk.late) - resumed
        assert talk.count("first_audio") == ANSWERS, "each question was answered once"
