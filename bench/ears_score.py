"""The metrics of turn detection (docs/ears.md defines them), from decisions and truth.

A decision is (seconds of caller audio consumed when it fell, kind).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.ears_corpus import Call, Span, Turn

Decision = tuple[float, str]
EARLY = 0.1  # a turn_end may come this long before the labelled end
MISSED_AFTER = 3.0
LONG_HOLD = 1.5
START_EARLY = 0.05
FALSE_AFTER = 0.35
BARGE_WITHIN = 1.5
ECHO_TAIL = 0.3  # an alarm this long after agent speech can still be its echo


@dataclass(slots=True)
class Score:
    """Counts and samples, addable over calls."""

    turns: int = 0
    ends: list[float] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    cut: int = 0
    long_holds: int = 0
    missed_ends: int = 0
    missed_starts: int = 0
    false_starts: int = 0
    false_clean: int = 0
    seconds: float = 0.0
    seconds_clean: float = 0.0
    barge_ins: int = 0
    ducks: list[float] = field(default_factory=list)
    cuts: list[float] = field(default_factory=list)
    false_cuts: int = 0
    backchannels: int = 0
    backchannel_cuts: int = 0
    backchannel_ducks: int = 0
    echo_alarms: int = 0
    echo_seconds: float = 0.0

    def add(self, other: Score) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


def score(call: Call, decisions: Sequence[Decision]) -> Score:
    """Scores one call; `decisions` in time order."""
    result = Score(turns=len(call.turns), seconds=call.seconds)
    if call.clean:
        result.seconds_clean = call.seconds
    for number, turn in enumerate(call.turns):
        following = call.turns[number + 1].start if number + 1 < len(call.turns) else float("inf")
        _turn(result, turn, following, decisions)
        if _over(turn.start, call.lines):
            _barge_in(result, turn, decisions)
    # A detector that knows no barge-in stops the agent at once.
    stop = "cut" if any(kind == "barge_in" for _, kind in decisions) else "speech_start"
    for start, end in call.backchannels:
        result.backchannels += 1
        result.backchannel_ducks += _any(decisions, "barge_in", start, end + FALSE_AFTER)
        result.backchannel_cuts += _any(decisions, stop, start, end + 1.0)
    _alarms(result, call, decisions)
    return result


def _turn(result: Score, turn: Turn, following: float, decisions: Sequence[Decision]) -> None:
    until = min(turn.end + MISSED_AFTER, following)
    late = [t for t, kind in decisions if kind == "turn_end" and turn.end - EARLY <= t <= until]
    if late:
        result.ends.append(late[0] - turn.end)
    else:
        result.missed_ends += 1
    inside = [t for t, kind in decisions if kind == "turn_end" and turn.start < t < turn.end - EARLY]
    held = [t for t in inside if any(a <= t <= b + FALSE_AFTER and b - a >= LONG_HOLD for a, b in turn.pauses)]
    result.long_holds += bool(held)
    result.cut += len(inside) > len(held)
    opened = [
        t for t, kind in decisions if kind in ("speech_start", "barge_in") and turn.start - START_EARLY <= t <= turn.end
    ]
    if opened:
        result.starts.append(opened[0] - turn.start)
    elif not _open_at(turn.start, decisions):
        result.missed_starts += 1


def _open_at(t: float, decisions: Iterable[Decision]) -> bool:
    state = False
    for when, kind in decisions:
        if when > t:
            break
        state = kind in ("speech_start", "barge_in", "cut")
    return state


def _barge_in(result: Score, turn: Turn, decisions: Sequence[Decision]) -> None:
    result.barge_ins += 1
    window = [(t - turn.start, kind) for t, kind in decisions if -START_EARLY <= t - turn.start <= BARGE_WITHIN]
    result.ducks.extend([t for t, kind in window if kind in ("barge_in", "speech_start")][:1])
    result.cuts.extend([t for t, kind in window if kind == "cut"][:1])


def _alarms(result: Score, call: Call, decisions: Sequence[Decision]) -> None:
    spoken = [(t.start - START_EARLY, t.end + FALSE_AFTER) for t in call.turns]
    spoken += [(a - START_EARLY, b + FALSE_AFTER) for a, b in call.backchannels]
    stray = [(t, kind) for t, kind in decisions if not _over(t, spoken)]
    false = sum(kind == "speech_start" for _, kind in stray)
    result.false_starts += false
    result.false_clean += false if call.clean else 0
    result.false_cuts += sum(kind == "cut" for _, kind in stray)
    if "echo" in call.scenario:
        heard = [(a, b + ECHO_TAIL) for a, b in call.agent]
        result.echo_alarms += sum(kind in ("barge_in", "speech_start") and _over(t, heard) for t, kind in stray)
        result.echo_seconds += alone(call.agent, spoken)


def alone(agent: Sequence[Span], spoken: Sequence[Span]) -> float:
    """Seconds of `agent` outside of `spoken`."""
    times = np.concatenate([np.arange(a, b, 0.01) for a, b in agent]) if agent else np.zeros(0)
    free = np.ones(len(times), bool)
    for a, b in spoken:
        free &= (times < a) | (times > b)
    return float(free.sum() * 0.01)


def _any(decisions: Sequence[Decision], kind: str, start: float, end: float) -> bool:
    return any(name == kind and start <= t <= end for t, name in decisions)


def _over(t: float, spans: Iterable[Span]) -> bool:
    return any(a <= t <= b for a, b in spans)
