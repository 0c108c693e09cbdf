"""The WebSocket upgrade, seen from the client: request out, 101 or a refusal back. No I/O here."""

from __future__ import annotations

import logging

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidURI
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from bridge.shell.frames import MAX_MESSAGE
from providers.base import Failure, HttpRefusal, NetworkError
from providers.codec import Dial

BODY_LIMIT = 4096
_HEAD_LIMIT = 64 * 1024

# The library logs request headers at debug level, and those carry credentials: this logger never does.
_quiet = logging.getLogger("segue.socket")
_quiet.setLevel(logging.INFO)


class Upgrade:
    """One opening handshake. `request` is what to write; feed what comes back to `receive` until it answers.

    Raises ValueError when the dial's url is not a WebSocket address.
    """

    def __init__(self, dial: Dial) -> None:
        try:
            uri = parse_uri(dial.url)
        except InvalidURI as error:
            raise ValueError(f"not a WebSocket address: {dial.url!r}") from error
        self.host, self.port, self.secure = uri.host, uri.port, uri.secure
        self.protocol = ClientProtocol(
            uri,
            subprotocols=[Subprotocol(name) for name in dial.subprotocols] or None,
            max_size=MAX_MESSAGE,
            logger=_quiet,
        )
        request = self.protocol.connect()
        request.headers["User-Agent"] = "segue"
        for name, value in dial.headers.items():
            request.headers[name] = value
        self.request = request.serialize()
        self._got = bytearray()
        self._status: int | None = None
        self._headers: dict[str, str] = {}

    def receive(self, data: bytes) -> bytes | Failure | None:
        """None: more is needed. bytes: the connection is open, and these already belong to it. Failure: it is not."""
        self._got += data
        if self._status is None:
            end = self._got.find(b"\r\n\r\n")
            if end < 0:
                return NetworkError("upgrade", "endless response header") if len(self._got) > _HEAD_LIMIT else None
            head = bytes(self._got[: end + 4])
            del self._got[: end + 4]
            try:
                self._status, self._headers = parse_head(head)
            except ValueError as error:
                return NetworkError("upgrade", str(error))
            if self._status == 101:
                return self._accepted(head)
        return self._refusal() if self._body_is_whole() else None

    def end(self) -> HttpRefusal | None:
        """No more will come, or be waited for: the refusal as far as it is known; None when no answer had come."""
        return self._refusal() if self.refused else None

    @property
    def refused(self) -> bool:
        """The header of a refusal has been read; its body may still be coming."""
        return self._status is not None and self._status != 101

    def _accepted(self, head: bytes) -> bytes | Failure:
        self.protocol.receive_data(head)
        if self.protocol.handshake_exc is not None:
            return NetworkError("upgrade", str(self.protocol.handshake_exc))
        self.protocol.events_received()
        return bytes(self._got)

    def _body_is_whole(self) -> bool:
        if len(self._got) >= BODY_LIMIT:
            return True
        if self._chunked:
            return self._got.endswith(b"0\r\n\r\n")
        length = self._headers.get("content-length", "")
        return length.isdecimal() and len(self._got) >= int(length)

    @property
    def _chunked(self) -> bool:
        return "chunked" in self._headers.get("transfer-encoding", "").lower()

    def _refusal(self) -> HttpRefusal:
        assert self._status is not None
        body = unchunk(bytes(self._got)) if self._chunked else bytes(self._got)
        return HttpRefusal(self._status, self._headers, body[:BODY_LIMIT])


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers, names in lower case, repeated ones joined by a comma. Raises ValueError for what is not
    HTTP/1.x."""
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    version, _, rest = first.partition(" ")
    status = rest[:3]
    if not version.startswith("HTTP/1.") or not status.isdecimal():
        raise ValueError(f"the answer is not HTTP: {first[:80]!r}")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            continue
        name, value = name.strip().lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return int(status), headers


def unchunk(body: bytes) -> bytes:
    """The content of a chunked body (RFC 9112, 7.1) as far as it is there and readable."""
    parts: list[bytes] = []
    at = 0
    while (line := body.find(b"\r\n", at)) >= 0:
        try:
            size = int(body[at:line].split(b";")[0], 16)
        except ValueError:
            break
        if size <= 0:
            break
        parts.append(body[line + 2 : line + 2 + size])
        at = line + 2 + size + 2
    return b"".join(parts)
