"""Hears which words of the emulators' voice are in sound that reached the caller, and exactly when.

Everything an emulator says is joined from stretches of one recording, so the sound is found again in it: as the same
bytes where it was passed through, as the same bytes of a resampled recording where it was converted, and by
correlation where it was made quieter. Found stretches are followed as long as they agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from audio.frame import PCM16_24K, PCMU, decode, encode
from audio.resample import Resampler
from bridge.fakes.speech import RATE, Spoken, bank, plain

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

BLOCK = 80  # samples compared at a time: 10 ms
PROBE = 16  # samples between two places that are looked up
AGREE = 0.85  # correlation of a block with the recording
QUIET = 100.0  # RMS below which a block says nothing
LOST_MS = 30  # disagreement that ends a stretch
UNEXPLAINED = 480  # samples that cannot be looked up before they are searched for by correlation
LOUD = 60  # what is softer is not listened to
TORN = 240  # samples by which the parts of a word may miss each other, or overlap
NEAR = 40  # samples by which a converted recording may lie off the plain one
LONGEST = 8000 * 10  # samples of a stretch
HEARD = 0.75  # share of a word that must be heard for it to count
TRACE = 0.2  # ... and to count as broken


@dataclass(frozen=True, slots=True)
class Heard:
    """A word as the caller heard it, ms since the sound's begin. `share` below HEARD: broken off."""

    word: str
    begin: float
    end: float
    share: float

    @property
    def whole(self) -> bool:
        return self.share >= HEARD


@dataclass(slots=True)
class Stretch:
    """Samples `begin` to `end` of the sound are the recording from `place` on."""

    begin: int
    end: int
    place: int

    @property
    def place_end(self) -> int:
        return self.place + self.end - self.begin


