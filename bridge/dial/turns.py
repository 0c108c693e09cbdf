"""Where the turns of a caller recording are: told by a JSON file beside it, or found by level."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import orjson

from audio.frame import Pcm
from bridge.dial import measure

Kind = Literal["turn", "barge_in", "backchannel", "keys"]

_KINDS: tuple[Kind, ...] = ("turn", "barge_in", "backchannel")
_PAUSE_MS = 700  # a silence this long divides turns where nobody says where they are


@dataclass(frozen=True, slots=True)
class Turn:
    """A stretch of caller speech, in samples. `kind` "barge_in" and "backchannel" are meant to fall into the agent's
    speech."""

    begin: int
    end: int
    kind: Kind = "turn"


class TurnsError(Exception):
    """A file of turn times cannot be used; the message is for people."""


def turns_of(path: Path, pcm: Pcm, rate: int) -> list[Turn]:
    """The turns of the recording at `path`, whose sound is `pcm`. Looks for `NAME.json`, for `NAME_caller.flac` also
    for the call's own `NAME.json`. Raises TurnsError for a file of turn times that cannot be used."""
    for beside in _beside(path):
        if beside.is_file():
            told = read_turns(beside, rate, len(pcm))
            if told:
                return [_tight(turn, pcm, rate) for turn in told]
    return [Turn(begin, end) for begin, end in measure.speech(pcm, rate, _PAUSE_MS)]


def _tight(turn: Turn, pcm: Pcm, rate: int) -> Turn:
    """The turn without the silence at its ends, which would count as waiting for an answer, or shorten it."""
    loud = measure.speech(pcm[turn.begin : turn.end], rate)
    return replace(turn, begin=turn.begin + loud[0][0], end=turn.begin + loud[-1][1]) if loud else turn


def read_turns(path: Path, rate: int, length: int) -> list[Turn]:
    """Turn times in seconds from `{"turns": [{"begin_s", "end_s"}]}`, `{"caller_turns": [{"start", "end"}]}` or
    `{"segments": [{"channel": "caller", "start", "end", "kind"}]}`; [] when it has none of these."""
    try:
        data = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise TurnsError(f"{path}: cannot be read as JSON: {error}") from None
    if not isinstance(data, dict):
        return []
    given = data.get("turns") or data.get("caller_turns")
    if given is None:
        given = [each for each in data.get("segments", []) if each.get("channel") == "caller"]
    try:
        turns = [_turn(each, rate, length) for each in given]
    except (KeyError, TypeError, ValueError):
        raise TurnsError(f"{path}: a turn lacks its begin and end in seconds") from None
    turns.sort(key=lambda turn: turn.begin)
    return [turn for turn in turns if turn.end > turn.begin]


def _turn(given: Any, rate: int, length: int) -> Turn:
    begin = given["begin_s"] if "begin_s" in given else given["start"]
    end = given["end_s"] if "end_s" in given else given["end"]
    kind = given.get("kind", "turn")
    known: Kind = kind if kind in _KINDS else "turn"
    return Turn(max(0, round(float(begin) * rate)), min(length, round(float(end) * rate)), known)


def _beside(path: Path) -> list[Path]:
    own = path.with_suffix(".json")
    call = path.with_name(path.stem.removesuffix("_caller") + ".json")
    return [own] if own == call else [own, call]
