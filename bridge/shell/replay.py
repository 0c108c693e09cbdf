"""A recorded call once more: the same engine, given everything again at the recorded times, must do the same."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import orjson
from rich.console import Console

from audio.frame import Frame
from bridge.core.effects import ClearLeg, Emit, Note
from bridge.core.engine import Action, Engine
from bridge.core.events import Event, Pulled
from bridge.core.plan import CallSpec
from bridge.shell.record_codec import from_json
from bridge.shell.record_format import BINARY, CLEARED, CONCEALED, PULLED, TEXT, Block, fold, note_body
from bridge.shell.record_read import CallRecord, RecordError, Step
from bridge.shell.recording import Recorder
from providers.base import Failure
from providers.codec import Target

_MOST_DIFFERENCES = 20


class Replayed(Protocol):
    """What a replay needs of the engine."""

    def start(self, now: int) -> list[Action]: ...
    def heard(self, frame: Frame, now: int) -> list[Action]: ...
    def handle(self, event: Event, now: int) -> list[Action]: ...
    def received(self, link: int, message: str | bytes, now: int) -> list[Action]: ...
    def failed(self, link: int, failure: Failure, now: int) -> list[Action]: ...


Build = Callable[[CallSpec, Mapping[str, Target]], Replayed]


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the replay parted from the record. `n`: number of the input, `at_ms`: since the start of the call, `event`:
    the input in words. Between `since` (number of the last input after which all was equal) and `n` it happened."""

    n: int
    at_ms: float
    event: str
    what: str
    expected: str
    got: str
    since: int


