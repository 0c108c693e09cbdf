"""What an emulator answers, computed from the conversation it holds.

A question that arrived whole is answered by its number; a question that lost or doubled a part is answered with a
complaint; a reply that was already partly given *after* its question is continued after its last word when the client
asks for that, and given again from the start when the order of the conversation is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Literal

import orjson

from bridge.fakes.numbered import Reading
from bridge.fakes.script import ToolRule
from bridge.fakes.speech import Spoken, bank, filler, number_words, numbers_in, words_of

_QUOTED = re.compile(r"“([^”]+)”|\"([^\"]+)\"|«([^»]+)»")
_KEYS = re.compile(r"\b(press|key|dtmf|digit)", re.IGNORECASE)
_RETURNED = re.compile(r"\breturned (.*?)\)?$", re.IGNORECASE | re.DOTALL)
_PENDING = re.compile(r"still running", re.IGNORECASE)


@dataclass(slots=True)
class Said:
    """One thing in the conversation, in order. `kind` speech: the caller's voice, what was read in it and how long it
    was; call/output: a tool's `name`, its arguments or its result in `text`."""

    role: Literal["user", "assistant", "system"]
    kind: Literal["speech", "text", "call", "output"]
    text: str = ""
    reading: Reading | None = None
    seconds: float = 0.0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """`spoken` without words: nothing is left to say. `numbers`: which questions it answers."""

    spoken: Spoken
    numbers: tuple[int, ...] = ()
    continued: bool = False


@dataclass(slots=True)
class Open:
    """What is owed a reply: questions in order, what was already said after them, and everything else since."""

    questions: list[Said] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    others: list[Said] = field(default_factory=list)
    first: bool = True  # nothing was said by the assistant before
    told: str = ""  # notes and instructions that came with the ask

    @property
    def continuing(self) -> bool:
        """The client wants a reply that was cut off to go on."""
        return "continue" in self.told.lower()

    @property
    def numbers(self) -> list[int]:
        """The numbers of the questions that have one."""
        return [number for question in self.questions if (number := number_of(question)) is not None]


def is_note(said: Said) -> bool:
    """A remark or an instruction of the client, put in the caller's mouth for want of a better place."""
    text = said.text.lower()
    if said.kind != "text" or said.role != "user":
        return False
    if "continue" in text and "heard" in text:
        return True
    if re.search(r"\b(greet|say|ask)\b", text) and quoted(said.text):
        return True
    return text.startswith("(") and "caller spoke" not in text and "caller pressed" not in text


def number_of(said: Said) -> int | None:
    """The number of a question, spoken (tones) or written ("question number 37")."""
    if said.kind == "speech":
        return said.reading.number if said.reading else None
    match = re.search(r"\bnumber\s+(.*)", said.text, re.IGNORECASE)
    found = numbers_in(match.group(1)) if match else []
    return found[0] if found else None


def open_question(log: Sequence[Said], instructions: str = "") -> Open:
    """Splits the end of the conversation: everything since the assistant's last finished statement. A question with a
    statement behind it is answered, unless that was cut off, or a tool's result came after it."""
    open_ = _split(log)
    notes = [said.text for said in open_.others if is_note(said)]
    open_.told = " ".join([*notes, instructions])
    last = max((at for at, said in enumerate(log) if said.role == "assistant" and said.kind == "text"), default=-1)
    news = any(said.kind == "output" for said in log[last + 1 :])
    if open_.given and not open_.continuing and not news:
        open_.questions, open_.first = [], False
    return open_


def _split(log: Sequence[Said]) -> Open:
    open_ = Open()
    at = len(log)
    while at and not (log[at - 1].role == "user" and not is_note(log[at - 1])):
        at -= 1
    tail = log[at:]
    open_.given = [said.text for said in tail if said.role == "assistant" and said.kind == "text"]
    open_.others = [said for said in tail if not (said.role == "assistant" and said.kind == "text")]
    if not at:
        open_.first = not open_.given
        return open_
    before: list[Said] = []
    while at and not (log[at - 1].role == "assistant" and log[at - 1].kind == "text"):
        at -= 1
        before.insert(0, log[at])
    open_.first = not at
    open_.questions = [said for said in before if said.role == "user" and not is_note(said)]
    open_.others = [said for said in before if said not in open_.questions] + open_.others
    return open_


def quoted(text: str) -> list[str]:
    """What stands between quotation marks, in order."""
    return [next(part for part in match.groups() if part) for match in _QUOTED.finditer(text)]


def clip(name: str) -> Spoken:
    return bank().clips[name]


def words(text: str) -> Spoken:
    """`text` as speech; raises ValueError when the voice does not know a word of it."""
    spoken = bank().say(text)
    if spoken is None:
        raise ValueError(f"the emulators' voice cannot say {text!r}")
    return spoken


