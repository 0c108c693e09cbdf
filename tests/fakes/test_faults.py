"""Every fault at every phase, on every dialect, in memory."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from audio.frame import PCM16_16K
from bridge.fakes.emulator import KINDS, Emulator
from bridge.fakes.wire import Close, HttpRefusal, Reset, Silence
from tests.fakes.client import Client, GeminiClient, Json, RealtimeClient, kind_of, numbered

PHASES = ["session", "configuring", "configured", "speaking", "committed", "asked", "reply", "done", "tool", "idle"]
ENDS: list[tuple[Json, Any]] = [
    ({"close": {"code": 1011, "reason": "gone"}}, Close(1011, "gone")),
    ({"reset": True}, Reset()),
    ({"half_open": "acknowledged"}, Silence(True)),
    ({"half_open": "silent"}, Silence(False)),
]
ANYTHING = {
    "openai": "response.done",
    "azure": "response.done",
    "azure-openai": "response.done",
    "gemini": "turnComplete",
}


def script(phase: str, do: Any, **when: Any) -> Json:
    rule = {"when": {"phase": phase, **when}, "do": do}
    return {"rules": [rule], "turn_complete_ms": 0, "reply": {"seconds": 4}}


def make(kind: str, value: Any) -> Any:
    emulator = Emulator(kind, value)  # type: ignore[arg-type]
    return GeminiClient(emulator) if kind == "gemini" else RealtimeClient(emulator)


def play(c: Any, n: int = 7, ms: float = 30_000) -> None:
    """Configure once, one question, and everything that comes."""
    if c.refusal is None and not hasattr(c, "played"):
        c.played = True
        c.configure(tools=["lookup"])
    if c.ended is None:
        c.turn(n)
        c.run(ms)


def finished(c: Any) -> int:
    return c.types().count(ANYTHING[c.kind])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(("do", "end"), ENDS, ids=lambda value: str(value)[:24])
def test_connections_end_at_every_phase(kind: str, phase: str, do: Json, end: Any) -> None:
    value = script(phase, do)
    if phase == "tool":
        value["tools"] = [{"name": "lookup"}]
    c = make(kind, value)
    play(c)
    assert c.ended == end
    got = len(c.got)
    c.session.receive("{}", c.now)
    c.run(60_000)
    assert len(c.got) == got
    answered = finished(c)
    assert answered == (1 if phase == "idle" else 1 if phase == "tool" and kind != "gemini" else 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("phase", PHASES)
def test_stalls_at_every_phase_and_wakes_up(kind: str, phase: str) -> None:
    """Nothing comes for five seconds, then everything, in order."""
    value = script(phase, {"stall": {"ms": 5000}})
    if phase == "tool":
        value["tools"] = [{"name": "lookup"}]
    c, plain = make(kind, value), make(kind, {**value, "rules": []})
    for one in (c, plain):
        play(one)
    assert c.types() == plain.types()
    times = [at for at, _ in c.got]
    gaps = [two - one for one, two in itertools.pairwise([0.0, *times])]
    assert max(gaps) >= 4000 or phase in ("idle", "tool")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("phase", ["configuring", "asked", "reply", "done"])
def test_stalls_for_good(kind: str, phase: str) -> None:
    c = make(kind, script(phase, {"stall": True}))
    play(c, ms=300_000)
    assert c.ended is None
    assert finished(c) == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("deltas", [1, 3, 6])
def test_after_k_deltas(kind: str, deltas: int) -> None:
    c = make(kind, script("reply", {"reset": True}, after_deltas=deltas))
    play(c)
    audio = {"openai": "response.output_audio.delta", "azure": "response.audio.delta"}
    wanted = audio.get(kind, "modelTurn" if kind == "gemini" else "response.output_audio.delta")
    assert c.types().count(wanted) == deltas
    assert c.ended == Reset()


@pytest.mark.parametrize("kind", KINDS)
def test_at_the_upgrade(kind: str) -> None:
    http = {"http": {"status": 503, "headers": {"Retry-After": 3}, "body": "busy"}}
    rules = [
        {"when": {"phase": "upgrade", "connection": 1}, "do": http},
        {"when": {"phase": "upgrade", "connection": 2}, "do": {"refuse": True}},
        {"when": {"phase": "upgrade", "connection": 3}, "do": {"hang": True}},
        {"when": {"phase": "upgrade", "connection": 4}, "do": {"half_open": "silent"}},
    ]
    emulator = Emulator(kind, {"rules": rules})  # type: ignore[arg-type]
    refusals = [Client(emulator).refusal for _ in range(5)]
    assert refusals == [HttpRefusal(503, {"Retry-After": "3"}, b"busy"), Reset(), Silence(True), Silence(False), None]


@pytest.mark.parametrize("status", [401, 403, 404, 429, 503])
def test_http_statuses(status: int) -> None:
    emulator = Emulator("openai", {"rules": [{"when": {"phase": "upgrade"}, "do": {"http": {"status": status}}}]})
    for _ in range(3):
        refusal = Client(emulator).refusal
        assert isinstance(refusal, HttpRefusal)
        assert refusal.status == status


@pytest.mark.parametrize("kind", KINDS)
def test_rules_count(kind: str) -> None:
    rule = {"when": {"phase": "upgrade", "total": 2}, "do": {"http": {"status": 503}}}
    emulator = Emulator(kind, {"rules": [rule]})  # type: ignore[arg-type]
    assert [Client(emulator).refusal is None for _ in range(4)] == [False, False, True, True]


@pytest.mark.parametrize("kind", KINDS)
def test_rules_choose_by_connection_turn_and_number(kind: str) -> None:
    for when in ({"connection": 2, "turn": 2}, {"connection": 2, "number": 22}, {"connection": 2, "reply": 2}):
        value = script("asked", {"reset": True}, **when)
        emulator = Emulator(kind, value)  # type: ignore[arg-type]
        make_one = GeminiClient if kind == "gemini" else RealtimeClient
        first, second = make_one(emulator), make_one(emulator)
        for n in (21, 22):
            play(first, n)
            play(second, n)
        assert first.ended is None
        assert finished(first) == 2
        assert second.ended == Reset()
        assert finished(second) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_later_actions_belong_to_their_stretch(kind: str) -> None:
    """A reset 3 s into the first turn's speech does not happen when that turn is over by then."""
    c = make(kind, script("speaking", {"reset": True}, after_ms=3000))
    play(c)
    assert c.ended is None
    c = make(kind, script("idle", {"reset": True}, after_ms=3000))
    play(c, ms=30_000)
    assert c.ended == Reset()
    c = make(kind, script("asked", {"close": {"code": 1012}}, after_ms=500))
    play(c)
    assert c.ended == Close(1012)
    assert finished(c) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_slow_drip(kind: str) -> None:
    c = make(kind, script("reply", {"slow": 0.7}))
    c.configure()
    c.turn(3)
    begin = c.now
    end = "generationComplete" if kind == "gemini" else ANYTHING[kind]
    c.until(lambda message: kind_of(message) == end)
    assert (c.now - begin) / 1e9 > 4 / 0.75


