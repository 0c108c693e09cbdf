"""Gemini Live: the setup per model, what each command becomes, and which ask a message without any id belongs to."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from audio.frame import PCM16_24K
from providers.base import (
    Ask,
    Audio,
    BeginTurn,
    CallerText,
    Cancel,
    Command,
    Configure,
    EndTurn,
    Event,
    Forget,
    Noticed,
    Probe,
    Ready,
    ReplyAudio,
    ReplyComplete,
    ReplyEnded,
    ReplyStarted,
    ReplyText,
    Seed,
    Session,
    Speech,
    Text,
    ToolCalled,
    ToolCancelled,
    ToolOutput,
    ToolSpec,
    ToolUse,
    Truncate,
    UsageReported,
)
from providers.codec import Codec
from providers.gemini_setup import schema
from tests.providers.servers import Json, b64, codec, said, sent

V25, V31, V38 = "gemini-2.5-flash-native-audio-preview-12-2025", "gemini-3.1-flash-live-preview", "gemini-3.8-live"
THINKING = "gemini-3.8-live-extended-thinking"
PCM = bytes(range(2, 242)) * 40
TOOL = ToolSpec("lookup", "Looks it up.", {"type": "object", "properties": {"q": {"type": "string"}}})

START = {"realtimeInput": {"activityStart": {}}}
END = {"realtimeInput": {"activityEnd": {}}}
INTERRUPTED: Json = {"serverContent": {"interrupted": True}}
TURN_COMPLETE: Json = {"serverContent": {"turnComplete": True}}
GENERATED: Json = {"serverContent": {"generationComplete": True}}


def opened(model: str = V38, session: Session | None = None, **changes: Any) -> Codec:
    link = codec("gemini", model=model, **changes)
    link.encode(Configure(session or Session("Be brief.")))
    said(link, [{"setupComplete": {}}])
    return link


def write(link: Codec, *commands: Command) -> list[Json]:
    return [message for command in commands for message in sent(link.encode(command))]


def turn(number: int, ask: int) -> tuple[Command, ...]:
    return BeginTurn(number), Audio(PCM), EndTurn(number), Ask(ask)


def audio(data: bytes = PCM, **more: Any) -> Json:
    parts = [{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": b64(data)}}]
    return {"serverContent": {"modelTurn": {"parts": parts}, **more}}


def heard(text: str, **more: Any) -> Json:
    return {"serverContent": {"inputTranscription": {"text": text, **more}}}


def asks(events: list[Event]) -> list[tuple[str, int]]:
    return [(type(e).__name__, e.ask) for e in events if hasattr(e, "ask")]


# -------------------------------------------------------------------------------------------------------------- setup


def setup(model: str, session: Session, **changes: Any) -> Json:
    (message,) = sent(codec("gemini", model=model, **changes).encode(Configure(session)))
    assert list(message) == ["setup"]
    body = message["setup"]
    assert isinstance(body, dict)
    return body


def test_setup_of_the_current_model() -> None:
    assert setup(V38, Session("Be brief.", "Kore", (TOOL,), "en-US")) == {
        "model": "models/gemini-3.8-live",
        "generationConfig": {
            "responseModalities": ["AUDIO"],
            "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
        },
        "systemInstruction": {
            "role": "user",
            "parts": [{"text": "Be brief.\n\nThe caller's language is en-US."}],
        },
        "outputAudioTranscription": {},
        "inputAudioTranscription": {},
        "contextWindowCompression": {"triggerTokens": "25000", "slidingWindow": {"targetTokens": "8000"}},
        "realtimeInputConfig": {"automaticActivityDetection": {"disabled": True}},
        "tools": [
            {
                "functionDeclarations": [
                    {
                        "name": "lookup",
                        "description": "Looks it up.",
                        "parameters": {"type": "OBJECT", "properties": {"q": {"type": "STRING"}}},
                        "behavior": "BLOCKING",
                    }
                ]
            }
        ],
    }


@pytest.mark.parametrize("model, blocking", [(V25, None), (V31, None), (V38, "BLOCKING"), (THINKING, None)])
def test_tools_block_where_that_has_to_be_said(model: str, blocking: str | None) -> None:
    declaration = setup(model, Session("x", tools=(TOOL,)))["tools"][0]["functionDeclarations"][0]
    assert declaration.get("behavior") == blocking


def test_thinking_only_where_it_is_required_or_asked_for() -> None:
    assert "thinkingConfig" not in setup(V38, Session("x"))["generationConfig"]
    assert setup(THINKING, Session("x"))["generationConfig"]["thinkingConfig"] == {"thinkingLevel": "LOW"}
    options = {"thinking_level": "high"}
    assert setup(THINKING, Session("x"), options=options)["generationConfig"]["thinkingConfig"] == {
        "thinkingLevel": "HIGH"
    }


def test_history_is_opted_in_where_it_must_be() -> None:
    assert setup(V31, Session("x"))["historyConfig"] == {"initialHistoryInClientContent": True}
    for model in (V25, V38):
        assert "historyConfig" not in setup(model, Session("x"))


def test_provider_turns_leave_the_detection_on() -> None:
    body = setup(V38, Session("x", manual_turns=False, transcribe=False))
    assert "realtimeInputConfig" not in body and "inputAudioTranscription" not in body
    link = opened(session=Session("x", manual_turns=False))
    assert [list(m["realtimeInput"]) for m in write(link, *turn(1, 4))] == [["audio"]]
    assert said(link, [audio()])[0] == ReplyStarted(4)


def test_the_session_is_ready_once() -> None:
    link = codec("gemini")
    assert said(link, [{"setupComplete": {"sessionId": "s"}}, {"setupComplete": {}}]) == [Ready("s")]


@pytest.mark.parametrize(
    "source, expected",
    [
        ({"type": ["string", "null"]}, {"nullable": True, "type": "STRING"}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, {"nullable": True, "type": "INTEGER"}),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"anyOf": [{"type": "INTEGER"}, {"type": "STRING"}]}),
        ({"type": ["integer", "string"]}, {"anyOf": [{"type": "INTEGER"}, {"type": "STRING"}]}),
        ({"enum": ["a", "b", None]}, {"enum": ["a", "b"], "type": "STRING"}),
        ({"type": "integer", "enum": [1, 2]}, {"enum": ["1", "2"], "type": "STRING"}),
        ({"const": "x"}, {"enum": ["x"], "type": "STRING"}),
        (
            {"type": "array", "items": {"type": "number", "minimum": 0, "exclusiveMinimum": 0}, "maxItems": 3},
            {"type": "ARRAY", "items": {"type": "NUMBER", "minimum": 0}, "maxItems": 3},
        ),
        (
            {"$schema": "x", "title": "T", "additionalProperties": False, "properties": {"a": {"$ref": "#/$defs/A"}},
             "required": ["a"], "$defs": {"A": {"type": "boolean", "default": True, "description": "yes or no"}}},
            {
                "type": "OBJECT",
                "required": ["a"],
                "properties": {"a": {"type": "BOOLEAN", "description": "yes or no"}},
            },
        ),
        ({"$ref": "#/nowhere"}, {}),
        ({}, {}),
    ],
)  # fmt: skip
def test_tool_schemas(source: Json, expected: Json) -> None:
    assert schema(source) == expected


def test_a_recursive_tool_schema_ends() -> None:
    children = {name: {"$ref": "#"} for name in "abcdef"}
    body = schema({"type": "object", "properties": children})
    assert body["properties"]["a"]["properties"]["f"] == {"type": "OBJECT"}


def test_a_tool_without_parameters_declares_none() -> None:
    tool = ToolSpec("now", "The time.", {"type": "object", "properties": {}})
    assert "parameters" not in setup(V38, Session("x", tools=(tool,)))["tools"][0]["functionDeclarations"][0]


# -------------------------------------------------------------------------------------------------------------- dials

DEVELOPER = "wss://generativelanguage.googleapis.com/ws/google.ai.generativelanguage"
VERTEX = "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent"


@pytest.mark.parametrize(
    "changes, url, headers",
    [
        ({}, f"{DEVELOPER}.v1beta.GenerativeService.BidiGenerateContent", {"x-goog-api-key": "AIzaTest0123456789"}),
        (
            {"options": {"api_version": "v1"}},
            f"{DEVELOPER}.v1.GenerativeService.BidiGenerateContent",
            {"x-goog-api-key": "AIzaTest0123456789"},
        ),
        (
            {"api_key": "auth_tokens/abc"},
            f"{DEVELOPER}.v1beta.GenerativeService.BidiGenerateContentConstrained",
            {"Authorization": "Token auth_tokens/abc"},
        ),
        (
            {"url": "http://127.0.0.1:9/any"},
            "ws://127.0.0.1:9/any",
            {"x-goog-api-key": "AIzaTest0123456789"},
        ),
        (
            {"endpoint": "https://127.0.0.1:9/pre"},
            "wss://127.0.0.1:9/pre/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
            {"x-goog-api-key": "AIzaTest0123456789"},
        ),
        (
            {"options": {"api": "vertex", "project": "p", "location": "europe-west4"}, "api_key": "ya29.x"},
            f"wss://europe-west4-aiplatform.googleapis.com{VERTEX}",
            {"Authorization": "Bearer ya29.x"},
        ),
        (
            {"options": {"api": "vertex", "project": "p", "location": "eu"}, "api_key": "ya29.x"},
            f"wss://aiplatform.eu.rep.googleapis.com{VERTEX}",
            {"Authorization": "Bearer ya29.x"},
        ),
        (
            {"options": {"api": "vertex", "auth": "api-key"}},
            f"wss://aiplatform.googleapis.com{VERTEX}",
            {"x-goog-api-key": "AIzaTest0123456789"},
        ),
    ],
)
def test_dials(changes: Json, url: str, headers: dict[str, str]) -> None:
    dial = codec("gemini", **changes).dial()
    assert (dial.url, dict(dial.headers)) == (url, headers)


@pytest.mark.parametrize(
    "model, options, expected",
    [
        ("gemini-3.8-live", {}, "models/gemini-3.8-live"),
        ("models/gemini-3.8-live", {}, "models/gemini-3.8-live"),
        (
            "gemini-3.8-live",
            {"api": "vertex", "project": "p"},
            "projects/p/locations/global/publishers/google/models/gemini-3.8-live",
        ),
        ("publishers/google/models/x", {"api": "vertex", "project": "p"}, "publishers/google/models/x"),
        ("x", {"api": "vertex", "auth": "api-key"}, "publishers/google/models/x"),
    ],
)
def test_model_paths(model: str, options: Json, expected: str) -> None:
    assert setup(model, Session("x"), options=options)["model"] == expected


@pytest.mark.parametrize("options", [{"api": "vertex"}, {"api": "other"}, {"api": "vertex", "auth": "none"}])
def test_options_that_cannot_work(options: Json) -> None:
    with pytest.raises(ValueError, match="five"):
        codec("gemini", options=options)


# -------------------------------------------------------------------------------------------------------------- turns


def test_a_turn_on_the_wire() -> None:
    link = opened()
    append = {"realtimeInput": {"audio": {"mimeType": "audio/pcm;rate=16000", "data": b64(PCM)}}}
    assert write(link, *turn(1, 1)) == [START, append, END]


def test_two_turns_owed_one_reply_are_one_activity() -> None:
    """The end of an activity is the ask: an end between them would have the first turn answered on its own."""
    link = opened()
    messages = write(link, BeginTurn(1), Audio(PCM), EndTurn(1), BeginTurn(2), Audio(PCM[:640]), EndTurn(2), Ask(1))
    assert [next(iter(m["realtimeInput"])) for m in messages] == ["activityStart", "audio", "audio", "activityEnd"]


def test_long_audio_goes_in_seconds() -> None:
    link = opened()
    burst = bytes(range(2, 242)) * 400
    messages = write(link, Audio(burst))
    sizes = [len(base64.b64decode(m["realtimeInput"]["audio"]["data"])) for m in messages]
    assert sum(sizes) == len(burst) and max(sizes) == 32_000 and all(size % 2 == 0 for size in sizes)


@pytest.mark.parametrize("model", [V25, V31, V38])
def test_what_the_service_does_not_have_is_not_written(model: str) -> None:
    link = opened(model)
    write(link, *turn(1, 1))
    said(link, [audio()])
    assert write(link, Truncate("gemini-1", 100), Forget(("a",)), Probe(), Cancel(1)) == []


@pytest.mark.parametrize(
    "model, expected",
    [
        (V38, {"realtimeInput": {"text": "(Greet the caller.)"}}),
        (V31, {"realtimeInput": {"text": "(Greet the caller.)"}}),
        (
            V25,
            {
                "clientContent": {
                    "turns": [{"role": "user", "parts": [{"text": "(Greet the caller.)"}]}],
                    "turnComplete": True,
                }
            },
        ),
    ],
)
def test_a_greeting_is_asked_for_with_text(model: str, expected: Json) -> None:
    link = opened(model)
    assert write(link, Ask(1, "Greet the caller.")) == [expected]
    assert said(link, [audio()])[0] == ReplyStarted(1)


def test_a_nudge_without_words() -> None:
    assert write(opened(V38), Ask(1)) == [{"realtimeInput": {"text": " "}}]
    assert write(opened(V25), Ask(1)) == [{"clientContent": {"turnComplete": True}}]


def test_an_ask_after_a_tool_result_writes_nothing() -> None:
    link = opened()
    write(link, *turn(1, 1))
    said(link, [{"toolCall": {"functionCalls": [{"id": "c", "name": "lookup", "args": {}}]}}])
    (response,) = write(link, ToolOutput("c", "lookup", '{"a":1}'))
    assert response == {
        "toolResponse": {"functionResponses": [{"id": "c", "name": "lookup", "response": {"output": {"a": 1}}}]}
    }
    assert write(link, Ask(2)) == []
    assert said(link, [audio()])[0] == ReplyStarted(2)
    # ... which holds for one ask, and not once the caller spoke again
    assert write(link, Ask(3, "Go on.")) == [{"realtimeInput": {"text": "(Go on.)"}}]
    write(link, ToolOutput("c", "lookup", "1"))
    assert write(link, *turn(2, 4))[-1] == END


@pytest.mark.parametrize(
    "output, expected",
    [
        ('{"a":1}', {"output": {"a": 1}}),
        ('"text"', {"output": "text"}),
        ("[1]", {"output": [1]}),
        ("not json", {"output": "not json"}),
        ('{"error":"no such thing"}', {"error": "no such thing"}),
    ],
)
def test_a_tool_result_is_an_object(output: str, expected: Json) -> None:
    (message,) = write(opened(), ToolOutput("c", "lookup", output))
    assert message["toolResponse"]["functionResponses"][0]["response"] == expected


# ------------------------------------------------------------------------------------------------------------ history

HISTORY = (Text("user", "Hello", "a"), Text("user", "you", "b"), Text("assistant", "Good day", "c"))
TURNS = [
    {"role": "user", "parts": [{"text": "Hello"}, {"text": "you"}]},
    {"role": "model", "parts": [{"text": "Good day"}]},
]


def test_history_waits_for_the_caller() -> None:
    assert write(opened(V38), Seed(HISTORY)) == [{"clientContent": {"turns": TURNS, "turnComplete": False}}]
    assert write(opened(V38), Seed(())) == write(opened(V38), Seed((Text("user", "  "),))) == []


def test_history_of_the_older_model_ends_with_the_user() -> None:
    link = opened(V25)
    assert not link.capabilities.assistant_final_history
    (message,) = write(link, Seed(HISTORY))
    turns = message["clientContent"]["turns"]
    assert turns[:2] == TURNS and turns[2]["role"] == "user"
    assert message["clientContent"]["turnComplete"] is False


def test_the_older_model_is_reminded_of_its_history_once() -> None:
    """Its first audio turn does not recall seeded history; a second ask does, and may interrupt the first."""
    link = opened(V25)
    write(link, Seed(HISTORY))
    assert write(link, *turn(1, 1))[-2:] == [END, {"clientContent": {"turnComplete": True}}]
    assert said(link, [INTERRUPTED, TURN_COMPLETE]) == []
    assert asks(said(link, [audio(), GENERATED, TURN_COMPLETE])) == [
        ("ReplyStarted", 1),
        ("ReplyAudio", 1),
        ("ReplyComplete", 1),
        ("ReplyEnded", 1),
    ]
    assert write(link, *turn(2, 2))[-1] == END


def test_history_is_taken_once_by_the_model_that_takes_it_only_once() -> None:
    """What comes later goes with the next ask, in words."""
    link = opened(V31)
    assert not link.capabilities.history_anytime
    assert write(link, Seed(HISTORY)) == [{"clientContent": {"turns": TURNS, "turnComplete": True}}]
    assert write(link, Seed((Text("user", "Digits: 12#"), Text("assistant", "Thanks")))) == []
    assert write(link, Ask(1, "Answer.")) == [{"realtimeInput": {"text": "Digits: 12# (You said: Thanks) (Answer.)"}}]
    assert write(link, Seed((Text("system", "It is late."),))) == []
    assert write(link, *turn(1, 2))[2:] == [{"realtimeInput": {"text": "(Note: It is late.)"}}, END]
    assert write(link, *turn(2, 3))[2:] == [END]


def test_tools_and_unknown_speech_become_text() -> None:
    items = (Speech(1, PCM, "a"), ToolUse("c", "lookup", '{"q":1}', '{"a":2}', "t"))
    (message,) = write(opened(), Seed(items))
    (content,) = message["clientContent"]["turns"]
    assert content["role"] == "user"
    words, note = (part["text"] for part in content["parts"])
    assert words == "(caller spoke, words unknown)"
    assert all(word in note for word in ("lookup", '{"q":1}', '{"a":2}'))


# ---------------------------------------------------------------------------------------------------- which ask it is


def test_one_message_may_carry_everything() -> None:
    link = opened()
    write(link, *turn(1, 1))
    message = audio(
        inputTranscription={"text": "Hi"},
        outputTranscription={"text": "Hello"},
        generationComplete=True,
        turnComplete=True,
    )
    message["usageMetadata"] = {"promptTokenCount": 5, "responseTokenCount": 7}
    events = said(link, [message])
    assert [type(e) for e in events] == [
        CallerText,
        ReplyStarted,
        ReplyAudio,
        ReplyText,
        ReplyComplete,
        CallerText,
        ReplyEnded,
    ]
    ended = events[-1]
    assert isinstance(ended, ReplyEnded) and ended.usage is not None and ended.usage.input_audio == 5


def test_thoughts_and_texts_and_pictures_are_not_spoken() -> None:
    link = opened()
    write(link, *turn(1, 1))
    parts: list[Any] = [
        {"text": "**Thinking**", "thought": True},
        {"text": "written"},
        {"inlineData": {"mimeType": "audio/pcm", "data": b64(PCM)}, "thought": True},
        {"inlineData": {"mimeType": "image/png", "data": b64(PCM)}},
        "nonsense",
        {"inlineData": {"mimeType": "audio/pcm", "data": b64(PCM)}},
    ]
    events = said(link, [{"serverContent": {"modelTurn": {"parts": parts}}}])
    assert events == [ReplyStarted(1), ReplyAudio(1, "gemini-1", PCM)]


def test_nothing_is_played_of_a_stopped_reply_until_its_turn_is_complete() -> None:
    link = opened()
    write(link, *turn(1, 1))
    said(link, [audio()])
    write(link, Cancel(1), BeginTurn(2), Audio(PCM))
    assert set(asks(said(link, [audio(), INTERRUPTED, audio()]))) == {("ReplyAudio", 1)}
    write(link, EndTurn(2), Ask(2))
    # Even after the new turn ended: the old one's end has not come yet.
    assert asks(said(link, [audio(), TURN_COMPLETE])) == [("ReplyAudio", 1), ("ReplyEnded", 1)]
    assert asks(said(link, [audio()])) == [("ReplyStarted", 2), ("ReplyAudio", 2)]


def test_a_reply_stopped_before_it_began() -> None:
    """The caller resumes before anything was said: the service may announce the stop, or never have begun."""
    for announced in ([INTERRUPTED, TURN_COMPLETE], [TURN_COMPLETE], []):
        link = opened()
        write(link, *turn(1, 1), Cancel(1), BeginTurn(2), Audio(PCM))
        assert said(link, announced) == []
        write(link, EndTurn(2), Ask(2))
        assert asks(said(link, [audio(), GENERATED, TURN_COMPLETE])) == [
            ("ReplyStarted", 2),
            ("ReplyAudio", 2),
            ("ReplyComplete", 2),
            ("ReplyEnded", 2),
        ]


def test_a_stop_announced_after_the_new_ask() -> None:
    """A burst: both turns were written before the service could answer the first."""
    link = opened()
    write(link, *turn(1, 1), *turn(2, 2))
    assert said(link, [INTERRUPTED, TURN_COMPLETE]) == []
    assert asks(said(link, [audio()])) == [("ReplyStarted", 2), ("ReplyAudio", 2)]


def test_remains_of_a_stopped_reply_during_the_new_turn() -> None:
    """They were on their way when the caller resumed, and are the old ask's."""
    link = opened()
    write(link, *turn(1, 1), BeginTurn(2))
    assert asks(said(link, [audio(), INTERRUPTED, TURN_COMPLETE])) == [
        ("ReplyStarted", 1),
        ("ReplyAudio", 1),
        ("ReplyEnded", 1),
    ]


