"""Laying text along speech: which stretch of the sound is which word.

A forced alignment without a model of the language: the text is read as a row of kinds of sound (`sounds`), each 10 ms
of the audio says how well each kind explains what is heard there (`phones`), and dynamic programming finds the row of
stretches that fits both best, with pauses where a comma or the end of a sentence makes them likely. Text that ran ahead
of the audio, and audio that ran ahead of the text, are left over at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audio.bands import loudness, normalised, product
from bridge.core.lattice import Lattice, Unit
from bridge.core.phones import LETTERS, probabilities
from bridge.core.sounds import ANY, PAUSE, Sound, Word

Floats = NDArray[np.float32]

FRAME_MS = 10
_SPEECH_DB = 12.0  # the loud parts of softer sound are no speech
_SILENT_DB = 38.0  # below the loud parts
_WEIGHT = 0.3  # of what a frame says: neighbouring frames say much the same

_UNMARKED_PAUSE = 3.0  # where the text has no stop
_MISSING_PAUSE = 3.0  # where it has one
_LEFT_OUT = 0.7  # an optional sound
_LONGEST_PAUSE = 50  # frames of silence that count; what is beyond is skipped

_FASTEST = 0.6  # of the voice's own pace
_MARGIN_MS = 1000

_EXPLAINED = np.ascontiguousarray(LETTERS.T)


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where each word's sound begins and ends, in ms, for as many words as were spoken to their end. `heard`: from when
    on it counts as over: its end, or later or earlier where its end is doubtful. `sure`: how much worse the text fits
    the sound if a word ends elsewhere, over 120 ms away, or not at all (log likelihood; 0: just as well)."""

    begins: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    heard: tuple[int, ...] = ()
    sure: tuple[float, ...] = ()

    def spoken(self, ms: float) -> int:
        """How many words were over at `ms`."""
        return int(np.searchsorted(self.heard, ms, side="right"))

    def upto(self, words: int) -> Alignment:
        """The first `words` only."""
        return Alignment(self.begins[:words], self.ends[:words], self.heard[:words], self.sure[:words])

    def followed_by(self, other: Alignment, ms: int) -> Alignment:
        """With the words of a stretch that begins at `ms`."""
        later = [tuple(time + ms for time in times) for times in (other.begins, other.ends, other.heard)]
        return Alignment(
            self.begins + later[0], self.ends + later[1], self.heard + later[2], self.sure + other.sure
        )


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
    lattice = Lattice(_likeness(bands[kept], level[kept]), units, complete)
    lattice.run()
    over, at = lattice.end()
    path = lattice.path(over, at)
    begins, ends = _result(words, units, path, over)
    times = np.append(kept, len(level)) * FRAME_MS
    after = _ms(ends, times)
    if since is None:
        return Alignment(tuple(times[begins].tolist()), after, after)
    sure, heard = lattice.certainty(ends, int(np.searchsorted(times, since)), over)
    return Alignment(tuple(times[begins].tolist()), after, _ms(np.maximum.accumulate(heard), times), sure)


def _ms(boundaries: Sequence[int] | NDArray[np.intp], times: NDArray[np.intp]) -> tuple[int, ...]:
    """When the frames before some boundaries are over. `times`: when each frame begins, and the last ends."""
    at = np.asarray(boundaries, np.intp)
    beyond = np.maximum(at - len(times) + 1, 0)
    return tuple(np.where(at > 0, times[at - beyond - 1] + FRAME_MS * (beyond + 1), 0).tolist())


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
    silent = level < _share(level, 0.9) - _SILENT_DB
    out[PAUSE, silent] = out[ANY, silent]  # however short it is: the network takes it for the closure of a stop
    return np.asarray((out - out.max(axis=0)) * np.float32(_WEIGHT), np.float32)


def _row(words: Sequence[Word], pace: float) -> list[Unit]:
    """The sounds of a text with the pauses around its words."""
    row = [Unit(PAUSE, 0, -1, 0.0, 0.0)]
    for index, word in enumerate(words):
        row += [_unit(sound, index, pace) for sound in word.sounds]
        if word.stop:
            row.append(Unit(PAUSE, 0, index, _MISSING_PAUSE, 0.0))
        elif word.sounds:
            row.append(Unit(PAUSE, 0, index, 0.0, _UNMARKED_PAUSE))
    return row


def _unit(sound: Sound, word: int, pace: float) -> Unit:
    return Unit(
        sound.kind, max(2, round(sound.ms * pace / FRAME_MS)), word, _LEFT_OUT if sound.optional else None, 0.0
    )


def _result(
    words: Sequence[Word], units: list[Unit], path: list[tuple[int, int, int]], over: int
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
