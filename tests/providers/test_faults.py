"""The failure tables of the protocol references, row by row: what the codec makes of each signal.

Stalls and slow replies are no rows here: nothing arrives, so they are the call's deadlines, not a codec's matter.
"""

from __future__ import annotations

from typing import Any

import pytest

from providers.base import (
    Ask,
    Audio,
    BeginTurn,
    Configure,
    EndTurn,
    Event,
    Expiring,
    Failed,
    Failure,
    FaultClass,
    HttpRefusal,
    NetworkError,
    Noticed,
    RateLimits,
    ReplyEnded,
    ReplyStarted,
    Session,
    SocketClosed,
    UsageReported,
)
from providers.codec import Codec
from providers.faults import error_fault, http_fault, retry_after_in, socket_fault
from tests.providers.servers import Json, RealtimeServer, codec, said, server

NETWORK, OVERLOADED, RATE = FaultClass.NETWORK, FaultClass.OVERLOADED, FaultClass.RATE_LIMITED
ACCOUNT, CONFIG, EXPIRED = FaultClass.ACCOUNT, FaultClass.CONFIG, FaultClass.EXPIRED
REFUSED, EMPTY = FaultClass.REFUSED, FaultClass.EMPTY

REALTIME = ("openai", "azure_openai", "azure_voice_live", "xai")
PCM = bytes(range(2, 242)) * 40


# ------------------------------------------------------------------------------------------- the end of a connection

