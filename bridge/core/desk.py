"""What the machines of one call share: its specification, time, memory, and the list of effects they write to."""

from __future__ import annotations

from audio.playout import Playout
from audio.tape import Tape
from bridge.core.conversation import Conversation
from bridge.core.effects import Effect, Note
from bridge.core.ledger import Ledger
from bridge.core.plan import CallSpec
from bridge.core.timers import Timers

MS = 1_000_000


class Desk:
    """`now` is the time of the event being handled, in ns; `out` the effects so far."""

    def __init__(self, spec: CallSpec) -> None:
        self.spec = spec
        self.plan = spec.plan
        self.deadlines = spec.plan.deadlines
        self.now = 0
        self.out: list[Effect] = []
        self.timers = Timers()
        self.tape = Tape(spec.leg)
        self.playout = Playout(spec.leg, spec.lead_ms, spec.marks)
        self.conversation = Conversation()
        self.ledger = Ledger()

    def do(self, effect: Effect) -> None:
        self.out.append(effect)

    def note(self, kind: str, /, **fields: object) -> None:
        self.out.append(Note(kind, fields))

    def after(self, name: str, ms: int) -> None:
        """Arm the timer `name`, `ms` from now."""
        self.timers.set(name, self.now + ms * MS)

    def ms(self, samples: int) -> int:
        """Samples of the leg in milliseconds."""
        return samples * 1000 // self.spec.leg.rate

    def samples(self, ms: int) -> int:
        return ms * self.spec.leg.rate // 1000
