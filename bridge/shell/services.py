"""What all calls of a process share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bridge.core.effects import Note, RunTool
from bridge.core.events import ToolDone
from bridge.shell.endpoints import ToolEndpoint
from bridge.shell.health import HealthBoard
from bridge.shell.opinions import Opinions
from bridge.shell.pacer import Pacer
from bridge.shell.slices import Slices
from bridge.shell.socket import Handler, LinkSocket, connect
from providers.codec import Dial


class ToolRunner(Protocol):
    """See `bridge.shell.tools.Webhooks`."""

    def run(
        self, call_id: str, order: RunTool, endpoint: ToolEndpoint | None, done: Callable[[ToolDone], None]
    ) -> None: ...


class Watcher(Protocol):
    """Hears every line of every call's timeline, on the loop: it must be quick."""

    def __call__(self, call_id: str, note: Note, now: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Services:
    """One of each. `connect` dials provider sockets. `ends` of sockets are looked at in slices: a provider that dies
    takes the links of many calls with it, and each handover is a millisecond of work."""

    health: HealthBoard
    pacer: Pacer
    tools: ToolRunner
    connect: Callable[[Dial, Handler], LinkSocket] = connect
    watchers: Sequence[Watcher] = ()
    ends: Slices = field(default_factory=Slices)
    opinions: Opinions = field(default_factory=Opinions)