@dataclass(slots=True)
class Report:
    """What a replay found. `events`: inputs given; `actions`: what the engine did; `checks`: places compared;
    `missing`: why the record could not be replayed to its end, else empty."""

    call: str
    events: int = 0
    actions: int = 0
    checks: int = 0
    missing: str = ""
    differences: list[Difference] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Bit for bit, as far as the record goes."""
        return not self.differences


def replay(folder: Path, build: Build = Engine, again: Recorder | None = None) -> Report:
    """Replay the record in `folder` on a new engine. `again` is told everything like the recorder of a live call, so
    that what the engine does now can be recorded.

    Raises RecordError when there is no usable record or it was made without sound.
    """
    record = CallRecord(folder)
    if not record.full:
        raise RecordError(f"{folder}: recorded without sound and provider messages, which a replay needs")
    run = _Run(record, build(record.spec(), record.targets()), again)
    for step in record.steps():
        run.step(step)
        if run.over:
            break
    run.close()
    return run.report


class _Run:
    def __init__(self, record: CallRecord, engine: Replayed, again: Recorder | None) -> None:
        self.report = Report(record.call)
        self.over = False
        self._record = record
        self._engine = engine
        self._again = again
        self._format = record.leg
        self._crc = 0
        self._equal = -1
        self._now = record.start
        self._whole = not (record.tail or {}).get("lost")  # else what is not there may have been done all the same

    def step(self, step: Step) -> None:
        self._now = step.now
        if isinstance(step.given, Block) and step.given.data is None:
            self._stop(f"the sound or message of input {step.n} was not recorded: the disk was too slow")
            return
        crashed = any("crashed" in line for line in step.lines)
        try:
            actions = self._give(step)
        except Exception as error:  # whatever a call raises is a finding
            trace = "".join(traceback.format_exception(error))
            if not crashed:
                self._differ(step, "the call raised", "nothing raised", trace)
            if self._again is not None:
                self._again.crashed(trace, step.now)
            self.over = True
            return
        if self._again is not None:
            self._again.actions(actions)
        self.report.events += 1
        self.report.actions += len(actions)
        same = len(self.report.differences)
        self._compare_sound(step, actions)
        self._compare_checks(step, actions)
        if len(self.report.differences) == same and step.lines:
            self._equal = step.n
        # Who records anew wants the whole call, however different.
        self.over = crashed or (self._again is None and len(self.report.differences) >= _MOST_DIFFERENCES)

    def close(self) -> None:
        if self._again is not None:
            self._again.close(self._now)
        tail = self._record.tail
        if tail is None:
            self.report.missing = self.report.missing or "the record has no end: its process died"
        elif not self.over and self.report.events < tail["inputs"]:
            lost = tail["inputs"] - self.report.events
            self.report.missing = f"{lost} inputs from number {self.report.events} on are missing in the record"

    # ------------------------------------------------------------------------------------------------------ the input

    def _give(self, step: Step) -> list[Action]:
        given, now, again = step.given, step.now, self._again
        if given is None:
            if again is not None:
                again.start(now)
            return self._engine.start(now)
        if isinstance(given, Block):
            return self._give_block(given, now)
        if "failed" in given:
            link, failure = given["failed"]["link"], from_json(given["failed"]["failure"])
            if again is not None:
                again.failed(link, failure, now)
            return self._engine.failed(link, failure, now)
        return self._give_event(from_json(given["in"]), now)

    def _give_block(self, block: Block, now: int) -> list[Action]:
        data = block.data or b""
        if block.kind == PULLED:
            return self._give_event(Pulled(block.value), now)
        if block.kind not in (TEXT, BINARY):
            concealed = block.kind == CONCEALED
            if self._again is not None:
                self._again.caller(data, now, concealed)
            return self._engine.heard(Frame(data, self._format, concealed), now)
        message = data.decode("utf-8", "surrogatepass") if block.kind == TEXT else data
        if self._again is not None:
            self._again.message(block.value, message, now)
        return self._engine.received(block.value, message, now)

    def _give_event(self, event: Event, now: int) -> list[Action]:
        if self._again is not None:
            self._again.event(event, now)
        return self._engine.handle(event, now)

    # ----------------------------------------------------------------------------------------------------- the output

    def _compare_sound(self, step: Step, actions: Sequence[Action]) -> None:
        """Agent audio and clears were recorded themselves, so that a difference is found at its very input."""
        got: list[bytes | None] = []
        for action in actions:
            if isinstance(action, Emit):
                got.append(action.data)
            elif isinstance(action, ClearLeg):
                got.append(None)
        expected = [None if block.kind == CLEARED else block.data for block in step.outputs]
        if got != expected and step.all_outputs and self._whole:
            self._differ(step, "agent audio", _sound(expected), _sound(got))

    def _compare_checks(self, step: Step, actions: Sequence[Action]) -> None:
        notes = iter([line for line in step.lines if "note" in line])
        for action in actions:
            made: list[tuple[bytes, int]] = []
            self._crc = fold(self._crc, (action,), made)
            for body, _ in made:
                line = next(notes, None)
                if line is not None:
                    self._check(step, line, body.decode())
                elif step.all_lines and self._whole:
                    self._differ(step, "note", "nothing", body.decode())
        for line in notes:
            self._differ(step, "note", _note(line), "nothing")
            self._crc = line["crc"]
        for line in step.lines:
            if "crc" in line and "note" not in line:
                self._check(step, line, "")

    def _check(self, step: Step, line: Mapping[str, Any], got: str) -> None:
        self.report.checks += 1
        if line["crc"] == self._crc:
            return
        expected = _note(line) if "note" in line else ""
        if expected == got:  # the same note or none at all: something since the last check was not the same
            self._differ(step, "actions", f"checksum {line['crc']:08x}", f"checksum {self._crc:08x}")
        else:
            self._differ(step, "note", expected, got)
        self._crc = line["crc"]  # from here on only what differs anew

    def _differ(self, step: Step, what: str, expected: str, got: str) -> None:
        at_ms = (step.now - self._record.start) / 1_000_000
        self.report.differences.append(
            Difference(step.n, at_ms, _words(step), what, expected, got, min(self._equal, step.n))
        )

    def _stop(self, why: str) -> None:
        self.report.missing = why
        self.over = True


def _note(line: Mapping[str, Any]) -> str:
    return note_body(Note(line["note"], line["fields"])).decode()


def _sound(pieces: Sequence[bytes | None]) -> str:
    words = ["clear" if piece is None else f"{len(piece)} bytes {piece[:8].hex()}…" for piece in pieces]
    return ", ".join(words) or "none"


def _words(step: Step) -> str:
    given = step.given
    if given is None:
        return "start"
    if isinstance(given, Block):
        if given.kind in (TEXT, BINARY):
            return f"message of link {given.value}: {(given.data or b'')[:120].decode(errors='replace')}"
        if given.kind == PULLED:
            return f"Pulled({given.value})"
        return f"{len(given.data or b'')} bytes of the caller"
    if "failed" in given:
        return f"link {given['failed']['link']} failed: {given['failed']['failure']}"
    return str(from_json(given["in"]))


def command(path: Path, as_json: bool, console: Console | None = None) -> int:
    """`segue replay CALL`: replay one call's folder and print what came of it. 0 when everything was the same, 1 when
    something differs, 2 when there is nothing to replay."""
    console = console or Console()
    try:
        report = replay(path)
    except RecordError as error:
        if as_json:
            console.out(orjson.dumps({"error": str(error)}).decode(), highlight=False)
        else:
            console.print(str(error), style="red", markup=False, highlight=False)
        return 2
    if as_json:
        console.out(orjson.dumps({"same": report.same, **asdict(report)}).decode(), highlight=False)
    else:
        _print(report, console)
    return 0 if report.same else 1


def _print(report: Report, console: Console) -> None:
    def line(text: str, style: str | None = None) -> None:
        console.print(text, style=style, markup=False, highlight=False)

    line(f"{report.call}: {report.events} events, {report.actions} actions, {report.checks} checks")
    if report.missing:
        line(f"Replayed as far as the record goes: {report.missing}.", "yellow")
    if report.same:
        line("Differences: none, bit for bit.", "green")
        return
    more = " or more" if len(report.differences) >= _MOST_DIFFERENCES else ""
    line(f"Differences: {len(report.differences)}{more}. The first:", "red")
    first = report.differences[0]
    line(f"  at {first.at_ms / 1000:.3f} s, input {first.n} (all was equal after input {first.since})")
    line(f"  event     {first.event}")
    line(f"  what      {first.what}")
    line(f"  recorded  {first.expected}")
    line(f"  replayed  {first.got}")
