"""Many calls lose their provider at one moment, over real sockets.

    python -m bench.storm [--calls 100] [--others 40] [--rounds 1] [--json]

Each of the calls has asked a question and waits for the answer, its standby connected, when the process of its provider
is killed; the others go on talking to another one. The gap is what a caller hears: from the kill to the first sound of
the answer, which cannot be shorter than the standby's own time to first audio. Providers, carriers and bridge are
processes of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from bench.edge_provider import THINK
from bench.edge_runs import cpu_ms, serving, started
from bench.edge_stats import HELD_NS, LATE_NS, percentile
from bench.storm_load import LENGTH_S

GOAL_GAP_MS = THINK * 1000 + 150
GOAL_LATE_MS = LATE_NS / 1e6
HELD_MS = HELD_NS / 1e6

_CONFIG = """
providers:
  first: {{kind: openai, model: gpt-realtime-2.1, api_key: bench-api-key-1, url: "ws://127.0.0.1:{first}/v1/realtime"}}
  second: {{kind: openai, model: gpt-realtime-2.1, api_key: bench-api-key-2, url: "ws://127.0.0.1:{second}/v1/realtime"}}
routes:
  losing: {{providers: [first, second], standby: warm}}
  other: {{providers: [second], standby: cold}}
agents:
  losing: &agent
    instructions: "You answer {{{{call}}}}."
    variables: {{call: {{default: nobody, max: 40}}}}
    route: losing
  other: {{<<: *agent, route: other}}
edges:
  media_ws: {{listen: "127.0.0.1:0", agent: losing}}
