"""What the runs of the edge bench amount to: one line per subject and number of calls, and the goals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from bench.edge_runs import Result
from bench.edge_stats import median, percentile

BUSY = 0.7  # of a core
YARDSTICK = "pass-through"


@dataclass
class Line:
    """All rounds of one subject with one number of calls. Times in ms; delays are what is added to the direct way;
    `ratio` is CPU against the pass-through."""

    subject: str
    calls: int
    rounds: int
    cpu_ms: float | None = None
    ratio: float | None = None
    calls_per_core: int | None = None
    in_p50: float | None = None
    in_p99: float | None = None
    out_p50: float | None = None
    out_p99: float | None = None
    rest_mib: float | None = None
    peak_mib: float | None = None
    replies: int = 0
    slots: int = 0
    silent: int = 0
    late: int = 0
    worst_gap_ms: float = 0.0


@dataclass
class Goal:
    """`value` None: it was not measured. `least`: the goal is to be reached, not to be kept below."""

    name: str
    goal: float
    unit: str
    value: float | None
    least: bool = False

    @property
    def met(self) -> bool | None:
        if self.value is None:
            return None
        return self.value >= self.goal if self.least else round(self.value, 3) <= self.goal


def lines(rounds: list[list[Result]]) -> list[Line]:
    """One line for each subject and number of calls, in the order measured."""
    keys = dict.fromkeys((result.calls, result.subject) for results in rounds for result in results)
    return [_line(subject, calls, rounds) for calls, subject in sorted(keys, key=lambda key: key[0])]


def _line(subject: str, calls: int, rounds: list[list[Result]]) -> Line:
    mine = _of(rounds, subject, calls)
    cpu = median(result.cpu_ms for result in mine)
    line = Line(
        subject,
        calls,
        len(mine),
        cpu_ms=cpu,
        ratio=_ratio(rounds, subject, calls),
        calls_per_core=int(BUSY * 1000 / cpu) if cpu else None,
        rest_mib=median(result.rest_mib for result in mine),
        peak_mib=median(result.peak_mib for result in mine),
        replies=sum(result.replies for result in mine),
        slots=sum(result.slots for result in mine),
        silent=sum(result.silent for result in mine),
        late=sum(result.late for result in mine),
        worst_gap_ms=max(result.worst_gap_ms for result in mine),
    )
    bare = _of(rounds, "direct", calls)
    for name in ("in_p50", "in_p99", "out_p50", "out_p99"):
        setattr(line, name, _added(name, mine, bare if subject != "direct" else []))
    return line


def _of(rounds: list[list[Result]], subject: str, calls: int) -> list[Result]:
    return [result for results in rounds for result in results if (result.subject, result.calls) == (subject, calls)]


def _ratio(rounds: list[list[Result]], subject: str, calls: int) -> float | None:
    """All rounds of the one against all rounds of the other: the machine's speed, which changes from run to run, evens
    out sooner in sums than in a middle of a few quotients."""
    own, yardstick = (
        [result.cpu_ms for result in _of(rounds, name, calls) if result.cpu_ms is not None]
        for name in (subject, YARDSTICK)
    )
    return (sum(own) / len(own)) / (sum(yardstick) / len(yardstick)) if own and yardstick else None


def _added(name: str, mine: Iterable[Result], bare: list[Result]) -> float | None:
    way, _, share = name.partition("_p")
    own, base = ([delay for one in some for delay in _delays(one, way)] for some in (mine, bare))
    value, less = percentile(own, int(share) / 100), percentile(base, int(share) / 100)
    return value - (less or 0.0) if value is not None else None


def _delays(result: Result, way: str) -> list[float]:
    return result.inward if way == "in" else result.outward


def goals(made: list[Line], burst: Line | None, core_us: float | None) -> list[Goal]:
    """The figures to reach, at the largest number of calls measured."""
    most = max((line.calls for line in made), default=0)
    at = {line.subject: line for line in made if line.calls == most}
    segue, pcm, few = at.get("segue"), at.get("segue PCM"), _few(made)
    out = [Goal("CPU against the pass-through", 0.9, "x", segue.ratio if segue else None)]
    per_core = segue.calls_per_core if segue else None
    out.append(Goal("calls per core", 180, "", None if per_core is None else float(per_core), least=True))
    extra = pcm.cpu_ms - segue.cpu_ms if pcm and segue and pcm.cpu_ms and segue.cpu_ms else None
    out.append(Goal("CPU a provider with linear PCM adds", 1.5, "ms", extra))
    for name, way, half, most_ in (("first audio out", "out", 0.5, 3.0), ("caller audio in", "in", 0.7, 3.0)):
        for share, limit in (("p50", half), ("p99", most_)):
            out.append(Goal(f"{name}, added {share}", limit, "ms", getattr(segue, f"{way}_{share}") if segue else None))
    late = [line.late for line in made if line.subject.startswith("segue")]
    out.append(Goal("slots late by more than 60 ms", 0, "", float(sum(late)) if late else None))
    out.append(Goal("the same while 30 more calls arrive", 0, "", float(burst.late) if burst else None))
    grown = None
    if segue and few and segue.peak_mib and few.peak_mib:
        grown = (segue.peak_mib - few.peak_mib) * 1024 / (most - few.calls)
    out.append(Goal("memory per further call", 150, "KiB", grown))
    out.append(Goal("process at rest", 60, "MiB", segue.rest_mib if segue else None))
    out.append(Goal("core per caller frame", 25, "us", core_us))
    return out


def _few(made: list[Line]) -> Line | None:
    """Segue with the fewest calls that are more than a handful: imports of the first calls are no call's memory."""
    some = [line for line in made if line.subject == "segue" and line.calls >= 10]
    return some[0] if len(some) > 1 else None


