"""Whatever a client sends, an emulator answers or closes; it never breaks.

Valid conversations with one value replaced or dropped, everywhere in turn.
"""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.fakes.emulator import Emulator
from bridge.fakes.wire import Close
from tests.fakes.client import Client, b64

TURN = b64(bytes(9600))
TOOL = {"type": "function", "name": "lookup", "description": "x", "parameters": {"type": "object"}}
GA_SESSION = {
    "type": "realtime",
    "instructions": "x",
    "output_modalities": ["audio"],
    "tools": [TOOL],
    "tool_choice": "auto",
    "max_output_tokens": 100,
    "truncation": {"type": "retention_ratio", "retention_ratio": 0.5},
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "transcription": {"model": "whisper-1", "language": "en"},
            "noise_reduction": {"type": "near_field"},
            "turn_detection": {"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 300},
        },
        "output": {"format": {"type": "audio/pcmu"}, "voice": "marin", "speed": 1.1},
    },
}
FLAT_SESSION = {
    "modalities": ["text", "audio"],
    "voice": {"type": "azure-standard", "name": "en-US-Ava"},
    "input_audio_format": "pcm16",
    "input_audio_sampling_rate": 16000,
    "output_audio_format": "pcm16_16000hz",
    "input_audio_transcription": {"model": "azure-speech", "phrase_list": ["x"]},
    "turn_detection": {"type": "azure_semantic_vad", "end_of_utterance_detection": {"model": "x"}},
    "output_audio_timestamp_types": ["word"],
    "tools": [TOOL],
}
MANUAL = {
    "openai": {"type": "realtime", "audio": {"input": {"turn_detection": None}}},
    "azure": {"turn_detection": None},
}


def realtime(kind: str) -> list[Any]:
    said = "text" if kind == "azure" else "output_text"
    ask = {"instructions": "Say “yes”.", "tools": [TOOL], "metadata": {"a": "b"}, "tool_choice": "none"}
    if kind == "azure":
        ask |= {"commit": True, "append_input_items": [message("user", "input_text")], "modalities": ["audio"]}
    else:
        ask |= {"conversation": "none", "input": [{"type": "item_reference", "id": "one"}]}
    return [
        {"type": "session.update", "event_id": "a", "session": GA_SESSION if kind == "openai" else FLAT_SESSION},
        {"type": "session.update", "session": MANUAL[kind]},
        {"type": "conversation.item.create", "item": {**message("user", "input_text"), "id": "one"}},
        {"type": "conversation.item.create", "previous_item_id": "one", "item": message("assistant", said)},
        {"type": "conversation.item.create", "item": {"type": "function_call", "name": "lookup", "call_id": "c",
                                                      "arguments": "{}"}},
        {"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": "c", "output": "{}"}},
        {"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": [
            {"type": "input_audio", "audio": TURN}]}},
        {"type": "input_audio_buffer.append", "audio": TURN},
        {"type": "input_audio_buffer.commit"},
        {"type": "response.create", "response": ask},
        {"type": "response.create"},
        {"type": "response.cancel", "response_id": "resp_1"},
        {"type": "conversation.item.truncate", "item_id": "one", "content_index": 0, "audio_end_ms": 10},
        {"type": "conversation.item.retrieve", "item_id": "one"},
        {"type": "conversation.item.delete", "item_id": "one"},
        {"type": "input_audio_buffer.clear"},
    ]  # fmt: skip


def message(role: str, part: str) -> Any:
    return {"type": "message", "role": role, "content": [{"type": part, "text": "question number 3"}]}