ENDS: list[tuple[str, Failure, FaultClass]] = [
    # OpenAI
    ("openai: refused", NetworkError("refused"), NETWORK),
    ("openai: dns", NetworkError("dns", "no such host"), NETWORK),
    ("openai: tls", NetworkError("tls", "certificate expired"), NETWORK),
    ("openai: handshake too slow", NetworkError("timeout", "no answer in 1500 ms"), NETWORK),
    ("openai: 401", HttpRefusal(401, {}), ACCOUNT),
    ("openai: 402", HttpRefusal(402, {}), ACCOUNT),
    ("openai: 403, no access to the model", HttpRefusal(403, {}), ACCOUNT),
    ("openai: 404", HttpRefusal(404, {}, b'{"error":{"code":"call_id_not_found","message":"x"}}'), CONFIG),
    ("openai: 429", HttpRefusal(429, {"retry-after": "17"}), RATE),
    ("openai: 429 for quota", HttpRefusal(429, {}, b'{"error":{"code":"insufficient_quota"}}'), ACCOUNT),
    ("openai: 500", HttpRefusal(500, {}), OVERLOADED),
    ("openai: 503", HttpRefusal(503, {}), OVERLOADED),
    ("openai: 529", HttpRefusal(529, {}), OVERLOADED),
    ("openai: bad key", SocketClosed(3000, "invalid_request_error.invalid_api_key"), ACCOUNT),
    ("openai: beta shape", SocketClosed(4000, "invalid_request_error.beta_api_shape_disabled"), CONFIG),
    ("openai: no model named", SocketClosed(4000, "invalid_request_error.missing_model"), CONFIG),
    ("openai: invalid model", SocketClosed(4000, "invalid_request_error.invalid_model"), CONFIG),
    ("openai: model not found", SocketClosed(4004, "invalid_request_error.model_not_found"), CONFIG),
    ("openai: quota", SocketClosed(1013, "insufficient_quota.insufficient_quota"), ACCOUNT),
    ("openai: quota by another name", SocketClosed(1013, "invalid_request_error.billing_hard_limit_reached"), ACCOUNT),
    ("openai: credit", SocketClosed(1013, "invalid_request_error.credit_balance_exhausted"), ACCOUNT),
    ("openai: deactivated", SocketClosed(1013, "invalid_request_error.account_deactivated"), ACCOUNT),
    ("openai: bare 1013", SocketClosed(1013), OVERLOADED),
    ("openai: expiry", SocketClosed(1001, "Your session hit the maximum duration of 60 minutes."), EXPIRED),
    ("openai: bare 1001", SocketClosed(1001), EXPIRED),
    ("openai: 1011", SocketClosed(1011, "internal error"), OVERLOADED),
    ("openai: bare 1011", SocketClosed(1011), OVERLOADED),
    ("openai: restart", SocketClosed(1012), OVERLOADED),
    ("openai: reset", SocketClosed(None), NETWORK),
    ("openai: 1006", SocketClosed(1006), NETWORK),
    ("openai: 1005", SocketClosed(1005), NETWORK),
    ("openai: 1015", SocketClosed(1015), NETWORK),
    ("openai: 1008", SocketClosed(1008), CONFIG),
    ("openai: bare 3000", SocketClosed(3000), ACCOUNT),
    ("openai: another 4xxx", SocketClosed(4321), CONFIG),
    # Azure
    ("azure: 401", HttpRefusal(401, {}), ACCOUNT),
    ("azure: 403, key auth disabled", HttpRefusal(403, {}, b"Key based authentication is disabled"), ACCOUNT),
    (
        "azure: 400, model and endpoint do not match",
        HttpRefusal(400, {"apim-request-id": "1"}, b'{"error":{"code":"OpperationNotSupported","message":"no"}}'),
        CONFIG,
    ),
    ("azure: 404", HttpRefusal(404, {}, b'{"error":{"code":"DeploymentNotFound"}}'), CONFIG),
    ("azure: 429", HttpRefusal(429, {"retry-after-ms": "1500"}), RATE),
    ("azure: 5xx", HttpRefusal(502, {}, b"<html>"), OVERLOADED),
    ("azure: expiry", SocketClosed(1001, "session_expired"), EXPIRED),
    ("azure: drop", SocketClosed(None), NETWORK),
    ("azure: a drop told as 1000", SocketClosed(1000, "Connection closed"), NETWORK),
    # Gemini
    ("gemini: 429", HttpRefusal(429, {"retry-after": "3"}, b'{"error":{"status":"RESOURCE_EXHAUSTED"}}'), RATE),
    ("gemini: 401", HttpRefusal(401, {}), ACCOUNT),
    ("gemini: 403", HttpRefusal(403, {}, b'{"error":{"status":"PERMISSION_DENIED"}}'), ACCOUNT),
    ("gemini: 5xx", HttpRefusal(503, {}), OVERLOADED),
    ("gemini: key", SocketClosed(1007, "API key not valid. Please pass a valid API key."), ACCOUNT),
    ("gemini: old key", SocketClosed(1007, "API key expired. Please renew the API key."), ACCOUNT),
    ("gemini: our payload", SocketClosed(1007, "Request contains an invalid argument."), CONFIG),
    ("gemini: bare 1007", SocketClosed(1007), CONFIG),
    (
        "gemini: model",
        SocketClosed(1008, "models/x is not found for API version v1beta, or is not supported for bidiGenerateContent"),
        CONFIG,
    ),
    ("gemini: stale handle", SocketClosed(1008, "BidiGenerateContent session not found"), EXPIRED),
    (
        "gemini: input during a tool call",
        SocketClosed(1008, "Operation is not implemented, or supported, or enabled."),
        OVERLOADED,
    ),
    ("gemini: unnamed 1008", SocketClosed(1008, "policy"), CONFIG),
    ("gemini: internal", SocketClosed(1011, "Internal error encountered."), OVERLOADED),
    ("gemini: internal, other words", SocketClosed(1011, "Internal error occurred."), OVERLOADED),
    ("gemini: unavailable", SocketClosed(1011, "The service is currently unavailable."), OVERLOADED),
    ("gemini: time is up", SocketClosed(1011, "Deadline expired before operation could complete."), EXPIRED),
    (
        "gemini: too many sessions, cut short",
        SocketClosed(1011, "generic::resource_exhausted: RESOURCE_EXHAUSTED: Maximum concurrent se"),
        RATE,
    ),
    (
        "gemini: quota",
        SocketClosed(1011, "You exceeded your current quota, please check your plan and billing details."),
        ACCOUNT,
    ),
    ("gemini: quota, other words", SocketClosed(1011, "Quota for this project is used up"), ACCOUNT),
    ("gemini: exceeded", SocketClosed(1011, "Limit exceeded"), ACCOUNT),
    ("gemini: billing", SocketClosed(1011, "Billing is not enabled"), ACCOUNT),
    ("gemini: overloaded", SocketClosed(1011, "xyz OVERLOADED_TOO_MANY_RETRIES_PER_REQUEST xyz"), OVERLOADED),
    ("gemini: cancelled inside", SocketClosed(1011, "Thread was cancelled when writing StartStep status"), OVERLOADED),
    ("gemini: our own ping budget", SocketClosed(1011, "keepalive ping timeout"), NETWORK),
    ("gemini: reset", SocketClosed(None), NETWORK),
]


