"""Reads what emulators wrote down of what they received, and finds the caller's speech in it."""

from __future__ import annotations

import base64
import wave
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from audio.frame import decode
from audio.resample import convert
from bridge.fakes.numbered import read_number
from tests.chaos.matrix.verdict import Link
from tests.wire.received import messages_received

ALIKE = 0.99
AUDIBLE = 200.0  # RMS of 20 ms of caller speech
Floats = NDArray[np.float64]


def links(provider: str, kind: str, folder: Path) -> list[Link]:
    """The connections an emulator kept below `folder`, in order."""
    found = sorted(folder.glob("*.jsonl")) if folder.is_dir() else []
    return [Link(provider, int(log.stem), kind, messages_received(_messages(log))) for log in found]


def _messages(log: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every message with its time (ms), its audio put back."""
    raw = log.read_bytes().splitlines()
    if not raw or b'"ended":' not in raw[-1]:
        raise ValueError(f"{log}: the connection has not ended yet")
    lines = [orjson.loads(line) for line in raw]
    audio = _audio(log)
    for line in lines:
        if "message" in line:
            yield round(line["ms"]), _whole(line["message"], audio)


def _audio(log: Path) -> bytes:
    sound = log.with_suffix(".wav")
    if sound.exists():
        with wave.open(str(sound)) as file:
            return file.readframes(file.getnframes())
    raw = log.with_suffix(".ulaw")
    return raw.read_bytes() if raw.exists() else b""


def _whole(value: Any, audio: bytes) -> Any:
    if isinstance(value, list):
        return [_whole(entry, audio) for entry in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"bytes", "offset"}:
        return base64.b64encode(audio[value["offset"] : value["offset"] + value["bytes"]]).decode()
    return {name: _whole(entry, audio) for name, entry in value.items()}


def spoken_ms(pcm: NDArray[np.int16]) -> tuple[int, int]:
    """Where the sound of a recording at 8 kHz begins and ends, to 20 ms."""
    blocks = pcm[: len(pcm) // 160 * 160].reshape(-1, 160).astype(np.float64)
    loud = np.flatnonzero(np.sqrt(np.mean(blocks**2, axis=1)) > AUDIBLE)
    return int(loud[0]) * 20, int(loud[-1]) * 20 + 20


def lost_ms(kind: str, data: bytes, said: bytes, begin_ms: float, end_ms: float) -> tuple[int, str]:
    """How much of what the caller said (u-law) between two times is not in `data`, the turn a provider got, and what is
    wrong with it otherwise. It must be one stretch of the caller's line: byte for byte where G.711 is passed through,
    sample for sample, as far as conversion to 16 kHz lets it, on Gemini."""
    place = _converted(data, said) if kind == "gemini" else _copied(data, said)
    if place is None:
        missing = _unread(kind, data, end_ms - begin_ms)
        return missing, f"{len(data)} bytes that are no stretch of what the caller said, {missing} ms of it missing"
    first, last = place
    lost = round(max(0.0, min(first, end_ms) - begin_ms) + max(0.0, end_ms - max(last, begin_ms)))
    return lost, f"{lost} ms of the question missing" if lost else ""


def _copied(data: bytes, said: bytes) -> tuple[float, float] | None:
    at = said.find(data)
    return None if at < 0 else (at / 8, (at + len(data)) / 8)


def _converted(data: bytes, said: bytes) -> tuple[float, float] | None:
    have = np.frombuffer(data, "<i2").astype(np.float64)
    line = _at_16k(said)
    if not len(have) or len(have) > len(line):
        return None
    size = 1 << (len(line) + len(have) - 1).bit_length()
    match = np.fft.irfft(np.fft.rfft(line, size) * np.conj(np.fft.rfft(have, size)), size)
    at = int(np.argmax(match[: len(line) - len(have) + 1]))
    theirs = line[at : at + len(have)]
    likeness = np.dot(have, theirs) / (np.linalg.norm(have) * np.linalg.norm(theirs) + 1)
    return (at / 16, (at + len(have)) / 16) if likeness > ALIKE else None


@lru_cache(maxsize=4)
def _at_16k(data: bytes) -> Floats:
    return convert(decode(data, "pcmu"), 8000, 16000).astype(np.float64)


def _unread(kind: str, data: bytes, whole_ms: float) -> int:
    """What of a numbered question cannot be found in sound that is not as it was sent."""
    pcm = np.frombuffer(data, "<i2") if kind == "gemini" else decode(data, "pcmu")
    reading = read_number(pcm, 16000 if kind == "gemini" else 8000)
    return round(whole_ms) if reading.number is None else min(round(whole_ms), reading.missing_ms)
