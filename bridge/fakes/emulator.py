"""A provider without sockets: connections, shared limits, and which dialect speaks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from bridge.fakes import script as scripts
from bridge.fakes.gemini import GeminiSession
from bridge.fakes.realtime import RealtimeSession
from bridge.fakes.realtime_dialects import AzureDialect, Dialect, FlatDialect
from bridge.fakes.script import Script
from bridge.fakes.session import Session, Shared
from bridge.fakes.wire import HttpRefusal, Request, Reset, Silence

Kind = Literal["openai", "azure", "azure-openai", "gemini"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MINUTE = 60_000_000_000

_DIALECTS: dict[Kind, type[Dialect]] = {"openai": Dialect, "azure": FlatDialect, "azure-openai": AzureDialect}


class Emulator:
    """One emulated provider account. Time is an argument, in nanoseconds; nothing waits.

    `kind`: "openai", "azure" (Voice Live), "azure-openai" or "gemini". `script`: a Script, its YAML/JSON value, or a
    file. `pace`: how much faster than real time replies are made when the script does not say. `rtt_ms`: half of it
    delays every message either way (the upgrade is the caller's to delay: `upgrade_ms`).
    `epoch`: the Unix time (seconds) of time 0. Raises ScriptError for a bad script, ValueError for another kind.
    """

    def __init__(
        self,
        kind: Kind,
        script: Script | Path | Any = None,
        seed: int = 0,
        rtt_ms: float = 0.0,
        pace: float = 4.0,
        epoch: int = 1_795_305_600,
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"no emulator of kind {kind!r}; there are {', '.join(KINDS)}")
        self.kind = kind
        self.script = scripts.load(script) if isinstance(script, Path) else scripts.parse(script)
        self.shared = Shared(self.script, seed, rtt_ms, pace, epoch)
        self.rtt_ms = rtt_ms
        self.connections = 0
        self._ending = "BidiGenerateContent" if kind == "gemini" else "/realtime"

    @property
    def upgrade_ms(self) -> float:
        """How long the answer to an upgrade takes: TCP's and HTTP's round trips and what the script adds."""
        return 2 * self.rtt_ms + self.script.latency.upgrade_ms

    def connect(
        self, now: int, headers: Mapping[str, str] | None = None, path: str = "", query: Mapping[str, str] | None = None
    ) -> Session | HttpRefusal | Reset | Silence:
        """A client's upgrade request: a session, or how it is refused."""
        self.connections += 1
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        request = Request(path, dict(query or {}), lower)
        refusal = self._upgrade_rules() or self._limit(now) or self._account(request)
        if refusal is None and path and self._ending not in path:
            refusal = HttpRefusal(404, {"Content-Type": "text/plain"}, b"Not Found")
        return refusal if refusal is not None else self._session(request, now)

    def _session(self, request: Request, now: int) -> Session:
        if self.kind == "gemini":
            return GeminiSession(self.shared, self.connections, request, now)
        dialect = _DIALECTS[self.kind]()
        session = RealtimeSession(self.shared, self.connections, request, now, dialect)
        offered = [name.strip() for name in request.headers.get("sec-websocket-protocol", "").split(",")]
        session.subprotocol = "realtime" if "realtime" in offered else None
        return session

    def _upgrade_rules(self) -> HttpRefusal | Reset | Silence | None:
        for index, rule in enumerate(self.script.rules):
            if rule.phase != "upgrade" or (rule.connection and self.connections not in rule.connection):
                continue
            if rule.total is not None and self.shared.fired[index] >= rule.total:
                continue
            self.shared.fired[index] += 1
            for do in rule.do:
                if do.kind == "http":
                    headers = {name: str(value) for name, value in do.arg.get("headers", {}).items()}
                    return HttpRefusal(do.arg.get("status", 503), headers, do.arg.get("body", "").encode())
                if do.kind in ("refuse", "reset", "close"):
                    return Reset()
                if do.kind in ("hang", "half_open", "stall"):
                    return Silence(do.arg != "silent")
        return None

    def _limit(self, now: int) -> HttpRefusal | None:
        """New connections per minute; Voice Live allows 30 per resource."""
        allowed = self.script.connections_per_minute
        if allowed is None:
            allowed = 30 if self.kind == "azure" else 1_000_000
        dials = self.shared.dials
        while dials and dials[0] <= now - MINUTE:
            dials.popleft()
        if len(dials) >= allowed:
            wait = max(1, -int(-(dials[0] + MINUTE - now) // 1_000_000_000))
            body = b'{"error":{"code":"429","message":"Requests have exceeded the call rate limit."}}'
            return HttpRefusal(429, {"Retry-After": str(wait), "Content-Type": "application/json"}, body)
        dials.append(now)
        return None

    def _account(self, request: Request) -> HttpRefusal | None:
        """Where a bad key is refused by HTTP."""
        key = self.script.api_key
        by_http = self.kind in ("azure", "azure-openai") or "LlmBidiService" in request.path
        if by_http and key is not None and request.key != key:
            body = b'{"error":{"code":"401","message":"Access denied due to invalid subscription key."}}'
            return HttpRefusal(401, {"Content-Type": "application/json"}, body)
        return None
