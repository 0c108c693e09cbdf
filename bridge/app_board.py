"""What edges hand callers in to: the configuration of the moment makes a call of them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping

import structlog

from bridge import config as configuration
from bridge import resolve
from bridge.config import Config
from bridge.core.events import Excluded
from bridge.edges.switchboard import Refused
from bridge.shell.calls import Busy, Calls
from bridge.shell.leg import Leg
from bridge.shell.runner import CallRunner

log = structlog.get_logger("segue.calls")


class Board:
    """`bridge.edges.switchboard.Switchboard` over a configuration, which may be replaced while calls run: each keeps
    what it began with. `name` makes call ids."""

    def __init__(self, config: Config, calls: Calls, name: Callable[[], str] | None = None) -> None:
        self.config = config
        self.calls = calls
        self._resolver = resolve.Resolver(config)
        self._name = name or new_call_id
        self._running: dict[str, CallRunner] = {}
        self._one_at_a_time = asyncio.Lock()

    def knows(self, agent: str) -> bool:
        return agent in self.config.agents

    def has_room(self, waiting: int = 0) -> bool:
        return self.calls.has_room(waiting)

    async def start(self, agent: str, leg: Leg, parameters: Mapping[str, str], caller: Mapping[str, str]) -> CallRunner:
        """See `Switchboard.start`. Calls are put together one at a time and in two steps, so that many arriving at
        once leave running calls their turns in between."""
        async with self._one_at_a_time:
            if not self.knows(agent):
                raise Refused("no such agent")
            made = self._resolver.call_spec(agent, leg.format, parameters, self._name(), marks=leg.marks)
            await asyncio.sleep(0)
            try:
                runner = self.calls.start(made.spec, made.targets, leg, made.tools)
            except Busy as busy:
                raise Refused(str(busy)) from None
            call_id = made.spec.call_id
            self._running[call_id] = runner
            runner.finished.add_done_callback(lambda _: self._running.pop(call_id, None))
            log.info("call accepted", call=call_id, agent=agent, **caller)
            return runner

    def replace(self, config: Config) -> None:
        """New calls get `config`; running ones leave the providers it forbids them at once."""
        old, self.config = self.config, config
        self._resolver = resolve.Resolver(config)
        self.calls.max_calls = config.limits.max_calls
        for runner in list(self._running.values()):
            forbidden = configuration.excluded(old, config, runner.spec.agent.name)
            if forbidden:
                runner.dispatch(Excluded(forbidden))


def new_call_id() -> str:
    """Sorts by time, is a safe file name, and cannot be guessed."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"
