"""One running call: feeds its Engine, one input at a time, and does what the Engine answers.

    input ──► recorder ──► Engine ──► actions, in order ──► leg, sockets, tools, health board
                  ▲                          │
                  └──────── queue ◄──────────┘  what happens meanwhile comes next; nothing is re-entered

Inputs are the caller's frames (`heard`), events of the edges (`dispatch`), messages and ends of provider sockets, slots
of the pacer, and the Engine's own deadline. An exception, wherever in here, ends this call with a spoken apology, and
no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import partial
from typing import Any

import structlog

from audio.frame import Frame
from bridge.core import effects as fx
from bridge.core.engine import Action, Engine, Transmit
from bridge.core.events import Event, Gone, LinkUp, Pulled, Remark, Suspect, Tick
from bridge.core.plan import CallSpec
from bridge.shell.apology import Apology
from bridge.shell.call_health import CallHealth
from bridge.shell.endpoints import ToolEndpoint
from bridge.shell.leg import Leg
from bridge.shell.pacer import Voice
from bridge.shell.recording import NotRecorded, Recorder
from bridge.shell.services import Services
from bridge.shell.socket import Handler, LinkSocket
from providers.base import Failure, NetworkError
from providers.codec import Target

log = structlog.get_logger("segue.call")

_NEVER = 2**63
_SOON = 1_000_000  # ns: a timer that fired early is not set again for less
_TOO_MANY = 10_000
"""Inputs taken in one go. No call needs as many; a core that answers itself for ever must not stop all calls."""


class _Stage(Enum):
    RUNNING = "running"
    APOLOGISING = "apologising"  # the Engine failed; the last rung's phrase is being played
    OVER = "over"


_RUNNING = _Stage.RUNNING  # a member of an enumeration is looked up slowly


class CallRunner:
    """`start` once; then `heard` and `dispatch` from the edge. `finished` gets the reason when everything is let go."""

    def __init__(
        self,
        engine: Engine,
        leg: Leg,
        services: Services,
        *,
        spec: CallSpec,
        targets: Mapping[str, Target],
        tools: Mapping[str, ToolEndpoint] | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.spec = spec
        self.finished: asyncio.Future[str] = loop.create_future()
        self._loop = loop
        self._time = loop.time
        self._engine = engine
        self._leg = leg
        self._services = services
        self._health = CallHealth(services.health, spec, targets)
        self._tools = tools or {}
        self._recorder: Recorder = recorder or NotRecorded()
        self._recorded = recorder is not None  # looked at on every frame, where even calls that do nothing add up
        self._stage = _Stage.RUNNING
        self._now = 0
        self._begun = 0
        self._busy = False
        self._queue: list[tuple[Callable[[Any, int], None], Any, int]] = []  # few: an empty deque takes 0.6 KiB
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = _NEVER
        self._frame = spec.leg.rate // 50
        self._bytes_per_second = spec.leg.rate * spec.leg.width
        self._voice = Voice(self._pull, spec.lead_ms)
        self._sockets: dict[int, LinkSocket] = {}
        self._reason = ""

    # ------------------------------------------------------------------------------------------------- from the outside

    @property
    def over(self) -> bool:
        """The call has ended and everything of it is let go."""
        return self._stage is _Stage.OVER

    def start(self) -> None:
        """Begin the call."""
        log.info("call started", call=self.spec.call_id, agent=self.spec.agent.name)
        self._begun = self._tell_time()
        self._take(self._started, None, 0)

    def dispatch(self, event: Event) -> None:
        """Something happened. Never raises, never waits; ignored once the call is over."""
        if self._busy:
            self._queue.append((self._event, event, 0))
        else:
            self._take(self._event, event, 0)

    def heard(self, frame: Frame) -> None:
        """20 ms of the caller. Like `dispatch`."""
        if self._busy:
            self._queue.append((self._sound, frame, 0))
        else:
            self._take(self._sound, frame, 0)

    def received(self, link: int, message: str | bytes) -> None:
        """The provider on `link` said something."""
        if self._busy:
            self._queue.append((self._message, message, link))
        else:
            self._take(self._message, message, link)

    def failed(self, link: int, failure: Failure) -> None:
        """The dial or socket of `link` ended."""
        self._sockets.pop(link, None)
        if self._busy:
            self._queue.append((self._failure, failure, link))
        else:
            self._take(self._failure, failure, link)

    def notice(self, what: str) -> None:
        """A remark of the edge about this call, for the log and the record."""
        log.info("noticed", call=self.spec.call_id, what=what)
        self.dispatch(Remark(what))

    def abandon(self, reason: str) -> None:
        """End the call now, without a word."""
        if self.over:
            return
        self.dispatch(Gone(reason))
        with contextlib.suppress(Exception):
            self._leg.hang_up(reason)
        self._finish(reason)

    # ---------------------------------------------------------------------------------------------- one input at a time

    def _take(self, feed: Callable[[Any, int], None], what: Any, link: int) -> None:
        if self._stage is not _RUNNING:
            return
        self._busy = True
        try:
            feed(what, link)
            if self._engine.moved:
                self._settle()
            if self._queue:
                self._take_queued()
        except Exception:
            self._crashed()
        finally:
            self._busy = False

    def _take_queued(self) -> None:
        for _ in range(_TOO_MANY):
            if not self._queue or self._stage is not _Stage.RUNNING:
                return
            feed, what, link = self._queue.pop(0)
            feed(what, link)
            self._settle()
        raise RuntimeError(f"{_TOO_MANY} inputs in a row, each the consequence of one before")

    def _started(self, _: None, __: int) -> None:
        now = self._tell_time()
        self._recorder.start(now)
        self._perform(self._engine.start(now))

    def _sound(self, frame: Frame, _: int) -> None:
        now = round(self._time() * 1e9)  # as `_tell_time` does, without the call
        if now > self._now:
            self._now = now
        else:
            now = self._now
        if self._recorded:
            self._recorder.caller(frame.data, now, frame.concealed)
        actions = self._engine.heard(frame, now)
        if actions or self._recorded:
            self._perform(actions)

    def _event(self, event: Event, _: int) -> None:
        now = self._tell_time()
        self._recorder.event(event, now)
        self._perform(self._engine.handle(event, now))

    def _message(self, message: str | bytes, link: int) -> None:
        now = self._tell_time()
        if self._recorded:
            self._recorder.message(link, message, now)
        self._perform(self._engine.received(link, message, now))

    def _failure(self, failure: Failure, link: int) -> None:
        now = self._tell_time()
        self._recorder.failed(link, failure, now)
        self._perform(self._engine.failed(link, failure, now))

    def _tell_time(self) -> int:
        now = round(self._time() * 1e9)
        if now > self._now:
            self._now = now
        return self._now

    def _perform(self, actions: Sequence[Action]) -> None:
        if self._recorded:
            self._recorder.actions(actions)
        for action in actions:
            _ACTIONS[type(action)](self, action)

    def _settle(self) -> None:
        """What follows from the state the Engine is in now."""
        engine = self._engine
        if engine.ended:
            self._finish(self._reason)
            return
        playing = engine.playing
        if playing != (self._voice.place >= 0):
            if playing:
                self._services.pacer.start(self._voice)
            else:
                self._services.pacer.stop(self._voice)
        deadline = engine.deadline
        if deadline is not None and deadline < self._timer_at:
            self._arm(deadline)

    # -------------------------------------------------------------------------------------------------- clock and pacer

    def _arm(self, when: int) -> None:
        """Have the timer at `when`. It is only ever moved earlier; a deadline that moved later is found out when the
        timer fires."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._loop.call_at(when / 1e9, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, _NEVER
        deadline = self._engine.deadline
        if deadline is None:
            return
        now = self._tell_time()
        if deadline - now > 1000:
            self._arm(max(deadline, now + _SOON))
            return
        self._now = max(now, deadline)  # within a microsecond, as exact as seconds in a float are
        self.dispatch(Tick())

    def _pull(self, frames: int) -> None:
        self.dispatch(Pulled(frames * self._frame))

    # ----------------------------------------------------------------------------------------------------- actions: leg

    def _emit(self, action: fx.Emit) -> None:
        data = action.data
        self._leg.send(data)
        self._voice.sent(len(data) * 1_000_000_000 // self._bytes_per_second, self._now)

    def _clear(self, _: fx.ClearLeg) -> None:
        self._leg.clear()
        self._voice.cleared()

    def _transfer(self, action: fx.Transfer) -> None:
        self._reason = self._reason or "transferred"
        self._leg.transfer(action.target)

    def _hang_up(self, action: fx.HangUp) -> None:
        self._reason = action.reason
        self._leg.hang_up(action.reason)

    # --------------------------------------------------------------------------------------------------- actions: links

    def _open(self, action: fx.Open) -> None:
        link = action.link
        try:
            dial = self._engine.dial(link)
        except ValueError as error:
            self.failed(link, NetworkError("address", str(error)))
            return
        self._sockets[link] = self._services.connect(
            dial,
            Handler(
                opened=partial(self.dispatch, LinkUp(link)),
                message=partial(self.received, link),
                closed=lambda failure: self._services.ends.do(partial(self.failed, link, failure)),
                suspect=lambda what, dead: self.dispatch(Suspect(link, what, dead)),
            ),
        )

    def _transmit(self, action: Transmit) -> None:
        socket = self._sockets.get(action.link)
        if socket is not None:
            socket.write(action.messages)

    def _ping(self, action: fx.Ping) -> None:
        socket = self._sockets.get(action.link)
        if socket is not None:
            socket.ping(action.budget_ms)

    def _close(self, action: fx.Close) -> None:
        socket = self._sockets.pop(action.link, None)
        if socket is not None:
            socket.close()

    # -------------------------------------------------------------------------------------------------- actions: others

    def _run_tool(self, action: fx.RunTool) -> None:
        self._services.tools.run(self.spec.call_id, action, self._tools.get(action.name), self.dispatch)

    def _ask_opinion(self, action: fx.AskOpinion) -> None:
        spec = self.spec
        self._services.opinions.ask(spec.call_id, spec.agent.turns.opinion, action, spec.leg, self.dispatch)

    def _note(self, note: fx.Note) -> None:
        if note.kind == "fault":
            log.warning("fault", call=self.spec.call_id, **note.fields)
        elif note.kind == "call_ended":
            self._reason = self._reason or str(note.fields.get("reason", ""))
        for watcher in self._services.watchers:
            try:
                watcher(self.spec.call_id, note, self._now)
            except Exception:
                log.exception("a watcher failed", call=self.spec.call_id, kind=note.kind)

    # ---------------------------------------------------------------------------------------------------------- the end

    def _crashed(self) -> None:
        """The Engine, or something it asked for, raised: say sorry and hang up."""
        trace = traceback.format_exc()
        log.error("call crashed", call=self.spec.call_id, trace=trace)
        self._stage = _Stage.APOLOGISING
        self._let_go()
        with contextlib.suppress(Exception):
            self._recorder.crashed(trace, self._now)
        phrases = self.spec.phrases
        phrase = phrases.get(self.spec.plan.last_rung.phrase) or phrases.get("sorry") or b""
        apology = Apology(phrase, self._leg, self.spec.leg, self._services.pacer, self._voice, self._give_up)
        apology.start()

    def _give_up(self) -> None:
        self.abandon("internal error")

    def _let_go(self) -> None:
        """Sockets, timers, places on the grid."""
        self._queue.clear()
        self._services.pacer.stop(self._voice)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        sockets, self._sockets = self._sockets, {}
        for socket in sockets.values():
            socket.close()

    def _finish(self, reason: str) -> None:
        if self.over:
            return
        self._stage = _Stage.OVER
        self._let_go()
        self._health.leave()
        now = self._tell_time()
        with contextlib.suppress(Exception):
            self._recorder.close(now)
        log.info("call ended", call=self.spec.call_id, reason=reason, seconds=round((now - self._begun) / 1e9, 1))
        if not self.finished.done():
            self.finished.set_result(reason)
        self._loop.call_soon(self._release)  # the engine may be at work

    def _release(self) -> None:
        """So that memory is given back at once, see `bridge.shell.garbage`."""
        self._engine.release()
        self._voice.forget()


_ACTIONS: Mapping[type, Callable[[CallRunner, Any], None]] = {
    fx.Emit: CallRunner._emit,
    Transmit: CallRunner._transmit,
    fx.Note: CallRunner._note,
    fx.ClearLeg: CallRunner._clear,
    fx.SendMark: lambda call, action: call._leg.mark(action.name),
    fx.Open: CallRunner._open,
    fx.Close: CallRunner._close,
    fx.Ping: CallRunner._ping,
    fx.Choose: lambda call, action: call.dispatch(call._health.choose(action, call._now)),
    fx.Health: lambda call, action: call._health.report(action, call._now),
    fx.RunTool: CallRunner._run_tool,
    fx.AskOpinion: CallRunner._ask_opinion,
    fx.Transfer: CallRunner._transfer,
    fx.HangUp: CallRunner._hang_up,
}
