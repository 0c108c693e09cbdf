"""The server's side of a WebSocket upgrade (RFC 6455, 4.2): the connection is taken over from aiohttp.

aiohttp would keep request, response, parser and two tasks for as long as its handler runs, some 9 KiB of each call that
nobody looks at again. So it is told that the connection is gone.
"""

from __future__ import annotations

import asyncio
import binascii
from base64 import b64decode, b64encode
from hashlib import sha1
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION: Final = "13"
_ACCEPTED: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n"
)


class _Taken(web.StreamResponse):
    """What the handler of a request returns whose connection is not aiohttp's any more: nothing is sent."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self, data: bytes = b"") -> None: ...


TAKEN: Final = _Taken()


def refusal(request: web.BaseRequest) -> web.Response | None:
    """The answer to a request that cannot be upgraded; None when it can."""
    headers = request.headers
    if "websocket" not in _tokens(headers.get("Upgrade", "")):
        return web.Response(status=426, text="a WebSocket is expected here\n", headers={"Upgrade": "websocket"})
    if request.method != "GET" or "upgrade" not in _tokens(headers.get("Connection", "")):
        return web.Response(status=400, text="an upgrade is a GET with Connection: Upgrade\n")
    if headers.get("Sec-WebSocket-Version", "") != _VERSION:
        needed = {"Upgrade": "websocket", "Sec-WebSocket-Version": _VERSION}
        return web.Response(status=426, text=f"Sec-WebSocket-Version must be {_VERSION}\n", headers=needed)
    try:
        length = len(b64decode(headers.get("Sec-WebSocket-Key", ""), validate=True))
    except (binascii.Error, ValueError):
        length = 0
    if length != 16:
        return web.Response(status=400, text="Sec-WebSocket-Key must be 16 bytes in base64\n")
    return None


def take_over(request: web.BaseRequest) -> asyncio.Transport | None:
    """Accept the upgrade; the transport is the caller's from now on, who sets a protocol at once and whose handler
    returns `TAKEN`. None when the peer has gone. `refusal` must have found nothing."""
    protocol = request.protocol
    transport = protocol.transport
    if transport is None or transport.is_closing():
        return None
    protocol.transport = None  # or what follows would close it
    protocol.connection_lost(None)
    key = request.headers["Sec-WebSocket-Key"].encode()
    transport.write(_ACCEPTED % b64encode(sha1(key + _GUID, usedforsecurity=False).digest()))
    return transport


def _tokens(value: str) -> list[str]:
    return [token.strip() for token in value.lower().split(",")]
