"""The process: configuration to providers, calls and edges; start, reload, drain, end.

await run(config)                 until SIGTERM or SIGINT; SIGHUP reloads
async with Bridge(config) as b:   the same, for a program that decides itself when it is over
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Self

import structlog
from aiohttp import web

from audio.frame import PCMU
from bridge import config as configuration
from bridge import resolve
from bridge.app_board import Board
from bridge.app_log import Redactor
from bridge.config import Config, ConfigError
from bridge.config_checks import split_listen
from bridge.edges.media_ws import MediaWs, Settings
from bridge.shell.calls import Calls
from bridge.shell.garbage import Garbage
from bridge.shell.health import HealthBoard
from bridge.shell.pacer import Pacer
from bridge.shell.services import Services
from bridge.shell.services import Watcher as Watcher
from bridge.shell.tools import Webhooks

if TYPE_CHECKING:
    from bridge.shell.record import Recordings

log = structlog.get_logger("segue.app")

_BODY_LIMIT = 64 * 1024
_LOOK_EVERY = 2.0  # seconds between two looks at the configuration file
_EXPIRE_EVERY = 3600.0


class Bridge:
    """A running bridge. `address` is where it listens, `calls` has its calls. `watchers` hear every timeline note."""

    def __init__(self, config: Config, watchers: tuple[Watcher, ...] = (), redactor: Redactor | None = None) -> None:
        self.address = ""
        self.board: Board
        self.calls: Calls
        self._health: HealthBoard
        self._config = config
        self._watchers = watchers
        self._redactor = redactor
        self._edge: MediaWs | None = None
        self._housekeeper: asyncio.Task[None] | None = None
        self._cleanup = contextlib.AsyncExitStack()

    @property
    def config(self) -> Config:
        return self._config

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _start(self) -> None:
        config, loop = self._config, asyncio.get_running_loop()
        for warning in config.warnings:
            log.warning(warning)
        resolve.preload(config, (PCMU,))  # not in a thread: what a thread allocated stays with the process
        recordings = self._recordings(config)
        pacer = Pacer()
        self._cleanup.callback(pacer.close)
        tools = Webhooks()
        self._cleanup.push_async_callback(tools.close)
        self._health = HealthBoard(Random(), paces=config.paces())
        services = Services(self._health, pacer, tools, watchers=self._watchers)
        garbage = Garbage()
        self._cleanup.callback(garbage.close)
        self.calls = Calls(services, config.limits.max_calls, recordings, garbage)
        self.board = Board(config, self.calls)
        await self._listen(config)
        self._housekeeper = loop.create_task(self._keep_house(), name="housekeeping")
        garbage.begin()

    def _recordings(self, config: Config) -> Recordings | None:
        if config.record.mode == "off":
            return None
        from bridge.shell.record import Recordings  # noqa: PLC0415 - brings libsndfile, which others do without

        recordings = Recordings(config.path(config.record.folder), config.record.mode)
        self._cleanup.push_async_callback(asyncio.to_thread, recordings.close)
        return recordings

    async def _listen(self, config: Config) -> None:
        app = web.Application(client_max_size=_BODY_LIMIT)
        app.router.add_get("/healthz", self._healthy)
        app.router.add_get("/readyz", self._ready)
        edge = config.edges.media_ws
        host, port = split_listen(edge.listen) if edge is not None else ("127.0.0.1", 0)
        if edge is not None:
            self._edge = MediaWs(settings(config), self.board)
            self._edge.add_routes(app.router)
        # The edge watches its streams itself: keepalive probes of the system would come after two hours.
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0, tcp_keepalive=False)
        await runner.setup()
        self._cleanup.push_async_callback(runner.cleanup)
        if self._edge is not None:
            self._cleanup.push_async_callback(self._edge.close)
        await web.TCPSite(runner, host, port, backlog=1024).start()
        name, bound = runner.addresses[0][:2]
        self.address = f"[{name}]:{bound}" if ":" in name else f"{name}:{bound}"

    async def _healthy(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok", **self.calls.counters()})

    async def _ready(self, _: web.Request) -> web.Response:
        draining = self.calls.draining
        body = {"status": "draining" if draining else "ready", **self.calls.counters()}
        return web.json_response(body, status=503 if draining else 200)

    def replace(self, config: Config) -> None:
        """Put a new configuration in place, for new calls; see `Board.replace`."""
        self._config = config
        self._health.set_paces(config.paces())
        self.board.replace(config)
        if self._edge is not None and config.edges.media_ws is not None:
            self._edge.configure(settings(config))
        if self._redactor is not None:
            self._redactor.add(config.secrets())
        for warning in config.warnings:
            log.warning(warning)

    async def drain(self, limit_ms: int | None = None) -> None:
        """Take no new calls, let the running ones finish within `limit_ms` (by default as configured)."""
        await self.calls.drain(self._config.limits.drain if limit_ms is None else limit_ms)

    async def close(self) -> None:
        """End what still runs and let everything go. Can be called twice."""
        if self._housekeeper is not None:
            self._housekeeper.cancel()
            self._housekeeper = None
        if hasattr(self, "calls"):
            await self.calls.drain(0)
        await self._cleanup.aclose()

    async def _keep_house(self) -> None:
        """Finish the records of calls whose process died, once; then remove those that are too old."""
        root = self._config.path(self._config.record.folder)
        if self._config.record.mode != "off" and root.is_dir():
            for call in await asyncio.to_thread(_recover, root):
                log.warning("call of a process that died was recovered", call=call)
        while True:
            record = self._config.record
            folder = self._config.path(record.folder)
            if record.mode != "off" and record.keep is not None and folder.is_dir():
                keep = timedelta(milliseconds=record.keep)
                for call in await asyncio.to_thread(_expire, folder, keep, time.time()):
                    log.info("call record removed", call=call)
            await asyncio.sleep(_EXPIRE_EVERY)


def _recover(root: Path) -> list[str]:
    from bridge.shell import record_finish  # noqa: PLC0415 - likewise

    return record_finish.recover(root)


def _expire(folder: Path, keep: timedelta, now: float) -> list[str]:
    from bridge.shell import record_finish  # noqa: PLC0415 - likewise

    return record_finish.expire(folder, keep, now)


def settings(config: Config) -> Settings:
    """What the media-stream edge is told. The configuration must have one."""
    edge = config.edges.media_ws
    assert edge is not None
    host, port = split_listen(edge.listen)
    return Settings(
        host=host,
        port=port,
        agent=edge.agent,
        auth_tokens=tuple(token.get_secret_value() for token in edge.auth_token),
        base=(config.public_url or "").rstrip("/"),
        max_call=config.limits.max_duration / 1000,
    )


async def run(
    config: Config,
    path: Path | None = None,
    announce: Callable[[Bridge], None] | None = None,
    watchers: tuple[Watcher, ...] = (),
    redactor: Redactor | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends everything at once. `path` is where `config` came
    from: SIGHUP and a changed file load it again. `announce` is told when callers can come in. Raises EdgeError,
    OSError when the address is taken."""
    signals = _Signals()
    async with Bridge(config, watchers, redactor) as bridge:
        with signals.caught():
            if announce is not None:
                announce(bridge)
            reloader = asyncio.create_task(_reload(bridge, path, signals.reload), name="reload")
            await signals.stop.wait()
            reloader.cancel()
            draining = asyncio.create_task(bridge.drain(), name="drain")
            hurry = asyncio.create_task(signals.hurry.wait(), name="hurry")
            await asyncio.wait((draining, hurry), return_when=asyncio.FIRST_COMPLETED)
            for task in (draining, hurry):
                task.cancel()


