"""The results of `bench.failover` as figures per fault and per phase, as a table, and as the page docs/failover.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from textwrap import fill
from typing import Any

from rich.table import Table

from tests.chaos.live.verdict import ANSWERED, Outcome
from tests.chaos.matrix.cell import Cell
from tests.chaos.matrix.known import KNOWN
from tests.chaos.matrix.phases import PHASES
from tests.chaos.matrix.table import DIALLING, FAULTS, HARMLESS, REPLYING, RUNNING
from tests.chaos.matrix.verdict import GRACE_MS

STANDBYS = ("warm", "cold")
GROUPS = {
    "While connecting": DIALLING,
    "On a running connection": RUNNING,
    "In a reply": REPLYING,
    "Nothing to switch for": HARMLESS,
}
NOTICED = {
    "now": "at once",
    "dial": "no answer for 1.5 s",
    "configured": "no answer for 1 s",
    "silence": "by its silence",
    "slow": "runs dry",
    "empty": "asked again once",
}


@dataclass(frozen=True)
class Result:
    """A call that was made and what came of it."""

    cell: Cell
    outcome: Outcome

    @property
    def known(self) -> str:
        """Why this cell is known not to hold; empty when it should."""
        return KNOWN.get(str(self.cell), "")

    @property
    def timed(self) -> bool:
        """Whether added silence means anything: the whole answer was to come."""
        return self.cell.outcome in ("answered", "unnoticed")


@dataclass(frozen=True)
class Row:
    """Some calls with one standby. `added`: silence in ms, of calls in which the whole answer was heard."""

    added: tuple[int, ...]
    lost_ms: int
    answers: int
    questions: int
    off: int
    held: int
    known: int
    calls: int
    way: str

    @property
    def middle(self) -> int | None:
        return round(median(self.added)) if self.added else None

    @property
    def worst(self) -> int | None:
        return max(self.added, default=None)


Rows = dict[str, dict[str, Row]]  # by fault or phase, then by standby


def row(results: Sequence[Result]) -> Row:
    outcomes = [result.outcome for result in results]
    held = sum(not result.outcome.problems for result in results)
    full = [one for one in results if one.timed]
    return Row(
        added=tuple(sorted(one.outcome.added_ms for one in full if one.outcome.way in ANSWERED)),
        lost_ms=sum(outcome.lost_ms for outcome in outcomes),
        answers=sum(one.outcome.answers for one in full),
        questions=sum(one.outcome.questions for one in full),
        off=max((one.outcome.off for one in full), default=0),
        held=held,
        known=sum(bool(result.outcome.problems and result.known) for result in results),
        calls=len(results),
        way=_usual([outcome.way for outcome in outcomes]),
    )


def _usual(ways: Sequence[str]) -> str:
    """What mostly happened, and whatever else but an answer did."""
    often = [way for way, _ in Counter(ways).most_common()]
    return " or ".join([often[0], *(way for way in often[1:] if way not in ANSWERED)])


def rows(results: Iterable[Result], by: str = "fault") -> Rows:
    """By fault, or by phase, in the order of their tables."""
    sorted_out: dict[str, dict[str, list[Result]]] = {}
    for result in results:
        sorted_out.setdefault(getattr(result.cell, by), {}).setdefault(result.cell.standby, []).append(result)
    names = FAULTS if by == "fault" else PHASES
    return {
        name: {standby: row(sorted_out[name][standby]) for standby in STANDBYS if standby in sorted_out[name]}
        for name in names
        if name in sorted_out
    }


def trouble(results: Iterable[Result]) -> list[str]:
    """Calls that did not hold and are not known for it, one line each."""
    return [
        f"{result.cell}: {'; '.join(result.outcome.problems)}"
        for result in results
        if result.outcome.problems and not result.known
    ]


def cells(pair: Mapping[str, Row]) -> list[str]:
    """Median and worst for each standby, speech lost, answers per question, words, calls that hold."""
    both = list(pair.values())
    out = []
    for standby in STANDBYS:
        one = pair.get(standby)
        out.append("–" if one is None or one.worst is None else f"{one.middle} / {one.worst}")
    questions = sum(one.questions for one in both)
    out.append(str(sum(one.lost_ms for one in both)))
    out.append(f"{sum(one.answers for one in both) / questions:.3g}" if questions else "–")
    out.append(str(max(one.off for one in both)) if questions else "–")
    out.append(f"{sum(one.held for one in both)} of {sum(one.calls for one in both)}")
    return out


def console_table(table: Rows) -> Table:
    out = Table()
    for heading in ("fault", "warm", "cold", "lost ms", "answers", "off", "holds", "caller"):
        out.add_column(heading)
    for name, pair in table.items():
        out.add_row(name, *cells(pair), next(iter(pair.values())).way)
    return out


# --------------------------------------------------------------------------------------------------------- the page


INTRODUCTION = """\
# What callers hear of a failover

