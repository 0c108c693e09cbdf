"""The flat session object of Azure Voice Live: defaults, what an update may say, how it is merged."""

from __future__ import annotations

import copy
from typing import Any

from audio.frame import PCM16_8K, PCM16_16K, PCM16_24K, PCMA, PCMU, Format
from bridge.fakes.realtime_checks import (
    MAX_TOKENS,
    SERVER_VAD,
    TOOL_CHOICE,
    TOOLS,
    Check,
    anything,
    between,
    boolean,
    by_type,
    either,
    invalid,
    list_of,
    missing,
    nullable,
    obj,
    one_of,
    string,
    table,
)

INSTRUCTIONS = "You are a helpful assistant that answers by voice."
INPUT_FORMATS = {"pcm16": PCM16_24K, "g711_ulaw": PCMU, "g711_alaw": PCMA}
OUTPUT_FORMATS = {
    "pcm16": PCM16_24K,
    "pcm16_16000hz": PCM16_16K,
    "pcm16-16000hz": PCM16_16K,
    "pcm16_8000hz": PCM16_8K,
    "pcm16-8000hz": PCM16_8K,
    "g711_ulaw": PCMU,
    "g711_alaw": PCMA,
}
_RATES = {8000: PCM16_8K, 16000: PCM16_16K, 24000: PCM16_24K}
_VOICE_FIELDS = (
    "type",
    "name",
    "temperature",
    "rate",
    "pitch",
    "volume",
    "style",
    "locale",
    "prefer_locales",
    "custom_lexicon_url",
    "custom_text_normalization_url",
    "endpoint_id",
    "model",
)
_VOICE_TYPES = (
    "openai",
    "azure-standard",
    "azure-custom",
    "azure-personal",
    "azure-realtime-native",
    "avatar-voice-sync",
)
_VOICE_TABLE = table(dict.fromkeys(_VOICE_FIELDS, anything), ("name",))
VOICE = either(string, by_type(dict.fromkeys(_VOICE_TYPES, _VOICE_TABLE)))
_VAD_FIELDS: dict[str, Check] = {
    **SERVER_VAD,
    "auto_truncate": nullable(boolean),
    "end_of_utterance_detection": nullable(obj),
    "speech_duration_ms": nullable(between(0, 60_000)),
    "remove_filler_words": nullable(boolean),
    "languages": anything,
    "appended_text_after_truncation": anything,
    "eagerness": anything,
}
_VADS = (
    "server_vad",
    "azure_semantic_vad",
    "azure_semantic_vad_en",
    "azure_semantic_vad_multilingual",
    "semantic_vad",
)
MODALITIES = list_of(one_of("text", "audio", "animation", "avatar"))
_TRANSCRIPTION_FIELDS = ("model", "language", "prompt", "custom_speech", "phrase_list")
_SESSION: dict[str, Check] = {
    "id": anything,
    "object": anything,
    "expires_at": anything,
    "model": string,
    "modalities": MODALITIES,
    "instructions": string,
    "voice": VOICE,
    "input_audio_format": one_of(*INPUT_FORMATS),
    "input_audio_sampling_rate": nullable(either(between(8000, 24000))),
    "output_audio_format": nullable(one_of(*OUTPUT_FORMATS)),
    "input_audio_noise_reduction": nullable(
        by_type(dict.fromkeys(("azure_deep_noise_suppression", "near_field", "far_field"), anything))
    ),
    "input_audio_echo_cancellation": nullable(by_type({"server_echo_cancellation": anything})),
    "input_audio_transcription": nullable(table(dict.fromkeys(_TRANSCRIPTION_FIELDS, anything), ("model",))),
    "turn_detection": nullable(by_type(dict.fromkeys(_VADS, table(_VAD_FIELDS)))),
    "tools": TOOLS,
    "tool_choice": TOOL_CHOICE,
    "temperature": nullable(between(0, 2)),
    "max_response_output_tokens": MAX_TOKENS,
    "output_audio_timestamp_types": nullable(list_of(one_of("word"))),
    "animation": nullable(obj),
    "avatar": nullable(obj),
    "interim_response": nullable(obj),
    "include": nullable(list_of(string)),
    "reasoning_effort": anything,
    "parallel_tool_calls": nullable(boolean),
    "metadata": nullable(obj),
    "truncation_strategy": anything,
}
_RESPONSE: dict[str, Check] = {
    "modalities": MODALITIES,
    "voice": VOICE,
    "output_audio_format": one_of(*OUTPUT_FORMATS),
    "temperature": nullable(between(0, 2)),
    "max_output_tokens": MAX_TOKENS,
    "tools": TOOLS,
    "tool_choice": TOOL_CHOICE,
    "instructions": string,
    "metadata": nullable(obj),
    "commit": boolean,
    "cancel_previous": boolean,
    "append_input_items": list_of(obj),
    "input_items": list_of(obj),
    "pre_generated_assistant_message": nullable(obj),
    "interim_response": nullable(obj),
    "reasoning_effort": anything,
    "invoke_input": anything,
}
_VAD_EXTRAS = {
    "create_response": True,
    "interrupt_response": True,
    "idle_timeout_ms": None,
    "speech_duration_ms": None,
    "end_of_utterance_detection": None,
    "auto_truncate": False,
    "appended_text_after_truncation": None,
}


