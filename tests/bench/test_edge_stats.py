"""The bench's figures, computed by hand on small cases."""

from __future__ import annotations

from itertools import pairwise

import pytest

from bench.edge_load import phase
from bench.edge_report import Goal, Line, _line, goals, lines, table
from bench.edge_runs import Result
from bench.edge_stats import Ear, delays, median, percentile

MS = 1_000_000
SLOT = 160


def paced(ear: Ear, begin: int, slots: int, late: dict[int, int] | None = None) -> None:
    """A reply sent with a lead of 60 ms; `late` delays a slot (and moves all after it) by so many ms."""
    now = begin
    ear.media(now, 3 * SLOT, True)
    for slot in range(3, slots):
        now += 20 * MS + (late or {}).get(slot, 0) * MS
        ear.media(now, SLOT, False)


def test_nothing_is_late_while_the_lead_lasts() -> None:
    ear = Ear()
    paced(ear, 10**9, 100, {40: 40})
    assert (ear.slots, ear.silent, ear.late, ear.worst) == (100, 0, 0, 0)


def test_a_gap_counts_the_slots_that_were_silent_or_late_and_is_not_counted_twice() -> None:
    ear = Ear()
    paced(ear, 10**9, 100, {40: 40 + 45})
    assert (ear.slots, ear.silent, ear.late, ear.worst) == (100, 3, 2, 45 * MS)
    assert ear.gaps == [(10**9 + (38 * 20 + 85) * MS, 45 * MS)]


def test_a_slot_that_is_missed_for_a_moment_is_silent_but_not_late() -> None:
    ear = Ear()
    paced(ear, 10**9, 100, {40: 40 + 10})
    assert (ear.silent, ear.late) == (1, 0)
    paced(ear, 10**10, 100, {40: 40 + 11})
    assert (ear.silent, ear.late) == (2, 1)


def test_silence_between_replies_is_no_gap() -> None:
    ear = Ear()
    paced(ear, 10**9, 50)
    paced(ear, 10**9 + 1200 * MS, 50)
    assert (ear.slots, ear.late, ear.strange) == (100, 0, 0)


def test_a_reply_that_begins_while_the_last_is_heard_queues_behind_it() -> None:
    ear = Ear()
    ear.media(10**9, 10 * SLOT, True)
    ear.media(10**9 + 100 * MS, 10 * SLOT, True)
    assert ear.end == 10**9 + 400 * MS and ear.late == 0


def test_what_a_clear_throws_away_is_not_heard_any_more() -> None:
    ear = Ear()
    ear.media(10**9, 50 * SLOT, True)
    ear.cleared(10**9 + 100 * MS)
    ear.media(10**9 + 300 * MS, SLOT, True)
    assert ear.late == 0 and ear.end == 10**9 + 320 * MS


def test_what_is_sent_after_a_clear_fills_no_gap() -> None:
    ear = Ear()
    ear.media(10**9, 50 * SLOT, True)
    ear.cleared(10**9 + 100 * MS)
    ear.media(10**9 + 101 * MS, SLOT, False)  # a few ms to fade out in
    assert ear.silent == ear.strange == 0 and ear.end == 10**9 + 121 * MS
    ear.media(10**9 + 131 * MS, SLOT, False)
    assert ear.silent == 1


def test_speech_without_a_mark_after_a_silence_is_no_reply() -> None:
    ear = Ear()
    paced(ear, 10**9, 10)
    ear.media(5 * 10**9, SLOT, False)
    assert (ear.strange, ear.late) == (1, 0)


def test_delays_join_by_number_and_leave_out_what_was_never_sent() -> None:
    sent = {0: 1000 * MS, 5: 1100 * MS, 10: 1200 * MS}
    arrived = [(0, 1001 * MS), (5, 1099 * MS), (7, 1150 * MS), (10, 1202 * MS), (10, 1300 * MS)]
    assert delays(sent, arrived) == [1.0, 2.0]


