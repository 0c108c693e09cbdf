"""What a Gemini Live model accepts: spelling of keys, fields of the setup, rules per model generation.

The service says nothing about what it dislikes: the socket closes with 1007 and one fixed sentence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

INVALID = "Request contains an invalid argument."
VOICES = frozenset(
    [
        "Achernar",
        "Achird",
        "Algenib",
        "Algieba",
        "Alnilam",
        "Aoede",
        "Autonoe",
        "Callirrhoe",
        "Charon",
        "Despina",
        "Enceladus",
        "Erinome",
        "Fenrir",
        "Gacrux",
        "Iapetus",
        "Kore",
        "Laomedeia",
        "Leda",
        "Orus",
        "Pulcherrima",
        "Puck",
        "Rasalgethi",
        "Sadachbia",
        "Sadaltager",
        "Schedar",
        "Sulafat",
        "Umbriel",
        "Vindemiatrix",
        "Zephyr",
        "Zubenelgenubi",
    ]
)
_OPAQUE = {"parameters", "parametersJsonSchema", "response", "responseJsonSchema", "args", "labels"}


class Refused(Exception):
    """The connection ends with this close code and reason."""

    def __init__(self, code: int = 1007, reason: str = INVALID) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Rules:
    """What a generation of models does differently."""

    generation: str
    thinking: str  # "budget", "level", "required" or "none"
    blocking: bool  # the default of function calls
    behaviors: tuple[str, ...]
    content_anytime: bool = True
    seed_ends_with_user: bool = False
    proactive: str = "optional"  # or "unsupported", "always"
    affective: bool = False
    context_update: bool = False
    forgets_seed: bool = False  # until clientContent with turnComplete was sent
    deaf_with_tools: bool = False  # caller input during a pending call closes the socket
    status: bool = False  # tells interactionStatus


_GENERATIONS = (
    (
        "2.5",
        Rules(
            "2.5",
            "budget",
            True,
            ("BLOCKING", "NON_BLOCKING"),
            seed_ends_with_user=True,
            affective=True,
            forgets_seed=True,
            deaf_with_tools=True,
        ),
    ),
    ("3.1", Rules("3.1", "level", True, ("BLOCKING",), content_anytime=False, proactive="unsupported")),
    (
        "extended-thinking",
        Rules("3.8x", "required", False, ("NON_BLOCKING",), proactive="always", context_update=True, status=True),
    ),
)
_LATEST = Rules("3.8", "none", False, ("BLOCKING", "NON_BLOCKING"), proactive="always", context_update=True)

_GENERATION_FIELDS = {
    "responseModalities",
    "temperature",
    "topP",
    "topK",
    "maxOutputTokens",
    "seed",
    "presencePenalty",
    "frequencyPenalty",
    "candidateCount",
    "speechConfig",
    "thinkingConfig",
    "mediaResolution",
    "enableAffectiveDialog",
    "translationConfig",
}
_SETUP_FIELDS = {
    "model",
    "generationConfig",
    "systemInstruction",
    "tools",
    "realtimeInputConfig",
    "inputAudioTranscription",
    "outputAudioTranscription",
    "sessionResumption",
    "contextWindowCompression",
    "proactivity",
    "historyConfig",
    "safetySettings",
    "labels",
    "explicitVadSignal",
}
_VERTEX_ONLY = {"explicitVadSignal"}
_REALTIME_FIELDS = {"automaticActivityDetection", "activityHandling", "turnCoverage"}
_DETECTION_FIELDS = {
    "disabled",
    "startOfSpeechSensitivity",
    "endOfSpeechSensitivity",
    "prefixPaddingMs",
    "silenceDurationMs",
}
_FUNCTION_FIELDS = {
    "name",
    "description",
    "parameters",
    "parametersJsonSchema",
    "response",
    "responseJsonSchema",
    "behavior",
}
TYPES = {"OBJECT", "STRING", "INTEGER", "NUMBER", "BOOLEAN", "ARRAY", "NULL", "TYPE_UNSPECIFIED"}


def rules_for(model: str) -> Rules:
    """By the model's id; unknown ids follow the latest generation."""
    for part, rules in _GENERATIONS:
        if part in model:
            return rules
    return _LATEST


