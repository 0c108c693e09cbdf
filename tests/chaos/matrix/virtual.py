"""Calls of the matrix at core and codec level, on simulated time."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from bridge.core import events as ev
from bridge.core.plan import Tool
from providers.base import ToolSpec
from tests.chaos.matrix.cell import TOOL_MS, Baseline, Cell, allowed_ms, baseline_of, rules_for, scripts
from tests.chaos.matrix.phases import NUMBER, PHASES, QUESTION_MS, Phase
from tests.chaos.matrix.table import FAULTS
from tests.chaos.matrix.verdict import Evidence, Judged, Link, judged
from tests.wire.caller import question
from tests.wire.ear import ear
from tests.wire.received import other_sound, received
from tests.wire.stage import WireStage

LOOKUP = Tool(ToolSpec("lookup", "Looks something up.", {"type": "object", "properties": {}}))
KEYS_MS = 9000  # when the keys of a call without trouble are pressed


def make(kind: str, other: str, phase: Phase, standby: str, rules: list[dict[str, Any]]) -> WireStage:
    failing, next_one = scripts(phase, rules)
    tools = (LOOKUP,) if phase.tool else ()
    stage = WireStage({"a": (kind, failing), "b": (other, next_one)}, standby, phase.greeting, tools=tools)
    stage.tool_ms = TOOL_MS
    if phase.speaks_ms is not None:
        stage.say(phase.speaks_ms, question(NUMBER, QUESTION_MS))
    return stage


@lru_cache(maxsize=256)
def baseline(kind: str, other: str, phase: str) -> Baseline:
    """The call without trouble."""
    stage = make(kind, other, PHASES[phase], "cold", [])
    stage.press(KEYS_MS, PHASES[phase].keys)
    stage.run(KEYS_MS + 3000)
    words = ear().words(bytes(stage.heard))
    assert all(heard.whole for heard in words) or phase.startswith("barge"), "the caller of the baseline heard less"
    return baseline_of(words, PHASES[phase], KEYS_MS)


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
    failing = stage.emulators["a"]
    links = [
        Link(socket.provider, socket.number, stage.targets[socket.provider].kind, received(socket))
        for socket in stage.sockets.values()
    ]
    seen = Evidence(
        words=ear().words(bytes(stage.heard)),
        links=links,
        dials=len(stage.of("a")),
        tools=len(stage.tools),
        struck=all(failing.shared.fired[index] for index in range(len(failing.script.rules))),
        keys_ms=keys_ms,
    )
    out = judged(cell, seen, base)
    if PHASES[cell.phase].speaks_ms is not None:
        _speech(PHASES[cell.phase], out, stage, links)
    _record(out, stage)
    return out


def _speech(phase: Phase, out: Judged, stage: WireStage, links: list[Link]) -> None:
    """P1: the question reached whoever was asked it, byte for byte."""
    assert phase.speaks_ms is not None
    want = stage.caller(max(0, phase.speaks_ms - 300), phase.speaks_ms + QUESTION_MS + 500)
    whole = 0
    for link in links:
        turns = [entry for entry in link.told if entry.what == "speech"]
        if len(turns) > 1:
            out.problems.append(f"P1: {link} got {len(turns)} turns")
        for turn in turns:
            whole += 1
            trouble = other_sound(link.kind, turn.data, want)
            if trouble:
                out.problems.append(f"P1: {link}: {trouble}")
        for part in link.told:
            if part.what == "open" and link.kind != "gemini" and not want.startswith(part.data):
                out.problems.append(f"P1: {link}: what it got of the turn is not its begin")
    if not whole:
        out.problems.append("P1: nobody got the question")


def _record(out: Judged, stage: WireStage) -> None:
    """P6 and P8: the call lives until the caller hangs up, and is told to its end once."""
    if stage.ended is not None:
        out.problems.append(f"P6: the call ended: {stage.ended}")
    stage.dispatch(ev.Gone("caller hung up"))
    stage.run(stage.now // 1_000_000 + 100)
    if len(stage.noted("call_ended")) != 1:
        out.problems.append("P8: the call did not end once")
    opened = len(stage.noted("exchange_opened")) + len(stage.noted("exchange_reopened"))
    if len(stage.noted("exchange_settled")) != opened:
        out.problems.append(f"P8: {opened} exchanges, {len(stage.noted('exchange_settled'))} settled")
