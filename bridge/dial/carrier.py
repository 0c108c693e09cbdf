"""How a carrier treats the audio it is given: it buffers, plays at real time, answers marks when their turn comes, and
empties the buffer on `clear`. No I/O; `now` is an argument in integer nanoseconds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

NS = 1_000_000_000


@dataclass(slots=True)
class Stretch:
    """Agent audio that was heard without a break. `at` in samples since the call began."""

    at: int
    data: bytearray

    @property
    def end(self) -> int:
        return self.at + len(self.data)


class Carrier:
    """The line to the caller's ear, one byte a sample (G.711) at `rate`. The call begins at `begin`."""

    def __init__(self, begin: int, rate: int = 8000) -> None:
        self.begin = begin
        self.rate = rate
        self.heard: list[Stretch] = []
        self.cleared = 0  # samples thrown away by `clear`
        self._queue: deque[bytes] = deque()
        self._queued = 0  # samples in the queue
        self._head = 0  # where the queue's first sample is heard
        self._marks: deque[tuple[int, str]] = deque()  # when each is due, and its name

    def position(self, now: int) -> int:
        """Samples since the call began."""
        return (now - self.begin) * self.rate // NS

    def time(self, position: int) -> int:
        """The first moment at which `position` samples have passed."""
        return self.begin - (-position * NS // self.rate)

    @property
    def playing(self) -> bool:
        """There is audio that has not been heard yet, as of the last call."""
        return self._queued > 0

    @property
    def end(self) -> int:
        """Where the audio received so far ends, in samples; the past when the line is quiet."""
        return self._head + self._queued

    @property
    def deadline(self) -> int | None:
        """When `advance` has a mark to give back."""
        return self.time(self._marks[0][0]) if self._marks else None

    def media(self, data: bytes, now: int) -> list[str]:
        """Agent audio arrived. Like the others, returns the marks that were reached meanwhile."""
        reached = self.advance(now)
        if data:
            if not self._queue:
                self._head = max(self._head, self.position(now))
            self._queue.append(data)
            self._queued += len(data)
        return reached

    def mark(self, name: str, now: int) -> list[str]:
        """A mark arrived; it is given back when everything before it was played, at once when nothing is left."""
        reached = self.advance(now)
        if not self._queued:
            return [*reached, name]
        self._marks.append((self.end, name))
        return reached

    def clear(self, now: int) -> list[str]:
        """Empty the buffer: the marks reached so far, then all pending ones at once."""
        reached = self.advance(now)
        reached += [name for _, name in self._marks]
        self._marks.clear()
        self._queue.clear()
        self.cleared += self._queued
        self._queued = 0
        return reached

    def advance(self, now: int) -> list[str]:
        """Play up to `now`; the marks that were reached, in order."""
        position = self.position(now)
        while self._queue and self._head < position:
            data = self._queue.popleft()
            room = position - self._head
            if len(data) > room:
                self._queue.appendleft(data[room:])
                data = data[:room]
            self._play(data)
        reached: list[str] = []
        while self._marks and self._marks[0][0] <= self._head:
            reached.append(self._marks.popleft()[1])
        return reached

    def _play(self, data: bytes) -> None:
        if self.heard and self.heard[-1].end == self._head:
            self.heard[-1].data += data
        else:
            self.heard.append(Stretch(self._head, bytearray(data)))
        self._head += len(data)
        self._queued -= len(data)

    def track(self, length: int, silence: bytes = b"\xff") -> bytes:
        """What the caller heard in the first `length` samples of the call."""
        line = bytearray(silence * length)
        for stretch in self.heard:
            piece = stretch.data[: max(0, length - stretch.at)]
            line[stretch.at : stretch.at + len(piece)] = piece
        return bytes(line)
