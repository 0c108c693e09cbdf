"""Work that many calls have at one moment, some of it in each turn of the loop: what is due meanwhile is on time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter

BUDGET = 0.005
"""Seconds of work in one turn of the loop; what has begun is finished."""


class Slices:
    """First come, first served; the first in the next turn of the loop."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._going = False

    def do(self, work: Callable[[], None]) -> None:
        self._waiting.append(work)
        if not self._going:
            self._go_on()

    def _go_on(self) -> None:
        self._going = bool(self._waiting)
        if self._going:
            asyncio.get_running_loop().call_soon(self._some)

    def _some(self) -> None:
        end = perf_counter() + BUDGET
        try:
            while self._waiting:
                self._waiting.popleft()()
                if perf_counter() >= end:
                    break
        finally:
            self._go_on()
