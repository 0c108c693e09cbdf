"""Events, effects and the call's snapshot as JSON and back.

How a class is stored follows from its field types, worked out once per class: numbers, texts, truth values and JSON
values stay as they are, bytes become base64, tuples become lists, nested dataclasses become objects. Only the classes
in `TYPES` are read back, so that a record can name nothing else.
"""

from __future__ import annotations

import base64
import dataclasses
import types
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from bridge.core.effects import Effect
from bridge.core.engine import Transmit
from bridge.core.events import Event
from bridge.core.plan import CallSpec
from providers.base import Command, Failure, HistoryItem
from providers.base import Event as ProviderEvent
from providers.codec import Target

TYPES: Mapping[str, type] = {
    cls.__name__: cls
    for union in (Event, Effect, ProviderEvent, Command, HistoryItem, Failure)
    for cls in get_args(union)
} | {cls.__name__: cls for cls in (Transmit, CallSpec, Target)}
"""Every class that may stand where a record says which class it is."""

Convert = Callable[[Any], Any]


@dataclasses.dataclass(frozen=True, slots=True)
class _Way:
    """How values of one type are stored and read; None means as they are."""

    store: Convert | None = None
    load: Convert | None = None


_AS_IS = _Way()


def to_json(value: object) -> dict[str, Any]:
    """`value`, an instance of one of `TYPES`, as a JSON object with its class under "type".

    Raises TypeError for any other class.
    """
    cls = type(value)
    if TYPES.get(cls.__name__) is not cls:
        raise TypeError(f"{cls.__name__} cannot be recorded")
    return {"type": cls.__name__, **_store_fields(cls, value)}


def from_json(stored: Mapping[str, Any]) -> Any:
    """The object `to_json` was given. Fields the record does not have take their defaults, fields the class no longer
    has are ignored.

    Raises ValueError when the class is unknown or a field without default is missing.
    """
    cls = TYPES.get(str(stored.get("type")))
    if cls is None:
        raise ValueError(f"unknown class {stored.get('type')!r} in the record")
    return _load_fields(cls, stored)


def _store_fields(cls: type, value: object) -> dict[str, Any]:
    return {
        name: getattr(value, name) if way.store is None else way.store(getattr(value, name))
        for name, way in _fields(cls)
    }


def _load_fields(cls: type, stored: Mapping[str, Any]) -> Any:
    given = {
        name: stored[name] if way.load is None else way.load(stored[name])
        for name, way in _fields(cls)
        if name in stored
    }
    try:
        return cls(**given)
    except TypeError as error:
        raise ValueError(f"a {cls.__name__} in the record is incomplete: {error}") from error


@cache
def _fields(cls: type) -> tuple[tuple[str, _Way], ...]:
    hints = get_type_hints(cls)
    return tuple((item.name, _way(hints[item.name])) for item in dataclasses.fields(cls))


def _way(hint: Any) -> _Way:
    """Raises TypeError for a type this module does not know how to store."""
    origin = get_origin(hint)
    if hint in (str, int, float, bool, object, Any, type(None)) or origin is Literal:
        return _AS_IS
    if hint is bytes:
        return _Way(_pack, base64.b64decode)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _Way(lambda value: value.value, hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _Way(lambda value: _store_fields(hint, value), lambda stored: _load_fields(hint, stored))
    if origin in (Union, types.UnionType):
        return _union(get_args(hint))
    arguments = get_args(hint)
    if origin is tuple and len(arguments) == 2 and arguments[1] is ...:
        return _series(_way(arguments[0]), tuple)
    if origin is list:
        return _series(_way(arguments[0]), list)
    if isinstance(origin, type) and issubclass(origin, Mapping) and arguments[0] is str:
        return _mapping(_way(arguments[1]))
    raise TypeError(f"no way to record a {hint}")


def _series(way: _Way, build: Callable[[Any], Any]) -> _Way:
    store, load = way.store, way.load
    return _Way(
        list if store is None else lambda values: [store(value) for value in values],
        build if load is None else lambda stored: build([load(value) for value in stored]),
    )


def _mapping(way: _Way) -> _Way:
    store, load = way.store, way.load
    return _Way(
        dict if store is None else lambda values: {key: store(value) for key, value in values.items()},
        None if load is None else lambda stored: {key: load(value) for key, value in stored.items()},
    )


def _union(options: tuple[Any, ...]) -> _Way:
    options = tuple(option for option in options if option is not type(None))
    if all(dataclasses.is_dataclass(option) for option in options):
        if len(options) > 1:
            return _optional(_Way(to_json, from_json))
        return _optional(_way(options[0]))
    if set(options) == {str, bytes}:
        return _Way(_store_message, _load_message)
    if len(options) == 1:
        return _optional(_way(options[0]))
    if all(_way(option) is _AS_IS for option in options):
        return _AS_IS
    raise TypeError(f"no way to record one of {options}")


def _optional(way: _Way) -> _Way:
    store, load = way.store, way.load
    if store is None or load is None:
        return way
    return _Way(
        lambda value: None if value is None else store(value),
        lambda stored: None if stored is None else load(stored),
    )


def _pack(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _store_message(message: str | bytes) -> str | dict[str, str]:
    return message if isinstance(message, str) else {"bytes": _pack(message)}


def _load_message(stored: str | dict[str, str]) -> str | bytes:
    return stored if isinstance(stored, str) else base64.b64decode(stored["bytes"])