Every fault that Segue knows of, played on purpose in running calls, and what came of it on the caller's side.
{summary}

![Silence each fault added](failover.svg)

## How it was measured

{calls} calls over real sockets in real time. In each, a caller acts as the carrier (`bridge/dial`), `segue serve`
answers, and emulators of two providers ([docs/fakes.md](fakes.md)) are behind it; callers, bridge and emulators are
processes of their own, with {parallel} calls at a time. The first provider of the route suffers the fault. It and the
one that takes over are OpenAI, Azure Voice Live and Gemini in turn, and the fault strikes at one moment of a call
after another: while dialling (the caller asks meanwhile), in the greeting, while the caller is silent, while he
speaks, when his turn has just ended, in the answer, while a tool runs, in a barge-in, in a planned rotation. Where
inside a word it strikes differs from call to call. Per fault {runs} calls with a warm standby and {runs} without.
Emulated providers begin to answer {first} ms after they are asked; round trip {rtt} ms. Machine: {machine}.

Nothing the bridge says of itself is used. Judged are the caller's recording, in which the words of the emulators'
voice are found again to the millisecond, and the bytes each provider received, which are compared with what the caller
sent. The same call without trouble is made as well; the difference is what the fault did.

    make bench-failover                                     # all of it again: some {minutes} minutes
    make bench-failover ARGS="--faults stalled --runs 3"    # some of it
    make bench-failover ARGS="--check --write"              # exit status 1 if a row does not hold; writes this page

The faults and moments are those of the test suite (`tests/chaos/matrix`), which runs all {cells} combinations on
simulated time, and a slice of them over real sockets, with every `make test`.

## What the columns mean

- **Noticed**: how the bridge can know. A connection that closes says so. Silence is given 2.8 s after a question, 4.5 s
  after a tool's result, when models think longer, and 0.6 s inside a reply, where nothing is missed as long as enough
  sound is buffered.
- **Warm**, **cold**: ms of silence the caller heard that the fault added, median / worst. Warm: the next provider is
  connected when it happens. Cold: it is dialled then. A call holds when it stays within the time to notice, plus
  {first} ms for the next provider's first audio, plus 150 ms, plus 150 ms for connecting when cold, plus {slack} ms for
  pauses of other lengths where words are joined, for clocks, and for a machine with {parallel} calls on it.
- **Lost**: ms of caller speech that a provider who had to answer did not get, over all calls of the row.
- **Answers**: per question. One is right: less is a caller left without, more is one who hears things twice.
- **Words**: said twice, broken off or left out where one provider goes on after another, in the worst call. What was
  heard is known to a word, so a word that was broken off and its neighbour are two; a call holds with no more.
- **Holds**: calls in which all of it held, and also that tools ran once, that no provider was told the caller had heard
  what he had not, and that a provider which cannot be used was not dialled again and again.

"""

ELSEWHERE = """\
## Beside others

