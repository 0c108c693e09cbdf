"""The fold from notes to the summary of a call."""

from __future__ import annotations

from typing import Any

import orjson

from bridge.shell.record_fold import Entry
from bridge.shell.record_summary import SCHEMA, summarise

START = 77_000_000_000


def told(*notes: tuple[int, str, dict[str, Any]]) -> dict[str, Any]:
    """Notes at ms since the start of the call, in order."""
    begin = (0, "call_started", {"agent": "reception", "providers": ["a", "b"], "leg": "pcmu@8000"})
    summary = summarise(Entry(START + at * 1_000_000, kind, fields) for at, kind, fields in (begin, *notes))
    orjson.dumps(summary)
    return summary


def usage(provider: str, ask: int, **tokens: int) -> dict[str, Any]:
    return {"provider": provider, "ask": ask, "kind": "reply", "seconds": 0.0, **tokens}


def asked(ask: int, exchange: int, provider: str, continuation: bool = False) -> dict[str, Any]:
    return {"ask": ask, "exchange": exchange, "link": ask, "provider": provider, "continuation": continuation}


def test_an_empty_call() -> None:
    summary = summarise(())
    assert summary["schema"] == SCHEMA
    assert summary["ended"] is None
    assert summary["duration_ms"] == 0
    assert set(summary["totals"]["tokens"].values()) == {0}
    assert told((1500, "call_ended", {"reason": "hung up"}))["ended"] == "hung up"
    assert told((1500, "call_ended", {"reason": "hung up"}))["duration_ms"] == 1500


def test_what_the_line_did_is_counted() -> None:
    quiet = told((900, "call_ended", {"reason": "hung up"}))
    assert (quiet["totals"]["concealed_ms"], quiet["totals"]["away_ms"]) == (0, 0)
    assert (quiet["line_away"], quiet["opinions"]) == ([], [])
    summary = told(
        (400, "line_away", {"ms": 2000}),
        (600, "opinion", {"complete": True, "timely": False}),
        (700, "line_away", {"ms": 500}),
        (899, "concealed", {"ms": 340}),
        (900, "call_ended", {"reason": "hung up"}),
    )
    assert (summary["totals"]["concealed_ms"], summary["totals"]["away_ms"]) == (340, 2500)
    assert summary["line_away"] == [{"at_ms": 400, "ms": 2000}, {"at_ms": 700, "ms": 500}]
    assert summary["opinions"] == [{"at_ms": 600, "complete": True, "timely": False}]


def test_a_turn_that_the_line_broke_off_lies_before_the_gap() -> None:
    summary = told(
        (1500, "turn_began", {"turn": 1, "at_ms": 1000, "provisional": False}),
        (5200, "line_away", {"ms": 3000}),
        (5200, "turn_ended", {"turn": 1, "began_ms": 1000, "at_ms": 2000, "kind": "speech"}),
        (9000, "call_ended", {"reason": "hung up"}),
    )
    (turn,) = summary["turns"]
    assert (turn["began_ms"], turn["ended_ms"]) == (1200, 2200)
    assert summary["line_away"] == [{"at_ms": 5200, "ms": 3000}]


def test_a_hold_is_told_when_it_is_over_or_lasts_until_the_end() -> None:
    summary = told(
        (1000, "last_rung", {"why": "nobody"}),
        (2500, "hold_over", {"ms": 1500}),
        (4000, "last_rung", {"why": "nobody"}),
        (4700, "call_ended", {"reason": "hung up"}),
    )
    assert summary["holds"] == [{"at_ms": 2500, "ms": 1500}, {"at_ms": 4700, "ms": 700}]
    assert summary["totals"]["hold_ms"] == 2200


