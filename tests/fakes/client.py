"""A hand-made client for emulators in memory: a clock that jumps, what was said, what was sent."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from audio.files import read_audio
from audio.frame import PCM16_16K, PCM16_24K, PCMU, Format, Pcm, decode, encode
from audio.resample import convert
from bridge.fakes.emulator import Emulator
from bridge.fakes.numbered import number_speech
from bridge.fakes.session import Session
from bridge.fakes.wire import HttpRefusal, Message, Out

ROOT = Path(__file__).resolve().parent.parent.parent
MS = 1_000_000
QUERY = {"model": "gpt-realtime-2.1"}
PATHS = {
    "openai": "/v1/realtime",
    "azure-openai": "/openai/v1/realtime",
    "azure": "/voice-live/realtime",
    "gemini": "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
}
Json = dict[str, Any]


@lru_cache(maxsize=16)
def question(name: str = "opening_hours") -> Pcm:
    """A recorded question, int16 at 8 kHz."""
    pcm = read_audio(ROOT / "fixtures" / "callers" / f"{name}.flac", 8000)
    pcm.setflags(write=False)
    return pcm


@lru_cache(maxsize=256)
def numbered(n: int, name: str = "opening_hours", format: Format = PCM16_24K) -> bytes:
    """A numbered question in a wire format."""
    return encode(convert(number_speech(question(name), n), 8000, format.rate), format.encoding)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Client:
    """One connection to an emulator. `got` holds every message as JSON with its time in ms; `ended` how it ended."""

    def __init__(self, emulator: Emulator, headers: dict[str, str] | None = None, now: int = 0, **query: str) -> None:
        answer = emulator.connect(now, headers or {}, PATHS[emulator.kind], query or QUERY)
        self.refusal = None if isinstance(answer, Session) else answer
        self.session: Any = answer
        self.kind = emulator.kind
        self.now = now
        self.got: list[tuple[float, Json]] = []
        self.raw: list[str | bytes] = []
        self.ended: Out | HttpRefusal | None = self.refusal
        if self.refusal is None:
            self.run(0)

    # ------------------------------------------------------------------------------------------------ time

    def run(self, ms: float) -> list[Json]:
        """Let `ms` pass; what came meanwhile."""
        begin = len(self.got)
        end = self.now + int(ms * MS)
        while self.ended is None:
            due = self.session.next_due
            if due is None or due > end:
                break
            self.now = max(self.now, due)
            for out in self.session.due(self.now):
                self._take(out)
        self.now = max(self.now, end)
        return [message for _, message in self.got[begin:]]

    def until(self, wanted: Callable[[Json], bool], ms: float = 60_000) -> list[Json]:
        """Run until a message fits; all that came, that one last. Fails when none does within `ms`."""
        begin = len(self.got)
        end = self.now + int(ms * MS)
        while self.ended is None:
            due = self.session.next_due
            if due is None or due > end:
                break
            self.now = max(self.now, due)
            for out in self.session.due(self.now):
                self._take(out)
            if any(wanted(message) for _, message in self.got[begin:]):
                return [message for _, message in self.got[begin:]]
        raise AssertionError(f"never came; got {[kind_of(message) for _, message in self.got[begin:]]}, {self.ended}")

    def _take(self, out: Out) -> None:
        if not isinstance(out, Message):
            self.ended = out
            return
        self.raw.append(out.data)
        try:
            message = orjson.loads(out.data)
        except orjson.JSONDecodeError:
            message = {"type": "(unreadable)"}
        self.got.append((self.now / MS, message if isinstance(message, dict) else {"type": "(not an object)"}))

    # ------------------------------------------------------------------------------------------------ messages

    def send(self, *messages: Json | str | bytes) -> None:
        for message in messages:
            data = orjson.dumps(message).decode() if isinstance(message, dict) else message
            self.session.receive(data, self.now)
        self.run(0)

    def ask(self, *messages: Json | str | bytes, ms: float = 0) -> list[Json]:
        """Send, then let `ms` pass; what came."""
        begin = len(self.got)
        self.send(*messages)
        self.run(ms)
        return [message for _, message in self.got[begin:]]

    def types(self, begin: int = 0) -> list[str]:
        return [kind_of(message) for _, message in self.got[begin:]]

    def of(self, kind: str) -> list[Json]:
        return [message for _, message in self.got if kind_of(message) == kind]


def kind_of(message: Json) -> str:
    """The type of a message; for Gemini, which has none, its keys."""
    if "type" in message:
        return str(message["type"])
    content = message.get("serverContent")
    return ",".join(content) if isinstance(content, dict) else ",".join(message)


class RealtimeClient(Client):
    """The OpenAI family, caller audio in `format`, turns by hand."""

    def configure(self, format: Format = PCM16_24K, tools: Iterable[str] = (), **session: Any) -> list[Json]:
        self.format = format
        declared = [{"type": "function", "name": name, "parameters": {"type": "object"}} for name in tools]
        if self.kind == "azure":
            wire = "g711_ulaw" if format == PCMU else "pcm16"
            body: Json = {
                "modalities": ["text", "audio"],
                "input_audio_format": wire,
                "output_audio_format": wire,
                "turn_detection": None,
                "input_audio_transcription": {"model": "whisper-1"},
            }
        else:
            kind = {"type": "audio/pcmu"} if format == PCMU else {"type": "audio/pcm", "rate": 24000}
            body = {
                "type": "realtime",
                "audio": {
                    "input": {"format": kind, "turn_detection": None, "transcription": {"model": "gpt-transcribe"}},
                    "output": {"format": kind},
                },
            }
        return self.ask({"type": "session.update", "session": {**body, "tools": declared, **session}})

    def append(self, data: bytes, ms: int = 100) -> None:
        step = self.format.bytes_for(ms)
        for at in range(0, len(data), step):
            self.send({"type": "input_audio_buffer.append", "audio": b64(data[at : at + step])})

    def turn(self, n: int, name: str = "opening_hours", **response: Any) -> None:
        """A numbered question, committed, and a reply asked for."""
        self.append(numbered(n, name, self.format))
        self.send({"type": "input_audio_buffer.commit"})
        self.send({"type": "response.create", **({"response": response} if response else {})})

    def reply(self, ms: float = 60_000) -> Json:
        """The response.done of the reply that is running."""
        found = self.until(lambda message: kind_of(message) == "response.done", ms)
        return dict(
            found[-1]["response"] if kind_of(found[-1]) == "response.done" else self.of("response.done")[-1]["response"]
        )

    @property
    def said(self) -> str:
        """The transcript of the last finished reply."""
        output = self.of("response.done")[-1]["response"]["output"]
        parts = [part for item in output for part in item.get("content", ())]
        return " ".join(part.get("transcript") or part.get("text") or "" for part in parts)

    def sound(self, response_id: str | None = None) -> bytes:
        """All reply audio, or one response's."""
        out = b""
        for _, message in self.got:
            voiced = kind_of(message) in ("response.output_audio.delta", "response.audio.delta")
            if voiced and response_id in (None, message["response_id"]):
                out += base64.b64decode(message["delta"])
        return out


