"""Laying text along speech: pauses in the sound are matched with stops in the text.

A speaker pauses at most commas and sentence ends and hardly elsewhere, and between two stops letters take about the
same time each. The best monotone matching under those two assumptions is found by dynamic programming; it is asked for
once per handover or cut, on a few dozen points.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence

VARIANCE = 1.0  # of the letters spoken, per letter expected
UNMATCHED_PAUSE = 2.5  # log-likelihoods
UNMATCHED_STOP = 2.0
RATES = (0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.4)
RATE_SPREAD = 0.03  # variance of the logarithm of a speaker's rate about what was expected

_STOP = re.compile(r"[.,;:!?…—]+(?=\s|$)")


class Text:
    """A text counted in letters; positions of stops and words along that count."""

    __slots__ = ("ends", "letters", "stops", "words")

    def __init__(self, text: str) -> None:
        self.words = text.split()
        self.ends: list[int] = []
        self.stops: list[int] = []
        count = 0
        for word in self.words:
            count += max(1, sum(char.isalnum() for char in word))
            self.ends.append(count)
            if _STOP.search(word):
                self.stops.append(count)
        self.letters = count

    def upto(self, letters: float) -> str:
        """The words within the first `letters`, to the nearest end of a word."""
        count = bisect_right(self.ends, letters)
        if count < len(self.ends):
            before = self.ends[count - 1] if count else 0
            count += letters > (before + self.ends[count]) / 2
        return " ".join(self.words[:count])


def anchors(pauses: Sequence[int], stops: Sequence[int], rate: float) -> tuple[float, list[tuple[int, int]]]:
    """Matches `pauses` (ms of speech before each) with `stops` (letters before each) for a speaker of `rate` letters
    per ms. Returns the log-likelihood and the matched (ms, letters), first (0, 0)."""
    points: list[tuple[int, int, int, int]] = [(-1, -1, 0, 0)]
    best: list[tuple[float, int]] = [(0.0, -1)]
    for i, at_ms in enumerate(pauses):
        for j, at_letters in enumerate(stops):
            top: tuple[float, int] | None = None
            for k, (pi, pj, ms, letters) in enumerate(points):
                if pi < i and pj < j:
                    expected = (at_ms - ms) * rate
                    miss = at_letters - letters - expected
                    score = best[k][0] - miss * miss / (2 * (VARIANCE * expected + 1))
                    score -= UNMATCHED_PAUSE * (i - pi - 1) + UNMATCHED_STOP * (j - pj - 1)
                    if top is None or score > top[0]:
                        top = (score, k)
            if top is not None:
                points.append((i, j, at_ms, at_letters))
                best.append(top)
    last = max(range(len(points)), key=lambda k: best[k][0] - UNMATCHED_PAUSE * (len(pauses) - 1 - points[k][0]))
    total = best[last][0] - UNMATCHED_PAUSE * (len(pauses) - 1 - points[last][0])
    chain: list[tuple[int, int]] = []
    while last >= 0:
        chain.append(points[last][2:])
        last = best[last][1]
    return total, chain[::-1]


def letters_at(speech_ms: int, pauses: Sequence[int], stops: Sequence[int], rate: float, known: bool) -> float:
    """How many letters were spoken in `speech_ms` of speech whose pauses are `pauses`. `rate` in letters per ms is
    taken as it is when `known`, else it is what to expect and the pauses correct it."""
    if known:
        chain = anchors(pauses, stops, rate)[1]
    else:
        tries = [(anchors(pauses, stops, rate * factor), factor) for factor in RATES]
        (_, chain), factor = max(tries, key=lambda found: found[0][0] - (found[1] - 1) ** 2 / (2 * RATE_SPREAD))
        rate *= factor
        if len(chain) > 2:
            rate = (chain[-1][1] - chain[0][1]) / max(1, chain[-1][0] - chain[0][0])
    at_ms, at_letters = chain[-1]
    for ms, letters in chain:
        if ms <= speech_ms:
            at_ms, at_letters = ms, letters
    following = next((point for point in chain if point[0] > speech_ms), None)
    if following is not None:
        share = (speech_ms - at_ms) / max(1, following[0] - at_ms)
        return at_letters + share * (following[1] - at_letters)
    return at_letters + (speech_ms - at_ms) * rate
