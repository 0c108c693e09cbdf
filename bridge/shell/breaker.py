"""Two small machines of the health board: a breaker and a pace. No I/O; times are ns, chance is passed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

SECOND = 1_000_000_000

WINDOW = 61 * SECOND
"""A minute as the other side counts it: a connection may reach it up to a second after it was dialled, and one over the
limit closes the account to every call."""


@dataclass(frozen=True, slots=True)
class Pause:
    """How long a breaker stays open: seconds the first time, doubled each time it opens again, up to `longest`."""

    first: float
    longest: float

    def draw(self, level: int, chance: Random) -> int:
        """ns, with a fifth of jitter either way so that processes and calls do not come back all at once."""
        return int(min(self.first * 2**level, self.longest) * chance.uniform(0.8, 1.2) * SECOND)


@dataclass(frozen=True, slots=True)
class Rules:
    """When failures open a breaker: `in_a_row` of them without a success between, all within `window` seconds, or
    `share` of at least `at_least` outcomes within it. `doubt`: seconds for which one failure has others preferred.
    `lease`: seconds a probe may take before another is let in."""

    window: float = 60.0
    in_a_row: float = 3.0
    share: float = 0.5
    at_least: int = 10
    doubt: float = 30.0
    lease: float = 10.0
    pause: Pause = Pause(5.0, 120.0)


class Breaker:
    """Closed; open until a time; then half-open, letting in one probe at a time until a success closes it.

    `wait(now)` is 0 when a dial may go ahead, else the ns until one may.
    """

    def __init__(self, rules: Rules, chance: Random) -> None:
        self._rules = rules
        self._chance = chance
        self._until: int | None = None  # None: closed
        self._probe_began = self._probe_ends = 0
        self._level = 0
        self._row: deque[tuple[int, float]] = deque()  # failures since the last success: when, weight
        self._outcomes: deque[tuple[int, float]] = deque(maxlen=200)  # when, weight; a success weighs -1

    def closed(self) -> bool:
        return self._until is None

    def wait(self, now: int) -> int:
        if self._until is None:
            return 0
        return max(0, self._until - now, self._probe_ends - now)

    def doubtful(self, now: int) -> bool:
        """Closed, but it failed a moment ago, or did before and is just being tried again."""
        if self._until is not None or not self._row:
            return False
        return now < max(self._row[-1][0] + int(self._rules.doubt * SECOND), self._probe_ends)

    def probe(self, now: int) -> None:
        """A dial goes ahead. If the breaker is half-open it is the probe; no second one for the lease."""
        if self._until is not None or self._row:
            self._probe_began, self._probe_ends = now, now + int(self._rules.lease * SECOND)

    def failed(self, now: int, weight: float = 1.0) -> None:
        """One failure. Ignored while open: it was on its way before, or is somebody's old link."""
        if self._until is not None:
            if now >= self._until:
                self._open(now, self._rules.pause)
            return
        self._row.append((now, weight))
        self._outcomes.append((now, weight))
        since = now - int(self._rules.window * SECOND)
        for entries in (self._row, self._outcomes):
            while entries[0][0] < since:
                entries.popleft()
        in_a_row = sum(each for _, each in self._row)
        bad = sum(each for _, each in self._outcomes if each > 0)
        good = sum(-each for _, each in self._outcomes if each < 0)
        many = len(self._outcomes) >= self._rules.at_least and bad >= self._rules.share * (bad + good)
        if in_a_row >= self._rules.in_a_row or many:
            self._open(now, self._rules.pause)

    def trip(self, now: int, pause: Pause) -> None:
        """Open at once: this failure says by itself that the next dial fails too."""
        if self._until is None or now >= self._until:
            self._open(now, pause)

    def succeeded(self, now: int, since: int | None = None) -> None:
        """Audio was generated: evidence against failures before `since` (`now` when None). While half-open it closes
        the breaker if it is evidence of the probe under way; while open it is ignored: old links often go on when new
        ones fail."""
        since = now if since is None else since
        if self._until is None:
            while self._row and self._row[0][0] <= since:
                self._row.popleft()
            if not self._row:
                self._level = 0
                self._outcomes.append((now, -1.0))
        elif self._until <= now < self._probe_ends and since >= self._probe_began:
            self._until = None
            self._row.clear()
            self._outcomes.clear()

    def _open(self, now: int, pause: Pause) -> None:
        self._until = now + pause.draw(self._level, self._chance)
        self._probe_ends = 0
        self._level += 1
        self._row.clear()
        self._outcomes.clear()


class Pace:
    """At most `limit` events in any minute; less important ones leave room for others by a smaller `share`."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._recent: deque[int] = deque()

    def free_at(self, now: int, share: float = 1.0, promised: Sequence[int] = ()) -> int:
        """When one more is allowed, `now` at the earliest. `promised`: times of those that come before it, ascending,
        none before `now`."""
        recent = self._recent
        while recent and recent[0] <= now - WINDOW:
            recent.popleft()
        excess = len(recent) + len(promised) - max(1, int(self.limit * share))
        if excess < 0:
            return now
        before = recent[excess] if excess < len(recent) else promised[excess - len(recent)]
        return max(now, before + WINDOW)

    def rushed(self, now: int) -> bool:
        """Many at once: a twentieth of a minute's share, and more than one, within the last second."""
        recent, some = self._recent, max(2, self.limit // 20)
        return len(recent) >= some and recent[-some] > now - SECOND

    def take(self, now: int) -> None:
        self._recent.append(now)
