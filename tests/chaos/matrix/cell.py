"""One call of the matrix: made, run, and judged by what the caller heard and what each provider received."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from bridge.core import events as ev
from bridge.core.plan import Tool
from providers.base import ToolSpec
from tests.chaos.matrix.faults import KINDS, Fault, action
from tests.chaos.matrix.phases import NUMBER, PHASES, QUESTION_MS, Phase, rotation
from tests.chaos.matrix.table import FAULTS
from tests.wire.caller import question
from tests.wire.ear import Heard, ear
from tests.wire.moments import difference
from tests.wire.received import Received, other_sound, received
from tests.wire.stage import Socket, WireStage

Log = dict[int, list[Received]]  # by link

LOOKUP = Tool(ToolSpec("lookup", "Looks something up.", {"type": "object", "properties": {}}))
FIRST_AUDIO_MS = 300
MARGIN_MS = 150
CONNECT_MS = 150  # dial, session and configuration of the emulators below, and their steps
TOOL_MS = 900
GRACE_MS = 60  # where a reply is joined: the frame grid, and pauses of other lengths
SCRIPT: dict[str, Any] = {
    "latency": {"upgrade_ms": 60, "session_ms": 20, "ack_ms": 30},
    "reply": {"seconds": 1.0, "first_audio_ms": FIRST_AUDIO_MS, "lead_ms": 300},
    "replies": [{"number": NUMBER, "seconds": 3.2}],
    "caller_text": {"delay_ms": 400},
}


@dataclass(frozen=True, slots=True)
class Cell:
    kind: str
    fault: str
    phase: str
    standby: str

    @property
    def other(self) -> str:
        """The kind that takes over: each of the others in turn."""
        others = [kind for kind in KINDS if kind != self.kind]
        return others[(list(FAULTS).index(self.fault) + list(PHASES).index(self.phase)) % 2]

    @property
    def outcome(self) -> str:
        """As the fault's, except that a Gemini turn that ends in mid-sentence cannot be told from one that is over."""
        if self.kind == "gemini" and self.fault == "poisoned session" and PHASES[self.phase].spoken:
            return "shortened"
        return FAULTS[self.fault].outcome

    def __str__(self) -> str:
        return f"{self.kind} / {self.fault} / {self.phase} / {self.standby}"


@dataclass
class Judged:
    """`problems` names what did not hold. `added_ms`: silence the fault added; `off`: words at the seam that were said
    twice, broken off or left out (one at most)."""

    problems: list[str] = field(default_factory=list)
    added_ms: int = 0
    off: int = 0
    heard: str = ""


def make(kind: str, other: str, phase: Phase, standby: str, rules: list[dict[str, Any]]) -> WireStage:
    script = {**SCRIPT, "rules": rules}
    script["reply"] = {**SCRIPT["reply"], "pace": phase.pace}
    both = [script, SCRIPT]
    if phase.tool:
        both = [{**one, "tools": [{"name": "lookup", "number": NUMBER}]} for one in both]
    stage = WireStage(
        {"a": (kind, both[0]), "b": (other, both[1])}, standby, phase.greeting, tools=(LOOKUP,) if phase.tool else ()
    )
    stage.tool_ms = TOOL_MS
    if phase.speaks_ms is not None:
        stage.say(phase.speaks_ms, question(NUMBER, QUESTION_MS))
    return stage


def rules_for(kind: str, fault: Fault, phase: Phase) -> list[dict[str, Any]]:
    rules = rotation(kind, phase)
    connection = 2 if fault.moment and phase.rotates else 1
    when = {"phase": fault.moment} if fault.moment else dict(phase.when)
    if fault.dials == 1 and fault.moment == "upgrade":
        return [*rules, {"when": when, "do": action(fault, kind, phase)}] if not phase.rotates else [
            *rules, {"when": {**when, "connection": 2}, "do": action(fault, kind, phase)}]  # fmt: skip
    return [*rules, {"when": {**when, "connection": connection}, "do": action(fault, kind, phase)}]


