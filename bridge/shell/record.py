"""Call records as they are written: cheap on the loop, disk on one thread for all calls.

On the loop a call only appends to two byte buffers; four times a second the writer thread takes what is there and
appends it to `media.bin` and `events.jsonl`. When a call is over, a second thread makes its summary and sound files
(`bridge.shell.record_finish`). What the disk cannot take in time is given up, payload before metadata, and counted; a
call never waits for its record.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import orjson

from bridge.core.effects import ClearLeg, Emit
from bridge.core.engine import Action
from bridge.core.events import Event, Pulled
from bridge.core.plan import CallSpec
from bridge.shell.record_format import (
    BINARY,
    CALLER,
    CLEARED,
    CONCEALED,
    DROPPED,
    EMITTED,
    HEADER,
    HEADER_SIZE,
    PULLED,
    TEXT,
    fold,
    plain,
)
from bridge.shell.record_writer import Snapshot, Writer
from providers.base import Failure
from providers.codec import Target

Mode = Literal["full", "events"]

SECOND = 1_000_000_000


@dataclass(slots=True)
class Budget:
    """Bytes waiting for the disk, over all calls. `added` is written by the loop's thread only, `taken` by the writer's
    only, so neither needs a lock.

    Above `payload` bodies are dropped, above `blocks` whole blocks of `media.bin`, above `everything` lines too.
    """

    payload: int
    added: int = 0
    taken: int = 0

    @property
    def waiting(self) -> int:
        return self.added - self.taken

    @property
    def blocks(self) -> int:
        return self.payload + self.payload // 4

    @property
    def everything(self) -> int:
        return self.payload + self.payload // 2


@dataclass(slots=True)
class Lost:
    """What one call's record had to give up: bodies of blocks (and their bytes), whole blocks, lines."""

    bodies: int = 0
    bytes: int = 0
    blocks: int = 0
    lines: int = 0

    def __bool__(self) -> bool:
        return bool(self.bodies or self.blocks or self.lines)


