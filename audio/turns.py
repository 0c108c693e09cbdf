"""Turn detection: where the caller's speech begins and ends, and whether it interrupts the agent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from audio.frame import Frame, Pcm
from audio.hearing import Hearing
from audio.levels import SILENT, upper_level_db
from audio.masked import Masked
from audio.opening import PEAK_DROP_DB, Opening
from audio.pace import Pace
from audio.resample import Resampler
from audio.voicing import BLOCK, RATE

TurnKind = Literal["speech_start", "turn_end", "barge_in", "cut", "cancel"]


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """Durations in ms. `adaptive`: the hangover grows when the turn does not sound finished. `opinion`: the
    "module:function" that whoever runs the detector asks in a pause whether the turn is over; "" for none."""

    hangover_ms: int = 500
    preroll_ms: int = 300
    cut_ms: int = 400
    detector: Literal["webrtc", "silero"] = "webrtc"
    adaptive: bool = True
    opinion: str = ""


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


STRONG_MORE_MS = 150  # on a noisy line a turn ends without strong speech for a hangover (as when halting, at most) ...
STRONG_BLOCKS = 30  # ... and this, at least this long, ...
WEAK_BLOCKS = 2  # ... and without any for this long
SOFT_DB = 12.0  # what stays this far below the turn's loud blocks for a whole stretch is background
HOLD_MASK = 0b11111  # a block of speech prolongs a turn only with another one among the last five
CUT_LEAD_MS = 60  # growth counts from here on: a click does not grow
FADED_DB = 10.0  # this far below its peak an utterance is about to end: it may be a long backchannel ...
FADED_MS = 240  # ... unless it has grown for this much longer
BACKCHANNEL_BLOCKS = 12  # silence that ends a provisional turn
TAIL_MS = 500  # a short utterance this close to the end of the agent's audio is an answer
JUDGED_BLOCKS = 10  # silence after which the hangover of this pause is decided
OPINION_BLOCKS = 12  # silence after which an opinion is asked for
SURE, DOUBTFUL = 2.3, 1.5  # log-odds of `Pace.finished` between which the hangover grows to ...
DOUBTFUL_FACTOR = 1.28  # ... this much of its length
HALTING, HALTING_FACTOR = 0.0, 1.7  # below this score it spans most pauses between groups of digits,
UNFINISHED, UNFINISHED_FACTOR = -0.7, 2.3  # ... and below this one those of a search for words
NUMBER_MS = 1000  # hangover when a number was asked for
COMPLETE_MS, INCOMPLETE_MS = 300, 1500  # hangover after an opinion
_BLOCK_MS = 20
_NOTHING: tuple[TurnEvent, ...] = ()
_Phase = Literal["silence", "provisional", "turn"]


class TurnDetector:
    """Finds turns in a caller's stream. No clock: positions are samples of that stream.

    `rate`: of the caller's stream, 8000, 16000, 24000 or 48000 Hz (ValueError for another one). Frames may have any
    length; they are analysed as 20 ms blocks at 8 kHz.
    """

    def __init__(self, settings: TurnSettings, rate: int) -> None:
        self._settings = settings
        self._scale = rate // RATE  # samples of the stream per sample analysed
        self._convert = None if rate == RATE else Resampler(rate, RATE)
        self._plain = self._convert is None  # whole blocks can be taken as they are
        self._hearing = Hearing(settings.detector)
        self._opening = Opening(self._hearing)
        self._masked = Masked(self._hearing)
        self._pace = Pace()
        self._rest: Pcm = np.zeros(0, np.int16)
        self._far_rest: list[Pcm] = []
        self._expecting: Literal["number", ""] = ""
        self._phase: _Phase = "silence"
        self._origin = 0  # sample at which block 0 began, moved by gaps
        self._block = 0  # blocks analysed
        self._onset = 0  # block in which the speech that opened the turn began
        self._begun = 0  # ... and the block in which the turn began: earlier, where speech did not open it at once
        self._lost = 0  # concealed blocks since the onset
        self._last = 0  # the block after the last one with speech
        self._peak = SILENT
        self._held = 0
        self._hangover = settings.hangover_ms
        self._asked = False
        self.consumed = 0

    @property
    def speaking(self) -> bool:
        """A turn or a provisional turn is open."""
        return self._phase != "silence"

    @property
    def hearing(self) -> Hearing:
        """What is known of the line (levels, gates), for drawing."""
        return self._hearing

    def expect(self, what: Literal["number", ""]) -> None:
        """The agent asked for a number or a spelling: the next turn's hangover spans the pauses between groups."""
        self._expecting = what

    def digits(self) -> str:
        """The keys pressed in band (DTMF tones) since the last call; tones are never speech."""
        return self._hearing.keypad.take()

    @property
    def wants_opinion(self) -> bool:
        """The caller has been silent for 240 ms inside a turn: somebody who understands speech may say whether the turn
        is over (`opinion`). False again once told, or when the caller goes on."""
        return self._phase == "turn" and not self._asked and self._block - self._last >= OPINION_BLOCKS

    def opinion(self, complete: bool) -> None:
        """Whether the turn sounds complete: shortens or prolongs the hangover of this pause. Too late is ignored."""
        if self.wants_opinion:
            self._asked = True
            self._hangover = COMPLETE_MS if complete else INCOMPLETE_MS

    def played(self, frame: Frame) -> None:
        """Agent audio as it is paced out, up to about 100 ms before it is heard, at the rate of the caller's stream."""
        size = BLOCK * self._scale
        if frame.samples == size and not self._far_rest:
            self._hearing.echo.played(upper_level_db(frame.pcm))
            return
        pcm = np.concatenate([*self._far_rest, frame.pcm])
        whole = len(pcm) - len(pcm) % size
        for start in range(0, whole, size):
            self._hearing.echo.played(upper_level_db(pcm[start : start + size]))
        self._far_rest = [pcm[whole:]] if whole < len(pcm) else []

    def skip(self, samples: int) -> Sequence[TurnEvent]:
        """The line was away for `samples` (a hold, a leg that came back): an open turn ends, the VAD starts afresh."""
        events: Sequence[TurnEvent] = _NOTHING
        if self._phase != "silence":
            events = self._close("turn_end" if self._phase == "turn" else "cancel")
        self._origin += samples
        self.consumed += samples
        self._opening.restart()
        self._hearing.restart()
        return events

    def push(self, frame: Frame, agent_left: int) -> Sequence[TurnEvent]:
        """Takes one caller frame; `agent_left` is how many samples of agent audio the caller has still to hear."""
        pcm = frame.pcm
        self.consumed += len(pcm)
        if self._plain and len(pcm) == BLOCK:
            return self._take(pcm, frame.concealed, agent_left)
        if self._convert is not None:
            pcm = self._convert.process(pcm)
        pcm = np.concatenate((self._rest, pcm))
        events: list[TurnEvent] = []
        whole = len(pcm) - len(pcm) % BLOCK
        for start in range(0, whole, BLOCK):
            events.extend(self._take(pcm[start : start + BLOCK], frame.concealed, agent_left))
        self._rest = pcm[whole:]
        self._plain = self._convert is None and whole == len(pcm)
        return events

    def _take(self, pcm: Pcm, concealed: bool, agent_left: int) -> Sequence[TurnEvent]:
        block = self._block
        self._block = block + 1
        phase = self._phase
        if concealed:
            return self._missing(agent_left)
        speech = self._hearing.hear(pcm, phase != "silence")
        if phase == "silence":
            opening = self._opening
            if speech:
                if opening.speech(block):
                    return self._open(opening, agent_left)
            elif opening.recent or self._hearing.gated:
                opening.none(block)
            return _NOTHING
        self._held = self._held << 1 & HOLD_MASK
        if speech:
            self._prolong(block)
        if block - self._last == JUDGED_BLOCKS:
            self._judge()
        return self._follow(agent_left) if phase == "provisional" else self._finish()

    def _missing(self, agent_left: int) -> Sequence[TurnEvent]:
        """A concealed block: time stands still for the turn."""
        if self._phase == "silence":
            return _NOTHING
        self._last += 1
        self._lost += 1
        self._masked.missing()
        return self._follow(agent_left) if self._phase == "provisional" else _NOTHING

    def _open(self, opening: Opening, agent_left: int) -> Sequence[TurnEvent]:
        self._onset, self._begun, loud = opening.onset, opening.begun, opening.loud
        self._pace.begin(self._onset)
        for block, level in opening.take():
            self._pace.note(block, level)
        self._lost = 0
        self._last = self._block
        self._masked.begin(self._block)
        self._held = HOLD_MASK
        self._peak = loud
        self._hangover = self._base()
        self._asked = False
        self._hearing.background.opened(loud - SOFT_DB)
        self._phase = "provisional" if agent_left else "turn"
        return (self._event("barge_in" if agent_left else "speech_start", self._begun),)

    # Inside a turn

    def _prolong(self, block: int) -> None:
        """A block of speech inside a turn: it counts when it could belong to the same voice."""
        hearing = self._hearing
        level = hearing.level
        if level > self._peak:
            self._peak += (level - self._peak) * 0.3
            hearing.background.reach = self._peak - SOFT_DB
        elif level < self._peak - PEAK_DROP_DB:
            return
        if not hearing.background.restless:
            self._masked.strong = block + 1
        elif not self._masked.belongs(block, level, self._peak):
            return
        self._held |= 1
        self._pace.note(block, level)
        if self._held.bit_count() >= 2:
            self._last = block + 1
            self._asked = False

    def _judge(self) -> None:
        """Decides how long this silence may last."""
        base = self._base()
        self._hangover = base
        if not self._settings.adaptive:
            return
        score = self._pace.finished()
        if score >= SURE:
            return
        if score < UNFINISHED:
            factor = UNFINISHED_FACTOR
        elif score < HALTING:
            factor = HALTING_FACTOR
        else:
            factor = 1.0 + (DOUBTFUL_FACTOR - 1.0) * min(1.0, (SURE - score) / (SURE - DOUBTFUL))
        self._hangover = max(base, int(self._settings.hangover_ms * factor))

    def _base(self) -> int:
        return max(self._settings.hangover_ms, NUMBER_MS) if self._expecting else self._settings.hangover_ms

    def _finish(self) -> Sequence[TurnEvent]:
        """A turn: over when the silence has lasted as long as the hangover, but not while a block of speech may be the
        first of more."""
        silent = self._block - self._last
        if silent * _BLOCK_MS >= self._hangover and not self._held:
            return self._close("turn_end")
        if silent >= WEAK_BLOCKS and self._faint(silent):
            return self._close("turn_end")
        return _NOTHING

    def _faint(self, silent: int) -> bool:
        """Whether what is still heard on a noisy line has been too weak for too long to be the turn's."""
        weak = self._block - self._masked.strong
        if weak < STRONG_BLOCKS or not self._masked.noisy(self._peak):
            return False
        if silent < JUDGED_BLOCKS:
            self._judge()
        most = self._hangover if self._asked else self._base() * HALTING_FACTOR
        return weak * _BLOCK_MS >= min(self._hangover, most) + STRONG_MORE_MS

    def _follow(self, agent_left: int) -> Sequence[TurnEvent]:
        """A provisional turn: confirmed by growth or by the agent falling silent, withdrawn when it was short."""
        if not agent_left:
            return self._confirm("speech_start")
        grown = (self._last - self._onset - self._lost) * _BLOCK_MS - self._settings.cut_ms - CUT_LEAD_MS
        if grown >= 0 and (grown >= FADED_MS or self._hearing.level > self._peak - FADED_DB):
            return self._confirm("cut")
        if self._block - self._last < BACKCHANNEL_BLOCKS:
            return _NOTHING
        if agent_left < TAIL_MS * self._scale * RATE // 1000:
            return self._confirm("speech_start")
        return self._close("cancel")

    def _confirm(self, kind: Literal["speech_start", "cut"]) -> Sequence[TurnEvent]:
        self._phase = "turn"
        return (self._event(kind, self._begun),)

    def _close(self, kind: Literal["turn_end", "cancel"]) -> Sequence[TurnEvent]:
        self._phase = "silence"
        if kind == "turn_end":
            self._expecting = ""
        self._hearing.background.closed()
        return (self._event(kind, self._last if kind == "turn_end" else self._begun),)

    def _event(self, kind: TurnKind, block: int) -> TurnEvent:
        return TurnEvent(kind, self._origin + block * BLOCK * self._scale, self.consumed)
