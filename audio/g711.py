"""ITU-T G.711 u-law and A-law, table driven.

Decoding follows the value tables of G.711 scaled to 16 bits; encoding follows the ITU-T software tools (G.191), where
the magnitude of a negative sample is its one's complement, so that the two signs are mirror images around -0.5.
u-law has two zeros (0xff and 0x7f): a sample of 0 is always written as 0xff.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]
Law = Literal["pcmu", "pcma"]

_ULAW_BIAS = 132  # 33 in the 14-bit scale of G.711: makes every segment start at a power of two
_ULAW_CLIP = 32635  # the largest magnitude that still fits in the last segment


def _ulaw_values() -> Pcm:
    code = ~np.arange(256) & 0xFF  # u-law is sent inverted
    segment, step = (code >> 4) & 7, code & 15
    magnitude = (((step << 3) + _ULAW_BIAS) << segment) - _ULAW_BIAS
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _alaw_values() -> Pcm:
    code = np.arange(256) ^ 0x55  # A-law is sent with its even bits inverted
    segment, step = (code >> 4) & 7, code & 15
    magnitude = np.where(segment == 0, (step << 4) + 8, ((step << 4) + 264) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def _codes(positive: Sequence[int], first: Sequence[int]) -> NDArray[np.uint8]:
    """The code of every sample in the order of its unsigned reading (0..32767, -32768..-1). `positive`: the codes of
    rising magnitude, each of which begins at its `first`; a negative one differs in its highest bit."""
    up = b"".join(
        bytes((code,)) * (last - begin) for code, begin, last in zip(positive, first, (*first[1:], 32768), strict=True)
    )
    return np.frombuffer(up + up[::-1].translate(bytes(code ^ 0x80 for code in range(256))), dtype=np.uint8)


def _ulaw_codes() -> NDArray[np.uint8]:
    first = [max(0, ((16 | step) << segment + 3) - _ULAW_BIAS) for segment in range(8) for step in range(16)]
    return _codes(range(0xFF, 0x7F, -1), first)


def _alaw_codes() -> NDArray[np.uint8]:
    first = [(step if segment == 0 else (16 | step) << segment - 1) << 4 for segment in range(8) for step in range(16)]
    return _codes([code ^ 0x55 for code in range(0x80, 0x100)], first)


_ULAW_DECODE = _ulaw_values()
_ALAW_DECODE = _alaw_values()
# Indexed by the sample itself: a negative index counts from the end of the table, which is where its code lies.
_ULAW_ENCODE = _ulaw_codes()
_ALAW_ENCODE = _alaw_codes()

# Every caller frame is decoded: names are looked up once, and positional arguments are parsed in half the time.
_from_ulaw, _from_alaw, _codes_of, _BYTE = _ULAW_DECODE.take, _ALAW_DECODE.take, np.frombuffer, np.dtype(np.uint8)


def ulaw_decode(data: bytes) -> Pcm:
    """u-law bytes to int16 samples, one for one."""
    return _from_ulaw(_codes_of(data, _BYTE))


def alaw_decode(data: bytes) -> Pcm:
    """A-law bytes to int16 samples, one for one."""
    return _from_alaw(_codes_of(data, _BYTE))


def ulaw_encode(pcm: Pcm) -> bytes:
    """int16 samples to u-law bytes, one for one."""
    return _ULAW_ENCODE[pcm].tobytes()


def alaw_encode(pcm: Pcm) -> bytes:
    """int16 samples to A-law bytes, one for one."""
    return _ALAW_ENCODE[pcm].tobytes()


_ULAW_TO_ALAW = alaw_encode(_ULAW_DECODE)
_ALAW_TO_ULAW = ulaw_encode(_ALAW_DECODE)


def ulaw_to_alaw(data: bytes) -> bytes:
    """u-law bytes to A-law bytes: each code becomes the code of its decoded value."""
    return data.translate(_ULAW_TO_ALAW)


def alaw_to_ulaw(data: bytes) -> bytes:
    """A-law bytes to u-law bytes: each code becomes the code of its decoded value."""
    return data.translate(_ALAW_TO_ULAW)


@lru_cache(maxsize=256)
def gain_table(encoding: Law, db: float) -> bytes:
    """A 256-byte table for `bytes.translate` that changes the level of G.711 bytes by `db` decibels.

    Levels that would exceed 16 bits saturate. Raises ValueError for an encoding that is not G.711.
    """
    if encoding not in ("pcmu", "pcma"):
        raise ValueError(f"gain tables exist for pcmu and pcma only, not for {encoding}")
    values = _ULAW_DECODE if encoding == "pcmu" else _ALAW_DECODE
    scaled = np.clip(np.rint(values * 10.0 ** (db / 20.0)), -32768, 32767).astype(np.int16)
    return ulaw_encode(scaled) if encoding == "pcmu" else alaw_encode(scaled)
