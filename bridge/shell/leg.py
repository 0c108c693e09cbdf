"""What the bridge needs of a caller's connection."""

from __future__ import annotations

from typing import Protocol

from audio.frame import Format


class Leg(Protocol):
    """A caller's connection, seen from the bridge. No method waits; a leg that is gone ignores what it is told and
    the edge reports LegLost or Gone to the runner.

    `marks`: the carrier acknowledges playback positions. `format`: what both directions speak.
    """

    format: Format
    marks: bool

    def send(self, data: bytes) -> None:
        """Send agent audio in `format`, already paced."""
        ...

    def clear(self) -> None:
        """Throw away what the carrier has buffered."""
        ...

    def mark(self, name: str) -> None: ...

    def transfer(self, target: str) -> None:
        """Hand the caller over; the leg ends."""
        ...

    def hang_up(self, reason: str) -> None: ...
