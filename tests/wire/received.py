"""What a provider received, read from the raw messages, with nothing of the codecs."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from tests.wire.stage import Socket

What = Literal["speech", "text", "call", "output", "ask", "cancel", "delete", "truncate", "open"]


@dataclass(slots=True)
class Received:
    """One thing a provider was told. `speech`: a finished caller turn in `data`; `open`: one without its end. `text`:
    who is quoted in `role`. `ask`: instructions in `text` where there are any. `ms`: when it was sent."""

    what: What
    ms: int
    role: str = ""
    text: str = ""
    data: bytes = field(default=b"", repr=False)
    item: str = ""


def received(socket: Socket) -> list[Received]:
    """Everything in order."""
    read = _gemini if socket.sent and b'"setup"' in _bytes(socket.sent[0])[:12] else _realtime
    return list(read(zip(socket.sent_ms, map(orjson.loads, socket.sent), strict=True)))


def _bytes(message: str | bytes) -> bytes:
    return message.encode() if isinstance(message, str) else message


def _realtime(messages: Iterator[tuple[int, dict[str, Any]]]) -> Iterator[Received]:
    buffer = bytearray()
    at = 0
    for ms, message in messages:
        at = ms
        match message["type"]:
            case "input_audio_buffer.append":
                buffer += base64.b64decode(message["audio"], validate=True)
            case "input_audio_buffer.clear":
                buffer.clear()
            case "input_audio_buffer.commit":
                yield Received("speech", ms, "user", data=bytes(buffer))
                buffer.clear()
            case "conversation.item.create":
                yield from _item(ms, message["item"])
            case "conversation.item.delete":
                yield Received("delete", ms, item=message["item_id"])
            case "conversation.item.truncate":
                yield Received("truncate", ms, item=message["item_id"], text=str(message["audio_end_ms"]))
            case "response.create":
                yield Received("ask", ms, text=message.get("response", {}).get("instructions", ""))
            case "response.cancel":
                yield Received("cancel", ms)
    if buffer:
        yield Received("open", at, "user", data=bytes(buffer))


def _item(ms: int, item: dict[str, Any]) -> Iterator[Received]:
    name = item.get("id", "")
    if item["type"] == "function_call":
        yield Received("call", ms, text=item["arguments"], item=name)
    elif item["type"] == "function_call_output":
        yield Received("output", ms, text=item["output"], item=name)
    else:
        for part in item["content"]:
            if part["type"] == "input_audio":
                yield Received("speech", ms, "user", data=base64.b64decode(part["audio"], validate=True), item=name)
            else:
                yield Received("text", ms, item["role"], part["text"], item=name)


def _gemini(messages: Iterator[tuple[int, dict[str, Any]]]) -> Iterator[Received]:
    activity: bytearray | None = None
    at = 0
    for ms, message in messages:
        at = ms
        body = message.get("realtimeInput", {})
        if "activityStart" in body:
            activity = bytearray()
        elif "audio" in body and activity is not None:
            activity += base64.b64decode(body["audio"]["data"], validate=True)
        elif "activityEnd" in body and activity is not None:
            yield Received("speech", ms, "user", data=bytes(activity))
            yield Received("ask", ms)
            activity = None
        elif "text" in body:
            yield Received("text", ms, "user", body["text"])
            if activity is None:
                yield Received("ask", ms)
        content = message.get("clientContent", {})
        for turn in content.get("turns", ()):
            role = "assistant" if turn["role"] == "model" else "user"
            yield Received("text", ms, role, " ".join(part["text"] for part in turn["parts"]))
        if content.get("turnComplete"):
            yield Received("ask", ms)
        for response in message.get("toolResponse", {}).get("functionResponses", ()):
            yield Received("output", ms, text=orjson.dumps(response["response"]).decode())
    if activity:
        yield Received("open", at, "user", data=bytes(activity))
