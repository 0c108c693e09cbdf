"""Where sound begins or ends in the middle of a word: bent from or to silence, so that the join does not click.

A step of the waveform is heard as a click; what is as small as `STEP` is not, and passes untouched. All functions take
and return wire bytes, of the same length.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from audio.frame import Format, decode, encode

STEP = 256  # of 32768
IN_MS = 5
OUT_MS = 10


def _falling(samples: int) -> NDArray[np.float32]:
    """Half a raised cosine from just below 1 to 0."""
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * np.arange(1, samples + 1) / samples), dtype=np.float32)


def _shaped(data: bytes, format: Format, gains: NDArray[np.float32]) -> bytes:
    return encode(np.rint(decode(data, format.encoding) * gains).astype(np.int16), format.encoding)


def fade_in(data: bytes, format: Format) -> bytes:
    """`data` as heard after silence."""
    if abs(int(decode(data[: format.width], format.encoding)[0])) <= STEP:
        return data
    size = min(len(data), format.bytes_for(IN_MS))
    return _shaped(data[:size], format, _falling(size // format.width)[::-1]) + data[size:]


def fade_out(data: bytes, format: Format) -> bytes:
    """All of `data`, falling to silence."""
    return _shaped(data, format, _falling(len(data) // format.width))


def last_ring(before: bytes, samples: int, format: Format) -> bytes | None:
    """`samples` to send behind `before` when nothing follows: its last sound backwards, which goes on without a step,
    falling to silence. None where it is silent already."""
    silence = format.silence * samples
    rung = ring_out(before[-format.width :] + silence, before[: -format.width], samples, format)
    return None if rung.endswith(silence) else rung[format.width :]


def ring_out(data: bytes, before: bytes, pad: int, format: Format) -> bytes:
    """`data` as heard before silence; its last `pad` samples are silence already. Falls to silence at the end of the
    sound or, where that is shorter than the fall, behind it: there the sound is heard backwards, which goes on without
    a step. `before`: what was sent before `data`.
    """
    end = len(data) - pad * format.width
    if not end or abs(int(decode(data[end - format.width : end], format.encoding)[0])) <= STEP:
        return data
    size = format.bytes_for(OUT_MS)
    if size <= end:
        return data[: end - size] + fade_out(data[end - size : end], format) + data[end:]
    size = min(size, len(data) - end)
    back = decode((before + data[:end])[-size:], format.encoding)[::-1]
    tail = np.zeros(size // format.width, dtype=np.float32)
    tail[: len(back)] = back
    tail *= _falling(len(tail))
    return data[:end] + encode(np.rint(tail).astype(np.int16), format.encoding) + data[end + size :]
