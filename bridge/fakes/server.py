"""The emulators as servers: real sockets around `Emulator`, on aiohttp."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import WSMessage, WSMsgType, web

from bridge.fakes import sockets
from bridge.fakes.checks import ScriptError
from bridge.fakes.emulator import KINDS, Emulator, Kind
from bridge.fakes.saving import Saver
from bridge.fakes.script import Script
from bridge.fakes.session import Session
from bridge.fakes.tls import self_signed
from bridge.fakes.wire import Close, HttpRefusal, Message, Out, Reset, Silence

PATHS: dict[str, str] = {
    "openai": "/v1/realtime",
    "azure": "/voice-live/realtime",
    "azure-openai": "/openai/v1/realtime",
    "gemini": "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
}
MAX_MESSAGE = 64 * 1024 * 1024


@dataclass
class Running:
    """An emulator that listens. `url` is what a client dials (before the query); `certificate` (PEM) what it has to
    trust with TLS."""

    emulator: Emulator
    port: int
    url: str
    certificate: bytes | None
    _runner: web.ServerRunner
    _lines: set[_Line] = field(default_factory=set)

    async def close(self) -> None:
        """End every connection and the listener at once."""
        for line in list(self._lines):
            line.abort()
        await self._runner.cleanup()


async def start(
    kind: Kind,
    port: int = 0,
    script: Script | Path | Any = None,
    tls: bool = False,
    rtt_ms: float = 0.0,
    save_dir: Path | None = None,
    pace: float = 4.0,
    seed: int = 0,
    host: str = "127.0.0.1",
) -> Running:
    """Listen on `port` (0: any free one). Raises ScriptError for a bad script and OSError for a port in use."""
    epoch = int(time.time() - asyncio.get_running_loop().time())
    emulator = Emulator(kind, script, seed, rtt_ms, pace, epoch)
    lines: set[_Line] = set()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        line = _Line(emulator, request, save_dir)
        lines.add(line)
        try:
            return await line.run()
        finally:
            lines.discard(line)

    context, certificate = self_signed() if tls else (None, None)
    runner = web.ServerRunner(web.Server(answer, access_log=None), handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, host, port, ssl_context=context)
    try:
        await site.start()
    except OSError:
        await runner.cleanup()
        raise
    bound = int(runner.addresses[0][1])
    scheme = "wss" if tls else "ws"
    return Running(emulator, bound, f"{scheme}://{host}:{bound}{PATHS[kind]}", certificate, runner, lines)


class _Line:
    """One connection: carries messages between the socket and the session, and ends as the session says."""

    def __init__(self, emulator: Emulator, request: web.BaseRequest, save_dir: Path | None) -> None:
        self._emulator = emulator
        self._request = request
        self._save_dir = save_dir
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Out] = deque()
        self._wake = asyncio.Event()
        self._over = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._armed = 0
        self._saver: Saver | None = None
        self._pongs: set[asyncio.Task[None]] = set()

    def _now(self) -> int:
        """The loop's time: tests let it jump."""
        return round(self._loop.time() * 1e9)

    async def run(self) -> web.StreamResponse:
        request = self._request
        arrived = self._now()
        session = self._emulator.connect(arrived, request.headers, request.path, dict(request.query))
        if self._emulator.upgrade_ms:
            await asyncio.sleep(self._emulator.upgrade_ms / 1000)
        if isinstance(session, HttpRefusal):
            return web.Response(status=session.status, headers=dict(session.headers), body=session.body)
        if isinstance(session, Reset | Silence):
            await self._ending(session)
            return web.Response()
        protocols = (session.subprotocol,) if session.subprotocol else ()
        ws = web.WebSocketResponse(protocols=protocols, max_msg_size=MAX_MESSAGE, compress=False, autoping=False)
        try:
            await ws.prepare(request)
        except ConnectionError:  # the client did not wait for the answer
            return ws
        if self._save_dir is not None:
            self._saver = Saver(self._save_dir, session.connection, session.request, arrived)
        reader = asyncio.create_task(self._read(ws, session))
        writer = asyncio.create_task(self._write(ws, session))
        self._advance(session)
        how = "lost"
        try:
            await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
            if writer.done() and not writer.cancelled():
                how = writer.result()
            elif ws.close_code is not None:
                how = f"closed by the client, {ws.close_code}"
        finally:
            tasks = (reader, writer, *self._pongs)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._timer is not None:
                self._timer.cancel()
            if self._saver is not None:
                self._saver.close(how, session.input_format, self._now())
        return ws

    def abort(self) -> None:
        """End without a word."""
        self._over.set()
        if self._request.transport is not None:
            sockets.reset(self._request.transport)

    def _advance(self, session: Session) -> None:
        """Collect what is due, wake the writer for it, and set the timer for what comes next."""
        now = self._now()
        try:
            out = session.due(now)
        except Exception:
            self.abort()
            raise
        if out:
            self._queue.extend(out)
            self._wake.set()
        due = session.next_due
        if due is None or (self._timer is not None and self._armed <= due and self._armed > now):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed = due
        self._timer = self._loop.call_later(max(0, due - now) / 1e9, self._fire, session)

    def _fire(self, session: Session) -> None:
        """The timer: uvloop's may be early, and then has to be set again."""
        self._timer = None
        self._advance(session)

    async def _read(self, ws: web.WebSocketResponse, session: Session) -> None:
        while True:
            message: WSMessage = await ws.receive()
            if message.type is WSMsgType.TEXT or message.type is WSMsgType.BINARY:
                now = self._now()
                if self._saver is not None:
                    self._saver.received(message.data, now)
                session.receive(message.data, now)
                self._advance(session)
            elif message.type is WSMsgType.PING:
                self._pong(ws, session, message.data)
            elif message.type is not WSMsgType.PONG:
                return

    def _pong(self, ws: web.WebSocketResponse, session: Session, data: bytes) -> None:
        """Answer a ping, as late as the script says; never while silent."""
        wait = self._emulator.script.pong_ms
        if wait is None or session.gone:
            return

        async def answer() -> None:
            await asyncio.sleep((wait + self._emulator.rtt_ms) / 1000)
            with contextlib.suppress(ConnectionError, RuntimeError):
                await ws.pong(data)

        task = self._loop.create_task(answer())
        self._pongs.add(task)
        task.add_done_callback(self._pongs.discard)

    async def _write(self, ws: web.WebSocketResponse, session: Session) -> str:
        """Until the session ends the connection; says how."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                out = self._queue.popleft()
                if isinstance(out, Message):
                    try:
                        await (ws.send_str(out.data) if isinstance(out.data, str) else ws.send_bytes(out.data))
                    except ConnectionError:
                        return "lost"
                elif isinstance(out, Close):
                    with contextlib.suppress(ConnectionError):
                        await ws.close(code=out.code, message=out.reason.encode()[:123])
                    return f"closed, {out.code} {out.reason}".strip()
                else:
                    await self._ending(out)
                    return "reset" if isinstance(out, Reset) else "silent"

    async def _ending(self, out: Reset | Silence) -> None:
        transport = self._request.transport
        if transport is None:
            return
        if isinstance(out, Reset):
            sockets.reset(transport)
            return
        if out.acknowledged:
            sockets.go_deaf(transport)
        else:
            sockets.vanish(transport)
        await self._over.wait()


def serve(
    kind: str,
    port: int,
    script: Path | None = None,
    tls: bool = False,
    rtt_ms: float = 0.0,
    save: Path | None = None,
    pace: float = 4.0,
) -> int:
    """Run one emulator until SIGTERM or SIGINT; prints where it listens. Returns the exit status: 0, or 2 with a line
    on what is wrong."""
    if kind not in KINDS:
        print(f"no emulator of kind {kind!r}; there are {', '.join(KINDS)}")
        return 2

    async def run() -> None:
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, over.set)
        running = await start(kind, port, script, tls, rtt_ms, save, pace)
        print(f"{kind} emulator listening on {running.url}", flush=True)
        await over.wait()
        await running.close()

    try:
        asyncio.run(run())
    except ScriptError as error:
        print(error)
        return 2
    except OSError as error:
        print(f"cannot listen on port {port}: {error.strerror or error}")
        return 2
    return 0
