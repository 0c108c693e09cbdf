"""Many emulators in one process of their own, opened and closed from outside.

`python -m tests.chaos.live.emulators` reads a JSON object a line and answers each with one: `{"open": NAME, "kind": …,
"script": …, "rtt": ms, "folder": …}` with `{"url": …}`, `{"close": NAME}` with `{"fired": […], "dials": n}` (how often
each rule of the script took effect, and how often it was dialled). It ends with its input.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).resolve().parents[3]
LONGEST_LINE = 1 << 22
SETTLE_S = 0.02  # for what was received on connections that are ended here to be written


@dataclass(frozen=True, slots=True)
class Closed:
    """What an emulator saw: how often each of its rules took effect, and how often it was dialled."""

    fired: tuple[int, ...]
    dials: int


class Emulators:
    """The process, from outside: `async with Emulators() as house`."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Emulators:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", __name__, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            cwd=ROOT, env=environment(), limit=LONGEST_LINE,
        )  # fmt: skip
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def open(self, name: str, kind: str, script: Any, rtt_ms: int, folder: Path) -> str:
        """Start one on a free port; its address."""
        asked = {"open": name, "kind": kind, "script": script, "rtt": rtt_ms, "folder": str(folder)}
        return str((await self._ask(asked))["url"])

    async def close(self, name: str) -> Closed:
        """End its connections and the emulator; what it received is in its folder then."""
        answer = await self._ask({"close": name})
        return Closed(tuple(answer["fired"]), answer["dials"])

    async def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        async with self._turn:
            self._process.stdin.write(orjson.dumps(message) + b"\n")
            line = await self._process.stdout.readline()
        answer: dict[str, Any] = orjson.loads(line) if line else {"error": "the emulators' process is gone"}
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer


def environment() -> dict[str, str]:
    """For a process that runs this source tree."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


async def _serve() -> None:
    from bridge.fakes.server import Running, start

    reader = asyncio.StreamReader(limit=LONGEST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    running: dict[str, Running] = {}
    while line := await reader.readline():
        asked = orjson.loads(line)
        try:
            if "open" in asked:
                folder = Path(asked["folder"])
                one = await start(asked["kind"], script=asked["script"], rtt_ms=asked["rtt"], save_dir=folder)
                running[asked["open"]] = one
                answer: dict[str, Any] = {"url": one.url}
            else:
                one = running.pop(asked["close"])
                await one.close()
                await asyncio.sleep(SETTLE_S)
                fired = one.emulator.shared.fired
                rules = range(len(one.emulator.script.rules))
                answer = {"fired": [fired[index] for index in rules], "dials": one.emulator.connections}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
        sys.stdout.buffer.flush()
    for one in running.values():
        await one.close()


if __name__ == "__main__":
    asyncio.run(_serve())
