"""A lean provider for the bench: OpenAI Realtime (`/v1/realtime`) and Gemini Live (any other path), messages made in
advance. The strict emulators (`segue fake`) check every field and listen to every word; for a hundred calls they need
more of the machine than what is to be measured. Replies come 4 times faster than real time, 100 ms after they are due.

    python -m bench.edge_provider --out STAMPS      prints its port; writes the stamps and ends on SIGTERM

In manual turn mode it answers when asked. With server turn detection (the pass-through) a turn ends after 500 ms of
line noise. Both ways each caller frame with a mark is stamped as it arrives, and each reply as its first audio is sent.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import time
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import uvloop

from audio.frame import Pcm
from audio.g711 import ulaw_encode
from bench import edge_sound as sound
from bench.edge_wire import Server
from bridge.edges.wsock import BINARY, TEXT, frame

THINK = 0.1
SPEED = 4.0
REPLIES = 64  # numbered replies made in advance; a call's 65th is number 0 again

_APPEND = b'{"type":"input_audio_buffer.append","audio":"'
_GEMINI_AUDIO = b'{"realtimeInput":{"audio":{"mimeType":"audio/pcm;rate=16000","data":"'
_CALL = re.compile(rb"call-(\d+)")
_ID = "0" * 12  # stands for the reply's own in messages made in advance,
_ASK = "ASKNUMBER"  # and this for the number of the ask
_NAMES = {"response_id": f"resp_{_ID}", "item_id": f"item_{_ID}", "output_index": 0, "content_index": 0}
_WORDS = ("Thank you, ", "we open ", "at nine ", "on Saturday, ", "and close ", "at six ", "in the ", "evening.")

_ID_BYTES, _ASK_BYTES = _ID.encode(), _ASK.encode()

_NO_ASK = b"0" * 9

Message = tuple[float, bytes]  # seconds after the reply began, frame


class Stamps:
    """Everything there is to tell: (call, number, ns) of marked frames received and of replies begun, (call, ns) of
    asks."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, int, int]] = []
        self.spoken: list[tuple[int, int, int]] = []
        self.asked: list[tuple[int, int]] = []


class Session(Server):
    """One session; the subclasses are the two languages."""

    def __init__(self, stamps: Stamps, replies: list[list[Message]], silent: bool) -> None:
        self.stamps = stamps
        self.call = -1
        self._replies = replies
        self._silent = silent
        self._count = 0
        self._running: list[asyncio.TimerHandle] = []
        self._loop = asyncio.get_running_loop()

    def heard(self, data: bytes, number: int | None) -> None:
        if number is not None:
            self.stamps.heard.append((self.call, number, time.monotonic_ns()))

    def tell(self, **message: Any) -> None:
        self.transport.write(frame(TEXT, orjson.dumps({"event_id": "event_1", **message})))

    def answer(self, ask: bytes) -> None:
        """Say the next reply, to the ask of that name (nine letters)."""
        self.stamps.asked.append((self.call, time.monotonic_ns()))
        if self._silent:
            return
        number, self._count = self._count % REPLIES, self._count + 1
        begin = self._loop.time() + THINK
        id = b"%06d%06d" % (self.call % 1_000_000, self._count)
        self._running = [
            self._loop.call_at(begin + at, self._say, data, id, ask, number if index == 1 else -1)
            for index, (at, data) in enumerate(self._replies[number])  # 0 announces it, 1 has the first audio
        ]

    def _say(self, data: bytes, id: bytes, ask: bytes, number: int) -> None:
        data = data.replace(_ID_BYTES, id).replace(_ASK_BYTES, ask)
        if number >= 0:
            self.stamps.spoken.append((self.call, number, time.monotonic_ns()))
        self.transport.write(data)

    def stop(self) -> None:
        for timer in self._running:
            timer.cancel()
        self._running = []

    def connection_lost(self, exc: Exception | None) -> None:
        self.stop()


