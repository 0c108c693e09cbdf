"""One 20 ms block of a caller's line at 8 kHz: is it speech, after everything that only sounds like it is taken away?

A voice activity detector AND a level above the line's own noise AND more than the agent's echo AND not a tone.
"""

from __future__ import annotations

from math import log10
from typing import Literal

import numpy as np

from audio.dtmf import STEADY_DB, Keypad
from audio.echo import EchoGate
from audio.frame import Pcm
from audio.levels import FULL_SCALE, SILENT, SMALLEST, Background, low_power, to_db
from audio.vad import Vad, make_vad
from audio.voicing import BLOCK, pitch_strength, tone_share

QUIETEST_DB = -52.0  # nothing below this is speech
GATE_DB = 9.0  # speech is this far above the floor
ECHO_DB = 8.0  # speech is this far above the echo to expect
ECHO_HOLD_DB = 6.0  # ... once a turn is open: echo must not let a backchannel grow
ECHO_LIKELY_DB = 4.0  # what is this far above it may have been the caller, and goes with the turn that follows
ECHO_QUIET_DB = 6.0  # an echo less than this above the floor does not disturb the ceiling
VOICE_PITCH = 0.85  # as loud as the turn and as clear as this it is a voice, though webrtcvad may not say so
TONE_SHARE = 0.985
TONE_BLOCKS = 3
TONE_EVERY = 10  # blocks: how often an open turn is checked for tones
TONE_CHANGE_DB = 3.0  # a tone's level moves less than this from block to block
HOLD_BLOCKS = 250  # digital silence for this long was a hold: what the VAD learned before it is stale
_PER_SAMPLE = 1.0 / (BLOCK * FULL_SCALE)
_NOTHING = SMALLEST / _PER_SAMPLE


class Hearing:
    """Takes one block after the other; `level` and `background` describe the line after the last one."""

    __slots__ = (
        "_before",
        "_checked",
        "_detector",
        "_misses",
        "_mute",
        "_restive",
        "_tones",
        "_vad",
        "_wave",
        "background",
        "echo",
        "gated",
        "keypad",
        "level",
    )

    def __init__(self, detector: Literal["webrtc", "silero"]) -> None:
        self._detector: Literal["webrtc", "silero"] = detector
        self._misses = detector == "webrtc"  # a vowel now and then, of quiet callers more often
        self._vad: Vad = make_vad(detector)
        self._wave = np.zeros(BLOCK, np.float32)
        self._before = np.zeros(BLOCK, np.float32)
        self._tones = 0
        self._checked = 0
        self._mute = 0
        self._restive = False  # a quiet block has something to settle
        self.background = Background()
        self.echo = EchoGate()
        self.keypad = Keypad()
        self.level = SILENT
        self.gated = False  # outside a turn: what may be more than echo was held back; whoever reads it clears it

    def restart(self) -> None:
        """After a hold the line may be another one: the VAD starts afresh, and so does what is known of the noise."""
        self._vad = make_vad(self._detector)
        self.background = Background()
        self._mute = 0

    def hear(self, pcm: Pcm, turn: bool) -> bool:
        """Whether `pcm` (160 samples) is speech; `turn`: a turn is open."""
        wave = self._before
        self._before = self._wave
        self._wave = wave
        wave[:] = pcm
        power = float(wave.dot(wave))
        change = self.level
        self.level = level = 10.0 * log10(power * _PER_SAMPLE) if power > _NOTHING else SILENT
        change -= level
        voiced = self._vad.speech(pcm.tobytes())
        background, echo = self.background, self.echo
        live = echo.live
        if live and echo.push():
            echo.learn(self._upper(power))
        if level > background.highest and (not live or self._echo_is_quiet()):
            background.highest = level
        background.push(level, turn)
        if level < QUIETEST_DB or level < background.floor + GATE_DB:
            return self._quiet(level) if self._restive or level <= SILENT else False
        self._restive = True
        if -STEADY_DB < change < STEADY_DB and self.keypad.push(wave, power, self._before):
            return False
        if not voiced and not (turn and level > background.reach and self._misses and self.pitch() > VOICE_PITCH):
            return False
        if live:
            above = self._upper(power) - echo.expected()
            if above < (ECHO_HOLD_DB if turn else ECHO_DB):
                self.gated = not turn and (above >= ECHO_LIKELY_DB or not echo.learnt)
                return False
        return not (turn and self._tone(change))

    def _upper(self, power: float) -> float:
        """The level of what of this block an echo can be compared with."""
        return to_db(power - low_power(self._wave), BLOCK)

    def pitch(self) -> float:
        """How clear a pitch the last two blocks have (0 to 1)."""
        return pitch_strength(self._before, self._wave)

    def _echo_is_quiet(self) -> bool:
        return self.echo.expected() <= self.background.floor + ECHO_QUIET_DB

    def _quiet(self, level: float) -> bool:
        """A quiet block after a loud one, or digital silence."""
        self._tones = 0
        if self.keypad.held:
            self.keypad.idle()
        if level > SILENT:
            self._mute = 0
            self._restive = bool(self.keypad.held)
        else:
            self._restive = True
            self._mute += 1
            if self._mute == HOLD_BLOCKS:
                self.restart()
        return False

    def tone(self) -> bool:
        """Whether the last two blocks hold nothing but a tone or two."""
        return tone_share(self._wave) > TONE_SHARE and tone_share(self._before) > TONE_SHARE

    def _tone(self, change: float) -> bool:
        """Whether an open turn is held by a row of tones; `change`: of the level since the block before. Looks closely
        only now and then, where a tone could be: this is the dearest of the gates."""
        if not self._tones:
            if not -TONE_CHANGE_DB < change < TONE_CHANGE_DB:
                return False
            self._checked += 1
            if self._checked % TONE_EVERY:
                return False
        self._tones = self._tones + 1 if tone_share(self._wave) > TONE_SHARE else 0
        return self._tones >= TONE_BLOCKS
