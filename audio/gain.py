"""Level work on the line: ducking, limiting, volume, automatic gain, comfort noise, loudness. Levels are in dB, where a
square wave at full scale is 0 (a full-scale sine is -3); a ramp is always shorter than a syllable and longer than a
click."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from audio.frame import Format, Pcm, decode, encode
from audio.g711 import Law, gain_table
from audio.levels import SILENT, level_db

Gains = NDArray[np.float32]

DUCK_DB = -12.0
CEILING_DB, KNEE_DB = -1.0, 6.0
LIMIT_FROM_DB = CEILING_DB - KNEE_DB
NOISE_DB = -62.0  # heard as a line that is there; some 40 dB under speech
NOISE_S = 4
RAMP_MS = 10.0

rms_dbfs = level_db


def match_gain_db(measured: float, target: float, limit: float) -> float:
    """The gain in dB that brings a sound of level `measured` to `target`, at most `limit` either way; 0 for silence."""
    if measured <= SILENT:
        return 0.0
    return max(-limit, min(limit, target - measured))


def _scaled(sound: Pcm | Gains, gain: Gains | np.float32) -> Pcm:
    """`sound` times `gain`, rounded; what overshoots 16 bits saturates."""
    out = np.rint(sound * gain)
    np.minimum(out, 32767.0, out=out)
    np.maximum(out, -32768.0, out=out)
    return np.asarray(out, dtype=np.int16)


def _ratio(db: float) -> float:
    return float(10.0 ** (db / 20.0))


# ----------------------------------------------------------------------------------------------------------- ducking


@lru_cache(maxsize=64)
def _rise(samples: int) -> Gains:
    """Half a raised cosine from just above 0 to 1: its slope begins and ends at 0, so that no edge is heard."""
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.arange(1, samples + 1) / samples), dtype=np.float32)


class Fader:
    """Turns the agent's audio down and up again, on the wire form, frame by frame.

    At full level `apply` returns the very bytes it was given. Turned down, G.711 goes through a table of 256 bytes.
    Between the two the level slides for `ramp_ms`, across frame borders and also when turned round half way.
    """

    __slots__ = ("_at", "_duck_db", "_format", "_from", "_low", "_rise", "_to")

    def __init__(self, format: Format, duck_db: float = DUCK_DB, ramp_ms: float = RAMP_MS) -> None:
        self._format = format
        self._duck_db = duck_db
        self._low = _ratio(duck_db)
        self._rise = _rise(max(1, round(format.rate * ramp_ms / 1000)))
        self._from = self._to = 1.0
        self._at = len(self._rise)  # samples of the slide that are done

    def duck(self) -> None:
        """Turn down from the next frame on."""
        self._slide(self._low)

    def restore(self) -> None:
        """Turn up to full level from the next frame on."""
        self._slide(1.0)

    def _slide(self, level: float) -> None:
        if level == self._to:
            return
        self._from, self._to = self._level, level
        self._at = len(self._rise) if self._from == level else 0

    @property
    def _level(self) -> float:
        """The level the last sample had."""
        done = float(self._rise[self._at - 1]) if self._at else 0.0
        return self._from + (self._to - self._from) * done

    def apply(self, data: bytes) -> bytes:
        """The next stretch of audio (wire bytes of the format, any whole number of samples) at the level due."""
        if self._at >= len(self._rise):
            if self._to == 1.0:
                return data
            if self._format.encoding != "pcm16":
                return data.translate(gain_table(self._format.encoding, self._duck_db))
        pcm = decode(data, self._format.encoding)
        return encode(_scaled(pcm, self._gains(len(pcm))), self._format.encoding)

    def _gains(self, samples: int) -> Gains | np.float32:
        rise = self._rise[self._at : self._at + samples]
        self._at += len(rise)
        if not len(rise):
            return np.float32(self._to)
        gains = np.full(samples, self._to, dtype=np.float32)
        gains[: len(rise)] = self._from + (self._to - self._from) * rise
        return gains


# ---------------------------------------------------------------------------------------------------------- limiting


class Limiter:
    """Keeps peaks under `ceiling_db` (of full scale) by riding the gain; quiet sound comes back untouched.

    Over the last `knee_db` below the ceiling the gain gives way softly. It falls at once, within the 5 ms block that
    needs it, and recovers by `release_db_s`. What still sticks out of the first block is rounded off, never clipped.
    No delay. Samples in, samples out: int16 of `rate`, any length.
    """

    __slots__ = ("_block", "_ceiling", "_gain", "_knee", "_release", "_threshold")

    def __init__(
        self, rate: int, ceiling_db: float = CEILING_DB, knee_db: float = KNEE_DB, release_db_s: float = 40.0
    ) -> None:
        self._block = max(1, rate // 200)
        self._ceiling = 32768.0 * _ratio(ceiling_db)
        self._threshold = 32768.0 * _ratio(ceiling_db - knee_db)
        self._knee = knee_db
        self._release = _ratio(release_db_s * self._block / rate)
        self._gain = 1.0

    @property
    def idle(self) -> bool:
        """The gain is not held down."""
        return self._gain == 1.0

    def process(self, pcm: Pcm | Gains) -> Pcm:
        """Samples of the int16 scale; floats may lie beyond it."""
        if not len(pcm):
            return np.asarray(pcm, dtype=np.int16)
        if self._gain == 1.0 and int(pcm.max()) <= self._threshold and int(pcm.min()) >= -self._threshold:
            return np.asarray(pcm, dtype=np.int16)
        starts = np.arange(0, len(pcm), self._block)
        low = np.minimum.reduceat(pcm, starts).astype(np.float64)
        peaks = np.maximum(np.maximum.reduceat(pcm, starts), -low)
        nodes = [self._gain]
        for due in self._due(peaks).tolist():
            nodes[-1] = min(nodes[-1], due) if len(nodes) > 1 else nodes[-1]
            nodes.append(min(due, nodes[-1] * self._release))
        self._gain = nodes[-1]
        at = np.append(starts, len(pcm))
        gains = np.interp(np.arange(1, len(pcm) + 1), at, nodes)
        return self._rounded_off(pcm * gains)

    def _due(self, peaks: NDArray[np.float64]) -> NDArray[np.float64]:
        """The gain at which a peak lands on the soft curve that bends from the threshold towards the ceiling."""
        over = 20.0 * np.log10(np.maximum(peaks / self._threshold, 1.0))
        landed = self._knee * (1.0 - np.exp(-over / self._knee))
        return np.asarray(10.0 ** ((landed - over) / 20.0))

    def _rounded_off(self, sound: NDArray[np.float64]) -> Pcm:
        size = np.abs(sound)
        if size.max() > self._ceiling:
            bend = 0.8 * self._ceiling
            room = self._ceiling - bend
            bent = bend + room * np.tanh((size - bend) / room)
            sound = np.where(size > bend, np.copysign(bent, sound), sound)
        return np.asarray(np.rint(sound), dtype=np.int16)


# ------------------------------------------------------------------------------------------------------------ volume


@lru_cache(maxsize=256)
def _loud_codes(encoding: Law, db: float) -> bytes:
    """The G.711 codes whose level, raised by `db`, is the limiter's business."""
    values = decode(bytes(range(256)), encoding).astype(np.float64)
    return bytes(np.flatnonzero(np.abs(values) * _ratio(db) > 32768.0 * _ratio(LIMIT_FROM_DB)).astype(np.uint8))