@pytest.mark.parametrize("failure, expected", [row[1:] for row in ENDS], ids=[row[0] for row in ENDS])
def test_ends_of_connections(failure: Failure, expected: FaultClass, request: pytest.FixtureRequest) -> None:
    kind = request.node.callspec.id.split(":")[0]
    fault = codec({"azure": "azure_voice_live"}.get(kind, kind)).fault(failure)
    assert fault.kind is expected
    assert fault.reason and len(fault.reason) <= 300
    assert fault.code


@pytest.mark.parametrize(
    "configured, expected", [(False, CONFIG), (True, OVERLOADED)], ids=["before the setup", "after a tool result"]
)
def test_gemini_entity_not_found(configured: bool, expected: FaultClass) -> None:
    link = codec("gemini")
    if configured:
        said(link, [{"setupComplete": {}}])
    assert link.fault(SocketClosed(1008, "Requested entity was not found.")).kind is expected


# ------------------------------------------------------------------------------------------------------ error events


def error(code: str | None, type: str, message: str = "It did not work.", event_id: str | None = None) -> Json:
    body = {"type": type, "code": code, "message": message, "param": None, "event_id": event_id}
    return {"type": "error", "event_id": "event_1", "error": body}


def link_up(kind: str, asked: bool = False, begun: bool = False) -> tuple[Codec, RealtimeServer]:
    link, far = codec(kind), server(kind)
    assert isinstance(far, RealtimeServer)
    link.encode(Configure(Session("Be brief.")))
    said(link, far.configured())
    if asked or begun:
        for command in (BeginTurn(1), Audio(PCM), EndTurn(1), Ask(5)):
            far.hear(link.encode(command))
        said(link, far.turn_taken())
    if begun:
        said(link, [*far.begin(), *far.audio(PCM)])
    return link, far


ADMISSION = [
    ("invalid_api_key", ACCOUNT, SocketClosed(3000, "invalid_request_error.invalid_api_key")),
    ("missing_model", CONFIG, SocketClosed(4000, "invalid_request_error.missing_model")),
    ("invalid_model", CONFIG, SocketClosed(4000, "invalid_request_error.invalid_model")),
    ("beta_api_shape_disabled", CONFIG, SocketClosed(4000, "invalid_request_error.beta_api_shape_disabled")),
    ("something_new", CONFIG, SocketClosed(4001, "")),
]


@pytest.mark.parametrize("code, expected, close", ADMISSION)
@pytest.mark.parametrize("kind", REALTIME)
def test_an_error_instead_of_a_session(kind: str, code: str, expected: FaultClass, close: SocketClosed) -> None:
    link = codec(kind)
    link.encode(Configure(Session("x")))
    (event,) = said(link, [error(code, "invalid_request_error")])
    assert isinstance(event, Failed) and event.fault.kind is expected and event.fault.code == code
    assert link.fault(close) == event.fault


QUOTA = [
    ("insufficient_quota", "insufficient_quota"),
    ("insufficient_quota", "invalid_request_error"),
    (None, "insufficient_quota"),
    ("credit_balance_exhausted", "invalid_request_error"),
    ("billing_hard_limit_reached", "invalid_request_error"),
    ("account_deactivated", "invalid_request_error"),
]


