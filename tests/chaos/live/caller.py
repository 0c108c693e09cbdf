"""A caller of the matrix on a real line: says and presses what its script says, when it says so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from audio.frame import Pcm
from bridge.dial.caller import FRAME_MS, Phase, Spoken
from bridge.dial.client import Call, Job
from tests.wire.caller import Line

KEY_EVERY_MS = 80


@dataclass(frozen=True, slots=True)
class Part:
    """What a caller does, in ms of the call. `speech` None: says nothing."""

    speech: Pcm | None
    speaks_ms: int
    keys: str
    keys_ms: int
    ends_ms: int


class Actor:
    """The mouth and the fingers, for `bridge.dial.client.Call`."""

    def __init__(self, part: Part) -> None:
        self.spoken: list[Spoken] = []
        self.pressed: list[str] = []
        self.phase = Phase.WAITING
        self._part = part
        self._line = Line(1)
        self._frame = 0
        self._keys = {part.keys_ms + KEY_EVERY_MS * index: key for index, key in enumerate(part.keys)}
        if part.speech is not None:
            self._line.say(part.speaks_ms, part.speech)

    def frame(self, agent_playing: bool) -> bytes:
        """The next 20 ms; keys to press now are in `pressed`."""
        at = self._frame * FRAME_MS
        self.pressed = [key for when, key in self._keys.items() if at <= when < at + FRAME_MS]
        data = self._line.frame(self._frame)
        self._frame += 1
        if at >= self._part.ends_ms:
            self.phase = Phase.DONE
        return data


@dataclass(frozen=True, slots=True)
class Sound:
    """Both sides of a call in u-law, sample aligned; `end` says how it ended."""

    said: bytes
    heard: bytes
    end: str


async def call(target: str, part: Part) -> Sound:
    """Play the part on the media stream at `target`, as a carrier does."""
    job = Job(target, Path(), timeout=part.ends_ms / 1000 + 10)
    line = Call(job, Actor(part), None)  # type: ignore[arg-type]
    report = await line.run()
    heard = line.line.track(line.length) if line.line is not None else b""
    return Sound(bytes(line.sent), heard, report.end)
