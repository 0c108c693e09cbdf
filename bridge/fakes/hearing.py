"""What the emulators make of caller audio: how long it was, which number it carries, where speech begins and ends."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

from audio.frame import Format, decode
from audio.levels import level_db
from bridge.fakes.answers import Said
from bridge.fakes.numbered import Reading, read_numbers

_CACHE: OrderedDict[bytes, tuple[Reading, ...]] = OrderedDict()
_CACHED = 4096


def read(data: bytes, format: Format) -> tuple[Reading, ...]:
    """The numbers in caller audio. The same audio is read once a process: many test calls say the same."""
    mark = hashlib.blake2b(data, digest_size=16, person=f"{format.encoding}{format.rate}".encode()).digest()
    found = _CACHE.get(mark)
    if found is None:
        pcm = decode(data[: len(data) // format.width * format.width], format.encoding)
        found = tuple(read_numbers(pcm, format.rate))
        _CACHE[mark] = found
        if len(_CACHE) > _CACHED:
            _CACHE.popitem(last=False)
    return found


def speech(parts: Sequence[bytes], format: Format) -> list[Said]:
    """Caller audio as entries of the conversation: one per number in it, or one without a number."""
    data = b"".join(parts)
    seconds = format.ms(len(data)) / 1000
    found = read(data, format)
    if not found:
        return [Said("user", "speech", seconds=seconds)]
    return [Said("user", "speech", reading=reading, seconds=seconds / len(found)) for reading in found]


class TurnFinder:
    """A plain server-side voice activity detector: loud 20 ms blocks open a turn, quiet ones close it."""

    def __init__(self, format: Format, silence_ms: int = 500, threshold_db: float = -42.0) -> None:
        self.format = format
        self.silence_ms = silence_ms
        self._threshold = threshold_db
        self._opening = 60
        self._rest = b""
        self._loud = 0
        self._quiet = 0
        self.at_ms = 0
        self.open = False

    def push(self, data: bytes) -> list[tuple[str, int]]:
        """("started" | "stopped", ms since the begin of the stream) for what `data` decides."""
        self._rest += data
        size = self.format.bytes_for(20)
        out: list[tuple[str, int]] = []
        at = 0
        while at + size <= len(self._rest):
            loud = level_db(decode(self._rest[at : at + size], self.format.encoding)) > self._threshold
            at += size
            self.at_ms += 20
            self._loud = self._loud + 20 if loud else 0
            self._quiet = 0 if loud else self._quiet + 20
            if not self.open and self._loud >= self._opening:
                self.open = True
                out.append(("started", self.at_ms - self._loud))
            elif self.open and self._quiet >= self.silence_ms:
                self.open = False
                out.append(("stopped", self.at_ms))
        self._rest = self._rest[at:]
        return out