class GeminiClient(Client):
    """Gemini, manual activity, 16 kHz."""

    def configure(self, tools: Iterable[str] = (), model: str = "gemini-3.8-live", **setup: Any) -> list[Json]:
        declared = [{"name": name, "behavior": "BLOCKING"} for name in tools]
        body: Json = {
            "model": f"models/{model}",
            "generationConfig": {"responseModalities": ["AUDIO"]},
            "inputAudioTranscription": {},
            "outputAudioTranscription": {},
            "realtimeInputConfig": {"automaticActivityDetection": {"disabled": True}},
        }
        if declared:
            body["tools"] = [{"functionDeclarations": declared}]
        return self.ask({"setup": {**body, **setup}})

    def audio(self, data: bytes) -> None:
        for at in range(0, len(data), 3200):
            blob = {"data": b64(data[at : at + 3200]), "mimeType": "audio/pcm;rate=16000"}
            self.send({"realtimeInput": {"audio": blob}})

    def turn(self, n: int, name: str = "opening_hours") -> None:
        self.send({"realtimeInput": {"activityStart": {}}})
        self.audio(numbered(n, name, PCM16_16K))
        self.send({"realtimeInput": {"activityEnd": {}}})

    def turn_complete(self, ms: float = 60_000) -> list[Json]:
        return self.until(lambda message: message.get("serverContent", {}).get("turnComplete") is True, ms)

    @staticmethod
    def text(messages: Iterable[Json]) -> str:
        """What was said in these messages."""
        parts = [message.get("serverContent", {}).get("outputTranscription", {}) for message in messages]
        return "".join(part.get("text", "") for part in parts)


def loudness(data: bytes, format: Format) -> float:
    """RMS of wire audio, in steps of a 16-bit sample."""
    pcm = decode(data, format.encoding).astype(np.float64)
    return float(np.sqrt(np.mean(pcm**2))) if len(pcm) else 0.0