@pytest.mark.parametrize("code, type", QUOTA)
@pytest.mark.parametrize("kind", REALTIME)
def test_quota_after_the_session_was_made(kind: str, code: str | None, type: str) -> None:
    """And the close that follows says the same, even with a bare 1013 or none at all."""
    link, _ = link_up(kind, asked=True)
    (event,) = said(link, [error(code, type)])
    assert isinstance(event, Failed) and event.fault.kind is ACCOUNT
    for close in (SocketClosed(1013, "insufficient_quota.insufficient_quota"), SocketClosed(1013), SocketClosed(None)):
        assert link.fault(close).kind is ACCOUNT


@pytest.mark.parametrize("kind", REALTIME)
def test_expiry(kind: str) -> None:
    link, _ = link_up(kind, begun=True)
    text = "Your session hit the maximum duration of 60 minutes."
    (event,) = said(link, [error("session_expired", "invalid_request_error", text)])
    assert isinstance(event, Failed) and event.fault.kind is EXPIRED
    assert link.fault(SocketClosed(1001, text)).kind is EXPIRED


FAILED = [
    ("rate_limit_exceeded", "rate_limit_exceeded", "Rate limit reached. Please try again in 1m26.4s.", RATE, 86_400),
    ("inference_rate_limit_exceeded", "rate_limit_exceeded", "Slow down.", RATE, None),
    ("inference_rate_limit_exceeded", "invalid_request_error", "Slow down.", RATE, None),
    (None, "server_error", "The server had an error while processing your request.", OVERLOADED, None),
    ("server_error", "server_error", "", OVERLOADED, None),
    (None, "invalid_request_error", "The server had an error while processing your request.", OVERLOADED, None),
    ("insufficient_quota", "insufficient_quota", "Check your plan.", ACCOUNT, None),
    ("session_expired", "invalid_request_error", "", EXPIRED, None),
    ("unheard_of", "unheard_of_too", "?", OVERLOADED, None),
]


@pytest.mark.parametrize("code, type, message, expected, wait", FAILED)
@pytest.mark.parametrize("kind", REALTIME)
def test_a_failed_response(
    kind: str, code: str | None, type: str, message: str, expected: FaultClass, wait: int | None
) -> None:
    link, far = link_up(kind, begun=True)
    details = {"type": "failed", "error": {"type": type, "code": code, "message": message}}
    (event,) = said(link, far.end("failed", details, usage=False))
    assert isinstance(event, ReplyEnded) and event.outcome == "failed" and event.ask == 5
    assert event.fault is not None
    assert (event.fault.kind, event.fault.retry_after_ms) == (expected, wait)


@pytest.mark.parametrize("details", [{"type": "failed", "error": "boom"}, {"type": "failed"}, "failed", None, 7, []])
def test_a_failed_response_whose_details_are_odd(details: Any) -> None:
    link, far = link_up("azure_voice_live", begun=True)
    (event,) = said(link, far.end("failed", details, usage=False))
    assert isinstance(event, ReplyEnded) and event.outcome == "failed"
    assert event.fault is not None and event.fault.kind is OVERLOADED


@pytest.mark.parametrize("begun", [False, True], ids=["before the reply began", "while it is spoken"])
@pytest.mark.parametrize("named", [False, True], ids=["unnamed", "naming the ask"])
@pytest.mark.parametrize("code, expected", [("inference_rate_limit_exceeded", RATE), ("server_error", OVERLOADED)])
@pytest.mark.parametrize("kind", REALTIME)
def test_an_error_and_a_failed_response_count_once(
    kind: str, code: str, expected: FaultClass, named: bool, begun: bool
) -> None:
    link, far = link_up(kind, asked=True, begun=begun)
    first = said(link, [error(code, "invalid_request_error", event_id="ask-5" if named else None)])
    ended = first[-1]
    assert isinstance(ended, ReplyEnded) and (ended.ask, ended.outcome) == (5, "failed")
    assert ended.fault is not None and ended.fault.kind is expected
    assert first[:-1] == ([] if begun else [ReplyStarted(5)])
    details = {"type": "failed", "error": {"type": "x", "code": code, "message": "again"}}
    then = said(link, [*([] if begun else far.begin()), *far.end("failed", details)])
    if kind == "xai" and not begun:  # responses name no ask there: what comes late is nobody's
        assert [getattr(event, "ask", 0) for event in then] == [0, 0]
        return
    assert [type(event) for event in then] == [UsageReported]


