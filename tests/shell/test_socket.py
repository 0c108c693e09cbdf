"""Provider sockets over an in-memory network: everything but the kernel is real."""

from __future__ import annotations

import asyncio
import datetime
import email.utils
import logging
import os
import random
import socket as sockets
from typing import Any

import pytest
from aiohttp import web
from websockets.frames import Frame, Opcode

from bridge.shell.socket import LINGER, LinkSocket, connect
from providers.base import HttpRefusal, NetworkError, SocketClosed
from providers.codec import Dial
from tests.shell.peer import Heard, Listener
from tests.virtual import network, virtual

SIZES = [0, 1, 125, 126, 127, 4096, 65535, 65536, 65537, 1_000_003]


async def _opened(listener: Listener) -> tuple[LinkSocket, Heard]:
    heard = Heard()
    socket = connect(Dial(listener.url), heard.handler)
    await asyncio.sleep(0.001)
    assert heard.of("opened") == [None]
    return socket, heard


def _text(size: int) -> str:
    return "".join(random.Random(size).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=size))


# ----------------------------------------------------------------------------------------------------------- messages


@virtual
async def test_messages_of_every_length_arrive_whole_and_in_order() -> None:
    listener = await Listener().open()
    socket, heard = await _opened(listener)
    messages: list[str | bytes] = (
        [_text(size) for size in SIZES] + [os.urandom(size) for size in SIZES] + ["žluťoučký 🐎"]
    )
    socket.write(messages)
    await asyncio.sleep(0.001)
    assert listener.peer.payloads == messages
    for message in messages:
        data, opcode = (message.encode(), Opcode.TEXT) if isinstance(message, str) else (message, Opcode.BINARY)
        listener.peer.send(opcode, data)
    await asyncio.sleep(0.001)
    assert heard.messages == messages
    socket.close()


@virtual
async def test_every_frame_has_a_mask_of_its_own() -> None:
    listener = await Listener().open()
    socket, _ = await _opened(listener)
    start = len(listener.peer.raw)
    socket.write(["x" * 100] * 3000)
    await asyncio.sleep(0.001)
    raw = bytes(listener.peer.raw[start:])
    masks = {raw[at + 2 : at + 6] for at in range(0, len(raw), 106)}
    assert len(raw) == 3000 * 106
    assert len(masks) > 2990
    socket.close()


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1000])
def test_frames_cut_anywhere_are_put_together(piece: int) -> None:
    @virtual
    async def scenario() -> None:
        listener = await Listener().open()
        socket, heard = await _opened(listener)
        messages = [_text(size) for size in (0, 5, 126, 3000, 70_000)]
        stream = b"".join(Frame(Opcode.TEXT, message.encode()).serialize(mask=False) for message in messages)
        stream += Frame(Opcode.CLOSE, b"\x03\xe8bye").serialize(mask=False)
        for at in range(0, len(stream), piece):
            socket.data_received(stream[at : at + piece])
        assert heard.messages == messages
        assert heard.failure == SocketClosed(1000, "bye")

    scenario()


@virtual
async def test_what_came_with_the_upgrade_is_not_lost() -> None:
    hello = Frame(Opcode.TEXT, b'{"type":"session.created"}').serialize(mask=False)
    listener = await Listener(greeting=hello).open()
    socket, heard = await _opened(listener)
    assert heard.messages == ['{"type":"session.created"}']
    socket.close()


@virtual
async def test_fragments_are_joined_with_control_frames_between_them() -> None:
    listener = await Listener().open()
    socket, heard = await _opened(listener)
    peer = listener.peer
    encoded = "hé, ž!".encode()
    peer.send(Opcode.TEXT, encoded[:2], fin=False)  # cut inside a character
    peer.send(Opcode.PING, b"are you there")
    peer.send(Opcode.CONT, encoded[2:4], fin=False)
    peer.send(Opcode.CONT, encoded[4:])
    peer.send(Opcode.BINARY, b"\x00\x01", fin=False)
    peer.send(Opcode.CONT, b"\x02")
    peer.send(Opcode.TEXT, b"whole again")
    await asyncio.sleep(0.001)
    assert heard.messages == ["hé, ž!", b"\x00\x01\x02", "whole again"]
    assert [bytes(frame.data) for frame in peer.got if frame.opcode is Opcode.PONG] == [b"are you there"]
    socket.close()


