"""The far-end gate: is what the caller's line carries more than the agent coming back?

A phone on speaker returns the agent 80 to 200 ms later and 16 to 26 dB down, and every voice detector calls that
speech. Whatever the delay, the near level is never below the echo: near >= far(delay) + coupling. So for each possible
delay a low percentile of (near - far), over blocks where the far end is loud, bounds how strong an echo with that delay
can be. Wrong delays soon show a block where the far end was loud and the near end silent, and their bound drops; the
true one stays. Speech of the caller only raises the near level, which a low percentile does not see. The echo to expect
is then the largest of far(delay) + bound(delay) over all delays: no delay needs to be decided on, and a line without
echo ends up with a gate far below any speech.
"""

from __future__ import annotations

from collections import deque
from operator import add

import numpy as np

from audio.levels import SILENT

DELAYS = 20  # blocks of 20 ms: 400 ms of network and echo path after the audio is due to be heard
AHEAD = 25  # blocks that may have been handed over but not be due yet
WORST_DB = -16.0  # the coupling assumed until the line has shown its own
LOUDEST_DB = -10.0
AUDIBLE_DB = -60.0
QUANTILE = 0.2
LOUD_DB = 15.0  # a far block this far below the agent's speech level or louder teaches
TEACHES_DB = -48.0
LEARN_EVERY = 2  # blocks
FAST, SLOW = 2.0, 0.6  # dB a lesson
LESSONS = 30  # after which lessons are small


class EchoGate:
    """Takes the level of each agent block as it is played and tells the echo level to expect at the near end.

    `live`: an echo is possible now.
    """

    __slots__ = ("_ahead", "_blocks", "_bounds", "_far", "_lessons", "_pairs", "_peak", "_vector", "live")

    def __init__(self) -> None:
        self._ahead: deque[float] = deque(maxlen=AHEAD)
        self._pairs: deque[float] = deque([SILENT] * DELAYS, maxlen=DELAYS)  # newest first
        self._far = SILENT
        self._vector = np.full(DELAYS, WORST_DB)
        self._bounds: list[float] = self._vector.tolist()
        self._peak = -50.0
        self._lessons = 0
        self._blocks = 0
        self.live = 0

    def played(self, level: float) -> None:
        """The level of the next 20 ms of agent audio; blocks are due one after the other, one a near block."""
        self._ahead.append(level)
        self.live = DELAYS + AHEAD

    def step(self) -> None:
        """20 ms have passed. Only needed while `live`."""
        far = self._ahead.popleft() if self._ahead else SILENT
        # An echo block lies across two far blocks: the louder of the two is what it can be compared with.
        self._pairs.appendleft(far if far > self._far else self._far)
        self._far = far
        if far > AUDIBLE_DB:
            self.live = DELAYS + AHEAD
            self._peak += 0.3 * (far - self._peak) if far > self._peak else -0.01
        elif not self._ahead:
            self.live -= 1

    def expected(self) -> float:
        """The loudest echo this block can hold, in dB."""
        expected: float = max(map(add, self._pairs, self._bounds))
        return expected

    def learn(self, near: float) -> None:
        """Compares this block's near level with the far end; called with every block while `live`."""
        self._blocks += 1
        if self._blocks % LEARN_EVERY:
            return
        threshold = max(self._peak - LOUD_DB, TEACHES_DB)
        if max(self._pairs) <= threshold:
            return
        self._lessons += 1
        step = FAST if self._lessons < LESSONS else SLOW
        far = np.array(self._pairs)
        lesson = np.where(near - far < self._vector, -(1 - QUANTILE) * step, QUANTILE * step)
        self._vector += np.where(far > threshold, lesson, 0.0)
        np.minimum(self._vector, LOUDEST_DB, out=self._vector)
        self._bounds = self._vector.tolist()

    @property
    def coupling(self) -> float:
        """The strongest echo the line may have, in dB relative to what is played."""
        return max(self._bounds)
