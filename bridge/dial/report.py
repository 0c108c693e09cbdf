"""The outcome of a test call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from audio.frame import decode
from bridge.dial import measure
from bridge.dial.caller import Spoken
from bridge.dial.carrier import Carrier
from bridge.dial.measure import Gap, Span

_JOIN_MS = 100  # breaks in the agent's audio shorter than this are not new sounds


@dataclass(frozen=True, slots=True)
class Reply:
    """A caller turn and what came of it, in ms since the call began. `first_audio_ms`: from the turn's end to the first
    agent audio played, None when nothing came; `first_sound_ms` likewise to the first that can be heard."""

    kind: str
    began: int
    ended: int
    first_audio_ms: int | None
    first_sound_ms: int | None


@dataclass(frozen=True, slots=True)
class Report:
    """A whole call, in ms. `spoke`: something of the agent could be heard. `end` says how it ended: "caller done",
    "agent hung up", "transferred to …", "connection lost: …", "refused: …", "timeout"."""

    target: str
    call_sid: str
    end: str
    spoke: bool
    duration: int
    greeting: int | None
    replies: tuple[Reply, ...]
    gaps: tuple[Gap, ...]
    agent_audio: int
    both_spoke: int
    cleared: int
    marks: int
    clears: int
    reattached: int
    unread: int
    recording: str = ""
    heard: tuple[Span, ...] = field(default=(), repr=False)  # agent audio as it was played

    @property
    def latencies(self) -> list[int]:
        return [reply.first_audio_ms for reply in self.replies if reply.first_audio_ms is not None]

    @property
    def unanswered(self) -> int:
        return sum(reply.first_audio_ms is None for reply in self.replies)

    def to_json(self) -> dict[str, object]:
        """All of it and the figures people ask for first, JSON values only."""
        return {
            **asdict(self),
            "first_audio_p50": measure.quantile(self.latencies, 0.5),
            "first_audio_p90": measure.quantile(self.latencies, 0.9),
            "first_audio_max": max(self.latencies, default=None),
            "unanswered": self.unanswered,
            "longest_gap": max((gap.ms for gap in self.gaps), default=0),
        }


@dataclass(slots=True)
class Counts:
    """What the client counted on the socket."""

    marks: int = 0
    clears: int = 0
    reattached: int = 0
    unread: int = 0  # messages that could not be understood


def report(
    target: str, call_sid: str, end: str, line: Carrier | None, spoken: Sequence[Spoken], length: int, counts: Counts
) -> Report:
    """Measure a call of `length` samples. `line` None: it never began."""
    rate = line.rate if line else 8000
    turns = [(turn.begin, length if turn.end is None else turn.end) for turn in spoken]
    played: list[Span] = []
    audible: list[Span] = []
    if line is not None:
        stretches = [(each.at, min(each.end, length)) for each in line.heard if each.at < length]
        played = measure.join(stretches, _JOIN_MS * rate // 1000)
        audible = measure.speech(decode(line.track(length), "pcmu"), rate, join_ms=_JOIN_MS)
    first = measure.first_audio(turns, played, rate, length)
    sound = measure.first_audio(turns, audible, rate, length)
    before = turns[0][0] if turns else length
    return Report(
        target=target,
        call_sid=call_sid,
        end=end,
        spoke=bool(audible),
        duration=measure.ms(length, rate),
        greeting=next((measure.ms(begin, rate) for begin, _ in played if begin < before), None),
        replies=tuple(
            Reply(turn.kind, measure.ms(begin, rate), measure.ms(stop, rate), audio, heard)
            for turn, (begin, stop), audio, heard in zip(spoken, turns, first, sound, strict=True)
        ),
        gaps=tuple(Gap(measure.ms(gap.at, rate), gap.ms) for gap in measure.gaps(played, turns, rate)),
        agent_audio=measure.ms(sum(stop - begin for begin, stop in played), rate),
        both_spoke=measure.overlap(turns, audible, rate),
        cleared=measure.ms(line.cleared, rate) if line else 0,
        marks=counts.marks,
        clears=counts.clears,
        reattached=counts.reattached,
        unread=counts.unread,
        heard=tuple((measure.ms(begin, rate), measure.ms(stop, rate)) for begin, stop in played),
    )


def stereo(caller: bytes, line: Carrier, length: int) -> np.ndarray[tuple[int, int], np.dtype[np.int16]]:
    """Both sides as heard, int16 of shape (length, 2): caller left, agent right, sample aligned."""
    left = caller[:length] + b"\xff" * (length - len(caller))
    return np.stack([decode(left, "pcmu"), decode(line.track(length), "pcmu")], axis=1)