class CallRecorder:
    """The record of one call while it runs: `bridge.shell.recording.Recorder`, to be used from the loop's thread.

    `finished` is done when the summary is on disk and holds the call's folder; it fails with OSError when the disk
    refused the whole record.
    """

    __slots__ = (
        "_budget", "_checked", "_closing", "_count", "_crc", "_full", "_media", "_n", "_now", "_snapshot", "_text",
        "_writer", "finished", "lost",
    )  # fmt: skip

    def __init__(self, snapshot: Snapshot, mode: Mode, budget: Budget, writer: Writer) -> None:
        self._snapshot = snapshot
        self._full = mode == "full"
        self._budget = budget
        self._writer = writer
        self._media = bytearray()
        self._text = bytearray()
        self._n = -1
        self._now = 0
        self._crc = 0
        self._count = 0
        self._checked = 0
        self._closing = False
        self.lost = Lost()
        self.finished: Future[Path] = Future()

    # ------------------------------------------------------------------------------------------------ what went in

    def start(self, now: int) -> None:
        self._n = 0
        self._now = self._checked = now
        self._snapshot.start = now
        self._writer.add(self)

    def caller(self, data: bytes, now: int, concealed: bool = False) -> None:
        self._n = n = self._n + 1
        self._now = now
        if not self._full:
            return
        budget = self._budget
        if budget.added - budget.taken > budget.payload:
            self._block(CONCEALED if concealed else CALLER, 0, data)
            return
        size = len(data)  # as `_block`, without the call: this is the busiest place
        media = self._media
        media += HEADER.pack(now, n, 0, size, CONCEALED if concealed else CALLER, 0)
        media += data
        budget.added += HEADER_SIZE + size

    def message(self, link: int, raw: str | bytes, now: int) -> None:
        self._n += 1
        self._now = now
        if self._full:
            if isinstance(raw, str):
                self._block(TEXT, link, raw.encode("utf-8", "surrogatepass"))
            else:
                self._block(BINARY, link, raw)

    def failed(self, link: int, failure: Failure, now: int) -> None:
        self._n += 1
        self._now = now
        self._line(b'"failed":{"link":%d,"failure":%s}' % (link, plain(failure)))

    def event(self, event: Event, now: int) -> None:
        self._n += 1
        self._now = now
        if not isinstance(event, Pulled):
            self._line(b'"in":%s' % plain(event))
        elif self._full:
            self._block(PULLED, event.samples, b"")

    def crashed(self, trace: str, now: int) -> None:
        self._now = now
        self._line(b'"crashed":%s' % orjson.dumps(trace.encode(errors="replace").decode()))

    # ------------------------------------------------------------------------------------------------- what came out

    def actions(self, actions: Sequence[Action]) -> None:
        if not actions:
            return
        notes: list[tuple[bytes, int]] = []
        self._crc = fold(self._crc, actions, notes)
        self._count += len(actions)
        for body, after in notes:
            self._line(b'%s,"crc":%d' % (body, after) if self._full else body)
        if self._full:
            for action in actions:
                kind = type(action)
                if kind is Emit:
                    self._block(EMITTED, 0, action.data)  # type: ignore[union-attr]
                elif kind is ClearLeg:
                    self._block(CLEARED, 0, b"")
            if self._now - self._checked >= SECOND:
                self._checked = self._now
                self._line(b'"crc":%d,"actions":%d' % (self._crc, self._count))

    def close(self, now: int) -> None:
        self._now = now
        tail: dict[str, object] = {"end": True, "inputs": self._n + 1}
        if self._full:
            tail |= {"crc": self._crc, "actions": self._count}
        if self.lost:
            tail["lost"] = asdict(self.lost)
        self._line(orjson.dumps(tail)[1:-1], always=True)
        self._closing = True
        self._writer.wake()

    # --------------------------------------------------------------------------------- for the writer, on its thread

    @property
    def snapshot(self) -> Snapshot:
        return self._snapshot

    @property
    def closing(self) -> bool:
        """Nothing more will be appended. Read before `take`, so that what came last is not missed."""
        return self._closing

    def take(self) -> tuple[bytes, bytes]:
        """What waits for `media.bin` and for `events.jsonl`, removed from here. Taking a prefix is safe while the loop
        appends: each is one step under the interpreter's lock."""
        media = bytes(self._media)
        del self._media[: len(media)]
        text = bytes(self._text)
        del self._text[: len(text)]
        return media, text

    def written(self, size: int) -> None:
        """So many bytes that were taken are on disk, or given up."""
        self._budget.taken += size

    # ----------------------------------------------------------------------------------------------------- buffers

    def _block(self, kind: int, value: int, data: bytes) -> None:
        size = len(data)
        flags = 0
        budget = self._budget
        if budget.added - budget.taken > budget.payload:
            if budget.waiting > budget.blocks:
                self.lost.blocks += 1
                return
            if size:
                flags = DROPPED
                self.lost.bodies += 1
                self.lost.bytes += size
        media = self._media
        media += HEADER.pack(self._now, self._n, value, size, kind, flags)
        budget.added += HEADER_SIZE
        if size and not flags:
            media += data
            budget.added += size

    def _line(self, body: bytes, always: bool = False) -> None:
        budget = self._budget
        if budget.waiting > budget.everything and not always:
            self.lost.lines += 1
            return
        line = b'{"n":%d,"t":%d,%s}\n' % (self._n, self._now, body)
        self._text += line
        budget.added += len(line)


class Recordings:
    """All call records of a process, below one folder.

    `folder` is created with mode 0700, as is the folder of each call in it. `limit` bounds the bytes that wait for the
    disk, over all calls. `wall` gives the time of day in seconds.
    """

    def __init__(
        self,
        folder: Path,
        mode: Mode = "full",
        *,
        limit: int = 32 * 1024 * 1024,
        every: float = 0.25,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._mode: Mode = mode
        self._budget = Budget(limit)
        self._wall = wall
        self._writer = Writer(folder, every)

    def open(self, spec: CallSpec, targets: Mapping[str, Target]) -> CallRecorder:
        """The record of a call about to start, made from what its Engine is made from. Nothing is on disk before
        `start`.

        Raises ValueError when the call's id is no safe file name.
        """
        snapshot = Snapshot(spec, targets, self._mode, self._wall())
        return CallRecorder(snapshot, self._mode, self._budget, self._writer)

    @property
    def waiting(self) -> int:
        """Bytes that have not reached the disk yet."""
        return self._budget.waiting

    def close(self, timeout: float = 10.0) -> bool:
        """Write what waits and finish the calls that are over; at most `timeout` seconds. True when all was done. Calls
        that are still running keep what they have and are recovered at the next start."""
        return self._writer.close(timeout)
