"""The calls of this process: how many there may be, which there are, and how they end when the process does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Protocol

import structlog

from bridge.core.engine import Engine
from bridge.core.events import Drain, Event
from bridge.core.plan import CallSpec
from bridge.shell.endpoints import ToolEndpoint
from bridge.shell.garbage import Garbage
from bridge.shell.leg import Leg
from bridge.shell.recording import Recorder
from bridge.shell.runner import CallRunner
from bridge.shell.services import Services
from providers.codec import Target

log = structlog.get_logger("segue.calls")

FAREWELL_MS = 5000
"""Kept of a drain's limit for saying good-bye."""


class Busy(Exception):
    """No further call is taken now: as many as allowed are running, or the process is going down."""


class Records(Protocol):
    """See `bridge.shell.record.Recordings`."""

    def open(self, spec: CallSpec, targets: Mapping[str, Target]) -> Recorder: ...


@dataclass(slots=True)
class Counters:
    """Since the process began; `running` now. `refused` were told that we are busy."""

    running: int = 0
    started: int = 0
    ended: int = 0
    refused: int = 0


class Calls:
    """Starts calls and knows them until they are over. `max_calls` may be changed at any time; it only concerns new
    calls. `records` None: nothing is recorded. `garbage` is told how many run."""

    def __init__(
        self, services: Services, max_calls: int, records: Records | None = None, garbage: Garbage | None = None
    ) -> None:
        self._services = services
        self._garbage = garbage
        self.max_calls = max_calls
        self._records = records
        self._calls: dict[str, CallRunner] = {}
        self._counters = Counters()
        self.draining = False

    def has_room(self, waiting: int = 0) -> bool:
        """Would one more call be taken now, beside `waiting` that are about to start?"""
        return not self.draining and len(self._calls) + waiting < self.max_calls

    def start(
        self, spec: CallSpec, targets: Mapping[str, Target], leg: Leg, tools: Mapping[str, ToolEndpoint] | None = None
    ) -> CallRunner:
        """Begin a call on `leg`. Raises Busy, and ValueError for a call id that is taken or cannot be recorded."""
        if not self.has_room():
            self._counters.refused += 1
            raise Busy("shutting down" if self.draining else f"{len(self._calls)} calls are running")
        if spec.call_id in self._calls:
            raise ValueError(f"there is a call {spec.call_id!r} already")
        recorder = self._records.open(spec, targets) if self._records is not None else None
        runner = CallRunner(
            Engine(spec, targets), leg, self._services, spec=spec, targets=targets, tools=tools, recorder=recorder
        )
        self._calls[spec.call_id] = runner
        self._counters.started += 1
        runner.finished.add_done_callback(lambda _: self._ended(spec.call_id))
        if self._garbage is not None:
            self._garbage.started()
        runner.start()
        return runner

    def get(self, call_id: str) -> CallRunner | None:
        return self._calls.get(call_id)

    def tell_all(self, event: Event) -> None:
        """Give every running call the same event, for instance Excluded after a reload."""
        for runner in list(self._calls.values()):
            runner.dispatch(event)

    def counters(self) -> dict[str, int]:
        self._counters.running = len(self._calls)
        return asdict(self._counters)

    async def drain(self, limit_ms: int) -> None:
        """Take no more calls and let the running ones end: politely if they can, in any case within `limit_ms`."""
        self.draining = True
        if not self._calls:
            return
        log.info("draining", calls=len(self._calls), limit_ms=limit_ms)
        self.tell_all(Drain(max(limit_ms - FAREWELL_MS, limit_ms // 2)))
        await asyncio.wait([runner.finished for runner in self._calls.values()], timeout=limit_ms / 1000)
        left = list(self._calls.values())
        if left:
            log.warning("calls ended by force", calls=len(left))
        for runner in left:
            runner.abandon("shutting down")

    def _ended(self, call_id: str) -> None:
        del self._calls[call_id]
        self._counters.ended += 1
        if self._garbage is not None:
            self._garbage.ended(len(self._calls))
