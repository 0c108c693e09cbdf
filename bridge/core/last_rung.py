"""When no provider is left: words of our own, retries with patience, then the policy."""

from __future__ import annotations

from collections.abc import Callable

from bridge.core.desk import Desk
from bridge.core.effects import Transfer
from bridge.core.speaker import Speaker

MESSAGE_MS = 60_000


class LastRung:
    """`reached`: nobody could be dialled, and nobody has come back since."""

    def __init__(
        self, desk: Desk, speaker: Speaker, finish: Callable[[str, str], None], end: Callable[[str], None]
    ) -> None:
        self._desk = desk
        self._speaker = speaker
        self._finish = finish
        self._end = end
        self._apologised = False
        self.reached = False

    def reach(self, why: str, retry_ms: int | None) -> None:
        """No provider may be dialled now. `retry_ms`: when one may, if the health board knows."""
        rung = self._desk.plan.last_rung
        if not self.reached:
            self.reached = True
            self._desk.note("last_rung", why=why)
            self._desk.after("hold", rung.hold_ms)
        self.apologise()
        self._desk.after("retry", max(rung.retry_ms, min(retry_ms or 0, rung.hold_ms // 2)))

    def leave(self) -> None:
        """Somebody answers again."""
        if self.reached:
            self.reached = self._apologised = False
            self._desk.timers.clear("retry")
            self._desk.timers.clear("hold")

    def apologise(self) -> None:
        """Say so, once, to a caller who is owed words."""
        exchange = self._desk.conversation.open
        if self.reached and not self._apologised and exchange is not None and exchange.turns_ended:
            self._apologised = self._speaker.phrase(self._desk.plan.last_rung.phrase)

    def give_up(self) -> None:
        """The timer "hold": nobody came back in time."""
        if not self.reached:
            return
        rung = self._desk.plan.last_rung
        if rung.then == "transfer" and rung.transfer_to:
            self._desk.do(Transfer(rung.transfer_to))
            self._end("transferred")
        elif rung.then == "take_message":
            self._speaker.phrase("message")
            self._desk.after("message", MESSAGE_MS)
        else:
            self._finish("goodbye", "no provider")
