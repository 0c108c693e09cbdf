"""Models as data: `models.yaml` says what is known of each, this module finds it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

from audio.frame import Format
from providers.codec import Capabilities, Target

NOTICE_DAYS = 60

# Capability values that come from data or from a target's options; formats are chosen by the leg instead.
_SCALARS = {f.name: type(f.default) for f in fields(Capabilities) if isinstance(f.default, (bool, int))}


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A model of a provider kind, one object for each name. `known` False: no entry matched, everything is the kind's
    own.

    `ends` is the last day it is served. `context` is the context window in tokens, 0 when unknown. `capabilities`
    holds what differs from the defaults of `Capabilities`; `traits` is for the kind's codec.
    """

    id: str
    kind: str
    known: bool
    input_formats: tuple[Format, ...]
    output_formats: tuple[Format, ...]
    ends: datetime.date | None = None
    successor: str = ""
    context: int = 0
    capabilities: Mapping[str, bool | int] = field(default_factory=dict)
    traits: Mapping[str, str | bool] = field(default_factory=dict)


@lru_cache(maxsize=1)
def _data() -> dict[str, Any]:
    text = files("providers").joinpath("models.yaml").read_text(encoding="utf-8")
    kinds: dict[str, Any] = yaml.safe_load(text)["kinds"]
    return kinds


@lru_cache(maxsize=256)
def lookup(kind: str, model: str) -> Model:
    """What is known of `model` on provider kind `kind`. Ids that are not listed are allowed and get the kind's own
    values; a path before the id ("models/…", "publishers/google/models/…") is ignored. Raises ValueError for an
    unknown kind."""
    data = _data()
    if kind not in data:
        raise ValueError(f"no models are known for provider kind {kind!r}; known: {', '.join(sorted(data))}")
    entry = data[kind]
    bare = model.rsplit("/", 1)[-1]
    found = _find(entry["models"], bare)
    formats = entry.get("formats", [])
    return Model(
        id=found.get("id", bare),
        kind=kind,
        known=bool(found),
        input_formats=tuple(map(_format, entry.get("input_formats", formats))),
        output_formats=tuple(map(_format, entry.get("output_formats", formats))),
        ends=found.get("ends"),
        successor=found.get("successor", ""),
        context=found.get("context", 0),
        capabilities={**entry.get("capabilities", {}), **found.get("capabilities", {})},
        traits={**entry.get("traits", {}), **found.get("traits", {})},
    )


def warnings(kind: str, model: str, today: datetime.date) -> list[str]:
    """What an operator should know of the model: that it ended, or ends within 60 days. Raises ValueError for an
    unknown kind."""
    found = lookup(kind, model)
    if found.ends is None:
        return []
    left = (found.ends - today).days
    advice = f"; use {found.successor}" if found.successor else ""
    if left < 0:
        return [f"model {model} of {kind} ended on {found.ends.isoformat()}{advice}"]
    if left <= NOTICE_DAYS:
        return [f"model {model} of {kind} ends on {found.ends.isoformat()} (in {left} days){advice}"]
    return []


def capabilities(model: Model, target: Target, leg: Format) -> Capabilities:
    """The capabilities of a target on a leg: the defaults, the kind's, the model's, then `options.capabilities`.

    Formats are ordered by how little conversion the leg needs. Raises ValueError for an option that is no capability
    or has the wrong type.
    """
    overrides = target.options.get("capabilities", {})
    if not isinstance(overrides, Mapping):
        raise ValueError(f"provider {target.name}: options.capabilities must be a mapping")
    for name, value in overrides.items():
        wanted = _SCALARS.get(name)
        if wanted is None:
            raise ValueError(
                f"provider {target.name}: {name!r} is no capability that can be set; those are {', '.join(_SCALARS)}"
            )
        if type(value) is not wanted:
            raise ValueError(f"provider {target.name}: options.capabilities.{name} must be {wanted.__name__}")
    return _on(model, leg, tuple(overrides.items()))


@lru_cache(maxsize=256)
def _on(model: Model, leg: Format, overrides: tuple[tuple[str, bool | int], ...]) -> Capabilities:
    base = Capabilities(preferred(model.input_formats, leg), preferred(model.output_formats, leg))
    changes: dict[str, Any] = {**model.capabilities, **dict(overrides)}
    return replace(base, **changes)


def preferred(formats: tuple[Format, ...], leg: Format) -> tuple[Format, ...]:
    """`formats`, the leg's own first, then linear PCM (the lowest rate that loses nothing), then the rest. G.711 is
    never chosen for a leg that is not the same G.711: companding twice costs quality."""

    def order(item: Format) -> tuple[bool, bool, bool, int]:
        return item != leg, item.encoding != "pcm16", item.rate < leg.rate, abs(item.rate - leg.rate)

    return tuple(sorted(formats, key=order))


def _find(models: list[dict[str, Any]], model: str) -> dict[str, Any]:
    for entry in models:
        if entry["id"] == model:
            return entry
    for entry in models:
        if any(fnmatchcase(model, pattern) for pattern in entry.get("aliases", ())):
            return entry
    return {}


def _format(name: str) -> Format:
    """`pcmu`, `pcma` or `pcm16@RATE`."""
    encoding, _, rate = name.partition("@")
    if encoding == "pcmu":
        return Format("pcmu", 8000)
    if encoding == "pcma":
        return Format("pcma", 8000)
    return Format("pcm16", int(rate))
