"""The line of calls that wait for a connection: whose turn comes when, and that everybody's does."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.events import Chosen
from bridge.shell.breaker import SECOND, WINDOW
from bridge.shell.health import HealthBoard
from bridge.shell.line import GRACE, LOOK, Purpose
from providers.base import Fault, FaultClass
from providers.codec import Target

SMALL = Target("small", "azure_voice_live", "m", endpoint="https://one.example", api_key="k1")
LARGE = Target("large", "openai", "m", url="wss://two.example/v1/realtime", api_key="k2")
PACES = {"small": 3, "large": 10}


def _board(**paces: int) -> HealthBoard:
    return HealthBoard(Random(3), paces=paces or PACES)


def _ask(
    board: HealthBoard, call: str, now: int, purpose: Purpose = "handover", owed: bool = False, among: Any = (SMALL,)
) -> Chosen:
    return board.choose(1, among, purpose, (), now, call, owed)


def _full(board: HealthBoard, step: int = SECOND) -> int:
    """Take what the small account allows, a step apart; returns the time after it."""
    for number in range(3):
        assert _ask(board, f"taken{number}", number * step).provider == "small"
    return 3 * step


def _due(answer: Chosen, now: int) -> int:
    assert answer.provider is None and answer.retry_ms is not None
    return now + answer.retry_ms * 1_000_000


def test_who_waits_is_told_a_time_of_their_own() -> None:
    board = _board()
    now = _full(board)
    late = WINDOW - 2 * SECOND  # near enough to be told exactly
    assert now < late
    dues = [_due(_ask(board, call, late), late) for call in "abc"]
    assert dues == [WINDOW, WINDOW + SECOND, WINDOW + 2 * SECOND]
    for call, due in zip("abc", dues, strict=True):
        assert _ask(board, call, due).provider == "small"


def test_who_is_told_a_far_time_looks_in_before_it() -> None:
    board = _board()
    now = _full(board)
    purposes: tuple[Purpose, ...] = ("handover", "call", "standby")
    for purpose in purposes:
        looks = {_due(_ask(board, f"{purpose}{number}", now, purpose), now) - now for number in range(20)}
        assert 0.8 * LOOK[purpose] <= min(looks) < max(looks) <= LOOK[purpose] + 1_000_000
        assert len(looks) > 15  # not all at the same moment


def test_a_caller_who_waits_for_an_answer_is_first_then_handovers_new_calls_and_standbys() -> None:
    board = _board(small=10)
    for number in range(10):
        board.choose(1, [SMALL], "handover", (), number * SECOND)
    late = WINDOW - 2 * SECOND
    order: list[tuple[str, Purpose, bool]] = [
        ("standby", "standby", False),
        ("new", "call", True),  # its greeting is owed, which does not put it before running calls
        ("quiet", "handover", False),
        ("owed", "handover", True),
    ]
    for call, purpose, owed in order:
        _ask(board, call, late, purpose, owed)
    dues = {call: _due(_ask(board, call, late, purpose, owed), late) for call, purpose, owed in order}
    new = dues.pop("new")
    # Standbys leave two fifths of the pace to callers; new calls one, which is told at the next look.
    assert dues == {"owed": WINDOW, "quiet": WINDOW + SECOND, "standby": WINDOW + 7 * SECOND}
    assert WINDOW + SECOND < new <= late + LOOK["call"] + 1_000_000
    assert _ask(board, "owed", WINDOW, "handover", True).provider == "small"
    assert _ask(board, "quiet", WINDOW + SECOND).provider == "small"
    assert _ask(board, "new", WINDOW + 4 * SECOND - 1, "call").provider is None
    assert _ask(board, "new", WINDOW + 4 * SECOND, "call").provider == "small"
    assert _ask(board, "standby", WINDOW + 4 * SECOND, "standby").provider is None


def test_who_comes_later_but_is_owed_an_answer_takes_the_turn_and_the_other_is_told_the_next() -> None:
    board = _board()
    _full(board)
    late = WINDOW - SECOND
    assert _due(_ask(board, "quiet", late), late) == WINDOW
    assert _due(_ask(board, "owed", late, owed=True), late) == WINDOW
    assert _due(_ask(board, "quiet", WINDOW), WINDOW) == WINDOW + SECOND  # it is there first, and waits
    assert _ask(board, "owed", WINDOW, owed=True).provider == "small"
    assert _ask(board, "quiet", WINDOW + SECOND).provider == "small"


def test_who_is_moved_up_or_down_keeps_the_time_it_waited() -> None:
    board = _board()
    _full(board)
    late = WINDOW - SECOND
    for call in ("first", "second"):
        _ask(board, call, late, owed=True)
    _ask(board, "first", late, owed=False)  # the caller speaks again
    assert _due(_ask(board, "second", late, owed=True), late) == WINDOW
    assert _due(_ask(board, "first", late, owed=True), late) == WINDOW
    assert _due(_ask(board, "second", late, owed=True), late) == WINDOW + SECOND


def test_having_waited_for_a_standby_does_not_count_as_a_caller() -> None:
    board = _board()
    _full(board)
    late = WINDOW - SECOND
    _ask(board, "idle", late, "standby")
    _ask(board, "first", late)
    assert _due(_ask(board, "idle", late), late) == WINDOW + SECOND


def test_a_turn_that_is_not_claimed_goes_to_the_next() -> None:
    board = _board()
    _full(board)
    late = WINDOW - SECOND
    _ask(board, "gone", late)
    assert _due(_ask(board, "next", late), late) == WINDOW + SECOND
    over = WINDOW + GRACE
    assert _ask(board, "third", over + 1).provider == "small"
    assert _ask(board, "next", over + 1).provider == "small"


def test_who_hangs_up_leaves_the_line() -> None:
    board = _board()
    _full(board)
    late = WINDOW - SECOND
    _ask(board, "a", late)
    assert _due(_ask(board, "b", late), late) == WINDOW + SECOND
    board.leave("a")
    board.leave("nobody")
    assert _due(_ask(board, "b", late), late) == WINDOW


def test_what_one_account_gives_those_ahead_is_not_taken_from_the_other() -> None:
    board = _board(small=1, large=1)
    both = (SMALL, LARGE)
    assert _ask(board, "x", 0, among=both).provider == "small"
    assert _ask(board, "y", 2 * SECOND, among=both).provider == "large"
    late = WINDOW - SECOND
    assert [_due(_ask(board, call, late, among=both), late) for call in "ab"] == [WINDOW, WINDOW + 2 * SECOND]
    assert _ask(board, "a", WINDOW, among=both).provider == "small"
    assert _ask(board, "b", WINDOW + 2 * SECOND, among=both).provider == "large"


def test_who_may_only_use_one_account_does_not_hold_up_the_other() -> None:
    board = _board(small=1, large=1)
    assert _ask(board, "x", 0).provider == "small"
    _ask(board, "bound", SECOND, owed=True)
    assert _ask(board, "free", SECOND, among=(SMALL, LARGE)).provider == "large"


def test_those_behind_a_breaker_do_not_hold_up_those_who_may_dial() -> None:
    board = _board(small=2, large=1)
    board.report(LARGE, Fault(FaultClass.ACCOUNT, "revoked"), None, 0)
    for call in "abc":
        assert _ask(board, call, 0, among=(LARGE,), owed=True).provider is None
    assert [_ask(board, call, SECOND, among=(LARGE, SMALL)).provider for call in "de"] == ["small", "small"]


def test_the_end_of_a_rate_limit_is_shared_out_by_the_pace() -> None:
    board = _board(small=2)
    board.report(SMALL, Fault(FaultClass.RATE_LIMITED, "429", "", 4000), None, 0)
    assert [_due(_ask(board, call, 0), 0) for call in "ab"] == [4 * SECOND, 4 * SECOND]
    assert _ask(board, "c", 0).provider is None
    assert [_ask(board, call, 4 * SECOND).provider for call in "cab"] == [None, "small", "small"]  # not who is quickest


def test_a_probe_takes_no_place() -> None:
    board = _board()
    _full(board)
    late = WINDOW - SECOND
    _ask(board, "back", late, "probe")
    assert _due(_ask(board, "a", late, "standby"), late) == WINDOW + 2 * SECOND  # one of three is a standby's share


@dataclass
class Waiting:
    """A call of the simulation below."""

    name: str
    purpose: Purpose
    owed: bool
    came: int
    served: int | None = None

    @property
    def rank(self) -> int:
        return 0 if self.owed and self.purpose == "handover" else {"handover": 1, "call": 2, "standby": 3}[self.purpose]


WAITING = st.tuples(st.integers(0, 40), st.sampled_from(["handover", "call", "standby"]), st.booleans())


@settings(max_examples=60, deadline=None)
@given(st.lists(WAITING, min_size=1, max_size=60), st.integers(0, 1000))
def test_everybody_is_served_in_order_and_no_account_gets_too_many(
    comers: list[tuple[int, Purpose, bool]], seed: int
) -> None:
    """Calls come at any second of forty, are punctual to a few ms, and dial where they are told."""
    board, chance = _board(), Random(seed)
    calls = [Waiting(f"c{n}", kind, owed, at * SECOND) for n, (at, kind, owed) in enumerate(comers)]
    dials: dict[str, list[int]] = {"small": [], "large": []}
    agenda = [(call.came, chance.random(), call) for call in calls]
    heapq.heapify(agenda)
    asks = 0
    while agenda:
        now, _, call = heapq.heappop(agenda)
        asks += 1
        answer = board.choose(1, (SMALL, LARGE), call.purpose, (), now, call.name, call.owed)
        if answer.provider is None:
            heapq.heappush(agenda, (_due(answer, now) + chance.randrange(5_000_000), chance.random(), call))
            continue
        before = [
            other for other in calls if other.served is None and other.rank < call.rank and other.came < now - SECOND
        ]
        free = sum(
            PACES[name] - sum(1 for at in times if at > now - WINDOW) for name, times in dials.items()
        )  # this one's not yet counted
        assert free > len(before), "somebody more urgent was waiting for it"
        call.served = now
        dials[answer.provider].append(now)
    for name, times in dials.items():
        for begin in times:
            assert sum(1 for at in times if begin <= at < begin + 60 * SECOND) <= PACES[name]
    for one in calls:
        assert one.served is not None
    assert asks <= len(calls) * 20


@pytest.mark.parametrize("count", [200, 400])
def test_a_long_line_moves_at_the_pace(count: int) -> None:
    """All at once: whoever is told a time gets it then, so that the pace is used to the full."""
    board = _board(small=30, large=100)
    agenda = [(0, number) for number in range(count)]
    served: dict[int, int] = {}
    while agenda:
        now, number = heapq.heappop(agenda)
        answer = board.choose(1, (SMALL, LARGE), "handover", (), now, f"c{number}", True)
        if answer.provider is None:
            heapq.heappush(agenda, (_due(answer, now), number))
        else:
            served[number] = now
    assert [served[number] // WINDOW for number in range(count)] == [number // 130 for number in range(count)]


def test_in_a_rush_those_who_are_not_owed_an_answer_step_aside_once() -> None:
    board = _board(small=6)
    assert [_ask(board, call, 0).provider for call in "ab"] == ["small", "small"]
    quiet = _ask(board, "quiet", 0)
    assert (quiet.provider, quiet.retry_ms, quiet.reason) == (None, 500, "small: callers who wait go first")
    assert _ask(board, "quiet", SECOND // 10).retry_ms == 400  # asking again does not help
    assert [_ask(board, call, 0, owed=True).provider for call in "cde"] == ["small"] * 3
    assert _ask(board, "quiet", SECOND // 2).provider == "small"
    assert _ask(board, "full", SECOND // 2).provider is None


def test_who_has_waited_for_a_standby_steps_aside_as_well() -> None:
    board = _board(small=10)
    for number in range(6):
        assert _ask(board, f"c{number}", number * SECOND).provider == "small"
    assert _ask(board, "idle", 6 * SECOND, "standby").provider is None
    assert [_ask(board, call, 9 * SECOND, owed=True).provider for call in "ab"] == ["small", "small"]
    assert _ask(board, "idle", 9 * SECOND).retry_ms == 500
    assert _ask(board, "idle", 9 * SECOND + SECOND // 2).provider == "small"


def test_nobody_steps_aside_where_there_is_no_rush_or_somebody_else_to_dial() -> None:
    board = _board(small=30)
    for number in range(20):
        assert _ask(board, f"c{number}", number * SECOND).provider == "small"
    for number in range(20, 22):
        assert _ask(board, f"c{number}", 20 * SECOND).provider == "small"
    assert _ask(board, "next", 20 * SECOND, among=(SMALL, LARGE)).provider == "large"


def test_there_is_no_rush_on_a_server_of_this_machine() -> None:
    local = Target("fake", "azure_voice_live", "m", url="ws://127.0.0.1:8090")
    board = HealthBoard(Random(3))
    assert all(_ask(board, f"c{number}", 0, among=(local,)).provider == "fake" for number in range(500))
