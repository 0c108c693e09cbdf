"""The two sound files of a finished call, both beginning at the start of the call and equally long, so that they can be
laid side by side.

- The caller's: frames in a row, in media time. Lateness on the way in does not move them; where the stream really had a
  hole (later frames do not catch up within a second), the hole is kept as silence.
- The agent's: as the carrier plays it. Audio plays in the order it was sent, each piece when it arrives or when what
  was sent before has been played; a clear throws away what has not been played at that moment.

Thousands of frames a minute pass here beside running calls: one light loop over the blocks finds out where everything
lies, then the bytes go from the mapped file to the sound file in pieces.
"""

from __future__ import annotations

import mmap
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from audio.frame import Format, decode
from bridge.shell.record_format import (
    CALLER,
    CLEARED,
    CONCEALED,
    DROPPED,
    EMITTED,
    HEADER,
    HEADER_SIZE,
    KINDS,
)

SECOND = 1_000_000_000
_HOLE_MS = 60  # a smaller rise of the lag is jitter, or clocks that drift apart
_BREATH = 128  # blocks or pieces between two breaths
_PIECE_SECONDS = 2  # what goes to a file at once

Bytes = bytes | mmap.mmap
Ints = NDArray[np.int64]
Piece = tuple[int, int, int]
"""Where sound begins in the track (samples), where in `media.bin` it lies, and how many bytes it has."""


def place_caller(arrivals: Ints, samples: Ints, rate: int) -> Ints:
    """Where each of the caller's frames begins, in samples since the start of the call. `arrivals`: when it was
    complete, ns since the start; `samples`: its length."""
    media = np.cumsum(samples)
    ahead = np.maximum(_least_ahead(arrivals, arrivals * rate // SECOND - media), 0)
    lag = np.empty_like(ahead)
    hole = rate * _HOLE_MS // 1000
    begin = 0
    while begin < len(lag):
        here = ahead[begin]
        later = np.flatnonzero(ahead[begin:] > here + hole)
        end = begin + int(later[0]) if len(later) else len(lag)
        lag[begin:end] = here
        begin = end
    return media - samples + lag


def _least_ahead(arrivals: Ints, lag: Ints) -> Ints:
    """For each frame the least lag among those that arrive within the next second, itself included: lateness that
    later frames make up for is not in it."""
    least = lag.copy()
    end = np.searchsorted(arrivals, arrivals + SECOND, "right")
    span = end - np.arange(len(lag))
    rows, width = lag, 1  # the least of `width` frames from each on, doubled as often as any span needs
    while (span >= width).any():
        chosen = np.flatnonzero((span >= width) & (span < 2 * width))
        least[chosen] = np.minimum(rows[chosen], rows[end[chosen] - width])
        rows = rows.copy()
        rows[:-width] = np.minimum(rows[:-width], rows[width:])
        width *= 2
    return least


class AgentLane:
    """Places the agent's audio. Positions are samples since the start of the call."""

    def __init__(self, form: Format) -> None:
        self.pieces: list[Piece] = []
        self.end = 0
        self._width = form.width

    def sent(self, position: int, offset: int, size: int) -> None:
        begin = max(self.end, position)
        self.pieces.append((begin, offset, size))
        self.end = begin + size // self._width

    def cut(self, position: int) -> None:
        """What lies behind `position` is never heard."""
        while self.pieces and self.end > position:
            begin, offset, _ = self.pieces.pop()
            self.end = begin
            if begin < position:
                self.pieces.append((begin, offset, (position - begin) * self._width))
                self.end = position
                return


def make_tracks(
    media: Path,
    form: Format,
    start: int,
    lost: Sequence[int],
    caller: Path,
    agent: Path,
    breathe: Callable[[], None],
) -> int:
    """Write `caller` and `agent` from `media.bin`; their length in samples; no files when it is 0. `start`: loop
    time of the call's start in ns; `lost`: when the leg was lost, likewise. `breathe` is called every now and then, so
    that a long call does not keep the interpreter from others.

    Raises OSError or soundfile.LibsndfileError when a file cannot be read or written.
    """
    with ExitStack() as stack:
        file = stack.enter_context(open(media, "rb"))
        data: Bytes = b""  # an empty file cannot be mapped
        if file.seek(0, 2):
            data = stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        heard, said = _lay_out(data, form, start, lost, breathe)
        length = max((begin + size // form.width for begin, _, size in heard[-1:] + said[-1:]), default=0)
        if length:
            _write(caller, data, form, heard, length, breathe)
            _write(agent, data, form, said, length, breathe)
        return length


def _lay_out(
    data: Bytes, form: Format, start: int, lost: Sequence[int], breathe: Callable[[], None]
) -> tuple[list[Piece], list[Piece]]:
    """Pieces of both tracks, the caller's first. Blocks are read up to the first that is torn or makes no sense."""
    frames: list[tuple[int, int, int]] = []
    said = AgentLane(form)
    cuts = deque(sorted(lost))
    rate, width = form.rate, form.width
    unpack = HEADER.unpack_from
    at, end, count = 0, len(data), 0
    while at + HEADER_SIZE <= end:
        stamp, _, _, size, kind, flags = unpack(data, at)
        at += HEADER_SIZE
        if flags & DROPPED:
            continue
        if kind not in KINDS or at + size > end:
            break
        while cuts and cuts[0] <= stamp:
            said.cut((cuts.popleft() - start) * rate // SECOND)
        if kind in (CALLER, CONCEALED):
            frames.append((stamp - start, at, size))
        elif kind == EMITTED:
            said.sent((stamp - start) * rate // SECOND, at, size)
        elif kind == CLEARED:
            said.cut((stamp - start) * rate // SECOND)
        at += size
        count += 1
        if count % _BREATH == 0:
            breathe()
    for cut in cuts:
        said.cut((cut - start) * rate // SECOND)
    if not frames:
        return [], said.pieces
    table = np.array(frames, np.int64)
    begins = place_caller(table[:, 0], table[:, 2] // width, rate)
    return list(zip(begins.tolist(), table[:, 1].tolist(), table[:, 2].tolist(), strict=True)), said.pieces


def _write(
    path: Path, data: Bytes, form: Format, pieces: Sequence[Piece], length: int, breathe: Callable[[], None]
) -> None:
    """A FLAC file of `length` samples: `pieces` in order, silence between and after them."""
    with soundfile.SoundFile(path, "w", form.rate, 1, "PCM_16", format="FLAC") as file:
        width, at_once = form.width, _PIECE_SECONDS * form.rate
        silence = form.silence * at_once
        buffer = bytearray()
        end = 0  # samples laid down

        def flush() -> None:
            file.write(decode(bytes(buffer), form.encoding))
            buffer.clear()

        for number, (begin, offset, size) in enumerate([*pieces, (length, 0, 0)], 1):
            while end < begin:
                gap = min(begin - end, at_once)
                buffer += silence[: gap * width]
                end += gap
                if len(buffer) >= at_once * width:
                    flush()
            buffer += data[offset : offset + size]
            end += size // width
            if len(buffer) >= at_once * width:
                flush()
            if number % _BREATH == 0:
                breathe()
        flush()
