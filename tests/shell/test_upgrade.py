"""The opening handshake as bytes: what is asked, and which answers count (RFC 6455, 4.1 and 4.2.2)."""

from __future__ import annotations

from base64 import b64decode

import pytest
from websockets.server import ServerProtocol
from websockets.utils import accept_key

from bridge.shell.upgrade import Upgrade
from providers.base import NetworkError
from providers.codec import Dial

HEADERS = {"Authorization": "Bearer k-é", "X-Team": "a\tb"}
DIAL = Dial("wss://example.com/v1/realtime?model=m%20x", HEADERS, ("one", "two"))


def lines(upgrade: Upgrade) -> list[str]:
    return upgrade.request.decode().split("\r\n")


def key(upgrade: Upgrade) -> str:
    return next(line for line in lines(upgrade) if line.startswith("Sec-WebSocket-Key")).partition(": ")[2]


def answered(upgrade: Upgrade, **changes: str | None) -> object:
    """What comes of a 101 with these headers changed, or left out where None."""
    headers: dict[str, str | None] = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": accept_key(key(upgrade)),
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value is not None)
    return upgrade.receive(f"HTTP/1.1 101 Switching Protocols\r\n{head}\r\n".encode() + b"\x81\x00")


def test_the_request() -> None:
    upgrade = Upgrade(DIAL)
    assert (upgrade.host, upgrade.port, upgrade.secure) == ("example.com", 443, True)
    assert lines(upgrade) == [
        "GET /v1/realtime?model=m%20x HTTP/1.1",
        "Host: example.com",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key(upgrade)}",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: one, two",
        "User-Agent: segue",
        "Authorization: Bearer k-é",
        "X-Team: a\tb",
        "",
        "",
    ]
    assert len(b64decode(key(upgrade))) == 16
    assert key(upgrade) != key(Upgrade(DIAL)), "each its own"


def test_another_implementation_takes_it() -> None:
    server = ServerProtocol(subprotocols=["two"])  # type: ignore[list-item]
    upgrade = Upgrade(Dial("ws://127.0.0.1:8080", {}, ("one", "two")))
    server.receive_data(upgrade.request)
    (request,) = server.events_received()
    assert request.headers["Host"] == "127.0.0.1:8080" and request.path == "/"  # type: ignore[union-attr]
    server.send_response(server.accept(request))  # type: ignore[arg-type]
    assert upgrade.receive(b"".join(server.data_to_send())) == b""


def test_what_follows_the_answer_belongs_to_the_connection() -> None:
    assert answered(Upgrade(DIAL)) == b"\x81\x00"
    assert answered(Upgrade(DIAL), Upgrade="WebSocket", Connection="keep-alive, Upgrade") == b"\x81\x00"
    assert answered(Upgrade(DIAL), Sec_WebSocket_Protocol="two") == b"\x81\x00"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Upgrade": None}, "Upgrade and Connection"),
        ({"Upgrade": "h2c"}, "Upgrade and Connection"),
        ({"Connection": "close"}, "Upgrade and Connection"),
        ({"Sec_WebSocket_Accept": None}, "Sec-WebSocket-Accept"),
        ({"Sec_WebSocket_Accept": accept_key("AAAAAAAAAAAAAAAAAAAAAA==")}, "Sec-WebSocket-Accept"),
        ({"Sec_WebSocket_Extensions": "permessage-deflate"}, "extensions"),
        ({"Sec_WebSocket_Protocol": "three"}, "subprotocol"),
        ({"Sec_WebSocket_Protocol": "one, two"}, "subprotocol"),
    ],
)
def test_an_answer_that_is_not_what_was_asked_for(changes: dict[str, str | None], words: str) -> None:
    failure = answered(Upgrade(DIAL), **changes)
    assert isinstance(failure, NetworkError)
    assert failure.kind == "upgrade" and words in failure.detail


@pytest.mark.parametrize("value", ["a\r\nX-Other: b", "a\nb", "a\x00b"])
def test_no_header_can_begin_another(value: str) -> None:
    with pytest.raises(ValueError, match="the header X-Team has a line break"):
        Upgrade(Dial("ws://example.com", {"X-Team": value}))


@pytest.mark.parametrize("url", ["http://example.com", "ws://", "example.com", "ws://example.com/#part"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match="not a WebSocket address"):
        Upgrade(Dial(url))
