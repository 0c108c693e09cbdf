"""The product under test: `segue serve` as a process of its own, and the tool its agents call."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from tests.chaos.live.emulators import ROOT, environment
from tests.chaos.matrix.cell import TOOL_MS
from tests.chaos.matrix.phases import NUMBER
from tests.wire.stage import MODELS

STARTS_S = 60.0
MODEL = "gpt-realtime-2.1"


@dataclass(frozen=True, slots=True)
class Agent:
    """One call's agent with a route of its own. `providers`: name -> (kind, address), in order."""

    name: str
    providers: Mapping[str, tuple[str, str]]
    standby: str
    greeting: str = ""
    tool: bool = False


class Tool:
    """A webhook at `/NAME` for each call, that takes TOOL_MS. `runs`: how often each was called."""

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()
        self.port = 0
        self._runner = web.ServerRunner(web.Server(self._answer, access_log=None), handle_signals=False)

    async def __aenter__(self) -> Tool:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        self.runs[request.path.strip("/")] += 1
        await asyncio.sleep(TOOL_MS / 1000)
        return web.json_response({"value": NUMBER})


class Served:
    """`segue serve` on a free port; `async with Served(...) as served`. `streams` below `ws://{address}/twilio/NAME`."""

    def __init__(self, folder: Path, agents: Sequence[Agent], tool_port: int, others: Mapping[str, Any]) -> None:
        """`others`: providers that no call's route names."""
        self.address = ""
        self.records = folder / "calls"
        self._file = folder / "segue.yaml"
        self._log = folder / "serve.log"
        folder.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(_config(agents, tool_port, others)), encoding="utf-8")
        self._process: asyncio.subprocess.Process

    async def __aenter__(self) -> Served:
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bridge", "serve", "--config", str(self._file), "--json", "--log-level", "error",
                stdout=asyncio.subprocess.PIPE, stderr=log, cwd=ROOT, env=environment(), limit=1 << 22,
            )  # fmt: skip
        assert self._process.stdout is not None
        async with asyncio.timeout(STARTS_S):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"segue serve did not start: {self._log.read_text()}")
        self.address = orjson.loads(line)["address"]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.terminate()
        assert self._process.stdout is not None
        await self._process.stdout.read()
        await self._process.wait()

    def stream(self, agent: str) -> str:
        return f"ws://{self.address}/twilio/{agent}"

    def crashes(self) -> int:
        """How often something was raised that nobody expected."""
        return self._log.read_text(encoding="utf-8").count("Traceback")

    def recorded(self) -> list[Path]:
        """The finished records of its calls."""
        return sorted(self.records.glob("*/call.json"))


def _config(agents: Sequence[Agent], tool_port: int, others: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    entries = {f"{agent.name}-{name}": entry for agent in agents for name, entry in agent.providers.items()}
    lookup = {"name": "lookup", "description": "Looks something up."}
    tools = {agent.name: [{**lookup, "url": f"http://127.0.0.1:{tool_port}/{agent.name}"}] for agent in agents}
    return {
        "providers": {
            name: {"kind": kind, "model": MODELS.get(kind, MODEL), "url": url, "api_key": "sk-test-key"}
            for name, (kind, url) in {**entries, **others}.items()
        },
        "routes": {
            agent.name: {
                "providers": [f"{agent.name}-{name}" for name in agent.providers],
                "standby": agent.standby,
                "last_rung": {"say": "sorry", "then": "hang_up", "hold": "2s"},
            }
            for agent in agents
        },
        "agents": {
            agent.name: {
                "instructions": "Be helpful.",
                "route": agent.name,
                "silence": None,
                "greeting": agent.greeting,
                "tools": tools[agent.name] if agent.tool else [],
            }
            for agent in agents
        },
        "edges": {"media_ws": {"listen": "127.0.0.1:0", "agent": agents[0].name}},
        "record": {"mode": "full", "folder": "calls"},
        "limits": {"max_calls": 200},
    }
