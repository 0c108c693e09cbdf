"""The vendor's own client against the emulated OpenAI Realtime (and Azure OpenAI): `openai`, AsyncOpenAI."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, get_args

import pytest
import websockets.exceptions

from audio.frame import PCM16_24K
from bridge.fakes import start
from bridge.fakes.speech import answered
from tests.fakes.client import Json, b64, numbered
from tests.fakes.real import real

openai = pytest.importorskip("openai")
REPLY: Json = {"seconds": 3, "first_audio_ms": 5, "pace": 60}


@asynccontextmanager
async def session(
    script: Json | None = None, kind: str = "openai", model: str = "gpt-realtime-2.1"
) -> AsyncIterator[Any]:
    running = await start(kind, script={"reply": REPLY, **(script or {})})  # type: ignore[arg-type]
    base = f"http://127.0.0.1:{running.port}{'/v1' if kind == 'openai' else '/openai/v1'}"
    client = openai.AsyncOpenAI(api_key="sk-test", base_url=base)
    try:
        async with client.realtime.connect(model=model) as connection:
            yield connection
    finally:
        await client.close()
        await running.close()


async def configure(connection: Any, **more: Any) -> None:
    audio = {"input": {"turn_detection": None, "transcription": {"model": "gpt-transcribe"}}}
    await connection.session.update(session={"type": "realtime", "instructions": "Be brief.", "audio": audio, **more})


async def turn(connection: Any, n: int, name: str = "opening_hours") -> None:
    data = numbered(n, name, PCM16_24K)
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


def typed(events: list[Any]) -> None:
    """The SDK found its own model for every event and its fields."""
    for event in events:
        assert get_args(type(event).model_fields["type"].annotation) == (event.type,), event
        type(event).model_validate(event.model_dump())


@pytest.mark.parametrize("kind", ["openai", "azure-openai"])
@real
async def test_an_audio_turn(kind: str) -> None:
    async with session(kind=kind) as connection:
        await configure(connection)
        await turn(connection, 63)
        events = await until(connection, "response.done")
        typed(events)
        response = events[-1].response
        assert (response.status, response.output[0].content[0].type) == ("completed", "output_audio")
        assert answered(response.output[0].content[0].transcript) == [63]
        assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
        audio = b"".join(
            base64.b64decode(event.delta) for event in events if event.type == "response.output_audio.delta"
        )
        assert 2.5 < len(audio) / 48000 < 5
        words = "".join(event.delta for event in events if event.type == "response.output_audio_transcript.delta")
        assert words == response.output[0].content[0].transcript


@real
async def test_a_round_with_a_tool() -> None:
    tool = {"type": "function", "name": "lookup", "description": "Looks up.", "parameters": {"type": "object"}}
    async with session({"tools": [{"turn": 1, "name": "lookup", "arguments": {"id": 4}}]}) as connection:
        await configure(connection, tools=[tool])
        await turn(connection, 64)
        events = await until(connection, "response.done")
        typed(events)
        (call,) = events[-1].response.output
        done = next(event for event in events if event.type == "response.function_call_arguments.done")
        assert (call.type, call.name, call.arguments, done.name) == ("function_call", "lookup", '{"id":4}', "lookup")
        output = {"type": "function_call_output", "call_id": call.call_id, "output": '{"days": 3}'}
        await connection.conversation.item.create(item=output)
        await connection.response.create()
        events = await until(connection, "response.done")
        typed(events)
        assert "The result is three." in events[-1].response.output[0].content[0].transcript


@real
async def test_a_barge_in() -> None:
    async with session({"reply": {**REPLY, "seconds": 10, "pace": 10}}) as connection:
        await configure(connection)
        await turn(connection, 65)
        first = await until(connection, "response.output_audio.delta")
        typed(first)
        await connection.response.cancel()
        events = await until(connection, "response.done")
        typed(events)
        response = events[-1].response
        assert (response.status, response.status_details.reason) == ("cancelled", "client_cancelled")
        item = response.output[0].id
        await connection.conversation.item.truncate(item_id=item, content_index=0, audio_end_ms=20)
        events = await until(connection, "conversation.item.truncated")
        assert events[-1].item_id == item
        await turn(connection, 66, "table")
        events = await until(connection, "response.done")
        assert answered(events[-1].response.output[0].content[0].transcript)[-1] == 66


@real
async def test_errors() -> None:
    failing = {"when": {"phase": "asked", "turn": 1}, "do": {"fail": "rate_limit"}}
    async with session({"rules": [failing]}) as connection:
        await connection.session.update(session={"type": "realtime", "voice": "alloy"})
        events = await until(connection, "error")
        typed(events)
        assert (events[-1].error.code, events[-1].error.param) == ("unknown_parameter", "session.voice")
        await connection.response.cancel(event_id="mine")
        events = await until(connection, "error")
        assert (events[-1].error.code, events[-1].error.event_id) == ("response_cancel_not_active", "mine")
        await configure(connection)
        await turn(connection, 67)
        events = await until(connection, "response.done")
        typed(events)
        assert events[-1].response.status == "failed"
        assert events[-1].response.status_details.error.code == "rate_limit_exceeded"


@real
async def test_seeded_history_and_items() -> None:
    async with session() as connection:
        await configure(connection)
        parts = [("system", "input_text"), ("user", "input_text"), ("assistant", "output_text")]
        for role, kind in parts:
            content = [{"type": kind, "text": "Number 3."}]
            await connection.conversation.item.create(item={"type": "message", "role": role, "content": content})
            typed(await until(connection, "conversation.item.done"))
        await turn(connection, 68)
        events = await until(connection, "response.done")
        assert answered(events[-1].response.output[0].content[0].transcript) == [68]
        item = next(event for event in events if event.type == "input_audio_buffer.committed").item_id
        await connection.conversation.item.retrieve(item_id=item)
        events = await until(connection, "conversation.item.retrieved")
        assert len(base64.b64decode(events[-1].item.content[0].audio)) > 48000


@real
async def test_a_wrong_key_is_told_after_the_upgrade() -> None:
    async with session({"api_key": "sk-other"}) as connection:
        event = await connection.recv()
        assert (event.type, event.error.code) == ("error", "invalid_api_key")
        with pytest.raises(websockets.exceptions.ConnectionClosedError) as raised:
            await connection.recv()
        assert raised.value.rcvd is not None
        assert (raised.value.rcvd.code, raised.value.rcvd.reason) == (3000, "invalid_request_error.invalid_api_key")


@real
async def test_refused_at_the_upgrade() -> None:
    do = {"http": {"status": 429, "headers": {"Retry-After": "9"}, "body": "{}"}}
    with pytest.raises(websockets.exceptions.InvalidStatus) as raised:
        async with session({"rules": [{"when": {"phase": "upgrade"}, "do": do}]}):
            pass
    assert (raised.value.response.status_code, raised.value.response.headers["Retry-After"]) == (429, "9")


@real
async def test_a_reset_mid_reply() -> None:
    async with session(
        {"rules": [{"when": {"phase": "reply", "after_deltas": 3}, "do": {"reset": True}}]}
    ) as connection:
        await configure(connection)
        await turn(connection, 69)
        with pytest.raises(websockets.exceptions.ConnectionClosedError, match="no close frame"):
            await until(connection, "response.done")


@real
async def test_server_side_turn_detection() -> None:
    async with session() as connection:
        vad = {"type": "server_vad", "silence_duration_ms": 700}
        await connection.session.update(session={"type": "realtime", "audio": {"input": {"turn_detection": vad}}})
        data = bytes(48000) + numbered(70) + bytes(48000)
        for at in range(0, len(data), 9600):
            await connection.input_audio_buffer.append(audio=b64(data[at : at + 9600]))
        events = await until(connection, "response.done")
        typed(events)
        assert "input_audio_buffer.speech_started" in [event.type for event in events]
        assert answered(events[-1].response.output[0].content[0].transcript) == [70]
