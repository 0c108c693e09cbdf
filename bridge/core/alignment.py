"""Laying text along speech: which stretch of the sound is which word.

A forced alignment without a model of the language: the text is read as a row of kinds of sound (`sounds`), each 10 ms
of the audio says how well each kind explains what is heard there (`phones`), and dynamic programming finds the row of
stretches that fits both best, with pauses where a comma or the end of a sentence makes them likely. Text that ran ahead
of the audio, and audio that ran ahead of the text, are left over at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from audio.bands import loudness, normalised, product
from bridge.core.phones import LETTERS, probabilities
from bridge.core.sounds import ANY, KINDS, PAUSE, Sound, Word

Floats = NDArray[np.float32]

FRAME_MS = 10
_SPEECH_DB = 12.0  # the loud parts of softer sound are no speech
_SILENT_DB = 38.0  # below the loud parts
_WEIGHT = 0.3  # of what a frame says: neighbouring frames say much the same

_SHORT, _LONG = 3.0, 2.5
_PAUSE_COST = 0.01  # per frame
_SHORTEST_PAUSE = 3  # frames
_UNMARKED_PAUSE = 3.0  # where the text has no stop
_MISSING_PAUSE = 3.0  # where it has one
_LEFT_OUT = 0.7  # an optional sound
_UNKNOWN = 0.25  # per frame of audio that text is not there for
_UNTOLD = 2.0  # the same where the text is said to be complete
_LONGEST_PAUSE = 50  # frames of silence that count; what is beyond is skipped
_LONGEST = 80  # frames that the sound at the end may have lasted

_NEARLY = 0.7  # of its usual length, and the last sound of a word is over

_ELSEWHERE = 12  # frames away, and it is another end
_AHEAD = 20  # units looked at beyond those that were passed

_FASTEST = 0.6  # of the voice's own pace
_MARGIN_MS = 1000

_BAND = 448  # frames in which the end of a sound is looked for
_BEHIND = 220  # of them before the likeliest
_DRIFT = 0.33  # usual cost of a frame on the right path, until the path tells
_DRIFT_LEAST, _DRIFT_MOST = 0.18, 0.7
_EXPLAINED = np.ascontiguousarray(LETTERS.T)
_NEVER = np.float32(-1e9)


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where each word's sound begins and ends, in ms, for as many words as were spoken to their end. `sure`: how
    much worse the text fits the sound if a word ends elsewhere, over 120 ms away (log likelihood; 0: just as well)."""

    begins: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    sure: tuple[float, ...] = ()

    def spoken(self, ms: float) -> int:
        """How many words were over at `ms`."""
        return int(np.searchsorted(self.ends, ms, side="right"))

    def upto(self, words: int) -> Alignment:
        """The first `words` only."""
        return Alignment(self.begins[:words], self.ends[:words], self.sure[:words])

    def followed_by(self, other: Alignment, ms: int) -> Alignment:
        """With the words of a stretch that begins at `ms`."""
        later = [tuple(time + ms for time in times) for times in (other.begins, other.ends)]
        return Alignment(self.begins + later[0], self.ends + later[1], self.sure + other.sure)


def align(
    bands: Floats,
    words: Sequence[Word],
    complete: bool,
    pace: float = 1.0,
    since: int | None = None,
) -> Alignment:
    """Lays `words` along `bands` (levels in dB, one row per 10 ms). `complete`: all of the text was spoken
    here; else either may end before the other. `pace`: of the voice, where it is known. `since`: how sure the ends are
    is told from there (ms) on; it costs half as much again."""
    level = loudness(bands)
    kept = _without_long_pauses(level)
    if not complete:
        words = _that_fit(words, len(level) * FRAME_MS, pace)
    units = _row(words, pace)
    if not kept.size or len(units) < 2 or _share(level, 0.9) < _SPEECH_DB:
        return Alignment()
    lattice = _Lattice(_likeness(bands[kept], level[kept]), units)
    lattice.run()
    over, at = lattice.end(complete)
    path = lattice.path(over, at)
    begins, ends = _result(words, units, path, over)
    times = np.append(kept, len(level)) * FRAME_MS
    sure: tuple[float, ...] = ()
    if since is not None:
        sure = lattice.certainty(ends, int(np.searchsorted(times, since)), over)
    after = times[np.array(ends, np.intp) - 1] + FRAME_MS
    return Alignment(tuple(times[begins].tolist()), tuple(after.tolist()), sure)