def _lead(questions: Sequence[Said]) -> Spoken:
    """What was asked, as heard: numbers, seconds of speech, keys; and what was missing of it."""
    lead = Spoken()
    named = False
    for question in questions:
        number = number_of(question)
        if number is not None:
            lead += clip("and_number" if named else "asked") + words(number_words(number) + ".")
            named = True
        elif question.kind == "speech":
            tenths = min(round(question.seconds * 10), 9999)
            lead += clip("heard_for") + words(number_words(tenths // 10)) + clip("point")
            lead += words(number_words(tenths % 10)) + clip("seconds")
        else:
            digits = re.findall(r"\d", question.text) if _KEYS.search(question.text) else []
            lead += clip("pressed") + words(" ".join(digits[:12])) if digits else clip("read")
        reading = question.reading
        if reading is not None and reading.number is not None and not reading.complete:
            lead += clip("repeated" if reading.repeated_ms > reading.missing_ms else "missing")
    return lead


def _result(others: Sequence[Said]) -> Spoken:
    """What the tools said, if they did."""
    spoken = Spoken()
    for said in others:
        text = said.text
        if said.kind == "text":  # told in words, where tool history cannot be given otherwise
            told = _RETURNED.search(text)
            if told is None:
                continue
            text = told.group(1)
        elif said.kind != "output":
            continue
        found = [n for n in _integers(text) if 0 <= n <= 999][:3]
        if found:
            spoken += clip("result") + words(" and ".join(number_words(n) for n in found) + ".")
        else:
            spoken += clip("arrived")
    return spoken


def _integers(text: str) -> list[int]:
    """Whole numbers among the values of a JSON text, or in a plain one."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return [int(found) for found in re.findall(r"\d+", text)]
    out: list[int] = []
    waiting = [value]
    while waiting:
        entry = waiting.pop(0)
        if isinstance(entry, dict):
            waiting += entry.values()
        elif isinstance(entry, list):
            waiting += entry
        elif isinstance(entry, int) and not isinstance(entry, bool):
            out.append(entry)
        elif isinstance(entry, str):
            out += [int(found) for found in re.findall(r"\d+", entry)]
    return out


def continuation(full: Spoken, given: str) -> int | None:
    """How many words of `full` are already said in `given`: it is a beginning of `full`, or its last words are found
    there once. None when it is no part of it."""
    mine = [word for entry in full.words for word in words_of(entry.text)]
    told = words_of(given)
    if not told:
        return None
    if mine[: len(told)] == told:
        return len(told)
    for size in range(min(6, len(told)), 2, -1):
        tail = told[-size:]
        places = [at for at in range(len(mine) - size + 1) if mine[at : at + size] == tail]
        if len(places) == 1:
            return places[0] + size
    return None


def statement(open_: Open, instructions: str, session: str, seconds: float, say: str | None) -> Spoken:
    """The whole reply to what is open, whatever of it was said before."""
    if say is not None:
        return bank().say(say) or clip("say").cut(0, 2)
    if open_.questions:
        lead = _lead(open_.questions) + _result(open_.others)
        known = open_.numbers
        rest = seconds - lead.seconds
        return lead + filler(known[-1] if known else 0, rest) if rest > 0.5 else lead
    result = _result(open_.others)
    if result.words:
        return result
    for text in [*quoted(instructions), *(quoted(session) if open_.first else ())]:
        spoken = bank().say(text)
        if spoken is not None and spoken.words:
            return spoken
    return clip("greeting") if open_.first else clip("still_there")


def answer(log: Sequence[Said], instructions: str, session: str, seconds: float, say: str | None = None) -> Answer:
    """The reply to the conversation `log`. `instructions`: of this ask; `session`: of the whole session."""
    open_ = open_question(log, instructions)
    numbers = tuple(open_.numbers)
    notes = [said.text for said in open_.others if is_note(said)]
    broken = any(said.reading is not None and not said.reading.complete for said in open_.questions)
    if not open_.continuing or broken:
        return Answer(statement(open_, open_.told, session, seconds, say), numbers)
    given = [" ".join(open_.given)] if open_.given and not notes else quoted(" ".join(notes))
    candidates = [statement(open_, "", session, seconds, say)]
    if not open_.questions:  # a greeting or a re-prompt was cut off: find which
        spoken = [bank().say(text) for text in quoted(session)]
        candidates += [entry for entry in spoken if entry is not None] + [clip("greeting"), clip("still_there")]
    for full in candidates:
        for text in given:
            heard = continuation(full, text)
            if heard is not None:
                return Answer(full.cut(heard), numbers, True)
    return Answer(candidates[0], numbers)


def pending_tool(open_: Open, name: str) -> bool:
    """Whether tool `name` was called since the question: done, or said to be still running."""
    for said in open_.others:
        if said.kind in ("call", "output") and said.name == name:
            return True
        if said.kind == "text" and name in said.text and (_PENDING.search(said.text) or "{" in said.text):
            return True
    return False


def caller_text(heard: Sequence[Said], scripted: str | None) -> str:
    """What a transcriber would write for caller speech."""
    if scripted is not None:
        return scripted
    numbers = [number for said in heard if (number := number_of(said)) is not None]
    if numbers:
        return " and ".join(f"question number {number}" for number in numbers)
    return f"speech of {sum(said.seconds for said in heard):.1f} seconds"


def tool_wanted(
    rules: Sequence[ToolRule], log: Sequence[Said], turn: int, declared: Container[str | None]
) -> ToolRule | None:
    """The tool a script wants called for the open question, unless it was called already."""
    open_ = open_question(log)
    for rule in rules:
        fits = (not rule.turn or turn in rule.turn) and (
            not rule.number or any(number in rule.number for number in open_.numbers)
        )
        if fits and open_.questions and rule.name in declared and not pending_tool(open_, rule.name):
            return rule
    return None
