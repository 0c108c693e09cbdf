"""What an edge needs of the bridge to turn a connection into a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from audio.frame import Frame
from bridge.core.events import Event
from bridge.shell.leg import Leg


class Refused(Exception):
    """The call cannot be taken; the message says why, for people."""


class Running(Protocol):
    """A call that was started."""

    @property
    def over(self) -> bool:
        """The call has ended, for whatever reason."""
        ...

    def dispatch(self, event: Event) -> None:
        """Something happened on the leg. Never raises, never waits; ignored once the call is over."""
        ...

    def heard(self, frame: Frame) -> None:
        """20 ms of the caller, in the leg's format. Like `dispatch`."""
        ...

    def notice(self, what: str) -> None:
        """A line for the call's record: something that was ignored or went wrong at the edge."""
        ...


class Switchboard(Protocol):
    """Where edges hand callers in."""

    def knows(self, agent: str) -> bool: ...

    def has_room(self, waiting: int = 0) -> bool:
        """Whether one more call would be taken now, beside `waiting` that are about to start. False while draining."""
        ...

    async def start(self, agent: str, leg: Leg, parameters: Mapping[str, str], caller: Mapping[str, str]) -> Running:
        """Begin a call. `parameters` come from the caller's side, checked for form; `caller` is what the edge knows
        about the connection, for the record. Raises Refused."""
        ...
