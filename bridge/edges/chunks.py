"""Putting numbered chunks of caller audio in order without delaying those that are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HOLD: Final = 3
"""Chunks held back while an earlier one is missing: 60 ms of telephony."""

PAUSE_MS: Final = 1000
"""Numbers that follow each other, with times of the carrier this far apart: the line was away between them. Less may be
a clock that is not the sound's."""

_RESTART: Final = 50  # numbers further back than this are a new count, not old audio
_PATIENCE: Final = 5  # repeats of a number before the numbers are no longer believed
_LONE: Final = 8  # chunks in a row, each with others missing before it: whoever numbers these does not number chunks


@dataclass(frozen=True, slots=True)
class Missing:
    """Here `size` bytes of audio did not come, and will not be waited for any longer."""

    size: int


class ChunkOrder:
    """Audio comes out in the order of its numbers. A chunk in order passes at once; behind a missing one at most `HOLD`
    are held, then the missing one is given up and `Missing` stands in its place. Counts what went wrong in `late`,
    `lost` and `repeated`.

    How much is missing follows from the numbers. The carrier's times (`stamp`, ms) may say that it was less, or that
    there was a pause; times that stand still say nothing. `rate`: bytes per millisecond.
    """

    def __init__(self, rate: int = 8) -> None:
        self._rate = rate
        self._next: int | None = None
        self._written = ""  # the next number as it stands on the wire; "" where what comes is not simply passed on
        self._held: dict[int, tuple[bytes, object]] = {}
        self._last = b""
        self._stamp: object = None  # of the last chunk passed on
        self._second = ""  # its whole seconds as they stand on the wire
        self._after_gap = -1  # number of the chunk before which something was missing last
        self._lone = 0
        self._trusted = True
        self.late = 0
        self.lost = 0
        self.repeated = 0

    def follows(self, written: object, audio: bytes, stamp: object = None) -> bool:
        """Whether a chunk whose number is `written` like this is simply the next one, as nearly all are; then it counts
        as passed on. False says nothing: ask `add`."""
        if written != self._written or not written:
            return False
        if (type(stamp) is not str or stamp[:-3] != self._second) and self._paused(stamp):
            return False
        self._stamp = stamp
        self._last = audio
        self._next = following = self._next + 1  # type: ignore[operator]  # there is one where it is written
        self._written = str(following)
        return True

    def add(self, number: int, audio: bytes, stamp: object = None) -> list[bytes | Missing]:
        """What may be passed on now."""
        pieces = self._add(number, audio, stamp)
        self._written = "" if self._held else str(self._next)
        return pieces

    def _add(self, number: int, audio: bytes, stamp: object) -> list[bytes | Missing]:
        expected = self._next
        if (expected is None or number == expected) and not self._held:
            return self._pass(number, audio, stamp)
        if not self._trusted or expected is None:
            return [audio]
        if number < expected:
            return self._behind(number, expected, audio, stamp)
        if number in self._held:
            self.repeated += 1
            return []
        self._held[number] = audio, stamp
        if number > expected + _RESTART:
            return self.flush()  # a jump, not a gap that could still be filled
        return self._release() if len(self._held) <= HOLD else self.flush()

    def flush(self) -> list[bytes | Missing]:
        """Give up what is missing: everything held, in order."""
        if not self._held:
            return []
        assert self._next is not None
        numbers = sorted(self._held)
        self.lost += min(numbers[-1] + 1 - self._next - len(numbers), _RESTART)
        pieces: list[bytes | Missing] = []
        for number in numbers:
            pieces += self._pass(number, *self._held.pop(number))
        return pieces

    def _release(self) -> list[bytes | Missing]:
        pieces: list[bytes | Missing] = []
        assert self._next is not None
        while (held := self._held.pop(self._next, None)) is not None:
            pieces += self._pass(self._next, *held)
        return pieces

    def _pass(self, number: int, audio: bytes, stamp: object) -> list[bytes | Missing]:
        """`audio`, after what is missing before it."""
        size = self._missing(number, stamp) if self._next is not None else 0
        self._next, self._last, self._stamp = number + 1, audio, stamp
        return [Missing(size), audio] if size else [audio]

    def _missing(self, number: int, stamp: object) -> int:
        """Bytes that are missing before chunk `number`, the next to be passed on."""
        assert self._next is not None
        length = len(self._last)
        counted = (number - self._next) * length
        elapsed = self._elapsed(stamp)
        if elapsed is not None:
            timed = elapsed * self._rate - length
            if timed > counted + PAUSE_MS * self._rate:
                return timed
            if timed < counted // 2:
                return max(0, timed) // length * length if length else 0
        elif counted:
            self._lone = self._lone + 1 if self._next == self._after_gap + 1 else 0
            self._after_gap = number
            self._trusted = self._trusted and self._lone < _LONE
        return counted

    def _paused(self, stamp: object) -> bool:
        """Whether there is a pause between the last chunk and the next one, which has `stamp`."""
        elapsed = self._elapsed(stamp)
        if elapsed is not None and elapsed > PAUSE_MS:
            return True
        self._second = str(stamp)[:-3]
        return False

    def _elapsed(self, stamp: object) -> int | None:
        """Since the last chunk, by the carrier's times; None when they say nothing."""
        now, before = _milliseconds(stamp), _milliseconds(self._stamp)
        return now - before if now is not None and before is not None and 0 <= before < now else None

    def _behind(self, number: int, expected: int, audio: bytes, stamp: object) -> list[bytes | Missing]:
        if expected - number > _RESTART:
            out = [*self.flush(), audio]
            self._next, self._last, self._stamp = number + 1, audio, stamp
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


def _milliseconds(stamp: object) -> int | None:
    try:
        at: int = int(stamp)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        return None
    return at


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