@virtual
async def test_an_independent_server_understands_it() -> None:
    async def echo(request: web.Request) -> web.WebSocketResponse:
        connection = web.WebSocketResponse()
        await connection.prepare(request)
        async for message in connection:
            await connection.send_str(message.data[::-1])
        return connection

    app = web.Application()
    app.router.add_get("/v1/realtime", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 8123).start()
    heard = Heard()
    socket = connect(Dial("ws://localhost:8123/v1/realtime"), heard.handler)
    await asyncio.sleep(0.01)
    socket.write(["stressed", "drawer"])
    await asyncio.sleep(0.01)
    assert heard.messages == ["desserts", "reward"]
    socket.close()
    await asyncio.sleep(0.01)
    assert not network().pipes
    await runner.cleanup()


# --------------------------------------------------------------------------------------------------------------- ends


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"\x03\xf5You exceeded your current quota", SocketClosed(1013, "You exceeded your current quota")),
        (b"\x0b\xb8insufficient_quota", SocketClosed(3000, "insufficient_quota")),
        (b"", SocketClosed(1005, "")),
        (b"\x03\xe8", SocketClosed(1000, "")),
        (b"\x03", SocketClosed(1002, "close frame too short")),
    ],
)
def test_the_close_code_and_reason_are_reported_at_once(payload: bytes, expected: SocketClosed) -> None:
    @virtual
    async def scenario() -> None:
        listener = await Listener().open()
        listener.polite = False  # it never hangs up by itself
        socket, heard = await _opened(listener)
        listener.peer.send(Opcode.CLOSE, payload)
        await asyncio.sleep(0.001)
        assert heard.failure == expected
        assert not listener.peer.lost
        await asyncio.sleep(LINGER)
        assert listener.peer.lost
        socket.write(["too late"])
        socket.ping(100)
        await asyncio.sleep(5)
        assert len(heard.of("closed")) == 1
        assert heard.of("suspect") == []

    scenario()


@virtual
async def test_the_end_without_a_close_frame() -> None:
    listener = await Listener().open()
    _, heard = await _opened(listener)
    listener.peer.transport.close()
    await asyncio.sleep(0.001)
    assert heard.failure == SocketClosed(None, "ended without a close frame")


@virtual
async def test_a_reset() -> None:
    listener = await Listener().open()
    _, heard = await _opened(listener)
    network().pipes[-1].reset()
    assert isinstance(heard.failure, NetworkError)
    assert heard.failure.kind == "reset"


_HEADER_OF_17_MIB = b"\x81\x7f" + (17 * 1024 * 1024).to_bytes(8, "big")
_FRAGMENT_OF_9_MIB = b"\x02\x7f" + (9 * 1024 * 1024).to_bytes(8, "big") + bytes(9 * 1024 * 1024)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (_HEADER_OF_17_MIB + b"x" * 100, 1009),
        (_FRAGMENT_OF_9_MIB + b"\x80" + _FRAGMENT_OF_9_MIB[1:], 1009),
        (b"\x81\x02\xc3\x28", 1007),
        (b"\x81\x85abcdhello", 1002),  # servers do not mask
        (b"\xc1\x05hello", 1002),  # reserved bit
        (b"\x83\x05hello", 1002),  # unknown opcode
        (b"\x80\x05hello", 1002),  # a continuation of nothing
        (b"\x01\x05hello\x81\x05hello", 1002),  # a new message inside another
        (b"\x89\x7e\x00\x80" + bytes(128), 1002),  # a long ping
    ],
)
def test_what_breaks_the_rules_ends_the_link_with_a_code(data: bytes, code: int) -> None:
    @virtual
    async def scenario() -> None:
        listener = await Listener().open()
        _, heard = await _opened(listener)
        listener.peer.transport.write(data)
        await asyncio.sleep(0.001)
        assert isinstance(heard.failure, SocketClosed)
        assert heard.failure.code == code
        assert heard.failure.reason
        assert heard.messages == []
        (close,) = [frame for frame in listener.peer.got if frame.opcode is Opcode.CLOSE]
        assert bytes(close.data)[:2] == code.to_bytes(2, "big")

    scenario()


@virtual
async def test_sixteen_mebibytes_are_allowed() -> None:
    listener = await Listener().open()
    socket, heard = await _opened(listener)
    listener.peer.send(Opcode.TEXT, b"y" * (16 * 1024 * 1024))
    await asyncio.sleep(0.001)
    assert [len(message) for message in heard.messages] == [16 * 1024 * 1024]
    socket.close()


