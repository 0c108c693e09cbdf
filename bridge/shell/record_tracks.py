"""The two sound files of a finished call, both beginning at the start of the call and equally long, so that they can be
laid side by side.

- The caller's: frames in a row, in media time. Lateness on the way in does not move them; where the stream really had a
  hole (later frames do not catch up within a second), the hole is kept as silence.
- The agent's: as the carrier plays it. Audio plays in the order it was sent, each piece when it arrives or when what
  was sent before has been played; a clear throws away what has not been played at that moment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType

import soundfile

from audio.frame import Format, decode
from bridge.core.events import LegLost
from bridge.shell.record_format import CALLER, CLEARED, CONCEALED, EMITTED, Block
from bridge.shell.record_read import Step

_HOLE_MS = 60  # a smaller rise of the lag is jitter, or clocks that drift apart
_LOOK_AHEAD_NS = 1_000_000_000
_SECONDS_HELD = 10  # what a track keeps in memory before it goes to the file


class Track:
    """A mono FLAC file that grows with gaps: positions are samples from the start of the call."""

    def __init__(self, path: Path, form: Format) -> None:
        self._form = form
        self._tail = bytearray()
        self._base = 0  # position where `_tail` begins
        self._file = soundfile.SoundFile(path, "w", form.rate, 1, "PCM_16", format="FLAC")

    def __enter__(self) -> Track:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    @property
    def end(self) -> int:
        return self._base + self._form.samples(len(self._tail))

    def put(self, position: int, data: bytes) -> None:
        """Append wire bytes at `position`, or at the end when that is later."""
        self.extend(position)
        self._tail += data

    def extend(self, position: int) -> None:
        """Silence up to `position`."""
        while (missing := position - self.end) > 0:
            self._tail += self._form.silence * min(missing, self._form.rate)
            self.settle(self.end)

    def cut(self, position: int) -> None:
        """Throw away what lies behind `position`."""
        kept = max(0, position - self._base) * self._form.width
        del self._tail[kept:]

    def settle(self, position: int) -> None:
        """Nothing before `position` will change: write it out when enough has gathered."""
        ready = min(position, self.end) - self._base
        if ready >= _SECONDS_HELD * self._form.rate:
            self._write(ready)

    def finish(self) -> None:
        self._write(self.end - self._base)

    def _write(self, samples: int) -> None:
        size = samples * self._form.width
        self._file.write(decode(bytes(self._tail[:size]), self._form.encoding))
        del self._tail[:size]
        self._base += samples


class CallerClock:
    """Places the caller's frames on `track`."""

    def __init__(self, track: Track, form: Format) -> None:
        self._track = track
        self._form = form
        self._media = 0  # samples received
        self._lag: int | None = None  # position minus media time
        self._hole = form.rate * _HOLE_MS // 1000
        self._waiting: deque[tuple[int, int, bytes]] = deque()  # arrival ns, lag in samples, data

    def arrived(self, since_start: int, data: bytes) -> None:
        """A frame that was complete `since_start` ns after the start of the call."""
        self._media += self._form.samples(len(data))
        lag = since_start * self._form.rate // 1_000_000_000 - self._media
        self._waiting.append((since_start, lag, data))
        while since_start - self._waiting[0][0] > _LOOK_AHEAD_NS:
            self._place()

    def finish(self) -> None:
        while self._waiting:
            self._place()

    def _place(self) -> None:
        least = max(0, min(lag for _, lag, _ in self._waiting))
        _, _, data = self._waiting.popleft()
        if self._lag is None or least - self._lag > self._hole:
            begin = least if self._lag is None else self._track.end + least - self._lag
            self._track.extend(begin)
            self._lag = least
        self._track.put(self._track.end, data)
        self._track.settle(self._track.end)


def make_tracks(
    steps: Iterable[Step], start: int, form: Format, caller: Path, agent: Path, breathe: Callable[[], None]
) -> int:
    """Write both files; their length in samples. `start`: loop time of the call's start in ns. `breathe` is called
    after each step, so that a long call does not keep the interpreter from others.

    Raises OSError or soundfile.LibsndfileError when a file cannot be written.
    """
    with Track(caller, form) as heard, Track(agent, form) as said:
        clock = CallerClock(heard, form)
        now = start
        for step in steps:
            now = step.now
            given = step.given
            if isinstance(given, Block):
                if given.kind in (CALLER, CONCEALED) and given.data:
                    clock.arrived(now - start, given.data)
            elif given is not None and given.get("in", {}).get("type") == LegLost.__name__:
                said.cut(_position(now - start, form))  # what was in flight is void
            _say(said, step.outputs, start, form)
            breathe()
        clock.finish()
        said.settle(_position(now - start, form))
        end = max(heard.end, said.end)
        for track in (heard, said):
            track.extend(end)
            track.finish()
        return end


def _say(track: Track, outputs: Iterable[Block], start: int, form: Format) -> None:
    for block in outputs:
        position = _position(block.stamp - start, form)
        if block.kind == EMITTED and block.data:
            track.settle(position)
            track.put(position, block.data)
        elif block.kind == CLEARED:
            track.cut(position)


def _position(since_start: int, form: Format) -> int:
    return since_start * form.rate // 1_000_000_000
