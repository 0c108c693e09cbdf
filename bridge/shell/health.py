"""The shared health board: who may be dialled now. One per process, fed by every call, asked before every dial.

Breakers stand under four keys, made from what an entry dials and as whom, never from its kind or name: the endpoint
(region included), the account (what is rate limited), the credential, the account's model. A dial needs all four to let
it through; each class of fault moves one of them. Nothing but generated audio counts as a success.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from bisect import insort
from collections import deque
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from urllib.parse import urlsplit

from bridge.core.events import Chosen
from bridge.shell.breaker import SECOND, Breaker, Pace, Pause, Rules
from bridge.shell.line import GRACE, LOOK, RANKS, Door, Key, Line, Purpose, Scope, rank_of
from providers.base import Fault, FaultClass
from providers.codec import Target

FIRST_AUDIO_MS = 800
"""What is expected of a provider of which too little is known."""

_ENOUGH = 5  # first-audio times before they are believed
_REMEMBERED = 50
_VOICE_WEIGHT = 0.2  # of the latest reply in what is known of a voice

SLOW_MS = 2000
"""A first audio as late as this is slow: seven tenths of the way to being switched away from."""

CONNECTIONS_PER_MINUTE: Mapping[str, int] = {"azure_voice_live": 30}
"""New connections an account allows per minute, by kind (Voice Live documents 30 per resource)."""

OTHERWISE_PER_MINUTE = 100

UNLIMITED = 1_000_000
"""For servers on this machine, which nobody meters."""

SHARE: Mapping[Purpose, float] = {"handover": 1.0, "call": 0.8, "standby": 0.6, "probe": 0.6}
"""How much of the pace each purpose may use up: a standby leaves room for callers, and those for running calls."""


@dataclass(frozen=True, slots=True)
class HealthRules:
    """Starting values. `account`: a credential that was refused; `config`: a model that does not exist or a refused
    configuration; `limited`: a rate limit of which the provider does not say when it ends."""

    counted: Rules = field(default_factory=Rules)
    account: Pause = field(default_factory=lambda: Pause(300.0, 3600.0))
    config: Pause = field(default_factory=lambda: Pause(60.0, 1800.0))
    limited: Pause = field(default_factory=lambda: Pause(5.0, 60.0))


_COUNTED: Mapping[FaultClass, tuple[Scope, float]] = {
    FaultClass.NETWORK: ("endpoint", 1.0),
    FaultClass.OVERLOADED: ("model", 1.0),
    FaultClass.STALLED: ("model", 2.0),  # these cost a caller seconds, not milliseconds
    FaultClass.SLOW: ("model", 2.0),
    FaultClass.EMPTY: ("model", 1.0),
}
"""Faults that add up: which breaker, what weight. Rate limits, accounts and configurations act at once instead;
expiry, rotation and refused content say nothing about health."""

_ENTRIES = 64  # whose keys are remembered


class Limit:
    """An account's rate limit: no capacity until `until`."""

    def __init__(self) -> None:
        self.until = 0
        self.level = 0

    def wait(self, now: int) -> int:
        return max(0, self.until - now)


