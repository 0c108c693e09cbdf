from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from bridge.dial.carrier import NS, Carrier

MS = NS // 1000
BEGIN = 12_345_678_901


def at(ms: float) -> int:
    return BEGIN + int(ms * MS)


def sound(ms: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(ms * 8)


def test_it_plays_at_real_time_what_came_at_once() -> None:
    line = Carrier(BEGIN)
    data = sound(1000)
    assert line.media(data, at(100)) == []
    line.advance(at(350))
    assert [(stretch.at, bytes(stretch.data)) for stretch in line.heard] == [(800, data[:2000])]
    assert line.playing
    line.advance(at(1100))
    assert not line.playing
    assert line.track(1200 * 8) == b"\xff" * 800 + data + b"\xff" * 800


def test_audio_that_comes_late_leaves_a_break() -> None:
    line = Carrier(BEGIN)
    line.media(sound(20, 1), at(0))
    line.media(sound(20, 2), at(20))
    line.media(sound(20, 3), at(55))
    line.advance(at(500))
    assert [(stretch.at, stretch.end) for stretch in line.heard] == [(0, 320), (440, 600)]


def test_a_mark_comes_back_when_everything_before_it_was_heard() -> None:
    line = Carrier(BEGIN)
    line.media(sound(100), at(0))
    assert line.mark("a", at(1)) == []
    line.media(sound(100), at(2))
    assert line.mark("b", at(3)) == []
    assert line.deadline == at(100)
    assert line.advance(at(100) - 1) == []
    assert line.advance(at(100)) == ["a"]
    assert line.advance(at(199)) == []
    assert line.media(sound(20), at(250)) == ["b"]
    assert line.deadline is None


def test_a_mark_with_nothing_before_it_comes_back_at_once() -> None:
    line = Carrier(BEGIN)
    assert line.mark("a", at(5)) == ["a"]
    line.media(sound(20), at(10))
    assert line.mark("b", at(30)) == ["b"]


def test_clear_empties_the_buffer_and_gives_pending_marks_back_at_once() -> None:
    line = Carrier(BEGIN)
    line.media(sound(100), at(0))
    line.mark("a", at(0))
    line.media(sound(900), at(0))
    line.mark("b", at(0))
    line.mark("c", at(0))
    assert line.clear(at(400)) == ["a", "b", "c"]
    assert line.cleared == 600 * 8
    assert not line.playing
    assert line.advance(at(2000)) == []
    assert [(stretch.at, stretch.end) for stretch in line.heard] == [(0, 3200)]
    line.media(sound(20), at(2000))
    line.advance(at(3000))
    assert line.heard[-1].at == 16000


@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.sampled_from(["media", "mark", "clear", "advance"]), st.integers(0, 800)),
        max_size=40,
    )
)
def test_nothing_is_lost_and_every_mark_comes_back_once(steps: list[tuple[int, str, int]]) -> None:
    line = Carrier(BEGIN)
    rng = random.Random(5)
    now, given_, marks, back, cleared = BEGIN, b"", 0, [], 0
    for wait, what, size in steps:
        now += wait * MS
        if what == "media":
            data = rng.randbytes(size)
            given_ += data
            back += line.media(data, now)
        elif what == "mark":
            back += line.mark(str(marks), now)
            marks += 1
        elif what == "clear":
            before = line.cleared
            back += line.clear(now)
            cleared += line.cleared - before
        else:
            back += line.advance(now)
        assert all(stretch.end <= line.position(now) for stretch in line.heard)
    back += line.advance(now + 100 * NS)
    assert back == [str(number) for number in range(marks)]
    assert sum(len(stretch.data) for stretch in line.heard) == len(given_) - cleared
    if not cleared:
        assert b"".join(bytes(stretch.data) for stretch in line.heard) == given_
