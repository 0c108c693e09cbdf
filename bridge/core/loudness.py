"""How loud the agent's voices are, so that the caller does not reach for the volume when the provider changes.

The first provider's voice of a call sets the level and passes untouched; every other one is brought to it. (A fixed
target would have to change that one as well: every call would pay for what only a switch needs.) Local phrases are
brought to it too; one that comes before any voice to the level the first choice is known to have. A voice's level is
that of its active speech, from the outlines of its replies; what other calls heard of it comes with `Chosen`.

A voice nobody has heard is judged by what is here of it before its first frame is sent. Some of a few words' level is
the words'. So the difference is believed in the measure of what is known (the mean of what it may be, given what was
measured and how far voices lie apart), and the gain moves the faster the less is known: within the first syllables it
is where it stays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from audio.envelope import STEP_MS, Envelope
from audio.gain import Volume
from audio.levels import speech_level
from bridge.core.desk import Desk

LIMIT_DB = 9.0  # the most a voice is changed, either way
MATCHED_DB, SEEMS_DB = 1.0, 2.0  # voices nearer than this are left as they are: known ones, and where it only seems so
SECOND = 1000 // STEP_MS  # steps
VARIETY_DB = 10.0  # how far voices lie apart, rather too wide: standard deviation
# How far the level of a stretch lies from its voice's: root mean square after a second of active speech, falling with
# this power of the time. Measured on the emulators' voice and the agents of 16 recorded calls: 9.9 dB after 0.1 s, 3.4
# after 0.2 s, 2.0 after 0.4 s, 1.5 after 0.8 s; no better with another weighting, or with a percentile of the levels.
SPREAD_DB, SPREAD_FALLS = 1.2, 0.75
TOLD = 10 * SECOND  # what other calls heard counts like this many steps
MOST = 30 * SECOND  # the past counts like this many
DRIFT_DB_S = 1.5  # how fast the gain of a known voice may change
HASTE, HASTE_DB_S = 6.0, 100.0  # that of others: so many dB a second per dB of doubt squared; at most so fast
MOVE_DB = 0.75  # the gain is looked at when it may have changed by this


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
        return SPREAD_DB * math.pow(SECOND / self.steps, SPREAD_FALLS)


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
        self._pace = HASTE_DB_S  # dB a second
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
        most = max(MOVE_DB, self._pace * samples / rate)
        self._volume.turn(max(now - most, min(now + most, self._due)))
        self._look = int(rate * MOVE_DB / self._pace)

    def _judge(self) -> None:
        """Find the gain that brings the present voice to the level of the first."""
        mine, first = self._heard(), self._voices.get(self._reference) or self._usual
        self._seen = self._outline.samples if self._outline is not None else 0
        if not mine.steps or first is None or not first.steps:
            self._pace = HASTE_DB_S
            return
        self._pace = max(DRIFT_DB_S, min(HASTE_DB_S, HASTE * mine.doubt**2))
        doubt = math.hypot(mine.doubt, first.doubt)
        gain = (first.level - mine.level) * VARIETY_DB**2 / (VARIETY_DB**2 + doubt**2)
        if self._due or abs(gain) >= min(SEEMS_DB, MATCHED_DB + doubt):  # what was begun is kept true
            self._due = max(-LIMIT_DB, min(LIMIT_DB, gain))

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
    return round(level, 1) if steps >= SECOND else None
