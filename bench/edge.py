"""The media-stream edge under load, beside a plain pass-through. `make bench`.

    python -m bench [--calls 1 10 50 100] [--seconds 20] [--rounds 1] [--subjects NAME ...] [--json]

Carriers, provider and bridge are processes of their own; the bench itself only starts them and reads their CPU time and
memory. Ratios compare runs next to each other; on a machine that is busy otherwise nothing but the ratios means much.
docs/performance.md says what is measured and has the figures.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

from bench import edge_report as report
from bench.edge_core import frame_us
from bench.edge_runs import SUBJECTS, Result, measure, summary

ARRIVING = 30


def plan(calls: list[int], subjects: list[str]) -> list[tuple[int, str]]:
    """The runs of one round. Whole records are written with the largest number of calls only."""
    return [
        (count, subject)
        for count in sorted(calls)
        for subject in subjects
        if subject != "segue recording" or count == max(calls)
    ]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def run(given: argparse.Namespace) -> dict[str, object]:
    rounds: list[list[Result]] = []
    burst = None
    with tempfile.TemporaryDirectory(prefix="segue-bench-") as name:
        folder = Path(name)
        core = frame_us()
        say(f"core: {core:.1f} us per caller frame")
        for number in range(given.rounds):
            rounds.append([])
            # There and back again: what changes steadily meanwhile weighs on nobody more than on the others.
            for calls, subject in plan(given.calls, given.subjects)[:: -1 if number % 2 else 1]:
                result = measure(subject, calls, given.seconds, folder, uvloop=given.uvloop)
                rounds[-1].append(result)
                say(f"round {number + 1}, {_told(result)}")
        if given.arrivals and "segue" in given.subjects:
            base = max(1, max(given.calls) - ARRIVING)
            result = measure("segue", base, given.seconds, folder, ARRIVING, given.seconds * 0.4)
            say(f"{ARRIVING} more calls within a second: {_told(result)}")
            burst = report.lines([[result]])[0]
    made = report.lines(rounds)
    about = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "seconds": given.seconds,
        "rounds": given.rounds,
        "load": max((result.load for results in rounds for result in results), default=0.0),
        "problems": [problem for results in rounds for result in results for problem in result.problems],
    }
    reached = report.goals(made, burst, core)
    if not given.json:
        print(report.table(made), report.goal_table(reached), sep="\n\n")
    return report.as_json(made, burst, reached, about)


def _told(result: Result) -> str:
    cpu = "" if result.cpu_ms is None else f", {result.cpu_ms:.2f} ms CPU per call-second"
    delays = ", ".join(f"{name} {value:.2f}" for name, value in summary(result).items() if value is not None)
    late = ""
    if result.subject.startswith("segue"):
        late = f", of {result.slots} slots {result.silent} silent, {result.late} late"
    stood = f", carriers up to {result.behind_ms:.0f} ms behind"
    if result.cpu_ms is not None:
        stood += f", bridge without a core for up to {result.waited_ms:.0f} ms of 250, {result.stolen_ms:.0f} ms stolen"
    wrong = f"; {len(result.problems)} problems, first: {result.problems[0]}" if result.problems else ""
    return f"{result.calls} calls, {result.subject}{cpu}, ms {delays}{late} (load {result.load:.1f}{stood}){wrong}"


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition("\n")[0])
    options.add_argument("--calls", type=int, nargs="+", default=[1, 10, 50, 100], help="numbers of calls at a time")
    options.add_argument("--seconds", type=float, default=20.0, help="length of each call, at most 40")
    options.add_argument("--rounds", type=int, default=1, help="repeat everything and take medians")
    options.add_argument("--subjects", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    options.add_argument("--no-arrivals", dest="arrivals", action="store_false", help="leave out the 30 new calls")
    options.add_argument("--uvloop", action="store_true", help="give the pass-through uvloop as well")
    options.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    given = options.parse_args()
    if not 1 <= given.seconds <= 40 or min(given.calls) < 1 or given.rounds < 1:
        options.error("1 to 40 seconds, at least one call, at least one round")
    result = run(given)
    if given.json:
        print(json.dumps(result))
    for problem in sorted(set(map(str, result["problems"]))):  # type: ignore[call-overload]
        say(f"problem: {problem}")
    sys.exit(1 if result["problems"] else 0)


if __name__ == "__main__":
    main()