@virtual
async def test_closing_says_goodbye_and_waits_for_nobody() -> None:
    listener = await Listener().open()
    listener.polite = False
    socket, heard = await _opened(listener)
    socket.ping(100)
    socket.close()
    listener.peer.send(Opcode.TEXT, b"one more thing")
    await asyncio.sleep(0.001)
    (close,) = [frame for frame in listener.peer.got if frame.opcode is Opcode.CLOSE]
    assert bytes(close.data) == b"\x03\xe8"
    await asyncio.sleep(LINGER)
    assert listener.peer.lost
    assert heard.messages == heard.of("closed") == heard.of("suspect") == []


@virtual
async def test_aborting_says_nothing() -> None:
    listener = await Listener().open()
    socket, heard = await _opened(listener)
    socket.abort()
    await asyncio.sleep(0.001)
    assert listener.peer.lost
    assert listener.peer.got == []
    assert heard.of("closed") == []


@virtual
async def test_closing_from_within_a_message_stops_the_rest() -> None:
    listener = await Listener().open()
    socket, heard = await _opened(listener)
    heard.handler = heard.handler
    object.__setattr__(heard.handler, "message", lambda message: (heard._note("message", message), socket.close()))
    listener.peer.transport.write(Frame(Opcode.TEXT, b"hi").serialize(mask=False) * 5)
    await asyncio.sleep(0.001)
    assert heard.messages == ["hi"]


# ----------------------------------------------------------------------------------------------------------- dialling


@virtual
async def test_the_request_carries_what_the_dial_says() -> None:
    listener = await Listener().open()
    listener.subprotocols = ["realtime"]
    heard = Heard()
    dial = Dial(listener.url, {"Authorization": "Bearer canary-9f31", "X-Region": "eu"}, ("realtime", "other"))
    socket = connect(dial, heard.handler)
    await asyncio.sleep(0.001)
    (request,) = listener.peer.requests
    assert request.path == "/v1/realtime?model=m"
    assert request.headers["Authorization"] == "Bearer canary-9f31"
    assert request.headers["X-Region"] == "eu"
    assert request.headers["Sec-WebSocket-Protocol"] == "realtime, other"
    assert "Sec-WebSocket-Extensions" not in request.headers
    assert heard.of("opened") == [None]
    socket.close()


@virtual
async def test_secrets_are_not_logged_even_when_everything_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="websockets")
    listener = await Listener(answer=b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").open()
    heard = Heard()
    dial = Dial(listener.url, {"Authorization": "Bearer canary-77ac"})
    connect(dial, heard.handler)
    await asyncio.sleep(1)
    assert heard.of("closed")
    client_lines = [record.getMessage() for record in caplog.records if "server" not in record.name]
    assert not any("canary-77ac" in line for line in client_lines)
    assert "canary-77ac" not in repr(dial)


@virtual
async def test_proxies_in_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    listener = await Listener().open()
    socket, _ = await _opened(listener)
    socket.close()


def _response(head: str, body: bytes = b"") -> bytes:
    return head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body


REFUSALS: list[tuple[bytes, bool, HttpRefusal]] = [
    (
        _response(
            "HTTP/1.1 401 Unauthorized\nContent-Type: application/json\nContent-Length: 27",
            b'{"error":{"code":"no_key"}}',
        ),
        False,
        HttpRefusal(401, {"content-type": "application/json", "content-length": "27"}, b'{"error":{"code":"no_key"}}'),
    ),
    (
        _response(
            "HTTP/1.1 429 Too Many Requests\nRetry-After: 17\nTransfer-Encoding: chunked",
            b"5\r\nslow \r\n4;x=y\r\ndown\r\n0\r\n\r\n",
        ),
        False,
        HttpRefusal(429, {"retry-after": "17", "transfer-encoding": "chunked"}, b"slow down"),
    ),
    (
        _response("HTTP/1.1 302 Found\nLocation: ws://127.0.0.1:1/\nContent-Length: 0"),
        False,
        HttpRefusal(302, {"location": "ws://127.0.0.1:1/", "content-length": "0"}),
    ),
    (
        _response("HTTP/1.0 503 Overloaded\nA: 1\nA: 2", b"until the end"),
        True,
        HttpRefusal(503, {"a": "1, 2"}, b"until the end"),
    ),
    (_response("HTTP/1.1 404 Not Found\nx: y\nno colon here", b"cut o"), False, HttpRefusal(404, {"x": "y"}, b"cut o")),
    (
        _response("HTTP/1.1 500\nContent-Length: 9000", b"z" * 9000),
        False,
        HttpRefusal(500, {"content-length": "9000"}, b"z" * 4096),
    ),
    (_response("HTTP/1.1 200 OK\nContent-Length: 2", b"hi"), False, HttpRefusal(200, {"content-length": "2"}, b"hi")),
]


@pytest.mark.parametrize(
    ("answer", "hang_up", "expected"), REFUSALS, ids=lambda value: str(getattr(value, "status", ""))
)
def test_a_refusal_is_reported_with_its_status_headers_and_body(
    answer: bytes, hang_up: bool, expected: HttpRefusal
) -> None:
    @virtual
    async def scenario() -> None:
        listener = await Listener(answer, hang_up).open()
        heard = Heard()
        begun = asyncio.get_running_loop().time()
        connect(Dial(listener.url), heard.handler)
        await asyncio.sleep(3)
        assert heard.failure == expected
        assert heard.when("closed") - begun <= LINGER
        assert heard.of("opened") == []
        assert len(listener.peers) == 1
        assert listener.peer.lost

    scenario()


@virtual
async def test_a_refusal_that_gives_a_date_is_reported_in_seconds() -> None:
    when = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=90)
    answer = _response(
        f"HTTP/1.1 503 Busy\nRetry-After: {email.utils.format_datetime(when, usegmt=True)}\nContent-Length: 0"
    )
    listener = await Listener(answer).open()
    heard = Heard()
    connect(Dial(listener.url), heard.handler)
    await asyncio.sleep(1)
    assert isinstance(heard.failure, HttpRefusal)
    assert 80 < float(heard.failure.headers["retry-after"]) <= 90