def _vad(kind: str, prefix_ms: int, silence_ms: int) -> dict[str, Any]:
    times = {"threshold": 0.5, "prefix_padding_ms": prefix_ms, "silence_duration_ms": silence_ms}
    return {"type": kind, **times, **_VAD_EXTRAS}


def new_session(session_id: str, model: str, expires_at: int) -> dict[str, Any]:
    """The session as `session.created` shows it (defaults of a recorded one)."""
    return {
        "id": session_id,
        "model": model,
        "modalities": ["audio"],
        "instructions": INSTRUCTIONS,
        "voice": {"name": "alloy", "type": "openai"},
        "input_audio_format": "pcm16",
        "output_audio_format": None,
        "input_audio_transcription": None,
        "input_audio_noise_reduction": None,
        "turn_detection": _vad("server_vad", 300, 200),
        "tools": [],
        "tool_choice": "auto",
        "max_response_output_tokens": "inf",
        "expires_at": expires_at,
        "object": "realtime.session",
        "input_audio_sampling_rate": 24000,
        "animation": None,
        "input_audio_echo_cancellation": None,
        "avatar": None,
        "output_audio_timestamp_types": None,
        "truncation_strategy": None,
        "include": None,
    }


def update(session: dict[str, Any], patch: Any, audio_sent: bool, replying: bool) -> dict[str, Any]:
    """The session after `session.update`; raises Problem and then nothing of the update counts."""
    if not isinstance(patch, dict):
        raise missing("session")
    table(_SESSION)(patch, "session")
    if patch.get("model", session["model"]) != session["model"]:
        raise invalid("session.model", "the model of a session cannot be changed")
    after = copy.deepcopy(session)
    for name, value in patch.items():
        after[name] = _merged(name, value, after.get(name))
    rate = after["input_audio_sampling_rate"] or 24000
    if after["input_audio_format"] == "pcm16":
        if rate not in _RATES:
            raise invalid("session.input_audio_sampling_rate", "8000, 16000 or 24000")
    elif "input_audio_sampling_rate" in patch and rate != 8000:
        raise invalid("session.input_audio_sampling_rate", "8000 with G.711")
    return after


def _merged(name: str, value: Any, old: Any) -> Any:
    if name == "tools":
        order = ("name", "description", "type", "parameters")
        return [{key: tool.get(key) for key in order} if tool["type"] == "function" else tool for tool in value]
    if name == "voice" and isinstance(value, str):
        return {"name": value, "type": "openai"}
    if name == "input_audio_transcription" and value is not None:
        return {**dict.fromkeys(_TRANSCRIPTION_FIELDS), **value}
    if name == "turn_detection" and value is not None:
        prefix = 400 if value["type"] == "server_vad" else 420
        return {**_vad(value["type"], prefix, 500), **value}
    if name in ("id", "object", "expires_at"):
        return old
    return value


def input_format(session: dict[str, Any]) -> Format:
    kind = session["input_audio_format"]
    return _RATES[session["input_audio_sampling_rate"] or 24000] if kind == "pcm16" else INPUT_FORMATS[kind]


def check_response(patch: Any) -> dict[str, Any]:
    """The `response` of response.create, checked. Raises Problem."""
    if patch is None:
        return {}
    table(_RESPONSE)(patch, "response")
    return dict(patch)
