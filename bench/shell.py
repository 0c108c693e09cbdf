"""What the shell itself costs: the runner per caller frame and per provider message without a core behind it, the pacer
with many calls playing.

    python bench/shell.py [--calls 100] [--seconds 5] [--uvloop/--no-uvloop]

"frame" is `CallRunner.heard` into an engine that answers nothing, one message to a link, or one to
a link with the socket's framing behind it. "pacer" is the time spent in the pacer while that many calls are asked for
20 ms of audio each; what the process spends on waking up for it is told apart, because a busy one is awake anyway.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import structlog
import uvloop

from audio.frame import PCMU, Frame
from bridge.core.effects import Emit, Open
from bridge.core.engine import Transmit
from bridge.core.events import Pulled
from bridge.core.plan import Agent, CallSpec, Candidate, Plan
from bridge.shell.frames import client_frame
from bridge.shell.health import HealthBoard
from bridge.shell.pacer import Pacer, Voice
from bridge.shell.runner import CallRunner
from bridge.shell.services import Services
from providers.codec import Capabilities, Dial, Target

ROUNDS = 5


class Engine:
    """Answers every input with the same actions."""

    deadline = None
    playing = False
    ended = False
    moved = True

    def __init__(self, answer: list[Any]) -> None:
        self.answer = answer

    def start(self, now: int) -> list[Any]:
        return [Open(1, "one")]

    def handle(self, event: Any, now: int) -> list[Any]:
        return self.answer

    def received(self, link: int, message: Any, now: int) -> list[Any]:
        return self.answer

    def dial(self, link: int) -> Dial:
        return Dial("ws://127.0.0.1:1/")


class Leg:
    marks = True
    format = PCMU

    def send(self, data: bytes) -> None: ...
    def clear(self) -> None: ...
    def mark(self, name: str) -> None: ...
    def transfer(self, target: str) -> None: ...
    def hang_up(self, reason: str) -> None: ...


class Wire:
    """A socket that frames messages and throws them away, or only throws them away."""

    def __init__(self, framing: bool) -> None:
        self.framing = framing

    def write(self, messages: list[Any]) -> None:
        if self.framing:
            client_frame(messages[0])

    def close(self) -> None: ...


def runner(answer: list[Any], framing: bool = False) -> CallRunner:
    capabilities = Capabilities((PCMU,), (PCMU,))
    spec = CallSpec("bench", PCMU, Agent("a", "b"), Plan((Candidate("one", "openai", "m", capabilities),)))
    services = Services(HealthBoard(Random(1)), Pacer(), None, lambda dial, handler: Wire(framing))  # type: ignore
    made = CallRunner(
        Engine(answer),  # type: ignore[arg-type]
        Leg(),
        services,
        spec=spec,
        targets={"one": Target("one", "openai", "m")},
    )
    made.start()
    return made


def best(what: Callable[[], object], number: int = 20_000) -> float:
    """Microseconds per call, the best of several rounds."""
    return min(timeit.repeat(what, number=number, repeat=ROUNDS)) / number * 1e6


def dispatch() -> None:
    frame = Frame(os.urandom(160), PCMU)
    message = '{"type":"input_audio_buffer.append","audio":"' + "A" * 216 + '"}'
    idle, sending, framing = (
        runner([]),
        runner([Transmit(1, [message])]),
        runner([Transmit(1, [message])], framing=True),
    )
    playing = runner([Emit(os.urandom(160))])
    delta = '{"type":"response.output_audio.delta","delta":"' + "A" * 2136 + '"}'
    pulled = Pulled(160)
    lines = {
        "frame, nothing to do": lambda: idle.heard(frame),
        "frame, one message out": lambda: sending.heard(frame),
        "frame, one message framed and masked": lambda: framing.heard(frame),
        "pull, one frame to the leg": lambda: playing.dispatch(pulled),
        "provider message, nothing to do": lambda: idle.received(1, delta),
    }
    for name, what in lines.items():
        print(f"{name:44}{best(what):8.2f} us")


async def pacer(calls: int, seconds: float) -> None:
    clock = Pacer()
    loop = asyncio.get_running_loop()
    pulls = 0

    def voice() -> Voice:
        def pull(frames: int) -> None:
            nonlocal pulls
            pulls += 1
            made.sent(frames * 20_000_000, round(loop.time() * 1e9))

        made = Voice(pull, 60)
        return made

    tick, inside, wakes = clock._tick, 0.0, 0

    def timed() -> None:
        nonlocal inside, wakes
        begun = time.perf_counter()
        tick()
        inside += time.perf_counter() - begun
        wakes += 1

    clock._tick = timed  # type: ignore[method-assign]
    voices = [voice() for _ in range(calls)]
    before = time.process_time()
    for each in voices:
        clock.start(each)
        await asyncio.sleep(0.0007)
    await asyncio.sleep(seconds)
    spent = time.process_time() - before
    print(f"{f'pacer, {calls} calls playing, per slot':44}{inside / clock.slots * 1e6:8.2f} us")
    print(
        f"    {inside / (calls * seconds) * 1e3:.3f} ms per call-second; {wakes / seconds:.0f} wake-ups a second at "
        f"{(spent - inside) / wakes * 1e6:.0f} us; {clock.late_slots} late of {clock.slots} slots"
    )
    clock.close()


async def both(calls: int, seconds: float) -> None:
    dispatch()
    await pacer(calls, seconds)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--calls", type=int, default=100)
    options.add_argument("--seconds", type=float, default=5.0)
    options.add_argument("--uvloop", action=argparse.BooleanOptionalAction, default=True)
    given = options.parse_args()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    run = uvloop.run if given.uvloop else asyncio.run
    run(both(given.calls, given.seconds))


if __name__ == "__main__":
    main()