class OpenAI(Session):
    """GA Realtime with G.711."""

    manual = False
    turns = 0
    loud = quiet = 0

    def on_open(self, head: bytes) -> None:
        self.tell(type="session.created", session={"id": "sess_1", "object": "realtime.session", "type": "realtime"})

    def on_message(self, message: bytes) -> None:
        if message.startswith(_APPEND):
            if len(message) == len(_APPEND) + 216 + 2:  # 20 ms; a turn's beginning comes in one longer piece
                data = a2b_base64(message[len(_APPEND) : -2])
                self.heard(data, sound.read_ulaw(data))
                if not self.manual:
                    self._listen(data)
            return
        handler = _HANDLERS.get(orjson.loads(message)["type"])
        if handler is not None:
            handler(self, message)

    def _listen(self, data: bytes) -> None:
        if not sound.is_quiet(data):
            self.loud, self.quiet = self.loud + 1, 0
            return
        self.quiet += 1
        if self.quiet == 25:
            if self.loud >= 10:
                self.commit(b"")
                self.answer(_NO_ASK)
            self.loud = 0

    def update(self, message: bytes) -> None:
        found = _CALL.search(message)
        self.call = int(found[1]) if found else -1
        session = orjson.loads(message)["session"]
        self.manual = session["audio"]["input"]["turn_detection"] is None
        self.tell(type="session.updated", session={"id": "sess_1", **session})

    def commit(self, message: bytes) -> None:
        self.turns += 1
        id = f"item_turn{self.turns}"
        item = {"id": id, "object": "realtime.item", "type": "message", "role": "user", "status": "completed"}
        item["content"] = [{"type": "input_audio", "transcript": None}]  # type: ignore[assignment]
        self.tell(type="input_audio_buffer.committed", item_id=id, previous_item_id=None)
        self.tell(type="conversation.item.added", item=item, previous_item_id=None)
        self.tell(type="conversation.item.done", item=item, previous_item_id=None)
        self.tell(
            type="conversation.item.input_audio_transcription.completed",
            item_id=id,
            content_index=0,
            transcript="When do you open on Saturday?",
            usage={"type": "duration", "seconds": 4.0},
        )

    def create(self, message: bytes) -> None:
        metadata = (orjson.loads(message).get("response") or {}).get("metadata") or {}
        self.answer(str(metadata.get("ask", "")).zfill(9).encode())

    def cancel(self, message: bytes) -> None:
        self.stop()
        response = {"id": f"resp_{self.call % 1_000_000:06d}{self._count:06d}", "status": "cancelled"}
        self.tell(type="response.done", response={**response, "status_details": None, "output": []})

    def clear(self, message: bytes) -> None:
        self.tell(type="input_audio_buffer.cleared")


class Gemini(Session):
    """Gemini Live: linear PCM only, 16 kHz in and 24 kHz out; its frames are binary."""

    def on_message(self, message: bytes) -> None:
        if message.startswith(_GEMINI_AUDIO):
            if len(message) == len(_GEMINI_AUDIO) + 856 + 4:  # 20 ms
                data = a2b_base64(message[len(_GEMINI_AUDIO) : -4])
                self.heard(data, sound.read_pcm(data, 16000))
        elif b'"activityEnd"' in message:
            self.answer(b"")
        elif b'"setup"' in message:
            found = _CALL.search(message)
            self.call = int(found[1]) if found else -1
            self.transport.write(frame(BINARY, b'{"setupComplete":{"sessionId":"1"}}'))
        elif b'"activityStart"' in message:
            self.stop()


_HANDLERS: dict[str, Callable[[OpenAI, bytes], None]] = {
    "session.update": OpenAI.update,
    "input_audio_buffer.commit": OpenAI.commit,
    "input_audio_buffer.clear": OpenAI.clear,
    "response.create": OpenAI.create,
    "response.cancel": OpenAI.cancel,
}


def _together(*messages: dict[str, Any]) -> bytes:
    return b"".join(frame(TEXT, orjson.dumps({"event_id": "event_1", **message})) for message in messages)