class Volume:
    """A gain on the wire form, turned rarely and never with a step: the level slides within the next stretch.

    At 0 dB `apply` returns the very bytes it was given. Otherwise G.711 goes through a table of 256 bytes, and what a
    gain would drive near full scale through a `Limiter`.
    """

    __slots__ = ("_db", "_format", "_limiter", "_was")

    STEP_DB = 0.25  # fewer tables, and finer than the steps of G.711

    def __init__(self, format: Format) -> None:
        self._format = format
        self._limiter = Limiter(format.rate)
        self._db = self._was = 0.0

    @property
    def db(self) -> float:
        """The gain now, or at the end of the next stretch."""
        return self._db

    def set(self, db: float) -> None:
        """The gain from the next sample on, which comes after silence."""
        self._db = self._was = round(db / self.STEP_DB) * self.STEP_DB

    def turn(self, db: float) -> None:
        """The gain to slide to within the next stretch."""
        self._db = round(db / self.STEP_DB) * self.STEP_DB

    def apply(self, data: bytes) -> bytes:
        """The next stretch of audio, wire bytes of the format, any whole number of samples."""
        db, encoding = self._db, self._format.encoding
        if db == self._was and (db <= 0.0 or self._limiter.idle):
            if not db:
                return data
            if encoding != "pcm16" and (
                db < 0.0 or len(data.translate(None, _loud_codes(encoding, db))) == len(data)
            ):
                return data.translate(gain_table(encoding, db))
        pcm = decode(data, encoding)
        gains: Gains | np.float32 = np.float32(_ratio(db))
        if db != self._was:
            gains = np.linspace(_ratio(self._was), _ratio(db), len(pcm), dtype=np.float32)
            self._was = db
        return encode(self._limiter.process(np.rint(pcm * gains)) if db > 0.0 else _scaled(pcm, gains), encoding)


