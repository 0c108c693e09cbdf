"""Turn detection: where the caller's speech begins and ends, and whether it interrupts the agent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from audio.echo import EchoGate
from audio.frame import Frame, Pcm
from audio.levels import NoiseFloor, level_db
from audio.vad import Vad, WebrtcVad

TurnKind = Literal["speech_start", "turn_end", "barge_in", "cut", "cancel"]


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """Durations in ms."""

    hangover_ms: int = 500
    preroll_ms: int = 300
    cut_ms: int = 400
    detector: Literal["webrtc", "silero"] = "webrtc"
    adaptive: bool = True


@dataclass(frozen=True, slots=True)
class TurnEvent:
    """A decision about the caller's speech.

    - `speech_start`: a turn began (agent silent), or a provisional one became a turn without anything to stop.
    - `barge_in`: speech over the agent: the turn is provisional, duck the agent.
    - `cut`: the provisional turn is confirmed, stop the agent.
    - `cancel`: the provisional turn was a backchannel or an echo: it never was a turn.
    - `turn_end`: the turn that was started (or cut) is over.

    `at`: media time in samples of the caller's stream that the decision is about (onset of speech, without pre-roll;
    end of speech for `turn_end`). `decided`: samples consumed when it was taken.
    """

    kind: TurnKind
    at: int
    decided: int


BLOCK_MS = 20
OPEN_WINDOW = 8  # blocks looked at ...
OPEN_COUNT = 5  # ... and how many of them must be speech to open
LEVEL_GATE_DB = 9.0  # speech is at least this far above the floor
QUIETEST_DB = -50.0  # ... and never below this
BACKCHANNEL_HANGOVER_MS = 240  # silence that ends a provisional turn
TAIL_MS = 500  # a short utterance this close to the end of the agent's audio is an answer
_WINDOW_MASK = (1 << OPEN_WINDOW) - 1
_NOTHING: tuple[TurnEvent, ...] = ()

_Phase = Literal["silence", "provisional", "turn"]


class TurnDetector:
    """Finds turns in a caller's stream, 20 ms block by block; frames of other lengths are cut into blocks.

    `rate` is the rate of the caller's stream in Hz. No clock: positions are samples consumed.
    """

    def __init__(self, settings: TurnSettings, rate: int) -> None:
        self._settings = settings
        self._rate = rate
        self._block = rate * BLOCK_MS // 1000
        self._vad: Vad = WebrtcVad(rate)
        self._floor = NoiseFloor()
        self._echo = EchoGate()
        self._rest: list[Pcm] = []
        self._rest_samples = 0
        self._expecting: Literal["number", ""] = ""
        self._phase: _Phase = "silence"
        self._recent = 0  # one bit per block, 1 = speech
        self._onset = 0
        self._last_speech = 0
        self._heard_far = False
        self.consumed = 0

    @property
    def speaking(self) -> bool:
        """A turn or a provisional turn is open."""
        return self._phase != "silence"

    def expect(self, what: Literal["number", ""]) -> None:
        """The agent asked for a number or a spelling: pauses between groups are longer."""
        self._expecting = what

    def played(self, frame: Frame) -> None:
        """Agent audio as it is paced out, up to about 100 ms before it is heard."""
        self._echo.played(frame.pcm)
        self._heard_far = True

    def push(self, frame: Frame, agent_left: int) -> Sequence[TurnEvent]:
        """Takes one caller frame; `agent_left` is how many samples of agent audio the caller has still to hear."""
        if frame.samples == self._block and not self._rest_samples:
            return self._take(frame.pcm, frame.concealed, agent_left)
        return self._reblock(frame, agent_left)

    def _reblock(self, frame: Frame, agent_left: int) -> Sequence[TurnEvent]:
        pcm = np.concatenate([*self._rest, frame.pcm])
        events: list[TurnEvent] = []
        whole = len(pcm) - len(pcm) % self._block
        for start in range(0, whole, self._block):
            events.extend(self._take(pcm[start : start + self._block], frame.concealed, agent_left))
        self._rest = [pcm[whole:]]
        self._rest_samples = len(pcm) - whole
        return events

    def _take(self, pcm: Pcm, concealed: bool, agent_left: int) -> Sequence[TurnEvent]:
        start = self.consumed
        self.consumed = start + self._block
        if not self._heard_far:
            self._echo.idle()
        self._heard_far = False
        if concealed:
            return self._follow(agent_left) if self._phase == "provisional" else _NOTHING
        level = level_db(pcm)
        voiced = self._vad.speech(pcm.tobytes())
        self._floor.push(level)
        speech = voiced and level > QUIETEST_DB and level > self._floor.db + LEVEL_GATE_DB and self._echo.passes(level)
        self._recent = (self._recent << 1 | speech) & _WINDOW_MASK
        if speech:
            self._last_speech = self.consumed
        if self._phase == "silence":
            return self._open(agent_left) if self._recent.bit_count() >= OPEN_COUNT else _NOTHING
        if self._phase == "provisional":
            return self._follow(agent_left)
        hangover = self._settings.hangover_ms * (2 if self._expecting else 1)
        if self.consumed - self._last_speech < hangover * self._rate // 1000:
            return _NOTHING
        return self._close("turn_end", self._last_speech)

    def _open(self, agent_left: int) -> Sequence[TurnEvent]:
        self._onset = max(0, self.consumed - self._recent.bit_length() * self._block)
        self._phase = "provisional" if agent_left else "turn"
        return (TurnEvent("barge_in" if agent_left else "speech_start", self._onset, self.consumed),)

    def _follow(self, agent_left: int) -> Sequence[TurnEvent]:
        """A provisional turn: confirmed by growth or by the agent falling silent, withdrawn when it was short."""
        if not agent_left:
            return self._confirm("speech_start")
        if self._last_speech - self._onset >= self._settings.cut_ms * self._rate // 1000:
            return self._confirm("cut")
        if self.consumed - self._last_speech < BACKCHANNEL_HANGOVER_MS * self._rate // 1000:
            return _NOTHING
        if agent_left < TAIL_MS * self._rate // 1000:
            return self._confirm("speech_start")
        return self._close("cancel", self._onset)

    def _confirm(self, kind: Literal["speech_start", "cut"]) -> Sequence[TurnEvent]:
        self._phase = "turn"
        return (TurnEvent(kind, self._onset, self.consumed),)

    def _close(self, kind: Literal["turn_end", "cancel"], at: int) -> Sequence[TurnEvent]:
        self._phase = "silence"
        self._recent = 0
        self._expecting = ""
        return (TurnEvent(kind, at, self.consumed),)