def _that_fit(words: Sequence[Word], ms: int, pace: float) -> Sequence[Word]:
    """As many as could be spoken in that time, however fast."""
    left = ms / (_FASTEST * pace) + _MARGIN_MS
    for index, word in enumerate(words):
        left -= sum(sound.ms for sound in word.sounds)
        if left < 0:
            return words[: index + 1]
    return words


def _without_long_pauses(level: Floats) -> NDArray[np.intp]:
    """The frames that count."""
    if not level.size:
        return np.zeros(0, np.intp)
    silent = level < _share(level, 0.9) - _SILENT_DB
    at = np.arange(len(level))
    run = at - np.maximum.accumulate(np.where(silent, -1, at))
    return np.flatnonzero(run <= _LONGEST_PAUSE)


def _share(values: Floats, share: float) -> float:
    """The value that this share of them does not exceed (`np.percentile` imports for 100 ms when first called)."""
    return float(np.sort(values)[int(share * (len(values) - 1))])


def _likeness(bands: Floats, level: Floats) -> Floats:
    """How well each kind of sound explains what is heard in each frame, the best being 0. Shape (KINDS, frames)."""
    out = np.ascontiguousarray(product(probabilities(normalised(bands, level)), _EXPLAINED).T)
    out[ANY] = out[:ANY].max(axis=0)
    return np.asarray((out - out.max(axis=0)) * np.float32(_WEIGHT), np.float32)


class _Unit(NamedTuple):
    """One sound, or the pause after a word. `frames`: usual length, 0 for a pause. `skip`: what leaving it out costs,
    None where it must be there."""

    kind: int
    frames: int
    word: int
    skip: float | None
    enter: float


def _row(words: Sequence[Word], pace: float) -> list[_Unit]:
    """The sounds of a text with the pauses around its words."""
    row = [_Unit(PAUSE, 0, -1, 0.0, 0.0)]
    for index, word in enumerate(words):
        row += [_unit(sound, index, pace) for sound in word.sounds]
        if word.stop:
            row.append(_Unit(PAUSE, 0, index, _MISSING_PAUSE, 0.0))
        elif word.sounds:
            row.append(_Unit(PAUSE, 0, index, 0.0, _UNMARKED_PAUSE))
    return row


def _unit(sound: Sound, word: int, pace: float) -> _Unit:
    return _Unit(
        sound.kind, max(2, round(sound.ms * pace / FRAME_MS)), word, _LEFT_OUT if sound.optional else None, 0.0
    )


