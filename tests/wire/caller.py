"""A test caller: numbered questions laid on a noisy line, as frames made once a process, and the ears for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from audio.files import read_audio
from audio.frame import Frame, Pcm, encode
from audio.turns import TurnEvent
from bridge.fakes.numbered import number_speech

QUESTIONS = Path(__file__).resolve().parents[2] / "fixtures" / "callers"
FRAME = 160
MINUTE = 3000  # frames
OPENS_MS = 100
CUTS_MS = 400


@lru_cache(maxsize=64)
def question(number: int, ms: int = 1400, name: str = "table") -> Pcm:
    """The first `ms` of a recorded question that carries `number`: int16 at 8 kHz. Long ones repeat the recording."""
    spoken = read_audio(QUESTIONS / f"{name}.flac", 8000)
    wanted = ms * 8
    spoken = np.tile(spoken, -(-wanted // len(spoken)))[:wanted]
    return number_speech(spoken, number)


@lru_cache(maxsize=8)
def _noise(seed: int) -> tuple[Pcm, list[bytes]]:
    """A minute of a quiet line, as samples and as frames; it is repeated after that."""
    pcm = np.random.default_rng(seed).integers(-12, 12, MINUTE * FRAME).astype(np.int16)
    data = encode(pcm, "pcmu")
    return pcm, [data[at : at + FRAME] for at in range(0, len(data), FRAME)]


@lru_cache(maxsize=256)
def _spoken(seed: int, begin: int, key: bytes) -> list[bytes]:
    """Frames of speech that begins at sample `begin`, the line's noise under it."""
    pcm = np.frombuffer(key, np.int16)
    first = begin // FRAME
    count = -(-(begin + len(pcm)) // FRAME) - first
    noise = _noise(seed)[0]
    whole = np.resize(np.roll(noise, -(first * FRAME)), count * FRAME).astype(np.int32)
    whole[begin - first * FRAME :][: len(pcm)] += pcm
    data = encode(np.clip(whole, -32768, 32767).astype(np.int16), "pcmu")
    return [data[at : at + FRAME] for at in range(0, len(data), FRAME)]


class Line:
    """The caller's line as u-law frames, by number."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._frames = _noise(seed)[1]
        self._said: dict[int, bytes] = {}

    def say(self, at_ms: int, pcm: Pcm) -> None:
        begin = at_ms * 8
        for index, data in enumerate(_spoken(self._seed, begin, pcm.tobytes()), begin // FRAME):
            assert index not in self._said, "two utterances at once"
            self._said[index] = data

    def frame(self, index: int) -> bytes:
        return self._said.get(index) or self._frames[index % MINUTE]


@dataclass
class Utterance:
    """In samples of the line."""

    begin: int
    end: int
    hangover: int
    state: str = "coming"


class Ears:
    """A turn detector that knows when the caller speaks: it opens after 100 ms, takes speech over the agent as
    provisional, cuts after 400 ms of it, and gives up a shorter one while the agent has half a second left to say."""

    def __init__(self) -> None:
        self._said: list[Utterance] = []
        self.consumed = 0

    def say(self, begin_ms: int, end_ms: int, hangover_ms: int = 500) -> None:
        self._said.append(Utterance(begin_ms * 8, end_ms * 8, hangover_ms * 8))

    def push(self, frame: Frame, agent_left: int) -> list[TurnEvent]:
        self.consumed += frame.samples
        if not self._said:
            return []
        said = self._said[0]
        event = self._heard(said, agent_left)
        if said.state == "over":
            self._said.pop(0)
        return [event] if event is not None else []

    def _heard(self, said: Utterance, agent_left: int) -> TurnEvent | None:
        at = self.consumed
        if said.state == "coming" and at >= said.begin + OPENS_MS * 8:
            said.state = "provisional" if agent_left else "turn"
            return TurnEvent("barge_in" if agent_left else "speech_start", said.begin, at)
        if said.state == "provisional":
            if min(at, said.end) - said.begin >= (OPENS_MS + CUTS_MS) * 8:
                said.state = "turn"
                return TurnEvent("cut", said.begin, at)
            if not agent_left or (at >= said.end + 240 * 8 and agent_left < 500 * 8):
                said.state = "turn"
                return TurnEvent("speech_start", said.begin, at)
            if at >= said.end + 240 * 8:
                said.state = "over"
                return TurnEvent("cancel", said.begin, at)
        elif said.state == "turn" and at >= said.end + said.hangover:
            said.state = "over"
            return TurnEvent("turn_end", said.end, at)
        return None

    def played(self, frame: Frame) -> None:
        """Nothing is to be learnt from it."""

    def expect(self, what: str) -> None:
        """The turns' ends are in the script."""

    def skip(self, samples: int) -> list[TurnEvent]:
        """What is open ends; what is left of the utterance is another one."""
        if not self._said or self._said[0].state == "coming":
            return []
        said, now = self._said[0], self.consumed
        if said.end > now:
            self._said[0] = Utterance(now, said.end, said.hangover)
        else:
            self._said.pop(0)
        return [TurnEvent("turn_end" if said.state == "turn" else "cancel", min(said.end, now), now)]

    def digits(self) -> str:
        return ""