class Ear:
    """`extra`: further sounds to know, as u-law, by the name they are heard as."""

    def __init__(self, extra: Mapping[str, bytes]) -> None:
        size = max(end for spoken in bank().clips.values() for _, end in spoken.pieces)
        whole = Spoken(bank().clips["greeting"].words, ((0, size),))
        plain_tape = bank().audio(whole, PCMU)
        pcm = decode(bank().audio(whole, PCM16_24K), "pcm16")
        tapes = [plain_tape] + [_resampled(pcm[phase:], len(plain_tape)) for phase in range(3)]
        marks = {mark for clip in bank().clips.values() for mark in _marks(clip, decode(plain_tape, "pcmu"))}
        length = len(plain_tape)
        for name, data in extra.items():
            marks.add((length, length + len(data), f"<{name}>"))
            tapes = [tape + data for tape in tapes]
            length += len(data)
        keys = np.concatenate([_windows(tape) for tape in tapes])
        places = np.concatenate([np.arange(length - 7, dtype=np.int32) + length * i for i in range(len(tapes))])
        order = np.argsort(keys)
        self._keys, self._places = keys[order], places[order]
        self._marks = sorted(marks)
        self._begins = np.array([begin for begin, _, _ in self._marks])
        self._ends = np.array([end for _, end, _ in self._marks])
        self._length = length
        self._pcm = [decode(tape, "pcmu").astype(np.float32) for tape in tapes]
        self._spectrum: NDArray[np.complex64] | None = None
        self._scale = np.zeros(0)  # how loud the recording is from each place on, for the same

    def words(self, sound: bytes) -> list[Heard]:
        """Words in u-law `sound`, broken ones included, in order of time."""
        pcm = decode(sound, "pcmu").astype(np.float32)
        parts: list[tuple[int, Stretch, int, int]] = []
        for stretch in self._stretches(sound, pcm):
            first = int(np.searchsorted(self._ends, stretch.place, "right"))
            last = int(np.searchsorted(self._begins, stretch.place_end, "left"))
            for index in range(first, last):
                low = max(stretch.place, int(self._begins[index]))
                high = min(stretch.place_end, int(self._ends[index]))
                if high > low:
                    parts.append((index, stretch, low, high))
        return self._joined(parts)

    def _joined(self, parts: list[tuple[int, Stretch, int, int]]) -> list[Heard]:
        """A word that a pause in delivery tore apart is one word when its second part goes on where the first ended."""
        out: list[Heard] = []
        before: tuple[int, int] | None = None
        for index, stretch, low, high in parts:
            begin, end = (stretch.begin + place - stretch.place for place in (low, high))
            share = (high - low) / (self._ends[index] - self._begins[index])
            goes_on = before is not None and before[0] == index and abs(low - before[1]) <= TORN
            if goes_on:
                last = out.pop()
                out.append(Heard(last.word, last.begin, end / 8, min(1.0, last.share + float(share))))
            else:
                out.append(Heard(self._marks[index][2], begin / 8, end / 8, float(share)))
            before = (index, high)
        return [heard for heard in out if heard.share >= TRACE]

    def _stretches(self, sound: bytes, pcm: Floats) -> list[Stretch]:
        loud = np.flatnonzero(np.abs(pcm) > LOUD)
        at_sound, places, tapes = self._votes(sound, pcm)
        out: list[Stretch] = []
        at = 0
        while True:
            index = int(np.searchsorted(loud, at))
            if index == len(loud):
                return out
            at = int(loud[index])
            vote = int(np.searchsorted(at_sound, at))
            begin, offset, tape = len(pcm), 0, self._pcm[0]
            if vote < len(at_sound):
                begin, tape = int(at_sound[vote]), self._pcm[int(tapes[vote])]
                offset = int(places[vote]) - begin
                begin = self._back(pcm, at, begin, offset, tape)
            unexplained = min(begin, at + UNEXPLAINED)
            dense = int(np.searchsorted(loud, unexplained)) - index > UNEXPLAINED // 3
            if dense or begin > unexplained:  # a soft beginning is passed over, not what comes after it
                by_ear = self._correlate(pcm, at) if dense else None
                if by_ear is None:
                    at = unexplained
                    continue
                offset, tape = by_ear
                begin = self._back(pcm, out[-1].end if out else 0, at, offset, tape)  # what was passed over on the way
            if begin == len(pcm):
                return out
            stretch = self._follow(pcm, begin, offset, tape)
            if stretch.end - stretch.begin >= BLOCK:
                out.append(stretch)
            at = max(stretch.end, begin + BLOCK)

    def _votes(self, sound: bytes, pcm: Floats) -> tuple[Ints, Ints, Ints]:
        """Positions of the sound that are found as they are in the recording; where, and on which tape."""
        keys = _windows(sound)[::PROBE]
        if len(keys) < 3:
            return (np.zeros(0, np.int64),) * 3
        at = np.arange(len(keys)) * PROBE
        loud = np.flatnonzero(np.add.reduceat(np.abs(pcm), at)[: len(at)] > QUIET * PROBE)
        keys, at = keys[loud], at[loud]
        found = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        where = self._places[found].astype(np.int64)
        offsets = where - at
        good = self._keys[found] == keys
        steady = good[:-2] & good[1:-1] & good[2:] & (offsets[:-2] == offsets[1:-1]) & (offsets[:-2] == offsets[2:])
        chosen = np.flatnonzero(steady)
        return at[chosen], where[chosen] % self._length, where[chosen] // self._length

    def _back(self, pcm: Floats, least: int, at: int, offset: int, tape: Floats) -> int:
        """How far before `at`, not before `least`, sound and recording agree already, across short quiet stretches."""
        begin = at
        while at - BLOCK >= least and at - BLOCK + offset >= 0:
            mine, theirs = pcm[at - BLOCK : at], tape[at - BLOCK + offset : at + offset]
            at -= BLOCK
            if _likeness(mine[None], theirs[None])[0] > AGREE:
                begin = at
            elif max(_rms(mine), _rms(theirs)) > QUIET:
                break
        return begin

    def _correlate(self, pcm: Floats, at: int) -> tuple[int, Floats] | None:
        """The slow way, for sound whose level was changed: how far on it lies, and on the tape that it follows longest.
        (Where it was converted, hissing sounds are not like those of the plain one.)"""
        mine = pcm[at : at + 8 * BLOCK]
        if len(mine) < 8 * BLOCK:
            return None
        tape = self._pcm[0]
        size = 1 << (len(tape) + len(mine) - 1).bit_length()
        if self._spectrum is None:
            self._spectrum = np.fft.rfft(tape, size)
            energy = np.cumsum(np.concatenate([[0.0], tape.astype(np.float64) ** 2]))
            self._scale = np.sqrt(np.maximum(energy[len(mine) :] - energy[: -len(mine)], len(mine) * QUIET**2))
        match = np.fft.irfft(self._spectrum * np.conj(np.fft.rfft(mine, size)), size)
        place = int(np.argmax(match[: len(self._scale)] / self._scale))
        alike = []
        for tape in self._pcm:
            first = max(0, place - NEAR)
            theirs = np.lib.stride_tricks.sliding_window_view(tape[first : place + NEAR + len(mine)], len(mine))
            likeness = _likeness(np.broadcast_to(mine, theirs.shape), theirs)
            best = int(np.argmax(likeness))
            if likeness[best] > AGREE:
                alike.append((first + best - at, tape))
        return max(alike, key=lambda each: self._follow(pcm, at, *each).end, default=None)

    def _follow(self, pcm: Floats, at: int, offset: int, tape: Floats) -> Stretch:
        """As long as sound and recording agree; quiet on both sides agrees too."""
        size = min(len(pcm) - at, len(tape) - at - offset, LONGEST) // BLOCK * BLOCK
        mine = pcm[at : at + size].reshape(-1, BLOCK)
        theirs = tape[at + offset : at + offset + size].reshape(-1, BLOCK)
        loud = np.maximum(np.mean(mine**2, axis=1), np.mean(theirs**2, axis=1)) > QUIET**2
        good = _likeness(mine, theirs) > AGREE
        bad = 0
        last = 0
        for block in range(len(mine)):
            if good[block]:
                bad, last = 0, block + 1
            elif loud[block]:
                bad += 10
                if bad >= LOST_MS:
                    break
        return Stretch(at, at + last * BLOCK, at + offset)


