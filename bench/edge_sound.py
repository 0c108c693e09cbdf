"""What callers and the agent say in the bench: real speech, with numbered marks that survive resampling.

A mark replaces the first 16.5 ms of a 20 ms frame: 22 symbols of 6 samples at 8 kHz whose signs are 11 bits of a number
and 11 bits that check it. It is read back from G.711 where it stands, and from audio that went through a resampler at
that filter's delay; so whoever reads it knows which frame arrived, and when it was sent.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from audio.files import read_audio
from audio.frame import Pcm
from audio.g711 import ulaw_encode
from audio.resample import convert

FRAME = 160  # samples of 20 ms at 8 kHz
NUMBERS = 2048
MARK_EVERY = 5  # caller frames
DELAY = 22  # samples at 8 kHz a live resampler lags behind
CYCLE_S = 20 / 3  # one turn and the pause after it
SPEAKING = 0.6
REPLY_S = 1.6
DELTA_MS = 200

_SYMBOL = 6
_BITS = 22
_CALLERS = Path(__file__).resolve().parent.parent / "fixtures" / "callers"
_POSITIVE_ULAW = bytes(49 if code >= 128 else 48 for code in range(256))
_POSITIVE_PCM = bytes(48 if high >= 128 else 49 for high in range(256))


def _check(number: int) -> int:
    return (number * 0x2B5 ^ 0x5A7) % NUMBERS


def mark(number: int, rate: int = 8000, level: int = 1500) -> Pcm:
    """The samples of a mark. `number` is 0 to 2047, `rate` a multiple of 8000 Hz."""
    bits = number << 11 | _check(number)
    signs = [1 if bits >> at & 1 else -1 for at in range(_BITS - 1, -1, -1)]
    return np.repeat(np.array(signs, np.int16) * np.int16(level), _SYMBOL * rate // 8000)


def _checked(signs: bytes) -> int | None:
    if len(signs) != _BITS:
        return None
    bits = int(signs, 2)
    number = bits >> 11
    return number if bits & NUMBERS - 1 == _check(number) else None


def read_ulaw(data: bytes, at: int = 0) -> int | None:
    """The number of the mark that begins at sample `at`; None when there is none."""
    return _checked(data[at + 3 : at + _BITS * _SYMBOL : _SYMBOL].translate(_POSITIVE_ULAW))


def read_pcm(data: bytes, rate: int, at: int = DELAY) -> int | None:
    """Likewise in 16-bit audio at `rate`; `at` counts samples at 8 kHz."""
    scale = rate // 8000
    first = (2 * at + _SYMBOL - 1) * scale // 2
    step = _SYMBOL * scale
    return _checked(data[2 * first + 1 : 2 * (first + step * (_BITS - 1)) + 2 : 2 * step].translate(_POSITIVE_PCM))


def speech() -> Pcm:
    """All recorded callers in a row at 8 kHz, without their pauses: what is quiet for more than 100 ms is cut out."""
    pcm = np.concatenate([read_audio(path, 8000) for path in sorted(_CALLERS.glob("*.flac"))])
    frames = pcm[: len(pcm) // FRAME * FRAME].reshape(-1, FRAME)
    loud = np.sqrt(np.mean(frames.astype(np.float64) ** 2, axis=1)) > 250
    near = loud.copy()
    for shift in (1, 2):  # two frames around speech belong to it
        near[shift:] |= loud[:-shift]
        near[:-shift] |= loud[shift:]
    return np.asarray(frames[near].reshape(-1), np.int16)


def caller(number: int, seconds: float, voice: Pcm) -> list[bytes]:
    """The frames of caller `number`, u-law: speech for 60 % of the time, line noise otherwise; every fifth frame of
    speech is a mark with the frame's own number. Callers are out of step with each other."""
    count = round(seconds * 50)
    cycle = round(seconds / max(1, round(seconds / CYCLE_S)) * 50)
    shift = round(number * 0.618034 % 1 * cycle)
    noise = np.random.default_rng(number).normal(0, 8, count * FRAME).astype(np.int16)
    sound = np.roll(voice, -number * 7919)
    sound = np.resize(sound, count * FRAME)
    frames: list[bytes] = []
    for index in range(count):
        begin = index * FRAME
        speaks = (index + shift) % cycle < SPEAKING * cycle
        pcm = (sound if speaks else noise)[begin : begin + FRAME]
        if speaks and index % MARK_EVERY == 0:
            pcm = pcm.copy()
            pcm[: _BITS * _SYMBOL] = mark(index % NUMBERS)
        frames.append(ulaw_encode(pcm))
    return frames


def is_quiet(data: bytes) -> bool:
    """Whether a u-law frame is line noise (a look at eight samples; speech is now and then quiet for a frame too)."""
    return all(code & 0x7F > 0x5F for code in data[10::20])


def reply(number: int, rate: int, voice: Pcm) -> list[Pcm]:
    """What the agent says: pieces of 200 ms at `rate`, the first beginning with the mark `number`."""
    sound = convert(voice[: round(REPLY_S * 8000)], 8000, rate)
    sound = sound.copy()
    first = mark(number, rate)
    sound[: len(first)] = first
    size = rate * DELTA_MS // 1000
    return [sound[at : at + size] for at in range(0, len(sound), size)]
