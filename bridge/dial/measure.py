"""What a call sounded like, from positions of sound alone. Pure functions; positions in samples, results in ms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from audio.frame import Pcm

Span = tuple[int, int]
"""Begin and end of a stretch of sound, in samples since the call began; the end is exclusive."""

MIN_GAP_MS = 200
_LEVEL = 130.0  # RMS of int16 above which 20 ms count as sound: -48 dBFS
_JOIN_MS = 300
_SHORTEST_MS = 60


def speech(pcm: Pcm, rate: int, join_ms: int = _JOIN_MS, level: float = _LEVEL) -> list[Span]:
    """Where a recording is louder than `level`, to 20 ms. Pauses shorter than `join_ms` do not divide, blips shorter
    than 60 ms do not count."""
    step = rate // 50
    count = len(pcm) // step
    if not count:
        return []
    blocks = pcm[: count * step].reshape(count, step).astype(np.float64)
    loud = np.sqrt(np.mean(blocks**2, axis=1)) > level
    edges = np.flatnonzero(np.diff(np.concatenate(([0], loud.astype(np.int8), [0]))))
    spans = [(int(begin) * step, int(end) * step) for begin, end in edges.reshape(-1, 2)]
    return [span for span in join(spans, join_ms * rate // 1000) if span[1] - span[0] >= _SHORTEST_MS * rate // 1000]


def join(spans: Sequence[Span], distance: int) -> list[Span]:
    """Ordered spans with those closer than `distance` samples made one."""
    joined: list[Span] = []
    for begin, end in spans:
        if joined and begin - joined[-1][1] < distance:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


@dataclass(frozen=True, slots=True)
class Gap:
    """Silence between two sounds of the agent: a reply that faltered, or a prompt after a long pause."""

    at: int
    ms: int


def first_audio(turns: Sequence[Span], sound: Sequence[Span], rate: int, until: int) -> list[int | None]:
    """For each caller turn, ms from its end to the beginning of the next agent sound, if that comes before the caller's
    next turn ends; None when it does not. Sound that was already there when the turn ended is no answer to it."""
    limits = [*(end for _, end in turns[1:]), until]
    found: list[int | None] = []
    for (_, end), limit in zip(turns, limits, strict=False):
        start = next((begin for begin, _ in sound if end <= begin < limit), None)
        found.append(None if start is None else ms(start - end, rate))
    return found


def gaps(sound: Sequence[Span], turns: Sequence[Span], rate: int, shortest_ms: int = MIN_GAP_MS) -> list[Gap]:
    """Silences of more than `shortest_ms` between two agent sounds with no word of the caller between or around them:
    the agent stopped and went on by itself. `sound` is where audio was *played*, so that pauses a speaker makes, which
    are audio too, do not count."""
    found = []
    for (_, end), (begin, _) in pairwise(sound):
        length = ms(begin - end, rate)
        if length > shortest_ms and not any(start < begin and stop > end for start, stop in turns):
            found.append(Gap(end, length))
    return found


def overlap(turns: Sequence[Span], sound: Sequence[Span], rate: int) -> int:
    """ms during which both sides spoke."""
    return ms(sum(max(0, min(a[1], b[1]) - max(a[0], b[0])) for a in turns for b in sound), rate)


def quantile(values: Sequence[int], share: float) -> int | None:
    """The smallest value that at least `share` of them do not exceed; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1))]


def ms(samples: int, rate: int) -> int:
    return round(samples * 1000 / rate)
