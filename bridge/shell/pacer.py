"""When each playing call is given its next agent audio: one absolute grid and one timer for all calls.

A call that begins to play gets its lead at once, then two frames of 20 ms at a time, because what a message costs is
the message, not the audio in it: a grid of 40 ms that never drifts. Each call keeps one of sixteen places within this
period, so that a hundred calls do not wake together. After a stall a call is topped up to its lead, never beyond: what
the caller missed meanwhile is not sent in a burst.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

SLOT = 20_000_000
"""ns: one frame."""

PERIOD = 2 * SLOT
"""ns between two pulls of a call."""

PLACES = 16
EARLY = 1_500_000
"""ns: what is due this soon is released now. uvloop's timers have a resolution of 1 ms and may fire early; waiting for
the rest would spin."""

LATE = 50_000_000
"""ns: a pull later than this counts as late. The lead is used up and the caller hears a gap."""

_STEP = PERIOD // PLACES
_CHOICE = PLACES // 4


def _nobody(_: int) -> None: ...


class Voice:
    """One call's place on the grid. `pull(frames)` is called when that many frames of 20 ms are due; whoever sends
    audio says so with `sent`. `until`: loop time up to which the caller has audio."""

    __slots__ = ("lead", "place", "pull", "until")

    def __init__(self, pull: Callable[[int], None], lead_ms: int) -> None:
        self.pull = pull
        self.lead = max(lead_ms * 1_000_000, PERIOD + SLOT)
        self.until = 0
        self.place = -1

    @property
    def playing(self) -> bool:
        return self.place >= 0

    def sent(self, duration: int, now: int) -> None:
        """Audio of `duration` ns was sent."""
        self.until = max(self.until, now) + duration

    def cleared(self) -> None:
        """What was sent and not yet heard was thrown away."""
        self.until = 0

    def forget(self) -> None:
        """Nobody is to be pulled from any more."""
        self.pull = _nobody

    def due(self, now: int) -> int:
        """Frames to send now. Half a slot of grace, because a grid point rarely falls exactly when a frame runs out."""
        return int((self.lead + SLOT // 2 - max(0, self.until - now)) // SLOT)


class Pacer:
    """Calls pull at the right moments. `slots` counts the 20 ms of every call's grid, `late_slots` those that came when
    the lead was used up."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._voices: list[dict[Voice, None]] = [{} for _ in range(PLACES)]
        self._next = [0] * PLACES  # when each place's next pull is; meaningless while nobody is there
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0
        self.slots = 0
        self.late_slots = 0

    @property
    def playing(self) -> int:
        """How many calls are being played to."""
        return sum(map(len, self._voices))

    def start(self, voice: Voice) -> None:
        """Give the voice what is due at once, then two frames every 40 ms until `stop`."""
        if voice.playing:
            return
        now = self._now()
        place = self._place(now)
        if not self._voices[place]:
            self._next[place] = _grid_point_after(place, now + PERIOD - SLOT // 2)
        self._voices[place][voice] = None
        voice.place = place
        self._arm()
        frames = voice.due(now)
        if frames > 0:
            voice.pull(frames)

    def stop(self, voice: Voice) -> None:
        """Nothing more until `start`."""
        if voice.playing:
            del self._voices[voice.place][voice]
            voice.place = -1

    def close(self) -> None:
        """Forget everybody."""
        for voices in self._voices:
            for voice in list(voices):
                self.stop(voice)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _now(self) -> int:
        return round(self._loop.time() * 1e9)

    def _place(self, now: int) -> int:
        """Where the next pull is 30 to 40 ms away, and the fewest calls are; the latest of those."""
        last = (now % PERIOD) // _STEP
        return min(((last - back) % PLACES for back in range(_CHOICE)), key=lambda place: len(self._voices[place]))

    def _arm(self) -> None:
        """Have the timer at the earliest pull of any place that is taken."""
        due = 0
        for at, voices in zip(self._next, self._voices, strict=True):
            if voices and (at < due or not due):
                due = at
        if not due:
            return
        if self._timer is not None:
            if self._timer_at <= due:
                return
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_at(due / 1e9, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._now()
        for place, voices in enumerate(self._voices):
            if voices and self._next[place] <= now + EARLY:
                self._serve(place, now)
        self._arm()

    def _serve(self, place: int, now: int) -> None:
        due = self._next[place]
        passed = max(0, now - due) // PERIOD  # whole periods that came and went unserved
        self._next[place] = due + (passed + 1) * PERIOD
        late = max(0, -(-(now - due - LATE) // SLOT))
        for voice in tuple(self._voices[place]):
            if voice.place != place:  # stopped by one before it
                continue
            self.slots += (1 + passed) * PERIOD // SLOT
            self.late_slots += late
            frames = voice.due(now)
            if frames > 0:
                voice.pull(frames)


def _grid_point_after(place: int, moment: int) -> int:
    """The first pull of `place` after `moment`."""
    return moment + PERIOD - (moment - place * _STEP) % PERIOD
