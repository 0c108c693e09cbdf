"""`segue fake`."""

from __future__ import annotations

import asyncio
import json
import signal
from dataclasses import dataclass
from pathlib import Path

from bridge.cli_errors import UserError
from bridge.fakes.emulator import KINDS, Kind
from bridge.fakes.server import Running, start


def kind_of(name: str) -> Kind:
    """The emulator called `name`. Raises UserError."""
    for kind in KINDS:
        if kind == name:
            return kind
    raise UserError(f'there is no emulator of "{name}"; there are {", ".join(KINDS)}')


@dataclass(frozen=True, slots=True)
class Settings:
    """What is asked for. `certificate`: where the one of a `tls` listener is written."""

    kind: Kind
    port: int = 0
    host: str = "127.0.0.1"
    script: Path | None = None
    tls: bool = False
    certificate: Path | None = None
    rtt_ms: float = 0.0
    save: Path | None = None
    pace: float = 4.0


def command(asked: Settings, as_json: bool) -> int:
    """Run one emulator until SIGTERM or SIGINT, then 0. Raises ScriptError and OSError."""

    async def run() -> None:
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, over.set)
        running = await start(
            asked.kind, asked.port, asked.script, asked.tls, asked.rtt_ms, asked.save, asked.pace, host=asked.host
        )
        if asked.certificate is not None and running.certificate is not None:
            asked.certificate.write_bytes(running.certificate)
        _say(asked.kind, running, as_json)
        await over.wait()
        await running.close()

    asyncio.run(run())
    return 0


def _say(kind: Kind, running: Running, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"kind": kind, "url": running.url, "port": running.port}), flush=True)
    else:
        print(f"{kind} emulator listening on {running.url}", flush=True)
