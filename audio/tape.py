"""The caller's audio, kept in wire form until the turn it belongs to is settled."""

from __future__ import annotations

from audio.frame import Format


class Tape:
    """A bounded ring over media time. Positions are absolute samples of the caller's stream since its first frame.

    Memory grows with what is kept, not with the bound. `lost` counts samples that fell off the front because the
    bound (`limit_ms`) was reached, as against those given up with `trim`.
    """

    __slots__ = ("_bytes", "_limit", "_width", "format", "lost", "start")

    def __init__(self, format: Format, limit_ms: int = 300_000) -> None:
        self.format = format
        self.start = 0
        self.lost = 0
        self._bytes = bytearray()
        self._width = format.width
        self._limit = format.bytes_for(limit_ms)

    @property
    def end(self) -> int:
        """Position after the last sample."""
        return self.start + len(self._bytes) // self._width

    def append(self, data: bytes) -> None:
        self._bytes += data
        if len(self._bytes) > self._limit:
            over = len(self._bytes) - self._limit
            del self._bytes[:over]
            self.start += over // self._width
            self.lost += over // self._width

    def read(self, begin: int, end: int | None = None) -> bytes:
        """Bytes from `begin` up to `end` (default: all), as far as they are kept."""
        first = max(0, begin - self.start) * self._width
        last = len(self._bytes) if end is None else max(0, end - self.start) * self._width
        return bytes(self._bytes[first:last])

    def trim(self, before: int) -> None:
        """Give up everything before `before`."""
        count = min(before - self.start, len(self._bytes) // self._width)
        if count > 0:
            del self._bytes[: count * self._width]
            self.start += count
