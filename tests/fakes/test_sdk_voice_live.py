"""The vendor's own client against the emulated Voice Live: `azure-ai-voicelive`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from audio.frame import PCM16_16K, PCM16_24K
from bridge.fakes import start
from bridge.fakes.speech import answered
from tests.fakes.client import Json, b64, numbered
from tests.fakes.real import real

voicelive = pytest.importorskip("azure.ai.voicelive.aio")
from azure.ai.voicelive import models  # noqa: E402
from azure.core.credentials import AzureKeyCredential  # noqa: E402

LACKING = ("rate_limits.updated", "conversation.item.done")
REPLY: Json = {"seconds": 3, "first_audio_ms": 5, "pace": 60}


@asynccontextmanager
async def session(script: Json | None = None) -> AsyncIterator[Any]:
    running = await start("azure", script={"reply": REPLY, **(script or {})})
    endpoint = f"http://127.0.0.1:{running.port}"
    try:
        async with voicelive.connect(
            endpoint=endpoint, credential=AzureKeyCredential("k"), model="gpt-realtime-2.1"
        ) as connection:
            yield connection
    finally:
        await running.close()


async def configure(connection: Any, **more: Any) -> None:
    body = {
        "modalities": ["text", "audio"],
        "input_audio_format": "pcm16",
        "output_audio_format": "pcm16",
        "turn_detection": None,
        "input_audio_transcription": {"model": "whisper-1"},
    }
    await connection.session.update(session={**body, **more})


async def turn(connection: Any, n: int, name: str = "opening_hours", format: Any = PCM16_24K) -> None:
    data = numbered(n, name, format)
    for at in range(0, len(data), 9600):
        await connection.input_audio_buffer.append(audio=b64(data[at : at + 9600]))
    await connection.input_audio_buffer.commit()
    await connection.response.create()


async def until(connection: Any, kind: str) -> list[Any]:
    events = []
    async for event in connection:
        events.append(event)
        if event.type == kind:
            return events
    raise AssertionError(f"ended before {kind}: {[event.type for event in events]}")


def known(events: list[Any]) -> None:
    """The SDK has a model of its own for every event but those that the service sends and the SDK lacks."""
    for event in events:
        assert type(event) is not models.ServerEvent or event.type in LACKING, event


@real
async def test_an_audio_turn() -> None:
    async with session() as connection:
        await configure(connection, input_audio_sampling_rate=16000)
        await turn(connection, 63, format=PCM16_16K)
        events = await until(connection, "response.done")
        known(events)
        response = events[-1].response
        assert (response.status, response.output[0].content[0].type) == ("completed", "audio")
        assert answered(response.output[0].content[0].transcript) == [63]
        audio = b"".join(event.delta for event in events if event.type == "response.audio.delta")
        assert 2.5 < len(audio) / 48000 < 5


@real
async def test_a_round_with_a_tool() -> None:
    tool = {"type": "function", "name": "lookup", "description": "Looks up.", "parameters": {"type": "object"}}
    async with session({"tools": [{"turn": 1, "name": "lookup", "arguments": {"id": 4}}]}) as connection:
        await configure(connection, tools=[tool])
        await turn(connection, 64)
        events = await until(connection, "response.done")
        known(events)
        (call,) = events[-1].response.output
        assert (call.type, call.name, call.arguments) == ("function_call", "lookup", '{"id":4}')
        output = models.FunctionCallOutputItem(call_id=call.call_id, output='{"days": 3}')
        await connection.conversation.item.create(item=output)
        await connection.response.create()
        events = await until(connection, "response.done")
        known(events)
        assert "The result is three." in events[-1].response.output[0].content[0].transcript


@real
async def test_a_barge_in() -> None:
    async with session({"reply": {**REPLY, "seconds": 20, "pace": 5}}) as connection:
        await configure(connection)
        await turn(connection, 65)
        await until(connection, "response.audio.delta")
        await connection.response.cancel()
        events = await until(connection, "response.done")
        known(events)
        assert events[-1].response.status == "cancelled"
        item = events[-1].response.output[0].id
        await connection.conversation.item.truncate(item_id=item, content_index=0, audio_end_ms=20)
        events = await until(connection, "conversation.item.truncated")
        assert events[-1].audio_end_ms == 20


@real
async def test_errors_and_warnings() -> None:
    rules = [
        {"when": {"phase": "configured"}, "do": {"warning": {"code": "c", "message": "careful"}}},
        {"when": {"phase": "asked"}, "do": {"fail": "rate_limit"}},
    ]
    async with session({"rules": rules}) as connection:
        await connection.response.cancel()
        events = await until(connection, "error")
        assert events[-1].error.code == "response_cancel_not_active"
        await configure(connection)
        events = await until(connection, "warning")
        known(events)
        assert events[-1].warning.message == "careful"
        await turn(connection, 67)
        events = await until(connection, "response.done")
        known(events)
        assert events[-1].response.status == "failed"
        assert events[-1].response.status_details.error["code"] == "inference_rate_limit_exceeded"


@real
async def test_closes_and_refusals() -> None:
    rules = [{"when": {"phase": "configured"}, "do": {"close": {"code": 1011, "reason": "internal"}}}]
    async with session({"rules": rules}) as connection:
        await configure(connection)
        with pytest.raises(voicelive.ConnectionClosed) as closed:
            while True:
                await connection.recv()
        assert closed.value.code == 1011
    with pytest.raises(voicelive.ConnectionError) as raised:
        async with session({"api_key": "other"}):
            pass
    assert getattr(raised.value.__cause__, "status", None) == 401
