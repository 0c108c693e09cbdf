"""Recordings of the live services decode to what a reader of the file would expect.

The expectation is read off each file here, independently of the codecs: by what the file's own messages say.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from audio.frame import PCM16_24K
from providers.base import (
    CallerText,
    Event,
    Noticed,
    Ready,
    ReplyAudio,
    ReplyComplete,
    ReplyEnded,
    ReplyStarted,
    ReplyText,
    ToolCalled,
)
from providers.codec import Codec
from providers.registry import codec_for
from tests.providers.servers import CORPUS, TARGETS, Json

WIRE = CORPUS / "wire"
FILES = sorted(WIRE.glob("*.yaml"))
KINDS = {
    "openai": "openai",
    "azure": "azure_openai",
    "azure_voice_live": "azure_voice_live",
    "google": "gemini",
    "xai": "xai",
}

pytestmark = pytest.mark.skipif(not FILES, reason="the corpus of recorded provider sockets is not here")


@cache
def received(path: Path) -> list[Json]:
    document = yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return [step["data"] for step in document["interactions"] if step["direction"] == "received"]


def codec_of(path: Path) -> Codec:
    target = TARGETS[KINDS[path.name.split("__")[0]]]
    model = "gemini-2.5-flash-native-audio-preview-12-2025" if target.kind == "gemini" else "gpt-realtime"
    return codec_for(replace(target, model=model), PCM16_24K)


def decoded(path: Path) -> list[Event]:
    codec = codec_of(path)
    return [event for message in received(path) for event in codec.decode(orjson.dumps(message))]


def only(events: list[Event], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_in_a_recording_is_unreadable(path: Path) -> None:
    assert only(decoded(path), Noticed) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_session_becomes_ready_once_and_first(path: Path) -> None:
    events = decoded(path)
    assert len(only(events, Ready)) == 1
    assert isinstance(events[0], Ready)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_audio_is_what_the_messages_carry(path: Path) -> None:
    expected = b""
    for message in received(path):
        if message.get("type") in ("response.output_audio.delta", "response.audio.delta"):
            expected += base64.b64decode(message["delta"])
        for part in message.get("serverContent", {}).get("modelTurn", {}).get("parts", []):
            if "inlineData" in part:
                expected += base64.b64decode(part["inlineData"]["data"])
    assert b"".join(e.data for e in only(decoded(path), ReplyAudio)) == expected


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_reply_text_is_the_transcript(path: Path) -> None:
    expected = ""
    for message in received(path):
        if message.get("type") in ("response.output_audio_transcript.done", "response.audio_transcript.done"):
            expected += message["transcript"]
        if message.get("type") in ("response.output_text.done", "response.text.done"):
            expected += message["text"]
        expected += message.get("serverContent", {}).get("outputTranscription", {}).get("text", "")
    assert "".join(e.text for e in only(decoded(path), ReplyText)) == expected


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_caller_text_is_the_final_transcript(path: Path) -> None:
    expected = ""
    for message in received(path):
        if message.get("type", "").endswith("input_audio_transcription.completed"):
            expected = message["transcript"]
        expected += message.get("serverContent", {}).get("inputTranscription", {}).get("text", "")
    finals = [e.text for e in only(decoded(path), CallerText) if e.final]
    assert finals == ([expected.strip()] if expected else [])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_tool_calls_are_the_calls(path: Path) -> None:
    expected = []
    for message in received(path):
        if message.get("type") == "response.function_call_arguments.done":
            expected.append((message["call_id"], orjson.loads(message["arguments"])))
        for call in message.get("toolCall", {}).get("functionCalls", []):
            expected.append((call["id"], call["args"]))
    assert [(e.call_id, orjson.loads(e.arguments)) for e in only(decoded(path), ToolCalled)] == expected


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_reply_starts_and_ends_once(path: Path) -> None:
    events = decoded(path)
    begun = 0
    for message in received(path):
        begun += message.get("type") == "response.created"
        begun += message.get("serverContent", {}).get("turnComplete", False)
        begun += "toolCall" in message
    assert len(only(events, ReplyStarted)) == len(only(events, ReplyEnded)) == begun
    heard = False
    for event in events:
        if isinstance(event, (ReplyAudio, ToolCalled)):
            heard = True
        if isinstance(event, ReplyEnded):
            # Some of the recordings asked for text only, which nobody hears.
            assert event.outcome == ("completed" if heard else "empty")
            heard = False


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_reply_is_complete_before_it_ends(path: Path) -> None:
    events = decoded(path)
    spoken = {e.item for e in only(events, ReplyAudio)}
    assert len(only(events, ReplyComplete)) == len(spoken)
    for at, event in enumerate(events):
        if isinstance(event, ReplyComplete):
            assert not any(isinstance(e, (ReplyAudio, ReplyText)) for e in events[at : events.index(_end(events, at))])


def _end(events: list[Event], at: int) -> Event:
    return next(e for e in events[at:] if isinstance(e, ReplyEnded))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_usage_adds_up_to_what_was_reported(path: Path) -> None:
    expected = []
    for message in received(path):
        usage = message.get("response", {}).get("usage") or message.get("usage") or {}
        if message.get("type") == "response.done":
            expected.append((usage["input_tokens"], usage["output_tokens"]))
        if "usageMetadata" in message:
            meta = message["usageMetadata"]
            expected.append((meta["promptTokenCount"], meta["responseTokenCount"] + meta.get("thoughtsTokenCount", 0)))
    usages = [e.usage for e in only(decoded(path), ReplyEnded) if e.usage is not None]
    assert [(u.input_text + u.input_audio, u.output_text + u.output_audio) for u in usages] == expected


def test_all_services_are_covered() -> None:
    assert {path.name.split("__")[0] for path in FILES} == set(KINDS)