def test_a_turn_lies_on_the_calls_clock_and_belongs_to_its_exchange() -> None:
    """Media time runs 200 ms behind the call's; the onset is noted late, the end at once."""
    summary = told(
        (1500, "turn_began", {"turn": 1, "at_ms": 900, "provisional": True}),
        (1900, "exchange_opened", {"exchange": 1, "kind": "speech", "turns": [1]}),
        (3200, "turn_ended", {"turn": 1, "began_ms": 900, "at_ms": 3000, "kind": "speech"}),
        (3700, "caller_text", {"turn": 1, "text": "hello", "provider": "a"}),
        (3900, "turn_began", {"turn": 2, "at_ms": 3300, "provisional": False}),
        (5200, "turn_ended", {"turn": 2, "began_ms": 3300, "at_ms": 5000, "kind": "speech"}),
        (6000, "turn_began", {"turn": 3, "at_ms": 5500, "provisional": True}),
        (6300, "turn_withdrawn", {"turn": 3, "why": "short"}),
    )
    one, two, three = summary["turns"]
    assert (one["began_ms"], one["ended_ms"], one["media_ms"]) == (1100, 3200, [900, 3000])
    assert (one["state"], one["text"], one["text_from"], one["exchange"]) == ("ended", "hello", "a", 1)
    assert (two["exchange"], two["began_ms"]) == (1, 3500)
    assert (three["state"], three["why"], three["began_ms"], three["ended_ms"]) == ("withdrawn", "short", 5700, 6300)
    assert three["exchange"] is None
    assert summary["exchanges"][0]["turns"] == [1, 2]
    assert summary["totals"]["turns"] == 2
    assert summary["totals"]["caller_ms"] == 2100 + 1700
    assert summary["transcript"] == [
        {"at_ms": 1100, "who": "caller", "text": "hello"},
        {"at_ms": 3500, "who": "caller", "text": ""},
    ]


def test_a_hole_in_the_stream_moves_later_turns_only() -> None:
    summary = told(
        (2000, "turn_began", {"turn": 1, "at_ms": 1500, "provisional": False}),
        (3000, "turn_ended", {"turn": 1, "began_ms": 1500, "at_ms": 3000, "kind": "speech"}),
        (12_000, "turn_began", {"turn": 2, "at_ms": 3500, "provisional": False}),
        (13_000, "turn_ended", {"turn": 2, "began_ms": 3500, "at_ms": 5000, "kind": "speech"}),
    )
    assert [(turn["began_ms"], turn["ended_ms"]) for turn in summary["turns"]] == [(1500, 3000), (11_500, 13_000)]


def test_keys_are_turns_too() -> None:
    summary = told(
        (1000, "dtmf", {"digit": "4"}),
        (1200, "dtmf", {"digit": "#"}),
        (1200, "turn_began", {"turn": 1, "at_ms": 1200, "provisional": False}),
        (1200, "turn_ended", {"turn": 1, "began_ms": 1200, "at_ms": 1200, "kind": "keys", "digits": "4#"}),
        (1200, "exchange_opened", {"exchange": 1, "kind": "keys", "turns": [1]}),
    )
    assert summary["turns"][0]["digits"] == "4#"
    assert summary["turns"][0]["kind"] == "keys"
    assert [key["digit"] for key in summary["keys"]] == ["4", "#"]
    assert summary["transcript"] == [{"at_ms": 1200, "who": "caller", "text": "4#"}]