class _Signals:
    """What the process was told from outside."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        self.reload = asyncio.Event()

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        handlers = {signal.SIGTERM: self._end, signal.SIGINT: self._end, signal.SIGHUP: self.reload.set}
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def _end(self) -> None:
        (self.hurry if self.stop.is_set() else self.stop).set()


async def _reload(bridge: Bridge, path: Path | None, asked: asyncio.Event) -> None:
    """Load the file again when it changed or somebody asks. A file that cannot be used changes nothing."""
    seen = _version(path)
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asked.wait(), _LOOK_EVERY)
        version = _version(path)
        if not asked.is_set() and version == seen:
            continue
        asked.clear()
        seen = version
        if path is None:
            log.warning("there is no configuration file to load again")
            continue
        try:
            bridge.replace(await asyncio.to_thread(_read_again, bridge.config, path))
            log.info("configuration replaced", file=str(path))
        except ConfigError as error:
            log.error("configuration not replaced", file=str(path), problems=str(error).splitlines())


def _read_again(old: Config, path: Path) -> Config:
    config = configuration.reload(old, path)
    resolve.preload(config, (PCMU,))
    return config


def _version(path: Path | None) -> tuple[int, int] | None:
    """Changes whenever the file does; None when there is none."""
    try:
        status = path.stat() if path is not None else None
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_ino) if status is not None else None


def new_event_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, which saves 5 to 13 % of CPU on this work, where it is installed."""
    try:
        import uvloop  # noqa: PLC0415 - not made for every platform
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
