"""The WebSocket upgrade, seen from the client: request out, 101 or a refusal back. No I/O here."""

from __future__ import annotations

import logging
import re
from functools import lru_cache

from websockets.exceptions import InvalidURI
from websockets.headers import build_host
from websockets.protocol import Protocol, Side
from websockets.uri import WebSocketURI, parse_uri
from websockets.utils import accept_key, generate_key

from bridge.shell.frames import MAX_MESSAGE
from providers.base import Failure, HttpRefusal, NetworkError
from providers.codec import Dial

BODY_LIMIT = 4096
_HEAD_LIMIT = 64 * 1024
_REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{more}User-Agent: segue\r\n{own}\r\n"
)
_IN_A_HEADER = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")  # RFC 9110, 5.5

# The library logs at debug level what it reads and writes: this logger never does.
_quiet = logging.getLogger("segue.socket")
_quiet.setLevel(logging.INFO)


def open_protocol() -> Protocol:
    """The library's protocol of a connection whose upgrade is over."""
    return Protocol(Side.CLIENT, max_size=MAX_MESSAGE, logger=_quiet)


@lru_cache(maxsize=64)
def _address(url: str) -> tuple[WebSocketURI, str]:
    """With what the Host header says of it. Raises ValueError."""
    try:
        uri = parse_uri(url)
    except InvalidURI as error:
        raise ValueError(f"not a WebSocket address: {url!r}") from error
    return uri, build_host(uri.host, uri.port, uri.secure)


class Upgrade:
    """One opening handshake. `request` is what to write; feed what comes back to `receive` until it answers.

    Raises ValueError when the dial's url is not a WebSocket address, or a header cannot be sent.
    """

    def __init__(self, dial: Dial) -> None:
        uri, host = _address(dial.url)
        self.host, self.port, self.secure = uri.host, uri.port, uri.secure
        self._key = generate_key()
        self._offered = dial.subprotocols
        for name, value in dial.headers.items():
            if not _IN_A_HEADER.fullmatch(value):
                raise ValueError(f"the header {name} has a line break or another control character in it")
        more = f"Sec-WebSocket-Protocol: {', '.join(dial.subprotocols)}\r\n" if dial.subprotocols else ""
        own = "".join([f"{name}: {value}\r\n" for name, value in dial.headers.items()])
        self.request = _REQUEST.format(path=uri.resource_name, host=host, key=self._key, more=more, own=own).encode()
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
                wrong = self._wrong()
                return NetworkError("upgrade", wrong) if wrong else bytes(self._got)
        return self._refusal() if self._body_is_whole() else None

    def end(self) -> HttpRefusal | None:
        """No more will come, or be waited for: the refusal as far as it is known; None when no answer had come."""
        return self._refusal() if self.refused else None

    @property
    def refused(self) -> bool:
        """The header of a refusal has been read; its body may still be coming."""
        return self._status is not None and self._status != 101

    def _wrong(self) -> str:
        """Why a 101 is no upgrade to what was asked for (RFC 6455, 4.1); empty when it is."""
        headers = self._headers
        connection = [token.strip() for token in headers.get("connection", "").lower().split(",")]
        if headers.get("upgrade", "").lower() != "websocket" or "upgrade" not in connection:
            return "the answer's Upgrade and Connection headers do not say WebSocket"
        if headers.get("sec-websocket-accept") != accept_key(self._key):
            return "the answer's Sec-WebSocket-Accept does not belong to the request"
        if "sec-websocket-extensions" in headers:
            return "the answer has extensions that were not asked for"
        if "sec-websocket-protocol" in headers and headers["sec-websocket-protocol"] not in self._offered:
            return "the answer's subprotocol was not offered"
        return ""

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
