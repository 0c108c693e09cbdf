"""How a call record lies on disk: the blocks of `media.bin`, the lines of `events.jsonl`, and the running checksum over
everything the call did.

`media.bin` is a row of blocks, each a header of 24 bytes (little-endian) and a body:

    stamp u64 | input u32 | value u32 | length u32 | kind u8 | flags u8 | 2 bytes unused | `length` bytes

`stamp` is loop time in ns. Everything given to the engine is numbered from 0 (the start of the call), across both
files, so that the one order of all inputs can be put together again; what the call put out carries the number of the
input it answers. A block whose body had to be dropped keeps its header (flag `DROPPED`, no body follows).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any
from zlib import crc32

import orjson

from bridge.core.effects import Emit, Note
from bridge.core.engine import Action, Transmit
from bridge.shell.record_codec import to_json

VERSION = 1
MEDIA = "media.bin"
EVENTS = "events.jsonl"
SUMMARY = "call.json"
CALLER_TRACK = "caller.flac"
AGENT_TRACK = "agent.flac"

HEADER = struct.Struct("<QIIIBB2x")
HEADER_SIZE = HEADER.size

# inputs
CALLER = 1  # a caller frame in the leg's wire form
CONCEALED = 2  # likewise, made up to cover a loss
TEXT = 3  # a provider's text message; value: link
BINARY = 4  # a provider's binary message; value: link
PULLED = 5  # a pacer tick; value: samples
# outputs
EMITTED = 6  # agent audio in the leg's wire form
CLEARED = 7  # the carrier's buffer was thrown away
# neither
PHRASE = 8  # a local phrase of the snapshot: name, a zero byte, audio

INPUTS = frozenset((CALLER, CONCEALED, TEXT, BINARY, PULLED))
OUTPUTS = frozenset((EMITTED, CLEARED))
KINDS = INPUTS | OUTPUTS | {PHRASE}

DROPPED = 1
BODY_LIMIT = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Block:
    """One block of `media.bin`. `data` is None when the body was dropped."""

    stamp: int
    n: int
    value: int
    kind: int
    data: bytes | None


def blocks(file: IO[bytes]) -> Iterator[Block]:
    """The blocks of an open `media.bin`, up to the first that is torn or makes no sense."""
    while True:
        head = file.read(HEADER_SIZE)
        if len(head) < HEADER_SIZE:
            return
        stamp, n, value, length, kind, flags = HEADER.unpack(head)
        if kind not in KINDS or length > BODY_LIMIT:
            return
        if flags & DROPPED:
            yield Block(stamp, n, value, kind, None)
            continue
        data = file.read(length)
        if len(data) < length:
            return
        yield Block(stamp, n, value, kind, data)


def lines(file: IO[bytes]) -> Iterator[dict[str, Any]]:
    """The objects of an open `events.jsonl`. Lines that are torn or are no objects are skipped."""
    for line in file:
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(value, dict):
            yield value


def plain(value: object) -> bytes:
    """`value` as one JSON object in a form that only depends on its content. What cannot be stored is described: a
    record never fails on what it is told, and such a call cannot be replayed."""
    try:
        return orjson.dumps(to_json(value), default=str, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return orjson.dumps({"type": "?", "repr": ascii(value)})


def note_body(note: Note) -> bytes:
    """A note as the inside of a JSON object, without braces: what is written and what the checksum is taken over."""
    try:
        fields = orjson.dumps(note.fields, default=str, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        fields = orjson.dumps({"unreadable": ascii(note.fields)})
    return b'"note":%s,"fields":%s' % (orjson.dumps(note.kind), fields)


def fold(crc: int, actions: Sequence[Action], notes: list[tuple[bytes, int]]) -> int:
    """The running CRC-32 after more actions. Each kind starts from its own mark, so that the same bytes sent elsewhere
    count as different. For each note its body and the checksum just after it are appended to `notes`."""
    for action in actions:
        kind = type(action)  # cheaper than isinstance, and this runs for every frame of every call
        if kind is Transmit:
            mark = 0x54 | action.link << 8  # type: ignore[union-attr]
            for message in action.messages:  # type: ignore[union-attr]
                crc = crc32(message.encode() if isinstance(message, str) else message, crc ^ mark)
        elif kind is Emit:
            crc = crc32(action.data, crc ^ 0x45)  # type: ignore[union-attr]
        elif kind is Note:
            body = note_body(action)  # type: ignore[arg-type]
            crc = crc32(body, crc)
            notes.append((body, crc))
        else:
            crc = crc32(plain(action), crc ^ 0x41)
    return crc