limits: {{max_calls: 1000}}
"""


@dataclass
class Storm:
    """One run. Times in ms. `gaps`: kill to first sound, by call; `thinking`: of which the standby took, from being
    asked to its first audio; `reached`: kill to the standby's being asked. `late_ms`: by how much the latest 20 ms slot
    came, of all calls from the kill on; `late` of `slots` came more than GOAL_LATE_MS late. `burst_cpu_ms`: CPU time of
    the bridge in the second after the kill."""

    calls: int
    others: int
    gaps: list[float] = field(default_factory=list)
    thinking: list[float] = field(default_factory=list)
    reached: list[float] = field(default_factory=list)
    slots: int = 0
    late: int = 0
    late_ms: float = HELD_MS
    burst_cpu_ms: float = 0.0
    load: float = 0.0
    problems: list[str] = field(default_factory=list)


def measure(calls: int, others: int, folder: Path) -> Storm:
    """Raises RuntimeError when a process does not start."""
    storm = Storm(calls, others, load=os.getloadavg()[0])
    stamps, heard = folder / "second.json", folder / "carriers.json"
    with contextlib.ExitStack() as stack:
        doomed, first = stack.enter_context(started("provider", "--out", folder / "first.json", "--silent"))
        standby, second = stack.enter_context(started("provider", "--out", stamps))
        bridge, port = stack.enter_context(serving(_CONFIG.format(first=first, second=second), folder))
        arguments = ("--port", port, "--calls", calls, "--others", others, "--out", heard)
        load, _ = stack.enter_context(started("bench.storm_load", *arguments))
        assert load.stdin is not None and load.stdout is not None
        load.stdin.write("go\n")
        load.stdin.flush()
        if load.stdout.readline().strip() != "now":
            raise RuntimeError("the carriers failed")
        before = cpu_ms(bridge.pid)
        killed = time.monotonic_ns()
        doomed.kill()
        time.sleep(1.0)
        storm.burst_cpu_ms = cpu_ms(bridge.pid) - before
        if load.wait(LENGTH_S + 20):
            raise RuntimeError("the carriers failed")
        standby.send_signal(signal.SIGTERM)
        standby.wait(20)
    evaluate(storm, killed, orjson.loads(stamps.read_bytes()), orjson.loads(heard.read_bytes()))
    return storm


def evaluate(storm: Storm, killed: int, provider: dict[str, Any], carriers: dict[str, Any]) -> None:
    """What the stamps of standby and carriers amount to; `killed` is on their clock (ns)."""
    storm.problems += carriers["failed"]
    asked = _by_call((call, when) for call, when in provider["asked"])
    spoken = _by_call((call, when) for call, _, when in provider["spoken"])
    for call in carriers["calls"]:
        number = call["call"]
        if not call["whole"]:
            storm.problems.append(f"call {number} did not last")
        storm.slots += call["slots"]
        late = [HELD_MS + gap / 1e6 for when, gap in call["gaps"] if when > killed]
        storm.late += sum(1 for ms in late if ms > GOAL_LATE_MS)
        storm.late_ms = max([storm.late_ms, *late])
        if number >= storm.calls:
            continue
        begun = [when for when in call["begun"] if when > killed]
        if [when for when in call["begun"] if when <= killed]:
            storm.problems.append(f"call {number} heard something before the kill")
        elif len(begun) != 1 or len(asked.get(number, ())) != 1:
            asks = len(asked.get(number, ()))
            storm.problems.append(f"call {number}: the standby was asked {asks} times, {len(begun)} answers were heard")
        else:
            storm.gaps.append((begun[0] - killed) / 1e6)
            storm.reached.append((asked[number][0] - killed) / 1e6)
            storm.thinking.append((spoken[number][0] - asked[number][0]) / 1e6)


def _by_call(stamps: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for call, when in stamps:
        found.setdefault(call, []).append(when)
    return found


def report(storms: Sequence[Storm]) -> dict[str, Any]:
    """The figures of all rounds together, and whether the goals are met."""
    gaps, thinking, reached = (
        [ms for storm in storms for ms in getattr(storm, name)] for name in ("gaps", "thinking", "reached")
    )
    figures: dict[str, Any] = {
        f"{name}_p{round(share * 100)}_ms": percentile(values, share)
        for name, values in (("gap", gaps), ("standby", thinking), ("asked", reached))
        for share in (0.5, 0.99)
    }
    figures["gap_worst_ms"] = max(gaps, default=None)
    figures["late_slots"] = sum(storm.late for storm in storms)
    figures["slots"] = sum(storm.slots for storm in storms)
    figures["latest_slot_ms"] = max(storm.late_ms for storm in storms)
    figures["burst_cpu_ms"] = max(storm.burst_cpu_ms for storm in storms)
    goals = {
        f"p99 gap <= {GOAL_GAP_MS:.0f} ms": bool(gaps) and figures["gap_p99_ms"] <= GOAL_GAP_MS,
        f"no slot late by more than {GOAL_LATE_MS:.0f} ms": figures["latest_slot_ms"] <= GOAL_LATE_MS,
    }
    problems = [problem for storm in storms for problem in storm.problems]
    return {**figures, "goals": goals, "problems": problems, "rounds": [asdict(storm) for storm in storms]}


def table(calls: int, others: int, told: dict[str, Any]) -> str:
    """The figures for people."""

    def row(name: str, *keys: str) -> str:
        values = [told[key] for key in keys]
        return f"{name:44}" + "".join(f"{'-' if value is None else f'{value:.0f}':>8}" for value in values)

    lines = [
        f"{calls} calls lose their provider at once, {others} others go on (ms)",
        f"{'':44}{'p50':>8}{'p99':>8}{'worst':>8}",
        row("kill to the standby's being asked", "asked_p50_ms", "asked_p99_ms"),
        row("the standby's own time to first audio", "standby_p50_ms", "standby_p99_ms"),
        row("kill to the first sound of the answer", "gap_p50_ms", "gap_p99_ms", "gap_worst_ms"),
        f"{'20 ms slots late by more than 60 ms':44}{told['late_slots']:>8} of {told['slots']}, "
        f"the latest by {told['latest_slot_ms']:.0f} ms",
        row("CPU of the bridge in the second after", "burst_cpu_ms"),
        *(f"{name:44}{'met' if met else 'MISSED':>8}" for name, met in told["goals"].items()),
    ]
    return "\n".join(lines)


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.storm", description=__doc__.partition("\n")[0])
    options.add_argument("--calls", type=int, default=100, help="calls that lose their provider")
    options.add_argument("--others", type=int, default=40, help="calls on another one")
    options.add_argument("--rounds", type=int, default=1)
    options.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    given = options.parse_args()
    if min(given.calls, given.others, given.rounds) < 1:
        options.error("at least one call, one other and one round")
    storms = []
    with tempfile.TemporaryDirectory(prefix="segue-bench-") as name:
        for _ in range(given.rounds):
            storms.append(measure(given.calls, given.others, Path(name)))
    told = report(storms)
    print(json.dumps(told) if given.json else table(given.calls, given.others, told))
    for problem in told["problems"]:
        print(f"problem: {problem}", file=sys.stderr)
    sys.exit(1 if told["problems"] else 0)


if __name__ == "__main__":
    main()
