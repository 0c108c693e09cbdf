"""The virtual-time loop itself."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest
from aiohttp import web

from tests.virtual import BEGINNING, Stuck, network, run, virtual


async def _echo(request: web.Request) -> web.WebSocketResponse:
    connection = web.WebSocketResponse()
    await connection.prepare(request)
    async for message in connection:
        await connection.send_str(message.data + "!")
    return connection


async def _serve(app: web.Application) -> tuple[web.AppRunner, int]:
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, runner.addresses[0][1]


def test_time_jumps_to_the_next_timer() -> None:
    seen: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((name, asyncio.get_running_loop().time() - BEGINNING))

    async def main() -> None:
        await asyncio.gather(sleeper("day", 86_400), sleeper("second", 1), sleeper("now", 0))

    before = time.monotonic()
    run(main())
    assert seen == [("now", 0.0), ("second", 1.0), ("day", 86_400.0)]
    assert time.monotonic() - before < 5


@virtual
async def test_time_stands_still_while_a_job_is_open() -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    timer = asyncio.create_task(asyncio.sleep(60))
    await asyncio.to_thread(time.sleep, 0.05)
    assert loop.time() == started
    await timer
    assert loop.time() == started + 60


def test_waiting_for_nothing_is_an_error() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stuck):
        run(main())


def test_a_task_left_behind_is_an_error() -> None:
    async def main() -> None:
        main.left = asyncio.create_task(asyncio.sleep(1000))  # type: ignore[attr-defined]

    with pytest.raises(AssertionError, match="tasks left"):
        run(main())


def test_a_connection_left_behind_is_an_error() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 1234)
        await loop.create_connection(asyncio.Protocol, "anything", 1234)
        server.close()

    with pytest.raises(AssertionError, match="connections left, to ports \\[1234\\]"):
        run(main())


@virtual
async def test_aiohttp_runs_on_both_sides_and_latency_counts() -> None:
    app = web.Application()
    app.router.add_get("/", _echo)
    runner, port = await _serve(app)
    network().latency = 0.04
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as session:
        before = loop.time()
        async with session.ws_connect(f"http://somewhere.example:{port}/") as connection:
            assert loop.time() - before == pytest.approx(0.16)  # TCP and upgrade: a round trip each
            before = loop.time()
            await connection.send_str("hello")
            await connection.send_str("again")
            assert (await connection.receive()).data == "hello!"
            assert (await connection.receive()).data == "again!"
            assert loop.time() - before == pytest.approx(0.08)
    await runner.cleanup()


@virtual
async def test_a_paused_reader_gets_everything_later() -> None:
    loop = asyncio.get_running_loop()
    got = bytearray()

    class Reader(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transport.pause_reading()  # type: ignore[attr-defined]
            loop.call_later(5, transport.resume_reading)  # type: ignore[attr-defined]

        def data_received(self, data: bytes) -> None:
            got.extend(data)

    class Writer(asyncio.Protocol):
        paused: float | None = None
        resumed: float | None = None

        def pause_writing(self) -> None:
            self.paused = loop.time()

        def resume_writing(self) -> None:
            self.resumed = loop.time()

    server = await loop.create_server(Reader, "127.0.0.1", 0)
    transport, writer = await loop.create_connection(Writer, "127.0.0.1", server.sockets[0].getsockname()[1])
    for byte in range(200):
        transport.write(bytes([byte]) * 1000)
    assert transport.get_write_buffer_size() == 200_000
    await asyncio.sleep(10)
    assert bytes(got) == b"".join(bytes([byte]) * 1000 for byte in range(200))
    assert transport.get_write_buffer_size() == 0
    assert (writer.paused, writer.resumed) == (BEGINNING, BEGINNING + 5)
    transport.close()


@virtual
async def test_connecting_fails_as_told() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    network().refuse(port)
    with pytest.raises(ConnectionRefusedError):
        await loop.create_connection(asyncio.Protocol, "127.0.0.1", port)
    network().swallow(port)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(loop.create_connection(asyncio.Protocol, "127.0.0.1", port), 3)
    network().heal(port)
    transport, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", port)
    transport.close()
    server.close()
    with pytest.raises(ConnectionRefusedError):
        await loop.create_connection(asyncio.Protocol, "127.0.0.1", port)


@virtual
async def test_a_reset_reaches_both_ends_and_a_frozen_pipe_neither() -> None:
    loop = asyncio.get_running_loop()
    lost: list[type[Exception] | None] = []
    got: list[bytes] = []

    class Recording(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            got.append(data)

        def connection_lost(self, error: Exception | None) -> None:
            lost.append(type(error) if error else None)

    server = await loop.create_server(Recording, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await loop.create_connection(Recording, "127.0.0.1", port)
    network().pipes[-1].reset()
    assert lost == [ConnectionResetError, ConnectionResetError]

    transport, _ = await loop.create_connection(Recording, "127.0.0.1", port)
    network().pipes[-1].freeze()
    transport.write(b"into the dark")
    await asyncio.sleep(100)
    assert (got, len(lost), transport.get_write_buffer_size()) == ([], 2, 13)
    transport.abort()
