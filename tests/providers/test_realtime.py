"""The OpenAI Realtime family: what is written on the wire, and the bookkeeping behind it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from audio.frame import PCM16_24K, PCMA, PCMU, Format
from providers.base import (
    Ask,
    Audio,
    BeginTurn,
    CallerText,
    Cancel,
    Configure,
    EndTurn,
    Failed,
    FaultClass,
    Forget,
    Noticed,
    Probe,
    Probed,
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
    ToolOutput,
    ToolSpec,
    ToolUse,
    Truncate,
)
from providers.codec import Codec
from tests.providers.servers import Json, RealtimeServer, b64, codec, said, sent, server

FAMILY = ("openai", "azure_openai", "azure_voice_live", "xai")
TOOL = ToolSpec("lookup", "Looks it up.", {"type": "object", "properties": {}})
PCM = bytes(range(2, 242)) * 40  # 200 ms of pcm16 at 24 kHz


def opened(
    kind: str, session: Session | None = None, leg: Format = PCM16_24K, **changes: Any
) -> tuple[Codec, RealtimeServer]:
    link, far = codec(kind, leg, **changes), server(kind)
    assert isinstance(far, RealtimeServer)
    link.encode(Configure(session or Session("Be brief.")))
    said(link, far.configured())
    return link, far


def configuration(kind: str, session: Session, leg: Format = PCM16_24K, **changes: Any) -> Json:
    (message,) = sent(codec(kind, leg, **changes).encode(Configure(session)))
    assert message["type"] == "session.update" and message["event_id"]
    body = message["session"]
    assert isinstance(body, dict)
    return body


# ------------------------------------------------------------------------------------------------------------ session


def test_ga_session() -> None:
    body = configuration("openai", Session("Be brief.", "marin", (TOOL,), "en-US"), PCMU)
    assert body == {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": "Be brief.",
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "transcription": {"model": "gpt-realtime-whisper", "language": "en"},
                "turn_detection": None,
            },
            "output": {"format": {"type": "audio/pcmu"}, "voice": "marin"},
        },
        "tools": [
            {
                "type": "function",
                "name": "lookup",
                "description": "Looks it up.",
                "parameters": {"type": "object", "properties": {}},
            }
        ],
        "tool_choice": "auto",
    }


def test_ga_session_without_voice_tools_and_transcription() -> None:
    body = configuration("azure_openai", Session("x", transcribe=False, manual_turns=False))
    assert body["audio"]["input"]["transcription"] is None
    assert body["audio"]["input"]["turn_detection"]["type"] == "server_vad"
    assert body["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24000}
    assert "voice" not in body["audio"]["output"] and body["tools"] == []
    named = configuration("azure_openai", Session("x"), options={"transcription_model": "my-deployment"})
    assert named["audio"]["input"]["transcription"] == {"model": "my-deployment"}


def test_voice_live_session() -> None:
    body = configuration("azure_voice_live", Session("Be brief.", "en-US-Ava:DragonHDLatestNeural", (), "en-US"), PCMA)
    assert body == {
        "modalities": ["text", "audio"],
        "instructions": "Be brief.",
        "input_audio_format": "g711_alaw",
        "input_audio_sampling_rate": 8000,
        "output_audio_format": "g711_alaw",
        "turn_detection": None,
        "input_audio_transcription": {"model": "whisper-1", "language": "en"},
        "tools": [],
        "tool_choice": "auto",
        "voice": {"type": "azure-standard", "name": "en-US-Ava:DragonHDLatestNeural"},
    }


def test_voice_live_session_of_a_cascade() -> None:
    link = codec("azure_voice_live", model="gpt-4.1", options={"word_timings": True})
    assert (link.capabilities.history_audio, link.capabilities.word_timings) == (False, True)
    (message,) = sent(link.encode(Configure(Session("x", "alloy", (), "de-DE"))))
    body = message["session"]
    assert body["input_audio_format"] == "pcm16" and body["input_audio_sampling_rate"] == 24000
    assert body["input_audio_transcription"] == {"model": "azure-speech", "language": "de-DE"}
    assert body["voice"] == {"type": "openai", "name": "alloy"}
    assert body["output_audio_timestamp_types"] == ["word"]
    native = configuration("azure_voice_live", Session("x", "ava"), model="azure-realtime")
    assert native["voice"] == {"type": "azure-realtime-native", "name": "ava"}


def test_xai_session_has_neither_type_nor_modalities() -> None:
    body = configuration("xai", Session("x", "ara"))
    assert "type" not in body and "output_modalities" not in body
    assert body["voice"] == "ara" and body["turn_detection"] is None


@pytest.mark.parametrize("kind", FAMILY)
def test_only_the_first_acknowledgement_counts(kind: str) -> None:
    link, far = opened(kind)
    assert said(link, far.configured()) == []


def test_what_is_left_of_the_session_only_where_both_ends_are_told() -> None:
    session = {"id": "s", "created_at": 1000, "expires_at": 1060}
    assert said(codec("openai"), [{"type": "session.updated", "session": session}]) == [Ready("s", 60_000)]
    assert said(codec("openai"), [{"type": "session.updated", "session": {"expires_at": 1060}}]) == [Ready("", None)]


# -------------------------------------------------------------------------------------------------------------- dials


@pytest.mark.parametrize(
    "kind, changes, url, headers",
    [
        (
            "openai",
            {},
            "wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1",
            {"Authorization": "Bearer sk-test-0123456789"},
        ),
        (
            "openai",
            {"url": "ws://127.0.0.1:9/pre/v1/realtime", "model": "a b/c"},
            "ws://127.0.0.1:9/pre/v1/realtime?model=a%20b%2Fc",
            {"Authorization": "Bearer sk-test-0123456789"},
        ),
        (
            "openai",
            {"url": "https://gw.example/oa?model=fixed&x=1", "api_key": ""},
            "wss://gw.example/oa?model=fixed&x=1",
            {},
        ),
        (
            "azure_openai",
            {"endpoint": "https://res.openai.azure.com/"},
            "wss://res.openai.azure.com/openai/v1/realtime?model=gpt-realtime-2.1",
            {"api-key": "azure-key-0123"},
        ),
        (
            "azure_openai",
            {"options": {"auth": "bearer"}},
            "wss://res.openai.azure.com/openai/v1/realtime?model=gpt-realtime-2.1",
            {"Authorization": "Bearer azure-key-0123"},
        ),
        (
            "azure_voice_live",
            {},
            "wss://res.services.ai.azure.com/voice-live/realtime?api-version=2026-07-15&model=gpt-realtime-2.1",
            {"api-key": "vl-key-01"},
        ),
        (
            "azure_voice_live",
            {"url": "ws://127.0.0.1:9/x/?foo=1", "options": {"api_version": "2025-10-01"}},
            "ws://127.0.0.1:9/x/?foo=1&api-version=2025-10-01&model=gpt-realtime-2.1",
            {"api-key": "vl-key-01"},
        ),
        (
            "xai",
            {},
            "wss://api.x.ai/v1/realtime?model=grok-voice-latest",
            {"Authorization": "Bearer xai-test-0123456789"},
        ),
    ],
)
def test_dials(kind: str, changes: Json, url: str, headers: dict[str, str]) -> None:
    dial = codec(kind, **changes).dial()
    assert dial.url == url
    assert dict(dial.headers) == headers
    assert dial.subprotocols == ()


# -------------------------------------------------------------------------------------------------------------- turns


@pytest.mark.parametrize("kind", FAMILY)
def test_a_turn_on_the_wire(kind: str) -> None:
    link, _ = opened(kind)
    assert link.encode(BeginTurn(3)) == []
    (append,) = sent(link.encode(Audio(PCM)))
    assert append == {"type": "input_audio_buffer.append", "audio": b64(PCM)}
    (commit,) = sent(link.encode(EndTurn(3)))
    assert commit["type"] == "input_audio_buffer.commit"
    (create,) = sent(link.encode(Ask(9)))
    assert create["type"] == "response.create"
    if kind != "xai":
        assert create["response"]["metadata"] == {"ask": "9"}
        assert "instructions" not in create["response"]


@pytest.mark.parametrize("leg", [PCM16_24K, PCMU, PCMA], ids=str)
@pytest.mark.parametrize("ms", [0, 20, 99, 100, 140])
def test_short_turns_are_padded_with_silence(leg: Format, ms: int) -> None:
    link, _ = opened("openai", leg=leg)
    spoken = (bytes(range(1, 251)) * 40)[: leg.bytes_for(ms)]
    link.encode(BeginTurn(1))
    messages = (link.encode(Audio(spoken)) if spoken else []) + link.encode(EndTurn(1))
    read = sent(messages)
    assert read[-1]["type"] == "input_audio_buffer.commit"
    audio = b"".join(base64.b64decode(m["audio"]) for m in read[:-1])
    assert audio.startswith(spoken)
    added = audio[len(spoken) :]
    assert added == leg.silence * (len(added) // leg.width)
    assert bool(added) == (ms < 100)
    assert leg.ms(len(audio)) >= 100


def test_the_next_turn_is_measured_anew() -> None:
    link, _ = opened("openai")
    for turn in (1, 2):
        link.encode(BeginTurn(turn))
        link.encode(Audio(PCM[:960]))
        assert len(link.encode(EndTurn(turn))) == 2


def test_audio_of_a_turn_that_was_given_up_is_cleared() -> None:
    """And the answer to that is not taken for the answer to a probe."""
    link, _ = opened("openai")
    link.encode(BeginTurn(1))
    link.encode(Audio(PCM))
    (clear,) = sent(link.encode(BeginTurn(2)))
    assert clear["type"] == "input_audio_buffer.clear"
    link.encode(Probe())
    cleared = {"type": "input_audio_buffer.cleared"}
    assert said(link, [cleared]) == []
    assert said(link, [cleared]) == [Probed()]
    assert said(link, [cleared]) == []


def test_a_probe() -> None:
    link, _ = opened("openai")
    (message,) = sent(link.encode(Probe()))
    assert message["type"] == "input_audio_buffer.clear"
    assert codec("openai", options={"capabilities": {"probe_command": False}}).encode(Probe()) == []


@pytest.mark.parametrize("kind", FAMILY)
def test_provider_turns_are_neither_committed_nor_asked_about(kind: str) -> None:
    link, far = opened(kind, Session("x", manual_turns=False))
    link.encode(BeginTurn(1))
    assert len(link.encode(Audio(PCM))) == 1
    assert link.encode(EndTurn(1)) == []
    assert link.encode(Ask(4)) == []
    assert said(link, far.begin())[0] == ReplyStarted(4)
    (greeting,) = sent(link.encode(Ask(5)))
    assert greeting["type"] == "response.create"


def test_an_asks_instructions_come_on_top_of_the_sessions() -> None:
    link, _ = opened("openai")
    (message,) = sent(link.encode(Ask(2, "Greet the caller.")))
    assert message["response"]["instructions"] == "Be brief.\n\nGreet the caller."
    assert message["response"]["output_modalities"] == ["audio"]
    link, _ = opened("azure_voice_live")
    (message,) = sent(link.encode(Ask(2, "Greet the caller.")))
    assert message["response"]["instructions"] == "Be brief.\n\nGreet the caller."
    assert message["response"]["modalities"] == ["text", "audio"]


def test_instructions_go_as_a_note_where_an_ask_takes_none() -> None:
    link, _ = opened("xai")
    note, create = sent(link.encode(Ask(2, "Greet the caller.")))
    assert note["item"]["role"] == "system"
    assert note["item"]["content"] == [{"type": "input_text", "text": "Greet the caller."}]
    assert create["type"] == "response.create"


# ------------------------------------------------------------------------------------------------------ which ask it is


def created(id: str, ask: Any = None) -> Json:
    return {"type": "response.created", "response": {"id": id, "metadata": {"ask": ask} if ask is not None else None}}


def delta(id: str, item: str = "i", data: bytes = PCM) -> Json:
    return {"type": "response.output_audio.delta", "response_id": id, "item_id": item, "delta": b64(data)}


def done(id: str, status: str = "completed") -> Json:
    return {"type": "response.done", "response": {"id": id, "status": status, "status_details": None, "output": []}}


def test_metadata_beats_the_order() -> None:
    link, _ = opened("openai")
    link.encode(Ask(1))
    link.encode(Ask(2))
    assert said(link, [created("b", "2"), created("a", "1"), delta("a"), delta("b")]) == [
        ReplyStarted(2),
        ReplyStarted(1),
        ReplyAudio(1, "i", PCM),
        ReplyAudio(2, "i", PCM),
    ]


@pytest.mark.parametrize("metadata", [None, "", "x", "-1", 1, "9" * 5000])
def test_without_usable_metadata_the_order_counts(metadata: Any) -> None:
    link, _ = opened("openai")
    link.encode(Ask(1))
    link.encode(Ask(2))
    assert said(link, [created("a", metadata), created("b"), created("c")]) == [
        ReplyStarted(1),
        ReplyStarted(2),
        ReplyStarted(0),
    ]


def test_a_beginning_that_was_lost_is_made_up_for() -> None:
    link, _ = opened("openai")
    link.encode(Ask(7))
    assert said(link, [delta("r"), created("r", "7"), done("r")]) == [
        ReplyStarted(7),
        ReplyAudio(7, "i", PCM),
        ReplyComplete(7),
        ReplyEnded(7, "completed"),
    ]


def test_a_message_without_response_id_belongs_to_the_running_reply() -> None:
    link, _ = opened("openai")
    link.encode(Ask(7))
    message = {"type": "response.output_audio.delta", "item_id": "i", "delta": b64(PCM)}
    assert said(link, [message]) == []
    assert said(link, [created("r"), message])[1:] == [ReplyAudio(7, "i", PCM)]
    said(link, [done("r")])
    assert said(link, [message]) == []


def test_what_comes_after_the_end_is_dropped() -> None:
    link, _ = opened("openai")
    link.encode(Ask(7))
    said(link, [created("r"), delta("r"), done("r")])
    late = {"type": "response.output_audio_transcript.delta", "response_id": "r", "item_id": "i", "delta": "late"}
    assert said(link, [delta("r"), late, created("r"), done("r")]) == []


def test_a_long_session_forgets_old_replies_only() -> None:
    link, _ = opened("openai")
    for n in range(1, 300):
        link.encode(Ask(n))
        events = said(link, [created(f"r{n}", str(n)), delta(f"r{n}", f"i{n}"), done(f"r{n}")])
        assert events[0] == ReplyStarted(n) and isinstance(events[-1], ReplyEnded)
    (message,) = sent(link.encode(Truncate("i299", 10)))
    assert message["item_id"] == "i299"


# ------------------------------------------------------------------------------------------------ cancel and truncate


@pytest.mark.parametrize("kind", FAMILY)
def test_cancel_goes_by_id_and_only_while_there_is_one(kind: str) -> None:
    link, far = opened(kind)
    far.hear(link.encode(Ask(1)))
    assert link.encode(Cancel(1)) == []
    said(link, far.begin())
    (message,) = sent(link.encode(Cancel(1)))
    assert message["type"] == "response.cancel"
    assert message.get("response_id") == (None if kind == "xai" else "resp_1")
    assert link.encode(Cancel(1)) == []
    assert link.encode(Cancel(2)) == []
    # Everything is closed on a cancel, and that does not make it complete; calls that were cut off are none.
    events = said(link, [*far.audio(PCM), *far.spoken(), *far.call("c", "lookup", {}), *far.interrupted()])
    assert [type(e) for e in events] == [ReplyAudio, ReplyEnded]
    assert events[-1] == ReplyEnded(1, "cancelled")
    assert link.encode(Cancel(1)) == []


@pytest.mark.parametrize("kind", ["openai", "azure_openai", "azure_voice_live"])
def test_truncation(kind: str) -> None:
    """Never past the audio, never an item without any; with nothing heard the item is deleted."""
    link, far = opened(kind, leg=PCMU)
    assert link.encode(Truncate("item_1", 100)) == []
    far.hear(link.encode(Ask(1)))
    said(link, far.begin())
    assert link.encode(Truncate("item_1", 100)) == []
    said(link, [*far.audio(b"\x12" * 800), *far.audio(b"\x34" * 800)])
    (message,) = sent(link.encode(Truncate("item_1", 150)))
    assert (message["type"], message["item_id"]) == ("conversation.item.truncate", "item_1")
    assert (message["content_index"], message["audio_end_ms"]) == (0, 150)
    assert sent(link.encode(Truncate("item_1", 5000)))[0]["audio_end_ms"] == 200
    (message,) = sent(link.encode(Truncate("item_1", 0)))
    assert (message["type"], message["item_id"]) == ("conversation.item.delete", "item_1")


def test_xai_is_never_told_to_truncate() -> None:
    link, far = opened("xai")
    far.hear(link.encode(Ask(1)))
    said(link, [*far.begin(), *far.audio(PCM)])
    assert link.encode(Truncate("item_1", 10)) == []
    assert link.encode(Truncate("item_1", 0)) == []


# ------------------------------------------------------------------------------------------------------------ history


def test_all_kinds_of_history() -> None:
    link, _ = opened("openai")
    items = (
        Speech(4, PCM, "x1t4"),
        ToolUse("segue1", "lookup", '{"q":1}', '{"a":2}', "c1"),
        Text("assistant", "It is noon.", "x1a"),
    )
    messages = sent(link.encode(Seed(items)))
    bodies = [m["item"] for m in messages]
    assert bodies[0]["content"] == [{"type": "input_audio", "audio": b64(PCM)}] and bodies[0]["role"] == "user"
    assert bodies[1] | {"id": ""} == {
        "id": "",
        "type": "function_call",
        "call_id": "segue1",
        "name": "lookup",
        "arguments": '{"q":1}',
    }
    assert bodies[2] | {"id": ""} == {
        "id": "",
        "type": "function_call_output",
        "call_id": "segue1",
        "output": '{"a":2}',
    }
    assert bodies[3]["content"] == [{"type": "output_text", "text": "It is noon."}]
    # Forget knows all items of a ref, once, and only what was seeded here.
    deleted = sent(link.encode(Forget(("c1", "x1a", "elsewhere"))))
    assert [m["item_id"] for m in deleted] == [bodies[1]["id"], bodies[2]["id"], bodies[3]["id"]]
    assert {m["type"] for m in deleted} == {"conversation.item.delete"}
    assert link.encode(Forget(("c1",))) == []
    # The same ref again is a new item: ids are never used twice.
    (again,) = sent(link.encode(Seed((Text("assistant", "It is one.", "x1a"),))))
    assert again["item"]["id"] not in {b["id"] for b in bodies}
    assert sent(link.encode(Forget(("x1a",))))[0]["item_id"] == again["item"]["id"]


def test_long_names_are_cut_to_what_servers_take() -> None:
    link, _ = opened("openai")
    items = (Text("user", "a", "r" * 80), Text("user", "b", "r" * 80), ToolUse("c" * 80, "f", "{}", "{}", "t" * 80))
    bodies = [m["item"] for m in sent(link.encode(Seed(items)))]
    assert len({b["id"] for b in bodies}) == 4
    assert all(len(b["id"]) <= 32 and len(b.get("call_id", "")) <= 32 for b in bodies)


@pytest.mark.parametrize("kind", ["openai", "azure_openai", "azure_voice_live", "xai"])
@pytest.mark.parametrize("named", [True, False])
def test_a_refused_seed_fails_the_link(kind: str, named: bool) -> None:
    """Also on Azure, which does not say which event it refuses: as long as a seeded item is not acknowledged."""
    link, _ = opened(kind)
    (message,) = sent(link.encode(Seed((Text("user", "Hello", "a"),))))
    body = {"type": "invalid_request_error", "code": "invalid_value", "message": "Invalid item."}
    error: Json = {"type": "error", "error": {**body, "event_id": message["event_id"] if named else None}}
    (event,) = said(link, [error])
    assert isinstance(event, Failed) and event.fault.kind is FaultClass.CONFIG
    if not named:
        name = "conversation.item.created" if kind == "azure_voice_live" else "conversation.item.added"
        assert said(link, [{"type": name, "item": message["item"]}]) == []
        (event,) = said(link, [error])
        assert isinstance(event, Noticed)


# ---------------------------------------------------------------------------------------------------------- transcripts

HEARD = "conversation.item.input_audio_transcription"


def turn(link: Codec, number: int) -> None:
    for command in (BeginTurn(number), Audio(PCM), EndTurn(number)):
        link.encode(command)


def committed(item: str) -> Json:
    return {"type": "input_audio_buffer.committed", "item_id": item}


def heard(item: str, text: str) -> Json:
    return {"type": f"{HEARD}.completed", "item_id": item, "transcript": text}


def test_late_transcripts_find_their_turn() -> None:
    link, _ = opened("openai")
    turn(link, 3)
    turn(link, 5)
    assert said(link, [committed("a"), committed("b"), heard("b", "second"), heard("a", "first")]) == [
        CallerText(5, "second", True),
        CallerText(3, "first", True),
    ]


def test_transcripts_may_begin_before_the_commit() -> None:
    link, _ = opened("openai")
    link.encode(BeginTurn(3))
    piece = {"type": f"{HEARD}.delta", "item_id": "a", "delta": "Hel"}
    assert said(link, [piece]) == [CallerText(3, "Hel", False)]
    link.encode(Audio(PCM))
    link.encode(EndTurn(3))
    turn(link, 4)
    assert said(link, [committed("a"), committed("b"), heard("b", "more"), heard("a", "Hello")]) == [
        CallerText(4, "more", True),
        CallerText(3, "Hello", True),
    ]


@pytest.mark.parametrize("event_id", ["turn-3", None])
def test_a_refused_commit_does_not_shift_the_turns(event_id: str | None) -> None:
    link, _ = opened("openai")
    turn(link, 3)
    turn(link, 4)
    body = {
        "type": "invalid_request_error",
        "code": "input_audio_buffer_commit_empty",
        "message": "",
        "event_id": event_id,
    }
    said(link, [{"type": "error", "error": body}])
    assert said(link, [committed("b"), heard("b", "fourth")]) == [CallerText(4, "fourth", True)]


def test_a_turn_given_as_history_may_be_transcribed_too() -> None:
    link, _ = opened("openai")
    (one,) = sent(link.encode(Seed((Speech(2, PCM, "x"),))))
    assert said(link, [heard(one["item"]["id"], "words")]) == [CallerText(2, "words", True)]
    parts = sent(link.encode(Seed((Speech(6, PCM, "y"), Speech(6, PCM, "ys1")))))
    ids = [m["item"]["id"] for m in parts]
    assert said(link, [heard(ids[1], "end")]) == []
    assert said(link, [heard(ids[0], "the")]) == [CallerText(6, "the end", True)]


def test_xai_repeats_itself_while_the_caller_speaks() -> None:
    link, _ = opened("xai")
    turn(link, 1)
    unfinished = {**heard("a", "Hello?"), "status": "in_progress"}
    assert said(link, [committed("a"), unfinished, {**heard("a", "Hello, you."), "status": "completed"}]) == [
        CallerText(1, "Hello, you.", True)
    ]


def test_word_timings_replace_the_plain_transcript() -> None:
    link, far = opened("azure_voice_live", options={"word_timings": True})
    far.hear(link.encode(Ask(1)))
    word = {"type": "response.audio_timestamp.delta", "response_id": "resp_1", "item_id": "item_1", "text": "noon"}
    events = said(link, [*far.begin(), *far.text("noon"), {**word, "audio_offset_ms": 480.0}, word])
    assert events[1:] == [ReplyText(1, "item_1", "noon", 480), ReplyText(1, "item_1", "noon", None)]


# --------------------------------------------------------------------------------------------------------------- tools


def test_a_call_is_told_once_however_often_it_is_repeated() -> None:
    link, far = opened("openai")
    far.hear(link.encode(Ask(1)))
    events = said(link, [*far.begin(), *far.call("c1", "lookup", {"q": 1}), *far.call("c2", "lookup", {})])
    end = far.end(usage=False)[0]
    item = {"type": "function_call", "call_id": "c1", "name": "lookup", "arguments": '{"q":1}', "status": "completed"}
    end["response"]["output"] = [item, {**item, "call_id": "c3"}, "nonsense"]
    events += said(link, [end])
    assert [e.call_id for e in events if isinstance(e, ToolCalled)] == ["c1", "c2", "c3"]


def test_a_call_whose_name_came_with_the_item() -> None:
    link, far = opened("azure_voice_live")
    far.hear(link.encode(Ask(1)))
    start = far.begin()
    added, _, arguments, _ = far.call("c1", "lookup", {"q": 1})
    del arguments["name"]
    assert said(link, [*start, added, arguments])[-1] == ToolCalled(1, "c1", "lookup", '{"q":1}')


@pytest.mark.parametrize("arguments", ['{"q": "wea', "[1]", "7", "not json"])
def test_a_cut_off_call_is_no_call(arguments: str) -> None:
    link, far = opened("openai")
    far.hear(link.encode(Ask(1)))
    message = {
        "type": "response.function_call_arguments.done",
        "response_id": "resp_1",
        "item_id": "x",
        "call_id": "c",
        "name": "lookup",
        "arguments": arguments,
    }
    item = {
        "id": "x",
        "type": "function_call",
        "name": "lookup",
        "call_id": "c",
        "status": "incomplete",
        "arguments": "{}",
    }
    incomplete = {"type": "response.output_item.done", "response_id": "resp_1", "item": item}
    events = said(link, [*far.begin(), message, incomplete])
    assert [type(e) for e in events] == [ReplyStarted, Noticed]


def test_no_arguments_are_an_empty_object() -> None:
    link, far = opened("openai")
    far.hear(link.encode(Ask(1)))
    start = far.begin()
    message = far.call("c", "lookup", {})[2]
    assert said(link, [*start, {**message, "arguments": ""}])[-1] == ToolCalled(1, "c", "lookup", "{}")


def test_a_tool_output_on_the_wire() -> None:
    link, _ = opened("openai")
    (message,) = sent(link.encode(ToolOutput("c1", "lookup", '{"a":1}')))
    assert message["item"] == {"type": "function_call_output", "call_id": "c1", "output": '{"a":1}'}


def test_an_item_that_opens_after_the_speech_keeps_the_reply_open() -> None:
    """A second message item holds the completion back until it is whole too."""
    link, far = opened("openai")
    far.hear(link.encode(Ask(1)))
    second = {
        "type": "response.output_item.added",
        "response_id": "resp_1",
        "item": {"id": "item_2", "type": "message"},
    }
    said(link, [*far.begin(), *far.audio(PCM), second])
    assert said(link, far.spoken()) == []
    item = {"id": "item_2", "type": "message", "status": "completed"}
    assert said(link, [{"type": "response.output_item.done", "response_id": "resp_1", "item": item}]) == [
        ReplyComplete(1)
    ]
