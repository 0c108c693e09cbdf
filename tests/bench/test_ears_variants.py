"""Variants of calls: the truth moves with the sound, and a seed gives the same samples."""

from __future__ import annotations

import numpy as np
import pytest

from audio.levels import level_db
from bench.ears import spread
from bench.ears_corpus import Call, Turn
from bench.ears_score import Decision
from bench.ears_variants import HISS, LOSSES, SPEEDS, variants
from tests.audio.lines import RATE, line, noise, voice


def calls() -> list[Call]:
    near = line(1.0, voice(2.0, -22), 0.5, voice(1.0, -22, seed=3), 2.0, voice(0.5, -22, seed=4), 1.0, floor=-70)
    far = line(8.0, voice(7.0, -20, seed=9, pitch=200))
    call = Call("a", "clean", near, far, turns=[Turn(1.0, 4.5, ((3.0, 3.5),))], words=[(6.5, 7.0)], lines=[(8.0, 15.0)])
    silent = line(6.0, noise(1.0, -40).astype(float), floor=-40)
    return [call, Call("b", "nonspeech", silent, silent, noises=[("kitchen", 0.0, 6.0)])]


def by_scenario(seed: int) -> dict[str, Call]:
    return {call.scenario: call for call in variants(calls(), seed)}


def test_the_same_seed_gives_the_same_samples_and_another_gives_others() -> None:
    made, again, other = by_scenario(3), by_scenario(3), by_scenario(4)
    assert all((made[name].near == again[name].near).all() for name in made)
    assert not (made["loss 4%"].near == other["loss 4%"].near).all()
    assert len(made) == len(SPEEDS) + 3 + len(LOSSES) + 2 + 3 * (2 + len(HISS))


@pytest.mark.parametrize("scenario", ["speed 1.18", "speed 0.85", "gsm", "-14 dB", "loss 6%", "muted between"])
def test_the_turn_is_where_the_truth_says(scenario: str) -> None:
    call = by_scenario(3)[scenario]
    turn = call.turns[0]
    (a, b) = turn.pauses[0]

    def level(start: float, end: float) -> float:
        return level_db(call.near[int(start * RATE) : int(end * RATE)])

    spoken = min(level(turn.start + 0.05, a - 0.05), level(b + 0.05, turn.end - 0.05))
    assert spoken > max(level(0.0, turn.start - 0.1), level(a + 0.1, b - 0.1), level(turn.end + 0.3, turn.end + 1)) + 15


@pytest.mark.parametrize("kind", ["kitchen", "babble", *HISS])
def test_noise_is_as_far_below_the_speech_as_its_name_says(kind: str) -> None:
    made, clean = by_scenario(3), calls()[0].near
    added = {snr: made[f"{kind} {snr} dB"].near.astype(float) - clean for snr in (10, 20)}
    assert np.std(added[10]) / np.std(added[20]) == pytest.approx(10**0.5, rel=0.15)


def test_the_spread_is_wide_where_calls_differ_and_narrow_where_they_do_not() -> None:
    one = calls()[0]

    def hear(call: Call) -> list[Decision]:
        return [(1.1, "speech_start"), (5.0 if call.name == "a" else 5.4, "turn_end")]

    alike = spread([one] * 6, hear, 1)["end_p50_ms"]
    assert alike == pytest.approx((500.0, 500.0))
    low, high = spread([one, Call("c", "clean", one.near, one.far, turns=one.turns)] * 3, hear, 1)["end_p50_ms"]
    assert low < 700 < high
