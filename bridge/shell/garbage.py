"""When the garbage collector looks at what: a pass over all objects of a hundred calls takes tens of milliseconds, in
which no call is served, and Python makes one whenever enough calls have begun.

So what is there before calls run is frozen, and only young objects are looked at while they do. An ended call lets go
of its parts itself (`CallRunner`); what circles are left, some 10 KiB of a call, go when nobody is on the line, or
after very many calls.
"""

from __future__ import annotations

import asyncio
import gc
from typing import Final

YOUNG: Final = 1000
"""Objects made, and not freed again, between two looks at the young ones."""
MIDDLE: Final = 5
"""Looks at the young between two at those that outlived one: 5,000 objects, a millisecond."""
NEVER: Final = 1 << 30

MANY: Final = 200
"""Calls ended after which everything is looked at even though others run."""
QUIET_S: Final = 3.0
"""Nobody must have been on the line for so long: sockets take two seconds to close."""


class Garbage:
    """Construct it on the running loop, `begin` once everything is loaded, `ended` with every call."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._usual = gc.get_threshold()
        self._ended = 0  # calls, since everything was looked at
        self._timer: asyncio.Handle | None = None
        self.passes = 0  # over everything, since `begin`

    def begin(self) -> None:
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG, MIDDLE, NEVER)

    def ended(self, running: int) -> None:
        """A call is over; `running` are not."""
        self._ended += 1
        self._cancel()
        if not running:
            self._timer = self._loop.call_later(QUIET_S, self._look)
        elif self._ended >= MANY:
            self._timer = self._loop.call_soon(self._look)

    def started(self) -> None:
        """A call begins: this is no time for it."""
        self._cancel()

    def close(self) -> None:
        """As before `begin`."""
        self._cancel()
        gc.unfreeze()
        gc.set_threshold(*self._usual)

    def _look(self) -> None:
        self._timer, self._ended = None, 0
        self.passes += 1
        gc.collect()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
