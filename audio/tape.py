"""The caller's audio, kept in wire form until the turn it belongs to is settled."""

from __future__ import annotations

from collections.abc import Iterator

from audio.frame import Format

_FRESH = 16
"""Frames kept as they came. So many in one piece take 320 ms: pieces of one size leave no holes in the memory of a
process that keeps the tapes of many calls, and no room is taken in advance."""


class Tape:
    """A bounded ring over media time. Positions are absolute samples of the caller's stream since its first frame.

    Memory grows with what is kept, not with the bound. `lost` counts samples that fell off the front because the
    bound (`limit_ms`) was reached, which is looked at every 16 frames, as against those given up with `trim`.
    """

    __slots__ = ("_fresh", "_gone", "_limit", "_pieces", "_whole", "_width", "format", "lost", "start")

    def __init__(self, format: Format, limit_ms: int = 300_000) -> None:
        self.format = format
        self.start = 0
        self.lost = 0
        self._pieces: list[bytes] = []
        self._fresh: list[bytes] = []  # what follows the pieces
        self._whole = 0  # bytes of the pieces
        self._gone = 0  # bytes at the very front that were given up
        self._width = format.width
        self._limit = format.bytes_for(limit_ms)

    @property
    def end(self) -> int:
        """Position after the last sample."""
        return self.start + self._size() // self._width

    def append(self, data: bytes) -> None:
        fresh = self._fresh
        fresh.append(data)
        if len(fresh) == _FRESH:
            self._pack()

    def read(self, begin: int, end: int | None = None) -> bytes:
        """Bytes from `begin` up to `end` (default: all), as far as they are kept."""
        first = max(0, begin - self.start) * self._width
        last = self._size() if end is None else max(0, end - self.start) * self._width
        return b"".join(self._between(self._gone + first, self._gone + last))

    def trim(self, before: int) -> None:
        """Give up everything before `before`."""
        count = min(before - self.start, self._size() // self._width)
        if count > 0:
            self._drop(count * self._width)

    def _between(self, first: int, last: int) -> Iterator[bytes]:
        """What lies between two offsets into all the pieces."""
        at = 0
        for pieces in (self._pieces, self._fresh):
            for piece in pieces:
                if at >= last:
                    return
                if at + len(piece) > first:
                    yield piece[max(0, first - at) : last - at]
                at += len(piece)

    def _size(self) -> int:
        """Bytes kept."""
        return self._whole + sum(map(len, self._fresh)) - self._gone

    def _pack(self) -> None:
        piece = b"".join(self._fresh)
        self._fresh.clear()
        self._pieces.append(piece)
        self._whole += len(piece)
        over = self._whole - self._gone - self._limit
        if over > 0:
            self._drop(over)
            self.lost += over // self._width

    def _drop(self, size: int) -> None:
        self.start += size // self._width
        self._gone += size
        while self._pieces and self._gone >= len(self._pieces[0]):
            first = len(self._pieces.pop(0))
            self._gone -= first
            self._whole -= first