@dataclass(frozen=True)
class Baseline:
    """The same call without trouble. `first`: its words up to the keys; `last`: those of the keys' answer."""

    first: tuple[Heard, ...]
    last: tuple[str, ...]
    end_ms: float


@lru_cache(maxsize=256)
def baseline(kind: str, other: str, phase: str) -> Baseline:
    stage = make(kind, other, PHASES[phase], "cold", [])
    stage.run(9000)
    first = ear().words(bytes(stage.heard))
    stage.press(9000, PHASES[phase].keys)
    stage.run(12_000)
    words = ear().words(bytes(stage.heard))
    last = tuple(heard.word for heard in words[len(first) :])
    assert all(heard.whole for heard in words) or phase.startswith("barge"), "the caller of the baseline heard less"
    assert last[:3] == ("you", "pressed", "five"), last
    if PHASES[phase].speaks_ms is not None:
        answer = " ".join(heard.word for heard in first)
        assert "you asked about number seven" in answer and "missing" not in answer, answer
        assert ("the result is seven" in answer) == PHASES[phase].tool, answer
    return Baseline(tuple(first), last, first[-1].end)


def allowed_ms(cell: Cell) -> int:
    """How much silence a fault may add: detection, the next provider's first audio, a margin, connecting when cold."""
    fault, phase = FAULTS[cell.fault], PHASES[cell.phase]
    if cell.outcome in ("unnoticed", "shortened", "refused") and not fault.name.startswith("stalled"):
        return 0
    detection = {
        "now": 0,
        "dial": 1500,
        "configured": 1000,
        "silence": phase.asks_ms,
        "slow": 600,
        "empty": 2 * FIRST_AUDIO_MS,
    }[fault.detects]
    if fault.detects == "silence" and phase.name == "barge-in in progress":
        detection = 2800
    cold = CONNECT_MS if cell.standby == "cold" or phase.name in ("dialling", "greeting") else 0
    return detection + FIRST_AUDIO_MS + MARGIN_MS + cold


def run(cell: Cell) -> tuple[WireStage, Baseline, int]:
    """Makes the call; returns it with its baseline and when the keys were pressed (ms)."""
    fault, phase = FAULTS[cell.fault], PHASES[cell.phase]
    base = baseline(cell.kind, cell.other, cell.phase)
    stage = make(cell.kind, cell.other, phase, cell.standby, rules_for(cell.kind, fault, phase))
    keys_ms = int(base.end_ms) + allowed_ms(cell) + 700
    stage.press(keys_ms, phase.keys)
    stage.run(keys_ms + (4200 if cell.outcome == "refused" else 2300))
    return stage, base, keys_ms


def judge(cell: Cell) -> Judged:
    stage, base, keys_ms = run(cell)
    out = Judged()
    words = ear().words(bytes(stage.heard))
    rules = stage.emulators["a"].script.rules
    if any(stage.emulators["a"].shared.fired[index] == 0 for index in range(len(rules))):
        out.problems.append("the fault did not strike")
    out.heard = " ".join(heard.word + ("" if heard.whole else f"~{heard.share:.2f}") for heard in words)
    before = [heard for heard in words if heard.begin < keys_ms]
    _answers(cell, out, base, before)
    _keys(cell, out, base, [heard.word for heard in words if heard.begin >= keys_ms])
    if cell.outcome in ("answered", "unnoticed"):
        _gap(cell, out, base, before)
    told = {number: received(socket) for number, socket in stage.sockets.items()}
    _speech(cell, out, stage, told)
    _truth(out, stage, words, told)
    _tools(cell, out, stage)
    _life(cell, out, stage, told)
    return out


# ------------------------------------------------------------------------------------------------ P2: one answer, whole


def _answers(cell: Cell, out: Judged, base: Baseline, before: list[Heard]) -> None:
    phase = PHASES[cell.phase]
    want = [heard.word for heard in base.first]
    have = [heard.word for heard in before if heard.whole]
    broken = sum(not heard.whole for heard in before)
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
    if out.off > (1 if phase.spoken else 0):
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


