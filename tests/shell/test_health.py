"""The health board: which fault closes which door, and who is let through."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from bridge.core.events import Chosen
from bridge.shell.breaker import SECOND, WINDOW
from bridge.shell.health import HealthBoard, Purpose, keys_of
from providers.base import Fault, FaultClass
from providers.codec import Target

OPENAI = Target("openai", "openai", "gpt-realtime", url="wss://api.example.com/v1/realtime", api_key="sk-canary-1")
SECOND_KEY = Target("openai2", "openai", "gpt-realtime", url="wss://api.example.com/v1/realtime", api_key="sk-canary-2")
OTHER_MODEL = Target("mini", "openai", "gpt-mini", url="wss://api.example.com/v1/realtime", api_key="sk-canary-1")
AZURE = Target("azure", "azure_voice_live", "gpt-realtime", endpoint="https://res.example.net", api_key="sk-canary-1")
EVERY = [OPENAI, SECOND_KEY, OTHER_MODEL, AZURE]


def _board(**options: Any) -> HealthBoard:
    return HealthBoard(Random(5), **options)


def _choose(
    board: HealthBoard, now: int = 0, purpose: Purpose = "call", exclude: tuple[str, ...] = (), among: Any = None
) -> Chosen:
    return board.choose(1, EVERY if among is None else among, purpose, exclude, now)


def _reachable(board: HealthBoard, now: int = 0) -> set[str]:
    return {target.name for target in EVERY if _choose(board, now, among=[target]).provider}


def test_the_first_candidate_that_is_not_excluded() -> None:
    board = _board()
    assert _choose(board) == Chosen(1, "openai", "", None, 800)
    assert _choose(board, exclude=("openai", "openai2")).provider == "mini"
    nobody = _choose(board, exclude=("openai", "openai2", "mini", "azure"))
    assert (nobody.provider, nobody.retry_ms) == (None, None)
    assert "tried" in nobody.reason


def test_how_loud_a_voice_is_is_known_by_model_and_voice() -> None:
    board = _board()
    assert board.voice_db(OPENAI, "marin") is None
    for level in (66.0, 66.0, 66.0, 70.0):
        board.heard(OPENAI, "marin", level)
    assert board.voice_db(OPENAI, "marin") == 66.8  # one odd reply says little
    for _ in range(30):
        board.heard(OPENAI, "marin", 70.0)
    assert board.voice_db(OPENAI, "marin") == 70.0
    others = [(OPENAI, "cedar"), (SECOND_KEY, "marin"), (OTHER_MODEL, "marin"), (AZURE, "marin")]
    assert [board.voice_db(*other) for other in others] == [None] * 4


@pytest.mark.parametrize(
    ("kind", "times", "left"),
    [
        (FaultClass.NETWORK, 3, {"azure"}),  # the endpoint: everybody behind it
        (FaultClass.OVERLOADED, 3, {"openai2", "mini", "azure"}),
        (FaultClass.STALLED, 2, {"openai2", "mini", "azure"}),
        (FaultClass.SLOW, 2, {"openai2", "mini", "azure"}),
        (FaultClass.EMPTY, 3, {"openai2", "mini", "azure"}),
        (FaultClass.RATE_LIMITED, 1, {"openai2", "azure"}),  # the account: all its models
        (FaultClass.ACCOUNT, 1, {"openai2", "azure"}),
        (FaultClass.CONFIG, 1, {"openai2", "mini", "azure"}),
        (FaultClass.EXPIRED, 50, {"openai", "openai2", "mini", "azure"}),
        (FaultClass.PLANNED, 50, {"openai", "openai2", "mini", "azure"}),
        (FaultClass.REFUSED, 50, {"openai", "openai2", "mini", "azure"}),
    ],
)
def test_which_fault_closes_which_door(kind: FaultClass, times: int, left: set[str]) -> None:
    board = _board()
    for _ in range(times - 1):
        board.report(OPENAI, Fault(kind, "x"), None, 0)
    if times > 1:
        assert _reachable(board) == {target.name for target in EVERY}
    board.report(OPENAI, Fault(kind, "x"), None, 0)
    assert _reachable(board) == left


def test_every_class_of_fault_has_its_row() -> None:
    for kind in FaultClass:
        _board().report(OPENAI, Fault(kind, ""), None, 0)


def test_a_rate_limit_lasts_as_long_as_the_provider_says() -> None:
    board = _board()
    board.report(OPENAI, Fault(FaultClass.RATE_LIMITED, "", "", 7_000), None, 0)
    chosen = _choose(board, among=[OPENAI, OTHER_MODEL])
    assert (chosen.provider, chosen.retry_ms) == (None, 7_000)
    assert chosen.reason == "openai: account rate limited; mini: account rate limited"
    assert _choose(board, 7 * SECOND).provider == "openai"


def test_a_rate_limit_without_a_time_grows_when_it_comes_again() -> None:
    board = _board()
    now, waits = 0, []
    for _ in range(4):
        for _ in range(20):  # twenty calls hit the same limit
            board.report(OPENAI, Fault(FaultClass.RATE_LIMITED, ""), None, now)
        waits.append(_choose(board, now, among=[OPENAI]).retry_ms or 0)
        now += waits[-1] * 1_000_000
    assert all(0.8 * want <= got / 1000 <= 1.2 * want for want, got in zip([5, 10, 20, 40], waits, strict=True))
    board.report(OPENAI, None, 500, now)
    board.report(OPENAI, Fault(FaultClass.RATE_LIMITED, ""), None, now)
    assert (_choose(board, now, among=[OPENAI]).retry_ms or 0) <= 6000


def test_the_reason_and_the_time_when_nobody_is_left() -> None:
    board = _board()
    board.report(OPENAI, Fault(FaultClass.ACCOUNT, ""), None, 0)
    board.report(AZURE, Fault(FaultClass.RATE_LIMITED, "", "", 30_000), None, 0)
    chosen = _choose(board, among=[OPENAI, AZURE])
    assert chosen.reason == "openai: credential breaker open; azure: account rate limited"
    assert chosen.retry_ms == 30_000


def test_skipped_candidates_are_named() -> None:
    board = _board()
    board.report(OPENAI, Fault(FaultClass.CONFIG, ""), None, 0)
    assert _choose(board) == Chosen(1, "openai2", "openai: model breaker open")


def test_a_half_open_breaker_lets_one_call_through_and_its_audio_closes_it() -> None:
    board = _board()
    for _ in range(3):
        board.report(OPENAI, Fault(FaultClass.OVERLOADED, ""), None, 0)
    now = (_choose(board, among=[OPENAI]).retry_ms or 0) * 1_000_000
    assert [_choose(board, now, among=[OPENAI]).provider for _ in range(3)] == ["openai", None, None]
    board.report(OPENAI, None, 640, now + SECOND)
    assert [_choose(board, now + SECOND, among=[OPENAI]).provider for _ in range(3)] == ["openai"] * 3


def test_a_handover_prefers_a_closed_door_but_takes_a_half_open_one() -> None:
    board = _board()
    for _ in range(3):
        board.report(OPENAI, Fault(FaultClass.OVERLOADED, ""), None, 0)
    now = 60 * SECOND
    assert _choose(board, now, "handover", among=[OPENAI, AZURE]).provider == "azure"
    assert _choose(board, now, "handover", ("azure",), [OPENAI, AZURE]).provider == "openai"
    assert _choose(board, now + 60 * SECOND, "call", among=[OPENAI, AZURE]).provider == "openai"


def test_connecting_is_no_success() -> None:
    board = _board()
    for _ in range(3):
        assert _choose(board, among=[OPENAI]).provider == "openai"
        board.report(OPENAI, Fault(FaultClass.STALLED, ""), None, 0)
        if _choose(board, among=[OPENAI]).provider is None:
            break
    else:
        pytest.fail("dials between stalls must not count as successes")


def test_the_connection_pace_of_an_account() -> None:
    board = _board()
    answers = [_choose(board, purpose="call", among=[AZURE]) for _ in range(25)]
    assert [answer.provider for answer in answers] == ["azure"] * 24 + [None]
    assert (answers[-1].reason, answers[-1].retry_ms) == ("azure: connection pace reached", WINDOW // 1_000_000)
    assert _choose(board, purpose="standby", among=[AZURE]).provider is None
    assert [_choose(board, purpose="handover", among=[AZURE]).provider for _ in range(7)] == ["azure"] * 6 + [None]
    assert _choose(board, WINDOW, "standby", among=[AZURE]).provider == "azure"


def test_paces_can_be_set_and_are_shared_by_entries_of_one_account() -> None:
    board = _board(paces={"openai": 5})
    assert [_choose(board, purpose="handover", among=[OPENAI]).provider for _ in range(4)] == ["openai"] * 4
    assert [_choose(board, purpose="handover", among=[OTHER_MODEL]).provider for _ in range(2)] == ["mini", None]


@pytest.mark.parametrize("url", ["ws://127.0.0.1:8090", "ws://localhost:8090/x", "ws://[::1]:8090"])
def test_servers_on_this_machine_have_no_pace(url: str) -> None:
    board = _board()
    local = Target("fake", "azure_voice_live", "m", url=url)
    assert all(_choose(board, among=[local]).provider == "fake" for _ in range(500))


def test_first_audio_is_believed_once_there_is_enough_of_it() -> None:
    board = _board()
    for each in range(1, 5):
        board.report(OPENAI, None, each * 100, 0)
    assert board.first_audio_p90_ms(OPENAI) == 800
    for each in range(5, 11):
        board.report(OPENAI, None, each * 100, 0)
    board.report(OPENAI, None, None, 0)
    assert board.first_audio_p90_ms(OPENAI) == 900
    assert board.first_audio_p90_ms(OTHER_MODEL) == 800
    assert _choose(board).first_audio_p90_ms == 900
    for _ in range(50):  # only the last fifty count
        board.report(OPENAI, None, 300, 0)
    assert board.first_audio_p90_ms(OPENAI) == 300


def test_keys_come_from_address_and_secret_and_do_not_show_it() -> None:
    first, second = keys_of(OPENAI), keys_of(SECOND_KEY)
    assert first["endpoint"] == second["endpoint"]
    assert first["account"] != second["account"]
    renamed = Target(
        "other name", "xai", "gpt-realtime", url="wss://api.example.com/v1/realtime/", api_key="sk-canary-1"
    )
    assert keys_of(renamed) == first
    tenant = Target("t", "openai", "m", url="wss://gw/x", headers={"X-Tenant": "canary-a"})
    neighbour = Target("t", "openai", "m", url="wss://gw/x", headers={"X-Tenant": "canary-b"})
    assert keys_of(tenant)["account"] != keys_of(neighbour)["account"]
    assert "canary" not in repr([keys_of(target) for target in (*EVERY, tenant, neighbour)])


def test_without_address_the_kind_and_region_are_the_endpoint() -> None:
    europe = Target("a", "gemini", "m", options={"region": "europe-west1"})
    america = Target("b", "gemini", "m", options={"region": "us-central1"})
    assert keys_of(europe)["endpoint"] == ("endpoint", "gemini", "europe-west1")
    assert keys_of(europe)["endpoint"] != keys_of(america)["endpoint"]


@pytest.mark.parametrize("purpose", ["call", "handover", "standby"])
def test_who_has_just_failed_comes_after_who_has_not(purpose: Purpose) -> None:
    board = _board()
    board.report(OPENAI, Fault(FaultClass.NETWORK, "refused"), None, 0)
    assert _choose(board, SECOND, purpose).provider == "azure"  # the others share the address that failed
    assert _choose(board, SECOND, purpose, among=[OPENAI]).provider == "openai"  # nobody else: no reason to wait
    board.report(OPENAI, None, 400, 2 * SECOND, link_age_ms=1000)
    assert _choose(board, 2 * SECOND, purpose).provider == "openai"


def test_calls_that_go_on_do_not_hide_that_new_ones_are_refused() -> None:
    board = _board()
    for moment in range(1, 4):
        board.report(OPENAI, Fault(FaultClass.NETWORK, "refused"), None, moment * SECOND)
        board.report(OPENAI, None, 400, moment * SECOND, link_age_ms=60_000)
    assert _choose(board, 4 * SECOND, among=[OPENAI]).provider is None


def test_a_model_whose_answers_come_late_is_dialled_last_but_not_shut_out() -> None:
    board = _board()
    for number in range(20):
        board.report(OPENAI, None, 2300 if number % 2 else 600, number * SECOND)
    now = 20 * SECOND
    assert _choose(board, now).provider == "openai2"  # the same service by another account
    assert _choose(board, now, "standby", among=[OPENAI, AZURE]).provider == "azure"
    assert _choose(board, now, among=[OPENAI]).provider == "openai"
    assert _choose(board, now + 71 * SECOND).provider == "openai"  # it is forgotten


@pytest.mark.parametrize(("late", "of"), [(9, 9), (4, 10), (1, 50)])
def test_a_few_late_answers_say_nothing(late: int, of: int) -> None:
    board = _board()
    for number in range(of):
        board.report(OPENAI, None, 2300 if number < late else 600, number * SECOND)
    assert _choose(board, of * SECOND).provider == "openai"


def test_of_many_calls_at_once_exactly_one_is_the_probe_of_a_half_open_breaker() -> None:
    board = _board()
    for _ in range(3):
        board.report(OPENAI, Fault(FaultClass.OVERLOADED, ""), None, 0)
    answers = [board.choose(1, [OPENAI], "call", (), 0, f"c{number}") for number in range(200)]
    assert {answer.provider for answer in answers} == {None}
    now = max(answer.retry_ms or 0 for answer in answers) * 1_000_000 + SECOND
    dialled = [board.choose(1, [OPENAI], "call", (), now, f"c{number}").provider for number in range(200)]
    assert dialled.count("openai") == 1
    for _ in range(3):  # it fails; the others do not rush in
        board.report(OPENAI, Fault(FaultClass.OVERLOADED, ""), None, now + SECOND)
    dialled = [board.choose(1, [OPENAI], "call", (), now + SECOND, f"c{number}").provider for number in range(200)]
    assert set(dialled) == {None}


@pytest.mark.parametrize("kind", [FaultClass.ACCOUNT, FaultClass.CONFIG])
def test_what_no_dial_can_mend_is_not_dialled_again_by_any_call(kind: FaultClass) -> None:
    board = _board()
    board.report(OPENAI, Fault(kind, "no"), None, 0)
    for second in range(48):
        for purpose in ("call", "handover", "standby", "probe"):
            assert board.choose(1, [OPENAI], purpose, (), second * SECOND, f"{purpose}{second}").provider is None  # type: ignore[arg-type]


def test_an_overloaded_model_that_says_when_to_come_back_is_left_alone_until_then() -> None:
    board = _board()
    board.report(OPENAI, Fault(FaultClass.OVERLOADED, "503", "", 20_000), None, 0)
    assert _reachable(board, 20 * SECOND - 1) == {"openai2", "mini", "azure"}
    assert _choose(board, 31 * SECOND, among=[OPENAI]).provider == "openai"
    board.report(SECOND_KEY, Fault(FaultClass.OVERLOADED, "503", "", 86_400_000), None, 0)
    assert _choose(board, 181 * SECOND, among=[SECOND_KEY]).provider == "openai2"  # not for a day
