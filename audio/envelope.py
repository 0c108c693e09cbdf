"""A loudness outline of audio that is not kept: one byte per 20 ms, enough to tell speech from pause."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from audio.frame import Format, decode

STEP_MS = 20
PAUSE_DB = 25  # this far below the loud parts is a pause
MEASURED_MS = 1000  # of sound wait to be measured together: nobody asks while a reply is being received
GAP_MS = 100  # shorter gaps belong to the speech: stops of consonants, breaks between words


class Envelope:
    """Levels of a growing stretch of audio in dB above 1 LSB rms (0 to 90), one per 20 ms."""

    __slots__ = ("_enough", "_format", "_levels", "_rest", "_step", "samples")

    def __init__(self, format: Format) -> None:
        self._format = format
        self._step = format.rate * STEP_MS // 1000
        self._levels = bytearray()
        self._rest = b""
        self._enough = format.bytes_for(MEASURED_MS)
        self.samples = 0

    def push(self, data: bytes) -> None:
        self.samples += len(data) // self._format.width
        self._rest += data
        if len(self._rest) >= self._enough:
            self._measure()

    def _measure(self) -> None:
        data = self._rest
        size = self._step * self._format.width
        whole = len(data) - len(data) % size
        self._rest = data[whole:]
        if whole:
            pcm = decode(data[:whole], self._format.encoding).reshape(-1, self._step).astype(np.float32)
            power = np.einsum("ij,ij->i", pcm, pcm) / self._step
            self._levels += (10 * np.log10(power + 1)).astype(np.uint8).tobytes()

    @property
    def levels(self) -> bytes:
        """One byte per 20 ms, in dB above 1 LSB rms."""
        self._measure()
        return bytes(self._levels)

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

    def voiced(self, upto: int | None = None) -> int:
        """Milliseconds of speech (not pause) in the first `upto` samples (default: all)."""
        quiet = self._quiet()
        if upto is not None:
            quiet = quiet[: round(upto / self._step)]
        return (len(quiet) - int(np.count_nonzero(quiet))) * STEP_MS

    def pauses(self, upto: int, least_ms: int) -> list[int]:
        """Where pauses of at least `least_ms` between speech begin in the first `upto` samples, each as the ms of
        speech before it."""
        quiet = self._quiet()[: round(upto / self._step)]
        out: list[int] = []
        speech = run = 0
        for step in quiet.tolist():
            if step:
                run += 1
                continue
            if speech and run * STEP_MS >= least_ms:
                out.append(speech * STEP_MS)
            speech += 1
            run = 0
        if speech and run * STEP_MS >= least_ms:
            out.append(speech * STEP_MS)
        return out

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


def _percentile_90(levels: NDArray[np.uint8]) -> float:
    """What `np.percentile(levels, 90)` says, in a tenth of its time, and without what that imports when it is first
    called: 100 ms in the middle of some call."""
    at = (len(levels) - 1) * 0.9
    low = int(at)
    ordered = np.sort(levels)
    below, above, share = float(ordered[low]), float(ordered[min(low + 1, len(levels) - 1)]), at - low
    return above - (above - below) * (1 - share) if share >= 0.5 else below + (above - below) * share