def test_an_error_about_the_server_between_turns_concerns_the_link() -> None:
    link, _ = link_up("openai")
    (event,) = said(link, [error("server_error", "server_error")])
    assert isinstance(event, Failed) and event.fault.kind is OVERLOADED


BENIGN = [
    ("response_cancel_not_active", "Cancellation failed: no active response found"),
    ("input_audio_buffer_commit_empty", "Error committing input audio buffer: buffer too small."),
    ("item_create_duplicate_item_id", "Error adding item: the item already exists."),
    ("item_already_truncated", "Already truncated."),
    ("invalid_value", "Audio content of 900ms is already shorter than 1200ms"),
    ("invalid_request_error", "Only model output audio messages can be truncated"),
]


@pytest.mark.parametrize("code, message", BENIGN, ids=[code for code, _ in BENIGN])
@pytest.mark.parametrize("kind", REALTIME)
def test_benign_errors(kind: str, code: str, message: str) -> None:
    """Noticed, and neither the reply nor the end of the connection is judged by them."""
    link, far = link_up(kind, begun=True)
    (event,) = said(link, [error(code, "invalid_request_error", message)])
    assert isinstance(event, Noticed) and code in event.what
    assert link.fault(SocketClosed(None)).kind is NETWORK
    assert [type(e).__name__ for e in said(link, [*far.audio(PCM), *far.spoken()])] == ["ReplyAudio", "ReplyComplete"]


@pytest.mark.parametrize("named", ["ask-6", None])
def test_an_ask_during_a_reply_is_turned_away(named: str | None) -> None:
    """No reply will come for it; the one that runs is not touched."""
    link, far = link_up("openai", begun=True)
    link.encode(Ask(6))
    events = said(link, [error("conversation_already_has_active_response", "invalid_request_error", event_id=named)])
    assert isinstance(events[0], Noticed)
    assert events[1:] == [ReplyStarted(6), ReplyEnded(6, "cancelled")]
    assert [type(e).__name__ for e in said(link, far.spoken())] == ["ReplyComplete"]


@pytest.mark.parametrize("kind", REALTIME)
def test_other_errors_about_what_we_sent_are_noticed(kind: str) -> None:
    link, _ = link_up(kind, begun=True)
    for event_id in ("truncate-3", "tool-4", "turn-1", None):
        (event,) = said(link, [error("invalid_value", "invalid_request_error", "No.", event_id)])
        assert isinstance(event, Noticed)
    (event,) = said(link, [error("wholly_unknown", "so_is_this", "?")])
    assert isinstance(event, Noticed)


@pytest.mark.parametrize("code", ["missing_required_parameter", "unknown_parameter", "invalid_value", "never_seen"])
@pytest.mark.parametrize("event_id", ["configure", None])
@pytest.mark.parametrize("kind", REALTIME)
def test_a_refused_configuration(kind: str, code: str, event_id: str | None) -> None:
    link, far = codec(kind), server(kind)
    link.encode(Configure(Session("x")))
    said(link, far.configured()[:1])
    (event,) = said(link, [error(code, "invalid_request_error", "Missing 'session.type'.", event_id)])
    assert isinstance(event, Failed) and event.fault.kind is CONFIG


