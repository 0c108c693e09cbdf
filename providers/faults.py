"""What kind of trouble a failure is: error events, close codes and reasons, HTTP refusals.

The order is always the provider's own words first: the `code` and `type` of an error event, then the text of the close
reason, then the bare code. Codes moved between `code` and `type` in the past, so either may match.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from providers.base import Failure, Fault, FaultClass, HttpRefusal, NetworkError, SocketClosed
from providers.secrets import redact
from providers.wire import dict_of, parse, shorten, text_of

_ACCOUNT, _RATE, _EXPIRED = FaultClass.ACCOUNT, FaultClass.RATE_LIMITED, FaultClass.EXPIRED
_OVERLOADED, _CONFIG, _NETWORK, _REFUSED = (
    FaultClass.OVERLOADED,
    FaultClass.CONFIG,
    FaultClass.NETWORK,
    FaultClass.REFUSED,
)

# Error codes and types of all dialects, lower case. A code is looked up before its type.
_CODES: Mapping[str, FaultClass] = {
    "invalid_api_key": _ACCOUNT,
    "insufficient_quota": _ACCOUNT,
    "credit_balance_exhausted": _ACCOUNT,
    "billing_hard_limit_reached": _ACCOUNT,
    "billing_not_active": _ACCOUNT,
    "account_deactivated": _ACCOUNT,
    "authentication_error": _ACCOUNT,
    "permission_error": _ACCOUNT,
    "permissiondenied": _ACCOUNT,
    "permission_denied": _ACCOUNT,
    "unauthenticated": _ACCOUNT,
    "unauthorized": _ACCOUNT,
    "accessdenied": _ACCOUNT,
    "rate_limit_exceeded": _RATE,
    "inference_rate_limit_exceeded": _RATE,
    "rate_limit_error": _RATE,
    "too_many_requests": _RATE,
    "resource_exhausted": _RATE,
    "session_expired": _EXPIRED,
    "server_error": _OVERLOADED,
    "internal_error": _OVERLOADED,
    "internal_server_error": _OVERLOADED,
    "internal": _OVERLOADED,
    "overloaded": _OVERLOADED,
    "overloaded_error": _OVERLOADED,
    "engine_overloaded": _OVERLOADED,
    "service_unavailable": _OVERLOADED,
    "unavailable": _OVERLOADED,
    "deadline_exceeded": _OVERLOADED,
    "content_filter": _REFUSED,
    "content_policy_violation": _REFUSED,
    "moderation_blocked": _REFUSED,
    "model_not_found": _CONFIG,
    "missing_model": _CONFIG,
    "invalid_model": _CONFIG,
    "beta_api_shape_disabled": _CONFIG,
    "missing_required_parameter": _CONFIG,
    "unknown_parameter": _CONFIG,
    "invalid_value": _CONFIG,
    "invalid_argument": _CONFIG,
    "not_found": _CONFIG,
    "failed_precondition": _CONFIG,
    "call_id_not_found": _CONFIG,
    "opperationnotsupported": _CONFIG,  # Azure's spelling
    "operationnotsupported": _CONFIG,
    "invalid_request_error": _CONFIG,
}

# Errors that change nothing for a call: our own harmless sequencing, and messages the server merely skipped.
_BENIGN = frozenset(
    {
        "conversation_already_has_active_response",
        "response_cancel_not_active",
        "input_audio_buffer_commit_empty",
        "item_create_duplicate_item_id",
        "item_already_truncated",
        "item_retrieve_invalid_item_id",
        "item_delete_invalid_item_id",
        "item_truncate_invalid_item_id",
        "item_truncate_invalid_audio_end_ms",
        "invalid_event",
        "invalid_json",
    }
)
_BENIGN_TEXT = (
    "is already shorter than",  # truncation past the end of the audio
    "only model output audio messages can be truncated",
)

# Close reasons and free error texts, lower case, first match wins. Reasons are cut at 123 bytes: match beginnings.
_TEXTS: tuple[tuple[str, FaultClass], ...] = (
    ("session_expired", _EXPIRED),
    ("maximum duration", _EXPIRED),
    ("deadline expired before operation", _EXPIRED),  # Gemini's connection lifetime
    ("session not found", _EXPIRED),  # a resumption handle went stale: a fresh session is fine
    ("invalid_api_key", _ACCOUNT),
    ("api key not valid", _ACCOUNT),
    ("api key expired", _ACCOUNT),
    ("incorrect api key", _ACCOUNT),
    ("insufficient_quota", _ACCOUNT),
    ("rate limit reached", _RATE),  # goes on to advertise the billing page
    ("credit_balance_exhausted", _ACCOUNT),
    ("billing", _ACCOUNT),
    ("account_deactivated", _ACCOUNT),
    ("permission denied", _ACCOUNT),
    ("permission_denied", _ACCOUNT),
    ("unauthenticated", _ACCOUNT),
    ("unauthorized", _ACCOUNT),
    ("resource_exhausted", _RATE),
    ("rate_limit", _RATE),
    ("rate limit", _RATE),
    ("too many requests", _RATE),
    ("quota", _ACCOUNT),
    ("exceeded your", _ACCOUNT),
    ("overloaded", _OVERLOADED),
    ("currently unavailable", _OVERLOADED),
    ("internal error", _OVERLOADED),
    ("server_error", _OVERLOADED),
    ("server had an error", _OVERLOADED),
    ("thread was cancelled", _OVERLOADED),
    ("deadline exceeded", _OVERLOADED),
    # Gemini answers this at random on some previews, mostly around tool calls, to requests that were accepted before.
    ("operation is not implemented, or supported, or enabled", _OVERLOADED),
    ("keepalive ping timeout", _NETWORK),  # our own budget ran out
    ("beta_api_shape_disabled", _CONFIG),
    ("missing_model", _CONFIG),
    ("invalid_model", _CONFIG),
    ("model_not_found", _CONFIG),
    ("not supported for bidigeneratecontent", _CONFIG),
    ("invalid argument", _CONFIG),
)

_CLOSE_CODES: Mapping[int, FaultClass] = {
    1000: _NETWORK,  # an unasked-for goodbye: nothing wrong with account or model as far as one can tell
    1001: _EXPIRED,  # OpenAI and Azure: the session's time is up, or the server drains
    1005: _NETWORK,
    1006: _NETWORK,
    1007: _CONFIG,
    1008: _CONFIG,
    1009: _CONFIG,
    1011: _OVERLOADED,
    1012: _OVERLOADED,
    1013: _OVERLOADED,
    1014: _OVERLOADED,
    1015: _NETWORK,
    3000: _ACCOUNT,
}

_HTTP: Mapping[int, FaultClass] = {
    401: _ACCOUNT,
    402: _ACCOUNT,
    403: _ACCOUNT,
    407: _NETWORK,
    408: _NETWORK,
    425: _OVERLOADED,
    429: _RATE,
}

_WAIT = re.compile(
    r"(?:try again|retry) (?:in|after) ((?:\d+(?:\.\d+)?\s*(?:ms|milliseconds?|seconds?|minutes?|hours?|s|m|h)\s*)+)",
    re.IGNORECASE,
)
_WAIT_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|mi?l|[smh])", re.IGNORECASE)
_UNIT_MS = {"ms": 1.0, "ml": 1.0, "mil": 1.0, "s": 1000.0, "m": 60_000.0, "h": 3_600_000.0}
_LONGEST_WAIT_MS = 24 * 60 * 60 * 1000


def is_benign(code: str, message: str) -> bool:
    """True for an error event that concerns neither the link nor a reply."""
    return code in _BENIGN or any(text in message.lower() for text in _BENIGN_TEXT)


def error_class(code: str, type: str, message: str) -> FaultClass | None:
    """What an error is by its code, else its type, else its text; None when none of them is known."""
    kind = _CODES.get(code.lower())
    if kind is not None:
        return kind
    by_type = _CODES.get(type.lower())
    # `invalid_request_error` is the type of nearly everything: the text knows better when it is specific.
    return by_type if by_type not in (None, _CONFIG) else _by_text(message) or by_type


def error_fault(code: str, type: str, message: str, secrets: Iterable[str] = ()) -> Fault:
    """Classify an error event, or the error of a failed response. Unknown words count as the server's fault."""
    kind = error_class(code, type, message) or _OVERLOADED
    return Fault(kind, _reason(message or code or type, secrets), code or type, retry_after_in(message))