# ----------------------------------------------------------------------------------------------------- automatic gain


class Agc:
    """Raises a quiet caller's speech slowly towards `target_db`, by at most `max_db`; it never turns anything down.

    The gain is learned while the turn detector says there is speech and is applied only then: without speech it falls
    back to 0 dB within 0.2 s, so that line noise is never raised, and what was learned is back 0.1 s into the next
    words. A peak that would leave full scale takes the gain down at once.
    """

    __slots__ = ("_applied", "_learned", "_level", "_max", "_rate", "_target")

    SETTLE_S = 0.8  # of the level estimate
    PAUSE_DB, PAUSE_SETTLE_S = 15.0, 6.0  # so far below the estimate it is a pause between words: believed slowly
    UP_DB_S, DOWN_DB_S = 6.0, 24.0  # of the learned gain
    ATTACK_DB_S, RELEASE_DB_S = 150.0, 75.0  # of the applied gain when speech begins and ends
    HEADROOM_DB = 1.0
    RAMP_S = 0.005

    def __init__(self, rate: int, target_db: float = -22.0, max_db: float = 15.0) -> None:
        self._rate = rate
        self._target = target_db
        self._max = max_db
        self._level: float | None = None
        self._learned = 0.0
        self._applied = 0.0

    @property
    def gain_db(self) -> float:
        """The gain the last samples got."""
        return self._applied

    def process(self, pcm: Pcm, speech: bool) -> Pcm:
        """The next stretch (int16, usually 20 ms), raised. Without any gain the very array given comes back."""
        if not len(pcm):
            return pcm
        seconds = len(pcm) / self._rate
        if speech:
            self._learn(level_db(pcm), seconds)
        before = self._applied
        due = self._learned if speech else 0.0
        due = max(before - self.RELEASE_DB_S * seconds, min(due, before + self.ATTACK_DB_S * seconds))
        if due > 0.0:
            peak = max(int(pcm.max()), -int(pcm.min()), 1)
            due = max(0.0, min(due, -20.0 * float(np.log10(peak / 32768.0)) - self.HEADROOM_DB))
        self._applied = due
        if before == due == 0.0:
            return pcm
        gains = np.full(len(pcm), _ratio(due), dtype=np.float32)
        if before != due:
            ramp = gains[: max(1, int(self.RAMP_S * self._rate))]
            ramp[:] = np.linspace(_ratio(before), _ratio(due), len(ramp))
        return _scaled(pcm, gains)

    def _learn(self, level: float, seconds: float) -> None:
        if level <= SILENT:
            return
        if self._level is None:
            self._level = level
        settle = self.SETTLE_S if level > self._level - self.PAUSE_DB else self.PAUSE_SETTLE_S
        self._level += (level - self._level) * min(1.0, seconds / settle)
        wanted = max(0.0, min(self._max, self._target - self._level))
        step = max(-self.DOWN_DB_S * seconds, min(self.UP_DB_S * seconds, wanted - self._learned))
        self._learned += step