@pytest.mark.parametrize("kind", REALTIME)
def test_outcomes_that_are_no_outage(kind: str) -> None:
    incomplete = {"type": "incomplete", "reason": "content_filter"}
    link, far = link_up(kind, begun=True)
    (event,) = said(link, far.end("incomplete", incomplete, usage=False))
    assert isinstance(event, ReplyEnded) and event.outcome == "refused" and event.fault is not None
    assert event.fault.kind is REFUSED and event.fault.code == "content_filter"

    link, far = link_up(kind, begun=True)
    events = said(link, far.end("incomplete", {"type": "incomplete", "reason": "max_output_tokens"}, usage=False))
    assert isinstance(events[-1], ReplyEnded) and events[-1].outcome == "completed" and events[-1].fault is None

    link, far = link_up(kind, asked=True)
    ended = said(link, [*far.begin(), *far.end("incomplete", {"reason": "max_output_tokens"}, usage=False)])[-1]
    assert isinstance(ended, ReplyEnded) and ended.outcome == "refused"

    link, far = link_up(kind, begun=True)
    (event,) = said(link, far.end("cancelled", {"type": "cancelled", "reason": "turn_detected"}, usage=False))
    assert event == ReplyEnded(5, "cancelled")

    link, far = link_up(kind, asked=True)
    ended = said(link, [*far.begin(), *far.text("text only"), *far.end("completed", usage=False)])[-1]
    assert isinstance(ended, ReplyEnded) and ended.outcome == "empty"


@pytest.mark.parametrize("kind", REALTIME)
def test_side_channels_that_fail(kind: str) -> None:
    link, far = link_up(kind, asked=True)
    name = "conversation.item.input_audio_transcription.failed"
    error_body = {"type": "server_error", "code": "audio_unintelligible", "message": "Nothing to hear."}
    (event,) = said(link, [{"type": name, "item_id": "user_1", "content_index": 0, "error": error_body}])
    assert isinstance(event, Noticed) and "Nothing to hear." in event.what
    (event,) = said(link, [{"type": "warning", "warning": {"code": "w", "message": "Bearer abcdefgh is old"}}])
    assert event == Noticed("warning w: Bearer [secret] is old")
    # The transcript stops in the middle and is never closed: the item's end still completes the reply.
    said(link, [*far.begin(), *far.text("It"), *far.audio(PCM)])
    of = {"response_id": "resp_1", "item_id": "item_1"}
    assert said(link, [{"type": f"{far.audio_name}.done", **of}]) == []
    done: Json = {"id": "item_1", "type": "message", "status": "completed"}
    events = said(link, [{"type": "response.output_item.done", **of, "item": done}])
    assert [type(e).__name__ for e in events] == ["ReplyComplete"]


def test_rate_limits_are_advice() -> None:
    link, _ = link_up("openai")
    limits: list[Any] = [
        {"name": "tokens", "limit": 40000, "remaining": 10000, "reset_seconds": 45.5},
        {"name": "requests", "limit": 100, "remaining": 90, "reset_seconds": 1},
        {"name": "broken", "limit": 0, "remaining": 0},
        "nonsense",
    ]
    assert said(link, [{"type": "rate_limits.updated", "rate_limits": limits}]) == [RateLimits(0.25, 45_500)]
    assert said(link, [{"type": "rate_limits.updated", "rate_limits": limits[2:]}]) == []


def test_an_error_is_forgotten_when_a_reply_begins() -> None:
    link, far = link_up("openai", asked=True)
    said(link, [error("server_error", "server_error")])
    assert link.fault(SocketClosed(None)).kind is OVERLOADED
    far.hear(link.encode(Ask(6)))
    said(link, far.begin())
    assert link.fault(SocketClosed(None)).kind is NETWORK


# ------------------------------------------------------------------------------------------------------------ gemini


def gemini_asked() -> Codec:
    link = codec("gemini")
    link.encode(Configure(Session("x")))
    said(link, [{"setupComplete": {}}])
    for command in (BeginTurn(1), Audio(PCM), EndTurn(1), Ask(5)):
        link.encode(command)
    return link


@pytest.mark.parametrize(
    "left, expected", [("50s", 50_000), ("9.5s", 9_500), ("0s", 0), ("soon", 0), (None, 0), (5, 0)]
)
def test_gemini_go_away(left: Any, expected: int) -> None:
    assert said(gemini_asked(), [{"goAway": {"timeLeft": left}}]) == [Expiring(expected)]


