"""What the runner tells a call's record. Written by `bridge.shell.record`; `NotRecorded` where recording is off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bridge.core.engine import Action
from bridge.core.events import Event
from providers.base import Failure


class Recorder(Protocol):
    """Receives everything a call's Engine is given, in order and *before* the Engine sees it, and then what the Engine
    answered. Nothing here waits or raises. `now` is what the Engine is given: loop time in integer nanoseconds.

    One input, then exactly one `actions`, unless the Engine raised: then one `crashed`.
    """

    def start(self, now: int) -> None:
        """`Engine.start(now)` follows. First of all calls."""
        ...

    def caller(self, data: bytes, now: int, concealed: bool = False) -> None:
        """`Engine.heard` follows, with a frame of `data` in the leg's format."""
        ...

    def message(self, link: int, raw: str | bytes, now: int) -> None:
        """`Engine.received(link, raw, now)` follows."""
        ...

    def failed(self, link: int, failure: Failure, now: int) -> None:
        """`Engine.failed(link, failure, now)` follows."""
        ...

    def event(self, event: Event, now: int) -> None:
        """`Engine.handle(event, now)` follows."""
        ...

    def actions(self, actions: Sequence[Action]) -> None:
        """What the Engine answered to the input before; often empty."""
        ...

    def crashed(self, trace: str, now: int) -> None:
        """The Engine raised on the input before, or an action could not be performed; nothing is fed to it any more."""
        ...

    def close(self, now: int) -> None:
        """The call is over. Last of all calls, exactly once."""
        ...


class NotRecorded:
    """A recorder that keeps nothing."""

    def start(self, now: int) -> None: ...

    def caller(self, data: bytes, now: int, concealed: bool = False) -> None: ...

    def message(self, link: int, raw: str | bytes, now: int) -> None: ...

    def failed(self, link: int, failure: Failure, now: int) -> None: ...

    def event(self, event: Event, now: int) -> None: ...

    def actions(self, actions: Sequence[Action]) -> None: ...

    def crashed(self, trace: str, now: int) -> None: ...

    def close(self, now: int) -> None: ...
