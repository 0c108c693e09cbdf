"""Calls of the matrix through the whole product: a carrier's caller, `segue serve` and the emulators, each a process of
its own, real sockets between them and real time. Judged by the caller's recording and what the emulators wrote down.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from audio.files import write_audio
from audio.frame import decode
from bridge.dial.client import RATE
from tests.chaos.live.caller import Part, Sound, call
from tests.chaos.live.emulators import Emulators
from tests.chaos.live.product import Agent, Served, Tool
from tests.chaos.live.verdict import Outcome, Seen, judge, settle, warm_up
from tests.chaos.matrix import virtual
from tests.chaos.matrix.cell import Baseline, Cell, allowed_ms, rules_for, scripts
from tests.chaos.matrix.phases import NUMBER, PHASES, QUESTION_MS
from tests.chaos.matrix.table import FAULTS
from tests.wire.caller import question
from tests.wire.stage import EMULATED

TRIPS = 5  # round trips until the greeting is heard: by so much everything the caller does is later
LATER_MS = 200  # on a busy machine the greeting may be late
ENDING_MS = 600  # and a real turn detector takes longer to be sure of a turn's end than a scripted one
EACH_MS = 80  # between the beginnings of two calls
CHUNK = 100  # calls of one `segue serve`


@dataclass(frozen=True, slots=True)
class Trial:
    """A call to make. `fault` False: the same call without trouble. `seed`: of the sizes in which providers send their
    sound, so of where in a word the fault strikes."""

    cell: Cell
    rtt_ms: int = 0
    fault: bool = True
    seed: int = 1

    @property
    def base(self) -> Trial:
        """The call without trouble it is compared with."""
        return Trial(Cell(self.cell.kind, "connection reset", self.cell.phase, "cold"), self.rtt_ms, False)

    @property
    def speaks_ms(self) -> int | None:
        """As in the phase, later: the greeting must be over where it is to be."""
        phase = PHASES[self.cell.phase]
        if phase.speaks_ms is None:
            return None
        return phase.speaks_ms + TRIPS * self.rtt_ms + (0 if phase.name.startswith("barge") else LATER_MS)

    def part(self) -> Part:
        phase = PHASES[self.cell.phase]
        expected = virtual.baseline(self.cell.kind, self.cell.other, self.cell.phase)
        end_ms = int(expected.end_ms) + ENDING_MS + 2 * TRIPS * self.rtt_ms
        keys_ms = end_ms + (allowed_ms(self.cell, self.rtt_ms) if self.fault else 0) + 700
        ends_ms = keys_ms + (4200 if self.fault and self.cell.outcome == "refused" else 2300) + 4 * self.rtt_ms
        speech = None if phase.speaks_ms is None else question(NUMBER, QUESTION_MS)
        return Part(speech, self.speaks_ms or 0, phase.keys, keys_ms // 20 * 20, ends_ms // 20 * 20)


@dataclass
class Report:
    """`records`: how many finished call records were left; `strangers`: how often a provider was dialled that no
    route names; `crashes`: how often the bridge logged an exception."""

    outcomes: dict[Trial, Outcome] = field(default_factory=dict)
    calls: int = 0
    records: int = 0
    strangers: int = 0
    crashes: int = 0

    def add(self, other: Report) -> None:
        """Calls that were made later; those made again count as they came out then."""
        self.outcomes |= other.outcomes
        self.calls += other.calls
        self.records += other.records
        self.strangers += other.strangers
        self.crashes += other.crashes


Progress = Callable[[Trial, Outcome], None]


async def make(
    trials: Sequence[Trial],
    parallel: int,
    slack_ms: int,
    progress: Progress = lambda *_: None,
    repeats: int = 1,
    keep: Path | None = None,
) -> Report:
    """Make the calls, `parallel` at a time, and those without trouble they are compared with; `repeats`: the latter so
    often, the shortest counts. `slack_ms` of silence is allowed for clocks and a busy machine. `keep`: a folder for
    recordings of calls with problems, caller left, agent right."""
    report = Report()
    bases = [base for base in dict.fromkeys(trial.base for trial in trials) for _ in range(repeats)]
    everything = iter([*bases, *trials])
    with ProcessPoolExecutor(1, get_context("spawn"), warm_up) as judges, tempfile.TemporaryDirectory() as folder:
        judging = Judging(judges, slack_ms, bases, progress, report, keep)
        async with Tool() as tool, Emulators() as house:
            number = 0
            while chunk := list(islice(everything, CHUNK)):
                number += 1
                place = Path(folder) / str(number)
                await Round(place, house, tool, judging, parallel).make(chunk)
        await judging.finish()
    return report


class Judging:
    """Gives finished calls to another process to be judged, those with a fault when their baseline is known."""

    def __init__(
        self,
        pool: ProcessPoolExecutor,
        slack_ms: int,
        bases: Sequence[Trial],
        progress: Progress,
        report: Report,
        keep: Path | None,
    ) -> None:
        self.report = report
        self._keep = keep
        self._pool = pool
        self._slack_ms = slack_ms
        self._progress = progress
        self._missing = {base: bases.count(base) for base in bases}
        self._bases: dict[Trial, list[Baseline]] = {base: [] for base in bases}
        self._wrong: dict[Trial, str] = {}
        self._known = {base: asyncio.Event() for base in bases}
        self._tasks: list[asyncio.Task[None]] = []

    def take(self, seen: Seen) -> None:
        self._tasks.append(asyncio.create_task(self._judge(seen) if seen.trial.fault else self._compare(seen)))

    async def finish(self) -> None:
        await asyncio.gather(*self._tasks)

    async def _compare(self, seen: Seen) -> None:
        try:
            base = await asyncio.get_running_loop().run_in_executor(self._pool, settle, seen)
            self._bases[seen.trial].append(base)
        except AssertionError as error:
            self._wrong[seen.trial] = str(error)
        self._missing[seen.trial] -= 1
        if not self._missing[seen.trial]:
            self._known[seen.trial].set()

    async def _judge(self, seen: Seen) -> None:
        await self._known[seen.trial.base].wait()
        loop = asyncio.get_running_loop()
        bases = self._bases[seen.trial.base]
        if bases:
            base = min(bases, key=lambda one: one.end_ms)
            outcome = await loop.run_in_executor(self._pool, judge, seen, base, self._slack_ms)
        else:
            outcome = Outcome([self._wrong[seen.trial.base]])
        self.report.outcomes[seen.trial] = outcome
        if outcome.problems and self._keep is not None:
            await loop.run_in_executor(None, record, self._keep, seen)
        self._progress(seen.trial, outcome)


class Round:
    """The calls of one `segue serve`."""

    def __init__(self, folder: Path, house: Emulators, tool: Tool, judging: Judging, parallel: int) -> None:
        self._folder = folder
        self._house = house
        self._tool = tool
        self._judging = judging
        self._lines = asyncio.Semaphore(parallel)
        self._begin = asyncio.Lock()
        self._names: Iterator[str] = (f"{folder.name}-{number}" for number in range(1, 100_000))

    async def make(self, trials: Sequence[Trial]) -> None:
        names = dict(zip(self._names, trials))  # noqa: B905 - as many names as there are calls
        agents = [await self._agent(name, trial) for name, trial in names.items()]
        parts = {name: trial.part() for name, trial in names.items()}  # now: while calls run nothing may take long
        stranger = await self._house.open("stranger", "openai", None, 0, self._folder / "stranger")
        others = {"stranger": ("openai", stranger)}
        async with Served(self._folder, agents, self._tool.port, others) as served, asyncio.TaskGroup() as calls:
            for name, trial in names.items():
                calls.create_task(self._call(served, name, trial, parts[name]))
        report = self._judging.report
        report.calls += len(names)
        report.records += len(served.recorded())
        report.crashes += served.crashes()
        report.strangers += (await self._house.close("stranger")).dials

    async def _agent(self, name: str, trial: Trial) -> Agent:
        """The emulators of a call, and the agent that has them."""
        cell = trial.cell
        phase = PHASES[cell.phase]
        rules = rules_for(cell.kind, FAULTS[cell.fault], phase) if trial.fault else []
        providers = {}
        for provider, kind, script in zip("ab", (cell.kind, cell.other), scripts(phase, rules), strict=True):
            key = f"{name}-{provider}"
            seeded = {**script, "seed": trial.seed}
            url = await self._house.open(key, EMULATED[kind], seeded, trial.rtt_ms, self._folder / key)
            providers[provider] = (kind, url)
        return Agent(name, providers, cell.standby, phase.greeting, phase.tool)

    async def _call(self, served: Served, name: str, trial: Trial, part: Part) -> None:
        async with self._lines:
            async with self._begin:
                await asyncio.sleep(EACH_MS / 1000)
            sound = await call(served.stream(name), part)
        self._judging.take(await self._seen(name, trial, part, sound))

    async def _seen(self, name: str, trial: Trial, part: Part, sound: Sound) -> Seen:
        failing, _ = [await self._house.close(f"{name}-{provider}") for provider in "ab"]
        return Seen(
            trial, sound.said, sound.heard, sound.end, part.keys_ms, self._folder / f"{name}-a",
            self._folder / f"{name}-b", failing.dials, all(failing.fired), self._tool.runs[name],
        )  # fmt: skip


def record(folder: Path, seen: Seen) -> None:
    """Both sides of a call as a stereo file that is named after it."""
    folder.mkdir(parents=True, exist_ok=True)
    name = "".join(char if char.isalnum() else "-" for char in f"{seen.trial.cell} {seen.trial.seed}")
    both = np.stack([decode(side, "pcmu") for side in (seen.said, seen.heard)], axis=1)
    write_audio(folder / f"{name}.wav", both, RATE)
