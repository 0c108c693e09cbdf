"""`segue listen`: what the turn detector makes of a recording, decision by decision."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np

from audio.files import read_channels
from audio.frame import Pcm
from audio.turns import TurnDetector, TurnEvent, TurnSettings
from bridge.listen_decisions import RATE, Heard, Opinion, decisions


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


def _channels(file: Path, far: Path | None) -> tuple[Pcm, Pcm]:
    sound = read_channels(file, RATE)
    if far is not None:
        return _mono(sound), _mono(read_channels(far, RATE))
    if sound.shape[1] == 2:
        return np.ascontiguousarray(sound[:, 0]), np.ascontiguousarray(sound[:, 1])
    return _mono(sound), np.zeros(0, np.int16)


def _mono(sound: Pcm) -> Pcm:
    return np.ascontiguousarray(sound[:, 0]) if sound.shape[1] == 1 else sound.mean(axis=1).astype(np.int16)


def _line(event: TurnEvent, as_json: bool) -> str:
    t = event.decided / RATE
    if as_json:
        return json.dumps({"t": round(t, 3), "type": event.kind})
    return f"{t:9.2f} s  {event.kind:<12}  (at {event.at / RATE:.2f} s)"


def _refuse(what: str) -> int:
    print(f"segue: {what}", file=sys.stderr)
    return 2
