"""Figures of the bench without processes and sockets: what a carrier hears, percentiles, the joining of stamps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

SLOT_NS = 20_000_000
LATE_NS = 60_000_000  # by more than this a slot may not be late
HELD_NS = 50_000_000  # what a carrier holds at most when the next audio is due: as late as that it is not missed yet
STRANGE_NS = 1_000_000_000
RATE = 8000


@dataclass(slots=True)
class Ear:
    """A carrier's side of one call: it plays what it is given without a break for as long as it has some.

    A slot of 20 ms is silent when the caller was to hear it and it was not there. With a lead of 80 ms, kept up two
    frames at a time, it has come 40 to 50 ms after it was due then; it is late when that is more than 60 ms. `slots`
    counts all, `silent` and `late` those; `worst` is the longest silence within a reply in ns; `gaps` has the end and
    the length of each.
    `strange` counts what began without a mark after a second of silence: no reply.
    """

    slots: int = 0
    silent: int = 0
    late: int = 0
    worst: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    strange: int = 0
    end: int = 0  # until when there is something to play
    void: bool = False  # what was to be heard was thrown away: whatever comes next begins anew

    def media(self, now: int, samples: int, begins: bool) -> None:
        """Audio arrived; `begins`: it is the beginning of a reply."""
        if not begins and now - self.end > STRANGE_NS:
            self.strange += 1
            begins = True
        if (begins or self.void) and now > self.end:
            self.end = now
        self.void = False
        gap = now - self.end
        if gap > 0:
            self.silent += -(-gap // SLOT_NS)
            self.late += max(0, -(-(HELD_NS + gap - LATE_NS) // SLOT_NS))
            self.worst = max(self.worst, gap)
            self.gaps.append((now, gap))
            self.end = now
        self.slots += samples * 50 // RATE
        self.end += samples * 1_000_000_000 // RATE

    def cleared(self, now: int) -> None:
        """The bridge threw away what was not heard yet."""
        self.end = min(self.end, now)
        self.void = True


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that `share` (0 to 1) of the values do not exceed; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def delays(sent: Mapping[int, int], arrived: Iterable[tuple[int, int]]) -> list[float]:
    """Milliseconds between a number's sending and its first arrival. Arrivals nobody sent, or which came before they
    were sent (speech that looked like a mark), do not count."""
    out: list[float] = []
    seen: set[int] = set()
    for number, when in arrived:
        begun = sent.get(number)
        if begun is None or number in seen or not 0 <= when - begun < 2_000_000_000:
            continue
        seen.add(number)
        out.append((when - begun) / 1e6)
    return out


def median(values: Iterable[float | None]) -> float | None:
    """The middle of the values there are; None without any."""
    have = sorted(value for value in values if value is not None)
    if not have:
        return None
    half = len(have) // 2
    return have[half] if len(have) % 2 else (have[half - 1] + have[half]) / 2
