"""One emulated connection without sockets or a clock: messages in, messages out with their times, faults on cue.

Time is an argument, in nanoseconds of the caller's choice. A dialect is a subclass; see `realtime.py` and `gemini.py`.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable
from random import Random
from typing import Any

import orjson

from audio.frame import Format
from bridge.fakes.replying import Reply
from bridge.fakes.script import Do, Rule, Script
from bridge.fakes.wire import Close, Message, Out, Request, Reset, Silence

MS = 1_000_000
FOREVER = 1 << 62
# Reaching a phase ends stretches of the call; what was scheduled in one that is over does not happen any more.
ENDS = {
    "configured": ("session", "configuring"),
    "speaking": ("idle",),
    "committed": ("speaking",),
    "asked": ("idle", "tool"),
    "tool": ("asked", "reply", "done"),
    "idle": ("asked", "reply", "done"),
}

Act = Callable[[int], None]


class Shared:
    """What the connections of one emulator have in common: the script, how often its rules fired, session handles."""

    def __init__(self, script: Script, seed: int, rtt_ms: float, pace: float, epoch: int) -> None:
        self.script = script
        self.seed = seed
        self.half_rtt = int(rtt_ms * MS / 2)
        self.pace = pace
        self.epoch = epoch
        self.fired: Counter[int] = Counter()
        self.handles: dict[str, Any] = {}
        self.dials: deque[int] = deque()


class Session:
    """The part every dialect shares: agenda, outbox, stalls, rules."""

    subprotocol: str | None = None

    def __init__(self, shared: Shared, connection: int, request: Request, now: int) -> None:
        self.shared = shared
        self.script = shared.script
        self.connection = connection
        self.request = request
        self.random = Random(f"{shared.seed}/{self.script.seed}/{connection}")
        self.gone = False  # closed, reset or silent: nothing more comes out
        self.turn = 0  # caller turns begun on this connection
        self.replies = 0  # replies begun on this connection
        self.numbers: list[int] = []  # of the question last asked
        self._agenda: list[tuple[int, int, Act]] = []
        self._order = 0
        self._out: deque[tuple[int, Out]] = deque()
        self._held: deque[Out] | None = None  # what waits behind a stall
        self._fired: Counter[int] = Counter()
        self._over: Counter[str] = Counter()  # how often stretches of the call have ended
        self.now = now
        self.later(now + self.script.latency.session_ms * MS, self._open)

    # ------------------------------------------------------------------------------------------------ the outside

    def receive(self, message: str | bytes, now: int) -> None:
        """A message of the client, as it leaves there."""
        if self.shared.half_rtt:
            self.later(now + self.shared.half_rtt, lambda at: self._take(message, at))
            return
        self._catch_up(now)
        self.now = max(self.now, now)
        self._take(message, self.now)

    def due(self, now: int) -> list[Out]:
        """Everything that reaches the client up to `now`, in order. After Close, Reset or Silence nothing follows."""
        self._catch_up(now)
        out: list[Out] = []
        while self._out and self._out[0][0] <= now:
            out.append(self._out.popleft()[1])
        return out

    @property
    def next_due(self) -> int | None:
        """When `due` should be asked next; None: only after another message."""
        times = [queue[0][0] for queue in (self._agenda, self._out) if queue]
        return min(times) if times else None

    # ------------------------------------------------------------------------------------------------ for dialects

    def opened(self, now: int) -> None:
        """The connection stands; say hello."""
        raise NotImplementedError

    @property
    def input_format(self) -> Format:
        """What the client sends caller audio in."""
        raise NotImplementedError

    def handle(self, message: str | bytes, now: int) -> None:
        """A message of the client arrived."""
        raise NotImplementedError

    def act(self, do: Do, now: int) -> None:
        """An action of the script that only the dialect can perform."""
        raise NotImplementedError

    def later(self, when: int, act: Act) -> None:
        """Do `act` at `when`; things due at the same time keep their order."""
        self._order += 1
        heapq.heappush(self._agenda, (when, self._order, act))

    def put(self, message: dict[str, Any] | str | bytes) -> None:
        """Send a message; a dict as JSON text."""
        data = orjson.dumps(message).decode() if isinstance(message, dict) else message
        self._push(Message(data))

    def end(self, out: Close | Reset | Silence) -> None:
        """The last thing that happens on this connection."""
        if self._held is not None and not isinstance(out, Close):
            self._held = None
        self._push(out)
        self.gone = True
        self._agenda.clear()

    def stopped(self, reply: Reply) -> bool:
        """Whether nothing more of a reply is to be sent."""
        return self.gone or not reply.running

    def fits(self, rule: Rule, phase: str, deltas: int) -> bool:
        """Whether a rule's conditions hold now."""
        return (
            rule.phase == phase
            and rule.after_deltas == deltas
            and (not rule.connection or self.connection in rule.connection)
            and (not rule.turn or self.turn in rule.turn)
            and (not rule.reply or self.replies in rule.reply)
            and (not rule.number or any(number in rule.number for number in self.numbers))
        )

    def phase(self, name: str, now: int, deltas: int = 0) -> None:
        """A point of the call was reached: perform what the script has for it."""
        self.over(*ENDS.get(name, ()))
        if self.gone:
            return
        for index, rule in enumerate(self.script.rules):
            if rule.phase != name or not self.fits(rule, name, deltas):
                continue
            if self._fired[index] >= rule.times:
                continue
            if rule.total is not None and self.shared.fired[index] >= rule.total:
                continue
            self._fired[index] += 1
            self.shared.fired[index] += 1
            if rule.after_ms:
                self._schedule(rule, name, now)
            else:
                self._perform(rule, now)

    def over(self, *phases: str) -> None:
        """These stretches of the call have ended."""
        self._over.update(phases)

    # ------------------------------------------------------------------------------------------------ inside

    def _catch_up(self, now: int) -> None:
        """Do everything that was to happen by `now`."""
        agenda = self._agenda
        while agenda and agenda[0][0] <= now:
            when, _, act = heapq.heappop(agenda)
            if not self.gone:
                self.now = max(self.now, when)
                act(self.now)

    def _open(self, now: int) -> None:
        self.phase("session", now)
        if not self.gone:
            self.opened(now)

    def _take(self, message: str | bytes, now: int) -> None:
        if not self.gone:
            self.handle(message, now)

    def _schedule(self, rule: Rule, name: str, now: int) -> None:
        stretch = self._over[name]

        def happen(at: int) -> None:
            if self._over[name] == stretch:
                self._perform(rule, at)

        self.later(now + rule.after_ms * MS, happen)

    def _perform(self, rule: Rule, now: int) -> None:
        for do in rule.do:
            if not self.gone:
                self._do(do, now)

    def _do(self, do: Do, now: int) -> None:
        if do.kind == "close":
            self.end(Close(do.arg.get("code", 1011), do.arg.get("reason", "")))
        elif do.kind == "reset":
            self.end(Reset())
        elif do.kind in ("half_open", "hang"):
            self.end(Silence(do.arg != "silent"))
        elif do.kind == "stall":
            self._stall(do.arg, now)
        elif do.kind == "send":
            self.put(do.arg)
        elif do.kind == "oversized":
            self.put(self.oversized(do.arg))
        elif do.kind == "malformed" and do.arg != "base64":
            self.put(malformed(do.arg))
        else:
            self.act(do, now)

    def oversized(self, size: int) -> str | bytes:
        """A well-formed message of about `size` bytes that means nothing."""
        return orjson.dumps({"type": "padding", "event_id": "event_padding", "padding": "x" * size}).decode()

    def _stall(self, arg: Any, now: int) -> None:
        if self._held is None:
            self._held = deque()
        if arg is not True:
            self.later(now + arg["ms"] * MS, self._wake)

    def _wake(self, now: int) -> None:
        held, self._held = self._held, None
        for out in held or ():
            self._push(out)

    def _push(self, out: Out) -> None:
        if self.gone:
            return
        if self._held is not None and isinstance(out, Message):
            self._held.append(out)
        else:
            self._out.append((self.now + self.shared.half_rtt, out))


def malformed(kind: str) -> str | bytes:
    """A message no reader can use."""
    kinds: dict[str, str | bytes] = {
        "json": '{"type": "response.done", "response": ',
        "array": '["type", "response.done"]',
        "truncated": '{"type": "resp',
        "binary": b"\x00\xff\xfe\x80 not JSON",
        "unknown": '{"type": "segue.unheard_of", "event_id": "event_unknown", "value": [1, 2, 3]}',
    }
    return kinds[kind]
