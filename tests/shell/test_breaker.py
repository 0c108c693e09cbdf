"""Breaker and pace as tables of times."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.shell.breaker import SECOND, WINDOW, Breaker, Pace, Pause, Rules


def _breaker(**rules: float) -> Breaker:
    return Breaker(Rules(**rules), Random(7))  # type: ignore[arg-type]


def _opened(at: int = 0) -> Breaker:
    breaker = _breaker()
    for _ in range(3):
        breaker.failed(at)
    return breaker


def test_three_failures_in_a_row_open_it() -> None:
    breaker = _breaker()
    breaker.failed(0)
    breaker.failed(SECOND)
    assert breaker.wait(SECOND) == 0
    breaker.failed(2 * SECOND)
    assert 4 * SECOND <= breaker.wait(2 * SECOND) <= 6 * SECOND


def test_two_that_count_double_open_it() -> None:
    breaker = _breaker()
    breaker.failed(0, 2.0)
    assert breaker.closed()
    breaker.failed(1, 2.0)
    assert not breaker.closed()


def test_a_success_between_starts_the_row_again() -> None:
    breaker = _breaker()
    for moment in range(3):
        breaker.failed(moment * SECOND)
        breaker.failed(moment * SECOND)
        breaker.succeeded(moment * SECOND)
    assert breaker.closed()


def test_failures_far_apart_do_not_add_up() -> None:
    breaker = _breaker()
    for moment in range(20):
        breaker.failed(moment * 31 * SECOND)
    assert breaker.closed()


def test_half_of_many_opens_it_without_three_in_a_row() -> None:
    breaker = _breaker()
    for moment in range(4):
        breaker.succeeded(moment * SECOND)
        breaker.failed(moment * SECOND)
    assert breaker.closed()  # too few to say
    breaker.succeeded(5 * SECOND)
    breaker.failed(5 * SECOND)
    assert not breaker.closed()


def test_a_few_among_many_do_not() -> None:
    breaker = _breaker()
    for moment in range(300):
        breaker.succeeded(moment * SECOND // 10)
        if moment % 3 == 0:
            breaker.failed(moment * SECOND // 10)
    assert breaker.closed()


def test_half_open_lets_in_exactly_one() -> None:
    breaker = _opened()
    later = breaker.wait(0)
    assert breaker.wait(later) == 0
    breaker.probe(later)
    assert breaker.wait(later) == 10 * SECOND
    assert breaker.wait(later + 10 * SECOND) == 0  # the probe never answered: another


def test_the_probe_closes_it_by_success_only() -> None:
    breaker = _opened()
    later = breaker.wait(0)
    breaker.succeeded(0)
    breaker.succeeded(later)  # somebody's old link; no probe is under way
    assert not breaker.closed()
    breaker.probe(later)
    breaker.succeeded(later + SECOND)
    assert breaker.closed()
    assert breaker.wait(later + SECOND) == 0


def test_a_failed_probe_doubles_the_pause_up_to_the_longest() -> None:
    breaker = _opened()
    now, pauses = 0, []
    for _ in range(8):
        pauses.append(breaker.wait(now) / SECOND)
        now += breaker.wait(now)
        breaker.probe(now)
        breaker.failed(now)
    nominal = [5, 10, 20, 40, 80, 120, 120, 120]
    assert all(0.8 * want <= got <= 1.2 * want for want, got in zip(nominal, pauses, strict=True))
    breaker.probe(now := now + breaker.wait(now))
    breaker.succeeded(now + 1)
    breaker.succeeded(now + 2)
    for _ in range(3):
        breaker.failed(now + 3)
    assert breaker.wait(now + 3) <= 6 * SECOND  # a success resets the doubling


def test_late_news_while_open_changes_nothing() -> None:
    breaker = _opened()
    wait = breaker.wait(0)
    for _ in range(10):
        breaker.failed(SECOND)
        breaker.trip(SECOND, Pause(1000.0, 1000.0))
        breaker.succeeded(SECOND)
    assert breaker.wait(SECOND) == wait - SECOND


def test_a_trip_opens_at_once() -> None:
    breaker = _breaker()
    breaker.trip(0, Pause(300.0, 3600.0))
    assert 240 * SECOND <= breaker.wait(0) <= 360 * SECOND


def test_pauses_differ() -> None:
    chance = Random(1)
    assert len({Pause(5.0, 60.0).draw(0, chance) for _ in range(50)}) == 50


@pytest.mark.parametrize(("share", "allowed"), [(1.0, 30), (0.8, 24), (0.6, 18)])
def test_the_pace_by_share(share: float, allowed: int) -> None:
    pace = Pace(30)
    taken = 0
    while pace.free_at(0, share) == 0:
        pace.take(0)
        taken += 1
    assert taken == allowed
    assert pace.free_at(0, share) == WINDOW
    assert pace.free_at(WINDOW, share) == WINDOW


def test_what_the_pace_says_to_wait_is_enough_and_not_too_much() -> None:
    pace = Pace(10)
    for moment in range(10):
        pace.take(moment * SECOND)
    free = pace.free_at(10 * SECOND, 0.6)  # 4 over
    assert free == WINDOW + 4 * SECOND
    assert pace.free_at(free - 1, 0.6) == free
    assert pace.free_at(free, 0.6) == free


def test_what_is_promised_to_others_is_taken() -> None:
    pace = Pace(3)
    pace.take(0)
    pace.take(SECOND)
    assert pace.free_at(2 * SECOND) == 2 * SECOND
    assert pace.free_at(2 * SECOND, 1.0, [2 * SECOND]) == WINDOW
    assert pace.free_at(2 * SECOND, 1.0, [2 * SECOND, WINDOW]) == WINDOW + SECOND
    assert pace.free_at(2 * SECOND, 1.0, [2 * SECOND, WINDOW, WINDOW + SECOND]) == WINDOW + 2 * SECOND


@given(st.lists(st.tuples(st.integers(0, 5 * SECOND), st.sampled_from([0.6, 0.8, 1.0])), max_size=200))
def test_no_minute_ever_holds_more_than_the_limit(steps: list[tuple[int, float]]) -> None:
    pace, now, taken = Pace(7), 0, []
    for pause, share in steps:
        now += pause
        if pace.free_at(now, share) == now:
            pace.take(now)
            taken.append(now)
    for begin in taken:
        assert sum(1 for at in taken if begin <= at < begin + WINDOW) <= 7


def test_one_failure_is_doubted_for_a_while() -> None:
    breaker = _breaker()
    assert not breaker.doubtful(0)
    breaker.failed(SECOND)
    assert breaker.closed() and breaker.wait(SECOND) == 0
    assert breaker.doubtful(30 * SECOND)
    assert not breaker.doubtful(31 * SECOND)
    breaker.probe(31 * SECOND)  # somebody tries: the others wait and see
    assert breaker.doubtful(32 * SECOND)
    breaker.succeeded(33 * SECOND)
    assert not breaker.doubtful(33 * SECOND)


def test_an_old_links_audio_says_nothing_about_a_later_failure() -> None:
    breaker = _breaker()
    for moment in range(1, 4):
        breaker.failed(moment * SECOND)
        breaker.succeeded(moment * SECOND, 0)
    assert not breaker.closed()
    later = 3 * SECOND + breaker.wait(3 * SECOND)
    breaker.probe(later)
    breaker.succeeded(later + SECOND, later - SECOND)
    assert not breaker.closed()
    breaker.succeeded(later + SECOND, later)
    assert breaker.closed()
