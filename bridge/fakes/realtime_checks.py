"""Strict checking of client messages in the OpenAI family, by tables. What a table does not name is refused.

Codes as the live services give them: unknown_parameter, missing_required_parameter, invalid_type, invalid_value, each
with the `param` it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

INVALID_REQUEST = "invalid_request_error"


@dataclass
class Problem(Exception):
    """An `error` event to be."""

    code: str
    message: str
    param: str | None = None
    type: str = INVALID_REQUEST


Check = Callable[[Any, str], None]


def unknown(param: str) -> Problem:
    return Problem("unknown_parameter", f"Unknown parameter: '{param}'.", param)


def missing(param: str) -> Problem:
    return Problem("missing_required_parameter", f"Missing required parameter: '{param}'.", param)


def invalid(param: str, what: str) -> Problem:
    return Problem("invalid_value", f"Invalid value for '{param}': {what}.", param)


def wrong_type(param: str, expected: str, value: Any) -> Problem:
    got = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    found = got.get(type(value), "a number")
    return Problem("invalid_type", f"Invalid type for '{param}': expected {expected}, but got {found} instead.", param)


def anything(value: Any, param: str) -> None:
    """No check."""


def string(value: Any, param: str) -> None:
    if not isinstance(value, str):
        raise wrong_type(param, "a string", value)


def boolean(value: Any, param: str) -> None:
    if not isinstance(value, bool):
        raise wrong_type(param, "a boolean", value)


def obj(value: Any, param: str) -> None:
    if not isinstance(value, dict):
        raise wrong_type(param, "an object", value)


def between(low: float, high: float) -> Check:
    def check(value: Any, param: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong_type(param, "a number", value)
        if not low <= value <= high:
            raise invalid(param, f"must be from {low:g} to {high:g}")

    return check


def one_of(*options: str) -> Check:
    def check(value: Any, param: str) -> None:
        string(value, param)
        if value not in options:
            raise invalid(param, f"'{value}'. Supported values are: {', '.join(repr(option) for option in options)}")

    return check


def nullable(inner: Check) -> Check:
    def check(value: Any, param: str) -> None:
        if value is not None:
            inner(value, param)

    return check


def either(*checks: Check) -> Check:
    """The first that accepts; the last one's complaint otherwise."""

    def check(value: Any, param: str) -> None:
        for inner in checks[:-1]:
            try:
                return inner(value, param)
            except Problem:
                continue
        return checks[-1](value, param)

    return check


def list_of(inner: Check) -> Check:
    def check(value: Any, param: str) -> None:
        if not isinstance(value, list):
            raise wrong_type(param, "an array", value)
        for i, entry in enumerate(value):
            inner(entry, f"{param}[{i}]")

    return check


def table(known: Mapping[str, Check], required: tuple[str, ...] = ()) -> Check:
    """An object with these fields and no others."""

    def check(value: Any, param: str) -> None:
        obj(value, param)
        prefix = f"{param}." if param else ""
        for name in value:
            if name not in known:
                raise unknown(f"{prefix}{name}")
        for name in required:
            if name not in value:
                raise missing(f"{prefix}{name}")
        for name, entry in value.items():
            known[name](entry, f"{prefix}{name}")

    return check


def by_type(variants: Mapping[str, Check]) -> Check:
    """An object whose `type` chooses its table."""

    def check(value: Any, param: str) -> None:
        obj(value, param)
        kind = value.get("type")
        if kind is None:
            raise missing(f"{param}.type")
        one_of(*variants)(kind, f"{param}.type")
        variants[kind](value, param)

    return check


FUNCTION = table(
    {"type": one_of("function"), "name": string, "description": nullable(string), "parameters": nullable(obj)},
    ("name",),
)
_MCP_FIELDS = (
    "type",
    "server_label",
    "server_url",
    "connector_id",
    "tunnel_id",
    "headers",
    "allowed_tools",
    "require_approval",
    "authorization",
    "server_description",
)
MCP = table(dict.fromkeys(_MCP_FIELDS, anything), ("server_label",))
TOOLS = list_of(by_type({"function": FUNCTION, "mcp": MCP}))
TOOL_CHOICE = either(one_of("auto", "none", "required"), by_type({"function": anything, "mcp": anything}))
MAX_TOKENS = either(one_of("inf"), between(1, 4096))
SERVER_VAD: dict[str, Check] = {
    "type": string,
    "threshold": between(0, 1),
    "prefix_padding_ms": between(0, 60_000),
    "silence_duration_ms": between(0, 60_000),
    "create_response": boolean,
    "interrupt_response": boolean,
    "idle_timeout_ms": nullable(between(0, 600_000)),
}
