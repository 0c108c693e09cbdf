"""What the core costs per caller frame: a whole call without sockets, its caller frames timed one by one."""

from __future__ import annotations

import gc
from time import thread_time_ns

from audio.frame import PCMU, Frame, Pcm
from audio.turns import TurnDetector, TurnSettings
from bench import edge_sound as sound
from bridge.core.call import Call
from bridge.core.effects import Choose, Effect, Open, Send
from bridge.core.events import Chosen, Event, FromLink, LinkUp, Pulled, Tick
from bridge.core.plan import Agent, CallSpec, Candidate, Plan
from providers.base import Ask, Configure, Ready, ReplyAudio, ReplyComplete, ReplyEnded, ReplyStarted
from providers.codec import Capabilities

SLOT = 20_000_000


class Conversation:
    """A call on its own time, with a provider that answers at once: 1.6 s of sound in eight pieces, 50 ms apart."""

    def __init__(self, number: int) -> None:
        candidate = Candidate("one", "openai", "model", Capabilities((PCMU,), (PCMU,)))
        spec = CallSpec(f"bench-{number}", PCMU, Agent("bench", "Be brief."), Plan((candidate,)))
        self.call = Call(spec, TurnDetector(TurnSettings(), 8000))
        self.now = 1
        self.asks = 0
        self._due: list[tuple[int, Event]] = []
        self._take(self.call.start(self.now))

    def frame(self, data: bytes) -> int:
        """One caller frame and the 20 ms that follow it; ns the frame cost."""
        heard = Frame(data, PCMU)
        begun = thread_time_ns()
        effects = self.call.heard(heard, self.now)
        cost = thread_time_ns() - begun
        self._take(effects)
        self.now += SLOT
        while self._due and self._due[0][0] <= self.now:
            self._take(self.call.handle(self._due.pop(0)[1], self.now))
        deadline = self.call.deadline
        if deadline is not None and deadline <= self.now:
            self._take(self.call.handle(Tick(), self.now))
        if self.call.playing:
            self._take(self.call.handle(Pulled(sound.FRAME), self.now))
        return cost

    def _take(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Choose):
                self._take(self.call.handle(Chosen(effect.request, "one"), self.now))
            elif isinstance(effect, Open):
                self._take(self.call.handle(LinkUp(effect.link), self.now))
            elif isinstance(effect, Send) and isinstance(effect.command, Configure):
                self._take(self.call.handle(FromLink(effect.link, Ready("session", None)), self.now))
            elif isinstance(effect, Send) and isinstance(effect.command, Ask):
                self._answer(effect.link, effect.command.number)

    def _answer(self, link: int, ask: int) -> None:
        self.asks += 1
        self._due.append((self.now, FromLink(link, ReplyStarted(ask))))
        for piece in range(8):
            at = self.now + 100_000_000 + piece * 50_000_000
            self._due.append((at, FromLink(link, ReplyAudio(ask, "item", b"\x55" * 1600))))
        self._due += [(at, FromLink(link, ReplyComplete(ask))), (at, FromLink(link, ReplyEnded(ask, "completed")))]


def frame_us(calls: int = 10, seconds: float = 20.0) -> float:
    """Microseconds of CPU a caller frame costs in the core, tape and turn detection included: the mean over a call. Of
    `calls` calls the cheapest counts, because what else the machine does can only add to it."""
    voice = sound.speech()
    gc.collect()
    gc.disable()
    try:
        costs = [_mean_us(number, seconds, voice) for number in range(calls)]
    finally:
        gc.enable()
    return min(costs)


def _mean_us(number: int, seconds: float, voice: Pcm) -> float:
    conversation = Conversation(number)
    frames = sound.caller(number, seconds, voice)
    cost = sum(conversation.frame(frame) for frame in frames)
    if seconds >= 2 * sound.CYCLE_S and not conversation.asks:
        raise RuntimeError("no turn was noticed")
    return cost / len(frames) / 1000
