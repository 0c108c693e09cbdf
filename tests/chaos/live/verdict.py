"""Judges a call over real sockets; runs in a process of its own, for it takes a while and calls must not wait."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from audio.frame import PCMU
from bridge import phrases
from tests.chaos.live.saved import links, lost_ms, spoken_ms
from tests.chaos.matrix.cell import Baseline, Cell, allowed_ms, baseline_of
from tests.chaos.matrix.phases import NUMBER, PHASES, QUESTION_MS
from tests.chaos.matrix.verdict import Evidence, Judged, Link, judged
from tests.wire.caller import question
from tests.wire.ear import Ear, Heard

if TYPE_CHECKING:
    from tests.chaos.live.calls import Trial

SEAM_WORDS = 2  # what was heard is known to a word: one that was broken off, and its neighbour
ANSWERED = ("answered by the same provider", "answered by the next provider", "answered")
TORN_MS = 400  # a pause within a word, when its sound comes late
CALLER_DONE = "caller done"
ANSWERS = {"question": ("asked", "about"), "keys": ("pressed", "five")}  # the first word may be torn


@dataclass(frozen=True, slots=True)
class Seen:
    """A call that was made: both sides' sound in u-law, how it ended, and where the emulators keep what they got."""

    trial: Trial
    said: bytes
    heard: bytes
    end: str
    keys_ms: int
    failing: Path
    other: Path
    dials: int
    struck: bool
    tools: int


@dataclass
class Outcome:
    """What came of a call. `lost_ms`: caller speech that somebody who was asked did not get; `answers` to its
    `questions`; `off`: words at the seam that were said twice, broken off or left out; `way`: how the caller fared, in
    words; `allowed_ms` of added silence, without slack."""

    problems: list[str] = field(default_factory=list)
    added_ms: int = 0
    allowed_ms: int = 0
    lost_ms: int = 0
    answers: int = 0
    questions: int = 0
    off: int = 0
    way: str = ""
    heard: str = ""


def warm_up() -> None:
    """Of the judging process: it yields to the calls, and has its ear ready."""
    os.nice(5)
    ear_for_product()


@lru_cache(maxsize=1)
def ear_for_product() -> Ear:
    """The one ear of this process that knows the phrases Segue comes with."""
    return Ear({name: phrases.load(phrases.FOLDER / f"{name}.wav", PCMU) for name in phrases.NAMES})


def heard(sound: bytes) -> list[Heard]:
    """Words in sound that was played in real time: one that a pause tore in two is one word."""
    out: list[Heard] = []
    for word in ear_for_product().words(sound):
        last = out[-1] if out else None
        if last is not None and last.word == word.word and not last.whole and word.begin - last.end < TORN_MS:
            out[-1] = Heard(word.word, last.begin, word.end, max(word.share, min(1.0, last.share + word.share)))
        else:
            out.append(word)
    return out


def settle(seen: Seen) -> Baseline:
    """What is heard without trouble. Raises AssertionError when that is not all of it."""
    words = heard(seen.heard)
    try:
        return baseline_of(words, PHASES[seen.trial.cell.phase], seen.keys_ms)
    except (AssertionError, IndexError) as error:
        text = " ".join(f"{word.word}{'' if word.whole else '~'}" for word in words)
        raise AssertionError(f"{seen.trial.cell} without trouble: {error}; {seen.end}; heard: {text}") from error


def judge(seen: Seen, base: Baseline, slack_ms: int) -> Outcome:
    cell, trial = seen.trial.cell, seen.trial
    words = heard(seen.heard)
    both = [*links("a", cell.kind, seen.failing), *links("b", cell.other, seen.other)]
    evidence = Evidence(words, both, seen.dials, seen.tools, seen.struck, seen.keys_ms, trial.rtt_ms)
    found = judged(cell, evidence, base, slack_ms, SEAM_WORDS, torn=True)
    out = Outcome(found.problems, max(0, found.added_ms), allowed_ms(cell, trial.rtt_ms), off=found.off)
    out.heard = found.heard
    if trial.speaks_ms is not None:
        _speech(trial, seen, out, both)
    if seen.end != CALLER_DONE:
        out.problems.append(f"P6: the call ended before the caller hung up: {seen.end}")
    _counted(trial, out, words)
    out.way = _way(cell, evidence, found, base)
    return out


def _speech(trial: Trial, seen: Seen, out: Outcome, both: list[Link]) -> None:
    """P1: whoever was asked the question got all of it, once."""
    assert trial.speaks_ms is not None
    begin, end = (trial.speaks_ms + at for at in spoken_ms(question(NUMBER, QUESTION_MS)))
    got = 0
    for link in both:
        turns = [entry for entry in link.told if entry.what == "speech"]
        got += len(turns)
        if len(turns) > 1:
            out.problems.append(f"P1: {link} got {len(turns)} turns")
        for turn in turns:
            lost, trouble = lost_ms(link.kind, turn.data, seen.said, begin, end)
            out.lost_ms = max(out.lost_ms, lost)
            if trouble:
                out.problems.append(f"P1: {link}: {trouble}")
    if not got:
        out.lost_ms = end - begin
        out.problems.append("P1: nobody got the question")


def _counted(trial: Trial, out: Outcome, words: list[Heard]) -> None:
    """How many answers were begun: nobody goes on after the words of another with their first ones."""
    said = [heard.word for heard in words]
    asked = ["keys"] if trial.speaks_ms is None else ["question", "keys"]
    out.questions = len(asked)
    for name in asked:
        opening = ANSWERS[name]
        out.answers += sum(tuple(said[at : at + 2]) == opening for at in range(len(said) - 1))


def _way(cell: Cell, seen: Evidence, found: Judged, base: Baseline) -> str:
    """How the caller fared, as far as can be told from outside."""
    before = [heard.word for heard in seen.words if heard.begin < seen.keys_ms]
    if "<sorry>" in before:
        return "told that it does not work"
    if "<rephrase>" in before:
        return "asked to say it another way"
    if cell.outcome in ("shortened", "refused"):
        return "hears a part of the answer" if before else "hears nothing"
    whole = len(before) >= len(base.first) - 1 or PHASES[cell.phase].name.startswith("barge")
    if not whole or any(problem.startswith("P2") for problem in found.problems):
        return "answered badly"
    if not seen.others_asked:
        return ANSWERED[0]
    return ANSWERED[1] if cell.outcome == "answered" else ANSWERED[2]
