"""A loudness outline of audio that is not kept: one byte per 20 ms, enough to tell speech from pause."""

from __future__ import annotations

import numpy as np

from audio.frame import Format, decode

STEP_MS = 20
PAUSE_DB = 25  # this far below the loud parts is a pause


class Envelope:
    """Levels of a growing stretch of audio in dB above 1 LSB rms (0 to 90), one per 20 ms."""

    __slots__ = ("_format", "_levels", "_rest", "_step", "samples")

    def __init__(self, format: Format) -> None:
        self._format = format
        self._step = format.rate * STEP_MS // 1000
        self._levels = bytearray()
        self._rest = b""
        self.samples = 0

    def push(self, data: bytes) -> None:
        self.samples += len(data) // self._format.width
        data = self._rest + data
        size = self._step * self._format.width
        whole = len(data) - len(data) % size
        self._rest = data[whole:]
        if whole:
            pcm = decode(data[:whole], self._format.encoding).reshape(-1, self._step).astype(np.float32)
            power = np.einsum("ij,ij->i", pcm, pcm) / self._step
            self._levels += (10 * np.log10(power + 1)).astype(np.uint8).tobytes()

    def voiced(self, upto: int | None = None) -> int:
        """Milliseconds of speech (not pause) in the first `upto` samples (default: all)."""
        levels = np.frombuffer(self._levels, dtype=np.uint8)
        if not levels.size:
            return 0
        floor = float(np.percentile(levels, 90)) - PAUSE_DB
        if upto is not None:
            levels = levels[: round(upto / self._step)]
        return int(np.count_nonzero(levels > floor)) * STEP_MS

    def pause_before(self, samples: int, back_ms: int, least_ms: int = 60) -> int | None:
        """Where the last pause of at least `least_ms` begins within `back_ms` before `samples`; None without one."""
        levels = np.frombuffer(self._levels, dtype=np.uint8)
        if not levels.size:
            return None
        quiet = levels <= float(np.percentile(levels, 90)) - PAUSE_DB
        need = max(1, least_ms // STEP_MS)
        last = min(len(quiet), samples // self._step)
        first = max(0, last - back_ms // STEP_MS)
        run = 0
        for index in range(last - 1, first - 1, -1):
            run = run + 1 if quiet[index] else 0
            if run >= need and (index == 0 or not quiet[index - 1]):
                return index * self._step
        return None
