"""Small checks for hand-written scripts: each names the place of a mistake and what was expected there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Check = Callable[[Any, str], Any]


class ScriptError(ValueError):
    """A mistake in a script; the message begins with its place ("rules[2].do.close.code: ...")."""


def fail(where: str, what: str) -> ScriptError:
    return ScriptError(f"{where}: {what}" if where else what)


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def number(low: float, high: float) -> Check:
    def check(value: Any, where: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise fail(where, f"must be a number from {low:g} to {high:g}, not {shown(value)}")
        return float(value)

    return check


def integer(low: int, high: int) -> Check:
    def check(value: Any, where: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise fail(where, f"must be a whole number from {low} to {high}, not {shown(value)}")
        return value

    return check


def text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise fail(where, f"must be text, not {shown(value)}")
    return value


def flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise fail(where, f"must be true or false, not {shown(value)}")
    return value


def true(value: Any, where: str) -> bool:
    if value is not True:
        raise fail(where, f"can only be true, not {shown(value)}")
    return True


def mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise fail(where, f"must be a mapping, not {shown(value)}")
    return dict(value)


def choice(options: Iterable[str]) -> Check:
    allowed = list(options)

    def check(value: Any, where: str) -> str:
        if value not in allowed:
            raise fail(where, f"must be one of {', '.join(allowed)}, not {shown(value)}")
        return str(value)

    return check


def either(first: Check, second: Check) -> Check:
    """The first check that accepts; the second one's complaint when neither does."""

    def check(value: Any, where: str) -> Any:
        try:
            return first(value, where)
        except ScriptError:
            return second(value, where)

    return check


def list_of(item: Check) -> Check:
    def check(value: Any, where: str) -> list[Any]:
        if not isinstance(value, list):
            raise fail(where, f"must be a list, not {shown(value)}")
        return [item(entry, f"{where}[{i}]") for i, entry in enumerate(value)]

    return check


def one_or_more(item: Check) -> Check:
    """A single value or a list of them; always a list afterwards."""
    many = list_of(item)

    def check(value: Any, where: str) -> list[Any]:
        return list(many(value, where)) if isinstance(value, list) else [item(value, where)]

    return check


def optional(item: Check) -> Check:
    """Null or "none" mean: not at all."""

    def check(value: Any, where: str) -> Any:
        return None if value is None or value == "none" else item(value, where)

    return check


def pair(item: Check) -> Check:
    many = list_of(item)

    def check(value: Any, where: str) -> tuple[Any, Any]:
        got = many(value, where)
        if len(got) != 2 or got[0] > got[1]:
            raise fail(where, f"must be two numbers, the smaller one first, not {shown(value)}")
        return got[0], got[1]

    return check


def fields(value: Any, where: str, known: Mapping[str, Check]) -> dict[str, Any]:
    """The checked fields that are there. Raises ScriptError for a field that is not known."""
    given = mapping(value, where)
    prefix = f"{where}." if where else ""
    for name in given:
        if name not in known:
            raise fail(f"{prefix}{name}", f"is not known here; known are {', '.join(sorted(known))}")
    return {name: known[name](entry, f"{prefix}{name}") for name, entry in given.items()}


def record(known: Mapping[str, Check]) -> Check:
    def check(value: Any, where: str) -> dict[str, Any]:
        return fields(value, where, known)

    return check
