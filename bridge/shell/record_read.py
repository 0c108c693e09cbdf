"""Reading a call record back: what it says of itself, its notes, and its inputs in the order the engine got them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from audio.frame import Format
from bridge.core.plan import CallSpec
from bridge.shell.record_codec import from_json
from bridge.shell.record_fold import Entry
from bridge.shell.record_format import EVENTS, INPUTS, MEDIA, OUTPUTS, PHRASE, VERSION, Block, blocks, lines
from providers.codec import Target

T = TypeVar("T")


class RecordError(Exception):
    """A record that cannot be used; the text is for people."""


@dataclass(slots=True)
class Step:
    """One input and what the call answered: `given` is a block of `media.bin`, a line of `events.jsonl` or, for the
    start of the call, None. `outputs`: agent audio and clears; `lines`: notes and checkpoints. `all_outputs`,
    `all_lines`: the file goes on after this step, so none of these is missing."""

    n: int
    now: int
    given: Block | Mapping[str, Any] | None
    outputs: list[Block] = field(default_factory=list)
    lines: list[Mapping[str, Any]] = field(default_factory=list)
    all_outputs: bool = True
    all_lines: bool = True


class CallRecord:
    """The folder of one call. `lines` are all objects of `events.jsonl` after the first; `tail` the last one of a
    record that was closed.

    Raises RecordError when there is no record in the folder or it is of a version this program does not know.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            with open(folder / EVENTS, "rb") as file:
                self.lines = list(lines(file))
        except OSError as error:
            raise RecordError(f"{folder}: no call record ({error.strerror})") from error
        if not self.lines or "segue" not in self.lines[0]:
            raise RecordError(f"{folder}: the record's first line is missing")
        self.head = self.lines.pop(0)
        if self.head["segue"] != VERSION:
            raise RecordError(f"{folder}: written by another version (format {self.head['segue']})")
        self.tail = next((line for line in reversed(self.lines) if line.get("end")), None)

    @property
    def call(self) -> str:
        return str(self.head["call"])

    @property
    def start(self) -> int:
        """Loop time of the call's start in ns."""
        return int(self.head["t"])

    @property
    def leg(self) -> Format:
        stored = self.head["spec"]["leg"]
        return Format(stored["encoding"], stored["rate"])

    @property
    def full(self) -> bool:
        """Sound and provider messages were recorded, so that the call can be replayed."""
        return self.head["mode"] == "full" and (self.folder / MEDIA).exists()

    def spec(self) -> CallSpec:
        """What the call was made with, its phrases included. Raises RecordError when this program cannot read it."""
        try:
            spec: CallSpec = from_json(self.head["spec"])
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(f"{self.folder}: {error}") from error
        phrases = {}
        for block in self.media():
            if block.kind != PHRASE:
                break
            name, _, audio = (block.data or b"").partition(b"\0")
            phrases[name.decode()] = audio
        return replace(spec, phrases=phrases)

    def targets(self) -> dict[str, Target]:
        """The providers as recorded. In place of keys and headers stand as many asterisks, as they do wherever a
        provider's message quoted one: what codecs hide, they hide here too."""
        targets = {}
        for stored in self.head["targets"]:
            target: Target = from_json(stored)
            key, *headers = ("*" * length for length in stored["hidden"])
            named = {str(number): text for number, text in enumerate(headers)}
            targets[target.name] = replace(target, api_key=key, headers=named)
        return targets

    def notes(self) -> list[Entry]:
        return [Entry(line["t"], line["note"], line["fields"]) for line in self.lines if "note" in line]

    def media(self) -> Iterator[Block]:
        """The blocks of `media.bin`; none when there is no such file."""
        if (self.folder / MEDIA).exists():
            with open(self.folder / MEDIA, "rb") as file:
                yield from blocks(file)

    def steps(self) -> Iterator[Step]:
        """Inputs in their order, from the start of the call up to the first that is missing."""
        media, text = _Row(self.media()), _Row(iter(self.lines))
        while media.head is not None and media.head.kind == PHRASE:
            media.next()
        step = Step(0, self.start, None)
        while True:
            while media.head is not None and media.head.n == step.n:
                block = media.next()
                if block.kind in OUTPUTS:
                    step.outputs.append(block)
            while text.head is not None and text.head.get("n") == step.n:
                step.lines.append(text.next())
            following = self._following(step.n + 1, media.head, text.head)
            step.all_outputs = self.tail is not None or media.head is not None
            step.all_lines = self.tail is not None or text.head is not None
            yield step
            if following is None:
                return
            step = following

    @staticmethod
    def _following(n: int, block: Block | None, line: Mapping[str, Any] | None) -> Step | None:
        if block is not None and block.n == n and block.kind in INPUTS:
            return Step(n, block.stamp, block)
        if line is not None and line.get("n") == n and ("in" in line or "failed" in line):
            return Step(n, line["t"], line)
        return None


class _Row(Generic[T]):
    """An iterator with a look at what comes next; `head` is None at the end."""

    def __init__(self, source: Iterator[T]) -> None:
        self._source = source
        self.head: T | None = next(source, None)

    def next(self) -> T:
        head = self.head
        assert head is not None
        self.head = next(self._source, None)
        return head
