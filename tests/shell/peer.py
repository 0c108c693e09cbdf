"""The other side of a link in tests: a WebSocket server that says exactly what it is told, byte by byte if need be."""

from __future__ import annotations

import asyncio
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from bridge.shell.socket import Handler
from providers.base import Failure


class Peer(asyncio.Protocol):
    """One accepted connection. `script` is called with it: "upgrade" (accept), or bytes to answer the request with."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.protocol = ServerProtocol(max_size=None, subprotocols=listener.subprotocols)
        self.got: list[Frame] = []
        self.requests: list[Request] = []
        self.raw = bytearray()
        self.lost = False
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.listener.peers.append(self)

    def data_received(self, data: bytes) -> None:
        self.raw += data
        self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            if isinstance(event, Request):
                self.requests.append(event)
                self._answer(event)
            elif isinstance(event, Frame):
                self.got.append(event)
        if self.listener.polite:
            self._flush()

    def _answer(self, request: Request) -> None:
        if self.listener.answer is None:
            self.protocol.send_response(self.protocol.accept(request))
            self._flush()
            self.transport.write(self.listener.greeting)
        else:
            self.transport.write(self.listener.answer)
            if self.listener.hang_up:
                self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True

    def _flush(self) -> None:
        for data in self.protocol.data_to_send():
            if data:
                self.transport.write(data)
            else:
                self.transport.close()

    def send(self, opcode: Opcode, data: bytes, fin: bool = True) -> None:
        self.transport.write(Frame(opcode, data, fin).serialize(mask=False))

    @property
    def payloads(self) -> list[str | bytes]:
        """Whole messages received."""
        return [
            bytes(frame.data).decode() if frame.opcode is Opcode.TEXT else bytes(frame.data)
            for frame in self.got
            if frame.opcode in (Opcode.TEXT, Opcode.BINARY)
        ]


class Listener:
    """A server of Peers. `answer`: bytes instead of an accepted upgrade, then `hang_up` or keep the line open.
    `greeting`: bytes in the same write as the upgrade's acceptance. `polite`: answer pings and closes."""

    def __init__(self, answer: bytes | None = None, hang_up: bool = False, greeting: bytes = b"") -> None:
        self.answer = answer
        self.hang_up = hang_up
        self.greeting = greeting
        self.polite = True
        self.subprotocols: Any = None
        self.peers: list[Peer] = []
        self.port = 0
        self._server: Any = None

    async def open(self, tls: Any = None) -> Listener:
        self._server = await asyncio.get_running_loop().create_server(lambda: Peer(self), "127.0.0.1", 0, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def close(self) -> None:
        self._server.close()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/realtime?model=m"

    @property
    def peer(self) -> Peer:
        return self.peers[-1]


class Heard:
    """What a socket reported, with the loop time of each report."""

    def __init__(self) -> None:
        self.events: list[tuple[float, str, Any]] = []
        self.handler = Handler(
            lambda: self._note("opened", None),
            lambda message: self._note("message", message),
            lambda failure: self._note("closed", failure),
            lambda what, dead: self._note("suspect", (what, dead)),
        )

    def _note(self, kind: str, value: Any) -> None:
        self.events.append((asyncio.get_running_loop().time(), kind, value))

    def of(self, kind: str) -> list[Any]:
        return [value for _, each, value in self.events if each == kind]

    def when(self, kind: str) -> float:
        return next(at for at, each, _ in self.events if each == kind)

    @property
    def messages(self) -> list[Any]:
        return self.of("message")

    @property
    def failure(self) -> Failure:
        (failure,) = self.of("closed")
        return failure
