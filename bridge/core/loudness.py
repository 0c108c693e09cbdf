"""How loud the agent's voices are, so that the caller does not reach for the volume when the provider changes.

The first provider's voice of a call sets the level and passes untouched; every other one is brought to it. (A fixed
target would have to change that one as well: every call would pay for what only a switch needs.) Local phrases are
brought to it too; one that comes before any voice to the level the first choice is known to have. A voice's level is
that of its active speech, from the outlines of its replies; what other calls heard of it comes with `Chosen`. A voice
nobody has heard is judged by what is here of it when it begins, and corrected quickly while little is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from audio.envelope import STEP_MS, Envelope
from audio.gain import Volume
from audio.levels import speech_level
from bridge.core.desk import Desk

LIMIT_DB = 9.0  # the most a voice is changed, either way
MATCHED_DB = 1.0  # voices nearer than this are left as they are
SURE = 1000 // STEP_MS  # steps of speech after which a voice is known
SPREAD_DB = 2.0  # how far a voice's first second lies from its level: standard deviation, measured on the test voice
TOLD = 10 * SURE  # what other calls heard counts like this many steps
MOST = 30 * SURE  # the past counts like this many
LOOK_MS = 500  # how often the gain of a known voice is looked at
DRIFT_DB_S = 1.5  # how fast it may change
CATCH_UP_DB_S = 20.0  # ... while the voice is not known


@dataclass(slots=True)
class Voice:
    """`level`: active speech, dB above 1 LSB rms, over `steps` of 20 ms."""

    level: float = 0.0
    steps: int = 0

    def with_(self, level: float, steps: int) -> Voice:
        """This and more of it."""
        total = self.steps + steps
        return Voice((self.level * self.steps + level * steps) / total, min(total, MOST)) if steps else self

    @property
    def doubt(self) -> float:
        """Standard deviation of the level, dB."""
        return SPREAD_DB * math.sqrt(SURE / self.steps)


class Loudness:
    """Told what begins to sound; gives each stretch of it the gain due. Voices go by the name of their provider, local
    phrases by their own."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._on = desk.spec.agent.line.match_loudness
        self._volume = Volume(desk.spec.leg)
        self._voices: dict[str, Voice] = {}
        self._phrases: dict[int, tuple[str, Envelope]] = {}
        self._usual: Voice | None = None
        self._reference = ""
        self._voice = ""
        self._outline: Envelope | None = None
        self._seen = 0  # samples of the outline that the gain due was made from
        self._due = 0.0
        self._known = False
        self._look = 0  # samples until the gain is looked at again

    def told(self, provider: str, level: float | None) -> None:
        """What other calls heard of the voice a provider has here."""
        if level is not None and provider not in self._voices:
            self._voices[provider] = Voice(level, TOLD)
            self._usual = self._usual or self._voices[provider]

    def phrase(self, key: int, name: str, data: bytes) -> None:
        """A local phrase will sound as `key`."""
        if self._on:
            outline = Envelope(self._desk.spec.leg)
            outline.push(data)
            self._phrases[key] = (f"phrase {name}", outline)

    def began(self, key: int) -> None:
        """What is played from here on is `key`: an ask, or a phrase."""
        if not self._on:
            return
        self._settle()
        before = self._voice
        found = self._desk.conversation.replies.get(key)
        if found is not None:
            self._voice, self._outline = found[1].provider, found[1].transcript.audio
            self._reference = self._reference or self._voice
        elif key in self._phrases:
            self._voice, self._outline = self._phrases.pop(key)
        self._look = 0
        if self._voice == self._reference:
            self._volume.set(0.0)
        elif self._voice != before:
            self._due = 0.0
            self._judge()
            self._volume.set(self._due)

    def apply(self, data: bytes) -> bytes:
        """The next stretch (wire bytes of the leg) at the level due; the very bytes where nothing is to be done."""
        if self._voice != self._reference:
            size = len(data) // self._desk.spec.leg.width
            self._look -= size
            if self._look <= 0:
                self._follow(size)
        return self._volume.apply(data)

    def _follow(self, samples: int) -> None:
        """Move the gain towards what is due."""
        rate, now = self._desk.spec.leg.rate, self._volume.db
        if self._outline is not None and self._outline.samples != self._seen:
            self._judge()
        if self._known:
            self._look = rate * LOOK_MS // 1000
            most = DRIFT_DB_S * LOOK_MS / 1000
        else:
            most = CATCH_UP_DB_S * samples / rate
        self._volume.turn(max(now - most, min(now + most, self._due)))

    def _judge(self) -> None:
        """Find the gain that brings the present voice to the level of the first. What may only seem so is not begun
        with: the first words of an unknown voice say little. What was begun with wants half the proof to go on."""
        mine, first = self._heard(), self._voices.get(self._reference) or self._usual
        self._known = mine.steps >= SURE
        self._seen = self._outline.samples if self._outline is not None else 0
        if not mine.steps or first is None or not first.steps:
            return
        gain = first.level - mine.level
        doubt = math.hypot(mine.doubt, first.doubt) / (2 if self._due else 1)
        self._due = max(-LIMIT_DB, min(LIMIT_DB, gain)) if abs(gain) >= MATCHED_DB + doubt else 0.0

    def _heard(self) -> Voice:
        """The present voice, what is here of its present reply included."""
        voice = self._voices.get(self._voice) or Voice()
        return voice.with_(*speech_level(self._outline.levels)) if self._outline is not None else voice

    def _settle(self) -> None:
        """What sounded before is over."""
        if self._outline is not None:
            self._voices[self._voice] = self._heard()
            self._outline = None


def measured(outline: Envelope) -> float | None:
    """The level of a voice as one reply has it, where there is enough of it to go by."""
    level, steps = speech_level(outline.levels)
    return round(level, 1) if steps >= SURE else None