def _gap(cell: Cell, out: Judged, base: Baseline, before: list[Heard]) -> None:
    if not before:
        out.problems.append("P3: nothing was heard")
        return
    more = _sounding(before) - _sounding(list(base.first))
    out.added_ms = round(before[-1].end - base.end_ms - max(0.0, more))
    if out.added_ms > allowed_ms(cell) + GRACE_MS:
        out.problems.append(f"P3: {out.added_ms} ms of silence added, {allowed_ms(cell)} allowed")


def _sounding(words: list[Heard]) -> float:
    return sum(heard.end - heard.begin for heard in words)


# ------------------------------------------------------------------------------------------------ P1: no lost speech


def _speech(cell: Cell, out: Judged, stage: WireStage, log: Log) -> None:
    phase = PHASES[cell.phase]
    if phase.speaks_ms is None:
        return
    begin = max(0, phase.speaks_ms - 300)
    want = stage.caller(begin, phase.speaks_ms + QUESTION_MS + 500)
    whole = 0
    for socket in stage.sockets.values():
        told = log[socket.number]
        turns = [entry for entry in told if entry.what == "speech"]
        if len(turns) > 1:
            out.problems.append(f"P1: {socket.provider}{socket.number} got {len(turns)} turns")
        for turn in turns:
            whole += 1
            trouble = other_sound(_kind(stage, socket), turn.data, want)
            if trouble:
                out.problems.append(f"P1: {socket.provider}{socket.number}: {trouble}")
        for part in told:
            if part.what == "open" and _kind(stage, socket) != "gemini" and not want.startswith(part.data):
                out.problems.append(f"P1: {socket.provider}{socket.number}: what it got of the turn is not its begin")
    if not whole:
        out.problems.append("P1: nobody got the question")


def _kind(stage: WireStage, socket: Socket) -> str:
    return stage.targets[socket.provider].kind


# ------------------------------------------------------------------------------------------------ P4: heard truth


def _truth(out: Judged, stage: WireStage, words: list[Heard], logs: Log) -> None:
    """What anybody is told the assistant said is what the caller heard of it, to a word; nobody is told it twice."""
    spoken = [heard.word for heard in words]
    for socket in stage.sockets.values():
        log = logs[socket.number]
        gone = {entry.item for entry in log if entry.what == "delete"}
        told = [entry for entry in log if entry.what == "text" and entry.role == "assistant"]
        for entry in told:
            said = [_plain(word) for word in entry.text.split()]
            if not _within(said, spoken) and entry.item not in gone:
                out.problems.append(f"P4: {socket.provider}{socket.number} was told: {entry.text}")
        kept = [entry.text for entry in told if entry.item not in gone]
        if len(set(kept)) < len(kept):
            out.problems.append(f"P4: {socket.provider}{socket.number} was told twice: {kept}")


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


def _tools(cell: Cell, out: Judged, stage: WireStage) -> None:
    if PHASES[cell.phase].tool and len(stage.tools) != 1:
        out.problems.append(f"P5: the tool ran {len(stage.tools)} times")


def _life(cell: Cell, out: Judged, stage: WireStage, log: Log) -> None:
    fault = FAULTS[cell.fault]
    if stage.ended is not None:
        out.problems.append(f"P6: the call ended: {stage.ended}")
    asked_b = any(entry.what == "ask" for socket in stage.of("b") for entry in log[socket.number])
    harmless = cell.outcome != "answered" and fault.detects == "now"
    if harmless and asked_b and not PHASES[cell.phase].rotates:
        out.problems.append("P2: another provider was asked, although nothing was wrong")
    if len(stage.of("a")) > fault.dials + PHASES[cell.phase].rotates:
        out.problems.append(f"P6: {len(stage.of('a'))} dials of a provider that cannot be used")
    stage.dispatch(ev.Gone("caller hung up"))
    stage.run(stage.now // 1_000_000 + 100)
    if len(stage.noted("call_ended")) != 1:
        out.problems.append("P8: the call did not end once")
    opened = len(stage.noted("exchange_opened")) + len(stage.noted("exchange_reopened"))
    if len(stage.noted("exchange_settled")) != opened:
        out.problems.append(f"P8: {opened} exchanges, {len(stage.noted('exchange_settled'))} settled")
