"""The WebSocket client under every provider link: the one narrow interface to the network.

Whole text and binary frames, which are nearly everything, take a short path of our own (`bridge.shell.frames`), and
so do the upgrade (`bridge.shell.upgrade`) and pongs; `websockets`' sans-I/O protocol, made when it is first needed,
does fragments, pings, closing and every error. `bench/sockets.py` has the measurement behind this. No keepalive, no
reconnect, no redirect, no proxy, no compression, and no deadline for dialling: whoever dials decides when to give up.

    connect(dial, handler) -> LinkSocket       handler.opened | .closed(failure)    exactly one end, none after close()
    LinkSocket.write / ping / close / abort    handler.message(...)  .suspect(...)  while open
"""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from websockets.frames import Close, Frame, Opcode
from websockets.protocol import Protocol

from bridge.shell.dialling import network_error, open_transport, tls_context
from bridge.shell.frames import MAX_MESSAGE, NEEDS_MORE, client_frame, measure
from bridge.shell.outbox import Outbox, outstanding_counter
from bridge.shell.retry_after import parse_retry_after
from bridge.shell.upgrade import Upgrade, open_protocol
from providers.base import Failure, HttpRefusal, NetworkError, SocketClosed
from providers.codec import Dial

LINGER = 0.5
"""Seconds a closing handshake (or the body of a refusal) is given."""

_GOODBYE = Close(1000, "").serialize()
_WATCH = 0.125  # seconds between two looks at the outbox while something is outstanding
_USER_TIMEOUT_MS = 2000


@dataclass(frozen=True, slots=True)
class Handler:
    """Where a socket reports. All are called on the loop, none of them from within a call of the socket's methods."""

    opened: Callable[[], None]
    message: Callable[[str | bytes], None]
    closed: Callable[[Failure], None]
    suspect: Callable[[str, bool], None]  # what, and whether the link is to be treated as lost


def _ignore(*_: object) -> None: ...


_DEAF = Handler(_ignore, _ignore, _ignore, _ignore)


def connect(dial: Dial, handler: Handler, tls: ssl.SSLContext | None = None) -> LinkSocket:
    """Begin to dial, on the running loop. `tls` replaces the system's trust for wss:// addresses."""
    return LinkSocket(dial, handler, tls)


class _Watch:
    """Looks after the outboxes of all sockets of a loop that have something outstanding: with one timer for all,
    because each timer would wake the process up."""

    def __init__(self) -> None:
        self._sockets: dict[LinkSocket, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, socket: LinkSocket) -> None:
        self._sockets[socket] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_WATCH, self._look)

    def discard(self, socket: LinkSocket) -> None:
        self._sockets.pop(socket, None)
        if self._timer is not None and not self._sockets:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_WATCH, self._look)
        now = round(loop.time() * 1e9)
        for each in list(self._sockets):
            if each in self._sockets and not each.look(now):  # one's end may be another's
                self.discard(each)


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, _Watch] = WeakKeyDictionary()