def camel(value: Any) -> Any:
    """Keys in lowerCamelCase, whichever spelling came; what a user defines (schemas, arguments) stays as it is."""
    if isinstance(value, list):
        return [camel(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    out = {}
    for key, entry in value.items():
        name = re.sub(r"_([a-z0-9])", lambda match: match.group(1).upper(), key)
        out[name] = entry if name in _OPAQUE else camel(entry)
    return out


def only(value: Any, known: set[str]) -> dict[str, Any]:
    """A message object with known fields. Raises Refused."""
    if not isinstance(value, dict) or not set(value) <= known:
        raise Refused
    return value


def mapping(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refused
    return value


def entries(value: Any) -> list[dict[str, Any]]:
    """A list of objects; nothing is an empty one. Raises Refused."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise Refused
    return value


def word(value: Any) -> str | None:
    """A text, or nothing. Raises Refused."""
    if value is not None and not isinstance(value, str):
        raise Refused
    return value


def check_setup(setup: Any, vertex: bool) -> Rules:
    """Raises Refused for what this model would not take."""
    only(setup, _SETUP_FIELDS if vertex else _SETUP_FIELDS - _VERTEX_ONLY)
    model = setup.get("model")
    if not isinstance(model, str):
        raise Refused
    prefixes = ("projects/", "publishers/") if vertex else ("models/",)
    if not model.startswith(prefixes):
        raise Refused(1008, not_found(model))
    rules = rules_for(model)
    _check_generation(only(mapping(setup.get("generationConfig")), _GENERATION_FIELDS), rules, vertex)
    config = only(mapping(setup.get("realtimeInputConfig")), _REALTIME_FIELDS)
    only(mapping(config.get("automaticActivityDetection")), _DETECTION_FIELDS)
    proactivity = mapping(setup.get("proactivity"))
    if proactivity and rules.proactive == "unsupported":
        raise Refused
    if proactivity.get("proactiveAudio") is False and rules.proactive == "always":
        raise Refused
    resumption = only(mapping(setup.get("sessionResumption")), {"handle", "transparent"})
    if "transparent" in resumption and not vertex:
        raise Refused
    for tool in entries(setup.get("tools")):
        check_tool(tool, rules)
    return rules


def _check_generation(config: Mapping[str, Any], rules: Rules, vertex: bool) -> None:
    if config.get("responseModalities", ["AUDIO"]) != ["AUDIO"]:
        raise Refused
    thinking = config.get("thinkingConfig")
    if rules.thinking == "none" and thinking is not None and not vertex:
        raise Refused
    level = mapping(thinking).get("thinkingLevel")
    if rules.thinking == "required" and (not isinstance(level, str) or level.upper() not in ("LOW", "MEDIUM", "HIGH")):
        raise Refused
    if rules.thinking == "budget" and level is not None:
        raise Refused
    if rules.thinking == "level" and "thinkingBudget" in mapping(thinking):
        raise Refused
    if "enableAffectiveDialog" in config and not rules.affective:
        raise Refused
    speech = mapping(config.get("speechConfig"))
    voice = word(mapping(mapping(speech.get("voiceConfig")).get("prebuiltVoiceConfig")).get("voiceName"))
    if "multiSpeakerVoiceConfig" in speech or (voice is not None and voice not in VOICES):
        raise Refused


def check_tool(tool: Any, rules: Rules) -> None:
    """One entry of `tools`. Raises Refused."""
    for function in entries(mapping(tool).get("functionDeclarations")):
        only(function, _FUNCTION_FIELDS)
        if not isinstance(function.get("name"), str) or not function["name"]:
            raise Refused
        if word(function.get("behavior", rules.behaviors[0])) not in rules.behaviors:
            raise Refused
        if "parameters" in function:
            _check_schema(function["parameters"])


def _check_schema(schema: Any) -> None:
    """Types are upper-case words here, and JSON Schema's newer keywords are unknown."""
    if not isinstance(schema, dict) or "$ref" in schema or "additionalProperties" in schema:
        raise Refused
    if "type" in schema and word(schema["type"]) not in TYPES:
        raise Refused
    for entry in mapping(schema.get("properties")).values():
        _check_schema(entry)
    if "items" in schema:
        _check_schema(schema["items"])


def not_found(model: str) -> str:
    return f"{model} is not found for API version v1beta, or is not supported for bidiGenerateContent."


def functions_of(tools: Any) -> dict[str, str | None]:
    """Declared functions and their behaviour, as far as declared."""
    declared: dict[str, str | None] = {}
    for tool in entries(tools):
        for function in entries(tool.get("functionDeclarations")):
            declared[function["name"]] = function.get("behavior")
    return declared
