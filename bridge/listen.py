"""`segue listen`: what the turn detector makes of a recording, decision by decision."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audio.files import read_channels
from audio.frame import PCM16_8K, Frame, Pcm
from audio.turns import TurnDetector, TurnEvent, TurnSettings

RATE = 8000
BLOCK = 160
AUDIBLE = 58.0  # RMS of an int16 block in which the agent speaks (-55 dB)
OPINION_BLOCKS = 400  # given with a question: 8 s
LINE_GAP = 50  # blocks: the agent's line goes on when it speaks again within a second


@dataclass(frozen=True, slots=True)
class Heard:
    """What the detector knew after one block: levels in dB, `echo` the loudest echo it expected (None without one)."""

    level: float
    floor: float
    ceiling: float
    echo: float | None
    speaking: bool


Opinion = Callable[[Pcm, int], bool]
"""Says from the last 8 s of a caller, and their rate, whether the turn is over."""


def listen(
    file: Path,
    far: Path | None,
    as_json: bool,
    plot: Path | None,
    settings: TurnSettings,
    opinion: Opinion | None = None,
) -> int:
    """Prints the decisions for the caller's recording `file` as they fall, returns the exit code.

    `far` is the agent's recording, aligned with `file`; without it the second channel of a stereo `file` is the agent.
    `opinion` is asked in each pause of a turn; what it raises passes through.
    Raises AudioFileError for a recording that cannot be read.
    """
    try:
        detector = TurnDetector(settings, RATE)
        draw = importlib.import_module("bridge.listen_plot").draw if plot else None
    except ValueError as error:
        return _refuse(str(error))
    except ImportError:
        return _refuse("--plot needs the extra of that name: pip install 'segue[plot]'")
    near, agent = _channels(file, far)
    heard: list[Heard] = []
    events: list[TurnEvent] = []
    for event in decisions(near, agent, detector, heard if plot else None, opinion):
        events.append(event)
        print(_line(event, as_json), flush=True)
    keys = detector.digits()
    if keys and not as_json:
        print(f"keys {keys}")
    if draw:
        draw(plot, near, agent, heard, events)
    return 0


def decisions(
    near: Pcm,
    far: Pcm,
    detector: TurnDetector,
    heard: list[Heard] | None = None,
    opinion: Opinion | None = None,
) -> Iterator[TurnEvent]:
    """Feeds both recordings (int16, 8 kHz, aligned) to `detector`, block by block; `heard` gets a note per block. The
    answers of `opinion` are there at once; in a call they take as long as they take."""
    left = agent_left(far)
    blocks = len(near) // BLOCK
    left = np.concatenate((left, np.zeros(max(0, blocks - len(left)), np.int64)))
    for n, remaining in enumerate(left[:blocks].tolist()):
        span = slice(n * BLOCK, (n + 1) * BLOCK)
        if remaining:
            detector.played(Frame(far[span].tobytes(), PCM16_8K))
        yield from detector.push(Frame(near[span].tobytes(), PCM16_8K), remaining)
        if opinion is not None and detector.wants_opinion:
            detector.opinion(opinion(near[max(0, n + 1 - OPINION_BLOCKS) * BLOCK : span.stop], RATE))
        if heard is not None:
            heard.append(_state(detector))


def agent_left(far: Pcm) -> NDArray[np.int64]:
    """Samples of the agent's line still to be heard at each block of 20 ms, 0 where it is silent.

    A bridge knows this from its playout, which holds what was generated and not yet heard; here it is read off the
    recording: a line goes on over silences of up to a second.
    """
    blocks = len(far) // BLOCK
    wave = far[: blocks * BLOCK].astype(np.float32).reshape(blocks, BLOCK)
    loud = np.flatnonzero(np.sqrt((wave * wave).mean(axis=1)) > AUDIBLE)
    left = np.zeros(blocks, np.int64)
    if not len(loud):
        return left
    breaks = np.flatnonzero(np.diff(loud) > LINE_GAP)
    starts = loud[np.concatenate(([0], breaks + 1))]
    ends = loud[np.concatenate((breaks, [len(loud) - 1]))] + 1
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        left[start:end] = (end - np.arange(start, end)) * BLOCK
    return left


def _channels(file: Path, far: Path | None) -> tuple[Pcm, Pcm]:
    sound = read_channels(file, RATE)
    if far is not None:
        return _mono(sound), _mono(read_channels(far, RATE))
    if sound.shape[1] == 2:
        return np.ascontiguousarray(sound[:, 0]), np.ascontiguousarray(sound[:, 1])
    return _mono(sound), np.zeros(0, np.int16)


def _mono(sound: Pcm) -> Pcm:
    return np.ascontiguousarray(sound[:, 0]) if sound.shape[1] == 1 else sound.mean(axis=1).astype(np.int16)


def _state(detector: TurnDetector) -> Heard:
    hearing = detector.hearing
    return Heard(
        hearing.level,
        hearing.background.floor,
        hearing.background.ceiling,
        hearing.echo.expected() if hearing.echo.live else None,
        detector.speaking,
    )


def _line(event: TurnEvent, as_json: bool) -> str:
    t = event.decided / RATE
    if as_json:
        return json.dumps({"t": round(t, 3), "type": event.kind})
    return f"{t:9.2f} s  {event.kind:<12}  (at {event.at / RATE:.2f} s)"


def _refuse(what: str) -> int:
    print(f"segue: {what}", file=sys.stderr)
    return 2