@pytest.mark.parametrize("kind", ["openai", "azure", "azure-openai"])
@pytest.mark.parametrize("phase", ["asked", "reply"])
@pytest.mark.parametrize("usage", [True, False])
def test_failed_replies(kind: str, phase: str, usage: bool) -> None:
    fail = {"type": "rate_limit_exceeded", "code": "rate_limit_exceeded", "message": "Try again in 1s.", "usage": usage}
    c = make(kind, script(phase, {"fail": fail}, **({"after_deltas": 4} if phase == "reply" else {})))
    play(c)
    response = c.of("response.done")[0]["response"]
    assert response["status"] == "failed"
    assert response["status_details"]["error"] == {
        "type": "rate_limit_exceeded",
        "code": "rate_limit_exceeded",
        "message": "Try again in 1s.",
    }
    assert bool(response["usage"]) is usage
    assert len(response["output"]) == (1 if phase == "reply" else 0)
    play(c, 8)
    assert c.of("response.done")[1]["response"]["status"] == "completed"


@pytest.mark.parametrize("kind", ["openai", "azure"])
def test_an_error_and_a_failed_reply_for_one_ask(kind: str) -> None:
    c = make(kind, script("asked", {"fail": {"code": "x", "with_error": True}}))
    play(c)
    assert c.of("error")[0]["error"]["code"] == "x"
    assert c.of("response.done")[0]["response"]["status"] == "failed"