def test_the_held_back_end_of_a_whole_reply() -> None:
    """turnComplete comes when the service believes all was heard: after it, at the caller's next word, or never."""
    for late in ([TURN_COMPLETE], [INTERRUPTED, TURN_COMPLETE], []):
        link = opened()
        write(link, *turn(1, 1))
        said(link, [audio(), GENERATED])
        write(link, BeginTurn(2), Audio(PCM))
        events = said(link, late)
        write(link, EndTurn(2), Ask(2))
        events += said(link, [audio(), GENERATED, TURN_COMPLETE])
        assert asks(events) == [
            ("ReplyEnded", 1),
            ("ReplyStarted", 2),
            ("ReplyAudio", 2),
            ("ReplyComplete", 2),
            ("ReplyEnded", 2),
        ]
        assert [e.outcome for e in events if isinstance(e, ReplyEnded)] == ["completed", "completed"]


def test_an_interruption_of_nothing_does_not_swallow_the_next_reply() -> None:
    link = opened()
    write(link, BeginTurn(1), Audio(PCM))
    assert said(link, [INTERRUPTED]) == []
    write(link, EndTurn(1), Ask(1))
    assert asks(said(link, [audio()])) == [("ReplyStarted", 1), ("ReplyAudio", 1)]


def test_a_turn_that_ends_in_the_middle_is_complete() -> None:
    link = opened()
    write(link, *turn(1, 1))
    assert asks(said(link, [audio(), TURN_COMPLETE])) == [
        ("ReplyStarted", 1),
        ("ReplyAudio", 1),
        ("ReplyComplete", 1),
        ("ReplyEnded", 1),
    ]


