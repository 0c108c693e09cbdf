"""An outline of audio that is not kept: loudness per 20 ms, levels in bands per 10 ms.

Enough to tell speech from pause and one kind of speech sound from another. What was pushed is measured when somebody
asks, or when half a second of it has gathered: in one go, since a call per chunk costs more than the measuring.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from audio.bands import BANDS, HOP, RATE, band_levels
from audio.frame import Format, decode

Floats = NDArray[np.float32]

STEP_MS = 20
GATHER_MS = 500  # measured together; bounds what is held of the sound itself
PAUSE_DB = 25  # this far below the loud parts is a pause
GAP_MS = 100  # shorter gaps belong to the speech: stops of consonants, breaks between words


class Envelope:
    """Levels of a growing stretch of audio in dB above 1 LSB rms (0 to 90), one per 20 ms."""

    __slots__ = ("_bands", "_before", "_format", "_levels", "_most", "_step", "_waiting", "_waits", "samples")

    def __init__(self, format: Format) -> None:
        self._format = format
        self._step = format.rate * STEP_MS // 1000
        self._most = format.bytes_for(GATHER_MS)
        self._waiting: list[bytes] = []
        self._waits = 0  # bytes
        self._levels = bytearray()
        self._bands: list[bytes] = []  # half decibels per band and 10 ms
        self._before = np.zeros(HOP, np.float32)  # the last samples measured
        self.samples = 0

    def push(self, data: bytes) -> None:
        """Wire bytes, a whole number of samples."""
        self.samples += len(data) // self._format.width
        self._waiting.append(data)
        self._waits += len(data)
        if self._waits >= self._most:
            self._measure()

    def _measure(self) -> None:
        """Take in what was pushed, in whole steps."""
        size = self._step * self._format.width
        if self._waits < size:
            return
        data = b"".join(self._waiting)
        whole = len(data) - len(data) % size
        self._waiting = [data[whole:]]
        self._waits = len(data) - whole
        pcm = decode(data[:whole], self._format.encoding).astype(np.float32)
        self._levels += _decibels(pcm.reshape(-1, self._step)).astype(np.uint8).tobytes()
        if self._format.rate != RATE:
            pcm = pcm.reshape(-1, self._format.rate // RATE).mean(axis=1)
        pcm = np.concatenate([self._before, pcm])
        self._before = pcm[-HOP:].copy()  # a view would keep all of it
        self._bands.append(band_levels(pcm).tobytes())

    @property
    def levels(self) -> bytes:
        """One byte per 20 ms, in dB above 1 LSB rms."""
        self._measure()
        return bytes(self._levels)

    def outline(self, first: int = 0) -> Floats:
        """Level of each band in dB per 10 ms, from frame `first` on. Empty once `forget_outline` was called."""
        self._measure()
        bands = np.frombuffer(b"".join(self._bands), np.uint8)[first * BANDS :]
        return bands.reshape(-1, BANDS).astype(np.float32) / np.float32(2)

    def _quiet(self, shortest_ms: int = GAP_MS) -> NDArray[np.bool_]:
        """Which steps are pause; a quiet stretch shorter than `shortest_ms` is part of the speech around it."""
        self._measure()
        levels = np.frombuffer(self._levels, dtype=np.uint8)
        quiet = levels <= (_percentile_90(levels) - PAUSE_DB if levels.size else 0.0)
        edges = np.flatnonzero(np.diff(quiet.astype(np.int8), prepend=0, append=0))
        for begin, end in zip(edges[::2], edges[1::2], strict=True):
            if (end - begin) * STEP_MS < shortest_ms:
                quiet[begin:end] = False
        return quiet

    def voiced(self) -> int:
        """Milliseconds of speech (not pause)."""
        quiet = self._quiet()
        return (len(quiet) - int(np.count_nonzero(quiet))) * STEP_MS

    def forget_outline(self) -> None:
        """No more is pushed, and only `levels` are asked for."""
        self._measure()
        self._waiting.clear()
        self._bands.clear()

    def silence_until(self, samples: int, least_ms: int = 60) -> int | None:
        """Where the pause begins that lasts until `samples`; None where it is shorter than `least_ms`."""
        quiet = self._quiet(least_ms)
        last = first = min(len(quiet), round(samples / self._step))
        while first and quiet[first - 1]:
            first -= 1
        return first * self._step if (last - first) * STEP_MS >= least_ms else None

    def pause_before(self, samples: int, back_ms: int, least_ms: int = 60) -> int | None:
        """Where the last pause of at least `least_ms` begins within `back_ms` before `samples`; None without one."""
        quiet = self._quiet(least_ms)
        need = max(1, least_ms // STEP_MS)
        last = min(len(quiet), samples // self._step)
        first = max(0, last - back_ms // STEP_MS)
        run = 0
        for index in range(last - 1, first - 1, -1):
            run = run + 1 if quiet[index] else 0
            if run >= need and (index == 0 or not quiet[index - 1]):
                return index * self._step
        return None


def _decibels(rows: Floats) -> Floats:
    """Mean power of each row above 1 LSB, 0 to 90 dB."""
    return np.asarray(10 * np.log10(np.einsum("ij,ij->i", rows, rows) / rows.shape[1] + 1), np.float32)


def _percentile_90(levels: NDArray[np.uint8]) -> float:
    """What `np.percentile(levels, 90)` says, in a tenth of its time, and without what that imports when it is first
    called: 100 ms in the middle of some call."""
    at = (len(levels) - 1) * 0.9
    low = int(at)
    ordered = np.sort(levels)
    below, above, share = float(ordered[low]), float(ordered[min(low + 1, len(levels) - 1)]), at - low
    return above - (above - below) * (1 - share) if share >= 0.5 else below + (above - below) * share
