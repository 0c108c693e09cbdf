"""The vendor's own client against the emulated Gemini Live, over TLS: `google-genai`."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from audio.frame import PCM16_16K
from bridge.fakes import start
from bridge.fakes.speech import answered
from tests.fakes.client import Json, numbered
from tests.fakes.real import real

genai = pytest.importorskip("google.genai")
from google.genai import errors, types  # noqa: E402

SCRIPT: Json = {"reply": {"seconds": 3, "first_audio_ms": 5, "pace": 60}, "turn_complete_ms": 0}
ENVIRONMENT = ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_CLOUD_PROJECT", "GOOGLE_GENAI_USE_VERTEXAI")


@pytest.fixture(autouse=True)
def nothing_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


@asynccontextmanager
async def session(script: Json | None = None, **config: Any) -> AsyncIterator[Any]:
    running = await start("gemini", script={**SCRIPT, **(script or {})}, tls=True)
    assert running.certificate is not None
    context = ssl.create_default_context(cadata=running.certificate.decode())
    base = f"https://127.0.0.1:{running.port}"
    options = types.HttpOptions(base_url=base, api_version="v1beta", async_client_args={"ssl": context})
    client = genai.Client(api_key="K", http_options=options)
    detection = types.AutomaticActivityDetection(disabled=True)
    settings = {
        "response_modalities": ["AUDIO"],
        "input_audio_transcription": {},
        "output_audio_transcription": {},
        "realtime_input_config": types.RealtimeInputConfig(automatic_activity_detection=detection),
        **config,
    }
    try:
        async with client.aio.live.connect(model="gemini-3.8-live", config=types.LiveConnectConfig(**settings)) as live:
            yield live
    finally:
        await client.aio.aclose()
        await running.close()


async def turn(live: Any, n: int, name: str = "opening_hours") -> None:
    await live.send_realtime_input(activity_start=types.ActivityStart())
    data = numbered(n, name, PCM16_16K)
    for at in range(0, len(data), 1600):
        blob = types.Blob(data=data[at : at + 1600], mime_type="audio/pcm;rate=16000")
        await live.send_realtime_input(audio=blob)
    await live.send_realtime_input(activity_end=types.ActivityEnd())


async def said(live: Any) -> tuple[str, bytes, list[Any]]:
    """One turn of the model: its words, its sound, all messages."""
    text, sound, messages = "", b"", []
    async for message in live.receive():
        messages.append(message)
        content = message.server_content
        if content and content.output_transcription:
            text += content.output_transcription.text
        if content and content.model_turn:
            for part in content.model_turn.parts:
                sound += part.inline_data.data if part.inline_data else b""
        if message.tool_call:
            break
    return text, sound, messages


@real
async def test_an_audio_turn() -> None:
    async with session() as live:
        for n in (63, 64):
            await turn(live, n)
            text, sound, messages = await said(live)
            assert answered(text) == [n]
            assert 2.5 < len(sound) / 48000 < 5
            flags = [message.server_content for message in messages if message.server_content]
            assert [bool(content.generation_complete) for content in flags[-2:]] == [True, False]
            assert flags[-1].turn_complete
            assert messages[-1].usage_metadata.response_token_count > 50


@real
async def test_a_round_with_a_tool() -> None:
    declaration = types.FunctionDeclaration(name="lookup", behavior="BLOCKING")
    tools = [types.Tool(function_declarations=[declaration])]
    async with session({"tools": [{"turn": 1, "name": "lookup", "arguments": {"id": 4}}]}, tools=tools) as live:
        await turn(live, 65)
        _, _, messages = await said(live)
        (call,) = messages[-1].tool_call.function_calls
        assert (call.name, call.args) == ("lookup", {"id": 4})
        result = types.FunctionResponse(id=call.id, name="lookup", response={"output": {"days": 3}})
        await live.send_tool_response(function_responses=[result])
        text, _, _ = await said(live)
        assert "The result is three." in text


@real
async def test_a_barge_in() -> None:
    async with session({"reply": {"seconds": 8, "first_audio_ms": 5, "pace": 8}}) as live:
        await turn(live, 66)
        async for message in live.receive():
            if message.data:
                break
        await asyncio.sleep(0.3)  # what was interrupted sooner cannot have been heard, and its question stays open
        await turn(live, 67, "table")
        text, _, messages = await said(live)
        flags = [message.server_content for message in messages if message.server_content]
        assert any(content.interrupted for content in flags)
        assert not any(content.generation_complete for content in flags)
        text, _, _ = await said(live)
        assert answered(text) == [67]


@real
async def test_history_and_text() -> None:
    async with session() as live:
        seed = [
            types.Content(role="user", parts=[types.Part(text="question number 3")]),
            types.Content(role="model", parts=[types.Part(text="You asked about number three.")]),
        ]
        await live.send_client_content(turns=seed, turn_complete=False)
        await live.send_realtime_input(text="Say “Please say yes or no.”")
        text, _, _ = await said(live)
        assert text == "Please say yes or no."


@real
async def test_going_away_and_resuming() -> None:
    rule = {"when": {"phase": "configured"}, "do": {"go_away": {"left_ms": 300}}}
    resumption = types.SessionResumptionConfig()
    async with session({"rules": [rule]}, session_resumption=resumption) as live:
        seen: list[Any] = []
        with pytest.raises(errors.APIError) as raised:
            while True:
                async for message in live.receive():
                    seen.append(message)
        assert raised.value.code == 1011
        assert "Deadline expired" in str(raised.value)
    assert [message.go_away.time_left for message in seen if message.go_away] == ["0.3s"]
    assert [message.session_resumption_update.resumable for message in seen if message.session_resumption_update] == [
        True
    ]


@real
async def test_errors() -> None:
    with pytest.raises(errors.APIError) as raised:
        async with session({"api_key": "other"}):
            pass
    assert raised.value.code == 1007
    with pytest.raises(errors.APIError) as raised:
        async with session(thinking_config=types.ThinkingConfig(thinking_budget=0)):
            pass
    assert raised.value.code == 1007
    rule = {"when": {"phase": "reply", "after_deltas": 2}, "do": {"fail": True}}
    async with session({"rules": [rule]}) as live:
        await turn(live, 68)
        with pytest.raises(errors.APIError) as raised:
            await said(live)
        assert (raised.value.code, "Internal error encountered." in str(raised.value)) == (1011, True)
