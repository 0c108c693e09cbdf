"""Ends of turns in noise that has a voice in it now and then."""

from __future__ import annotations

import numpy as np
import pytest

from tests.audio.lines import RATE, Wave, line, listen, noise, voice

SAID = 6.0, 8.0


def _kitchen(seed: int) -> Wave:
    """Eleven seconds of clatter, in which the caller speaks, and just after that things that ring like a voice, no
    louder than the clatter."""
    rng = np.random.default_rng(seed)
    parts: list[Wave] = []
    while sum(map(len, parts)) < 11 * RATE:
        parts += [noise(0.06, -23 + rng.uniform(-2, 0), seed=int(rng.integers(999)))]
        parts += [np.zeros(int(rng.uniform(0.15, 0.35) * RATE))]
    near = np.concatenate(parts)[: 11 * RATE]
    said = voice(SAID[1] - SAID[0], -18, seed=31, pitch=110)
    near[int(SAID[0] * RATE) :][: len(said)] += said
    at = int((SAID[1] + 0.15) * RATE)
    while at < 10 * RATE:
        ring = voice(0.16, -25, seed=int(rng.integers(99)), pitch=rng.uniform(180, 300))
        near[at : at + len(ring)] += ring
        at += len(ring) + int(rng.uniform(0.2, 0.3) * RATE)
    return near


@pytest.mark.parametrize("seed", range(8))
def test_what_is_no_louder_than_the_noise_by_itself_holds_no_turn_open(seed: int) -> None:
    events = listen(line(_kitchen(seed), floor=-42.0))
    ends = [event.decided / RATE for event in events if event.kind == "turn_end"]
    assert [SAID[1] + 0.4 <= end <= SAID[1] + 1.0 for end in ends] == [True]