def test_a_reply_nobody_asked_for() -> None:
    link = opened()
    events = said(link, [audio(), TURN_COMPLETE, audio(), TURN_COMPLETE, TURN_COMPLETE])
    assert {ask for _, ask in asks(events)} == {0}
    assert len({e.item for e in events if isinstance(e, ReplyAudio)}) == 2


def test_extended_thinking_goes_on_after_its_turn_is_complete() -> None:
    link = opened(THINKING)
    write(link, *turn(1, 1))
    busy: Json = {"serverContent": {"turnComplete": True, "interactionStatus": "IN_PROGRESS"}}
    idle: Json = {"serverContent": {"interactionStatus": "IDLE"}}
    assert said(link, [busy]) == []
    assert asks(said(link, [audio(), busy])) == [("ReplyStarted", 1), ("ReplyAudio", 1)]
    assert asks(said(link, [audio(), idle])) == [("ReplyAudio", 1), ("ReplyComplete", 1), ("ReplyEnded", 1)]
    assert said(link, [idle]) == []


def test_a_tool_call_that_does_not_block() -> None:
    """The reply goes on until its turn is complete; then the call ends it whatever else is under way."""
    link = opened(THINKING)
    write(link, *turn(1, 1))
    call = {"toolCall": {"functionCalls": [{"id": "c", "name": "lookup", "args": {"q": 1}}]}}
    busy: Json = {"serverContent": {"turnComplete": True, "interactionStatus": "IN_PROGRESS"}}
    events = said(link, [call, audio(), busy])
    assert asks(events) == [
        ("ReplyStarted", 1),
        ("ToolCalled", 1),
        ("ReplyAudio", 1),
        ("ReplyComplete", 1),
        ("ReplyEnded", 1),
    ]


