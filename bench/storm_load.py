"""The carriers of the storm bench: calls that will lose their provider while they wait for an answer, and others.

    python -m bench.storm_load --port P --calls N --others N --out RESULT

Prints "ready", waits for a line, prints "now" when every question of the first has been asked, "done" when all is over.
The first N calls ask one question each at about the same time; the others talk all along, to another agent.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

import numpy as np
import orjson
import uvloop

from audio.g711 import ulaw_encode
from bench import edge_sound as sound
from bench.edge_load import Carrier, start
from bench.edge_stats import Ear

ARRIVE_S = 3.0  # calls come in within this time
ASK_S = 5.0  # the questions begin
QUESTION_S = 2.5
SPREAD_S = 0.4  # within which they begin
STRIKE_S = ASK_S + QUESTION_S + SPREAD_S + 1.0  # the latest turn is over by then, the first not long enough ago
QUIET_NS = 500_000_000
LENGTH_S = STRIKE_S + 4.0


def asker(number: int, begin_s: float, length_s: float, voice: sound.Pcm) -> list[bytes]:
    """Frames of a caller who asks one question, `begin_s` seconds after the call began."""
    count, first, last = (round(s * 50) for s in (length_s, begin_s, begin_s + QUESTION_S))
    pcm = np.random.default_rng(number).normal(0, 8, (count, sound.FRAME)).astype(np.int16)
    spoken = np.roll(voice, -number * 7919)[: (last - first) * sound.FRAME]
    pcm[first:last] = spoken.reshape(-1, sound.FRAME)
    return [ulaw_encode(frame) for frame in pcm]


class StormCarrier(Carrier):
    """Keeps when every piece of agent audio came, which `Ear` does not."""

    def __init__(self, number: int, path: str, frames: list[bytes]) -> None:
        super().__init__(number, path, frames, pcm_only=False)
        self.ear = TimedEar()


class TimedEar(Ear):
    """`begun`: when the caller began to hear something after half a second of nothing, in ns. Shorter breaks are late
    slots, not answers."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[int] = []

    def media(self, now: int, samples: int, begins: bool) -> None:
        if now - self.end > QUIET_NS:
            self.begun.append(now)
        super().media(now, samples, begins)


async def run(given: argparse.Namespace) -> None:
    loop, voice = asyncio.get_running_loop(), sound.speech()
    total = given.calls + given.others
    calls: list[tuple[float, StormCarrier]] = []
    for number in range(total):
        at = ARRIVE_S * number / total
        if number < given.calls:
            frames = asker(number, ASK_S + SPREAD_S * number / given.calls - at, LENGTH_S - at, voice)
            calls.append((at, StormCarrier(number, "/twilio/losing", frames)))
        else:
            frames = sound.caller(number, LENGTH_S - at, voice)
            calls.append((at, StormCarrier(number, "/twilio/other", frames)))
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    begin = loop.time()
    began = time.monotonic_ns()
    tasks = [loop.create_task(start(call, given.port, begin + at)) for at, call in calls]
    await asyncio.sleep(begin + STRIKE_S - loop.time())
    print("now", flush=True)
    await asyncio.wait(tasks)
    failed = [str(task.exception()) for task in tasks if task.exception()]
    told = [{**call.result(), "begun": call.ear.begun} for _, call in calls]
    given.out.write_bytes(orjson.dumps({"began": began, "failed": failed, "calls": told}))
    print("done", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description="The carriers of the storm bench.")
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--calls", type=int, required=True)
    options.add_argument("--others", type=int, required=True)
    options.add_argument("--out", type=Path, required=True)
    uvloop.run(run(options.parse_args()))


if __name__ == "__main__":
    main()
