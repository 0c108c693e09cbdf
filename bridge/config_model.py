"""The keys of `segue.yaml` as types. What each one means for people is in docs/config.md.

Durations are kept as integer milliseconds. A `Duration` written as a bare number is in seconds; keys ending in `_ms`,
and everything under `deadlines`, are bare milliseconds; both also take "500ms", "1.5s", "60m", "12h", "30d".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from audio.turns import TurnSettings
from bridge.config_fields import Before, Rule, Secret, Section
from bridge.core.plan import Deadlines, Line
from providers.codec import Target

UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*")
BUILT_IN_TOOLS = ("hang_up",)
MAX_GREETING = 2000
_SHORTEST_SECRET = 6  # masking "true" or "1" wherever it occurs would hide the text and protect nothing


def milliseconds(value: object, bare: int) -> object:
    """`value` as whole milliseconds; a bare number counts in units of `bare` ms. What cannot be read raises
    ValueError with a message for people."""
    if isinstance(value, bool):
        raise ValueError("must be a duration such as 500ms, 5s or 60m")
    if isinstance(value, (int, float)):
        return round(value * bare)
    if isinstance(value, str):
        match = _DURATION.fullmatch(value)
        if match:
            return round(float(match[1]) * UNITS[match[2]])
        try:
            return round(float(value) * bare)
        except (ValueError, OverflowError):
            pass
    raise ValueError("must be a duration such as 500ms, 5s, 60m, 12h or 30d")


def _none_for_off(value: object) -> object:
    return None if value is False or value in ("off", "none", "") else value


def _off_for_false(value: object) -> object:
    return "off" if value is False or value is None else value


def _without_slash(value: object) -> object:
    return value.rstrip("/") if isinstance(value, str) else value


def _several(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _not_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a whole number")
    return value


def _empty_for_none(value: object) -> object:
    return "" if value is None else value


def _as(key: str) -> Callable[[object], object]:
    """A bare word stands for a mapping with that one key."""
    return lambda value: {key: value} if isinstance(value, str) else value


def _durations_inside(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    return {key: _readable(item) for key, item in value.items()}


def _readable(value: object) -> object:
    if isinstance(value, str):
        try:
            return milliseconds(value, 1)
        except ValueError:
            return value
    return value


Name = Annotated[str, Rule(pattern="[A-Za-z0-9_-]{1,64}")]
Duration = Annotated[int, Before(lambda value: milliseconds(value, 1000)), Rule(0, 366 * 86_400_000)]
Milliseconds = Annotated[int, Before(lambda value: milliseconds(value, 1)), Rule(0, 366 * 86_400_000)]
Count = Annotated[int, Before(_not_bool)]
Text = Annotated[str, Rule(longest=200_000)]
Optional = Annotated[str, Before(_empty_for_none)]
# Header values are secret as a whole: which of them carries a key is the gateway's affair.
Headers = dict[str, Secret]


class Provider(Section):
    """One account at one address. Two entries of one kind are two accounts."""

    kind: str
    model: str
    api_key: Secret | None = None
    url: Annotated[str | None, Before(_none_for_off)] = None
    endpoint: Annotated[str | None, Before(_none_for_off)] = None
    headers: Headers = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    connections_per_minute: Annotated[Count, Rule(1, 100_000)] | None = None

    def target(self, name: str) -> Target:
        """Where this entry, called `name`, is dialled and as whom."""
        return Target(
            name=name,
            kind=self.kind,
            model=self.model,
            url=self.url or "",
            endpoint=self.endpoint or "",
            api_key=self.api_key.get_secret_value().strip() if self.api_key else "",
            headers={key: value.get_secret_value() for key, value in self.headers.items()},
            options=dict(self.options),
        )


class LastRungSettings(Section):
    """What the caller gets when no provider is left."""

    say: str = "sorry"
    then: Literal["hang_up", "transfer", "take_message"] = "hang_up"
    transfer_to: Optional = ""
    retry: Duration = 1000
    hold: Duration = 20_000
    repeat: Duration = 6000


class Route(Section):
    """Which providers a call may use, in order."""

    providers: Annotated[list[str], Rule(filled=True)]
    standby: Literal["cold", "warm", "seeded"] = "warm"
    hedge: Annotated[Duration | None, Before(_none_for_off)] = None
    fail_back: bool = False
    deadlines: Annotated[Deadlines, Before(_durations_inside)] = field(default_factory=Deadlines)
    last_rung: LastRungSettings = field(default_factory=LastRungSettings)


class Variable(Section):
    """A value the caller's side may set; everything it sends is cleaned and cut to `max` characters."""

    default: Text = ""
    max: Annotated[Count, Rule(1, 4000)] = 80


