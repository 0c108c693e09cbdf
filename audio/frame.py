"""Audio formats and the frame that carries sound through the bridge.

A frame keeps the bytes it arrived in (its wire form) and decodes to PCM once, on demand: where the caller's leg and the
provider both speak G.711, audio passes through untouched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from audio import g711

Encoding = Literal["pcmu", "pcma", "pcm16"]
Pcm = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Format:
    """How samples lie in bytes: mono; `pcmu`/`pcma` are ITU-T G.711 (1 byte a sample), `pcm16` is signed 16-bit
    little-endian. `rate` is in Hz."""

    encoding: Encoding
    rate: int

    @property
    def width(self) -> int:
        """Bytes per sample."""
        return 2 if self.encoding == "pcm16" else 1

    def samples(self, size: int) -> int:
        """Samples held by `size` bytes."""
        return size // self.width

    def bytes_for(self, ms: float) -> int:
        """Bytes of `ms` milliseconds, a whole number of samples."""
        return int(ms * self.rate / 1000) * self.width

    def ms(self, size: int) -> float:
        """Milliseconds held by `size` bytes."""
        return size * 1000 / (self.width * self.rate)

    @property
    def silence(self) -> bytes:
        """One sample of digital silence."""
        return {"pcmu": b"\xff", "pcma": b"\xd5", "pcm16": b"\x00\x00"}[self.encoding]


PCMU = Format("pcmu", 8000)
PCMA = Format("pcma", 8000)
PCM16_8K = Format("pcm16", 8000)
PCM16_16K = Format("pcm16", 16000)
PCM16_24K = Format("pcm16", 24000)
PCM16_48K = Format("pcm16", 48000)


def _pcm16_decode(data: bytes) -> Pcm:
    return np.frombuffer(data, dtype="<i2")


_DECODE: dict[Encoding, Callable[[bytes], Pcm]] = {
    "pcmu": g711.ulaw_decode,
    "pcma": g711.alaw_decode,
    "pcm16": _pcm16_decode,
}


def decode(data: bytes, encoding: Encoding) -> Pcm:
    """Wire bytes to int16 samples."""
    return _DECODE[encoding](data)


def encode(pcm: Pcm, encoding: Encoding) -> bytes:
    """int16 samples to wire bytes."""
    if encoding == "pcmu":
        return g711.ulaw_encode(pcm)
    if encoding == "pcma":
        return g711.alaw_encode(pcm)
    return pcm.astype("<i2", copy=False).tobytes()


class Frame:
    """A stretch of caller or agent sound, usually 20 ms.

    `data` is the wire form in `format`. `concealed` says the frame was made up to cover a loss: it neither opens nor
    closes a turn.
    """

    __slots__ = ("_pcm", "concealed", "data", "format")

    def __init__(self, data: bytes, format: Format, concealed: bool = False) -> None:
        self.data = data
        self.format = format
        self.concealed = concealed
        self._pcm: Pcm | None = None

    @property
    def samples(self) -> int:
        return len(self.data) // self.format.width

    @property
    def pcm(self) -> Pcm:
        """The samples as int16 at the frame's own rate, decoded once."""
        pcm = self._pcm
        if pcm is None:
            pcm = self._pcm = _DECODE[self.format.encoding](self.data)
        return pcm

    def __repr__(self) -> str:
        return f"Frame({self.samples} samples, {self.format.encoding}@{self.format.rate})"
