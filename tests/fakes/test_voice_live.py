"""The emulated Azure Voice Live: flat names and Azure's own behaviour."""

from __future__ import annotations

from typing import Any

import pytest

from audio.frame import PCM16_8K, PCM16_16K, PCM16_24K, PCMA, PCMU
from bridge.fakes.emulator import Emulator
from bridge.fakes.speech import answered, bank
from bridge.fakes.wire import HttpRefusal
from tests.fakes.client import Client, Json, RealtimeClient, kind_of, numbered

GA_ONLY = ("response.output_audio", '"output_audio"', "output_text", "conversation.item.added", "obfuscation")


def client(script: Any = None, **options: Any) -> RealtimeClient:
    return RealtimeClient(Emulator("azure", script, **options))


def test_flat_names_only() -> None:
    c = client({"reply": {"seconds": 3}, "rate_limits": None})
    created = c.of("session.created")[0]["session"]
    assert created["turn_detection"]["silence_duration_ms"] == 200
    assert "type" not in created
    c.configure()
    c.turn(37)
    c.reply()
    kinds = [kind for kind in dict.fromkeys(c.types()) if "transcription" not in kind]
    assert kinds == [
        "session.created",
        "session.updated",
        "input_audio_buffer.committed",
        "conversation.item.created",
        "conversation.item.done",
        "response.created",
        "response.output_item.added",
        "response.content_part.added",
        "response.audio_transcript.delta",
        "response.audio.delta",
        "response.audio.done",
        "response.audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
    ]
    for raw in c.raw:
        assert not any(word in str(raw) for word in GA_ONLY)
    assert "usage" not in c.of("conversation.item.input_audio_transcription.completed")[0]
    done = c.of("response.done")[0]["response"]
    assert done["output"][0]["content"][0]["type"] == "audio"
    assert done["output"][0]["object"] == "realtime.item"
    assert done["modalities"] == ["text", "audio"]
    assert done["usage"]["output_token_details"]["reasoning_tokens"] == 0
    assert answered(c.said) == [37]


@pytest.mark.parametrize(
    ("wire", "format"),
    [
        ("pcm16", PCM16_24K),
        ("pcm16_16000hz", PCM16_16K),
        ("pcm16_8000hz", PCM16_8K),
        ("g711_ulaw", PCMU),
        ("g711_alaw", PCMA),
    ],
)
def test_output_formats(wire: str, format: Any) -> None:
    c = client({"reply": {"seconds": 0}})
    c.configure(output_audio_format=wire)
    c.turn(12)
    c.reply()
    spoken = bank().say("You asked about number twelve.")
    assert spoken is not None
    assert c.sound() == bank().audio(spoken, format)


@pytest.mark.parametrize(
    ("wire", "rate", "format"),
    [("pcm16", 8000, PCM16_8K), ("pcm16", 16000, PCM16_16K), ("pcm16", 24000, PCM16_24K), ("g711_alaw", 8000, PCMA)],
)
def test_input_formats(wire: str, rate: int, format: Any) -> None:
    c = client()
    c.configure(input_audio_format=wire, input_audio_sampling_rate=rate)
    c.format = format
    c.turn(310)
    c.reply()
    assert answered(c.said) == [310]


def test_a_wrong_rate_is_heard() -> None:
    c = client()
    c.configure(input_audio_sampling_rate=16000)
    c.append(numbered(310, format=PCM16_24K))
    c.send({"type": "input_audio_buffer.commit"}, {"type": "response.create"})
    c.reply()
    assert c.said.startswith("I heard you for")


@pytest.mark.parametrize(
    ("session", "code", "param"),
    [
        ({"type": "realtime"}, "unknown_parameter", "session.type"),
        ({"audio": {}}, "unknown_parameter", "session.audio"),
        ({"input_audio_format": "audio/pcm"}, "invalid_value", "session.input_audio_format"),
        ({"input_audio_sampling_rate": 11025}, "invalid_value", "session.input_audio_sampling_rate"),
        ({"modalities": ["audio", "smell"]}, "invalid_value", "session.modalities[1]"),
        ({"turn_detection": {"type": "azure_multilingual_semantic_vad"}}, "invalid_value",
         "session.turn_detection.type"),
        ({"voice": {"type": "azure-standard"}}, "missing_required_parameter", "session.voice.name"),
        ({"input_audio_transcription": {"language": "de"}}, "missing_required_parameter",
         "session.input_audio_transcription.model"),
    ],
)  # fmt: skip
def test_refused_updates(session: Json, code: str, param: str) -> None:
    c = client()
    (got,) = c.ask({"type": "session.update", "session": session})
    assert (got["error"]["code"], got["error"]["param"]) == (code, param)


