"""Voice activity detectors behind one method: is this 20 ms block speech?"""

from __future__ import annotations

from typing import Protocol

import webrtcvad

NATIVE_RATES = (8000, 16000, 32000, 48000)


class Vad(Protocol):
    def speech(self, pcm: bytes) -> bool:
        """`pcm`: 20 ms of int16 little-endian mono at the rate the detector was made for."""
        ...


class WebrtcVad:
    """webrtcvad in mode 3, one object per direction of one call (it adapts to the noise it hears).

    Raises ValueError for a rate it does not know (only 8, 16, 32 and 48 kHz are).
    """

    __slots__ = ("_rate", "_vad")

    def __init__(self, rate: int) -> None:
        if rate not in NATIVE_RATES:
            raise ValueError(f"webrtcvad cannot hear {rate} Hz, only {NATIVE_RATES}")
        self._vad = webrtcvad.Vad(3)
        self._rate = rate

    def speech(self, pcm: bytes) -> bool:
        return bool(self._vad.is_speech(pcm, self._rate))
