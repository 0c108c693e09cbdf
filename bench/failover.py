"""`make bench-failover`: what callers hear of each fault, through the whole product over real sockets.

    python -m bench.failover [--faults WORD …] [--kinds KIND …] [--runs 5] [--parallel 28] [--rtt 0] [--seed 1]
                             [--check] [--json FILE] [--from FILE] [--keep FOLDER] [--write]

Every fault of tests/chaos/matrix strikes at different moments of calls, at each kind of provider, with and without a
warm standby. `--write` puts the result into docs/failover.md and docs/failover.svg. `--from` takes results from a file
that `--json` wrote: all of them, or with `--faults` all but those, for which calls are made. `--keep` leaves a
recording of each call that did not hold. With `--check` the exit status is 1 when a row does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.failover_chart import chart
from bench.failover_report import STANDBYS, Result, console_table, page, rows, trouble
from tests.chaos.live.calls import Report, Trial, make
from tests.chaos.live.verdict import Outcome
from tests.chaos.matrix.cell import Cell
from tests.chaos.matrix.faults import KINDS, Fault, impossible
from tests.chaos.matrix.phases import PHASES
from tests.chaos.matrix.table import FAULTS

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "failover.md"
CHART = ROOT / "docs" / "failover.svg"
SLACK_MS = 100  # of added silence, for real clocks, sockets and a busy machine
BASE_RUNS = 2


def select(fault: Fault, standby: str, runs: int, rtt_ms: int, random: Random, kinds: Sequence[str]) -> list[Trial]:
    """`runs` calls over as many kinds of provider and phases as there are, the same for the same seed."""
    left = {
        kind: [phase for phase in PHASES.values() if not impossible(kind, fault, phase, standby)]
        for kind in random.sample(list(kinds), len(kinds))
    }
    order: list[Cell] = []
    used: list[str] = []
    while any(left.values()):
        for kind, phases in left.items():
            if phases:
                fewest = min(used.count(phase.name) for phase in phases)
                chosen = random.choice([phase for phase in phases if used.count(phase.name) == fewest])
                phases.remove(chosen)
                used.append(chosen.name)
                order.append(Cell(kind, fault.name, chosen.name, standby))
    return [Trial(order[run % len(order)], rtt_ms, seed=run + 1) for run in range(runs)] if order else []


def plan(options: argparse.Namespace) -> list[Trial]:
    random = Random(options.seed)
    trials = [
        trial
        for fault in FAULTS.values()
        for standby in STANDBYS
        for trial in select(fault, standby, options.runs, options.rtt, random, options.kinds)
        if not options.faults or any(word in fault.name for word in options.faults)
    ]
    random.shuffle(trials)  # what disturbs the machine for a while must not fall on one fault
    return trials


def measure(
    trials: list[Trial], parallel: int, keep: Path | None, console: Console
) -> tuple[list[Result], Report]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    results: list[Result] = []
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("calls without trouble, then with", total=len(trials))

        def done(trial: Trial, outcome: Outcome) -> None:
            results.append(Result(trial.cell, outcome))
            progress.update(task, advance=1, description=f"{trial.cell.fault[:40]:40}")
            if outcome.problems:
                progress.console.print(f"{trial.cell}: {'; '.join(outcome.problems)}\n    heard: {outcome.heard}")

        report = asyncio.run(make(trials, parallel, SLACK_MS, done, BASE_RUNS, keep))
    return results, report


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def gather(options: argparse.Namespace, console: Console) -> tuple[list[Result], dict[str, Any]]:
    """Results and the facts of how they came about: kept ones, made ones or both. Raises ValueError and OSError."""
    results, facts = kept(options.source) if options.source else ([], {})
    if options.source and not options.faults:
        return results, facts
    trials = plan(options)
    if not trials:
        raise ValueError(f"no fault is named like any of {options.faults}; docs/failover.md has them all")
    again = {trial.cell.fault for trial in trials}
    begun = time.monotonic()
    made, report = measure(trials, options.parallel, options.keep, console)
    told = {
        "calls": report.calls, "records": report.records, "strangers": report.strangers, "crashes": report.crashes,
        "seconds": round(time.monotonic() - begun),
    }  # fmt: skip
    about = {"runs": options.runs, "parallel": options.parallel, "rtt_ms": options.rtt, "slack_ms": SLACK_MS}
    totals = {name: facts.get(name, 0) + count for name, count in told.items()}
    left = [result for result in results if result.cell.fault not in again]
    totals["again"] = facts.get("again", 0) + len(results) - len(left)
    return left + made, {**about, "machine": machine(), **facts, **totals}


def kept(file: Path) -> tuple[list[Result], dict[str, Any]]:
    """What `--json` wrote. Raises ValueError for another file."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        return [Result(Cell(**one["cell"]), Outcome(**one["outcome"])) for one in data["results"]], data["facts"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} was not written by --json of this version: {error}") from error


def broken(facts: Mapping[str, Any]) -> list[str]:
    """What is wrong with all calls together."""
    out = []
    if facts["records"] != facts["calls"]:
        out.append(f"{facts['calls']} calls left {facts['records']} records")
    if facts["strangers"]:
        out.append(f"a provider that no route names was dialled {facts['strangers']} times")
    if facts["crashes"]:
        out.append(f"the bridge logged {facts['crashes']} exceptions")
    return out


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.failover", description="What callers hear of each fault.")
    parser.add_argument("--faults", nargs="*", default=[], metavar="WORD", help="only faults named like this")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=KINDS, help="of the failing provider")
    parser.add_argument("--runs", type=int, default=5, help="calls per fault and standby")
    parser.add_argument("--parallel", type=int, default=28, help="calls at a time")
    parser.add_argument("--rtt", type=int, default=0, metavar="MS", help="round trip to the providers")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the results")
    parser.add_argument("--from", dest="source", type=Path, metavar="FILE", help="results kept before")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep recordings of calls that did not hold")
    parser.add_argument("--write", action="store_true", help="write docs/failover.md and docs/failover.svg")
    parser.add_argument("--check", action="store_true", help="exit 1 when a row does not hold")
    options = parser.parse_args(arguments)
    for name in ("runs", "parallel"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be 1 or more")
    return options


def main(arguments: Sequence[str]) -> int:
    options = parsed(arguments)
    console = Console(width=150)
    try:
        results, facts = gather(options, console)
    except (ValueError, OSError) as error:
        print(f"bench.failover: {error}", file=sys.stderr)
        return 2
    if options.json:
        data = {"facts": facts, "results": [asdict(result) for result in results]}
        options.json.write_text(json.dumps(data, indent=1), encoding="utf-8")
    table = rows(results)
    console.print(console_table(table))
    wrong = broken(facts) + trouble(results)
    for line in wrong:
        console.print(line, markup=False)
    if options.write:
        PAGE.write_text(page(results, facts), encoding="utf-8")
        CHART.write_text(chart(table), encoding="utf-8")
    return 1 if options.check and wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
