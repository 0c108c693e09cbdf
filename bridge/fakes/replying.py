"""A reply in the making: sound and transcript cut into pieces and put in the order they are sent."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from audio.frame import Format
from bridge.fakes.script import ReplyStyle
from bridge.fakes.speech import RATE, Spoken, bank


@dataclass(frozen=True, slots=True)
class Step:
    """One message of a reply. `at_ms`: how much of the reply is generated when it is sent; `begin_ms`, `length_ms`: its
    place in the sound."""

    kind: Literal["text", "audio"]
    at_ms: float
    begin_ms: float
    length_ms: float
    data: Any  # text: the word with its leading space; audio: bytes


@dataclass(slots=True)
class Reply:
    """A reply as it is sent. `steps` are what is still to come, first last. `deltas` counts audio messages; `state`
    leaves "running" once."""

    number: int
    spoken: Spoken
    format: Format
    style: ReplyStyle
    pace: float
    steps: deque[Step] = field(default_factory=deque)
    audio_left: int = 0
    deltas: int = 0
    sent_bytes: int = 0
    sent_text: str = ""
    at_ms: float = 0.0
    state: str = "running"
    opened: bool = False  # something of it was sent
    wire: dict[str, Any] = field(default_factory=dict)  # the dialect's own ids and flags

    def plan(self, random: Random, voiced: bool) -> None:
        """Cut the speech into the messages to send."""
        self.steps = deque(steps_of(self.spoken, self.format, self.style, random, voiced))
        self.audio_left = sum(step.kind == "audio" for step in self.steps)

    @property
    def running(self) -> bool:
        return self.state == "running"

    @property
    def sent_ms(self) -> float:
        """How much of its sound was sent."""
        return self.format.ms(self.sent_bytes)


def steps_of(spoken: Spoken, format: Format, style: ReplyStyle, random: Random, voiced: bool = True) -> list[Step]:
    """All steps of a reply in sending order. Not `voiced`: text only."""
    steps: list[Step] = []
    if voiced:
        audio = bank().audio(spoken, format)
        at = 0
        low, high = style.chunk_ms
        while at < len(audio):
            size = format.bytes_for(random.randint(low, high))
            begin = format.ms(at)
            steps.append(Step("audio", begin, begin, format.ms(size), audio[at : at + size]))
            at += size
    lead = style.lead_ms if voiced else 0
    if lead is not None:
        for i, word in enumerate(spoken.words):
            begin = word.begin * 1000 / RATE
            at_ms = max(0.0, begin - lead)
            steps.append(
                Step(
                    "text",
                    at_ms,
                    begin,
                    (word.end - word.begin) * 1000 / RATE,
                    word.text if i == 0 else f" {word.text}",
                )
            )
    steps.sort(key=lambda step: (step.at_ms, step.kind == "audio"))
    return steps
