"""What the test caller says and when: 20 ms at a time, from a recording, politely or talking over. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from bridge.dial.turns import Kind, Turn

Manner = Literal["polite", "talk_over"]

FRAME_MS = 20
SILENCE = b"\xff"


@dataclass(frozen=True, slots=True)
class Manners:
    """How a polite caller waits, in ms. `greeting`: for the agent to say something first. `pause`: quiet after the
    agent's words before it is the caller's turn. `patience`: for an answer. `overlap`: agent speech before the caller
    barges in where the recording says so. `lead`, `tail`: recording around a turn that is played with it."""

    greeting: int = 2500
    pause: int = 1000
    patience: int = 15_000
    overlap: int = 2000
    lead: int = 200
    tail: int = 100
    key_every: int = 200


@dataclass(slots=True)
class Spoken:
    """What the caller did: a turn of speech or keys, in samples since the call began. `end` is None while it lasts."""

    kind: Kind
    begin: int
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Keys:
    """Digits to press: at `at` samples into the call, or, with None, as a turn of their own after the last one."""

    at: int | None
    digits: str


class Phase(Enum):
    WAITING = "waiting"
    SPEAKING = "speaking"
    KEYS = "pressing keys"
    DONE = "done"


class Caller:
    """The caller's mouth and fingers. Call `frame` every 20 ms; it says what to send and, in `pressed`, which keys.

    `sound` is the recording in wire form (one byte a sample). `spoken` grows as turns are spoken. In `talk_over` the
    recording runs as it is, from the start, whatever the agent does.
    """

    def __init__(
        self,
        sound: bytes,
        turns: Sequence[Turn],
        manner: Manner = "polite",
        keys: Sequence[Keys] = (),
        manners: Manners | None = None,
        rate: int = 8000,
    ) -> None:
        self.spoken: list[Spoken] = []
        self.pressed: list[str] = []
        self._manners = manners or Manners()
        self._rate = rate
        self._frame = rate * FRAME_MS // 1000
        self._sound = sound
        self._polite = manner == "polite"
        self._turns = deque(turns)
        self._timed = sorted((each for each in keys if each.at is not None), key=lambda each: each.at or 0)
        self._last_keys = "".join(each.digits for each in keys if each.at is None)
        self._phase = Phase.WAITING if self._polite else Phase.SPEAKING
        self._cursor = 0  # in the recording
        self._stop = 0 if self._polite else len(sound)  # where in the recording to pause
        self._now = 0
        self._since = 0  # when the phase began
        self._answered = False  # the agent was heard since the last turn ended
        self._loud_since: int | None = None  # when the agent began to speak, while it does
        self._quiet_since = 0

    @property
    def phase(self) -> Phase:
        return self._phase

    @property
    def speaking(self) -> bool:
        return bool(self.spoken) and self.spoken[-1].end is None

    def frame(self, agent_playing: bool) -> bytes:
        """The next 20 ms to send, `agent_playing`: the agent was audible during the last 20 ms. Keys to press now are
        put into `pressed`, which is emptied by the next call."""
        self.pressed = []
        self._listen(agent_playing)
        if self._phase is Phase.WAITING and self._may_go_on():
            self._go_on()
        data = SILENCE * self._frame
        if self._phase is Phase.SPEAKING:
            data = self._speak()
        elif self._phase is Phase.KEYS:
            self._press()
        self._press_timed()
        self._now += self._frame
        return data

    def _listen(self, playing: bool) -> None:
        if playing:
            self._answered = True
            if self._loud_since is None:
                self._loud_since = self._now
        elif self._loud_since is not None:
            self._loud_since = None
            self._quiet_since = self._now

    def _may_go_on(self) -> bool:
        """Whether it is the caller's turn."""
        manners = self._manners
        if self._turns and self._turns[0].kind in ("barge_in", "backchannel") and self.spoken:
            long_enough = self._loud_since is not None and self._ms(self._loud_since) >= manners.overlap
            return long_enough or self._ms(max(self._since, self._quiet_since)) >= manners.patience
        if self._answered:
            return self._loud_since is None and self._ms(self._quiet_since) >= manners.pause
        return self._ms(self._since) >= (manners.patience if self.spoken else manners.greeting)

    def _go_on(self) -> None:
        if self._turns:
            turn = self._turns[0]
            self._cursor = max(self._cursor, turn.begin - self._samples(self._manners.lead))
            limit = self._turns[1].begin if len(self._turns) > 1 else len(self._sound)
            self._stop = min(turn.end + self._samples(self._manners.tail), max(limit, turn.end))
            self._enter(Phase.SPEAKING)
        elif self._last_keys:
            self._enter(Phase.KEYS)
            self.spoken.append(Spoken("keys", self._now))
        else:
            self._enter(Phase.DONE)

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._since = self._now
        self._answered = False

    def _speak(self) -> bytes:
        data = self._sound[self._cursor : min(self._cursor + self._frame, self._stop)]
        self._follow_turns(len(data))
        self._cursor += len(data)
        if self._cursor >= self._stop:
            self._enter(Phase.WAITING)
        return data + SILENCE * (self._frame - len(data))

    def _follow_turns(self, size: int) -> None:
        """Note which turns begin and end within the `size` samples from the cursor on."""
        shift = self._now - self._cursor
        while self._turns:
            turn = self._turns[0]
            if turn.begin < self._cursor + size and not self.speaking:
                self.spoken.append(Spoken(turn.kind, turn.begin + shift))
            if turn.end > self._cursor + size or not self.speaking:
                return
            self.spoken[-1].end = turn.end + shift
            self._turns.popleft()

    def _press(self) -> None:
        every = self._samples(self._manners.key_every)
        if (self._now - self._since) % every < self._frame:
            self.pressed.append(self._last_keys[0])
            self._last_keys = self._last_keys[1:]
        if not self._last_keys:
            self.spoken[-1].end = self._now + self._frame
            self._enter(Phase.WAITING)

    def _press_timed(self) -> None:
        while self._timed and (self._timed[0].at or 0) <= self._now:
            self.pressed += self._timed.pop(0).digits

    def _ms(self, since: int) -> int:
        return (self._now - since) * 1000 // self._rate

    def _samples(self, ms: int) -> int:
        return ms * self._rate // 1000
