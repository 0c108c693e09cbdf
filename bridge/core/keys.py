"""Keys the caller presses: reported by the carrier, heard as tones on the line, or both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from bridge.core.desk import MS, Desk

Source = Literal["carrier", "line"]

PAIR_MS = 2000
"""A carrier's report and the tone of the same press are no further apart than this."""
MOST = 64


class Keys:
    """Collects keys until `#` or a pause, then gives them to `done`.

    Carriers that report keys may leave the tone on the line, for long enough to be heard there too, and nobody says
    which of the two comes first. So the first report of a press counts, and waits for its pair: the next report of that
    key by the other source within `PAIR_MS` is the same press. Two reports by one source are two presses.
    """

    def __init__(self, desk: Desk, done: Callable[[str], None]) -> None:
        self._desk = desk
        self._done = done
        self._digits = ""
        self._single: list[tuple[Source, str, int]] = []  # reports without their pair: by whom, key, when

    @property
    def collecting(self) -> bool:
        return bool(self._digits)

    def reported(self, digit: str) -> None:
        """The carrier says that a key was pressed."""
        if self._first("carrier", digit):
            self._desk.note("dtmf", digit=digit)
            self._press(digit)

    def heard(self, digits: str) -> None:
        """Tones of keys were heard on the line."""
        for digit in digits:
            if self._first("line", digit):
                self._desk.note("dtmf", digit=digit, in_band=True)
                self._press(digit)

    def due(self) -> None:
        """The timer "keys", or the closing #."""
        self._desk.timers.clear("keys")
        digits, self._digits = self._digits, ""
        if digits:
            self._done(digits)

    def _first(self, source: Source, digit: str) -> bool:
        """Whether this is the first that is heard of a press."""
        since = self._desk.now - PAIR_MS * MS
        self._single = [report for report in self._single if report[2] >= since]
        for index, (by, key, _) in enumerate(self._single):
            if by != source and key == digit:
                del self._single[index]
                return False
        self._single.append((source, digit, self._desk.now))
        return True

    def _press(self, digit: str) -> None:
        self._digits += digit
        self._desk.timers.clear("silence")
        if digit == "#" or len(self._digits) >= MOST:
            self.due()
        else:
            self._desk.after("keys", self._desk.deadlines.key_gap)
