"""Every fault of the failure tables, in each provider's own words."""

from __future__ import annotations

from typing import Any

from tests.chaos.matrix.faults import ALL, Fault

INTERNAL = "The server had an error while processing your request. Sorry about that! Please contact us through our he"
FULL = "Failed to start session with status RESOURCE_EXHAUSTED: Maximum concurrent se"
LATER = "Rate limit reached for gpt-realtime in organization org-x on tokens per min. Please try again in 1m26.4s."


def _same(do: Any) -> dict[str, Any]:
    return {ALL: do}


def _realtime(do: Any) -> dict[str, Any]:
    return {"openai": do, "azure_voice_live": do}


def _close(code: int, reason: str = "") -> dict[str, Any]:
    return {"close": {"code": code, "reason": reason}}


def _http(status: int, body: str = "", **headers: str) -> dict[str, Any]:
    return {"http": {"status": status, "headers": {k.replace("_", "-"): v for k, v in headers.items()}, "body": body}}


def _error(code: str, message: str, type: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"type": type, "code": code, "message": message}}


NO_EVENTS = "Gemini tells of trouble by its close code and reason, never by an error event"
NO_ENDS = "Gemini has no failed replies: it closes the connection, or the turn ends empty"
BY_HTTP = "Voice Live refuses this by HTTP, see the HTTP rows"

DIALLING = (
    Fault("connection refused", _same({"refuse": True}), "upgrade"),
    Fault("dial goes unanswered", _same({"hang": True}), "upgrade", "dial"),
    Fault(
        "HTTP 400 unsupported",
        {"azure_voice_live": _http(400, '{"error":{"code":"OpperationNotSupported"}}')},
        "upgrade",
        dials=1,
        absent="only Azure answers so",
    ),
    Fault("HTTP 401", _same(_http(401)), "upgrade", dials=1),
    Fault("HTTP 403", _same(_http(403)), "upgrade", dials=1),
    Fault("HTTP 404", _same(_http(404)), "upgrade", dials=1),
    Fault("HTTP 429 with Retry-After", _same(_http(429, Retry_After="30")), "upgrade", dials=1),
    Fault("HTTP 429 without", _same(_http(429)), "upgrade"),
    Fault("HTTP 500", _same(_http(500)), "upgrade"),
    Fault("HTTP 503", _same(_http(503)), "upgrade"),
    Fault(
        "accepted, then silent",
        _realtime({"stall": True}),
        "session",
        "configured",
        absent="Gemini says nothing before the setup, see: configuration unanswered",
    ),
    Fault("configuration unanswered", _same({"stall": True}), "configuring", "configured"),
    Fault("configuration refused", _same({"refuse_config": True}), "configuring", dials=1),
    Fault(
        "configuration refused by name",
        _realtime(
            {
                "refuse_config": {
                    "code": "unknown_parameter",
                    "message": "Unknown parameter: 'session.voice'.",
                    "param": "session.voice",
                }
            }
        ),
        "configuring",
        dials=1,
        absent="Gemini does not say which argument",
    ),
    Fault(
        "bad key",
        {
            "openai": [
                _error("invalid_api_key", "Incorrect API key provided."),
                _close(3000, "invalid_request_error.invalid_api_key"),
            ],
            "gemini": _close(1007, "API key not valid. Please pass a valid API key."),
        },
        "configuring",
        dials=1,
        absent=BY_HTTP,
    ),
    Fault(
        "key expired",
        {"gemini": _close(1007, "API key expired. Please renew the API key.")},
        "configuring",
        dials=1,
        absent="see: bad key",
    ),
    Fault(
        "beta shape gone",
        {
            "openai": [
                _error("beta_api_shape_disabled", "The Realtime Beta API is no longer supported."),
                _close(4000, "invalid_request_error.beta_api_shape_disabled"),
            ]
        },
        "configuring",
        dials=1,
        absent="only OpenAI retired one",
    ),
    Fault(
        "unknown model",
        {
            "openai": [
                _error("invalid_model", 'Model "x" is not supported.'),
                _close(4000, "invalid_request_error.invalid_model"),
            ],
            "gemini": _close(
                1008, "models/x is not found for API version v1beta, or is not supported for bidiGenerateContent."
            ),
        },
        "configuring",
        dials=1,
        absent=BY_HTTP,
    ),
    Fault(
        "too many sessions",
        {"gemini": _close(1011, FULL)},
        "configuring",
        absent="the others refuse the upgrade with HTTP 429",
    ),
)