def openai_reply(number: int, voice: Pcm) -> list[Message]:
    """Reply `number` as (when, frames): its announcement, audio and transcript deltas, its end."""
    item = {"id": f"item_{_ID}", "object": "realtime.item", "type": "message", "role": "assistant"}
    response = {"id": f"resp_{_ID}", "object": "realtime.response", "metadata": {"ask": _ASK}}
    response |= {"conversation_id": "conv_1", "output_modalities": ["audio"], "max_output_tokens": "inf"}
    out: list[Message] = [(0.0, _together(
        {"type": "response.created", "response": {**response, "status": "in_progress", "output": [], "usage": None}},
        {"type": "response.output_item.added", "response_id": f"resp_{_ID}", "output_index": 0,
         "item": {**item, "status": "in_progress", "content": []}},
        {"type": "conversation.item.added", "previous_item_id": None, "item": {**item, "content": []}},
        {"type": "response.content_part.added", **_NAMES, "part": {"type": "audio", "transcript": ""}},
    ))]  # fmt: skip
    pieces = sound.reply(number, 8000, voice)
    for index, piece in enumerate(pieces):
        delta = _base64(ulaw_encode(piece))
        out.append((index * sound.DELTA_MS / 1000 / SPEED, _together(
            {"type": "response.output_audio.delta", **_NAMES, "delta": delta},
            {"type": "response.output_audio_transcript.delta", **_NAMES, "delta": _WORDS[index % len(_WORDS)]},
        )))  # fmt: skip
    part = {"type": "audio", "transcript": "".join(_WORDS)}
    done = {**item, "status": "completed", "content": [{"type": "output_audio", "transcript": part["transcript"]}]}
    usage = {"total_tokens": 300, "input_tokens": 200, "output_tokens": 100,
             "input_token_details": {"text_tokens": 100, "audio_tokens": 100, "cached_tokens": 0},
             "output_token_details": {"text_tokens": 30, "audio_tokens": 70}}  # fmt: skip
    out.append((len(pieces) * sound.DELTA_MS / 1000 / SPEED, _together(
        {"type": "response.output_audio.done", **_NAMES},
        {"type": "response.output_audio_transcript.done", **_NAMES, "transcript": part["transcript"]},
        {"type": "response.content_part.done", **_NAMES, "part": part},
        {"type": "conversation.item.done", "previous_item_id": None, "item": done},
        {"type": "response.output_item.done", "response_id": f"resp_{_ID}", "output_index": 0, "item": done},
        {"type": "response.done", "response": {**response, "status": "completed", "output": [done], "usage": usage}},
        {"type": "rate_limits.updated",
         "rate_limits": [{"name": "tokens", "limit": 40000, "remaining": 39000, "reset_seconds": 1.5}]},
    )))  # fmt: skip
    return out


def gemini_reply(number: int, voice: Pcm) -> list[Message]:
    """Likewise in Gemini's language."""

    def content(body: dict[str, Any]) -> bytes:
        return frame(BINARY, orjson.dumps({"serverContent": body}))

    out: list[Message] = [(0.0, content({"inputTranscription": {"text": "When do you open?"}}))]
    pieces = sound.reply(number, 24000, voice)
    for index, piece in enumerate(pieces):
        inline = {"mimeType": "audio/pcm;rate=24000", "data": _base64(piece.tobytes())}
        words = {"outputTranscription": {"text": _WORDS[index % len(_WORDS)]}}
        out.append((
            index * sound.DELTA_MS / 1000 / SPEED,
            content({"modelTurn": {"parts": [{"inlineData": inline}]}}) + content(words),
        ))  # fmt: skip
    usage = {"promptTokenCount": 200, "responseTokenCount": 100, "totalTokenCount": 300}
    end = frame(BINARY, orjson.dumps({"serverContent": {"turnComplete": True}, "usageMetadata": usage}))
    out.append((len(pieces) * sound.DELTA_MS / 1000 / SPEED, content({"generationComplete": True}) + end))
    return out


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()


async def serve(out: Path, kind: str, silent: bool) -> None:
    loop, stamps, voice = asyncio.get_running_loop(), Stamps(), sound.speech()
    made = gemini_reply if kind == "gemini" else openai_reply
    replies = [made(number, voice) for number in range(REPLIES)]
    session = Gemini if kind == "gemini" else OpenAI
    server = await loop.create_server(lambda: session(stamps, replies, silent), "127.0.0.1", 0, backlog=1024)
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    print(server.sockets[0].getsockname()[1], flush=True)
    await over.wait()
    out.write_bytes(orjson.dumps(vars(stamps)))


def main() -> None:
    options = argparse.ArgumentParser(description="The provider of the edge bench.")
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--kind", choices=("openai", "gemini"), default="openai")
    options.add_argument("--silent", action="store_true", help="never answers")
    given = options.parse_args()
    uvloop.run(serve(given.out, given.kind, given.silent))


if __name__ == "__main__":
    main()
