"""Two-channel calls with exact truth, from a corpus folder (`<id>.json`, `<id>_caller.flac`, `<id>_agent.flac`)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

Pcm = NDArray[np.int16]
Span = tuple[float, float]
RATE = 8000
LINE_GAP = 1.0  # a shorter silence of the agent is a pause inside its line
NOISES = ("kitchen", "keyboard", "music")
WORD = (0.3, 0.75)
CLEAN = frozenset({"clean", "bargein", "backchannel", "digits", "auto_dealer_service_call"})


@dataclass(frozen=True, slots=True)
class Turn:
    """One caller turn in seconds; `pauses` are the silences of 0.2 s or more inside it."""

    start: float
    end: float
    pauses: tuple[Span, ...] = ()


@dataclass(slots=True)
class Call:
    """A call and its truth, times in seconds.

    `agent`: where the agent is audible; `lines`: the same without the pauses inside a line. For overlays: `words` are
    single short words of the caller, `noises` named stretches without speech.
    """

    name: str
    scenario: str
    near: Pcm
    far: Pcm
    turns: list[Turn] = field(default_factory=list)
    backchannels: list[Span] = field(default_factory=list)
    agent: list[Span] = field(default_factory=list)
    lines: list[Span] = field(default_factory=list)
    words: list[Span] = field(default_factory=list)
    noises: list[tuple[str, float, float]] = field(default_factory=list)
    rate: int = RATE

    @property
    def seconds(self) -> float:
        return len(self.near) / self.rate

    @property
    def clean(self) -> bool:
        return self.scenario in CLEAN


def load(folder: Path) -> list[Call]:
    """All calls of `folder` in name order. Raises FileNotFoundError when it has no index.json."""
    index = json.loads((folder / "index.json").read_text())
    return [_read(folder, entry["manifest"]) for entry in index["calls"]]


def _read(folder: Path, manifest: str) -> Call:
    truth: dict[str, Any] = json.loads((folder / manifest).read_text())
    near, rate = soundfile.read(folder / truth["channels"]["caller"], dtype="int16")
    far, _ = soundfile.read(folder / truth["channels"]["agent"], dtype="int16")
    caller = [s for s in truth["segments"] if s["channel"] == "caller"]
    agent = [s for s in truth["segments"] if s["channel"] == "agent"]
    spoken = truth.get("caller_turns") or [s for s in caller if s["kind"] in ("turn", "barge_in")]
    return Call(
        name=truth["id"],
        scenario=truth["scenario"],
        near=near,
        far=far,
        turns=[Turn(s["start"], s["end"], tuple((a, b) for a, b in s.get("pauses") or ())) for s in spoken],
        backchannels=[(s["start"], s["end"]) for s in caller if s["kind"] == "backchannel"],
        agent=[(a, b) for s in agent for a, b in s["speech"]],
        lines=joined([(s["start"], s["end"]) for s in agent], LINE_GAP),
        words=_words(truth["scenario"], caller),
        noises=_noises(truth, caller),
        rate=rate,
    )


def _words(scenario: str, caller: list[dict[str, Any]]) -> list[Span]:
    """Utterances of one short word, and the single digits of numbers that are read out."""
    whole = [(s["start"], s["end"]) for s in caller if s["kind"] == "utterance"]
    digits = (
        [tuple(span) for s in caller if len(s["speech"]) == 10 for span in s["speech"]] if scenario == "digits" else []
    )
    return [(a, b) for a, b in [*whole, *digits] if WORD[0] <= b - a <= WORD[1]]


def _noises(truth: dict[str, Any], caller: list[dict[str, Any]]) -> list[tuple[str, float, float]]:
    named = [(str(kind).split("_")[0], a, b) for kind, a, b in truth.get("nonspeech", ())]
    kind = next((k for k in ("kitchen", "babble") if truth["scenario"].startswith(k)), "")
    edges = [0.0, *(t for s in caller for t in (s["start"] - 0.2, s["end"] + 0.5)), truth["duration"]]
    gaps = zip(edges[::2], edges[1::2], strict=True) if kind else ()
    return [n for n in named if n[0] in NOISES] + [(kind, a, b) for a, b in gaps if b - a >= 3]


def joined(spans: Iterable[Span], gap: float) -> list[Span]:
    """`spans` with silences up to `gap` closed."""
    out: list[Span] = []
    for a, b in sorted(spans):
        if out and a - out[-1][1] <= gap:
            out[-1] = (out[-1][0], max(b, out[-1][1]))
        else:
            out.append((a, b))
    return out
