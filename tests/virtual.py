"""Whole calls without waiting: an event loop whose clock jumps, and a network in memory.

    @virtual
    async def test_something() -> None: ...

Time passes only when nothing is ready and no executor job is open: then it jumps to the next timer. Everything that
asks the loop for a connection or a server (aiohttp's server and client, `bridge.shell.socket`) meets on the loop's
network, by port; host names mean nothing. When nothing is left that could happen, `Stuck` is raised instead of hanging.
Afterwards no task and no connection may be left.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")

BEGINNING = 1000.0
"""Loop time at the start, in seconds: not 0, so that nobody mistakes a time for its absence."""

_JOB_PATIENCE = 20.0  # real seconds an executor job may take
_SETTLE = 2.0  # virtual seconds after the test, for what is closing


class Stuck(RuntimeError):
    """Nothing is ready, no timer is set and no job is running: the test waits for something that cannot happen."""


class _JumpingSelector(selectors.DefaultSelector):
    """Moves the loop's clock instead of waiting."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self.loop.jobs:
            ready = super().select(_JOB_PATIENCE)
            if not ready:
                raise Stuck(f"an executor job took more than {_JOB_PATIENCE} s")
            return ready
        if timeout is None:
            raise Stuck("nothing is left that could happen")
        self.loop.jump()
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        selector = _JumpingSelector()
        selector.loop = self
        self.jobs = 0
        self._clock = BEGINNING
        self._dialled: dict[int, int] = {}  # a socket's descriptor -> the port sock_connect was given
        self.network = Network(self)
        super().__init__(selector)

    def time(self) -> float:
        return self._clock

    def jump(self) -> None:
        """To the next timer."""
        self._clock = max(self._clock, cast(Any, self)._scheduled[0].when())

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        future = super().run_in_executor(executor, func, *args)
        self.jobs += 1
        future.add_done_callback(self._job_done)
        return future

    def _job_done(self, _: object) -> None:
        self.jobs -= 1

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        self.jobs += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self.jobs -= 1

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", int(port or 0)))]

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """aiohttp's client connects a socket first and hands it to create_connection."""
        await self.network.reach(address[1])
        self._dialled[sock.fileno()] = address[1]

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        *,
        ssl: Any = None,
        sock: socket.socket | None = None,
        **_: Any,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        if ssl:
            raise ValueError("there is no TLS on the virtual network")
        if sock is not None:
            port = self._dialled.pop(sock.fileno())
            sock.close()
        else:
            assert port is not None
            await self.network.reach(port)
        assert port is not None
        return self.network.connect(protocol_factory, port)

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: Any = None,
        port: int | None = None,
        *,
        ssl: Any = None,
        **_: Any,
    ) -> MemoryServer:
        if ssl:
            raise ValueError("there is no TLS on the virtual network")
        return self.network.listen(protocol_factory, port or 0)


class Network:
    """Servers by port, connections, and what is wrong with them. `latency` is seconds one way."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.latency = 0.0
        self.pipes: list[Pipe] = []
        self._loop = loop
        self._servers: dict[int, MemoryServer] = {}
        self._next_port = 20_000
        self._faults: dict[int, OSError | None] = {}

    def refuse(self, port: int, error: OSError | None = None) -> None:
        """Connecting to `port` fails from now on, by default with "connection refused"."""
        self._faults[port] = error or ConnectionRefusedError(111, f"Connect call failed ({port})")

    def swallow(self, port: int) -> None:
        """Connecting to `port` is never answered from now on."""
        self._faults[port] = None

    def heal(self, port: int) -> None:
        self._faults.pop(port, None)

    async def reach(self, port: int) -> None:
        """What a TCP handshake takes. Raises OSError."""
        if port in self._faults:
            error = self._faults[port]
            if error is None:
                await self._loop.create_future()
            else:
                raise error
        await asyncio.sleep(2 * self.latency)
        if port not in self._servers:
            raise ConnectionRefusedError(111, f"Connect call failed ({port})")

    def listen(self, factory: Callable[[], asyncio.BaseProtocol], port: int) -> MemoryServer:
        if port == 0:
            self._next_port += 1
            port = self._next_port
        if port in self._servers:
            raise OSError(98, f"port {port} is taken")
        server = MemoryServer(self, factory, port)
        self._servers[port] = server
        return server

    def connect(
        self, factory: Callable[[], asyncio.BaseProtocol], port: int
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        if port not in self._servers:
            raise ConnectionRefusedError(111, f"Connect call failed ({port})")
        self._next_port += 1
        pipe = Pipe(self._loop, self, port, self._next_port)
        self.pipes.append(pipe)
        protocol = factory()
        pipe.server.begin(self._servers[port].factory())
        pipe.client.begin(protocol)
        return pipe.client, protocol

    def forget(self, port: int) -> None:
        self._servers.pop(port, None)


class MemoryServer:
    """A listening port, as much of asyncio's server as aiohttp asks for."""

    def __init__(self, network: Network, factory: Callable[[], asyncio.BaseProtocol], port: int) -> None:
        self._network = network
        self.factory = factory
        self.port = port
        self.sockets = (_Name(("127.0.0.1", port)),)

    def close(self) -> None:
        self._network.forget(self.port)

    async def wait_closed(self) -> None: ...


