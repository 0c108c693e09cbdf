"""The servers' side of each wire language, as little of it as the tests need: what a server says for a step of a
conversation, and what it understands of the messages it was sent."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from audio.frame import PCM16_24K, Format
from providers.base import Event
from providers.codec import Codec, Target
from providers.registry import codec_for

Json = dict[str, Any]
CORPUS = Path(os.environ.get("SEGUE_CORPUS", Path(__file__).parents[3] / "shared" / "corpus"))

TARGETS = {
    "openai": Target("one", "openai", "gpt-realtime-2.1", api_key="sk-test-0123456789"),
    "azure_openai": Target(
        "two", "azure_openai", "gpt-realtime-2.1", endpoint="https://res.openai.azure.com", api_key="azure-key-0123"
    ),
    "azure_voice_live": Target(
        "three",
        "azure_voice_live",
        "gpt-realtime-2.1",
        endpoint="https://res.services.ai.azure.com",
        api_key="vl-key-01",
    ),
    "xai": Target("four", "xai", "grok-voice-latest", api_key="xai-test-0123456789"),
    "gemini": Target("five", "gemini", "gemini-3.8-live", api_key="AIzaTest0123456789"),
}


def codec(kind: str, leg: Format = PCM16_24K, **changes: Any) -> Codec:
    target = TARGETS[kind]
    return codec_for(Target(**{**{f: getattr(target, f) for f in target.__dataclass_fields__}, **changes}), leg)


def sent(messages: Iterable[str | bytes]) -> list[Json]:
    """What a server reads: every message is a text frame with a JSON object."""
    out = []
    for message in messages:
        assert isinstance(message, str)
        out.append(orjson.loads(message))
    return out


def wire(message: Json) -> str:
    return orjson.dumps(message).decode()


def said(codec: Codec, messages: Iterable[Json]) -> list[Event]:
    return [event for message in messages for event in codec.decode(wire(message))]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class RealtimeServer:
    """OpenAI GA, Voice Live (`flat`) or xAI (`bare`: no metadata, usage beside the response)."""

    def __init__(self, flat: bool = False, bare: bool = False) -> None:
        self.bare = bare
        self.audio_name = "response.audio" if flat else "response.output_audio"
        self.item_type = "audio" if flat or bare else "output_audio"
        self.replies = 0
        self.turns = 0
        self.requests: list[Json] = []

    def hear(self, messages: Iterable[str | bytes]) -> None:
        self.requests += [m for m in sent(messages) if m["type"] == "response.create"]

    def configured(self) -> list[Json]:
        return [
            {"type": "session.created", "event_id": "e1", "session": {"id": "sess_1"}},
            {"type": "session.updated", "event_id": "e2", "session": {"id": "sess_1"}},
        ]

    def turn_taken(self) -> list[Json]:
        self.turns += 1
        return [{"type": "input_audio_buffer.committed", "item_id": f"user_{self.turns}", "previous_item_id": None}]

    def transcript(self, pieces: list[str]) -> list[Json]:
        name = "conversation.item.input_audio_transcription"
        item = {"item_id": f"user_{self.turns}", "content_index": 0}
        deltas = [{"type": f"{name}.delta", **item, "delta": piece} for piece in pieces]
        return [*deltas, {"type": f"{name}.completed", **item, "transcript": "".join(pieces)}]

    def begin(self) -> list[Json]:
        self.replies += 1
        request = self.requests.pop(0) if self.requests else {}
        metadata = None if self.bare else request.get("response", {}).get("metadata")
        response = {"id": f"resp_{self.replies}", "status": "in_progress", "metadata": metadata}
        item = {"id": f"item_{self.replies}", "type": "message", "status": "in_progress"}
        return [
            {"type": "response.created", "response": response},
            {"type": "response.output_item.added", "response_id": response["id"], "item": item},
        ]

    def _of(self, **more: Any) -> Json:
        return {"response_id": f"resp_{self.replies}", "item_id": f"item_{self.replies}", **more}

    def audio(self, data: bytes) -> list[Json]:
        return [{"type": f"{self.audio_name}.delta", **self._of(delta=b64(data))}]

    def text(self, text: str) -> list[Json]:
        return [{"type": f"{self.audio_name}_transcript.delta", **self._of(delta=text)}]

    def spoken(self) -> list[Json]:
        return [
            {"type": f"{self.audio_name}.done", **self._of()},
            {"type": f"{self.audio_name}_transcript.done", **self._of(transcript="…")},
        ]

    def call(self, call_id: str, name: str, arguments: Json) -> list[Json]:
        text = orjson.dumps(arguments).decode()
        item = {"id": f"call_{self.replies}", "type": "function_call", "name": name, "call_id": call_id}
        of = {"response_id": f"resp_{self.replies}"}
        return [
            {"type": "response.output_item.added", **of, "item": {**item, "status": "in_progress", "arguments": ""}},
            {"type": "response.function_call_arguments.delta", **of, "item_id": item["id"], "delta": text},
            {
                "type": "response.function_call_arguments.done",
                **of,
                "item_id": item["id"],
                "call_id": call_id,
                "name": name,
                "arguments": text,
            },
            {"type": "response.output_item.done", **of, "item": {**item, "status": "completed", "arguments": text}},
        ]

    def end(self, status: str = "completed", details: Any = None, usage: bool = True) -> list[Json]:
        counts = {
            "total_tokens": 146,
            "input_tokens": 40,
            "output_tokens": 106,
            "input_token_details": {"text_tokens": 14, "audio_tokens": 26, "cached_tokens": 0},
            "output_token_details": {"text_tokens": 29, "audio_tokens": 77},
        }
        response = {"id": f"resp_{self.replies}", "status": status, "status_details": details, "output": []}
        if self.bare:
            return [{"type": "response.done", "response": {**response, "usage": {}}, "usage": counts if usage else {}}]
        return [{"type": "response.done", "response": {**response, "usage": counts if usage else None}}]

    def interrupted(self) -> list[Json]:
        return self.end("cancelled", {"type": "cancelled", "reason": "client_cancelled"}, usage=False)

    def refused(self) -> list[Json]:
        return self.end("incomplete", {"type": "incomplete", "reason": "content_filter"}, usage=False)


class GeminiServer:
    """The Developer API."""

    def hear(self, messages: Iterable[str | bytes]) -> None:
        for message in sent(messages):
            assert len(message) == 1

    def _content(self, **content: Any) -> list[Json]:
        return [{"serverContent": content}]

    def configured(self) -> list[Json]:
        return [{"setupComplete": {"sessionId": "sess_1"}}]

    def turn_taken(self) -> list[Json]:
        return []

    def transcript(self, pieces: list[str]) -> list[Json]:
        return [m for piece in pieces for m in self._content(inputTranscription={"text": piece})]

    def begin(self) -> list[Json]:
        return []

    def audio(self, data: bytes) -> list[Json]:
        inline = {"mimeType": "audio/pcm;rate=24000", "data": base64.urlsafe_b64encode(data).decode()}
        return self._content(modelTurn={"parts": [{"inlineData": inline}]})

    def text(self, text: str) -> list[Json]:
        return self._content(outputTranscription={"text": text})

    def spoken(self) -> list[Json]:
        return self._content(generationComplete=True)

    def call(self, call_id: str, name: str, arguments: Json) -> list[Json]:
        return [{"toolCall": {"functionCalls": [{"id": call_id, "name": name, "args": arguments}]}}]

    def end(self, reason: str = "", usage: bool = True) -> list[Json]:
        message: Json = {"serverContent": {"turnComplete": True}}
        if reason:
            message["serverContent"]["turnCompleteReason"] = reason
        if usage:
            message["usageMetadata"] = {
                "promptTokenCount": 40,
                "responseTokenCount": 77,
                "thoughtsTokenCount": 29,
                "totalTokenCount": 117,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 14},
                    {"modality": "AUDIO", "tokenCount": 26},
                ],
                "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 77}],
            }
        return [message]

    def interrupted(self) -> list[Json]:
        return [*self._content(interrupted=True), *self.end(usage=False)]

    def refused(self) -> list[Json]:
        return self.end("PROHIBITED_INPUT_CONTENT", usage=False)


Server = RealtimeServer | GeminiServer


def server(kind: str) -> Server:
    if kind == "gemini":
        return GeminiServer()
    return RealtimeServer(flat=kind == "azure_voice_live", bare=kind == "xai")
