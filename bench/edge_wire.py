"""WebSocket ends of the bench's own processes, as light as Python allows: they must cost less than what is measured."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import cast

from bridge.edges.wsock import CLOSE, PING, PONG, TEXT, FrameParser, frame
from bridge.shell.frames import client_frame, measure

MAX_MESSAGE = 1 << 22
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Server(asyncio.Protocol):
    """Accepts one upgrade, then gives whole messages to `on_message`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are not of asyncio's classes
        self._head: bytes | None = b""
        self._parser = FrameParser(MAX_MESSAGE)

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            self._head += data
            if b"\r\n\r\n" not in self._head:
                return
            head, data = self._head.split(b"\r\n\r\n", 1)
            self._head = None
            fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
            key = {name.lower(): value for name, value in fields.items()}[b"sec-websocket-key"]
            accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            self.on_open(head)
        for opcode, payload in self._parser.feed(data):
            if opcode == PING:
                self.transport.write(frame(PONG, payload))
            elif opcode == CLOSE:
                self.transport.write(frame(CLOSE, payload))
                self.transport.close()
            else:
                self.on_message(payload)

    def on_open(self, head: bytes) -> None: ...

    def on_message(self, message: bytes) -> None: ...


class Client(asyncio.Protocol):
    """Asks for one upgrade, then gives whole messages to `on_message`."""

    def __init__(self, host: str, path: str) -> None:
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        ).encode()
        self._rest = b""
        self.opened = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        if not self.opened:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._rest = data
                return
            if b" 101 " not in data[:20]:
                raise ConnectionError(data[:end].decode("latin-1"))
            self.opened, data = True, data[end + 4 :]
            self.on_open()
        at = 0
        while at < len(data):
            start, end = measure(data, at)
            if not end or end > len(data):
                break
            opcode = data[at] & 15
            if opcode == PING:
                self.transport.write(masked(PONG, data[start:end]))
            elif opcode != CLOSE:
                self.on_message(data[start:end])
            at = end
        self._rest = data[at:]

    def on_open(self) -> None: ...

    def on_message(self, message: bytes) -> None: ...


def masked(opcode: int, payload: bytes) -> bytes:
    """One frame of a client."""
    made = client_frame(payload)
    return bytes((0x80 | opcode,)) + made[1:]


def text(message: str) -> bytes:
    """One text frame of a client, to be written as often as wanted."""
    return masked(TEXT, message.encode())