A list of faults of the same kinds (connections refused and swallowed, stalls, failed replies, expired sessions),
measured with LiveKit Agents 1.8.9 and Pipecat 1.14 over real sockets on a machine of two cores: LiveKit switched in 6
of 13 cases, after 4.1 s when the connection was refused and after 34 s when it was swallowed, never on a stall, a
failed reply or an expired session; 4.3 to 34.3 s of caller speech were lost in its switches. Pipecat switched in none
of 8.
"""


def page(results: Sequence[Result], facts: Mapping[str, Any]) -> str:
    """docs/failover.md."""
    parts = [
        INTRODUCTION.format(
            summary=_summary(results, facts),
            calls=facts["calls"],
            parallel=facts["parallel"],
            runs=facts["runs"],
            first=300,
            rtt=facts["rtt_ms"],
            slack=facts["slack_ms"] + GRACE_MS,
            minutes=max(1, round(facts["seconds"] / 60)),
            machine=facts["machine"],
            cells=_legal(),
        )
    ]
    table = rows(results)
    for title, faults in GROUPS.items():
        names = [fault.name for fault in faults if fault.name in table]
        if names:
            parts.append(_group(title, names, table))
    parts.append(_phases(results))
    parts.append(_failures(results))
    parts.append(ELSEWHERE)
    return "\n".join(part for part in parts if part)


def _summary(results: Sequence[Result], facts: Mapping[str, Any]) -> str:
    timed = [one.outcome for one in results if one.timed]
    by_standby = {standby: [one for one in results if one.cell.standby == standby] for standby in STANDBYS}
    warm, cold = (row(some).added if some else () for some in by_standby.values())
    once = sum(one.answers == one.questions for one in timed)
    held = sum(not one.outcome.problems for one in results)
    silences = " and ".join(
        f"{median(some):.0f} ms ({name})" for name, some in (("warm standby", warm), ("cold", cold)) if some
    )
    faults = len({one.cell.fault for one in results})
    lost = sum(one.outcome.lost_ms for one in results)
    also = f"and {facts['again']} whose fault was measured a second time, which counts, " if facts["again"] else ""
    text = (
        f"In {len(results)} calls with {faults} faults the median of the silence added is {silences}; {lost} ms of "
        f"caller speech were lost; in {once} of the {len(timed)} calls whose questions could be answered each was "
        f"answered exactly once; everything held in {held} calls. With those without trouble {also}{facts['calls']} "
        f"calls were made; they left {facts['records']} records, and a provider that no route names was dialled "
        f"{facts['strangers']} times."
    )
    return fill(text, 119)


def _group(title: str, names: Sequence[str], table: Rows) -> str:
    head = "| fault | noticed | warm | cold | lost | answers | words | holds | the caller |"
    lines = [f"## {title}", "", head, "|---|---|--:|--:|--:|--:|--:|--:|---|"]
    for name in names:
        pair = table[name]
        way = _usual([way for one in pair.values() for way in one.way.split(" or ")])
        noticed = NOTICED[FAULTS[name].detects] if FAULTS[name].outcome != "unnoticed" else "–"
        lines.append("| " + " | ".join([name, noticed, *cells(pair), way]) + " |")
    return "\n".join([*lines, ""])


def _phases(results: Sequence[Result]) -> str:
    lines = [
        "## By the moment at which it strikes",
        "",
        "| moment | warm | cold | lost | answers | words | holds |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, pair in rows(results, "phase").items():
        lines.append("| " + " | ".join([name, *cells(pair)]) + " |")
    return "\n".join([*lines, ""])


def _failures(results: Sequence[Result]) -> str:
    """Each call that did not hold; those that are known for the same reason together."""
    lines = [f"- {line}." for line in trouble(results)]
    known: dict[str, list[str]] = {}
    for one in results:
        if one.outcome.problems and one.known:
            known.setdefault(one.known, []).append(str(one.cell))
    for reason, names in known.items():
        each = "; ".join(dict.fromkeys(sorted(names)))
        lines.append(f"- {len(names)} calls of which it is known: {reason}. {each}.")
    return "\n".join(["## What did not hold", "", *lines, ""]) if lines else ""


def _legal() -> str:
    from tests.chaos.matrix.test_matrix import ROWS, legal  # noqa: PLC0415 - brings pytest

    return f"{sum(len(legal(kind, fault)) for kind, fault in ROWS):,}"
