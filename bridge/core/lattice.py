"""The search of an alignment: the best stretches of sound for a row of kinds of sound, by dynamic programming."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bridge.core.sounds import KINDS

Floats = NDArray[np.float32]

_SHORT, _LONG = 3.0, 2.5
_PAUSE_COST = 0.01  # per frame
_SHORTEST_PAUSE = 3  # frames
_UNKNOWN = 0.25  # per frame of audio that text is not there for
_UNTOLD = 2.0  # the same where the text is said to be complete
_LONGEST = 80  # frames that the sound at the end may have lasted

_NEARLY = 0.7  # of its usual length, and the last sound of a word is over
_POSSIBLE = 8.0  # worse than the best, and an ending still counts
_DOUBT = 2.0  # scores are this much surer than they are right

_CERTAIN = 12.0  # surer, and it is not weighed what else might be
_ELSEWHERE = 12  # frames away, and it is another end
_AHEAD = 20  # units looked at beyond those that were passed

_BAND = 448  # frames in which the end of a sound is looked for
_BEHIND = 220  # of them before the likeliest
_DRIFT = 0.33  # usual cost of a frame on the right path, until the path tells
_DRIFT_LEAST, _DRIFT_MOST = 0.18, 0.7
_NEVER = np.float32(-1e9)


class Unit(NamedTuple):
    """One sound, or the pause after a word. `frames`: usual length, 0 for a pause. `skip`: what leaving it out costs,
    None where it must be there."""

    kind: int
    frames: int
    word: int
    skip: float | None
    enter: float


class _Ending(NamedTuple):
    """A way for the path to end. `told`: words that are over then; `over`, `at`: units, and where the last ended."""

    told: int
    score: float
    over: int
    at: int


class Lattice:
    """Best scores of the units ending at each boundary between frames. A row holds the boundaries from `_low` on."""

    def __init__(self, likeness: Floats, units: list[Unit], complete: bool) -> None:
        self._units = units
        self._complete = complete
        self._frames = likeness.shape[1]
        self._sums = np.concatenate([np.zeros((KINDS, 1), np.float32), np.cumsum(likeness, axis=1)], axis=1)
        self._width = min(_BAND, self._frames + 1)
        self._low = [0] * (len(units) + 1)
        self._best = np.full((len(units) + 1, self._width), _NEVER, np.float32)
        self._best[0, 0] = 0.0
        self._slopes: dict[tuple[int, int], tuple[Floats, tuple[tuple[int, float], ...]]] = {}
        self._lengths: dict[int, Floats] = {}
        self._left_over = self._best[-1]  # scores if all units are over and the rest of the sound is not told
        self._first = len(units)  # unit that may be sounding when the audio ends; of each from there on:
        self._scores: list[float] = []
        self._begins: list[int] = []
        self._at = np.arange(self._frames + 1, dtype=np.float32)
        self._back = np.arange(2 * _BAND, 0, -1, dtype=np.float32)  # lengths looked at for the best begin

    def run(self) -> None:
        """Fill all rows, and see where they may end."""
        drift, low = _DRIFT, 0
        for index, unit in enumerate(self._units):
            before = self._best[index]
            if not unit.frames and index and low + self._width <= self._frames:
                top = int((before + self._at[: self._width] * np.float32(drift)).argmax())
                if low + top > _BEHIND:
                    drift = min(_DRIFT_MOST, max(_DRIFT_LEAST, float(-before[top]) / (low + top)))
                ahead = min(top - _BEHIND, self._frames + 1 - self._width - low)
                if ahead > 0:
                    low += ahead
                    before = np.concatenate([before[ahead:], np.full(ahead, _NEVER, np.float32)])
                    # The row before is kept as it was: its boundaries are counted from its own begin.
            self._low[index + 1] = low
            self._step(unit, before, self._best[index + 1], low)
        left = self._frames - self._at[low : low + self._width]
        self._left_over = self._best[-1] - left * np.float32(_UNTOLD if self._complete else _UNKNOWN)
        if not self._complete or self._left_over.max() <= _NEVER / 2:
            self._first, self._scores, self._begins = self._open()

    def _step(self, unit: Unit, before: Floats, after: Floats, low: int) -> None:
        """From boundaries where `unit` may begin to those where it may end. Beyond its usual length every frame costs
        the same, so the best begin is a running maximum; shorter ones are tried at a few lengths."""
        slope, shorter = self._slope(unit)
        slope = slope[low : low + self._width]
        begin = before - slope
        least = unit.frames or _SHORTEST_PAUSE
        np.maximum.accumulate(begin[:-least], out=after[least:])
        for frames, cost in shorter:
            np.maximum(after[frames:], begin[:-frames] - cost, out=after[frames:])
        after += slope
        if unit.enter or unit.frames:
            after += np.float32(_LONG if unit.frames else -unit.enter)
        if unit.skip is not None:
            np.maximum(after, before - np.float32(unit.skip), out=after)

    def _slope(self, unit: Unit) -> tuple[Floats, tuple[tuple[int, float], ...]]:
        """What a unit that goes on and on gathers up to each boundary, and lengths below the usual with their cost."""
        found = self._slopes.get((unit.kind, unit.frames))
        if found is None:
            per_frame = _LONG / unit.frames if unit.frames else _PAUSE_COST
            tried = sorted({max(1, unit.frames // 3), max(1, 2 * unit.frames // 3)}) if unit.frames > 1 else []
            shorter = tuple((frames, (_SHORT + _LONG) * (1 - frames / unit.frames)) for frames in tried)
            found = (self._sums[unit.kind] - self._at * np.float32(per_frame), shorter)
            self._slopes[unit.kind, unit.frames] = found
        return found

    def end(self) -> tuple[int, int]:
        """Where the path ends: how many units are over, and the boundary at which the last of them ended. Where the
        text may go on after the sound, not the likeliest, but what is expected to be least wrong, in time: a word that
        ended long ago is told even where another is likelier to be sounding still, if that one is nearly over."""
        whole = len(self._units), self._low[-1] + int(self._left_over.argmax())
        best = float(self._left_over.max())
        if self._complete and best > _NEVER / 2:
            return whole  # else there is not sound enough for so much text
        return self._least_wrong([*self._sounding_ends(), _Ending(self._told(whole[0]), best, *whole)])

    def _sounding_ends(self) -> list[_Ending]:
        """The path may end in any unit that may be sounding."""
        out = []
        for index, score, begin in zip(range(self._first, len(self._units)), self._scores, self._begins, strict=True):
            unit = self._units[index]
            following = self._units[min(index + 1, len(self._units) - 1)]
            if unit.frames and not following.frames and self._frames - begin >= _NEARLY * unit.frames:
                out.append(_Ending(self._told(index) + 1, score, index + 1, self._frames))  # a word, all but over
            else:
                out.append(_Ending(self._told(index), score, index, begin))
        return out

    def _told(self, over: int) -> int:
        """Words that are over when so many units are."""
        if over == len(self._units):
            return self._units[-1].word + 1
        return self._units[over].word + (not self._units[over].frames)

    def _least_wrong(self, endings: list[_Ending]) -> tuple[int, int]:
        """Of the numbers of words that may be over, the one for which the square of the time it is off is least."""
        top = max(ending.score for ending in endings)
        best: dict[int, _Ending] = {}
        share: dict[int, float] = {}
        for ending in sorted(endings, key=lambda ending: ending.score):
            if ending.score > top - _POSSIBLE:
                best[ending.told] = ending
                share[ending.told] = share.get(ending.told, 0.0) + math.exp((ending.score - top) / _DOUBT)
        off = dict.fromkeys(best, 0.0)
        if len(best) > 1:
            for told, ending in best.items():
                ends = self._ends(ending, min(best))
                for count in best:
                    frames = self._frames - ends.get(count, self._frames) if count < told else 0.0
                    frames = self._until(ending.over, ending.at, count) if count > told else frames
                    off[count] += share[told] * frames**2
        found = best[min(off, key=lambda count: (off[count], count))]
        return found.over, found.at

    def _ends(self, ending: _Ending, since: int) -> dict[int, int]:
        """Boundaries at which the words from `since` on ended on the way to there."""
        passed = self.path(ending.over, ending.at, since)
        return {self._units[index].word: after for index, _, after in passed if self._units[index].frames}

    def _until(self, over: int, at: int, words: int) -> float:
        """Frames until so many words are over, as long as they usually last, when `over` units ended at `at`."""
        left = float(at - self._frames)
        for unit in self._units[over:]:
            if unit.word >= words:
                break
            left = max(0.0, left + unit.frames)
        return max(0.0, left)

    def _open(self) -> tuple[int, list[float], list[int]]:
        """The first unit that may be sounding when the audio ends; for each from there on its score and its begin."""
        size = min(_LONGEST, self._frames)
        back = self._back[-size:]
        scores: list[float] = []
        begins: list[int] = []
        first = next((i for i, low in enumerate(self._low) if low + self._width > self._frames), len(self._units))
        for index in range(first, len(self._units)):
            unit = self._units[index]
            begin = self._frames - size - self._low[index]
            score = self._best[index, begin : begin + size] - self._sums[unit.kind, self._frames - size : -1]
            if unit.frames:
                score = score - np.maximum(back / np.float32(unit.frames) - 1, 0) * np.float32(_LONG)
            else:
                score = score - back * np.float32(_PAUSE_COST)
            at = int(score.argmax())
            scores.append(float(score[at] + self._sums[unit.kind, -1]) - unit.enter)
            begins.append(self._frames - size + at)
        return first, scores, begins

    def path(self, over: int, at: int, since: int = -1) -> list[tuple[int, int, int]]:
        """The units passed on the best way to there: index, first frame, boundary after it; in order, from the word
        `since` on."""
        found: list[tuple[int, int, int]] = []
        for index in range(over - 1, -1, -1):
            unit = self._units[index]
            if unit.word < since:
                break
            before, low = self._best[index], self._low[index]
            if unit.skip is not None:
                score = self._best[index + 1, at - self._low[index + 1]]
                if at - low < self._width and before[at - low] - np.float32(unit.skip) >= score:
                    continue
            size = min(at - low, self._width)
            if not size:
                continue
            score = before[:size] - self._sums[unit.kind, low : low + size]
            begin = low + int((score - self._costs(unit.frames)[low - at :][:size]).argmax())
            found.append((index, begin, at))
            at = begin
        return found[::-1]

    def certainty(self, ends: Sequence[int], first: int, over: int) -> tuple[tuple[float, ...], tuple[int, ...]]:
        """How much worse the text fits if a word ends elsewhere than at its boundary in `ends`, or not at all; and the
        boundary from which on it is better taken for over (`_balance`). 0 and `ends` for words that end before the
        boundary `first`. `over`: units that were passed."""
        word = next((word for word, end in enumerate(ends) if end >= first), len(ends))
        least = next((index for index, unit in enumerate(self._units) if unit.word >= word), len(self._units))
        rest = self._following(first, least, min(len(self._units), over + _AHEAD))
        last = {unit.word: index for index, unit in enumerate(self._units) if unit.frames}
        sure, heard = [0.0] * len(ends), list(ends)
        for word, end in enumerate(ends):
            row = last.get(word, -1) + 1
            if end < first or row not in rest:
                continue
            begin = max(first, self._low[row])
            size = self._low[row] + self._width - begin
            both = self._best[row, -size:] + rest[row][begin - first :][:size]
            here, there = max(0, end - _ELSEWHERE - begin), end + _ELSEWHERE + 1 - begin
            other = max(float(both[:here].max(initial=_NEVER)), float(both[there:].max(initial=_NEVER)))
            other = max(other, *self._scores[: max(0, row - self._first)], float(_NEVER))
            sure[word] = max(0.0, float(both[here:there].max(initial=_NEVER)) - other)
            if sure[word] < _CERTAIN:
                heard[word] = self._balance(both, begin, row, word)
        return tuple(sure), tuple(heard)

    def _balance(self, both: Floats, begin: int, row: int, word: int) -> int:
        """From which boundary on it is expected to be less wrong to take a word for over than not to: the squares of
        the times by which either would be off are alike there. `both`: scores if it ends at `begin` and after, when
        `row` units are over. May lie after the sound."""
        sounding = np.array(self._scores[: max(0, row - self._first)], np.float32)
        score, at = both, np.arange(begin, begin + len(both), dtype=np.float64)
        if sounding.size:  # it may not be over when the audio ends
            likeliest = int(sounding.argmax())
            ahead = self._until(self._first + likeliest, self._begins[likeliest], word + 1)
            score, at = np.append(both, sounding), np.append(at, np.full(len(sounding), self._frames + max(1.0, ahead)))
        share = np.exp((score - score.max()) / np.float32(_DOUBT)).astype(np.float64)
        sums = [np.cumsum(share * at**power) for power in range(3)]
        early = sums[0] * at**2 - 2 * sums[1] * at + sums[2]
        late = (sums[0][-1] - sums[0]) * at**2 - 2 * (sums[1][-1] - sums[1]) * at + sums[2][-1] - sums[2]
        return int(at[int((early >= late).argmax())])

    def _following(self, first: int, least: int, top: int) -> dict[int, Floats]:
        """Best scores of all that follows a boundary, from `first` on, when so many units are over before it: between
        `least` and `top`."""
        size = self._frames + 1 - first
        left = self._frames - self._at[first:]
        rest = -left * np.float32(_UNKNOWN) if top == len(self._units) else np.full(size, _NEVER, np.float32)
        found = {top: rest}
        for index in range(top - 1, least, -1):
            found[index] = rest = self._step_back(self._units[index], rest, left, first)
        return found

    def _step_back(self, unit: Unit, rest: Floats, left: Floats, first: int) -> Floats:
        """`_step` the other way round; `unit` may still be sounding at the end of the audio, `left` frames away."""
        size = len(rest)
        slope, shorter = self._slope(unit)
        gain = rest + slope[first:]
        least = unit.frames or _SHORTEST_PAUSE
        before = np.full(size, _NEVER, np.float32)
        if least < size:
            before[: size - least] = np.maximum.accumulate(gain[:least - 1 : -1])[::-1]
        for frames, cost in shorter:
            np.maximum(before[:-frames], gain[frames:] - np.float32(cost), out=before[:-frames])
        before -= slope[first:]
        if unit.frames:
            before += np.float32(_LONG)
        sums = self._sums[unit.kind]
        sounding = sums[-1] - sums[first:]
        if unit.frames:
            sounding -= np.maximum(left / np.float32(unit.frames) - 1, 0) * np.float32(_LONG)
        else:
            sounding -= left * np.float32(_PAUSE_COST)
        np.maximum(before, sounding, out=before)
        before -= np.float32(unit.enter)
        if unit.skip is not None:
            np.maximum(before, rest - np.float32(unit.skip), out=before)
        return before

    def _costs(self, frames: int) -> Floats:
        """What each length costs where `frames` are usual (0: a pause), the longest that is looked at first."""
        found = self._lengths.get(frames)
        if found is None:
            part = self._back / np.float32(frames or 1) - 1
            found = np.where(part < 0, -part * np.float32(_SHORT), part * np.float32(_LONG))
            if not frames:
                found = np.where(self._back < _SHORTEST_PAUSE, -_NEVER, self._back * np.float32(_PAUSE_COST))
            self._lengths[frames] = found
        return found
