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

from audio.levels import SILENT

DELAYS = 20  # blocks of 20 ms: 400 ms of network and echo path after the audio is due to be heard
AHEAD = 25  # blocks that may have been handed over but not be due yet
WORST_DB = -16.0  # the coupling assumed until the line has shown its own
LOUDEST_DB = -10.0
AUDIBLE_DB = -60.0
QUANTILE = 0.2
LOUD_DB = 15.0  # a far block this far below the agent's speech level or louder teaches
TEACHES_DB = -48.0
LESSONS = 30  # the first ones are ...
LEARN_FIRST, LEARN_LATER = 2, 6  # ... every so many blocks ...
FAST, SLOW = 2.0, 1.2  # ... and move a bound by this many dB


class EchoGate:
    """Takes the level of each agent block as it is played and tells the echo level to expect at the near end.

    `live`: an echo is possible now. Levels are those above 280 Hz or so: what is below comes back from some lines only,
    and may be most of a deep voice.
    """

    __slots__ = ("_ahead", "_blocks", "_bounds", "_far", "_lessons", "_pairs", "_peak", "live")

    def __init__(self) -> None:
        self._ahead: list[float] = []  # oldest first
        self._pairs: deque[float] = deque([SILENT] * DELAYS, maxlen=DELAYS)  # newest first
        self._far = SILENT
        self._bounds = [WORST_DB] * DELAYS
        self._peak = -50.0
        self._lessons = 0
        self._blocks = 0
        self.live = 0

    def played(self, level: float) -> None:
        """The level of the next 20 ms of agent audio; blocks are due one after the other, one a near block."""
        ahead = self._ahead
        if len(ahead) == AHEAD:
            del ahead[0]
        ahead.append(level)
        self.live = DELAYS + AHEAD

    def push(self) -> bool:
        """20 ms have passed: whether `learn` is to be told the level at the near end. Only needed while `live`."""
        ahead = self._ahead
        far = ahead.pop(0) if ahead else SILENT
        # An echo block lies across two far blocks: the louder of the two is what it can be compared with.
        self._pairs.appendleft(far if far > self._far else self._far)
        self._far = far
        if far > AUDIBLE_DB:
            self.live = DELAYS + AHEAD
            if far > self._peak:
                self._peak += 0.3 * (far - self._peak)
            else:
                self._peak -= 0.01
        elif not ahead:
            self.live -= 1
        self._blocks += 1
        return not self._blocks % (LEARN_FIRST if self._lessons < LESSONS else LEARN_LATER)

    def expected(self) -> float:
        """The loudest echo this block can hold, in dB."""
        expected: float = max(map(add, self._pairs, self._bounds))
        return expected

    def learn(self, near: float) -> None:
        """Moves the bound of each delay at which the far end was loud."""
        least = max(self._peak - LOUD_DB, TEACHES_DB)
        if max(self._pairs) <= least:
            return
        self._lessons += 1
        step = FAST if self._lessons < LESSONS else SLOW
        down, up = (1 - QUANTILE) * step, QUANTILE * step
        self._bounds = [
            bound
            if far <= least
            else bound - down
            if near < far + bound
            else bound + up
            if bound < LOUDEST_DB
            else bound
            for far, bound in zip(self._pairs, self._bounds)  # noqa: B905 - as long as each other, and this is the hot path
        ]

    @property
    def learnt(self) -> bool:
        """The line has shown its coupling: before that, `expected` is what the worst line would return."""
        return self._lessons >= LESSONS

    @property
    def coupling(self) -> float:
        """The strongest echo the line may have, in dB relative to what is played."""
        return max(self._bounds)
