"""What differs between the cousins of the OpenAI Realtime protocol: names of events, the shape of a session, items.

GA (OpenAI, Azure OpenAI) has nested audio settings and `output_…` names; Voice Live kept the flat names of the beta
and adds its own; xAI answers with GA names and takes a session without type and modalities.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from audio.frame import Format
from providers.base import HistoryItem, Session, Speech, Text, ToolSpec, ToolUse
from providers.wire import Json, base64_of


@dataclass(frozen=True, slots=True)
class Setup:
    """What a session is configured with beside `Session`."""

    input: Format
    output: Format
    transcription: str
    voice_type: str = ""  # Voice Live: the type of all voices, where the name does not tell
    word_timings: bool = False


@dataclass(frozen=True, slots=True)
class Dialect:
    """One cousin. `audio`, `transcript`, `text` are the prefixes of its reply events, `item_added` the event that
    acknowledges an item. `asks_by_name`: a response echoes the metadata of its request, and is cancelled by id."""

    audio: str
    transcript: str
    text: str
    item_added: str
    assistant_text: str
    session: Callable[[Session, Setup], Json]
    reply: Json
    asks_by_name: bool = True


def _tool(tool: ToolSpec) -> Json:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }


def _turn_detection(session: Session) -> Json | None:
    if session.manual_turns:
        return None
    return {"type": "server_vad", "create_response": True, "interrupt_response": True}


def _audio_format(format: Format) -> Json:
    if format.encoding == "pcm16":
        return {"type": "audio/pcm", "rate": format.rate}
    return {"type": f"audio/{format.encoding}"}


def _transcription(session: Session, model: str) -> Json | None:
    """OpenAI wants the bare language ("en"), never a region."""
    if not session.transcribe:
        return None
    language = session.language.partition("-")[0].lower()
    return {"model": model, "language": language} if language else {"model": model}


def _nested_audio(session: Session, setup: Setup) -> Json:
    return {
        "input": {
            "format": _audio_format(setup.input),
            "transcription": _transcription(session, setup.transcription),
        },
        "output": {"format": _audio_format(setup.output)},
    }


def _ga_session(session: Session, setup: Setup) -> Json:
    audio = _nested_audio(session, setup)
    audio["input"]["turn_detection"] = _turn_detection(session)
    if session.voice:
        audio["output"]["voice"] = session.voice
    return {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": session.instructions,
        "audio": audio,
        "tools": [_tool(tool) for tool in session.tools],
        "tool_choice": "auto",
    }


_FLAT_FORMATS = {"pcm16": "pcm16", "pcmu": "g711_ulaw", "pcma": "g711_alaw"}


def _voice_live_session(session: Session, setup: Setup) -> Json:
    body: Json = {
        "modalities": ["text", "audio"],
        "instructions": session.instructions,
        "input_audio_format": _FLAT_FORMATS[setup.input.encoding],
        "input_audio_sampling_rate": setup.input.rate,
        "output_audio_format": _FLAT_FORMATS[setup.output.encoding],
        "turn_detection": _turn_detection(session),
        "input_audio_transcription": _flat_transcription(session, setup.transcription),
        "tools": [_tool(tool) for tool in session.tools],
        "tool_choice": "auto",
    }
    if session.voice:
        # Names of Azure voices carry their locale ("en-US-Ava:DragonHDLatestNeural"), those of OpenAI's do not.
        type_ = setup.voice_type or ("azure-standard" if "-" in session.voice else "openai")
        body["voice"] = {"type": type_, "name": session.voice}
    if setup.word_timings:
        body["output_audio_timestamp_types"] = ["word"]
    return body


def _flat_transcription(session: Session, model: str) -> Json | None:
    """Azure's own recogniser takes a locale, the OpenAI models behind Voice Live the bare language."""
    if model.startswith(("azure", "mai")) and session.transcribe and session.language:
        return {"model": model, "language": session.language}
    return _transcription(session, model)


def _xai_session(session: Session, setup: Setup) -> Json:
    body: Json = {
        "instructions": session.instructions,
        "turn_detection": _turn_detection(session),
        "audio": _nested_audio(session, setup),
        "tools": [_tool(tool) for tool in session.tools],
    }
    if session.voice:
        body["voice"] = session.voice
    return body


GA = Dialect(
    audio="response.output_audio",
    transcript="response.output_audio_transcript",
    text="response.output_text",
    item_added="conversation.item.added",
    assistant_text="output_text",
    session=_ga_session,
    reply={"output_modalities": ["audio"]},  # long text histories tempt models into answering in text
)

VOICE_LIVE = Dialect(
    audio="response.audio",
    transcript="response.audio_transcript",
    text="response.text",
    item_added="conversation.item.created",
    assistant_text="text",
    session=_voice_live_session,
    reply={"modalities": ["text", "audio"]},
)

XAI = Dialect(
    audio=GA.audio,
    transcript=GA.transcript,
    text=GA.text,
    item_added=GA.item_added,
    assistant_text="text",
    session=_xai_session,
    reply={},
    asks_by_name=False,
)


def history_items(item: HistoryItem, dialect: Dialect, name: str) -> list[Json]:
    """The conversation items of a history item, with ids starting with `name`. Empty texts give none: servers refuse
    them."""
    if isinstance(item, Speech):
        content: Json = {"type": "input_audio", "audio": base64_of(item.data)}
        return [_message(name, "user", content)] if item.data else []
    if isinstance(item, ToolUse):
        call_id = item.call_id[-32:]  # longer ids are refused
        call = {"id": f"{name}c", "type": "function_call", "call_id": call_id, "name": item.name}
        output = {"id": f"{name}o", "type": "function_call_output", "call_id": call_id, "output": item.output}
        return [{**call, "arguments": item.arguments}, output]
    assert isinstance(item, Text)
    type_ = dialect.assistant_text if item.role == "assistant" else "input_text"
    return [_message(name, item.role, {"type": type_, "text": item.text})] if item.text.strip() else []


def _message(id: str, role: str, content: Json) -> dict[str, Any]:
    return {"id": id, "type": "message", "role": role, "content": [content]}
