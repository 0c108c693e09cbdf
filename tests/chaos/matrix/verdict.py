"""Judges a call of the matrix by what the caller heard and what each provider received: P2 to P6.

The same for calls on simulated time and for calls over real sockets. P1, whose measure differs, is judged where the
call is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.chaos.matrix.cell import Baseline, Cell, allowed_ms, strictly_allowed_ms
from tests.chaos.matrix.phases import PHASES
from tests.chaos.matrix.table import FAULTS
from tests.wire.ear import Heard
from tests.wire.moments import difference
from tests.wire.received import Received

GRACE_MS = 60  # where a reply is joined: the frame grid, and pauses of other lengths


@dataclass(frozen=True)
class Link:
    """A connection to provider "a" (the failing one) or "b", and what came in on it."""

    provider: str
    number: int
    kind: str
    told: Sequence[Received]

    def __str__(self) -> str:
        return f"{self.provider}{self.number}"


@dataclass(frozen=True)
class Evidence:
    """What is known of a call from outside. `dials`: of the failing provider, refused ones too; `tools`: how often the
    tool ran; `struck`: every rule of the failing provider took effect."""

    words: Sequence[Heard]
    links: Sequence[Link]
    dials: int
    tools: int
    struck: bool
    keys_ms: int
    rtt_ms: int = 0

    @property
    def others_asked(self) -> bool:
        """Another provider than the failing one was asked for a reply."""
        return any(entry.what == "ask" for link in self.links if link.provider == "b" for entry in link.told)


@dataclass
class Judged:
    """`problems` names what did not hold. `added_ms`: silence the fault added; `off`: words at the seam that were said
    twice, broken off or left out (one at most)."""

    problems: list[str] = field(default_factory=list)
    added_ms: int = 0
    off: int = 0
    heard: str = ""


def judged(
    cell: Cell, seen: Evidence, base: Baseline, slack_ms: int = 0, seam_words: int = 1, torn: bool = False
) -> Judged:
    """For clocks that are not simulated: `slack_ms` of silence are allowed beyond what follows from the call, and
    `torn` words count as heard where the sound drips or no provider goes on after another. Where one does, `seam_words`
    may be off."""
    out = Judged()
    if not seen.struck:
        out.problems.append("the fault did not strike")
    out.heard = " ".join(heard.word + ("" if heard.whole else f"~{heard.share:.2f}") for heard in seen.words)
    before = [heard for heard in seen.words if heard.begin < seen.keys_ms]
    _answers(cell, out, base, before, seam_words, torn)
    _keys(cell, out, base, [heard.word for heard in seen.words if heard.begin >= seen.keys_ms])
    if cell.outcome in ("answered", "unnoticed"):
        allowed = allowed_ms(cell, seen.rtt_ms) + slack_ms if slack_ms else strictly_allowed_ms(cell)
        _gap(cell, out, base, before, allowed)
    _truth(out, seen)
    _tools(cell, out, seen)
    _life(cell, out, seen)
    return out


# ------------------------------------------------------------------------------------------------ P2: one answer, whole


def _answers(
    cell: Cell, out: Judged, base: Baseline, before: list[Heard], seam_words: int, torn: bool
) -> None:
    phase = PHASES[cell.phase]
    drips = FAULTS[cell.fault].detects == "slow"  # sound that comes too slowly is torn within its words
    torn = torn and (drips or not phase.spoken)
    want = [heard.word for heard in base.first]
    have = [heard.word for heard in before if heard.whole or torn]
    broken = 0 if torn else sum(not heard.whole for heard in before)
    if phase.name == "barge-in in progress":
        out.problems += _cut_greeting(want, have)
        want, have = _answer_only(want), _answer_only(have)
        broken = 0
    elif cell.outcome == "refused":
        have = [word for word in have if word != "<rephrase>"]
        if have != want[: len(have)] or (len(have) >= len(want)):
            out.problems.append(f"P2: heard {have}")
        return
    elif cell.outcome == "shortened":
        if have != want[: len(have)]:
            out.problems.append(f"P2: not a beginning of the answer: {have}")
        return
    out.off = max(difference(want, have), broken)
    if out.off > (seam_words if phase.spoken or (torn and drips) else 0):
        out.problems.append(f"P2: off by {out.off} words")


def _keys(cell: Cell, out: Judged, base: Baseline, last: list[str]) -> None:
    if cell.outcome == "refused":  # the model may come back to what it had refused
        if "you pressed five" not in " ".join(last):
            out.problems.append(f"P2: after the keys: {' '.join(last)}")
        return
    if tuple(last) != base.last:
        out.problems.append(f"P2: after the keys: {' '.join(last)}")


def _answer_only(words: list[str]) -> list[str]:
    """From "you asked about" on."""
    for at in range(len(words) - 1):
        if words[at : at + 2] == ["you", "asked"]:
            return words[at:]
    return []


def _cut_greeting(want: list[str], have: list[str]) -> list[str]:
    """The greeting was cut by the caller: a beginning of it was heard, and nothing else."""
    cut = len(have) - len(_answer_only(have))
    return [] if have[:cut] == want[:cut] or have[: cut - 1] == want[: cut - 1] else [f"P2: greeting {have[:cut]}"]


# ------------------------------------------------------------------------------------------------ P3: a short gap


def _gap(cell: Cell, out: Judged, base: Baseline, before: list[Heard], allowed: int) -> None:
    if not before:
        out.problems.append("P3: nothing was heard")
        return
    more = _sounding(before) - _sounding(list(base.first))
    out.added_ms = round(before[-1].end - base.end_ms - max(0.0, more))
    if out.added_ms > allowed + GRACE_MS:
        out.problems.append(f"P3: {out.added_ms} ms of silence added, {allowed} allowed")


def _sounding(words: list[Heard]) -> float:
    return sum(heard.end - heard.begin for heard in words)


# ------------------------------------------------------------------------------------------------ P4: heard truth


def _truth(out: Judged, seen: Evidence) -> None:
    """What anybody is told the assistant said is what the caller heard of it, to a word; nobody is told it twice."""
    spoken = [heard.word for heard in seen.words]
    whole = [heard.word for heard in seen.words if heard.whole]  # what broke off is said anew, so it may count or not
    for link in seen.links:
        gone = {entry.item for entry in link.told if entry.what == "delete"}
        told = [entry for entry in link.told if entry.what == "text" and entry.role == "assistant"]
        for entry in told:
            said = [_plain(word) for word in entry.text.split()]
            if not (_within(said, spoken) or _within(said, whole)) and entry.item not in gone:
                out.problems.append(f"P4: {link} was told: {entry.text}")
        kept = [entry.text for entry in told if entry.item not in gone]
        if len(set(kept)) < len(kept):
            out.problems.append(f"P4: {link} was told twice: {kept}")


def _within(said: list[str], spoken: list[str]) -> bool:
    """Were these words heard, in one piece, give or take one?"""
    row = [0] * (len(spoken) + 1)  # the words may begin anywhere in what was heard, and end anywhere
    for i, word in enumerate(said):
        above, row = row, [i + 1] * (len(spoken) + 1)
        for j, other in enumerate(spoken):
            row[j + 1] = above[j] if word == other else 1 + min(above[j + 1], row[j], above[j])
    return min(row) <= 1


def _plain(word: str) -> str:
    return "".join(char for char in word.lower() if char.isalnum() or char == "'")


# ------------------------------------------------------------------------------------------------ P5 and P6


def _tools(cell: Cell, out: Judged, seen: Evidence) -> None:
    if PHASES[cell.phase].tool and seen.tools != 1:
        out.problems.append(f"P5: the tool ran {seen.tools} times")


def _life(cell: Cell, out: Judged, seen: Evidence) -> None:
    fault, phase = FAULTS[cell.fault], PHASES[cell.phase]
    harmless = cell.outcome != "answered" and fault.detects == "now"
    if harmless and seen.others_asked and not phase.rotates:
        out.problems.append("P2: another provider was asked, although nothing was wrong")
    if seen.dials > fault.dials + phase.rotates:
        out.problems.append(f"P6: {seen.dials} dials of a provider that cannot be used")