@pytest.mark.parametrize(
    "reason, outcome",
    [
        ("PROHIBITED_INPUT_CONTENT", "refused"),
        ("GENERATED_AUDIO_SAFETY", "refused"),
        ("GENERATED_CONTENT_SAFETY", "refused"),
        ("RESPONSE_REJECTED", "refused"),
        ("MALFORMED_FUNCTION_CALL", "empty"),
        ("NEED_MORE_INPUT", "empty"),
        ("", "empty"),
    ],
)
def test_gemini_turns_that_end_with_nothing(reason: str, outcome: str) -> None:
    content: Json = {"turnComplete": True, **({"turnCompleteReason": reason} if reason else {})}
    start, end = said(gemini_asked(), [{"serverContent": content}])
    assert start == ReplyStarted(5)
    assert isinstance(end, ReplyEnded) and end.outcome == outcome
    assert end.fault is not None and end.fault.kind is (REFUSED if outcome == "refused" else EMPTY)


def test_gemini_waiting_for_input_is_an_empty_turn() -> None:
    events = said(
        gemini_asked(), [{"serverContent": {"waitingForInput": True}}, {"serverContent": {"turnComplete": True}}]
    )
    assert [e.outcome for e in events if isinstance(e, ReplyEnded)] == ["empty"]


@pytest.mark.parametrize(
    "body, expected",
    [
        ({"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Too much."}, RATE),
        ({"code": 503, "status": "UNAVAILABLE", "message": "Later."}, OVERLOADED),
        ({"code": 400, "status": "INVALID_ARGUMENT", "message": "No."}, CONFIG),
        ({"code": 401, "status": "UNAUTHENTICATED", "message": "Who?"}, ACCOUNT),
        ("upstream is gone", OVERLOADED),
        (None, OVERLOADED),
    ],
)
def test_gemini_error_frames_of_gateways(body: Any, expected: FaultClass) -> None:
    link = gemini_asked()
    (event,) = said(link, [{"error": body}])
    assert isinstance(event, Failed) and event.fault.kind is expected
    assert link.fault(SocketClosed(1011)).kind is expected


# ------------------------------------------------------------------------------------------------------- small parts


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Please try again in 1m26.4s. Visit the site.", 86_400),
        ("try again in 250ms", 250),
        ("Please try again in 20 seconds.", 20_000),
        ("Please retry after 2 minutes", 120_000),
        ("Please try again in 1h5m", 3_900_000),
        ("try again in 99999h", 86_400_000),
        ("try again later", None),
        ("", None),
    ],
)
def test_times_in_messages(text: str, expected: int | None) -> None:
    assert retry_after_in(text) == expected


@pytest.mark.parametrize(
    "headers, expected",
    [
        ({"retry-after": "17"}, 17_000),
        ({"retry-after": "0.5"}, 500),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1_500),
        ({"retry-after": "1m30s"}, 90_000),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "9" * 400}, None),
        ({}, None),
    ],
)
def test_times_in_headers(headers: dict[str, str], expected: int | None) -> None:
    assert http_fault(HttpRefusal(429, headers)).retry_after_ms == expected


def test_secrets_never_reach_a_fault() -> None:
    key = "sk-test-0123456789"
    link = codec("openai", headers={"X-Gateway": "gw-secret-77"})
    told: list[Event] = said(link, [error("invalid_api_key", "x", f"Incorrect API key provided: {key}, gw-secret-77.")])
    faults = [
        link.fault(SocketClosed(3000, f"bad key {key}")),
        codec("openai").fault(HttpRefusal(401, {}, f'{{"error":{{"message":"{key}"}}}}'.encode())),
        codec("openai").fault(NetworkError("dns", f"wss://h/?api-key={key}")),
        error_fault("x", "y", "key sk-live-abcdef123456", ()),
        socket_fault(SocketClosed(1007, "AIzaSyA123456789012345 is not valid")),
    ]
    for text in [repr(told), *map(repr, faults)]:
        assert key not in text and "gw-secret-77" not in text
        assert "sk-live" not in text and "AIzaSy" not in text
    assert len(error_fault("", "", "x" * 5000).reason) == 300