def test_a_switch_with_its_cause_its_price_and_both_voices() -> None:
    summary = told(
        (0, "link_opened", {"link": 1, "provider": "a", "purpose": "call"}),
        (100, "link_ready", {"link": 1, "provider": "a", "after_ms": 100}),
        (1000, "exchange_opened", {"exchange": 1, "kind": "speech", "turns": []}),
        (2000, "asked", asked(1, 1, "a")),
        (2400, "first_audio", {"ask": 1, "provider": "a", "after_ms": 400}),
        (2400, "agent_began", {"ask": 1}),
        (3000, "link_closed", {"link": 1, "provider": "a", "why": "reset"}),
        (3000, "fault", {"link": 1, "provider": "a", "class": "network", "code": "", "reason": "reset",
                         "phase": "mid-reply", "detection_ms": 0}),
        (3000, "asked", asked(2, 1, "b", True)),
        (3500, "first_audio", {"ask": 2, "provider": "b", "after_ms": 500}),
        (3500, "swap", {"from": "a", "to": "b", "class": "network", "code": "", "reason": "reset", "exchange": 1,
                        "detection_ms": 0, "warm": True, "silence_ms": 120, "replayed_ms": 1800}),
        (3600, "agent_ended", {"ask": 1, "heard_ms": 1080}),
        (3720, "agent_began", {"ask": 2}),
        (4000, "usage", usage("b", 2, input_text=300, input_audio=50, output_audio=70)),
        (4100, "exchange_settled", {"exchange": 1, "state": "answered"}),
        (5000, "heard", {"exchange": 1, "ask": 1, "provider": "a", "text": "We are", "heard_ms": 1080,
                         "complete": False}),
        (6000, "agent_ended", {"ask": 2, "heard_ms": 2280}),
        (6000, "heard", {"exchange": 1, "ask": 2, "provider": "b", "text": "open at nine.", "heard_ms": 2280,
                         "complete": True}),
    )  # fmt: skip
    (swap,) = summary["swaps"]
    assert (swap["at_ms"], swap["from"], swap["to"], swap["class"], swap["ask"]) == (3500, "a", "b", "network", 2)
    assert swap["again"] == {"input_text": 300, "input_audio": 50, "cached_text": 0, "cached_audio": 0}
    assert summary["faults"][0]["phase"] == "mid-reply"
    assert summary["totals"]["sessions"] == len(summary["links"])
    totals = summary["totals"]
    assert (totals["swaps"], totals["silence_ms"], totals["replayed_ms"], totals["agent_ms"]) == (1, 120, 1800, 3360)
    assert (totals["tokens"]["input_text"], totals["tokens"]["output_audio"]) == (300, 70)
    assert (totals["tokens_again"]["input_text"], totals["tokens_again"]["output_audio"]) == (300, 0)
    a, b = summary["providers"]
    assert (a["provider"], a["asks"], a["faults"], a["heard_ms"]) == ("a", 1, 1, 1080)
    assert (b["provider"], b["tokens"]["input_audio"], b["first_audio_ms"]) == ("b", 50, {"median": 500, "worst": 500})
    assert [(said["ask"], said["provider"], said["began_ms"], said["ended_ms"]) for said in summary["speech"]] == [
        (1, "a", 2400, 3600),
        (2, "b", 3720, 6000),
    ]
    assert [(line["at_ms"], line["provider"], line["text"], line["complete"]) for line in summary["transcript"]] == [
        (2400, "a", "We are", False),
        (3720, "b", "open at nine.", True),
    ]
    (exchange,) = summary["exchanges"]
    assert (exchange["state"], exchange["asks"], exchange["settled_ms"]) == ("answered", [1, 2], 4100)
    assert [link["why"] for link in summary["links"]] == ["reset"]


def test_a_price_the_core_already_names_is_kept() -> None:
    summary = told((10, "swap", {"from": "a", "to": "b", "again": {"input_text": 5}}))
    assert summary["swaps"][0]["again"] == {"input_text": 5}
    assert summary["totals"]["tokens_again"]["input_text"] == 5


def test_a_swap_while_nobody_was_asked_costs_no_tokens() -> None:
    summary = told((10, "asked", asked(1, 1, "b")), (20, "usage", usage("b", 1, input_text=9)),
                   (30, "swap", {"from": "a", "to": "b", "exchange": None}))  # fmt: skip
    assert summary["swaps"][0]["ask"] is None
    assert summary["totals"]["tokens_again"]["input_text"] == 0


def test_a_reopened_exchange_is_owed_again_and_takes_the_next_turn() -> None:
    summary = told(
        (1000, "exchange_opened", {"exchange": 1, "kind": "speech", "turns": [1]}),
        (2000, "exchange_settled", {"exchange": 1, "state": "answered"}),
        (2500, "exchange_reopened", {"exchange": 1}),
        (3000, "turn_ended", {"turn": 2, "began_ms": 2400, "at_ms": 2900, "kind": "speech"}),
    )
    (exchange,) = summary["exchanges"]
    assert (exchange["state"], exchange["settled_ms"], exchange["turns"]) == ("open", None, [1, 2])


