"""A carrier's media stream with holes in it, up to the events a call gets: the real edge, fed message by message."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Collection, Iterator

import numpy as np

from audio.frame import PCMU, Frame, Pcm, encode
from bridge.core.events import Event, LineAway
from bridge.edges.media_leg import MediaLeg, MediaStream
from bridge.edges.twilio import Start
from tests.edges.test_twilio import message, start

FRAME = 160


def chunked(pcm: Pcm) -> list[bytes]:
    """int16 at 8 kHz as u-law chunks of 20 ms; what is left over is dropped."""
    data = encode(pcm, "pcmu")
    return [data[at : at + FRAME] for at in range(0, len(data) - len(data) % FRAME, FRAME)]


def losses(count: int, share: float, seed: int, longest: int = 3) -> set[int]:
    """Chunks that are lost: `share` of them, in bursts of 1 to `longest`."""
    chance = np.random.default_rng(seed)
    lost: set[int] = set()
    while len(lost) < share * count:
        at, length = int(chance.integers(10, count)), int(chance.integers(1, longest + 1))
        lost |= set(range(at, min(at + length, count)))
    return lost


class NoSocket:
    def abort(self, why: str) -> None:
        """The carrier is not listening."""

    def send_raw(self, data: bytes) -> None:
        """Nor here."""

    def send_text(self, data: bytes) -> None:
        """Nor here."""


class Edge:
    """One stream and its leg. `events` are what the call was given; `tell` may take them instead."""

    def __init__(self, tell: Callable[[Event | Frame], None] | None = None, stamps: bool = True) -> None:
        self.events: list[Event | Frame] = []
        self.notices: list[str] = []
        self.over = False
        self.dispatch = self.heard = tell or self.events.append
        self.leg = MediaLeg(PCMU, "ref", "CA1", "agent", lambda leg, target: None)
        self._stamps = stamps
        self.connect()
        self.leg.started(self)

    def connect(self) -> None:
        """A stream, or another one."""
        self.stream = MediaStream("agent", self._begin, lambda stream: None)
        self.stream.socket = NoSocket()  # type: ignore[assignment]
        self.stream.on_text(start())

    def _begin(self, stream: MediaStream, begun: Start) -> None:
        self.leg.attach(stream)

    def notice(self, what: str) -> None:
        self.notices.append(what)

    def chunk(self, number: int, audio: bytes, at_ms: int | None = None) -> None:
        """Chunk `number`, from 0, arrives."""
        media = {"track": "inbound", "chunk": str(number + 1), "payload": b64encode(audio).decode()}
        if self._stamps:
            media["timestamp"] = str(number * 20 + 5 if at_ms is None else at_ms)
        self.stream.on_text(message("media", media=media))

    def play(self, chunks: list[bytes], lost: Collection[int] = ()) -> Iterator[int]:
        """Chunk by chunk; yields the number of each that was due, lost or not."""
        for number, audio in enumerate(chunks):
            if number not in lost:
                self.chunk(number, audio)
            yield number

    @property
    def frames(self) -> list[Frame]:
        return [each for each in self.events if isinstance(each, Frame)]

    @property
    def away(self) -> list[int]:
        return [event.ms for event in self.events if isinstance(event, LineAway)]


def joined(frames: list[Frame]) -> np.ndarray:
    return np.concatenate([frame.pcm for frame in frames]).astype(float)