RUNNING = (
    Fault("connection reset", _same({"reset": True})),
    Fault("closed 1000", _same(_close(1000))),
    Fault("closed 1001, drained", _same(_close(1001, "going away"))),
    Fault("session expired", _same({"expire": True})),
    Fault(
        "closed 1001 expired",
        _realtime(_close(1001, "Your session hit the maximum duration of 60 minutes.")),
        absent="Gemini closes with 1011 at the end of a session",
    ),
    Fault(
        "closed 1007 named",
        {
            "gemini": _close(1007, "Request contains an invalid argument."),
            "openai": _close(1007, "invalid argument"),
            "azure_voice_live": _close(1007, "invalid argument"),
        },
    ),
    Fault("closed 1007", _same(_close(1007))),
    Fault(
        "closed 1008 named",
        {
            "gemini": _close(1008, "Operation is not implemented, or supported, or enabled."),
            "openai": _close(1008, "policy violation"),
            "azure_voice_live": _close(1008, "policy violation"),
        },
    ),
    Fault("closed 1008", _same(_close(1008))),
    Fault(
        "closed 1008 not found",
        {"gemini": _close(1008, "Requested entity was not found.")},
        absent="only Gemini loses entities",
    ),
    Fault("closed 1011 truncated", _same(_close(1011, INTERNAL))),
    Fault(
        "closed 1011 unavailable",
        {"gemini": _close(1011, "The service is currently unavailable.")},
        absent="see: closed 1011 truncated",
    ),
    Fault(
        "closed 1011 overloaded",
        {"gemini": _close(1011, "RPC error: OVERLOADED_TOO_MANY_RETRIES_PER_REQUEST")},
        absent="see: closed 1011 truncated",
    ),
    Fault(
        "closed 1011 cancelled",
        {"gemini": _close(1011, "Thread was cancelled when writing StartStep status to channel.")},
        absent="see: closed 1011 truncated",
    ),
    Fault("closed 1012", _same(_close(1012, "service restart"))),
    Fault("quota: error, then 1013", _same({"quota": True}), dials=2),
    Fault(
        "closed 1013 with quota reason",
        _realtime(_close(1013, "insufficient_quota.insufficient_quota")),
        dials=2,
        absent="Gemini closes with 1011 and says quota",
    ),
    Fault("closed 1013 bare", _same(_close(1013))),
    Fault(
        "quota by error event alone",
        _realtime(_error("insufficient_quota", "You exceeded your current quota.", "insufficient_quota")),
        dials=2,
        absent=NO_EVENTS,
    ),
    Fault(
        "billing limit",
        {
            "openai": [_error("billing_hard_limit_reached", "Billing hard limit has been reached."), _close(1013)],
            "gemini": _close(1011, "Your project has exceeded its monthly spending cap; see billing."),
        },
        dials=2,
        absent="Azure has no such code",
    ),
    Fault(
        "closed 3000, key revoked",
        {"openai": _close(3000, "invalid_request_error.invalid_api_key")},
        dials=2,
        absent="the others close with 1008, or refuse the next dial by HTTP",
    ),
    Fault(
        "closed 4004, model gone",
        {"openai": _close(4004, "invalid_request_error.model_not_found")},
        dials=2,
        absent="OpenAI's own close codes",
    ),
    Fault("half-open, acknowledged", _same({"half_open": "acknowledged"}), detects="silence"),
    Fault("half-open, not even that", _same({"half_open": "silent"}), detects="silence"),
    Fault("stalled", _same({"stall": True}), detects="silence"),
    Fault("stalled, wakes after the switch", _same({"stall": {"ms": 5400}}), detects="silence"),
    Fault("goAway", {"gemini": {"go_away": {"left_ms": 8000, "close": True}}}, absent="only Gemini announces its end"),
    Fault(
        "goAway, then silence",
        {"gemini": {"go_away": {"left_ms": 8000, "silent": True, "close": True}}},
        detects="silence",
        absent="only Gemini announces its end",
    ),
    Fault(
        "goAway at the last moment",
        {"gemini": {"go_away": {"left_ms": 500, "close": True}}},
        absent="only Gemini announces its end",
    ),
    Fault(
        "rate limit nearly used up",
        _realtime(
            {
                "send": {
                    "type": "rate_limits.updated",
                    "event_id": "event_low",
                    "rate_limits": [{"name": "tokens", "limit": 40000, "remaining": 200, "reset_seconds": 40.0}],
                }
            }
        ),
        absent="Gemini announces no limits",
    ),
    Fault(
        "server error event",
        _realtime(_error("server_error", "The server had an error.", "server_error")),
        absent=NO_EVENTS,
    ),
    Fault("rate limit event", _realtime(_error("rate_limit_exceeded", LATER, "rate_limit_exceeded")), absent=NO_EVENTS),
    Fault(
        "gateway's error message",
        {"gemini": _error("UNAVAILABLE", "upstream connect error")},
        absent="see: server error event",
    ),
)