class HealthBoard:
    """`choose` answers a `Choose`, `report` takes a `Health`. `chance` jitters pauses; `paces` sets connections per
    minute by provider name where the kind's own figure is not right."""

    def __init__(
        self, chance: Random, rules: HealthRules | None = None, paces: Mapping[str, int] | None = None
    ) -> None:
        self._chance = chance
        self._rules = rules or HealthRules()
        self._set_paces = dict(paces or {})
        self._breakers: dict[Key, Breaker] = {}
        self._limits: dict[Key, Limit] = {}
        self._paces: dict[Key, Pace] = {}
        self._line = Line()
        self._first_audio: dict[Key, deque[tuple[int, int]]] = {}  # when, ms
        self._voices: dict[Key, float] = {}
        self._known_keys: dict[int, tuple[Target, Mapping[Scope, Key]]] = {}

    def set_paces(self, paces: Mapping[str, int]) -> None:
        """Connections per minute by provider name, from now on. An account that is no longer named keeps its pace."""
        self._set_paces = dict(paces)
        self._known_keys.clear()

    def _keys(self, target: Target) -> Mapping[Scope, Key]:
        """`keys_of`, made once for each entry of a configuration: all its calls have the same one."""
        known = self._known_keys.get(id(target))
        if known is None or known[0] is not target:
            if len(self._known_keys) == _ENTRIES:
                self._known_keys.clear()
            self._known_keys[id(target)] = known = target, keys_of(target)
        return known[1]

    def choose(
        self,
        request: int,
        candidates: Sequence[Target],
        purpose: Purpose,
        exclude: Container[str],
        now: int,
        call: str = "",
        owed: bool = False,
    ) -> Chosen:
        """The first candidate, in the order given, that may be dialled now; it counts as dialled. One of which no
        failure is known comes before one that has just failed; a running call also prefers it to being a probe.

        `call` is who asks: if it has to wait it gets a place in the line, and `retry_ms` says when to come back for it.
        Without a name it only learns how things stand. `owed`: a caller is waiting for an answer."""
        doors: list[Door] = [(target, self._keys(target)) for target in candidates if target.name not in exclude]
        if not doors:
            return Chosen(request, None, "every provider has been tried or is excluded")
        rank = rank_of(purpose, owed)
        promised = self._promised(call, rank, now)
        aside = self._line.aside(call, now) if call and rank == RANKS["handover"] else 0
        waits: list[int] = []
        reasons: list[str] = []
        for only_good in (True, False):
            waits, reasons = [], []
            for target, keys in doors:
                wait, why = self._wait(target, keys, purpose, promised, now)
                if wait < aside and self._pace(target, keys["account"]).rushed(now):
                    wait, why = aside, "callers who wait go first"
                if wait > 0:
                    waits.append(wait)
                    reasons.append(f"{target.name}: {why}")
                elif not only_good or self._good(keys, purpose, now):
                    self._dialled(target, keys, now)
                    self._line.leave(call)
                    p90 = self.first_audio_p90_ms(target)
                    return Chosen(request, target.name, "; ".join(reasons), first_audio_p90_ms=p90)
        wait = min(waits)
        if call and purpose in LOOK:
            wait = min(wait, int(LOOK[purpose] * self._chance.uniform(0.8, 1.0)))
            self._line.stand(call, rank, SHARE[purpose], doors, now, now + wait + GRACE)
        return Chosen(request, None, "; ".join(reasons), retry_ms=math.ceil(wait / 1e6))

    def leave(self, call: str) -> None:
        """The call is over: it waits for nothing any more."""
        self._line.leave(call)

    def report(
        self, target: Target, fault: Fault | None, first_audio_ms: int | None, now: int, link_age_ms: int | None = None
    ) -> None:
        """Evidence: a fault, or (`fault` None) generated audio, `first_audio_ms` after it was asked for, on a link that
        was dialled `link_age_ms` ago. An old link says that the model works, not that it can be reached today."""
        keys = self._keys(target)
        if fault is None:
            dialled = now - (link_age_ms or 0) * SECOND // 1000
            evidence: tuple[tuple[Scope, int], ...] = (("endpoint", dialled), ("credential", dialled), ("model", now))
            for scope, since in evidence:
                if keys[scope] in self._breakers:
                    self._breakers[keys[scope]].succeeded(now, since)
            if keys["account"] in self._limits:
                self._limits[keys["account"]].level = 0
            if first_audio_ms is not None:
                times = self._first_audio.setdefault(keys["model"], deque(maxlen=_REMEMBERED))
                times.append((now, first_audio_ms))
        elif fault.kind in _COUNTED:
            scope, weight = _COUNTED[fault.kind]
            if fault.retry_after_ms:
                self._breaker(keys[scope]).trip(now, self._told(fault.retry_after_ms))
            else:
                self._breaker(keys[scope]).failed(now, weight)
        elif fault.kind is FaultClass.ACCOUNT:
            self._breaker(keys["credential"]).trip(now, self._rules.account)
        elif fault.kind is FaultClass.CONFIG:
            self._breaker(keys["model"]).trip(now, self._rules.config)
        elif fault.kind is FaultClass.RATE_LIMITED:
            self._limited(keys["account"], fault.retry_after_ms, now)

    def first_audio_p90_ms(self, target: Target) -> int:
        """Nine in ten replies of the model began within this time after the ask, lately."""
        times = self._first_audio.get(self._keys(target)["model"], ())
        if len(times) < _ENOUGH:
            return FIRST_AUDIO_MS
        return sorted(ms for _, ms in times)[math.ceil(len(times) * 0.9) - 1]

    def heard(self, target: Target, voice: str, level_db: float) -> None:
        """How loud one reply in `voice` was (active speech, in dB)."""
        key = (*self._keys(target)["model"], voice)
        known = self._voices.setdefault(key, level_db)
        self._voices[key] = known + _VOICE_WEIGHT * (level_db - known)

    def voice_db(self, target: Target, voice: str) -> float | None:
        """How loud the model speaks in `voice`, over the last replies of all calls; None when none was heard."""
        known = self._voices.get((*self._keys(target)["model"], voice))
        return None if known is None else round(known, 1)

    # ----------------------------------------------------------------------------------------------------------- parts

    def _breaker(self, key: Key) -> Breaker:
        if key not in self._breakers:
            self._breakers[key] = Breaker(self._rules.counted, self._chance)
        return self._breakers[key]

    def _told(self, retry_after_ms: int) -> Pause:
        """A pause the provider asks for itself, up to our longest: jitter only makes it longer."""
        seconds = min(retry_after_ms / 1000, self._rules.counted.pause.longest) / 0.8
        return Pause(seconds, seconds)

    def _known(self, keys: Mapping[Scope, Key]) -> list[tuple[Scope, Breaker]]:
        scopes: tuple[Scope, ...] = ("credential", "model", "endpoint")
        return [(scope, self._breakers[keys[scope]]) for scope in scopes if keys[scope] in self._breakers]

    def _good(self, keys: Mapping[Scope, Key], purpose: Purpose, now: int) -> bool:
        """Nothing speaks against it. New calls and standbys are the probes of a half-open breaker."""
        if self._slow(keys["model"], now):
            return False
        known = [breaker for _, breaker in self._known(keys)]
        return not any(breaker.doubtful(now) or (purpose == "handover" and not breaker.closed()) for breaker in known)

    def _slow(self, model: Key, now: int) -> bool:
        """Half of its replies within the window of failures began late. Others are preferred, but it is not shut out:
        where there is nobody else, late answers are better than none."""
        rules = self._rules.counted
        since = now - int(rules.window * SECOND)
        lately = [ms for at, ms in self._first_audio.get(model, ()) if at >= since]
        return len(lately) >= rules.at_least and sum(ms >= SLOW_MS for ms in lately) >= rules.share * len(lately)

    def _wait(
        self, target: Target, keys: Mapping[Scope, Key], purpose: Purpose, promised: Mapping[Key, list[int]], now: int
    ) -> tuple[int, str]:
        """The longest of what keeps the target from being dialled, in ns, and what that is."""
        account = keys["account"]
        obstacles = [(breaker.wait(now), f"{scope} breaker open") for scope, breaker in self._known(keys)]
        if account in self._limits:
            obstacles.append((self._limits[account].wait(now), "account rate limited"))
        free = self._pace(target, account).free_at(now, SHARE[purpose], promised.get(account, ()))
        obstacles.append((free - now, "connection pace reached"))
        return max(obstacles)

    def _promised(self, call: str, rank: int, now: int) -> dict[Key, list[int]]:
        """What those before `call` in the line will have taken, if each takes what it can have first: times of dials by
        account. Behind a breaker that is not closed there is nothing to promise: it takes one probe at a time."""
        promised: dict[Key, list[int]] = {}
        opens: dict[Key, int | None] = {}
        for place in self._line.ahead(call, rank, now):
            best: tuple[int, Key] | None = None
            for target, keys in place.doors:
                model, account = keys["model"], keys["account"]
                if model not in opens:
                    opens[model] = self._opens(keys, now)
                earliest = opens[model]
                if earliest is None:
                    continue
                free = self._pace(target, account).free_at(now, place.share, promised.get(account, ()))
                if best is None or max(earliest, free) < best[0]:
                    best = max(earliest, free), account
            if best is not None:
                insort(promised.setdefault(best[1], []), best[0])
        return promised

    def _opens(self, keys: Mapping[Scope, Key], now: int) -> int | None:
        """When dials of that key are let through again, in any number; None: nobody can say."""
        if not all(breaker.closed() for _, breaker in self._known(keys)):
            return None
        limit = self._limits.get(keys["account"])
        return now if limit is None else max(now, limit.until)

    def _dialled(self, target: Target, keys: Mapping[Scope, Key], now: int) -> None:
        for _, breaker in self._known(keys):
            breaker.probe(now)
        self._pace(target, keys["account"]).take(now)

    def _pace(self, target: Target, account: Key) -> Pace:
        if account not in self._paces:
            usual = CONNECTIONS_PER_MINUTE.get(target.kind, OTHERWISE_PER_MINUTE)
            self._paces[account] = Pace(UNLIMITED if _is_local(target) else usual)
        pace = self._paces[account]
        pace.limit = self._set_paces.get(target.name, pace.limit)
        return pace

    def _limited(self, account: Key, retry_after_ms: int | None, now: int) -> None:
        limit = self._limits.setdefault(account, Limit())
        if retry_after_ms is not None:
            until = now + retry_after_ms * SECOND // 1000
        else:
            if limit.wait(now):  # many calls tell of one and the same limit
                return
            until = now + self._rules.limited.draw(limit.level, self._chance)
            limit.level += 1
        limit.until = max(limit.until, until)


def keys_of(target: Target) -> dict[Scope, Key]:
    """The four keys of an entry. The credential is a digest: a board may be shown or logged."""
    address = (target.url or target.endpoint or target.kind).rstrip("/").lower()
    where = (address, str(target.options.get("region", "")))
    secret = hashlib.sha256("\0".join([target.api_key, *_own_headers(target)]).encode()).hexdigest()[:16]
    return {
        "endpoint": ("endpoint", *where),
        "account": ("account", *where, secret),
        "credential": ("credential", *where, secret),
        "model": ("model", *where, secret, target.model),
    }


def _is_local(target: Target) -> bool:
    host = urlsplit(target.url or target.endpoint).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _own_headers(target: Target) -> list[str]:
    """Extra headers may be what tells two accounts behind one gateway apart."""
    return [f"{name.lower()}:{value}" for name, value in sorted(target.headers.items())]