@pytest.mark.parametrize(
    ("answer", "hang_up", "kind"),
    [
        (b"", True, "eof"),
        (b"HTTP/1.1 101 Switch", True, "eof"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", False, "upgrade"),
        (
            _response("HTTP/1.1 101 Switching\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Accept: wrong"),
            False,
            "upgrade",
        ),
        (_response("HTTP/1.1 101 Switching\nUpgrade: h2c\nConnection: Upgrade"), False, "upgrade"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000, False, "upgrade"),
    ],
)
def test_what_is_no_upgrade_at_all(answer: bytes, hang_up: bool, kind: str) -> None:
    @virtual
    async def scenario() -> None:
        listener = await Listener(answer, hang_up).open()
        heard = Heard()
        connect(Dial(listener.url), heard.handler)
        await asyncio.sleep(3)
        assert isinstance(heard.failure, NetworkError)
        assert heard.failure.kind == kind

    scenario()


@virtual
async def test_nobody_listens() -> None:
    heard = Heard()
    connect(Dial("ws://127.0.0.1:1/"), heard.handler)
    assert heard.events == []  # never from within connect
    await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert isinstance(heard.failure, NetworkError)
    assert heard.failure.kind == "refused"


@virtual
async def test_an_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nowhere(*_: Any, **__: Any) -> Any:
        raise sockets.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", nowhere)
    heard = Heard()
    connect(Dial("wss://no.such.host.example/"), heard.handler)
    await asyncio.sleep(0.01)
    assert heard.failure == NetworkError("dns", "[Errno -2] Name or service not known")


@pytest.mark.parametrize("url", ["http://example.org/", "ws://", "nonsense", "ws://host/#fragment"])
def test_an_address_that_is_none(url: str) -> None:
    @virtual
    async def scenario() -> None:
        heard = Heard()
        connect(Dial(url), heard.handler)
        await asyncio.sleep(0.01)
        assert isinstance(heard.failure, NetworkError)
        assert heard.failure.kind == "address"

    scenario()


@pytest.mark.parametrize("farewell", ["close", "abort"])
def test_a_dial_is_given_up_at_once(farewell: str) -> None:
    @virtual
    async def scenario() -> None:
        network().swallow(4444)
        heard = Heard()
        dialling = connect(Dial("ws://127.0.0.1:4444/"), heard.handler)
        listener = await Listener(answer=b"").open()  # accepts, never answers
        upgrading = connect(Dial(listener.url), heard.handler)
        await asyncio.sleep(1.5)
        getattr(dialling, farewell)()
        getattr(upgrading, farewell)()
        await asyncio.sleep(0.001)
        assert dialling._dialling.done()
        assert listener.peer.lost
        assert heard.events == []

    scenario()


@virtual
async def test_a_silent_address_does_not_hold_up_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    listener = await Listener().open()
    reach = loop.create_connection
    dialled: list[tuple[str, float]] = []

    async def two_addresses(*_: Any, **__: Any) -> Any:
        return [(10, 1, 6, "", ("::1", 0, 0, 0)), (10, 1, 6, "", ("::2", 0, 0, 0)), (2, 1, 6, "", ("127.0.0.1", 0))]

    async def create_connection(factory: Any, host: str, port: int, **options: Any) -> Any:
        dialled.append((host, loop.time()))
        if ":" in host:
            await loop.create_future()
        return await reach(factory, host, port, **options)

    monkeypatch.setattr(loop, "getaddrinfo", two_addresses)
    monkeypatch.setattr(loop, "create_connection", create_connection)
    heard = Heard()
    begun = loop.time()
    socket = connect(Dial(f"ws://two.example:{listener.port}/"), heard.handler)
    await asyncio.sleep(1)
    assert [(host, round(at - begun, 3)) for host, at in dialled] == [("::1", 0.0), ("127.0.0.1", 0.25)]
    assert heard.when("opened") - begun == pytest.approx(0.25, abs=0.01)
    socket.close()


# ------------------------------------------------------------------------------------------------------------ liveness


@virtual
async def test_nothing_is_sent_unasked() -> None:
    listener = await Listener().open()
    socket, heard = await _opened(listener)
    await asyncio.sleep(3600)
    assert listener.peer.got == []
    assert len(heard.events) == 1
    socket.close()


@virtual
async def test_a_pong_in_time_is_a_sign_of_life() -> None:
    network().latency = 0.3
    listener = await Listener().open()
    heard = Heard()
    socket = connect(Dial(listener.url), heard.handler)
    await asyncio.sleep(2)
    socket.ping(1000)
    await asyncio.sleep(0.5)
    socket.ping(1000)
    await asyncio.sleep(30)
    assert heard.of("suspect") == []
    socket.close()


@virtual
async def test_no_pong_is_told_once_when_the_budget_is_used_up() -> None:
    listener = await Listener().open()
    listener.polite = False
    socket, heard = await _opened(listener)
    begun = asyncio.get_running_loop().time()
    socket.ping(1000)
    await asyncio.sleep(60)
    assert heard.of("suspect") == [("no pong within 1000 ms", True)]
    assert heard.when("suspect") - begun == pytest.approx(1.0)
    socket.close()


@virtual
async def test_a_later_pong_answers_earlier_pings_and_a_stray_one_nothing() -> None:
    listener = await Listener().open()
    listener.polite = False
    socket, heard = await _opened(listener)
    socket.ping(1000)
    socket.ping(1000)
    await asyncio.sleep(0.1)
    pings = [bytes(frame.data) for frame in listener.peer.got if frame.opcode is Opcode.PING]
    listener.peer.send(Opcode.PONG, b"what?")
    listener.peer.send(Opcode.PONG, pings[1])
    await asyncio.sleep(5)
    assert heard.of("suspect") == []
    socket.close()


@virtual
async def test_an_outbox_that_does_not_move_is_suspect_once() -> None:
    listener = await Listener().open()
    socket, heard = await _opened(listener)
    network().pipes[-1].freeze()
    begun = asyncio.get_running_loop().time()
    for _ in range(100):
        socket.write(["caller audio"])
        await asyncio.sleep(0.02)
    ((what, dead),) = heard.of("suspect")
    assert ("outbox" in what, dead) == (True, False)
    assert 0.499 <= heard.when("suspect") - begun <= 0.65
    assert 1.7e9 < socket.outbox_age <= 2.0e9
    socket.abort()


@virtual
async def test_an_outbox_that_moves_is_not_suspect() -> None:
    network().latency = 0.2  # a fifth of a second's audio is always on its way
    listener = await Listener().open()
    heard = Heard()
    socket = connect(Dial(listener.url), heard.handler)
    await asyncio.sleep(2)
    for _ in range(500):
        socket.write(["caller audio"])
        await asyncio.sleep(0.02)
    assert heard.of("suspect") == []
    assert len(listener.peer.payloads) == 490
    await asyncio.sleep(1)
    assert socket.outbox_age == 0
    socket.close()
