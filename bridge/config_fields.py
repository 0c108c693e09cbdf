"""Plain data to typed sections: every mistake at once, each with its path, and no value in any of them.

    class Listener(Section):
        port: Annotated[int, Rule(least=1, most=65535)]
        host: str = "127.0.0.1"

    findings: list[Finding] = []
    listener = read(Listener, {"port": 8080}, (), findings)

Sections become frozen dataclasses; names that begin with "_" are no keys of the file. A library that does this takes
9 MiB of every server for as long as it runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, dataclass_transform, get_args, get_origin, get_type_hints

Path = tuple[str | int, ...]
Finding = tuple[Path, str, str]
"""(path, message, hint)"""

T = TypeVar("T")

_MASK = "**********"
_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "on", "y", "t", "1"), True),
    **dict.fromkeys(("false", "no", "off", "n", "f", "0"), False),
}


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
class Section:
    """Common to all: unknown keys are refused, values do not change."""

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True, kw_only=True)(cls)


class Secret:
    """Text that shows itself only to who asks for it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def get_secret_value(self) -> str:
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return f"Secret('{_MASK if self._value else ''}')"

    def __str__(self) -> str:
        return _MASK if self._value else ""


@dataclass(frozen=True, slots=True)
class Before:
    """What turns a value as written into what is read; ValueError carries a message for people. Of several the last
    one comes first."""

    function: Callable[[object], object]


@dataclass(frozen=True, slots=True)
class Rule:
    """Bounds of a value, both included. `filled`: a list or mapping may not be empty. `pattern` is for names."""

    least: int | None = None
    most: int | None = None
    longest: int | None = None
    pattern: str = ""
    filled: bool = False

    def broken(self, value: Any) -> str:
        """What the value does wrong, empty when nothing."""
        if value is None:
            return ""
        if self.least is not None and value < self.least:
            return f"must be at least {self.least}"
        if self.most is not None and value > self.most:
            return f"must be at most {self.most}"
        if self.longest is not None and len(value) > self.longest:
            return f"is longer than {self.longest} characters"
        if self.pattern and not re.fullmatch(self.pattern, value):
            return "may hold letters, digits, - and _ only, 64 at most"
        return "must not be empty" if self.filled and not value else ""


class _Wrong(Exception):
    """A value that cannot be used; where and why is among the findings."""


def read(kind: Any, data: object, path: Path, findings: list[Finding]) -> Any:
    """`data` as a `kind`; None, and at least one finding more, when it cannot be."""
    try:
        return _value(kind, data, path, findings)
    except _Wrong:
        return None


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint: the likeliest known name, or the list of them when none is close."""
    names = [str(item) for item in known]
    close = get_close_matches(name, names, n=1, cutoff=0.6) or get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    if close:
        return f'did you mean "{close[0]}"?'
    return f"known: {', '.join(names[:12])}{', …' if len(names) > 12 else ''}" if names else ""


def keys(kind: Any) -> dict[str, Any]:
    """The keys of a section, or of a dataclass that stands for one, and their types."""
    return {name: hint for name, hint in _hints(kind).items() if not name.startswith("_")}


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _value(kind: Any, data: object, path: Path, findings: list[Finding]) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _annotated(arguments[0], arguments[1:], data, path, findings)
    if origin in (Union, UnionType):  # always with None, and with one other
        if data is None:
            return None
        return _value(next(one for one in arguments if one is not NoneType), data, path, findings)
    if origin is Literal:
        if data in arguments:
            return data
        *first, last = (repr(one) for one in arguments)
        raise _wrong(findings, path, f"must be one of: {', '.join(first)} or {last}")
    if origin is dict:
        return _mapping(arguments, data, path, findings)
    if origin in (list, tuple):
        return _several(origin, arguments[0], data, path, findings)
    if is_dataclass(kind):
        return _section(kind, data, path, findings)
    return data if kind is Any else _plain(kind, data, path, findings)


def _annotated(kind: Any, notes: tuple[Any, ...], data: object, path: Path, findings: list[Finding]) -> Any:
    for note in reversed(notes):
        if isinstance(note, Before):
            try:
                data = note.function(data)
            except ValueError as error:
                raise _wrong(findings, path, str(error)) from None
    value = _value(kind, data, path, findings)
    for note in notes:
        broken = note.broken(value) if isinstance(note, Rule) else ""
        if broken:
            raise _wrong(findings, path, broken)
    return value


def _plain(kind: Any, data: object, path: Path, findings: list[Finding]) -> Any:
    if kind in (str, Secret):
        if isinstance(data, str):
            return data if kind is str else Secret(data)
        raise _wrong(findings, path, "must be text; put it in quotes")
    if kind is bool:
        found = data if isinstance(data, bool) else _BOOLEANS.get(str(data).lower())
        if found is None:
            raise _wrong(findings, path, "must be true or false")
        return found
    assert kind is int, kind
    if isinstance(data, str) and re.fullmatch(r"\s*[+-]?\d{1,18}\s*", data, re.ASCII):
        return int(data)
    if isinstance(data, bool) or not (isinstance(data, int) or (isinstance(data, float) and data.is_integer())):
        raise _wrong(findings, path, "must be a whole number")
    return int(data)


def _mapping(kinds: tuple[Any, ...], data: object, path: Path, findings: list[Finding]) -> dict[Any, Any]:
    if not isinstance(data, Mapping):
        raise _wrong(findings, path, "must be a mapping of keys")
    before = len(findings)
    found = {
        read(kinds[0], key, (*path, key), findings): read(kinds[1], item, (*path, key), findings)
        for key, item in data.items()
    }
    return _whole(found, before, findings)


def _several(origin: Any, kind: Any, data: object, path: Path, findings: list[Finding]) -> Any:
    if not isinstance(data, list | tuple):
        raise _wrong(findings, path, "must be a list")
    before = len(findings)
    found = [read(kind, item, (*path, index), findings) for index, item in enumerate(data)]
    return _whole(origin(found), before, findings)


def _section(kind: Any, data: object, path: Path, findings: list[Finding]) -> Any:
    if not isinstance(data, Mapping):
        raise _wrong(findings, path, "must be a mapping of keys")
    known, before = keys(kind), len(findings)
    found = {key: read(known[key], item, (*path, key), findings) for key, item in data.items() if key in known}
    for one in fields(kind):
        needed = one.default is MISSING and one.default_factory is MISSING
        if needed and one.name not in data:
            findings.append(((*path, one.name), "is required", ""))
    for key in data:
        if key not in known:
            findings.append(((*path, key), f'unknown key "{key}"', nearest(str(key), known)))
    return kind(**_whole(found, before, findings))


def _whole(found: T, before: int, findings: list[Finding]) -> T:
    """`found`, unless something in it was wrong."""
    if len(findings) > before:
        raise _Wrong
    return found


def _wrong(findings: list[Finding], path: Path, message: str) -> _Wrong:
    findings.append((path, message, ""))
    return _Wrong()
