"""`segue serve`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from bridge import app
from bridge.app_log import configure
from bridge.cli_errors import UserError
from bridge.cli_lean import give_back
from bridge.config import Config, load
from bridge.config_default import credentialed, embedded


def command(file: Path | None, listen: str | None, level: str, as_json: bool) -> int:
    """Serve until SIGTERM or SIGINT, then 0. `file` None: ./segue.yaml, else the embedded configuration. Raises
    ConfigError, EdgeError, OSError, UserError."""
    if file is None and Path("segue.yaml").exists():
        file = Path("segue.yaml")
    if file is not None and listen is not None:
        raise UserError("--listen is for the embedded configuration; a file says it itself, in edges.media_ws.listen")
    if level not in ("debug", "info", "warning", "error"):
        raise UserError(f'--log-level "{level}": debug, info, warning or error')
    with asyncio.Runner(loop_factory=app.new_event_loop()) as runner:
        runner.run(_serve(file, listen, level, as_json))
    return 0


async def _serve(file: Path | None, listen: str | None, level: str, as_json: bool) -> None:
    async with contextlib.AsyncExitStack() as stack:
        urls: dict[str, str] = {}
        if file is not None:
            config = load(file)
        elif credentialed():
            config = embedded(listen=listen)
        else:
            from bridge.cli_emulators import emulators  # brings servers, speech and certificates

            urls = await stack.enter_async_context(emulators())
            config = embedded(emulators=urls, listen=listen)

        def announce(bridge: app.Bridge) -> None:
            give_back()
            print(_facts(config, bridge.address, urls) if as_json else _words(config, bridge.address, urls), flush=True)

        redactor = configure(config.secrets(), level)
        await app.run(config, file, announce, redactor=redactor)


def _facts(config: Config, address: str, emulated: Mapping[str, str]) -> str:
    edge = config.edges.media_ws
    return json.dumps({
        "event": "listening",
        "version": version("segue"),
        "config": config.source,
        "address": address,
        "stream": f"ws://{address}/twilio" if edge else None,
        "twiml": f"http://{address}/twilio/twiml" if edge else None,
        "agent": edge.agent if edge else None,
        "agents": list(config.agents),
        "emulated": dict(emulated),
        "providers": {name: {"kind": one.kind, "model": one.model} for name, one in config.providers.items()},
        "records": str(config.path(config.record.folder)) if config.record.mode != "off" else None,
        "warnings": list(config.warnings),
    })  # fmt: skip


def _words(config: Config, address: str, emulated: Mapping[str, str]) -> str:
    lines = [f"Segue {version('segue')}, {config.source}"]
    if emulated:
        lines += [
            "",
            "No provider credentials in the environment, so three EMULATORS answer: real sockets, synthetic speech,",
            "no model behind them. Set OPENAI_API_KEY, AZURE_VOICELIVE_ENDPOINT and AZURE_VOICELIVE_API_KEY, or",
            "GEMINI_API_KEY to talk to the real ones.",
        ]
    lines.append("")
    for name, route in config.routes.items():
        chain = " -> ".join(f"{one} ({config.providers[one].model})" for one in route.providers)
        lines.append(f"  route {name:<9} {chain}, standby {route.standby}")
    lines += [f"  {name:<15} {url} (emulator)" for name, url in emulated.items()]
    if config.record.mode != "off":
        lines.append(f"  records         {config.path(config.record.folder)} ({config.record.mode})")
    if config.edges.media_ws is not None:
        lines += [
            f"  listening       ws://{address}/twilio          media stream, agent {config.edges.media_ws.agent}",
            f"                  http://{address}/twilio/twiml  for the number's webhook",
            "",
            "Call it from another terminal:",
            f"  {_program()} dial ws://{address}/twilio",
        ]
    else:
        lines.append(f"  listening       {address}, health only: the configuration has no edge")
    return "\n".join(lines)


def _program() -> str:
    """How this program is called from the working folder."""
    if shutil.which("segue"):
        return "segue"
    beside = Path(sys.executable).parent / "segue"
    with contextlib.suppress(ValueError):
        return os.fspath(beside.relative_to(Path.cwd()))
    return os.fspath(beside)
