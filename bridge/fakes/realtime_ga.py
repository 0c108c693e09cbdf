"""The session object of the GA dialect (OpenAI, Azure OpenAI): defaults, what an update may say, how it is merged."""

from __future__ import annotations

import copy
from typing import Any

from audio.frame import PCM16_24K, PCMA, PCMU, Format
from bridge.fakes.realtime_checks import (
    MAX_TOKENS,
    SERVER_VAD,
    TOOL_CHOICE,
    TOOLS,
    Check,
    Problem,
    anything,
    between,
    boolean,
    by_type,
    either,
    invalid,
    list_of,
    missing,
    nullable,
    one_of,
    string,
    table,
)

VOICES = ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")
INSTRUCTIONS = "You are a helpful assistant that answers by voice."
FORMAT = by_type(
    {
        "audio/pcm": table({"type": string, "rate": nullable(between(24000, 24000))}),
        "audio/pcmu": table({"type": string}),
        "audio/pcma": table({"type": string}),
    }
)
TURN_DETECTION = by_type(
    {
        "server_vad": table(SERVER_VAD),
        "semantic_vad": table(
            {
                "type": string,
                "eagerness": one_of("low", "medium", "high", "auto"),
                "create_response": boolean,
                "interrupt_response": boolean,
            }
        ),
    }
)
VOICE = either(one_of(*VOICES), table({"id": string}, ("id",)), one_of(*VOICES))
_INPUT = {
    "format": FORMAT,
    "transcription": nullable(
        table(
            {
                "model": string,
                "language": nullable(string),
                "languages": anything,
                "keywords": anything,
                "prompt": nullable(string),
                "delay": anything,
            }
        )
    ),
    "noise_reduction": nullable(table({"type": one_of("near_field", "far_field"), "strength": anything}, ("type",))),
    "turn_detection": nullable(TURN_DETECTION),
}
_OUTPUT = {"format": FORMAT, "voice": VOICE, "speed": between(0.25, 1.5)}
MODALITIES = list_of(one_of("audio", "text"))
TRUNCATION = either(one_of("auto", "disabled"), by_type({"retention_ratio": anything}))
_PROMPT = nullable(table({"id": string, "version": anything, "variables": anything}, ("id",)))
_TRACING = table(dict.fromkeys(("workflow_name", "group_id", "metadata"), anything))
_SESSION: dict[str, Check] = {
    "type": one_of("realtime", "transcription"),
    "object": anything,
    "id": anything,
    "model": string,
    "expires_at": anything,
    "output_modalities": MODALITIES,
    "instructions": string,
    "tools": TOOLS,
    "tool_choice": TOOL_CHOICE,
    "max_output_tokens": MAX_TOKENS,
    "truncation": TRUNCATION,
    "tracing": nullable(either(one_of("auto"), _TRACING)),
    "prompt": _PROMPT,
    "include": nullable(list_of(one_of("item.input_audio_transcription.logprobs"))),
    "audio": table({"input": table(_INPUT), "output": table(_OUTPUT)}),
}
_REASONING: dict[str, Check] = {
    "reasoning": nullable(table({"effort": one_of("minimal", "low", "medium", "high", "xhigh")})),
    "parallel_tool_calls": boolean,
}
_RESPONSE: dict[str, Check] = {
    "conversation": one_of("auto", "none"),
    "input": list_of(anything),
    "instructions": string,
    "output_modalities": MODALITIES,
    "audio": table({"output": table({"format": FORMAT, "voice": VOICE})}),
    "tools": TOOLS,
    "tool_choice": TOOL_CHOICE,
    "max_output_tokens": MAX_TOKENS,
    "metadata": nullable(anything),
    "prompt": _PROMPT,
}
_VAD_DEFAULTS = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 200,
    "idle_timeout_ms": None,
    "create_response": True,
    "interrupt_response": True,
}
_SEMANTIC_DEFAULTS = {
    "type": "semantic_vad",
    "eagerness": "auto",
    "create_response": True,
    "interrupt_response": True,
}


def new_session(session_id: str, model: str, expires_at: int) -> dict[str, Any]:
    """The session as `session.created` shows it."""
    return {
        "type": "realtime",
        "object": "realtime.session",
        "id": session_id,
        "model": model,
        "output_modalities": ["audio"],
        "instructions": INSTRUCTIONS,
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "expires_at": expires_at,
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": dict(_VAD_DEFAULTS),
            },
            "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "alloy", "speed": 1.0},
        },
        "include": None,
    }