def test_updates_fill_in_the_defaults_of_their_kind() -> None:
    c = client()
    c.send({"type": "session.update", "session": {"turn_detection": {"type": "server_vad"}, "voice": "marin"}})
    session = c.of("session.updated")[0]["session"]
    assert (session["turn_detection"]["prefix_padding_ms"], session["turn_detection"]["silence_duration_ms"]) == (
        400,
        500,
    )
    assert session["voice"] == {"name": "marin", "type": "openai"}
    assert session["modalities"] == ["audio"]


def test_a_new_reply_cancels_the_running_one() -> None:
    c = client()
    c.configure()
    c.turn(1)
    c.run(700)
    c.turn(2, "table")
    first = c.of("response.done")[0]["response"]
    assert first["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
    c.reply()
    assert answered(c.said) == [2]
    c.send({"type": "response.create"})
    got = c.ask({"type": "response.create", "response": {"cancel_previous": False}})
    assert got[0]["error"]["code"] == "conversation_already_has_active_response"


def test_replies_that_are_not_kept_and_words_brought_along() -> None:
    c = client()
    c.configure()
    c.turn(6)
    c.reply()
    words = {"content": [{"type": "text", "text": "One moment please."}]}
    c.send({"type": "response.create", "response": {"commit": False, "pre_generated_assistant_message": words}})
    c.reply()
    assert c.said == "One moment please."
    log = [said.text for said in c.session.items.log() if said.role == "assistant"]
    assert len(log) == 1
    c.send({"type": "response.create", "response": {"input_items": []}, "additional_instructions": "Say “Yes.”"})
    c.reply()
    assert c.said == "Yes."


def test_assistant_history_is_called_text_here() -> None:
    c = client()
    c.configure()
    item: Json = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]}
    assert c.ask({"type": "conversation.item.create", "item": item})[0]["error"]["param"] == "item.content[0].type"
    item["content"][0]["type"] = "text"
    assert [kind_of(message) for message in c.ask({"type": "conversation.item.create", "item": item})] == [
        "conversation.item.created"
    ]


def test_word_times_are_true() -> None:
    c = client({"word_times": True})
    c.configure(output_audio_timestamp_types=["word"])
    c.turn(9)
    c.reply()
    stamps = c.of("response.audio_timestamp.delta")
    spoken = c.session.items.order[-1].spoken
    assert [stamp["text"] for stamp in stamps] == spoken.text.split()
    assert [stamp["audio_offset_ms"] for stamp in stamps] == [round(word.begin / 24) for word in spoken.words]
    assert [stamp["audio_duration_ms"] for stamp in stamps] == [
        round((word.end - word.begin) / 24) for word in spoken.words
    ]


def test_thirty_connections_a_minute() -> None:
    emulator = Emulator("azure")
    for i in range(30):
        assert Client(emulator, now=i * 1_000_000_000).refusal is None
    refused = Client(emulator, now=30_000_000_000).refusal
    assert isinstance(refused, HttpRefusal)
    assert (refused.status, refused.headers["Retry-After"]) == (429, "30")
    assert Client(emulator, now=61_000_000_000).refusal is None


def test_keys_in_every_place() -> None:
    emulator = Emulator("azure", {"api_key": "k"})
    assert Client(emulator, {"api-key": "k"}).refusal is None
    assert Client(emulator, {"Authorization": "Bearer k"}).refusal is None
    assert Client(emulator, None, model="m", **{"api-key": "k"}).refusal is None
    assert Client(emulator, None, model="m", Authorization="Bearer k").refusal is None
    refused = Client(emulator).refusal
    assert isinstance(refused, HttpRefusal)
    assert refused.status == 401


def test_warnings_and_interim_responses() -> None:
    rules = [
        {"when": {"phase": "asked"}, "do": [{"warning": {"code": "c", "message": "m"}}, {"interim": "One moment."}]},
    ]
    c = client({"rules": rules})
    c.configure()
    c.turn(3)
    response = c.reply()
    assert c.of("warning")[0]["warning"] == {"code": "c", "message": "m", "param": None}
    assert [item["content"][0]["transcript"].split()[0] for item in response["output"]] == ["One", "You"]
    assert {message["output_index"] for message in c.of("response.audio.delta")} == {0, 1}


def test_its_own_rate_limit_code() -> None:
    c = client({"rules": [{"when": {"phase": "asked"}, "do": {"fail": "rate_limit"}}]})
    c.configure()
    c.turn(3)
    assert c.reply()["status_details"]["error"]["code"] == "inference_rate_limit_exceeded"
