"""Something else (noise) sent between tracks: it delays what comes next and counts for nothing."""

from __future__ import annotations

import pytest

from audio.frame import PCMU
from audio.playout import Playout

MS = 1_000_000
SOUND = bytes(range(160)) * 10  # 200 ms


def test_filling_is_due_when_nothing_is_left_to_hear() -> None:
    playout = Playout(PCMU)
    assert playout.fill(0) == 320  # up to the next pull
    assert [playout.fill(at * MS) for at in (0, 5, 9)] == [0, 0, 0]
    assert playout.fill(38 * MS) == 320  # a pacer may be a little early
    assert playout.fill(45 * MS) == 0
    playout.held = True
    assert playout.fill(500 * MS) == 0


@pytest.mark.parametrize("wait_ms", [0, 7, 19, 20, 300])
def test_what_is_sent_behind_it_is_heard_behind_it(wait_ms: int) -> None:
    playout = Playout(PCMU)
    playout.push(1, SOUND)
    now = 1000 * MS
    playout.filled(160, now)
    now += wait_ms * MS
    outgoing = playout.pull(now)
    assert outgoing is not None and outgoing.began
    behind = max(0, 20 - wait_ms) * MS
    assert playout.until == now + behind + len(outgoing.data) // 8 * MS
    assert playout.heard(1, now + behind // 2) == 0
    assert playout.heard(1, now + behind + 10 * MS) == 80
    assert playout.left(now) == len(SOUND) + behind * 8 // MS


def test_a_track_heard_to_its_end_stays_so() -> None:
    playout = Playout(PCMU)
    playout.push(1, SOUND[:320])
    playout.finish(1)
    outgoing = playout.pull(0)
    assert outgoing is not None and outgoing.ended and outgoing.pad == 0
    playout.filled(160, 40 * MS)
    playout.push(2, SOUND)
    assert playout.pull(45 * MS) is not None
    assert playout.heard(1, 45 * MS) == 320
    assert playout.heard(2, 45 * MS) == 0
    assert playout.heard(2, 70 * MS) == 80


def test_a_clear_throws_it_away() -> None:
    playout = Playout(PCMU)
    playout.filled(160, 0)
    playout.clear(5 * MS)
    playout.push(1, SOUND)
    playout.pull(5 * MS)
    assert playout.heard(1, 15 * MS) == 80


def test_a_track_dropped_while_it_sounds_keeps_10_ms_to_fade_out_in() -> None:
    playout = Playout(PCMU)
    playout.push(1, SOUND)
    playout.push(2, SOUND)
    first = playout.pull(0)
    assert first is not None
    playout.drop(1)
    playout.drop(2)  # not begun: nothing of it
    last = playout.pull(20 * MS)
    assert last is not None
    assert (last.key, last.ended, last.pad) == (1, True, 80)
    assert last.data == SOUND[len(first.data) :][:80] + PCMU.silence * 80
    assert playout.pull(60 * MS) is None
