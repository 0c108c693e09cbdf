"""What one message costs on a provider link, by WebSocket client. Decides what `bridge/shell/socket.py` is made of.

100 connections; on each the client sends a caller's frame (20 ms of G.711 as JSON text) as soon as the reply to the one
before (200 ms of G.711) has come. The server is a process of its own and does next to nothing. The measure is CPU time
of the client process per exchange (one message out, one in); clients take turns, several rounds, and the medians are
compared: the ratio counts, not the microseconds.

    python bench/sockets.py [--rounds 5] [--exchanges 300] [--connections 100] [--uvloop/--no-uvloop]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import aiohttp
import uvloop
import websockets
from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from bridge.shell.frames import measure
from bridge.shell.socket import Handler, connect
from providers.base import Failure
from providers.codec import Dial

UP = json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(os.urandom(160)).decode()})
DOWN = json.dumps(
    {
        "type": "response.output_audio.delta",
        "event_id": "event_C1p0example0example",
        "response_id": "resp_C1p0example0example",
        "item_id": "item_C1p0example0example",
        "output_index": 0,
        "content_index": 0,
        "delta": base64.b64encode(os.urandom(1600)).decode(),
    }
).encode()

Client = Callable[[str, int], Awaitable[None]]
"""Opens a connection to the address and makes that many exchanges."""


# ------------------------------------------------------------------------------------------------------------- server


class Answering(asyncio.Protocol):
    """Answers every frame with DOWN, whatever is in it."""

    reply = b"\x81\x7e" + len(DOWN).to_bytes(2, "big") + DOWN

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are not of asyncio's classes
        self.upgrade: ServerProtocol | None = ServerProtocol(logger=None)
        self.rest = b""

    def data_received(self, data: bytes) -> None:
        if self.upgrade is not None:
            self.upgrade.receive_data(data)
            for request in self.upgrade.events_received():
                self.upgrade.send_response(self.upgrade.accept(request))  # type: ignore[arg-type]
                self.transport.writelines(self.upgrade.data_to_send())
                self.upgrade = None
            return
        data = self.rest + data
        at = 0
        while True:
            _, end = measure(data, at)
            if end == 0 or end > len(data):
                break
            if data[at] & 0x0F == 8:
                self.transport.close()
                return
            self.transport.write(self.reply)
            at = end
        self.rest = data[at:]


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# ------------------------------------------------------------------------------------------------------------ clients


async def with_coroutines(address: str, exchanges: int) -> None:
    """`websockets`' own asyncio client."""
    async with websockets.connect(address, compression=None, ping_interval=None, max_size=2**24) as connection:
        for _ in range(exchanges):
            await connection.send(UP)
            await connection.recv()


async def with_aiohttp(address: str, exchanges: int) -> None:
    """aiohttp's client, one session each as in a process with many providers."""
    async with aiohttp.ClientSession() as session, session.ws_connect(address, max_msg_size=2**24) as connection:
        for _ in range(exchanges):
            await connection.send_str(UP)
            await connection.receive()


class Driven(asyncio.Protocol):
    """`websockets`' sans-I/O protocol for everything."""

    def __init__(self, address: str, exchanges: int, done: asyncio.Future[None]) -> None:
        self.left, self.done = exchanges, done
        self.protocol = ClientProtocol(parse_uri(address), max_size=2**24)
        self.opened = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are not of asyncio's classes
        self.protocol.send_request(self.protocol.connect())
        self.flush()

    def flush(self) -> None:
        for data in self.protocol.data_to_send():
            self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            if isinstance(event, Frame):
                self.message(bytes(event.data).decode())
            else:
                self.send(UP)
        self.flush()

    def message(self, text: str) -> None:
        self.left -= 1
        if self.left:
            self.send(UP)
        else:
            self.protocol.send_close(1000)
            self.done.set_result(None)

    def send(self, text: str) -> None:
        self.protocol.send_text(text.encode())
        self.flush()


async def with_sans_io(address: str, exchanges: int) -> None:
    done = asyncio.get_running_loop().create_future()
    uri = parse_uri(address)
    await asyncio.get_running_loop().create_connection(lambda: Driven(address, exchanges, done), uri.host, uri.port)
    await done


async def with_segue(address: str, exchanges: int) -> None:
    """The product's: the sans-I/O protocol for the rare, an own path for whole frames."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    left = exchanges

    def opened() -> None:
        socket.write([UP])

    def message(_: str | bytes) -> None:
        nonlocal left
        left -= 1
        if left:
            socket.write([UP])
        else:
            done.set_result(None)

    def closed(failure: Failure) -> None:
        done.set_exception(ConnectionError(failure))

    socket = connect(Dial(address), Handler(opened, message, closed, lambda what, dead: None))
    await done
    socket.close()


CLIENTS: dict[str, Client] = {
    "segue": with_segue,
    "websockets sans-I/O": with_sans_io,
    "aiohttp": with_aiohttp,
    "websockets coroutines": with_coroutines,
}


# ---------------------------------------------------------------------------------------------------------- measuring


async def load(client: Client, address: str, connections: int, exchanges: int) -> float:
    """CPU microseconds per exchange, connections already paid for by a run with a single exchange each."""

    async def run(count: int) -> float:
        before = time.process_time()
        await asyncio.gather(*(client(address, count) for _ in range(connections)))
        return time.process_time() - before

    setup = await run(1)
    total = await run(exchanges + 1)
    return (total - setup) / (connections * exchanges) * 1e6


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--exchanges", type=int, default=300)
    options.add_argument("--connections", type=int, default=100)
    options.add_argument("--uvloop", action=argparse.BooleanOptionalAction, default=True)
    options.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.serve:
        uvloop.run(serve())
        return
    run = uvloop.run if given.uvloop else asyncio.run
    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        address = f"ws://127.0.0.1:{int(server.stdout.readline())}"
        costs: dict[str, list[float]] = {name: [] for name in CLIENTS}
        for _ in range(given.rounds):
            for name, client in CLIENTS.items():
                costs[name].append(run(load(client, address, given.connections, given.exchanges)))
    finally:
        server.terminate()
        server.wait()
    best = statistics.median(costs["segue"])
    print(f"{'uvloop' if given.uvloop else 'asyncio'}, {given.connections} connections, {given.rounds} rounds")
    print(f"{'client':24}{'us CPU per exchange':>21}{'ratio':>8}{'spread':>16}")
    for name, values in costs.items():
        middle = statistics.median(values)
        print(f"{name:24}{middle:>21.1f}{middle / best:>8.2f}{min(values):>9.1f}-{max(values):.1f}")


if __name__ == "__main__":
    main()
