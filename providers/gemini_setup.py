"""What a Gemini Live session is told before it starts: address, setup, tools in its schema dialect, seeded turns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from providers.address import option, websocket_url, with_headers
from providers.base import HistoryItem, Session, Speech, Text, ToolSpec, ToolUse
from providers.codec import Dial, Target
from providers.models import Model
from providers.wire import Json

OPTIONS = frozenset({"api", "api_version", "project", "location", "auth", "thinking_level", "capabilities"})
# Without compression a session is over after 15 minutes of audio, and every turn bills the whole context.
_COMPRESSION = {"triggerTokens": "25000", "slidingWindow": {"targetTokens": "8000"}}


def is_vertex(target: Target) -> bool:
    """Raises ValueError when `options.api` is neither."""
    return option(target, "api", "developer", ("developer", "vertex")) == "vertex"


def dial_for(target: Target) -> Dial:
    """Raises ValueError for an address or an option that cannot be used. Keys go into headers: in the query, where the
    service takes them as well, they leak into logs."""
    if is_vertex(target):
        return _dial_vertex(target)
    version = option(target, "api_version", "v1beta")
    # A token made for one session has its own method and its own kind of authorization.
    ephemeral = target.api_key.startswith("auth_tokens/")
    method = "BidiGenerateContentConstrained" if ephemeral else "BidiGenerateContent"
    url = websocket_url(
        target,
        f"/ws/google.ai.generativelanguage.{version}.GenerativeService.{method}",
        default="wss://generativelanguage.googleapis.com",
    )
    own = {"Authorization": f"Token {target.api_key}"} if ephemeral else {"x-goog-api-key": target.api_key}
    return Dial(url, with_headers(target, own if target.api_key else {}))


def _dial_vertex(target: Target) -> Dial:
    version = option(target, "api_version", "v1beta1")
    location = option(target, "location", "global")
    if location == "global":
        host = "aiplatform.googleapis.com"
    elif location in ("us", "eu"):
        host = f"aiplatform.{location}.rep.googleapis.com"
    else:
        host = f"{location}-aiplatform.googleapis.com"
    path = f"/ws/google.cloud.aiplatform.{version}.LlmBidiService/BidiGenerateContent"
    url = websocket_url(target, path, default=f"wss://{host}")
    bearer = option(target, "auth", "bearer", ("bearer", "api-key")) == "bearer"
    own = {"Authorization": f"Bearer {target.api_key}"} if bearer else {"x-goog-api-key": target.api_key}
    return Dial(url, with_headers(target, own if target.api_key else {}))


def model_path(target: Target) -> str:
    """The model as the service wants it named. Raises ValueError when Vertex lacks the project."""
    model = target.model
    if not is_vertex(target):
        return model if model.startswith("models/") else f"models/{model}"
    if "/" in model:
        return model
    if option(target, "auth", "bearer") == "api-key":
        return f"publishers/google/models/{model}"
    project = option(target, "project")
    if not project:
        raise ValueError(f"provider {target.name}: Vertex needs options.project")
    return f"projects/{project}/locations/{option(target, 'location', 'global')}/publishers/google/models/{model}"


def setup_message(session: Session, target: Target, model: Model) -> Json:
    """The first message of a session. What a model does not know closes the socket, hence the traits."""
    generation: Json = {"responseModalities": ["AUDIO"]}
    if session.voice:
        generation["speechConfig"] = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": session.voice}}}
    thinking = option(target, "thinking_level", str(model.traits["thinking"]))
    if thinking:
        generation["thinkingConfig"] = {"thinkingLevel": thinking.upper()}
    setup: Json = {
        "model": model_path(target),
        "generationConfig": generation,
        "systemInstruction": {"role": "user", "parts": [{"text": _instructions(session)}]},
        "outputAudioTranscription": {},
        "contextWindowCompression": _COMPRESSION,
    }
    if session.transcribe:
        setup["inputAudioTranscription"] = {}
    if session.manual_turns:
        setup["realtimeInputConfig"] = {"automaticActivityDetection": {"disabled": True}}
    if session.tools:
        declare = model.traits["tools"] == "declare"
        setup["tools"] = [{"functionDeclarations": [_declaration(tool, declare) for tool in session.tools]}]
    if model.traits["history"] == "initial" and not is_vertex(target):
        setup["historyConfig"] = {"initialHistoryInClientContent": True}
    return {"setup": setup}


def _instructions(session: Session) -> str:
    """Native-audio models choose the language themselves; only the instructions move them."""
    if not session.language:
        return session.instructions
    return f"{session.instructions}\n\nThe caller's language is {session.language}.".strip()


# ---------------------------------------------------------------------------------------------------------------- tools

_KEPT_AS_THEY_ARE = (
    "description",
    "format",
    "enum",
    "required",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "pattern",
)


def _declaration(tool: ToolSpec, blocking: bool) -> Json:
    declaration: Json = {"name": tool.name, "description": tool.description}
    if tool.parameters.get("properties"):  # an object without properties is refused
        declaration["parameters"] = schema(tool.parameters)
    if blocking:
        declaration["behavior"] = "BLOCKING"
    return declaration


def schema(source: Mapping[str, Any], root: Mapping[str, Any] | None = None, within: tuple[str, ...] = ()) -> Json:
    """JSON Schema in the subset the service takes: upper-case types, `nullable` instead of null types, references
    written out, unknown keywords left out (they close the socket). `within`: the references being written out; one of
    them again would never end and becomes any object."""
    root = source if root is None else root
    reference = source.get("$ref")
    if isinstance(reference, str):
        if reference in within:
            return {"type": "OBJECT"}
        within = (*within, reference)
        source = {**_resolve(reference, root), **{key: value for key, value in source.items() if key != "$ref"}}
    out: Json = {key: source[key] for key in _KEPT_AS_THEY_ARE if key in source}
    kinds = source.get("type")
    names = [kind for kind in (kinds if isinstance(kinds, list) else [kinds]) if isinstance(kind, str)]
    variants = [v for v in (source.get("anyOf") or source.get("oneOf") or []) if isinstance(v, Mapping)]
    real = [v for v in variants if v.get("type") != "null"]
    if "null" in names or len(real) < len(variants):
        out["nullable"] = True
    names = [name for name in names if name != "null"]
    if len(real) == 1:
        out.update(schema(real[0], root, within))
    elif real:
        out["anyOf"] = [schema(variant, root, within) for variant in real]
    elif len(names) > 1:
        out["anyOf"] = [{"type": name.upper()} for name in names]
    elif names:
        out["type"] = names[0].upper()
    if "const" in source:
        out["enum"] = [source["const"]]
    if "enum" in out:
        out["enum"] = [value if isinstance(value, str) else str(value) for value in out["enum"] if value is not None]
        out["type"] = "STRING"  # the only type that may be enumerated
    properties = source.get("properties")
    if isinstance(properties, Mapping):
        out["type"] = "OBJECT"
        out["properties"] = {
            name: schema(value, root, within) for name, value in properties.items() if isinstance(value, Mapping)
        }
    items = source.get("items")
    if isinstance(items, Mapping):
        out["items"] = schema(items, root, within)
    return out


def _resolve(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = root
    for part in filter(None, reference.removeprefix("#").split("/")):
        found = found.get(part, {}) if isinstance(found, Mapping) else {}
    return found if isinstance(found, Mapping) else {}


# -------------------------------------------------------------------------------------------------------------- history


def history_turns(items: Iterable[HistoryItem], final_user: bool) -> list[Json]:
    """Items as turns: neighbours of one role merged, empty texts dropped, every role named. Tool calls become text:
    as parts of seeded turns they are not understood. `final_user`: the last turn has to be the user's."""
    turns: list[Json] = []
    for item in items:
        role, text = _turn(item)
        if not text.strip():
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["parts"].append({"text": text})
        else:
            turns.append({"role": role, "parts": [{"text": text}]})
    if final_user and turns and turns[-1]["role"] == "model":
        turns.append({"role": "user", "parts": [{"text": "(The caller is listening.)"}]})
    return turns


def note_of(item: HistoryItem) -> str:
    """An item as a line of text, for models that take no turns any more."""
    role, text = _turn(item)
    return f"(You said: {text})" if role == "model" else text


def _turn(item: HistoryItem) -> tuple[str, str]:
    """The role `system` is an error on the Developer API and replaces the instructions on Vertex."""
    if isinstance(item, Text):
        if item.role == "system":
            return "user", f"(Note: {item.text})" if item.text.strip() else ""
        return ("model" if item.role == "assistant" else "user"), item.text
    if isinstance(item, ToolUse):
        return "user", f"(Note: the tool {item.name} was called with {item.arguments} and returned {item.output})"
    assert isinstance(item, Speech)
    return "user", "(caller spoke, words unknown)"
