"""Covers lost frames: the last pitch period goes on, fading, until the next frame blends in (the idea of ITU-T G.711
Appendix I, without its delay of the good frames)."""

from __future__ import annotations

from collections import deque
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from audio.frame import Format, Frame, decode, encode

Sound = NDArray[np.float32]

FADE_DB_MS = 0.3  # 6 dB per 20 ms
FADE_MS, COVER_MS = 60, 80  # the fade bends to silence between these
BLEND_MS = 5
JOIN_MS = 2.5
SHORTEST_MS, LONGEST_MS = 5, 15  # pitch periods: 200 down to 66 Hz; a higher voice is found at two or three periods
WINDOW_MS = 20
VOICED = 0.5  # correlation from which a repetition counts as pitch
_SEARCH_RATE = 8000


@lru_cache(maxsize=16)
def _rising(samples: int) -> Sound:
    """Half a raised cosine from just above 0 to 1."""
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.arange(1, samples + 1) / samples), dtype=np.float32)


@lru_cache(maxsize=8)
def _fade(rate: int) -> Sound:
    at = np.arange(rate * COVER_MS // 1000) * 1000 / rate
    gain = 10 ** (-FADE_DB_MS * at / 20)
    last = at >= FADE_MS
    gain[last] *= 1 - _rising(int(last.sum()))
    return np.asarray(gain, dtype=np.float32)


class Concealer:
    """One direction of one stream of frames in `format` (any usual frame length; the length may change).

    Give every frame that came in order to `received` and play what it returns; call `lost` for each one missing. While
    nothing is lost a frame costs next to nothing and comes back as it is, undecoded.
    """

    __slots__ = ("_cover", "_format", "_given", "_recent", "concealed_ms")

    def __init__(self, format: Format) -> None:
        self._format = format
        self._recent: deque[bytes] = deque(maxlen=5)  # wire form: decoded samples take twice as much and more
        self._cover: Sound | None = None  # what a loss under way is covered with
        self._given = 0  # samples of it used
        self.concealed_ms = 0.0

    def lost(self, samples: int = 0) -> Frame:
        """A stand-in for a missing frame of `samples` (0: as long as the frame before; 20 ms at the very start)."""
        if not samples:
            samples = self._format.samples(len(self._recent[-1])) if self._recent else self._format.rate // 50
        if self._cover is None:
            self._cover, self._given = self._continuation(), 0
        piece = self._cover[self._given : self._given + samples]
        self._given += samples
        self.concealed_ms += samples * 1000 / self._format.rate
        data = self._wire(piece) + self._format.silence * (samples - len(piece))
        self._recent.append(data)
        return Frame(data, self._format, concealed=True)

    def received(self, frame: Frame) -> Frame:
        """The frame itself or, right after a loss, with its first 5 ms blended out of what covered the loss."""
        if self._cover is not None:
            frame = self._blended(frame, self._cover[self._given :])
            self._cover = None
        self._recent.append(frame.data)
        return frame

    def _blended(self, frame: Frame, rest: Sound) -> Frame:
        length = min(self._format.rate * BLEND_MS // 1000, frame.samples)
        begin = frame.pcm[:length] * _rising(length)
        overlap = rest[:length]
        begin[: len(overlap)] += overlap * (1 - _rising(length)[: len(overlap)])
        return Frame(self._wire(begin) + frame.data[length * self._format.width :], self._format, frame.concealed)

    def _wire(self, sound: Sound) -> bytes:
        pcm = np.clip(np.rint(sound), -32768, 32767).astype(np.int16)
        return encode(pcm, self._format.encoding)

    # ------------------------------------------------------------------------------------------------- what comes next

    def _continuation(self) -> Sound:
        """`COVER_MS` of sound that goes on from the last sample heard."""
        rate = self._format.rate
        fade = _fade(rate)
        cover = np.zeros(len(fade), dtype=np.float32)
        if not self._recent:
            return cover
        heard = decode(b"".join(self._recent), self._format.encoding).astype(np.float32)
        heard = heard[-rate * (LONGEST_MS + WINDOW_MS + LONGEST_MS // 4 + 1) // 1000 :]
        step = float(heard[-1])
        period = _pitch(heard, rate)
        if period:
            loop = heard[-period:].copy()
            # The end of the loop runs into what came before its beginning, so that it goes round without a seam.
            seam = period // 4
            weight = _rising(seam)
            loop[-seam:] += (heard[-period - seam : -period] - loop[-seam:]) * weight
            cover = np.resize(loop, len(fade))
            step -= float(heard[-period - 1])
        # The loop begins a little off the last sample heard: take the difference out gently.
        join = int(rate * JOIN_MS / 1000)
        cover[:join] += step * (1 - _rising(join))
        return np.asarray(cover * fade, dtype=np.float32)


def _pitch(heard: Sound, rate: int) -> int:
    """The period of a voice in samples; for anything else the longest one, whose repetition hums least.

    0 when too little was heard to repeat. `rate` is a multiple of 8000, where the search takes place.
    """
    factor = rate // _SEARCH_RATE
    shortest, longest = (ms * _SEARCH_RATE // 1000 for ms in (SHORTEST_MS, LONGEST_MS))
    coarse = heard[len(heard) % factor :].reshape(-1, factor).mean(axis=1)
    window = min(WINDOW_MS * _SEARCH_RATE // 1000, len(coarse) - longest - longest // 4)
    if window < shortest:
        return 0
    past = coarse[-window - longest : len(coarse) - shortest]
    energy = np.convolve(past * past, np.ones(window), "valid")
    wanted = coarse[-window:]
    scale = np.sqrt(np.maximum(energy * float(np.dot(wanted, wanted)), 1.0))
    likeness = np.correlate(past, wanted, "valid") / scale
    best = int(np.argmax(likeness))
    if likeness[best] < VOICED:
        return longest * factor
    period = (longest - best) * factor
    if factor == 1:
        return period
    window *= factor
    near = range(max(period - factor, shortest * factor), min(period + factor, longest * factor) + 1)
    return max(near, key=lambda lag: _match(heard, window, lag))


def _match(heard: Sound, window: int, lag: int) -> float:
    past = heard[len(heard) - window - lag : len(heard) - lag]
    return float(np.dot(past, heard[-window:])) / float(np.sqrt(np.dot(past, past) + 1.0))
