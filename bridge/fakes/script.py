"""What an emulator is told to do: how it answers and what goes wrong when. docs/fakes.md describes the language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import orjson
import yaml

from bridge.fakes import checks
from bridge.fakes.checks import (
    Check,
    ScriptError,
    choice,
    either,
    fail,
    flag,
    integer,
    list_of,
    mapping,
    number,
    one_or_more,
    optional,
    pair,
    record,
    text,
    true,
)

PHASES = (
    "upgrade",  # the HTTP request for the WebSocket
    "session",  # connected, nothing said yet
    "configuring",  # a configuration arrived and is not answered
    "configured",  # ... and was answered
    "speaking",  # the caller's turn began
    "committed",  # the caller's turn ended
    "asked",  # a reply was asked for, nothing of it sent
    "reply",  # the reply was announced; after_deltas counts its audio messages
    "done",  # all of the reply's audio was sent, its end was not
    "tool",  # a tool call was sent
    "idle",  # a reply ended
)
MS = integer(0, 86_400_000)
CODE = integer(1000, 4999)

_ERROR: dict[str, Check] = {"type": text, "code": optional(text), "message": text, "param": optional(text)}
_FAIL: dict[str, Check] = {
    **_ERROR,
    "status": choice(("failed", "incomplete")),
    "reason": text,
    "usage": flag,
    "with_error": flag,
    "close": record({"code": CODE, "reason": text}),
}

FAILURES = ("server_error", "rate_limit", "content_filter", "max_tokens")
_FAILURE = either(true, either(choice(FAILURES), record(_FAIL)))

ACTIONS: dict[str, Check] = {
    "refuse": true,
    "http": record({"status": integer(300, 599), "headers": mapping, "body": text}),
    "hang": true,
    "close": record({"code": CODE, "reason": text}),
    "reset": true,
    "half_open": choice(("acknowledged", "silent")),
    "stall": either(true, record({"ms": MS})),
    "slow": number(0.05, 100.0),
    "error": record(_ERROR),
    "fail": _FAILURE,
    "poison": _FAILURE,
    "empty": either(true, choice(("text",))),
    "cut_short": true,
    "refuse_config": either(true, record(_ERROR)),
    "quota": true,
    "expire": true,
    "go_away": record({"left_ms": MS, "silent": flag, "close": flag}),
    "malformed": choice(("json", "array", "base64", "truncated", "binary", "unknown")),
    "oversized": integer(1, 64 * 1024 * 1024),
    "send": mapping,
    "warning": record({"code": text, "message": text}),
    "interim": text,
    "duplicate_caller_text": true,
    "late_audio": MS,
    "forget_handles": true,
}

_WHEN: dict[str, Check] = {
    "phase": choice(PHASES),
    "connection": one_or_more(integer(1, 1_000_000)),
    "turn": one_or_more(integer(0, 1_000_000)),
    "reply": one_or_more(integer(1, 1_000_000)),
    "number": one_or_more(integer(0, 999)),
    "after_deltas": integer(0, 1_000_000),
    "after_ms": MS,
    "times": integer(1, 1_000_000),
    "total": integer(1, 1_000_000),
}


@dataclass(frozen=True, slots=True)
class Do:
    """One action and its checked argument."""

    kind: str
    arg: Any


@dataclass(frozen=True, slots=True)
class Rule:
    """When `phase` is reached and everything named fits, `do` happens `after_ms` later. `times` counts per connection,
    `total` over all of them."""

    phase: str
    do: tuple[Do, ...]
    connection: tuple[int, ...] = ()
    turn: tuple[int, ...] = ()
    reply: tuple[int, ...] = ()
    number: tuple[int, ...] = ()
    after_deltas: int = 0
    after_ms: int = 0
    times: int = 1
    total: int | None = None


@dataclass(frozen=True, slots=True)
class ReplyStyle:
    """How a reply is made. `seconds`: its length, roughly. `pace`: generated seconds per second (None: the server's).
    `chunk_ms`: the range its audio messages are cut to. `say`: these words instead of a computed answer."""

    seconds: float = 6.0
    first_audio_ms: int = 300
    pace: float | None = None
    chunk_ms: tuple[int, int] = (40, 400)
    jitter_ms: int = 0
    say: str | None = None
    lead_ms: int | None = 800  # of the transcript before the sound; negative: behind it; None: no transcript


@dataclass(frozen=True, slots=True)
class ReplyRule:
    """A style for some replies only; `change` holds the fields of ReplyStyle that differ."""

    turn: tuple[int, ...]
    number: tuple[int, ...]
    reply: tuple[int, ...]
    change: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolRule:
    """Call tool `name` when this question is asked (and the session declares the tool)."""

    name: str
    arguments: Mapping[str, Any]
    turn: tuple[int, ...] = ()
    number: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CallerText:
    """Transcripts of the caller, `delay_ms` after the end of the turn. `texts` by turn (a numbered question without one
    is "question number 37"); `fail`: transcription fails."""

    delay_ms: int = 400
    texts: Mapping[int, str] = field(default_factory=dict)
    fail: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What rate limit messages announce (tokens); `early`: at the beginning of a reply instead of after it."""

    limit: int = 40_000
    remaining: int = 39_000
    reset_s: float = 1.5
    early: bool = False


@dataclass(frozen=True, slots=True)
class Latency:
    """How long the server takes, in ms: upgrade, first message, acknowledgements, end of turn."""

    upgrade_ms: int = 0
    session_ms: int = 0
    ack_ms: int = 0
    commit_ms: int = 0


@dataclass(frozen=True, slots=True)
class Script:
    """Everything an emulator can be told. The default answers every turn and never fails."""

    seed: int = 1
    api_key: str | None = None
    models: tuple[str, ...] = ()
    session_s: int = 3600
    connections_per_minute: int | None = None
    reply: ReplyStyle = field(default_factory=ReplyStyle)
    replies: tuple[ReplyRule, ...] = ()
    caller_text: CallerText | None = field(default_factory=CallerText)
    tools: tuple[ToolRule, ...] = ()
    rate_limits: Limits | None = field(default_factory=Limits)
    latency: Latency = field(default_factory=Latency)
    word_times: bool = False
    turn_complete_ms: int | None = None  # Gemini: None = when the reply would have been played
    pong_ms: int | None = 0  # None: pings are never answered
    event_ids: str = "unique"  # "same" for all events, or "null"
    rules: tuple[Rule, ...] = ()

    def style(self, turn: int, numbers: list[int], reply: int) -> ReplyStyle:
        """How this reply is made; later entries of `replies` win."""
        style = self.reply
        for rule in self.replies:
            fits = (
                (not rule.turn or turn in rule.turn)
                and (not rule.number or any(n in rule.number for n in numbers))
                and (not rule.reply or reply in rule.reply)
            )
            if fits:
                style = replace(style, **rule.change)
        return style


_STYLE: dict[str, Check] = {
    "seconds": number(0.0, 600.0),
    "first_audio_ms": MS,
    "pace": number(0.05, 1000.0),
    "chunk_ms": pair(integer(5, 10_000)),
    "jitter_ms": MS,
    "say": text,
    "lead_ms": optional(integer(-60_000, 60_000)),
}
_MATCH: dict[str, Check] = {name: _WHEN[name] for name in ("turn", "number", "reply")}


def _actions(value: Any, where: str) -> tuple[Do, ...]:
    entries = value if isinstance(value, list) else [value]
    out = []
    for i, entry in enumerate(entries):
        place = f"{where}[{i}]" if isinstance(value, list) else where
        given = checks.fields(entry, place, ACTIONS)
        if len(given) != 1:
            raise fail(place, f"needs exactly one action, not {len(given)}; use a list for several")
        out += [Do(kind, arg) for kind, arg in given.items()]
    if not out:
        raise fail(where, "needs at least one action")
    return tuple(out)


def _rule(value: Any, where: str) -> Rule:
    given = checks.fields(value, where, {"when": record(_WHEN), "do": _actions})
    for name in ("when", "do"):
        if name not in given:
            raise fail(f"{where}.{name}", "is missing")
    when = dict(given["when"])
    if "phase" not in when:
        raise fail(f"{where}.when.phase", "is missing")
    if when.get("after_deltas") and when["phase"] != "reply":
        raise fail(f"{where}.when.after_deltas", "only fits the phase reply")
    early = {do.kind for do in given["do"]} & {"refuse", "http"}
    if early and when["phase"] != "upgrade":
        raise fail(f"{where}.do.{early.pop()}", "only fits the phase upgrade")
    for name in ("connection", "turn", "reply", "number"):
        when[name] = tuple(when.get(name, ()))
    return Rule(do=given["do"], **when)


def _reply_rule(value: Any, where: str) -> ReplyRule:
    given = checks.fields(value, where, {**_STYLE, **_MATCH})
    match = {name: tuple(given.pop(name, ())) for name in ("turn", "number", "reply")}
    return ReplyRule(change=given, **match)


def _tool_rule(value: Any, where: str) -> ToolRule:
    given = checks.fields(value, where, {"name": text, "arguments": mapping, **_MATCH})
    if "name" not in given:
        raise fail(f"{where}.name", "is missing")
    match = {name: tuple(given.get(name, ())) for name in ("turn", "number")}
    return ToolRule(given["name"], given.get("arguments", {}), **match)


def _texts(value: Any, where: str) -> dict[int, str]:
    if isinstance(value, list):
        return {i + 1: text(entry, f"{where}[{i}]") for i, entry in enumerate(value)}
    if not isinstance(value, Mapping):
        raise fail(where, "must be a list of texts, or a mapping from turn to text")
    return {integer(1, 1_000_000)(turn, where): text(entry, f"{where}.{turn}") for turn, entry in value.items()}


def _made(kind: type[Any], known: Mapping[str, Check]) -> Check:
    def check(value: Any, where: str) -> Any:
        return kind(**checks.fields(value, where, known))

    return check


_SCRIPT: dict[str, Check] = {
    "seed": integer(0, 2**31),
    "api_key": text,
    "models": lambda value, where: tuple(list_of(text)(value, where)),
    "session_s": integer(1, 1_000_000),
    "connections_per_minute": optional(integer(1, 1_000_000)),
    "reply": _made(ReplyStyle, _STYLE),
    "replies": lambda value, where: tuple(list_of(_reply_rule)(value, where)),
    "caller_text": optional(_made(CallerText, {"delay_ms": MS, "texts": _texts, "fail": flag})),
    "tools": lambda value, where: tuple(list_of(_tool_rule)(value, where)),
    "rate_limits": optional(_made(Limits, {"limit": MS, "remaining": MS, "reset_s": number(0.0, 1e6), "early": flag})),
    "latency": _made(Latency, {entry.name: MS for entry in fields(Latency)}),
    "word_times": flag,
    "turn_complete_ms": MS,
    "pong_ms": optional(MS),
    "event_ids": choice(("unique", "same", "null")),
    "rules": lambda value, where: tuple(list_of(_rule)(value, where)),
}


def parse(value: Any) -> Script:
    """A script from its YAML or JSON value. Raises ScriptError naming the place of the first mistake."""
    if isinstance(value, Script):
        return value
    return Script(**checks.fields({} if value is None else value, "", _SCRIPT))


def load(path: Path) -> Script:
    """Reads a script file (YAML, or JSON by its ending). Raises ScriptError, also when it cannot be read."""
    try:
        data = path.read_bytes()
        value = orjson.loads(data) if path.suffix == ".json" else yaml.safe_load(data)
    except OSError as error:
        raise ScriptError(f"{path}: {error.strerror or error}") from error
    except (yaml.YAMLError, orjson.JSONDecodeError) as error:
        raise ScriptError(f"{path}: not readable: {' '.join(str(error).split())}") from error
    try:
        return parse(value)
    except ScriptError as error:
        raise ScriptError(f"{path}: {error}") from error