REPLYING = (
    Fault(
        "reply failed, rate limit",
        _realtime({"fail": {"type": "rate_limit_exceeded", "code": "rate_limit_exceeded", "message": LATER}}),
        needs="reply",
        absent=NO_ENDS,
    ),
    Fault(
        "reply failed, inference rate limit",
        {
            "azure_voice_live": {
                "fail": {
                    "type": "invalid_request_error",
                    "code": "inference_rate_limit_exceeded",
                    "message": "Please retry after 1 second.",
                }
            }
        },
        needs="reply",
        absent="Azure's own code",
    ),
    Fault(
        "reply failed, server error without code",
        _realtime({"fail": {"type": "server_error"}}),
        needs="reply",
        absent=NO_ENDS,
    ),
    Fault(
        "reply failed, with usage",
        _realtime({"fail": {"type": "server_error", "usage": True}}),
        needs="reply",
        absent=NO_ENDS,
    ),
    Fault(
        "error event and failed reply",
        _realtime(
            {
                "fail": {
                    "type": "rate_limit_exceeded",
                    "code": "rate_limit_exceeded",
                    "message": LATER,
                    "with_error": True,
                }
            }
        ),
        needs="reply",
        absent=NO_ENDS,
    ),
    Fault(
        "reply failed, then closed",
        _realtime(
            {
                "fail": {
                    "type": "insufficient_quota",
                    "code": "insufficient_quota",
                    "message": "You exceeded your current quota.",
                    "close": {"code": 1013, "reason": "insufficient_quota.insufficient_quota"},
                }
            }
        ),
        needs="reply",
        dials=2,
        absent=NO_ENDS,
    ),
    Fault(
        "closed in the reply",
        {"gemini": {"fail": {"close": {"code": 1011, "reason": "Internal error encountered."}}}},
        needs="reply",
        absent="see: closed 1011 truncated",
    ),
    Fault("poisoned session", _same({"poison": {"type": "server_error"}}), detects="empty", needs="reply"),
    Fault("empty reply", _same({"empty": True}), detects="empty", needs="unspoken"),
    Fault(
        "text instead of speech",
        _realtime({"empty": "text"}),
        detects="empty",
        needs="unspoken",
        absent="Gemini was asked for audio only",
    ),
    Fault("slow drip", _same({"slow": 0.7}), detects="slow", needs="reply"),
    Fault("crawl", _same({"slow": 0.2}), detects="slow", needs="reply"),
    Fault(
        "content filter",
        {
            **_realtime({"fail": {"status": "incomplete", "reason": "content_filter"}}),
            "gemini": {"fail": {"reason": "PROHIBITED_INPUT_CONTENT"}},
        },
        outcome="refused",
        needs="reply",
    ),
    Fault(
        "token limit",
        {
            **_realtime({"fail": {"status": "incomplete", "reason": "max_output_tokens"}}),
            "gemini": {"fail": {"reason": "RESPONSE_REJECTED"}},
        },
        outcome="refused",
        needs="reply",
    ),
    Fault("ends in mid-sentence", _same({"cut_short": True}), outcome="shortened", needs="spoken"),
    Fault(
        "ask refused, a reply is running",
        _realtime(_error("conversation_already_has_active_response", "Conversation already has an active response.")),
        needs="unspoken",
        absent=NO_EVENTS,
    ),
    Fault(
        "stalled, resumes before the next speaks",
        _same({"stall": {"ms": 2950}}),
        detects="silence",
        outcome="unnoticed",
        needs="reply",
    ),
)

HARMLESS = (
    *(
        Fault(f"unreadable message: {name}", _same({"malformed": name}), outcome="unnoticed")
        for name in ("json", "array", "truncated", "binary", "unknown")
    ),
    Fault(  # a word is missing; where little was buffered the hole may count as running dry
        "unreadable audio", _same({"malformed": "base64"}), detects="slow", outcome="unnoticed", needs="spoken"
    ),
    Fault("huge message", _same({"oversized": 2_000_000}), outcome="unnoticed"),
    Fault(
        "benign error",
        _realtime(_error("response_cancel_not_active", "Cancellation failed: no active response found")),
        outcome="unnoticed",
        absent=NO_EVENTS,
    ),
    Fault(
        "warning",
        {"azure_voice_live": {"warning": {"code": "something", "message": "Just saying."}}},
        outcome="unnoticed",
        absent="only Voice Live warns",
    ),
    Fault(
        "caller text twice",
        {"gemini": {"duplicate_caller_text": True}},
        outcome="unnoticed",
        absent="seen on Gemini only",
    ),
    Fault(
        "audio after the interruption",
        {"gemini": {"late_audio": 400}},
        outcome="unnoticed",
        absent="the others number their replies",
    ),
)

FAULTS = {fault.name: fault for fault in (*DIALLING, *RUNNING, *REPLYING, *HARMLESS)}