def test_percentiles_and_medians() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert percentile(values, 0.5) == 51.0 and percentile(values, 0.99) == 100.0 and percentile([3.0], 0.99) == 3.0
    assert percentile([], 0.5) is None
    assert median([None, 3.0, 1.0, 2.0]) == 2.0 and median([1.0, 2.0]) == 1.5 and median([None]) is None


def result(
    subject: str, calls: int, cpu: float | None, delay: float, peak: float | None = None, late: int = 0
) -> Result:
    made = Result(subject, calls, 20.0, cpu_ms=cpu, rest_mib=50.0 if cpu else None, peak_mib=peak)
    made.inward = [delay] * 99 + [delay * 10]
    made.outward = [delay * 2]
    made.slots, made.late = 1000, late
    return made


def rounds() -> list[list[Result]]:
    def one(yard: float, own: float) -> list[Result]:
        return [
            result("pass-through", 100, yard, 0.8),
            result("segue", 100, own, 0.5, 66.0, late=1),
            result("segue PCM", 100, own + 1.0, 0.6, 66.0),
            result("direct", 100, None, 0.1),
            result("segue", 10, 9.0, 0.5, 57.0),
        ]

    return [one(4.0, 3.0), one(8.0, 5.6), one(5.0, 4.0)]


def test_ratios_are_taken_of_all_rounds() -> None:
    line = _line("segue", 100, rounds())
    assert line.ratio == pytest.approx(12.6 / 17) and line.cpu_ms == 4.0 and line.rounds == 3
    assert line.calls_per_core == 175
    assert line.late == 3 and line.slots == 3000


def test_the_direct_way_is_taken_off() -> None:
    line = _line("segue", 100, rounds())
    assert line.in_p50 == pytest.approx(0.4) and line.in_p99 == pytest.approx(5.0 - 1.0)
    assert line.out_p50 == pytest.approx(0.8)
    bare = _line("direct", 100, rounds())
    assert bare.in_p50 == pytest.approx(0.1) and bare.cpu_ms is None and bare.ratio is None


def test_goals_are_those_of_the_largest_number_of_calls() -> None:
    made = lines(rounds())
    assert (made[0].calls, made[0].subject) == (10, "segue")
    burst = Line("segue", 70, 1, late=0)
    reached = {goal.name: goal for goal in goals(made, burst, 22.0)}
    assert reached["CPU against the pass-through"].value == pytest.approx(12.6 / 17)
    assert reached["calls per core"].value == 175 and reached["calls per core"].met is False
    assert reached["CPU a provider with linear PCM adds"].value == pytest.approx(1.0)
    assert reached["slots late by more than 60 ms"].value == 3 and reached["slots late by more than 60 ms"].met is False
    assert reached["memory per further call"].value == pytest.approx(9 * 1024 / 90)
    assert reached["the same while 30 more calls arrive"].met and reached["core per caller frame"].met
    assert reached["process at rest"].value == 50.0 and reached["caller audio in, added p50"].met


def test_calls_per_core_are_a_goal_to_be_reached_or_passed() -> None:
    assert [Goal("calls per core", 180, "", value, least=True).met for value in (179.0, 180.0, 250.0)] == [
        False,
        True,
        True,
    ]


def test_callers_are_out_of_step_with_each_other() -> None:
    """However many there are, no two send at the same instant, and none of the grid's 20 ms is left empty."""
    for calls in (10, 50, 100, 130):
        phases = sorted(phase(number) for number in range(calls))
        gaps = [later - sooner for sooner, later in pairwise([*phases, phases[0] + 0.02])]
        assert 0 < 0.3 * 0.02 / calls <= min(gaps) and max(gaps) <= 3 * 0.02 / calls


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    reached = goals(lines([[result("direct", 5, None, 0.1)]]), None, None)
    assert {goal.met for goal in reached} == {None}


def test_every_line_is_in_the_table() -> None:
    text = table(lines(rounds()))
    assert len(text.splitlines()) == 6
    assert "segue PCM" in text and "0.74" in text and "3/3000" in text