class ToolSettings(Section):
    """A function the model may call: an HTTP POST, or one of the built-in tools, which have no `url`."""

    name: Name
    description: Text = ""
    parameters: dict[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    url: str | None = None
    headers: Headers = field(default_factory=dict)
    timeout: Duration = 5000
    side_effects: bool = True
    idempotent: bool = False
    repeatable: bool = False


class SilenceSettings(Section):
    """A caller who says nothing is asked again after `after`, and let go when `prompts` of these went unanswered."""

    after: Duration = 6000
    prompts: Annotated[Count, Rule(0, 20)] = 3


class AgentSettings(Section):
    """Who answers."""

    instructions: Text
    greeting: Annotated[Optional, Rule(longest=MAX_GREETING)] = ""
    language: Optional = ""
    voices: dict[str, str] = field(default_factory=dict)
    route: str = "default"
    turns: Annotated[TurnSettings, Before(_durations_inside)] = field(default_factory=TurnSettings)
    line: Line = field(default_factory=Line)
    silence: Annotated[SilenceSettings | None, Before(_none_for_off)] = field(default_factory=SilenceSettings)
    variables: dict[Name, Annotated[Variable, Before(_as("default"))]] = field(default_factory=dict)
    tools: list[Annotated[ToolSettings, Before(_as("name"))]] = field(default_factory=list)
    bridge_phrase_after: Annotated[Duration | None, Before(_none_for_off)] = None


class MediaWs(Section):
    """The carrier media-stream listener (Twilio Media Streams)."""

    listen: str = "127.0.0.1:8080"
    agent: str
    auth_token: Annotated[tuple[Secret, ...], Before(_several)] = ()


class Edges(Section):
    """Where callers come in."""

    media_ws: MediaWs | None = None


class Record(Section):
    """What is kept of a call."""

    mode: Annotated[Literal["full", "events", "off"], Before(_off_for_false)] = "off"
    folder: str = "calls"
    keep: Annotated[Duration | None, Before(_none_for_off)] = None


class Limits(Section):
    """What one process takes on."""

    max_calls: Annotated[Count, Rule(1, 100_000)] = 100
    max_duration: Annotated[Duration, Rule(1000)] = 3_600_000
    drain: Duration = 30_000


class Config(Section):
    """A whole configuration. A running call keeps the one it started with."""

    providers: Annotated[dict[Name, Provider], Rule(filled=True)]
    routes: Annotated[dict[Name, Route], Rule(filled=True)]
    agents: Annotated[dict[Name, AgentSettings], Rule(filled=True)]
    edges: Edges = field(default_factory=Edges)
    record: Record = field(default_factory=Record)
    limits: Limits = field(default_factory=Limits)
    public_url: Annotated[str | None, Before(_without_slash)] = None

    _folder: Path = field(default_factory=Path, repr=False)
    _source: str = field(default="", repr=False)
    _warnings: tuple[str, ...] = field(default=(), repr=False)

    @property
    def folder(self) -> Path:
        """Relative paths in the file count from here."""
        return self._folder

    @property
    def source(self) -> str:
        """The file's name, for people."""
        return self._source

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed and probably not meant, one line each."""
        return self._warnings

    def locate(self, folder: Path, source: str) -> None:
        """Say where it was read from; done once by the reader."""
        object.__setattr__(self, "_folder", folder)
        object.__setattr__(self, "_source", source)

    def warn(self, lines: Iterable[str]) -> None:
        """Keep the warnings; done once by the reader."""
        object.__setattr__(self, "_warnings", tuple(lines))

    def path(self, name: str) -> Path:
        """A path named in the file, `~` expanded, made absolute against the file's folder."""
        path = Path(name).expanduser()
        return path if path.is_absolute() else self._folder / path

    def paces(self) -> dict[str, int]:
        """New connections per minute by provider, where the file sets them."""
        pace = {name: provider.connections_per_minute for name, provider in self.providers.items()}
        return {name: limit for name, limit in pace.items() if limit is not None}

    def secrets(self) -> tuple[str, ...]:
        """Every secret value in it, longest first, for the code that keeps them out of logs and records."""
        found: set[str] = set()
        for provider in self.providers.values():
            found.update(_values(provider.headers))
            if provider.api_key:
                found.add(provider.api_key.get_secret_value())
        for agent in self.agents.values():
            for tool in agent.tools:
                found.update(_values(tool.headers))
        if self.edges.media_ws:
            found.update(token.get_secret_value() for token in self.edges.media_ws.auth_token)
        return tuple(sorted((value for value in found if len(value) >= _SHORTEST_SECRET), key=len, reverse=True))


def _values(headers: Headers) -> Iterator[str]:
    for value in headers.values():
        text = value.get_secret_value()
        yield text
        yield text.rpartition(" ")[2]  # the token of "Bearer …"
