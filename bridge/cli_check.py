"""`segue check`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bridge.config import Config, ConfigError, load
from bridge.config_default import credentialed, embedded
from bridge.config_model import AgentSettings


def command(file: Path | None, as_json: bool) -> int:
    """Print what a configuration holds, or everything that is wrong with it. 0 when it can be used, else 2."""
    try:
        config = _config(file)
    except ConfigError as error:
        if as_json:
            print(json.dumps(_failure(error)))
        else:
            for line in str(error).splitlines():
                print(f"segue: {line}", file=sys.stderr)
            print(f"segue: {_count(len(error.problems), 'mistake')} in {error.source}", file=sys.stderr)
        return 2
    print(json.dumps(_facts(config))) if as_json else _tell(config)
    return 0


def _config(file: Path | None) -> Config:
    if file is not None:
        return load(file)
    if Path("segue.yaml").exists():
        return load("segue.yaml")
    local = {name: f"ws://127.0.0.1:1/{name}" for name in ("openai", "azure", "gemini")}
    return embedded(emulators=None if credentialed() else local)


def _failure(error: ConfigError) -> dict[str, Any]:
    problems = [
        {"path": problem.where, "line": problem.line, "message": problem.message, "hint": problem.hint}
        for problem in error.problems
    ]
    return {"ok": False, "file": error.source, "errors": problems, "warnings": []}


def _facts(config: Config) -> dict[str, Any]:
    return {
        "ok": True,
        "file": config.source,
        "errors": [],
        "warnings": list(config.warnings),
        "providers": {name: {"kind": one.kind, "model": one.model} for name, one in config.providers.items()},
        "routes": {name: {"providers": one.providers, "standby": one.standby} for name, one in config.routes.items()},
        "agents": {name: _agent(one) for name, one in config.agents.items()},
        "listen": config.edges.media_ws.listen if config.edges.media_ws else None,
        "record": config.record.mode,
    }


def _agent(agent: AgentSettings) -> dict[str, Any]:
    return {"route": agent.route, "tools": [tool.name for tool in agent.tools]}


def _tell(config: Config) -> None:
    counts = {"provider": len(config.providers), "route": len(config.routes), "agent": len(config.agents)}
    print(f"{config.source}: " + ", ".join(_count(number, name) for name, number in counts.items()))
    for name, route in config.routes.items():
        chain = " -> ".join(f"{one} ({config.providers[one].model})" for one in route.providers)
        print(f"  route {name}: {chain}, standby {route.standby}")
    for name, agent in config.agents.items():
        tools = f", tools {', '.join(tool.name for tool in agent.tools)}" if agent.tools else ""
        print(f"  agent {name}: route {agent.route}{tools}")
    if config.edges.media_ws:
        print(f"  media streams on {config.edges.media_ws.listen}, agent {config.edges.media_ws.agent}")
    print(f"  records: {config.record.mode}" + (f", in {config.record.folder}" if config.record.mode != "off" else ""))
    for line in config.warnings:
        print(f"warning: {line}")
    print("no mistakes found")


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
