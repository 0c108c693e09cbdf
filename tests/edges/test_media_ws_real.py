"""The edge on real sockets, against a client that shares no code with it, on both event loops."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable

import orjson
import pytest
import uvloop
from aiohttp import web
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from audio.frame import Frame
from bridge.core.events import Gone
from bridge.edges.media_ws import MediaWs, Settings
from tests.edges.test_media_ws import Board
from tests.edges.test_twilio import media, message, start

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
rng = random.Random(4)


async def listen(board: Board) -> tuple[web.AppRunner, MediaWs, int]:
    app = web.Application()
    edge = MediaWs(Settings("127.0.0.1", 0, "reception"), board)
    edge.add_routes(app.router)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, edge, runner.addresses[0][1]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_call(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def main() -> None:
        board = Board(most=1)
        runner, edge, port = await listen(board)
        async with connect(f"ws://127.0.0.1:{port}/twilio") as client:  # with compression on offer
            await client.send(start().decode())
            await until(lambda: bool(board.calls))
            call = board.calls[0]
            sounds = [rng.randbytes(160) for _ in range(50)]
            for number, sound in enumerate(sounds):
                await client.send(media(sound, str(number + 1)).decode())
            await client.send("x" * 3_000_000)
            await client.send([media(sounds[0], "51").decode()[:50], media(sounds[0], "51").decode()[50:]])
            await until(lambda: len(call.audio) == 51 * 160)
            assert call.audio == b"".join([*sounds, sounds[0]])
            for sound in sounds:
                call.leg.send(sound)
            call.leg.mark("1:1")
            received = [orjson.loads(await client.recv()) for _ in range(51)]
            assert received[-1]["mark"] == {"name": "1:1"}
            await (await client.ping())
            with pytest.raises(InvalidStatus) as refusal:
                await connect(f"ws://127.0.0.1:{port}/twilio")
            assert refusal.value.response.status_code == 503
            call.leg.hang_up("done")
            with pytest.raises(ConnectionClosed) as closed:
                await client.recv()
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1000
        assert not any(isinstance(event, Gone) for event in call.events)
        assert runner.server is not None
        await until(lambda: not runner.server.connections)  # type: ignore[union-attr]
        await edge.close()
        await runner.cleanup()
        await asyncio.sleep(0.01)
        assert len(asyncio.all_tasks()) == 2  # this and what limits its time

    with asyncio.Runner(loop_factory=loop) as run:
        run.run(asyncio.wait_for(main(), 20))


@pytest.mark.parametrize("loop", LOOPS)
def test_a_connection_that_is_reset(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def main() -> None:
        board = Board()
        runner, edge, port = await listen(board)
        client = await connect(f"ws://127.0.0.1:{port}/twilio")
        await client.send(start().decode())
        await until(lambda: bool(board.calls))
        line = client.transport.get_extra_info("socket")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        client.transport.abort()
        call = board.calls[0]
        await until(lambda: any(isinstance(event, Gone) for event in call.events))
        call.leg.send(b"x" * 160)
        other = await connect(f"ws://127.0.0.1:{port}/twilio")
        await other.send(start().decode())
        await other.send(media(b"y" * 160, "1").decode())
        await until(lambda: len(board.calls) == 2 and board.calls[1].audio == b"y" * 160)
        await other.send(message("stop").decode())
        await other.close()
        await edge.close()
        await runner.cleanup()
        assert [type(event) for event in board.calls[1].events] == [Frame, Gone]

    with asyncio.Runner(loop_factory=loop) as run:
        run.run(asyncio.wait_for(main(), 20))
