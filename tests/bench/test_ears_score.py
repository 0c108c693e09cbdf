"""The metrics of turn detection, on decisions made up by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.ears_corpus import Call, Turn, joined
from bench.ears_score import Score, score

SILENCE = np.zeros(8000 * 30, np.int16)


def call(**parts: object) -> Call:
    return replace(Call("x", "clean", SILENCE, SILENCE), **parts)  # type: ignore[arg-type]


def test_end_and_start_latency() -> None:
    result = score(call(turns=[Turn(2.0, 5.0)]), [(2.1, "speech_start"), (5.5, "turn_end")])
    assert result.starts == pytest.approx([0.1])
    assert result.ends == pytest.approx([0.5])
    assert (result.cut, result.missed_ends, result.missed_starts, result.false_starts) == (0, 0, 0, 0)


def test_an_end_in_a_pause_is_a_cut_and_a_long_pause_counts_apart() -> None:
    turn = Turn(2.0, 12.0, pauses=((4.0, 4.8), (8.0, 10.0)))
    spoken = [(2.1, "speech_start"), (4.6, "turn_end"), (4.9, "speech_start"), (12.4, "turn_end")]
    assert score(call(turns=[turn]), spoken).cut == 1
    held = [(2.1, "speech_start"), (8.6, "turn_end"), (10.1, "speech_start"), (12.4, "turn_end")]
    result = score(call(turns=[turn]), held)
    assert (result.cut, result.long_holds) == (0, 1)


def test_an_end_that_comes_too_late_is_missed() -> None:
    late = [(2.1, "speech_start"), (8.2, "turn_end")]
    assert score(call(turns=[Turn(2.0, 5.0)]), late).missed_ends == 1
    next_turn = [Turn(2.0, 5.0), Turn(6.0, 9.0)]
    assert score(call(turns=next_turn), [(2.1, "speech_start"), (9.4, "turn_end")]).missed_ends == 1


def test_starts_outside_turns_and_backchannels_are_false() -> None:
    events = [
        (1.0, "speech_start"),
        (1.6, "turn_end"),
        (2.1, "speech_start"),
        (5.3, "speech_start"),
        (8.2, "speech_start"),
    ]
    result = score(call(turns=[Turn(2.0, 5.0)], backchannels=[(8.0, 8.4)]), events)
    assert (result.false_starts, result.false_clean) == (1, 1)


def test_barge_ins_backchannels_and_echo() -> None:
    lines = [(0.0, 20.0)]
    echo = call(scenario="echo", turns=[Turn(4.0, 6.0)], backchannels=[(10.0, 10.4)], agent=lines, lines=lines)
    events = [
        (4.15, "barge_in"),
        (4.5, "cut"),
        (6.4, "turn_end"),
        (10.2, "barge_in"),
        (10.8, "cut"),
        (15.0, "barge_in"),
    ]
    result = score(echo, events)
    assert result.ducks == pytest.approx([0.15])
    assert result.cuts == pytest.approx([0.5])
    assert (result.backchannel_ducks, result.backchannel_cuts, result.echo_alarms) == (1, 1, 1)
    assert result.echo_seconds == pytest.approx(20 - 2.4 - 0.8, abs=0.1)


def test_scores_add_up() -> None:
    total = Score()
    for _ in range(2):
        total.add(score(call(turns=[Turn(2.0, 5.0)]), [(2.1, "speech_start"), (5.5, "turn_end")]))
    assert (total.turns, len(total.ends), total.seconds) == (2, 2, 60.0)


def test_spans_are_joined_over_short_gaps() -> None:
    assert joined([(3.0, 4.0), (0.0, 1.0), (1.5, 2.0)], 0.6) == [(0.0, 2.0), (3.0, 4.0)]
