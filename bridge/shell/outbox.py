"""How long what was written to a socket has been waiting for the other side."""

from __future__ import annotations

import sys
from asyncio import Transport
from collections.abc import Callable

if sys.platform.startswith("linux"):
    import fcntl
    import termios

LATE = 500_000_000
"""ns: data waiting longer than this makes a link suspect."""

_SLOWEST = 256 * 1024
"""Bytes per second. A replayed turn is written in one burst of up to megabytes; while it drains at least this fast the
link is not late."""


class Outbox:
    """Told what is written and, now and then, how much of it is outstanding. Times are ns, sizes bytes."""

    __slots__ = ("_acknowledged", "_marks", "_moved", "written")

    def __init__(self) -> None:
        self.written = 0
        self._acknowledged = 0
        self._moved = 0
        self._marks: list[tuple[int, int]] = []  # (when, how much had been written by then); few

    def mark(self, now: int) -> None:
        """Remember how much has been written by now. The precision of `age` is the time between marks."""
        if not self._marks:
            self._moved = now
        if not self._marks or self._marks[-1][1] < self.written:
            self._marks.append((now, self.written))

    def look(self, outstanding: int, now: int) -> int:
        """Take note that `outstanding` bytes are unsent or unacknowledged; the age of the oldest of them, 0 if none."""
        acknowledged = self.written - outstanding
        if acknowledged > self._acknowledged:
            self._acknowledged = acknowledged
            self._moved = now
        while self._marks and self._marks[0][1] <= acknowledged:
            del self._marks[0]
        return now - self._marks[0][0] if self._marks else 0

    def late(self, outstanding: int, now: int) -> bool:
        """Is it stuck (nothing moved for 500 ms) or slower than any working link?"""
        age = self.look(outstanding, now)
        if outstanding <= 0 or not self._marks:
            return False
        stuck = now - self._moved
        return stuck >= LATE or age >= LATE + outstanding * 1_000_000_000 // _SLOWEST


def outstanding_counter(transport: Transport) -> Callable[[], int]:
    """A function that counts the bytes written to `transport` that the other side's kernel has not acknowledged.

    Below the transport's own buffer only Linux tells (TIOCOUTQ, tcp(7)); a socket swallows megabytes before the
    transport's buffer grows at all.
    """
    socket = transport.get_extra_info("socket")
    if socket is None or not sys.platform.startswith("linux"):
        return transport.get_write_buffer_size
    descriptor = socket.fileno()

    def count() -> int:
        if transport.is_closing():
            return 0
        answer = fcntl.ioctl(descriptor, termios.TIOCOUTQ, b"\0\0\0\0")
        return transport.get_write_buffer_size() + int.from_bytes(answer, sys.byteorder)

    return count