class _Lattice:
    """Best scores of the units ending at each boundary between frames. A row holds the boundaries from `_low` on."""

    def __init__(self, likeness: Floats, units: list[_Unit]) -> None:
        self._units = units
        self._frames = likeness.shape[1]
        self._sums = np.concatenate([np.zeros((KINDS, 1), np.float32), np.cumsum(likeness, axis=1)], axis=1)
        self._width = min(_BAND, self._frames + 1)
        self._low = [0] * (len(units) + 1)
        self._best = np.full((len(units) + 1, self._width), _NEVER, np.float32)
        self._best[0, 0] = 0.0
        self._slopes: dict[tuple[int, int], tuple[Floats, tuple[tuple[int, float], ...]]] = {}
        self._lengths: dict[int, Floats] = {}
        self._at = np.arange(self._frames + 1, dtype=np.float32)
        self._back = np.arange(2 * _BAND, 0, -1, dtype=np.float32)  # lengths looked at for the best begin

    def run(self) -> None:
        """Fill all rows."""
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

    def _step(self, unit: _Unit, before: Floats, after: Floats, low: int) -> None:
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

    def _slope(self, unit: _Unit) -> tuple[Floats, tuple[tuple[int, float], ...]]:
        """What a unit that goes on and on gathers up to each boundary, and lengths below the usual with their cost."""
        found = self._slopes.get((unit.kind, unit.frames))
        if found is None:
            per_frame = _LONG / unit.frames if unit.frames else _PAUSE_COST
            tried = sorted({max(1, unit.frames // 3), max(1, 2 * unit.frames // 3)}) if unit.frames > 1 else []
            shorter = tuple((frames, (_SHORT + _LONG) * (1 - frames / unit.frames)) for frames in tried)
            found = (self._sums[unit.kind] - self._at * np.float32(per_frame), shorter)
            self._slopes[unit.kind, unit.frames] = found
        return found

    def end(self, complete: bool) -> tuple[int, int]:
        """Where the path ends: how many units are over, and the boundary at which the last of them ended."""
        last = len(self._units)
        rest = self._frames - self._at[self._low[last] : self._low[last] + self._width]
        left_over = self._best[last] - rest * np.float32(_UNTOLD if complete else _UNKNOWN)
        at = int(left_over.argmax())
        whole = (last, self._low[last] + at)
        if complete and left_over[at] > _NEVER / 2:
            return whole  # else there is not sound enough for so much text
        sounding = self._sounding()
        return sounding[:2] if sounding is not None and sounding[2] > left_over[at] else whole

    def _sounding(self) -> tuple[int, int, float] | None:
        """The likeliest unit to be sounding when the audio ends, its begin, and the score."""
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
        if not scores:
            return None
        # The middle of what is likely, not the top: neighbours share their likelihood.
        likely = np.exp(np.array(scores) - max(scores))
        middle = int(np.searchsorted(np.cumsum(likely), likely.sum() / 2))
        unit, begin = self._units[first + middle], begins[middle]
        following = self._units[min(first + middle + 1, len(self._units) - 1)]
        if unit.frames and not following.frames and self._frames - begin >= _NEARLY * unit.frames:
            return first + middle + 1, self._frames, max(scores)  # the end of a word, all but over
        return first + middle, begin, max(scores)

    def path(self, over: int, at: int) -> list[tuple[int, int, int]]:
        """The units passed on the best way to there: index, first frame, boundary after it; in order."""
        found: list[tuple[int, int, int]] = []
        for index in range(over - 1, -1, -1):
            unit = self._units[index]
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

    def certainty(self, ends: Sequence[int], first: int, over: int) -> tuple[float, ...]:
        """How much worse the text fits if a word ends elsewhere than at its boundary in `ends`; 0 for words that end
        before the boundary `first`. `over`: units that were passed."""
        word = next((word for word, end in enumerate(ends) if end >= first), len(ends))
        least = next((index for index, unit in enumerate(self._units) if unit.word >= word), len(self._units))
        rest = self._following(first, least, min(len(self._units), over + _AHEAD))
        last = {unit.word: index for index, unit in enumerate(self._units) if unit.frames}
        out = [0.0] * len(ends)
        for word, end in enumerate(ends):
            row = last.get(word, -1) + 1
            if end < first or row not in rest:
                continue
            begin = max(first, self._low[row])
            size = self._low[row] + self._width - begin
            both = self._best[row, -size:] + rest[row][begin - first :][:size]
            here, there = max(0, end - _ELSEWHERE - begin), end + _ELSEWHERE + 1 - begin
            other = max(float(both[:here].max(initial=_NEVER)), float(both[there:].max(initial=_NEVER)))
            out[word] = max(0.0, float(both[here:there].max(initial=_NEVER)) - other)
        return tuple(out)

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

    def _step_back(self, unit: _Unit, rest: Floats, left: Floats, first: int) -> Floats:
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


def _result(
    words: Sequence[Word], units: list[_Unit], path: list[tuple[int, int, int]], over: int
) -> tuple[list[int], list[int]]:
    """The path in words: the frames at which they begin, and the boundaries after them. `over`: units passed, those
    left out at the end too."""
    spoken = len(words) if over == len(units) else units[over].word + (not units[over].frames)
    begins, ends = [-1] * len(words), [-1] * len(words)
    for index, first, after in path:
        unit = units[index]
        if unit.frames:
            if begins[unit.word] < 0:
                begins[unit.word] = first
            ends[unit.word] = after
    for index in range(spoken):  # a word that has no sound of its own
        if ends[index] < 0:
            begins[index] = ends[index] = ends[index - 1] if index else 0
    return begins[:spoken], ends[:spoken]
