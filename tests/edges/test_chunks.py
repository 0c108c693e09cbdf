from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.edges.chunks import HOLD, ChunkOrder, Missing, Reframer


def audio(number: int) -> bytes:
    """A chunk that says which one it is."""
    return b"chunk %d" % number


def play(order: ChunkOrder, *numbers: int) -> list[bytes]:
    return [piece for number in numbers for piece in arrive(order, number, audio(number))]


def arrive(order: ChunkOrder, number: int, data: bytes) -> list[bytes]:
    """One chunk, the short way where there is one; what is missing is left out."""
    pieces = [data] if order.follows(str(number), data) else order.add(number, data)
    return [piece for piece in pieces if isinstance(piece, bytes)]


FRAME = 160


def timed(order: ChunkOrder, *chunks: tuple[int, object]) -> list[int]:
    """Chunks of 20 ms by number and time: the numbers that came out, what was missing as negative milliseconds."""
    out: list[int] = []
    for number, stamp in chunks:
        data = number.to_bytes(2, "big") * (FRAME // 2)
        for piece in [data] if order.follows(str(number), data, stamp) else order.add(number, data, stamp):
            out.append(-piece.size // 8 if isinstance(piece, Missing) else int.from_bytes(piece[:2], "big"))
    return out


def chunks(*numbers: int) -> list[bytes]:
    return [audio(number) for number in numbers]


def test_what_is_in_order_passes_at_once() -> None:
    order = ChunkOrder()
    for number in range(7, 107):
        assert arrive(order, number, audio(number)) == chunks(number)
    assert (order.late, order.lost, order.repeated) == (0, 0, 0)


@given(st.lists(st.tuples(st.integers(0, 12), st.none() | st.integers(-5, 4000) | st.floats()), max_size=60))
def test_the_short_way_changes_nothing(came: list[tuple[int, object]]) -> None:
    short, long = ChunkOrder(), ChunkOrder()
    for index, (number, stamp) in enumerate(came):
        data = b"%d" % (index % 7)
        pieces = [data] if short.follows(str(number), data, stamp) else short.add(number, data, stamp)
        assert pieces == long.add(number, data, stamp)
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
    assert order.flush() == [Missing(len(audio(1))), audio(3)]
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
    assert [*play(order, *arriving), *order.flush()] == chunks(*range(count))
    assert (order.late, order.lost, order.repeated) == (0, 0, 0)


@given(st.lists(st.integers(0, 400), max_size=200))
def test_any_numbers_at_all_lose_no_more_than_is_counted(numbers: list[int]) -> None:
    order = ChunkOrder()
    out: list[bytes] = []
    for index, number in enumerate(numbers):
        out += arrive(order, number, b"%d" % index)
    out += [piece for piece in order.flush() if isinstance(piece, bytes)]
    assert len(out) == len(set(out))
    assert len(out) >= len(numbers) - order.late - order.repeated


# ------------------------------------------------------------------------------------------------------ what is missing


@pytest.mark.parametrize("stamps", [[20 * n for n in range(12)], [None] * 12, ["x"] * 12, ["20"] * 12, [0] * 12])
def test_what_is_missing_stands_in_its_place_and_is_as_long(stamps: list[object]) -> None:
    order = ChunkOrder()
    came = [(n, stamps[n]) for n in (1, 2, 4, 5, 6, 7, 10, 11)]
    assert timed(order, *came) == [1, 2, -20, 4, 5, 6, 7]
    rest = order.flush()
    assert [getattr(piece, "size", 0) for piece in rest] == [2 * FRAME, 0, 0]
    assert order.lost == 3


def test_holes_behind_each_other_are_each_in_their_place() -> None:
    order = ChunkOrder()
    assert timed(order, (1, "0"), (3, "40"), (5, "80"), (6, "100"), (9, "160")) == [1, -20, 3, -20, 5, 6, -40, 9]


def test_times_that_go_on_say_that_nothing_is_missing() -> None:
    order = ChunkOrder()
    assert timed(order, *((3 * n, str(20 * n)) for n in range(1, 40))) == [3 * n for n in range(1, 38)]
    order = ChunkOrder()
    assert timed(order, (1, "20"), (5000, "40"), (5001, "60")) == [1, 5000, 5001]


def test_whoever_does_not_number_chunks_is_found_out() -> None:
    order = ChunkOrder()
    heard = timed(order, *((2 * n, None) for n in range(1, 200)))
    assert [number for number in heard if number > 0] == [2 * n for n in range(1, 200)]
    assert sum(number < 0 for number in heard) <= 12


def test_a_pause_in_the_carriers_times_is_told_though_no_number_is_missing() -> None:
    order = ChunkOrder()
    assert timed(order, (1, "20"), (2, "40"), (3, "2060"), (4, "2080")) == [1, 2, -2000, 3, 4]
    assert order.lost == 0
    # A second, and numbers that stand for less than the time that passed.
    assert timed(order, (5, "2900"), (7, "9000"), (8, "9020"), (9, "9040"), (10, "9060")) == [
        5, -6080, 7, 8, 9, 10,
    ]  # fmt: skip


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