# ----------------------------------------------------------------------------------------------------- comfort noise

_PERIODS = (8191, 7919)  # primes: two loops of different length repeat together after two hours at 8 kHz


@lru_cache(maxsize=2)
def _noise_loop(samples: int) -> Gains:
    """A seamless loop of noise with an RMS of 1, the same on every machine."""
    # SplitMix64's finisher on a counter, a stretch of it for each loop; the four 16-bit parts of a hash add up to
    # nearly Gaussian noise.
    z = (np.arange(samples, dtype=np.uint64) + np.uint64(samples << 32)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    white = z.view(np.uint16).reshape(-1, 4).sum(axis=1) - 2 * 65535.0
    soft = white + np.roll(white, 1)
    soft -= soft.mean()
    return np.asarray(soft / soft.std(), dtype=np.float32)


def comfort_noise(level: float, samples: int, state: int) -> tuple[Pcm, int]:
    """`samples` of soft hiss (int16) at `level` dB and the state to continue with.

    Deterministic: the same state gives the same noise, and cutting the stream differently changes nothing. Any whole
    number starts a stream; a stream started at n + 100 is the one started at n, 100 samples later. The spectrum falls
    towards half the rate, as the noise of a room does on a telephone.
    """
    at = np.arange(samples)
    one, two = (_noise_loop(period).take(at + state % period, mode="wrap") for period in _PERIODS)
    gain = np.float32(32768.0 * _ratio(level) / np.sqrt(2.0))
    return _scaled(one + two, gain), (state + samples) % (_PERIODS[0] * _PERIODS[1])


@lru_cache(maxsize=4)
def _noise_on_the_wire(format: Format) -> bytes:
    return encode(comfort_noise(NOISE_DB, NOISE_S * format.rate, 0)[0], format.encoding)


class ComfortNoise:
    """Soft hiss in place of digital silence, on the wire form: `NOISE_S` seconds of it, made once a process, go round,
    so that a stretch costs a slice. The same on every run."""

    __slots__ = ("_at", "_format", "_loop", "_silent")

    def __init__(self, format: Format) -> None:
        self._format = format
        self._loop = _noise_on_the_wire(format)
        self._silent = {"pcmu": b"\xff\x7f", "pcma": b"\xd5\x55", "pcm16": b"\x00"}[format.encoding]
        self._at = 0

    def next(self, samples: int) -> bytes:
        """The next stretch of noise, at most `NOISE_S` seconds."""
        size = samples * self._format.width
        begin, self._at = self._at, (self._at + size) % len(self._loop)
        data = self._loop[begin : begin + size]
        return data if len(data) == size else data + self._loop[: self._at]

    def fill(self, data: bytes, pad: int) -> bytes:
        """`data` with noise under its last `pad` samples, or noise alone where all of it is digital silence."""
        if not data.strip(self._silent):
            return self.next(len(data) // self._format.width)
        if not pad:
            return data
        at = len(data) - pad * self._format.width
        encoding = self._format.encoding
        under = decode(data[at:], encoding).astype(np.int32) + decode(self.next(pad), encoding)
        return data[:at] + encode(np.clip(under, -32768, 32767).astype(np.int16), encoding)