# --------------------------------------------------------------------------------------------------------------- tools


def test_tool_calls_with_and_without_ids() -> None:
    link = opened(options={"api": "vertex", "project": "p"})
    write(link, *turn(1, 1))
    calls: list[Any] = [
        {"id": "a", "name": "lookup", "args": {"q": 1}},
        {"name": "lookup", "args": "broken"},
        {"id": "b"},
        "nonsense",
    ]
    events = said(link, [{"toolCall": {"functionCalls": calls}, "usageMetadata": {"promptTokenCount": 3}}])
    assert [type(e) for e in events] == [Noticed, Noticed, ReplyStarted, ToolCalled, ToolCalled, ReplyEnded]
    first, second = (e for e in events if isinstance(e, ToolCalled))
    assert (first.call_id, first.arguments, second.arguments) == ("a", '{"q":1}', "{}")
    assert second.call_id and second.call_id != first.call_id
    ended = events[-1]
    assert isinstance(ended, ReplyEnded) and ended.usage is not None
    # An id is echoed only when one was given.
    named, nameless = write(link, ToolOutput("a", "lookup", "1"), ToolOutput(second.call_id, "lookup", "2"))
    assert named["toolResponse"]["functionResponses"][0]["id"] == "a"
    assert "id" not in nameless["toolResponse"]["functionResponses"][0]