def error_of(error: Any, secrets: Iterable[str] = ()) -> Fault:
    """Classify the `error` of a message: an object, in some dialects text."""
    if isinstance(error, dict):
        return error_fault(text_of(error, "code"), text_of(error, "type"), text_of(error, "message"), secrets)
    return error_fault("", "", error if isinstance(error, str) else "no reason given", secrets)


def socket_fault(failure: SocketClosed, secrets: Iterable[str] = ()) -> Fault:
    """Classify the end of a connection by its reason's text, then by its code."""
    code = failure.code
    kind = _by_text(failure.reason)
    if kind is None and code == 1011 and "exceeded" in failure.reason.lower():
        kind = _ACCOUNT  # "You exceeded …", however it goes on
    if kind is None:
        kind = _NETWORK if code is None else _CLOSE_CODES.get(code, _CONFIG if code >= 1002 else _NETWORK)
    reason = failure.reason or ("connection lost" if code is None else f"closed with {code}")
    return Fault(kind, _reason(reason, secrets), "1006" if code is None else str(code), retry_after_in(failure.reason))


def http_fault(failure: HttpRefusal, secrets: Iterable[str] = ()) -> Fault:
    """Classify a refused upgrade. The body may name the trouble better than the status (a quota behind a 429)."""
    status = failure.status
    kind = _HTTP.get(status) or (_OVERLOADED if status >= 500 else _CONFIG)
    code, type_, message = _body_error(failure.body)
    named = _CODES.get(code.lower()) or _CODES.get(type_.lower())
    if named is _ACCOUNT or (named is _RATE and kind is not _ACCOUNT):
        kind = named
    reason = f"HTTP {status}" + (f": {message}" if message else "")
    wait = _header_wait(failure.headers)
    return Fault(kind, _reason(reason, secrets), code or str(status), retry_after_in(message) if wait is None else wait)


