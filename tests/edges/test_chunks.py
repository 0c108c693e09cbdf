from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from bridge.edges.chunks import HOLD, ChunkOrder, Reframer


def audio(number: int) -> bytes:
    """A chunk that says which one it is."""
    return b"chunk %d" % number


def play(order: ChunkOrder, *numbers: int) -> list[bytes]:
    return [piece for number in numbers for piece in arrive(order, number, audio(number))]


def arrive(order: ChunkOrder, number: int, data: bytes) -> list[bytes]:
    """One chunk, the short way where there is one."""
    return [data] if order.follows(str(number), data) else order.add(number, data)


def chunks(*numbers: int) -> list[bytes]:
    return [audio(number) for number in numbers]


def test_what_is_in_order_passes_at_once() -> None:
    order = ChunkOrder()
    for number in range(7, 107):
        assert arrive(order, number, audio(number)) == chunks(number)
    assert (order.late, order.lost, order.repeated) == (0, 0, 0)


@given(st.lists(st.integers(0, 12), max_size=60))
def test_the_short_way_changes_nothing(numbers: list[int]) -> None:
    short, long = ChunkOrder(), ChunkOrder()
    for index, number in enumerate(numbers):
        data = b"%d" % (index % 7)
        assert arrive(short, number, data) == long.add(number, data)
        assert (short.late, short.lost, short.repeated) == (long.late, long.lost, long.repeated)
    assert short.flush() == long.flush()


def test_a_swapped_pair_is_put_right_and_nothing_is_lost() -> None:
    order = ChunkOrder()
    assert play(order, 1, 2) == chunks(1, 2)
    assert play(order, 4) == []
    assert play(order, 3) == chunks(3, 4)
    assert play(order, 5) == chunks(5)
    assert (order.late, order.lost) == (0, 0)


def test_a_missing_chunk_is_given_up_after_three_more() -> None:
    order = ChunkOrder()
    play(order, 1)
    assert play(order, 3, 4, 5) == []
    assert play(order, 6) == chunks(3, 4, 5, 6)
    assert order.lost == 1
    assert play(order, 2) == []
    assert order.late == 1
    assert play(order, 7) == chunks(7)


def test_flush_gives_what_is_held() -> None:
    order = ChunkOrder()
    play(order, 1, 3)
    assert order.flush() == chunks(3)
    assert order.flush() == []


def test_a_repeated_chunk_is_dropped() -> None:
    order = ChunkOrder()
    assert play(order, 1, 2, 2, 3) == chunks(1, 2, 3)
    assert order.repeated == 1
    assert play(order, 5, 5) == []
    assert order.repeated == 2
    assert play(order, 4) == chunks(4, 5)


def test_a_count_that_begins_again_is_followed() -> None:
    order = ChunkOrder()
    play(order, *range(1, 201))
    assert play(order, 1, 2, 3) == chunks(1, 2, 3)
    assert order.late == 0


def test_a_jump_ahead_is_followed_at_once() -> None:
    order = ChunkOrder()
    play(order, 1)
    assert play(order, 5000, 5001) == chunks(5000, 5001)


def test_audio_of_somebody_who_does_not_count_is_kept() -> None:
    order = ChunkOrder()
    heard = [piece for n in range(20) for piece in arrive(order, 1, audio(n))]
    assert heard == chunks(*range(20))


def test_silence_of_somebody_who_does_not_count_is_believed_after_a_few() -> None:
    order = ChunkOrder()
    heard = [piece for _ in range(50) for piece in arrive(order, 1, b"\xff" * 160)]
    assert len(heard) >= 46


@given(st.randoms(use_true_random=False), st.integers(20, 120))
def test_within_the_window_any_order_comes_out_right(rng: random.Random, count: int) -> None:
    # A chunk that overtakes fewer than HOLD others can always be waited for.
    keys = {number: number + rng.uniform(0, HOLD - 0.01) for number in range(1, count)}
    arriving = [0, *sorted(keys, key=lambda number: keys[number])]
    order = ChunkOrder()
    assert play(order, *arriving) + order.flush() == chunks(*range(count))
    assert (order.late, order.lost, order.repeated) == (0, 0, 0)


@given(st.lists(st.integers(0, 400), max_size=200))
def test_any_numbers_at_all_lose_no_more_than_is_counted(numbers: list[int]) -> None:
    order = ChunkOrder()
    out: list[bytes] = []
    for index, number in enumerate(numbers):
        out += arrive(order, number, b"%d" % index)
    out += order.flush()
    assert len(out) == len(set(out))
    assert len(out) >= len(numbers) - order.late - order.repeated


@given(st.binary(max_size=2000), st.lists(st.integers(1, 700), max_size=30))
def test_reframing_keeps_every_byte_and_holds_back_less_than_a_frame(data: bytes, cuts: list[int]) -> None:
    frames = Reframer(160)
    out: list[bytes] = []
    fed = 0
    for cut in [*cuts, len(data)]:
        out += frames.add(data[fed : fed + cut])
        fed = min(fed + cut, len(data))
        assert all(len(piece) == 160 for piece in out)
        assert fed - 160 * len(out) < 160
    assert b"".join(out + frames.flush()) == data
    assert frames.flush() == []


def test_a_telephony_frame_is_passed_on_as_it_is() -> None:
    piece = random.Random(1).randbytes(160)
    assert Reframer(160).add(piece)[0] is piece