class LinkSocket(asyncio.Protocol):
    """One connection, from dial to end. Everything it has to say goes to its handler."""

    def __init__(self, dial: Dial, handler: Handler, tls: ssl.SSLContext | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._handler = handler
        self._upgrade: Upgrade | None = None  # until it is over
        self._protocol: Protocol | None = None  # once there is something for it to do
        self._transport: asyncio.Transport | None = None
        self._open = False
        self._rest: list[bytes] = []  # the beginning of a frame whose end has not arrived
        self._rest_size = 0
        self._needed = 0
        self._fragments: list[Frame] = []
        self._outbox = Outbox()
        self._outstanding: Callable[[], int] = int
        self._watch = _watches.setdefault(self._loop, _Watch())
        self._watched = False
        self._was_late = False
        self._pings = 0
        self._awaited: dict[bytes, asyncio.TimerHandle] = {}
        self._linger: asyncio.TimerHandle | None = None
        self._dialling: asyncio.Task[None] | None = self._loop.create_task(self._dial(dial, tls), name="dial")

    # ------------------------------------------------------------------------------------------------ what one can do

    def write(self, messages: list[str | bytes]) -> None:
        """Send messages in order, all in one piece. Ignored unless the socket is open."""
        if not self._open:
            return
        data = client_frame(messages[0]) if len(messages) == 1 else b"".join(map(client_frame, messages))
        self._send(data)

    def ping(self, budget_ms: int) -> None:
        """Ask for a sign of life; without a pong within the budget the handler hears suspect(…, True)."""
        if not self._open:
            return
        self._pings += 1
        payload = self._pings.to_bytes(4, "big")
        self._send(Frame(Opcode.PING, payload).serialize(mask=True))
        self._awaited[payload] = self._loop.call_later(budget_ms / 1000, self._no_pong, payload, budget_ms)

    def close(self) -> None:
        """Say good-bye and let go; nothing is reported any more. While dialling the dial is cancelled at once."""
        self._handler = _DEAF
        if self._open:
            self._send(Frame(Opcode.CLOSE, _GOODBYE).serialize(mask=True))
            self._leave()
        else:
            self.abort()

    def abort(self) -> None:
        """Drop the connection at once, without a word and without a report."""
        self._handler = _DEAF
        if self._dialling is not None:
            self._dialling.cancel()
        self._release()
        if self._transport is not None:
            self._transport.abort()

    @property
    def outbox_age(self) -> int:
        """ns the oldest data not yet acknowledged by the other side's kernel has been waiting; 0 when there is none.
        Precise to the 125 ms between two looks."""
        return self._outbox.look(self._outstanding(), self._now()) if self._open else 0

    # -------------------------------------------------------------------------------------------------------- dialling

    async def _dial(self, dial: Dial, tls: ssl.SSLContext | None) -> None:
        try:
            upgrade = Upgrade(dial)
            context = (tls or tls_context()) if upgrade.secure else None
            transport = await open_transport(upgrade.host, upgrade.port, context)
        except OSError as error:  # first, because an untrusted certificate is a ValueError as well
            self._end(network_error(error))
        except ValueError as error:
            self._end(NetworkError("address", str(error)))
        else:
            self._take(transport, upgrade)
        self._dialling = None

    def _take(self, transport: asyncio.Transport, upgrade: Upgrade) -> None:
        self._transport, self._upgrade = transport, upgrade
        transport.set_protocol(self)
        if transport.is_closing():
            self._end(NetworkError("eof", "closed before the upgrade"))
            return
        connection = transport.get_extra_info("socket")
        if connection is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            # A peer that vanished would otherwise be noticed after a quarter of an hour of retransmissions. The loop
            # has set TCP_NODELAY.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
        transport.write(upgrade.request)

    def _upgrading(self, upgrade: Upgrade, data: bytes) -> None:
        answer = upgrade.receive(data)
        if answer is None:
            if upgrade.refused and self._linger is None:
                self._linger = self._loop.call_later(LINGER, self._refused, upgrade)
        elif isinstance(answer, bytes):
            assert self._transport is not None
            self._open, self._upgrade = True, None
            self._outstanding = outstanding_counter(self._transport)
            self._handler.opened()
            if answer:
                self.data_received(answer)
        else:
            self._end(answer)

    def _refused(self, upgrade: Upgrade) -> None:
        self._end(upgrade.end() or NetworkError("eof", "closed during the upgrade"))

    # ------------------------------------------------------------------------------------------- asyncio protocol: in

    def data_received(self, data: bytes) -> None:
        if not self._open:
            if self._handler is not _DEAF and self._upgrade is not None:
                self._upgrading(self._upgrade, data)
            return
        if self._rest:
            self._rest.append(data)
            self._rest_size += len(data)
            if self._rest_size < self._needed:
                return
            data = b"".join(self._rest)
            self._rest = []
        at, size = 0, len(data)
        while at < size and self._open:
            if size - at > 4 and data[at + 1] == 126:  # nearly every frame; the rest as `measure` says
                start = at + 4
                end = start + (data[at + 2] << 8 | data[at + 3])
            else:
                start, end = measure(data, at)
            if end > size or end == NEEDS_MORE:
                if end - start > MAX_MESSAGE:
                    break  # the protocol refuses it on sight of its header
                self._rest, self._rest_size, self._needed = [data[at:]], size - at, max(end - at, 2)
                return
            opcode = data[at]
            if (opcode == 0x81 or opcode == 0x82) and data[at + 1] < 0x80 and not self._fragments:
                self._whole(opcode, data[start:end])
            else:
                self._other(data[at:end])
            at = end
        if at < size and self._open:
            self._other(data[at:])

    def _whole(self, opcode: int, payload: bytes) -> None:
        if opcode == 0x82:
            self._handler.message(payload)
            return
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            self._fail(1007, "text that is not UTF-8")
            return
        self._handler.message(text)

    def connection_lost(self, error: Exception | None) -> None:
        if self._open:
            self._end(network_error(error) if error else SocketClosed(None, "ended without a close frame"))
        elif self._handler is not _DEAF:
            refusal = self._upgrade.end() if self._upgrade is not None else None
            self._end(refusal or network_error(error or EOFError("closed during the upgrade")))
        self._release()
        self._transport = None

    # ------------------------------------------------------------------------------- what the library's protocol does

    def _other(self, data: bytes) -> None:
        """Control frames, fragments, and whatever breaks the rules."""
        if data[0] == 0x8A and data[1] < 126:  # a pong, the only one of them that every call has
            self._pong(data[2:])
            return
        protocol = self._library()
        protocol.receive_data(data)
        for frame in protocol.events_received():
            if isinstance(frame, Frame):
                self._frame(frame)
        self._flush(protocol)
        if self._open and protocol.close_expected():
            closed = protocol.close_rcvd or protocol.close_sent or Close(1006, "")
            self._end(SocketClosed(closed.code, closed.reason))

    def _frame(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._fragments.append(frame)
            if frame.fin:
                payload = b"".join(fragment.data for fragment in self._fragments)
                opcode = self._fragments[0].opcode
                self._fragments = []
                self._whole(0x80 | opcode, payload)
        elif frame.opcode is Opcode.PONG:
            self._pong(bytes(frame.data))

    def _fail(self, code: int, reason: str) -> None:
        protocol = self._library()
        protocol.fail(code, reason)
        self._flush(protocol)
        self._end(SocketClosed(code, reason))

    def _library(self) -> Protocol:
        if self._protocol is None:
            self._protocol = open_protocol()
        return self._protocol

    def _flush(self, protocol: Protocol) -> None:
        for data in protocol.data_to_send():
            if data:
                self._send(data)

    # -------------------------------------------------------------------------------------------- writing and watching

    def _send(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():  # its end is about to be reported
            return
        transport.write(data)
        self._outbox.written += len(data)
        if not self._watched:
            self._watched = True
            self._outbox.mark(self._now())
            self._watch.add(self)

    def look(self, now: int) -> bool:
        """Whether something is still outstanding; the handler is told when it has been for too long."""
        outstanding = self._outstanding()
        late = self._outbox.late(outstanding, now)
        if outstanding <= 0:
            self._watched = self._was_late = False
            return False
        self._outbox.mark(now)
        if late and not self._was_late:
            self._was_late = True
            self._handler.suspect(f"{outstanding} bytes waiting in the outbox", False)
        return self._watched

    def _pong(self, payload: bytes) -> None:
        """A pong answers its ping and all before it (RFC 6455, 5.5.3)."""
        if payload in self._awaited:
            for earlier in [each for each in self._awaited if each <= payload]:
                self._awaited.pop(earlier).cancel()

    def _no_pong(self, payload: bytes, budget_ms: int) -> None:
        self._awaited.pop(payload, None)
        self._handler.suspect(f"no pong within {budget_ms} ms", True)

    def _now(self) -> int:
        return round(self._loop.time() * 1e9)

    # ------------------------------------------------------------------------------------------------------- the end

    def _end(self, failure: Failure) -> None:
        """Report the end, once, and see the connection off."""
        handler, self._handler = self._handler, _DEAF
        self._leave()
        handler.closed(_in_seconds(failure))

    def _leave(self) -> None:
        """No more in or out; the peer has a moment to hang up before the connection is dropped."""
        self._open = False
        self._release()
        if self._transport is not None:
            self._linger = self._loop.call_later(LINGER, self._transport.abort)

    def _release(self) -> None:
        self._open = self._watched = False
        self._watch.discard(self)
        for timer in (self._linger, *self._awaited.values()):
            if timer is not None:
                timer.cancel()
        self._awaited.clear()
        self._rest, self._fragments = [], []


def _in_seconds(failure: Failure) -> Failure:
    """A refusal's `retry-after` as seconds: a date means nothing to a codec, which has no clock."""
    if not isinstance(failure, HttpRefusal) or "retry-after" not in failure.headers:
        return failure
    wait = parse_retry_after(failure.headers["retry-after"], datetime.datetime.now(datetime.UTC))
    if wait is None:
        return failure
    return replace(failure, headers={**failure.headers, "retry-after": f"{wait / 1000:g}"})
