"""When no provider is left: words of our own, retries with patience, then the policy."""

from __future__ import annotations

from collections.abc import Callable

from bridge.core.desk import MS, Desk
from bridge.core.effects import Transfer
from bridge.core.speaker import Speaker

MESSAGE_MS = 60_000
PHRASE_AGAIN = "hold"
COMING_MS = 1000  # while somebody is being dialled nothing is said that the answer would have to wait for


class LastRung:
    """`reached`: nobody could be dialled, nobody has come back since, and the policy has not acted yet."""

    def __init__(
        self,
        desk: Desk,
        speaker: Speaker,
        finish: Callable[[str, str], None],
        end: Callable[[str], None],
        coming: Callable[[], bool],
    ) -> None:
        self._desk = desk
        self._speaker = speaker
        self._finish = finish
        self._end = end
        self._coming = coming
        self._spoken = False
        self._since = 0  # ns
        self.reached = False

    def reach(self, why: str, retry_ms: int | None) -> None:
        """No provider may be dialled now. `retry_ms`: when to ask again, if the health board knows."""
        rung = self._desk.plan.last_rung
        timers = self._desk.timers
        if not self.reached:
            self.reached = True
            self._since = self._desk.now
            self._desk.note("last_rung", why=why)
            self._desk.after("hold", rung.hold_ms)
        elif timers.at("hold") is None:  # it passed while the last one was being dialled
            self.give_up()
            return
        self.speak()
        self._desk.after("retry", rung.retry_ms if retry_ms is None else min(retry_ms, rung.hold_ms // 2))

    def leave(self) -> None:
        """Somebody answers again, or the policy acts."""
        if self.reached:
            self.reached = self._spoken = False
            self._desk.note("hold_over", ms=(self._desk.now - self._since) // MS)
            for timer in ("retry", "hold", "patience"):
                self._desk.timers.clear(timer)

    def speak(self) -> None:
        """A caller who is owed words gets ours, once what is still to be heard is over, and again for as long as it
        takes. Also the timer "patience"."""
        desk, rung = self._desk, self._desk.plan.last_rung
        exchange = desk.conversation.open
        if not self.reached or exchange is None or not exchange.turns_ended:
            return
        due = desk.timers.at("patience")
        if (due is not None and due > desk.now) or (self._spoken and not rung.repeat_ms):
            return
        left = COMING_MS if self._coming() else desk.ms(self._speaker.left)
        if not left:
            again = self._spoken and PHRASE_AGAIN in desk.spec.phrases
            self._spoken = self._speaker.phrase(PHRASE_AGAIN if again else rung.phrase)
            if not self._spoken or not rung.repeat_ms:
                return
            left = desk.ms(self._speaker.left) + rung.repeat_ms
        desk.timers.set("patience", desk.now + left * MS + 1)

    def give_up(self) -> None:
        """The timer "hold": nobody came back in time. Who is being dialled still may."""
        if not self.reached or self._coming():
            return
        self.leave()
        rung = self._desk.plan.last_rung
        if rung.then == "transfer" and rung.transfer_to:
            self._desk.do(Transfer(rung.transfer_to))
            self._end("transferred")
        elif rung.then == "take_message":
            self._speaker.phrase("message")
            self._desk.after("message", MESSAGE_MS)
        else:
            self._finish("goodbye", "no provider")
