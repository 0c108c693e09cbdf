"""What a provider received, read from the raw messages, with nothing of the codecs."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from audio.frame import decode
from audio.resample import convert
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
    return messages_received(zip(socket.sent_ms, map(orjson.loads, socket.sent), strict=True))


def messages_received(messages: Iterable[tuple[int, dict[str, Any]]]) -> list[Received]:
    """The same from a connection's messages and their times (ms), in whichever language they are."""
    told = list(messages)
    read = _gemini if told and "setup" in told[0][1] else _realtime
    return list(read(iter(told)))


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


@lru_cache(maxsize=512)
def other_sound(kind: str, data: bytes, want: bytes) -> str:
    """What is wrong with the caller speech a provider got, `want` in u-law; empty when nothing is.

    Byte for byte where G.711 is passed through; on Gemini sample for sample, as far as conversion to 16 kHz lets it."""
    if kind != "gemini":
        return "" if data == want else f"{len(data)} bytes of speech instead of {len(want)}, or others"
    have = np.frombuffer(data, "<i2").astype(np.float64)
    expected = _at_16k(want)
    if abs(len(have) - len(expected)) > 160:
        return f"{len(have)} samples of speech instead of {len(expected)}"
    size = min(len(have), len(expected)) - 400
    middle = expected[200 : 200 + size]
    loudest = int(np.argmax(np.add.reduceat(middle**2, np.arange(0, size, 2000))[: size // 2000])) * 2000
    probe = slice(loudest, loudest + 2000)
    lags = range(-160, 161)
    lag = max(lags, key=lambda shift: float(np.dot(have[200 + shift :][probe], middle[probe])))
    mine = have[200 + lag : 200 + lag + size]
    likeness = np.dot(mine, middle[: len(mine)]) / (np.linalg.norm(mine) * np.linalg.norm(middle[: len(mine)]) + 1)
    return "" if likeness > 0.99 else f"the speech is another ({likeness:.3f})"


@lru_cache(maxsize=64)
def _at_16k(data: bytes) -> NDArray[np.float64]:
    return convert(decode(data, "pcmu"), 8000, 16000).astype(np.float64)