def _marks(clip: Spoken, tape: NDArray[np.int16]) -> list[tuple[int, int, str]]:
    """Begin, end and name of a clip's words at 8 kHz, without the quiet their times include at the ends."""
    out = []
    at = clip.pieces[0][0]
    for word in clip.words:
        begin, end = ((at + place) * 8000 // RATE for place in (word.begin, word.end))
        loud = np.flatnonzero(np.abs(tape[begin:end].astype(np.int32)) > 2 * QUIET)
        out.append((begin + int(loud[0]), begin + int(loud[-1]) + 1, plain(word.text)))
    return out


def _windows(sound: bytes) -> NDArray[np.uint64]:
    """Eight bytes from each position on as one number."""
    data = np.frombuffer(sound, np.uint8).astype(np.uint64)
    count = max(0, len(data) - 7)
    keys = np.zeros(count, np.uint64)
    for shift in range(8):
        keys |= data[shift : shift + count] << np.uint64(8 * shift)
    return keys


def _rms(pcm: Floats) -> float:
    return float(np.sqrt(np.mean(pcm**2)))


def _likeness(one: Floats, two: Floats) -> Floats:
    """Correlation of rows."""
    scale = np.sqrt(np.einsum("ij,ij->i", one, one) * np.einsum("ij,ij->i", two, two)) + 1.0
    return np.einsum("ij,ij->i", one, two) / scale


def _resampled(pcm: NDArray[np.int16], size: int) -> bytes:
    """As the bridge converts 24 kHz to 8 kHz, in u-law, without the converter's delay."""
    converter = Resampler(RATE, 8000)
    out = np.concatenate([converter.process(pcm), converter.flush()])
    return encode(np.resize(out, size), "pcmu")


@lru_cache(maxsize=1)
def _phrases() -> dict[str, bytes]:
    from tests.core.stage import Stage

    return dict(Stage().spec.phrases)


@lru_cache(maxsize=1)
def ear() -> Ear:
    """The one ear of this process; it knows the phrases of the test stage."""
    return Ear(_phrases())
