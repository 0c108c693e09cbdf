"""WebSocket frames as they are on almost every message: one whole, unfragmented text or binary frame (RFC 6455, 5.2).

Everything rarer (control frames, fragments, errors) is left to `websockets`' own protocol; see `bridge.shell.socket`.
"""

from __future__ import annotations

import os
from struct import Struct

try:
    from websockets.speedups import apply_mask
except ImportError:  # no compiled extension on this platform
    from websockets.utils import apply_mask

MAX_MESSAGE = 16 * 1024 * 1024

_SHORT = Struct("!BB4s")
_MEDIUM = Struct("!BBH4s")
_LONG = Struct("!BBQ4s")

NEEDS_MORE = 0
"""Answer of `measure`: the header itself is not complete yet."""


_masks: list[bytes] = []


def _draw_masks() -> list[bytes]:
    """Masks must be unpredictable, each frame its own (RFC 6455, 5.3): drawn from the system, many in one call."""
    pool = os.urandom(8192)
    _masks.extend(pool[at : at + 4] for at in range(0, len(pool), 4))
    return _masks


def client_frame(message: str | bytes) -> bytes:
    """One whole masked frame; str becomes a text frame, bytes a binary frame."""
    if type(message) is str:
        data, opcode = message.encode(), 0x81
    else:
        data, opcode = message, 0x82  # type: ignore[assignment]
    mask = (_masks or _draw_masks()).pop()
    size = len(data)
    if size < 126:
        head = _SHORT.pack(opcode, 0x80 | size, mask)
    elif size < 65536:
        head = _MEDIUM.pack(opcode, 0xFE, size, mask)
    else:
        head = _LONG.pack(opcode, 0xFF, size, mask)
    return head + apply_mask(data, mask)


def measure(data: bytes, at: int) -> tuple[int, int]:
    """Where the payload of the server's frame at `at` begins, and where the frame ends.

    The end may lie beyond `data`; it is NEEDS_MORE when the header itself is cut off. Whether the frame is valid is
    not judged here.
    """
    have = len(data) - at
    if have < 2:
        return at, NEEDS_MORE
    size = data[at + 1] & 0x7F
    if size < 126:
        start = at + 2
    elif size == 126:
        if have < 4:
            return at, NEEDS_MORE
        start = at + 4
        size = int.from_bytes(data[at + 2 : start], "big")
    else:
        if have < 10:
            return at, NEEDS_MORE
        start = at + 10
        size = int.from_bytes(data[at + 2 : start], "big")
    if data[at + 1] & 0x80:
        start += 4
    return start, start + size
