"""The upgrade as bytes on the wire, and that nothing of aiohttp stays behind it."""

from __future__ import annotations

import asyncio
import gc

import pytest
from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from websockets.frames import Frame, Opcode
from websockets.utils import accept_key

from bridge.edges.media_ws import MediaWs, Settings
from bridge.edges.wsock import CLOSE, frame
from tests.edges.test_media_ws import PORT, Board, bench
from tests.edges.test_twilio import start
from tests.virtual import virtual

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
GOOD = {"Host": "x", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}


async def asked(**changes: str | None) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    """The head of the answer to a request with these headers changed, or left out where None."""
    given = {**GOOD, "Sec-WebSocket-Key": KEY, **{name.replace("_", "-"): value for name, value in changes.items()}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value is not None)
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    writer.write(f"GET /twilio HTTP/1.1\r\n{lines}\r\n".encode())
    return await reader.readuntil(b"\r\n\r\n"), reader, writer


@virtual
async def test_the_answer_is_that_of_the_standard() -> None:
    async with bench(Board()):
        head, _, writer = await asked()
        assert head.startswith(b"HTTP/1.1 101 ")
        lines = dict(line.split(": ") for line in head.decode().split("\r\n")[1:-2])
        # RFC 6455, 1.3 has this key and what follows from it
        assert lines == {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        }
        assert lines["Sec-WebSocket-Accept"] == accept_key(KEY)
        writer.close()


@virtual
async def test_headers_may_be_written_in_any_way() -> None:
    async with bench(Board()):
        for changes in (
            {"Upgrade": "WebSocket"},
            {"Connection": "keep-alive, upgrade"},
            {"Sec_WebSocket_Extensions": "permessage-deflate", "Sec_WebSocket_Protocol": "audio"},
        ):
            head, _, writer = await asked(**changes)
            assert head.startswith(b"HTTP/1.1 101 "), changes
            assert b"deflate" not in head and b"audio" not in head, "nothing is promised that was not asked for"
            writer.close()


@virtual
@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"Upgrade": None}, 426, "a WebSocket is expected"),
        ({"Upgrade": "h2c"}, 426, "a WebSocket is expected"),
        ({"Connection": "keep-alive"}, 400, "Connection: Upgrade"),
        ({"Sec_WebSocket_Version": "8"}, 426, "must be 13"),
        ({"Sec_WebSocket_Version": None}, 426, "must be 13"),
        ({"Sec_WebSocket_Key": None}, 400, "16 bytes"),
        ({"Sec_WebSocket_Key": "dGhl"}, 400, "16 bytes"),
        ({"Sec_WebSocket_Key": KEY + "="}, 400, "16 bytes"),
        ({"Sec_WebSocket_Key": "é" * 12}, 400, "16 bytes"),
    ],
)
async def test_what_is_wrong_is_said(changes: dict[str, str | None], status: int, words: str) -> None:
    board = Board()
    async with bench(board):
        head, reader, writer = await asked(**changes)
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert (b"Sec-WebSocket-Version: 13" in head) == ("13" in words), "which one is spoken"
        assert words in (await reader.read(200)).decode()
        writer.close()
    assert not board.calls


@virtual
async def test_nothing_of_the_request_is_kept_while_the_stream_lives() -> None:
    board = Board()
    app = web.Application()
    edge = MediaWs(Settings("127.0.0.1", PORT, "reception"), board, asyncio.get_running_loop().time)
    edge.add_routes(app.router)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", PORT).start()
    before = len(asyncio.all_tasks())
    _, _, writer = await asked()
    writer.write(Frame(Opcode.TEXT, start()).serialize(mask=True))
    await asyncio.sleep(0.1)
    assert len(board.calls) == 1
    gc.collect()
    kept = [each for each in gc.get_objects() if isinstance(each, (RequestHandler, web.Request))]
    assert not kept
    assert len(asyncio.all_tasks()) == before
    writer.close()
    await asyncio.sleep(0.1)
    await edge.close()
    await runner.cleanup()


@virtual
async def test_a_server_that_goes_says_so_and_waits_a_second_at_most() -> None:
    loop = asyncio.get_running_loop()
    async with bench(Board()):
        _, polite, answers = await asked()
        _, deaf, _ = await asked()
        await asyncio.sleep(0.1)
        at = loop.time()
    assert await polite.read(100) == frame(CLOSE, b"\x03\xe9going away") == await deaf.read(100)
    assert 1.0 <= loop.time() - at < 1.3
    assert await deaf.read(10) == b"", "cut"
    answers.close()