GEMINI: list[Any] = [
    {
        "setup": {
            "model": "models/gemini-3.8-live",
            "generationConfig": {
                "responseModalities": ["AUDIO"],
                "temperature": 0.4,
                "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
            },
            "systemInstruction": {"parts": [{"text": "x"}]},
            "tools": [{"functionDeclarations": [{"name": "lookup", "behavior": "BLOCKING", "parameters": {
                "type": "OBJECT", "properties": {"a": {"type": "ARRAY", "items": {"type": "STRING"}}}}}]}],
            "realtimeInputConfig": {"automaticActivityDetection": {"disabled": True, "silenceDurationMs": 400}},
            "sessionResumption": {},
            "historyConfig": {"initialHistoryInClientContent": False},
            "proactivity": {"proactiveAudio": True},
            "outputAudioTranscription": {},
        }
    },
    {"clientContent": {"turns": [{"role": "user", "parts": [{"text": "question number 3"}]}], "turnComplete": False}},
    {"realtimeInput": {"activityStart": {}}},
    {"realtimeInput": {"audio": {"data": TURN, "mimeType": "audio/pcm;rate=16000"}}},
    {"realtimeInput": {"activityEnd": {}}},
    {"toolResponse": {"functionResponses": [{"id": "1", "name": "lookup", "response": {"output": 1}}]}},
    {"contextUpdate": {"systemInstruction": {"parts": [{"text": "y"}]}, "tools": {"tools": []}}},
    {"realtimeInput": {"text": "hello"}},
]  # fmt: skip

DROP = object()
ODD: list[Any] = [DROP, 7, "x", [], {"type": [1]}, [None]]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of everything inside a value."""
    inside: list[tuple[Any, ...]] = []
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        inside += [(*path, key), *places(entry, (*path, key))]
    return inside


def changed(messages: list[Any], path: tuple[Any, ...], value: Any) -> list[Any]:
    messages = copy.deepcopy(messages)
    owner: Any = messages
    for key in path[:-1]:
        owner = owner[key]
    if value is DROP:
        del owner[path[-1]]
    else:
        owner[path[-1]] = value
    return messages


CONVERSATIONS = {"openai": realtime("openai"), "azure": realtime("azure"), "gemini": GEMINI}


@pytest.mark.parametrize("value", ODD, ids=lambda value: "dropped" if value is DROP else str(value))
@pytest.mark.parametrize("kind", ["openai", "azure", "gemini"])
def test_a_conversation_with_one_thing_wrong(kind: Any, value: Any) -> None:
    script = {"tools": [{"name": "lookup"}], "word_times": True, "reply": {"seconds": 0, "first_audio_ms": 0}}
    for path in places(CONVERSATIONS[kind]):
        c = Client(Emulator(kind, script, pace=100.0))
        for one in changed(CONVERSATIONS[kind], path, value):
            c.send(orjson.dumps(one).decode())
            c.run(200)
        if kind == "gemini":
            assert c.ended is None or (isinstance(c.ended, Close) and c.ended.code in (1007, 1008)), path
        else:
            assert c.ended is None, path
            c.send({"type": "input_audio_buffer.clear"})
            assert c.types()[-1] == "input_audio_buffer.cleared", path


@pytest.mark.parametrize("kind", ["openai", "azure", "gemini"])
def test_the_conversations_are_right(kind: Any) -> None:
    """Unchanged they are taken without complaint, but for what is not there to cancel or truncate."""
    c = Client(Emulator(kind, {"reply": {"seconds": 1}}))
    for one in CONVERSATIONS[kind]:
        c.send(orjson.dumps(one).decode())
        c.run(3000)
    assert c.ended is None
    codes = [message["error"]["code"] for message in c.of("error")]
    assert codes == ([] if kind == "gemini" else ["response_cancel_not_active", "invalid_value"])


@pytest.mark.parametrize("kind", ["openai", "azure", "gemini"])
@given(data=st.binary(max_size=60) | st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_bytes_and_texts(kind: Any, data: bytes | str) -> None:
    c = Client(Emulator(kind))
    c.send(data)
    c.run(1000)
    assert c.ended is None or isinstance(c.ended, Close)
    for raw in c.raw:
        orjson.loads(raw)