@pytest.mark.parametrize(
    ("short", "reason"), [("content_filter", "content_filter"), ("max_tokens", "max_output_tokens")]
)
def test_incomplete_replies(short: str, reason: str) -> None:
    c = make("openai", script("reply", {"fail": short}, after_deltas=3))
    play(c)
    response = c.of("response.done")[0]["response"]
    assert (response["status"], response["status_details"]) == ("incomplete", {"type": "incomplete", "reason": reason})
    assert len(c.sound()) > 0


def test_a_poisoned_session_fails_for_good() -> None:
    c = make("openai", script("idle", {"poison": True}))
    for n in (1, 2, 3):
        play(c, n)
    statuses = [message["response"]["status"] for message in c.of("response.done")]
    assert statuses == ["completed", "failed", "failed"]
    assert c.of("response.done")[1]["response"]["status_details"]["error"]["type"] == "server_error"


@pytest.mark.parametrize("kind", KINDS)
def test_empty_replies(kind: str) -> None:
    c = make(kind, script("asked", {"empty": True}))
    play(c)
    assert finished(c) == 1
    if kind == "gemini":
        assert not [kind for kind in c.types() if kind in ("modelTurn", "generationComplete")]
    else:
        assert c.of("response.done")[0]["response"]["output"] == []
    play(c, 8)
    assert finished(c) == 2


def test_text_where_audio_was_asked_for() -> None:
    c = make("openai", script("asked", {"empty": "text"}))
    play(c)
    assert c.of("response.done")[0]["response"]["output"][0]["content"][0]["type"] == "output_text"
    assert c.sound() == b""


@pytest.mark.parametrize("kind", KINDS)
def test_a_reply_cut_short(kind: str) -> None:
    c = make(kind, script("reply", {"cut_short": True}, after_deltas=3))
    play(c)
    assert finished(c) == 1
    assert "generationComplete" not in c.types()


@pytest.mark.parametrize("kind", ["openai", "azure", "azure-openai"])
@pytest.mark.parametrize("phase", ["configured", "speaking", "asked", "idle"])
def test_quota_and_expiry(kind: str, phase: str) -> None:
    c = make(kind, script(phase, {"quota": True}))
    play(c)
    assert c.got[-1][1]["error"]["code"] == "insufficient_quota"
    assert c.ended == Close(1013, "insufficient_quota.insufficient_quota")
    c = make(kind, script(phase, {"expire": True}))
    play(c)
    assert c.got[-1][1]["error"]["code"] == "session_expired"
    assert isinstance(c.ended, Close)
    assert c.ended.code == 1001


@pytest.mark.parametrize("kind", ["openai", "azure"])
def test_a_refused_configuration(kind: str) -> None:
    c = make(kind, script("configuring", {"refuse_config": {"code": "invalid_value", "param": "session.voice"}}))
    got = c.configure()
    assert [kind_of(message) for message in got] == ["error"]
    assert got[0]["error"]["param"] == "session.voice"
    assert c.ended is None
    assert kind_of(c.configure()[0]) == "session.updated"


def test_gemini_endings() -> None:
    for do, code, reason in (
        ({"refuse_config": True}, 1007, "invalid argument"),
        ({"quota": True}, 1011, "quota"),
        ({"expire": True}, 1011, "Deadline expired"),
    ):
        phase = "configuring" if "refuse_config" in do else "reply"
        c = make("gemini", script(phase, do))
        play(c)
        assert isinstance(c.ended, Close)
        assert c.ended.code == code
        assert reason in c.ended.reason
    for arg, code in ((True, 1011), ("rate_limit", 1011), ({"close": {"code": 1008, "reason": "x"}}, 1008)):
        c = make("gemini", script("reply", {"fail": arg}, after_deltas=2))
        play(c)
        assert isinstance(c.ended, Close)
        assert c.ended.code == code
    c = make("gemini", script("asked", {"fail": {"reason": "PROHIBITED_INPUT_CONTENT"}}))
    play(c)
    assert (
        c.of("turnComplete,turnCompleteReason")[0]["serverContent"]["turnCompleteReason"] == "PROHIBITED_INPUT_CONTENT"
    )
    c = make("gemini", script("asked", {"poison": True}))
    for n in (1, 2):
        play(c, n)
    assert finished(c) == 2
    assert "modelTurn" not in c.types()


