"""A caller on a media stream: one `MediaLeg` for the whole call, one `MediaStream` for each socket it comes in on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from audio.conceal import COVER_MS, Concealer
from audio.frame import Format, Frame
from bridge.core.events import Dtmf, Event, Gone, LegBack, LegLost, LineAway, Mark
from bridge.edges.chunks import Missing
from bridge.edges.switchboard import Running
from bridge.edges.twilio import Ignored, Key, Played, Start, Stop, TwilioFramer, Unusable
from bridge.edges.wsock import NORMAL, POLICY, TEXT, UNSUPPORTED, ServerSocket, frame

log = structlog.get_logger("segue.media_ws")

MAX_WAITING: Final = 500
"""Events kept while a call is being set up (10 s of telephony)."""

LONGEST_LOSS_MS: Final = 400
"""A loss up to this long keeps its length, so that a turn goes on over it; it is shorter than what ends a turn. After a
longer one the line was away."""


class MediaStream:
    """One socket of a carrier, from upgrade to end. `leg` is set once its `start` was understood."""

    def __init__(self, agent: str, begin: Callable[[MediaStream, Start], None], gone: Callable[[MediaStream], None]):
        self.agent = agent
        self.leg: MediaLeg | None = None
        self.socket: ServerSocket
        self.framer = TwilioFramer()
        self.since = asyncio.get_running_loop().time()
        self._begin = begin
        self._gone = gone
        self._told: set[str] = set()
        self._noticed: list[str] = []  # before there is a leg

    def on_text(self, message: bytes) -> None:
        for item in self.framer.received(message):
            if type(item) is not bytes:
                self._control(item)
            elif self.leg is not None:
                self.leg.heard(item)

    def on_unusable(self, kind: str, detail: str) -> None:
        self._control(self.framer.ignore(kind, detail))

    def _control(self, item: object) -> None:
        if isinstance(item, Ignored):
            if item.kind not in self._told:  # the first of a kind is told at once, all are counted at the end
                self._told.add(item.kind)
                self.notice(f"ignored {item}")
        elif isinstance(item, Start):
            self._begin(self, item)
        elif isinstance(item, Unusable):
            log.warning("stream refused", agent=self.agent, why=item.why)
            self.socket.close(UNSUPPORTED, item.why)
        elif self.leg is not None:
            if isinstance(item, Missing):
                self.leg.missing(item.size)
            elif isinstance(item, Key):
                self.leg.tell(Dtmf(item.digit))
            elif isinstance(item, Played):
                self.leg.tell(Mark(item.name))
            elif isinstance(item, Stop):
                self.leg.stopped()

    def adopt(self, leg: MediaLeg) -> None:
        """The stream belongs to `leg` from now on."""
        self.leg = leg
        for what in self._noticed:
            leg.notice(what)
        self._noticed.clear()

    def notice(self, what: str) -> None:
        if self.leg is not None:
            self.leg.notice(what)
        elif len(self._noticed) < 20:
            self._noticed.append(what)

    def on_lost(self, code: int, reason: str) -> None:
        counted = {kind: count for kind, count in self.framer.ignored.items() if count > 1}
        if counted:
            self.notice("ignored in all: " + ", ".join(f"{kind} {count}" for kind, count in sorted(counted.items())))
        log.info("stream ended", agent=self.agent, code=code, why=reason, ignored=dict(self.framer.ignored))
        if self.leg is not None:
            self.leg.stream_lost(self, f"{code} {reason}".strip())
        self._gone(self)


class MediaLeg:
    """`bridge.shell.leg.Leg` over a carrier's media streams. The carrier plays what it gets at real time, gives marks
    back, and can be cleared.

    `ref` is our random name of the call, empty for a stream that came without a ticket: such a stream cannot come back,
    so its loss is the end of the call.
    """

    marks = True

    def __init__(self, format: Format, ref: str, call_sid: str, agent: str, ended: Callable[[MediaLeg, str], None]):
        self.format = format
        self.ref = ref
        self.call_sid = call_sid
        self.agent = agent
        self._ended = ended
        self._over = False
        self._stream: MediaStream | None = None
        self._running: Running | None = None
        self._waiting: list[Event | Frame | str] = []
        self._concealer: Concealer  # of the stream attached

    @property
    def over(self) -> bool:
        """There is no call to come back to."""
        return self._over or (self._running is not None and self._running.over)

    # ---------------------------------------------------------------------------------------------------- from the edge

    def attach(self, stream: MediaStream) -> None:
        """The caller is (again) on `stream`. A stream still attached is dropped: the carrier has given it up."""
        before, self._stream = self._stream, stream
        if before is not None:
            before.socket.abort("another stream took over")
            self.tell(LegLost())
        self._concealer = Concealer(self.format)  # nothing of the stream before runs into this one
        stream.adopt(self)

    def resumed(self) -> None:
        """Say that the stream attached last continues the call."""
        self.tell(LegBack())

    def started(self, running: Running) -> None:
        """The call exists; what came meanwhile is handed over."""
        self._running = running
        waiting, self._waiting = self._waiting, []
        for item in waiting:
            if isinstance(item, Frame):
                running.heard(item)
            elif isinstance(item, str):
                running.notice(item)
            else:
                running.dispatch(item)

    def refused(self, why: str) -> None:
        """The call will never exist."""
        self._end()
        if self._stream is not None:
            self._stream.socket.close(POLICY, why)

    def heard(self, data: bytes) -> None:
        """20 ms of the caller."""
        frame = self._concealer.received(Frame(data, self.format))
        if self._running is not None:
            self._running.heard(frame)
        else:
            self._sound(frame)

    def missing(self, size: int) -> None:
        """`size` bytes of the caller were lost on the way here: cover them, as far as a loss can be covered."""
        form = self.format
        away = size > form.bytes_for(LONGEST_LOSS_MS)
        left = form.samples(form.bytes_for(COVER_MS) if away else size)
        while left > 0:
            samples = min(left, form.rate // 50)
            self._sound(self._concealer.lost(samples))
            left -= samples
        if away:
            self.tell(LineAway(round(form.ms(size))))

    def _sound(self, frame: Frame) -> None:
        if self._running is not None:
            self._running.heard(frame)
        elif len(self._waiting) < MAX_WAITING:
            self._waiting.append(frame)

    def tell(self, event: Event) -> None:
        if self._running is not None:
            self._running.dispatch(event)
        else:
            self._waiting.append(event)

    def notice(self, what: str) -> None:
        if self._running is not None:
            self._running.notice(what)
        else:
            self._waiting.append(what)

    def stopped(self) -> None:
        """The carrier ended the stream on purpose."""
        if not self._over:
            self._end()
            self.tell(Gone("caller hung up"))

    def stream_lost(self, stream: MediaStream, why: str) -> None:
        """A socket ended without `stop`."""
        if stream is not self._stream:
            return
        self._stream = None
        if self._over:
            return
        self.notice(f"stream lost: {why}")
        if self.ref:
            self.tell(LegLost())
        else:
            self._end()
            self.tell(Gone("stream lost"))

    # -------------------------------------------------------------------------------------------------- from the bridge

    def send(self, data: bytes) -> None:
        stream = self._stream
        if stream is not None:
            stream.socket.send_raw(frame(TEXT, stream.framer.media(data)))

    def clear(self) -> None:
        if self._stream is not None:
            self._stream.socket.send_text(self._stream.framer.clear())

    def mark(self, name: str) -> None:
        if self._stream is not None:
            self._stream.socket.send_text(self._stream.framer.mark(name))

    def transfer(self, target: str) -> None:
        self._leave("transfer", target)

    def hang_up(self, reason: str) -> None:
        self._leave(reason, "")

    def _leave(self, reason: str, transfer_to: str) -> None:
        # Closing the socket makes the carrier go on to the redirect of our TwiML, which answers <Hangup/> or <Dial>.
        if transfer_to and not self.ref:
            self.notice("cannot transfer: the stream did not come from Segue's TwiML; hanging up")
        self._end(transfer_to)
        if self._stream is not None:
            self._stream.socket.close(NORMAL, reason)

    def _end(self, transfer_to: str = "") -> None:
        if not self._over:
            self._over = True
            self._ended(self, transfer_to)
