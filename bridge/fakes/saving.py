"""Keeps what an emulator received, per connection: messages as JSON lines, caller audio as the bytes that came."""

from __future__ import annotations

import base64
import binascii
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from audio.frame import Format
from bridge.fakes.wire import Request

_AUDIO_KEYS = ("audio", "data")
_SECRET = ("authorization", "api-key", "x-goog-api-key", "key", "access_token", "sec-websocket-protocol")
_SHORT = 64  # audio of fewer characters is left as it is


class Saver:
    """Files `NNN.jsonl` and `NNN.wav` (PCM) or `NNN.ulaw`/`NNN.alaw` with `NNN.json` beside (rate, encoding, bytes).

    Each line of the first is {"ms", "message"}; audio inside a message is replaced by {"bytes", "offset"}, its place
    among the audio bytes. The first line tells of the request (credentials removed), the last how it ended."""

    def __init__(self, folder: Path, number: int, request: Request, now: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._base = folder / f"{number:03d}"
        self._log = self._base.with_suffix(".jsonl").open("wb")
        self._began = now
        self._audio = bytearray()
        self._write(now, "request", _about(request))

    def _write(self, now: int, name: str, value: Any) -> None:
        self._log.write(orjson.dumps({"ms": (now - self._began) / 1e6, name: value}) + b"\n")

    def received(self, message: str | bytes, now: int) -> None:
        """One message, exactly as it came."""
        try:
            value = orjson.loads(message)
        except orjson.JSONDecodeError:
            text = message if isinstance(message, str) else message.hex()
            self._write(now, "unreadable", text)
            return
        self._write(now, "message", self._without_audio(value))

    def _without_audio(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._without_audio(entry) for entry in value]
        if not isinstance(value, dict):
            return value
        out = {}
        for name, entry in value.items():
            if name in _AUDIO_KEYS and isinstance(entry, str) and len(entry) >= _SHORT:
                out[name] = self._keep(entry)
            else:
                out[name] = self._without_audio(entry)
        return out

    def _keep(self, text: str) -> Any:
        padded = text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4)
        try:
            data = base64.b64decode(padded, validate=True)
        except binascii.Error:
            return {"unreadable": text[:40]}
        place = {"bytes": len(data), "offset": len(self._audio)}
        self._audio += data
        return place

    def close(self, how: str, format: Format, now: int) -> None:
        """Write the audio out in `format` and end the log."""
        self._write(now, "ended", how)
        self._log.close()
        if not self._audio:
            return
        writers: dict[str, Callable[[Format], None]] = {"pcm16": self._wav}
        writers.get(format.encoding, self._raw)(format)

    def _wav(self, format: Format) -> None:
        with wave.open(str(self._base.with_suffix(".wav")), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(format.rate)
            out.writeframes(bytes(self._audio))

    def _raw(self, format: Format) -> None:
        suffix = ".ulaw" if format.encoding == "pcmu" else ".alaw"
        self._base.with_suffix(suffix).write_bytes(self._audio)
        about = {"rate": format.rate, "encoding": format.encoding, "bytes": len(self._audio)}
        self._base.with_suffix(".json").write_bytes(orjson.dumps(about))


def _about(request: Request) -> dict[str, Any]:
    hidden = {
        where: {name: "(hidden)" if name.lower() in _SECRET else value for name, value in given.items()}
        for where, given in (("query", request.query), ("headers", request.headers))
    }
    return {"path": request.path, **hidden}