def failure_fault(failure: Failure, secrets: Iterable[str] = ()) -> Fault:
    """Classify any end of a connection of which no error event told more."""
    if isinstance(failure, HttpRefusal):
        return http_fault(failure, secrets)
    if isinstance(failure, SocketClosed):
        return socket_fault(failure, secrets)
    assert isinstance(failure, NetworkError)
    detail = f"{failure.kind}: {failure.detail}" if failure.detail else failure.kind
    return Fault(_NETWORK, _reason(detail, secrets), failure.kind)


def retry_after_in(message: str) -> int | None:
    """Milliseconds from a text such as "Please try again in 1m26.4s"; None when it names no time."""
    found = _WAIT.search(message[:2000])
    return _duration(found.group(1)) if found else None


def _by_text(text: str) -> FaultClass | None:
    lower = text.lower()
    for part, kind in _TEXTS:
        if part in lower:
            return kind
    return None


def _reason(text: str, secrets: Iterable[str]) -> str:
    return shorten(redact(text[:2000], secrets))


def _duration(text: str) -> int | None:
    parts = _WAIT_PART.findall(text)
    if not parts:
        return None
    return int(min(sum(float(number) * _UNIT_MS[unit.lower()] for number, unit in parts), _LONGEST_WAIT_MS))


def _header_wait(headers: Mapping[str, str]) -> int | None:
    """`retry-after-ms`, or `retry-after` in seconds or as a duration. A date needs a clock: the shell rewrites it."""
    for name, unit in (("retry-after-ms", 1.0), ("retry-after", 1000.0)):
        value = headers.get(name, "").strip()
        if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value):
            return int(min(float(value) * unit, _LONGEST_WAIT_MS))
        if value and re.fullmatch(r"(\d{1,9}(\.\d{1,9})?(ms|s|m|h))+", value):
            return _duration(value)
    return None


def _body_error(body: bytes) -> tuple[str, str, str]:
    """Code, type and message of a JSON error body; Google puts its name in `status`."""
    document = parse(body[:65536])
    if isinstance(document, str):
        return "", "", body[:500].decode("utf-8", "replace") if body else ""
    error = dict_of(document, "error") or document
    return text_of(error, "code"), text_of(error, "type") or text_of(error, "status"), text_of(error, "message")
