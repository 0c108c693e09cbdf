"""Putting numbered chunks of caller audio in order without delaying those that are."""

from __future__ import annotations

from typing import Final

HOLD: Final = 3
"""Chunks held back while an earlier one is missing: 60 ms of telephony."""

_RESTART: Final = 50  # numbers further back than this are a new count, not old audio
_PATIENCE: Final = 5  # repeats of a number before the numbers are no longer believed


class ChunkOrder:
    """Audio comes out in the order of its numbers. A chunk in order passes at once; behind a missing one at most `HOLD`
    are held, then the missing one is given up. Counts what went wrong in `late`, `lost` and `repeated`."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._written = ""  # the next number as it stands on the wire
        self._held: dict[int, bytes] = {}
        self._last = b""
        self._trusted = True
        self.late = 0
        self.lost = 0
        self.repeated = 0

    def follows(self, written: object, audio: bytes) -> bool:
        """Whether a chunk whose number is `written` like this is simply the next one, as nearly all are; then it counts
        as passed on. False says nothing: ask `add`."""
        if written != self._written or self._held or self._next is None:
            return False
        self._next += 1
        self._written = str(self._next)
        self._last = audio
        return True

    def add(self, number: int, audio: bytes) -> list[bytes]:
        """What may be passed on now."""
        pieces = self._add(number, audio)
        self._written = str(self._next)
        return pieces

    def _add(self, number: int, audio: bytes) -> list[bytes]:
        expected = self._next
        if (expected is None or number == expected) and not self._held:
            self._next, self._last = number + 1, audio
            return [audio]
        if not self._trusted or expected is None:
            return [audio]
        if number < expected:
            return self._behind(number, expected, audio)
        if number in self._held:
            self.repeated += 1
            return []
        self._held[number] = audio
        if number > expected + _RESTART:
            return self.flush()  # a jump, not a gap that could still be filled
        return self._release() if len(self._held) <= HOLD else self.flush()

    def flush(self) -> list[bytes]:
        """Give up what is missing: everything held, in order."""
        if not self._held:
            return []
        assert self._next is not None
        numbers = sorted(self._held)
        self.lost += min(numbers[-1] + 1 - self._next - len(numbers), _RESTART)
        audio = [self._held[number] for number in numbers]
        self._held.clear()
        self._next, self._last = numbers[-1] + 1, audio[-1]
        return audio

    def _release(self) -> list[bytes]:
        audio: list[bytes] = []
        assert self._next is not None
        while (data := self._held.pop(self._next, None)) is not None:
            audio.append(data)
            self._next += 1
            self._last = data
        return audio

    def _behind(self, number: int, expected: int, audio: bytes) -> list[bytes]:
        if expected - number > _RESTART:
            out = [*self.flush(), audio]
            self._next, self._last = number + 1, audio
            return out
        if number < expected - 1:
            self.late += 1
            return []
        self.repeated += 1
        if self.repeated >= _PATIENCE:
            self._trusted = False
            return [*self.flush(), audio]
        # One number for different audio: somebody who does not count. Their audio is worth more than their numbers.
        new = audio != self._last
        self._last = audio
        return [audio] if new else []


class Reframer:
    """Cuts byte strings of any length into frames of `size` bytes; a frame that is complete is never held back."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._rest = b""

    def add(self, data: bytes) -> list[bytes]:
        """The frames that are complete now."""
        size = self._size
        if not self._rest and len(data) == size:
            return [data]
        data = self._rest + data
        whole = len(data) // size * size
        self._rest = data[whole:]
        return [data[at : at + size] for at in range(0, whole, size)]

    def flush(self) -> list[bytes]:
        """What is left, shorter than a frame."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []
