"""Twilio Media Streams on the wire: JSON text with base64 audio (docs: "Media Streams - WebSocket Messages")."""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from audio.frame import PCMU, Format
from bridge.edges.chunks import ChunkOrder, Missing, Reframer

MAX_EARLY: Final = 50
"""Media messages kept when they come before `start` (1 s of telephony)."""
MAX_PARAMETERS: Final = 32
MAX_NAME: Final = 64
MAX_VALUE: Final = 1000
MAX_MARK: Final = 128

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_SID = re.compile(r"[A-Za-z0-9_.:-]{0,128}")
_KEYS: Final = frozenset("0123456789*#ABCD")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")


@dataclass(frozen=True, slots=True)
class Start:
    """The stream began. `parameters` are checked; `format` is the audio of both directions."""

    stream: str
    call: str
    account: str
    parameters: Mapping[str, str]
    format: Format


@dataclass(frozen=True, slots=True)
class Key:
    """A key was pressed."""

    digit: str


@dataclass(frozen=True, slots=True)
class Played:
    """The carrier gave a mark back."""

    name: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The stream ended on purpose: the caller hung up or the carrier was told to stop."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """The stream can never work; `why` is for people."""

    why: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """A message that was left out. `kind` counts; `detail` is for people and printable."""

    kind: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


Item = bytes | Missing | Start | Key | Played | Stop | Unusable | Ignored


class TwilioFramer:
    """One stream's wire language. `received` never raises; whatever cannot be used comes out as `Ignored` and is
    counted in `ignored`."""

    def __init__(self) -> None:
        self.ignored: Counter[str] = Counter()
        self._started = False
        self._order = ChunkOrder(PCMU.bytes_for(1))
        self._frames = Reframer(PCMU.bytes_for(20))
        self._early: list[tuple[object, bytes, object]] = []
        self._media = self._mark = self._clear = b""

    # ------------------------------------------------------------------------------------------------------- incoming

    def received(self, message: bytes) -> Sequence[Item]:
        """What `message` says, in order; bytes are caller audio, 20 ms each in the stream's format, and `Missing`
        stands where some was lost.

        A search for the payload's bytes in place of a JSON parser was measured and left out: 3.1 against 3.3 us a
        message, most of which is base64, and equal to a parser only by luck.
        """
        try:
            data = orjson.loads(message)
            event = data["event"]
            if event == "media":
                media = data["media"]
                chunk, stamp = media.get("chunk"), media.get("timestamp")
                audio = a2b_base64(media["payload"], strict_mode=True)
                if self._order.follows(chunk, audio, stamp):
                    return self._frames.add(audio)
                return self._heard(chunk, audio, stamp)
        except orjson.JSONDecodeError:
            return self._ignore("malformed message", "not JSON")
        except ValueError:  # binascii.Error among them
            return self._ignore("bad audio", "payload is not base64")
        except (KeyError, TypeError, AttributeError):
            return self._ignore("malformed message", "a field is missing or of the wrong type")
        try:
            return self._control(event, data)
        except (KeyError, TypeError, AttributeError, ValueError):
            return self._ignore("malformed message", f"{printable(event)} without its fields")

    def ignore(self, kind: str, detail: str = "") -> Ignored:
        """Count something that was left out before it came here."""
        self.ignored[kind] += 1
        return Ignored(kind, detail)

    def _ignore(self, kind: str, detail: str = "") -> Sequence[Item]:
        return (self.ignore(kind, detail),)

    def _heard(self, chunk: object, audio: bytes, stamp: object) -> Sequence[Item]:
        if not self._started:
            return self._too_early(chunk, audio, stamp)
        number = _number(chunk)
        if number is None:
            return self._frames.add(audio)
        before = self._order.late, self._order.repeated, self._order.lost
        pieces = self._order.add(number, audio, stamp)
        if len(pieces) == 1 and before == (self._order.late, self._order.repeated, self._order.lost):
            return self._framed(pieces)
        items: list[Item] = []
        for kind, was, now in zip(
            ("late chunk", "repeated chunk", "missing chunk"),
            before,
            (self._order.late, self._order.repeated, self._order.lost),
            strict=True,
        ):
            if now > was:
                self.ignored[kind] += now - was
                items.append(Ignored(kind, f"number {number}"))
        return items + self._framed(pieces)

    def _framed(self, pieces: Sequence[bytes | Missing]) -> list[Item]:
        items: list[Item] = []
        for piece in pieces:
            items += (*self._frames.flush(), piece) if isinstance(piece, Missing) else self._frames.add(piece)
        return items

    def _too_early(self, chunk: object, audio: bytes, stamp: object) -> Sequence[Item]:
        if len(self._early) >= MAX_EARLY:
            return self._ignore("media before start", "dropped")
        self._early.append((chunk, audio, stamp))
        self.ignored["media before start"] += 1
        return (Ignored("media before start", "kept"),) if len(self._early) == 1 else ()

    def _control(self, event: object, data: dict[str, object]) -> Sequence[Item]:
        if event == "start":
            return self._start(data)
        if event == "dtmf":
            digit = str(_member(data, "dtmf")["digit"]).upper()
            return [*self._rest(), Key(digit)] if digit in _KEYS else self._ignore("bad key", printable(digit))
        if event == "mark":
            name = _member(data, "mark")["name"]
            if isinstance(name, str) and len(name) <= MAX_MARK:
                return (Played(name),)
            return self._ignore("bad mark", "name is missing or too long")
        if event == "stop":
            return [*self._rest(), *self._frames.flush(), Stop()]
        if event == "connected":
            return ()
        return self._ignore("unknown event", printable(event))

    def _rest(self) -> list[Item]:
        return self._framed(self._order.flush())

    def _start(self, data: dict[str, object]) -> Sequence[Item]:
        if self._started:
            return self._ignore("second start", "the stream goes on as it began")
        start = _member(data, "start")
        stream, call, account = (
            _sid(value) for value in (start.get("streamSid") or data.get("streamSid"), start.get("callSid"),
                                      start.get("accountSid"))
        )  # fmt: skip
        if not stream:
            return self._ignore("malformed message", "start without a streamSid")
        wire, problem = _format(start.get("mediaFormat"))
        if wire is None:
            return (Unusable(problem),)
        parameters, dropped = checked_parameters(start.get("customParameters"))
        self._started = True
        self._address(stream)
        items: list[Item] = [self.ignore("bad parameter", detail) for detail in dropped]
        items.append(Start(stream, call, account, parameters, wire))
        early, self._early = self._early, []
        for each in early:
            items += self._heard(*each)
        return items

    # ------------------------------------------------------------------------------------------------------- outgoing

    def _address(self, stream: str) -> None:
        sid = stream.encode()
        self._media = b'{"event":"media","streamSid":"' + sid + b'","media":{"payload":"'
        self._mark = b'{"event":"mark","streamSid":"' + sid + b'","mark":{"name":'
        self._clear = b'{"event":"clear","streamSid":"' + sid + b'"}'

    def media(self, audio: bytes) -> bytes:
        """Agent audio, any length. Valid after `Start`, like the other two."""
        return self._media + b2a_base64(audio, newline=False) + b'"}}'

    def mark(self, name: str) -> bytes:
        return self._mark + orjson.dumps(name) + b"}}"

    def clear(self) -> bytes:
        return self._clear


def checked_parameters(given: object) -> tuple[dict[str, str], list[str]]:
    """Custom parameters that may be used, and why the others may not. They come from the caller's side: names are
    identifiers, values text without control characters, and number and size are bounded."""
    if given is None:
        return {}, []
    if not isinstance(given, dict):
        return {}, ["customParameters is not an object"]
    good: dict[str, str] = {}
    bad: list[str] = []
    for name, value in given.items():
        shown = printable(name)
        if len(name) > MAX_NAME or not _NAME.fullmatch(name):
            bad.append(f"{shown} is no usable name")
        elif not isinstance(value, str | int | float):
            bad.append(f"{shown} is not text")
        elif len(str(value)) > MAX_VALUE:
            bad.append(f"{shown} is longer than {MAX_VALUE} characters")
        elif not str(value).isprintable():
            bad.append(f"{shown} holds control characters")
        elif len(good) >= MAX_PARAMETERS:
            bad.append(f"{shown} is one too many, {MAX_PARAMETERS} are taken")
        else:
            good[name] = str(value)
        if len(bad) > MAX_PARAMETERS:
            return good, [*bad, "and more"]
    return good, bad


def printable(text: object, longest: int = 60) -> str:
    """`text` for a log or a record: short, one line, plain ASCII."""
    return _UNPRINTABLE.sub("?", str(text)[:longest])


def _number(chunk: object) -> int | None:
    if isinstance(chunk, str) and chunk.isascii() and chunk.isdigit() and len(chunk) < 12:
        return int(chunk)
    return chunk if type(chunk) is int and chunk >= 0 else None


def _member(data: dict[str, object], name: str) -> dict[str, object]:
    member = data[name]
    if not isinstance(member, dict):
        raise TypeError(name)
    return member


def _sid(value: object) -> str:
    return value if isinstance(value, str) and _SID.fullmatch(value) else ""


def _format(given: object) -> tuple[Format | None, str]:
    """The stream's audio; Twilio has exactly one. None, and why not, for anything else."""
    if given is None:
        return PCMU, ""
    if not isinstance(given, dict):
        return None, "mediaFormat is not an object"
    encoding, rate = given.get("encoding", "audio/x-mulaw"), given.get("sampleRate", 8000)
    channels = given.get("channels", 1)
    if (encoding, str(rate), str(channels)) != ("audio/x-mulaw", "8000", "1"):
        return None, f"unsupported audio {printable(encoding)} {printable(rate)} Hz, {printable(channels)} channel(s)"
    return PCMU, ""