def test_gemini_goes_away() -> None:
    c = make("gemini", script("reply", {"go_away": {"left_ms": 2500}}, after_deltas=1))
    play(c, ms=2000)
    assert c.of("goAway")[0]["goAway"]["timeLeft"] == "2.5s"
    c.run(5000)
    assert c.ended == Close(1011, "Deadline expired before operation could complete.")
    c = make("gemini", script("reply", {"go_away": {"left_ms": 9000, "silent": True, "close": False}}, after_deltas=1))
    play(c, ms=60_000)
    assert c.types()[-1] == "goAway"
    assert c.ended is None


def test_gemini_tells_the_caller_s_words_twice() -> None:
    c = make("gemini", script("speaking", {"duplicate_caller_text": True}))
    play(c)
    texts = [message["serverContent"]["inputTranscription"]["text"] for message in c.of("inputTranscription")]
    assert texts == [" question", " number", " 7"] * 2


def test_gemini_forgets_handles() -> None:
    emulator = Emulator("gemini", script("idle", {"forget_handles": True}))
    c = GeminiClient(emulator)
    handle = c.configure(sessionResumption={})[-1]["sessionResumptionUpdate"]["newHandle"]
    c.turn(1)
    c.run(30_000)
    c.session.end(Reset())
    again = GeminiClient(emulator)
    again.configure(sessionResumption={"handle": handle})
    assert again.ended == Close(1008, "BidiGenerateContent session not found")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", ["json", "array", "truncated", "binary", "unknown", "base64"])
def test_garbage(kind: str, what: str) -> None:
    c = make(kind, script("reply", {"malformed": what}, after_deltas=1))
    plain = make(kind, script("reply", {"slow": 4.0}))
    play(c)
    play(plain)
    assert finished(c) == 1
    assert len(c.raw) == len(plain.raw) + (0 if what == "base64" else 1)


@pytest.mark.parametrize("kind", KINDS)
def test_oversized_and_arbitrary_messages(kind: str) -> None:
    c = make(kind, script("configured", [{"oversized": 5_000_000}, {"send": {"type": "hello", "serverContent": {}}}]))
    c.configure()
    assert len(c.raw[-2]) > 5_000_000
    assert c.got[-1][1] == {"type": "hello", "serverContent": {}}


@pytest.mark.parametrize("kind", KINDS)
def test_error_events(kind: str) -> None:
    error = {"type": "invalid_request_error", "code": "item_truncate_invalid_item_id", "message": "No."}
    c = make(kind, script("speaking", [{"error": error}, {"close": {"code": 1008, "reason": "x"}}]))
    play(c)
    last = c.got[-1][1]["error"]
    assert last["message"] == "No."
    assert c.ended == Close(1008, "x")


def test_transcription_fails() -> None:
    c = make("openai", {"caller_text": {"fail": True}})
    play(c)
    assert c.of("conversation.item.input_audio_transcription.failed")[0]["error"]["message"]
    c = make("openai", {"caller_text": "none"})
    play(c)
    assert not [kind for kind in c.types() if "transcription" in kind and "input" in kind]
    c = make("openai", {"caller_text": {"delay_ms": 9000, "texts": ["hello there"]}})
    play(c)
    assert c.types()[-1] == "conversation.item.input_audio_transcription.completed"
    assert c.got[-1][1]["transcript"] == "hello there"


def test_a_partial_turn_is_still_read() -> None:
    c = make("gemini", {"turn_complete_ms": 0})
    c.configure()
    c.send({"realtimeInput": {"activityStart": {}}})
    c.audio(numbered(5, format=PCM16_16K)[:48000])
    c.send({"realtimeInput": {"activityEnd": {}}})
    assert "part of your question was missing" in c.text(c.turn_complete())
