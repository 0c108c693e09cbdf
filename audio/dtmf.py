"""Keys pressed in band: pairs of tones as ITU-T Q.23 defines them, found in 20 ms blocks at 8 kHz."""

from __future__ import annotations

import numpy as np

from audio.voicing import BLOCK, RATE, Wave

LOW = (697.0, 770.0, 852.0, 941.0)
HIGH = (1209.0, 1336.0, 1477.0, 1633.0)
KEYS = ("123A", "456B", "789C", "*0#D")
STEADY_DB = 0.6  # a key's level moves less than this from block to block
PURITY = 0.8  # share of a block's energy in its two tones
TWIST = 10.0  # power ratio allowed between the two tones (ITU-T Q.24 asks for 4 to 8 dB)
RELEASE = 2  # blocks without the key that end a press


def _rows() -> Wave:
    angle = 2 * np.pi * np.array(LOW + HIGH)[:, None] * np.arange(BLOCK) / RATE
    return np.concatenate([np.cos(angle), np.sin(angle)]).astype(np.float32)


_ROWS = _rows()


def key_in(wave: Wave, power: float) -> str:
    """The key whose tones fill `wave` (160 samples at 8 kHz), "" for none. `power`: the wave's sum of squares."""
    parts = _ROWS.dot(wave)
    parts *= parts
    found = (parts[:8] + parts[8:]).tolist()
    low, high = max(found[:4]), max(found[4:])
    # A tone of amplitude a has power a^2/2 per sample and gives (a n/2)^2 here.
    if (low + high) * 2 / BLOCK < PURITY * power or low > TWIST * high or high > TWIST * low:
        return ""
    return KEYS[found.index(low)][found.index(high, 4) - 4]


class Keypad:
    """Collects presses of 60 ms or more. `push` is called for a block that is as loud as the one before it, `idle` for
    every other one while a key is `held`."""

    __slots__ = ("_absent", "held", "pressed")

    def __init__(self) -> None:
        self.pressed = ""
        self.held = ""
        self._absent = 0

    def push(self, wave: Wave, power: float, before: Wave) -> bool:
        """Whether this block and the one before it hold the same key; a new press is added to `pressed`."""
        key = key_in(wave, power)
        if key and key != self.held and key_in(before, float(before.dot(before))) != key:
            key = ""
        if not key:
            self.idle()
            return False
        if key != self.held:
            self.pressed += key
            self.held = key
        self._absent = 0
        return True

    def idle(self) -> None:
        """A block without a key."""
        self._absent += 1
        if self._absent >= RELEASE:
            self.held = ""

    def take(self) -> str:
        """The keys pressed since the last call."""
        pressed, self.pressed = self.pressed, ""
        return pressed