def test_withdrawn_calls() -> None:
    message: Json = {"toolCallCancellation": {"ids": ["a", 5, "b"]}}
    assert said(opened(), [message]) == [ToolCancelled(("a", "b"))]
    assert said(opened(), [{"toolCallCancellation": {}}]) == []


# ---------------------------------------------------------------------------------------------------------- transcripts


def test_the_last_words_before_a_barge_in_belong_to_the_turn_before() -> None:
    link = opened()
    write(link, *turn(1, 1))
    said(link, [heard("What"), audio()])
    write(link, BeginTurn(2), Audio(PCM))
    assert said(link, [heard(" time?")]) == [CallerText(1, " time?", False)]
    events = said(link, [INTERRUPTED, TURN_COMPLETE, heard("Stop")])
    assert [e for e in events if isinstance(e, CallerText)] == [
        CallerText(1, "What time?", True),
        CallerText(2, "Stop", False),
    ]


def test_a_transcript_that_says_it_is_finished() -> None:
    link = opened()
    write(link, *turn(1, 1))
    events = said(link, [heard(" Hel"), heard("lo", finished=True), audio(), GENERATED, TURN_COMPLETE])
    assert [e for e in events if isinstance(e, CallerText)] == [
        CallerText(1, " Hel", False),
        CallerText(1, "lo", False),
        CallerText(1, "Hello", True),
    ]


def test_usage_without_a_reply_is_still_reported() -> None:
    link = opened()
    write(link, *turn(1, 1), BeginTurn(2))
    events = said(link, [INTERRUPTED, {**TURN_COMPLETE, "usageMetadata": {"promptTokenCount": 9}}])
    assert [type(e) for e in events] == [UsageReported]


def test_text_frames_and_binary_frames_alike() -> None:
    link = codec("gemini", PCM16_24K)
    assert link.decode(b'{"setupComplete": {}}') == [Ready()]