class _Name:
    """As much of a socket as says where it listens."""

    def __init__(self, name: tuple[str, int]) -> None:
        self._name = name
        self.family = socket.AF_INET

    def getsockname(self) -> tuple[str, int]:
        return self._name


class Pipe:
    """One connection, both ends. Break it as networks break."""

    def __init__(self, loop: VirtualLoop, network: Network, port: int, client_port: int) -> None:
        self.port = port
        self.network = network
        self.client = MemoryTransport(loop, self, {"peername": ("127.0.0.1", port)})
        self.server = MemoryTransport(loop, self, {"peername": ("127.0.0.1", client_port)})
        self.client.peer, self.server.peer = self.server, self.client

    @property
    def open(self) -> bool:
        return not (self.client.lost and self.server.lost)

    def freeze(self) -> None:
        """From now on nothing arrives on either side and nobody is told."""
        self.client.frozen = self.server.frozen = True

    def reset(self) -> None:
        """Both ends get ECONNRESET."""
        for end in (self.client, self.server):
            end.lose(ConnectionResetError(104, "Connection reset by peer"))


class MemoryTransport(asyncio.Transport):
    """One end of a pipe. What is written arrives in order after the network's latency, unless the pipe is frozen or the
    other side has paused reading."""

    peer: MemoryTransport

    def __init__(self, loop: VirtualLoop, pipe: Pipe, extra: dict[str, Any]) -> None:
        super().__init__({"socket": None, "sockname": ("127.0.0.1", pipe.port), **extra})
        self._loop = loop
        self.pipe = pipe
        self.frozen = False
        self.lost = False
        self._protocol: Any = None
        self._closing = False
        self._sending: deque[tuple[float, bytes]] = deque()  # when it arrives, and what; b"" is the end
        self._size = 0
        self._reading = True
        self._paused_writer = False
        self._high = 64 * 1024

    def begin(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol
        protocol.connection_made(self)

    # what protocols call

    def write(self, data: Any) -> None:
        if self._closing or self.lost or not data:
            return
        self._push(bytes(data))
        if self._size > self._high and not self._paused_writer:
            self._paused_writer = True
            self._protocol.pause_writing()

    def write_eof(self) -> None:
        self._push(b"")

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._push(b"")
            self._loop.call_soon(self.lose, None)

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self._closing or self.lost

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self._loop.call_soon(self.peer._deliver)

    def is_reading(self) -> bool:
        return self._reading

    def get_write_buffer_size(self) -> int:
        return self._size

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 64 * 1024 if high is None else high

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return cast(asyncio.BaseProtocol, self._protocol)

    # moving bytes

    def _push(self, data: bytes) -> None:
        arrival = self._loop.time() + self.pipe.network.latency
        self._sending.append((arrival, data))
        self._size += len(data)
        self._loop.call_at(arrival, self._deliver)

    def _deliver(self) -> None:
        """Whatever has had the time to arrive."""
        peer = self.peer
        while self._sending and self._sending[0][0] <= self._loop.time():
            if self.frozen or peer.lost or not peer._reading:
                return
            _, data = self._sending.popleft()
            self._size -= len(data)
            if data:
                peer._protocol.data_received(data)
            elif not peer._protocol.eof_received():
                peer.close()
        if self._paused_writer and self._size == 0 and not self.lost:
            self._paused_writer = False
            self._protocol.resume_writing()

    def lose(self, error: Exception | None) -> None:
        """The end for this side."""
        if self.lost:
            return
        self.lost = self._closing = True
        self._protocol.connection_lost(error)
        if not self.pipe.open and self.pipe in self.pipe.network.pipes:
            self.pipe.network.pipes.remove(self.pipe)


def network() -> Network:
    """The network of the running loop."""
    return cast(VirtualLoop, asyncio.get_running_loop()).network


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on a loop of its own. Raises AssertionError when it leaves tasks or connections behind."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_and_nothing_left(main))


async def _and_nothing_left(main: Coroutine[Any, Any, T]) -> T:
    result = await main
    await asyncio.sleep(_SETTLE)
    tasks = asyncio.all_tasks() - {cast("asyncio.Task[Any]", asyncio.current_task())}
    assert not tasks, f"tasks left: {tasks}"
    pipes = [pipe.port for pipe in network().pipes if not pipe.client.frozen]
    assert not pipes, f"connections left, to ports {pipes}"
    return result


def virtual(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make a coroutine function a test that runs in virtual time."""

    @functools.wraps(test)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        run(test(*args, **kwargs))

    return wrapper