def _known(model: str) -> dict[str, Check]:
    return {**_SESSION, **_REASONING} if model.startswith("gpt-realtime-2") else _SESSION


def check_modalities(value: Any, param: str) -> None:
    if value is not None and sorted(value) not in (["audio"], ["text"]):
        raise invalid(param, "either ['audio'] or ['text']")


def update(session: dict[str, Any], patch: Any, audio_sent: bool, replying: bool) -> dict[str, Any]:
    """The session after `session.update`; raises Problem and then nothing of the update counts."""
    if not isinstance(patch, dict):
        raise missing("session")
    if "type" not in patch:
        raise missing("session.type")
    table(_known(session["model"]))(patch, "session")
    if patch["type"] != session["type"]:
        raise invalid("session.type", "the type of a session cannot be changed")
    if patch.get("model", session["model"]) != session["model"]:
        raise invalid("session.model", "the model of a session cannot be changed")
    check_modalities(patch.get("output_modalities"), "session.output_modalities")
    after = copy.deepcopy(session)
    given = patch.get("audio", {})
    _merge_input(after["audio"]["input"], given.get("input", {}))
    output = given.get("output", {})
    voice = output.get("voice", after["audio"]["output"]["voice"])
    if audio_sent and voice != after["audio"]["output"]["voice"]:
        raise Problem("cannot_update_voice", "Cannot update a conversation's voice if assistant audio is present.")
    if replying and output.get("speed", after["audio"]["output"]["speed"]) != after["audio"]["output"]["speed"]:
        raise invalid("session.audio.output.speed", "it can only be changed between turns")
    after["audio"]["output"].update(output)
    for name, value in patch.items():
        if name == "tools":
            after[name] = [ordered_tool(tool) for tool in value]
        elif name not in ("audio", "id", "object", "expires_at"):
            after[name] = value
    for side in ("input", "output"):
        after["audio"][side]["format"] = whole_format(after["audio"][side]["format"])
    return after


def _merge_input(after: dict[str, Any], given: dict[str, Any]) -> None:
    for name, value in given.items():
        if name == "transcription" and value is not None:
            after[name] = {"model": None, "language": None, "prompt": None, **(after[name] or {}), **value}
        elif name == "turn_detection" and value is not None:
            defaults = _VAD_DEFAULTS if value["type"] == "server_vad" else _SEMANTIC_DEFAULTS
            same = after[name] is not None and after[name]["type"] == value["type"]
            after[name] = {**defaults, **(after[name] if same else {}), **value}
        else:
            after[name] = value


def ordered_tool(tool: dict[str, Any]) -> dict[str, Any]:
    """A function tool with its keys as the service returns them."""
    if tool.get("type") != "function":
        return dict(tool)
    return {
        "type": "function",
        "name": tool["name"],
        "description": tool.get("description"),
        "parameters": tool.get("parameters"),
    }


def whole_format(given: dict[str, Any]) -> dict[str, Any]:
    return {"type": "audio/pcm", "rate": 24000} if given["type"] == "audio/pcm" else {"type": given["type"]}


def format_of(given: dict[str, Any]) -> Format:
    """Our name for a wire format."""
    return {"audio/pcm": PCM16_24K, "audio/pcmu": PCMU, "audio/pcma": PCMA}[given["type"]]


def check_response(patch: Any, model: str) -> dict[str, Any]:
    """The `response` of response.create, checked. Raises Problem."""
    if patch is None:
        return {}
    known = {**_RESPONSE, **_REASONING} if model.startswith("gpt-realtime-2") else _RESPONSE
    table(known)(patch, "response")
    check_modalities(patch.get("output_modalities"), "response.output_modalities")
    metadata = patch.get("metadata")
    if metadata is not None:
        if not isinstance(metadata, dict) or len(metadata) > 16:
            raise invalid("response.metadata", "an object of at most 16 pairs")
        for key, value in metadata.items():
            if len(key) > 64 or not isinstance(value, str) or len(value) > 512:
                raise invalid(f"response.metadata.{key}", "keys have at most 64, values at most 512 characters")
    return dict(patch)