def test_local_messages_are_nobodys_speech() -> None:
    summary = told(
        (1000, "last_rung", {"why": "none healthy"}),
        (1000, "phrase", {"name": "sorry"}),
        (1010, "agent_began", {"ask": 0}),
        (1900, "agent_ended", {"ask": 0, "heard_ms": 890}),
        (3000, "agent_began", {"ask": 0}),
    )
    assert [(said["provider"], said["ended_ms"]) for said in summary["speech"]] == [("", 1900), ("", None)]
    assert summary["asks"] == []
    assert summary["providers"] == []
    assert summary["phrases"] == [{"at_ms": 1000, "name": "sorry"}]
    assert summary["last_rung"][0]["why"] == "none healthy"


def test_tools_barge_ins_and_gaps() -> None:
    summary = told(
        (100, "tool_called", {"call": 1, "name": "look_up", "provider": "a"}),
        (400, "tool_done", {"call": 1, "status": "ok", "after_ms": 300}),
        (500, "tool_called", {"call": 2, "name": "book", "provider": "a"}),
        (600, "tool_called", {"call": 0, "name": "hang_up", "provider": "a"}),
        (700, "barge_in", {"turn": 3}),
        (1100, "cut", {"turn": 3, "ask": 4, "heard_ms": 900}),
        (1200, "underrun", {"ask": 4, "ms": 80}),
        (1300, "underrun", {"ask": 4, "ms": 20}),
        (1400, "silence_prompt", {"count": 1}),
        (1500, "noticed", {"what": "odd"}),
    )
    assert [(tool["name"], tool["status"], tool["after_ms"]) for tool in summary["tools"]] == [
        ("look_up", "ok", 300), ("book", "running", None), ("hang_up", "built in", None),
    ]  # fmt: skip
    totals = summary["totals"]
    assert (totals["barge_ins"], totals["cuts"], totals["underruns"], totals["underrun_ms"]) == (1, 1, 2, 100)
    assert summary["silence_prompts"][0]["count"] == 1
    assert summary["noticed"][0]["what"] == "odd"


def test_notes_of_kinds_it_does_not_know_and_fields_that_are_missing_do_no_harm() -> None:
    kinds = (
        "turn_began", "turn_ended", "turn_withdrawn", "exchange_opened", "exchange_settled", "asked", "first_audio",
        "agent_began", "agent_ended", "heard", "caller_text", "link_opened", "link_ready", "link_closed", "fault",
        "swap", "usage", "tool_called", "tool_done", "last_rung", "phrase", "barge_in", "cut", "underrun", "dtmf",
        "silence_prompt", "noticed", "brand_new", "call_ended",
    )  # fmt: skip
    summary = told(*((n, kind, {}) for n, kind in enumerate(kinds)))
    assert summary["duration_ms"] == len(kinds) - 1


def test_a_switch_with_nothing_owed_costs_the_history_before_the_next_ask() -> None:
    """Its sound is new speech; only the words told are read a second time."""
    summary = told(
        (5000, "swap", {"from": "a", "to": "b", "class": "planned", "code": "", "reason": "", "exchange": 0,
                        "detection_ms": 0, "warm": True, "silence_ms": 0, "replayed_ms": 0}),
        (9000, "asked", asked(2, 2, "b")),
        (9900, "usage", usage("b", 2, input_text=210, input_audio=70, output_audio=30)),
        (12_000, "asked", asked(3, 3, "b")),
        (12_900, "usage", usage("b", 3, input_text=999, input_audio=99)),
    )  # fmt: skip
    (swap,) = summary["swaps"]
    assert swap["again"] == {"input_text": 210, "input_audio": 0, "cached_text": 0, "cached_audio": 0}