def as_json(made: list[Line], burst: Line | None, reached: list[Goal], about: dict[str, Any]) -> dict[str, Any]:
    return {
        **about,
        "lines": [asdict(line) for line in made],
        "arrivals": asdict(burst) if burst else None,
        "goals": [{**asdict(goal), "met": goal.met} for goal in reached],
    }


_HEAD = ("calls", "subject", "CPU ms", "ratio", "per core", "in p50", "p99", "out p50", "p99", "MiB", "silent/late/of")
_WIDTH = (5, 16, 7, 6, 8, 7, 7, 8, 7, 7, 15)


def table(made: list[Line]) -> str:
    """For people. CPU in ms per call-second, delays in ms added, memory at its highest."""
    rows: list[tuple[str, ...]] = [_HEAD]
    for line in made:
        late = f"{line.silent}/{line.late}/{line.slots}" if line.subject.startswith("segue") else ""
        numbers = (line.in_p50, line.in_p99, line.out_p50, line.out_p99)
        rows.append((
            str(line.calls), line.subject, _shown(line.cpu_ms), _shown(line.ratio), _shown(line.calls_per_core, 0),
            *(_shown(number) for number in numbers), _shown(line.peak_mib, 1), late,
        ))  # fmt: skip
    return "\n".join(
        "  ".join(text.ljust(width) if column == 1 else text.rjust(width)
                  for column, (text, width) in enumerate(zip(row, _WIDTH, strict=True)))
        for row in rows
    )  # fmt: skip


def goal_table(reached: list[Goal]) -> str:
    words = {True: "met", False: "MISSED", None: "not measured"}
    return "\n".join(
        f"{goal.name:<40}{_shown(goal.value):>9} {goal.unit:<4} goal {'>= ' if goal.least else '':>3}{goal.goal:>4g} "
        f"{goal.unit:<4}{words[goal.met]}"
        for goal in reached
    )


def _shown(value: float | None, places: int = 2) -> str:
    return "" if value is None else f"{value:.{places}f}"
