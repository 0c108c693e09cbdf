"""The emulated OpenAI Realtime (GA): order, fields, strictness. Azure OpenAI where it differs."""

from __future__ import annotations

from typing import Any

import pytest

from audio.frame import PCM16_24K, PCMU, decode
from bridge.fakes.emulator import Emulator
from bridge.fakes.numbered import read_number
from bridge.fakes.speech import answered, bank
from bridge.fakes.wire import Close, HttpRefusal
from tests.fakes.client import Client, Json, RealtimeClient, b64, kind_of, numbered

ANSWER = [
    "input_audio_buffer.committed",
    "conversation.item.added",
    "conversation.item.done",
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_audio_transcript.delta",
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
    "rate_limits.updated",
]


def client(script: Any = None, kind: str = "openai", **options: Any) -> RealtimeClient:
    return RealtimeClient(Emulator(kind, script, **options))  # type: ignore[arg-type]


def error(messages: list[Json]) -> Json:
    """The one error among these."""
    (found,) = [message["error"] for message in messages if kind_of(message) == "error"]
    return dict(found)


def text_item(role: str, text: str, **more: Any) -> Json:
    part = {"user": "input_text", "system": "input_text", "assistant": "output_text"}[role]
    item = {"type": "message", "role": role, "content": [{"type": part, "text": text}], **more}
    return {"type": "conversation.item.create", "item": item}


def once(kinds: list[str]) -> list[str]:
    """Each kind where it came first, caller transcripts left out."""
    return [kind for i, kind in enumerate(kinds) if kind not in kinds[:i] and "input_audio_transcription" not in kind]


# ------------------------------------------------------------------------------------------------------- conversations


def test_one_answer_in_the_order_of_the_service() -> None:
    c = client()
    assert c.types() == ["session.created"]
    c.configure()
    assert c.types()[1:] == ["session.updated"]
    c.turn(37)
    c.reply()
    c.run(10)
    mine = c.types()[2:]
    assert once(mine) == list(dict.fromkeys(ANSWER))
    assert [kind for kind in mine if kind in ("response.created", "response.done")] == [
        "response.created",
        "response.done",
    ]
    assert c.said.startswith("You asked about number thirty seven.")
    for _, message in c.got:
        assert message["event_id"]
    done = c.of("response.done")[0]["response"]
    assert set(done) == {
        "object", "id", "status", "status_details", "output", "conversation_id", "output_modalities",
        "max_output_tokens", "audio", "usage", "metadata",
    }  # fmt: skip
    assert done["usage"]["input_token_details"]["audio_tokens"] > 20
    assert done["usage"]["output_token_details"]["audio_tokens"] == pytest.approx(20 * len(c.sound()) / 48000, abs=2)


@pytest.mark.parametrize("format", [PCM16_24K, PCMU], ids=str)
def test_formats_are_honoured_both_ways(format: Any) -> None:
    c = client()
    c.configure(format)
    c.turn(210)
    c.reply()
    spoken = bank().say("You asked about number two hundred ten.")
    assert spoken is not None
    assert c.sound().startswith(bank().audio(spoken, format)[: format.bytes_for(3000)])
    assert c.of("conversation.item.input_audio_transcription.completed")[0]["transcript"] == "question number 210"


def test_replies_come_faster_than_real_time_in_uneven_pieces() -> None:
    c = client(pace=4.0)
    c.configure()
    c.turn(5)
    c.reply()
    times = [at for at, message in c.got if kind_of(message) == "response.output_audio.delta"]
    seconds = len(c.sound()) / 48000
    assert (times[-1] - times[0]) / 1000 == pytest.approx(seconds / 4, rel=0.15)
    sizes = {len(message["delta"]) for message in c.of("response.output_audio.delta")}
    assert len(sizes) > 5
    assert max(sizes) <= 64 * 1024


@pytest.mark.parametrize("lead", [3000, 800, 0, -1000])
def test_transcripts_run_ahead_or_behind_as_scripted(lead: int) -> None:
    c = client({"reply": {"lead_ms": lead, "seconds": 10}})
    c.configure()
    c.turn(11)
    c.reply()
    spoken = bank().say(c.said)
    assert spoken is not None
    sent = 0.0
    word = 0
    for _, message in c.got:
        if kind_of(message) == "response.output_audio.delta":
            sent += len(message["delta"]) * 3 / 4 / 48
        elif kind_of(message) == "response.output_audio_transcript.delta":
            place = min(max(0.0, spoken.words[word].begin / 24 - lead), len(c.sound()) / 48)
            assert place - 450 <= sent <= place + 450
            word += 1
    assert word == len(spoken.words)


def test_no_transcript_at_all() -> None:
    c = client({"reply": {"lead_ms": None}})
    c.configure()
    c.turn(11)
    c.reply()
    assert not c.of("response.output_audio_transcript.delta")
    assert c.said == ""
    assert len(c.sound()) > 48000


def test_the_same_script_gives_the_same_bytes() -> None:
    def call(seed: int) -> list[str | bytes]:
        c = client({"reply": {"jitter_ms": 30}}, seed=seed)
        c.configure()
        for n in (1, 2):
            c.turn(n)
            c.reply()
        return c.raw

    assert call(1) == call(1)
    assert call(1) != call(2)


def test_tools_are_called_and_their_results_told() -> None:
    c = client({"tools": [{"turn": 1, "name": "lookup", "arguments": {"order": 7}}]})
    c.configure(tools=["lookup"])
    c.turn(8)
    response = c.reply()
    (call,) = response["output"]
    assert (call["type"], call["name"], call["arguments"]) == ("function_call", "lookup", '{"order":7}')
    order = [kind for kind in c.types() if "function_call" in kind or "output_item" in kind]
    assert order[0] == "response.output_item.added"
    assert order[-2:] == ["response.function_call_arguments.done", "response.output_item.done"]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": '{"left": 12}'}
    c.send({"type": "conversation.item.create", "item": output}, {"type": "response.create"})
    c.reply()
    assert "You asked about number eight. The result is twelve." in c.said


def test_tools_that_are_not_declared_are_not_called() -> None:
    c = client({"tools": [{"name": "lookup"}]})
    c.configure(tools=["other"])
    c.turn(8)
    assert c.reply()["output"][0]["type"] == "message"


def test_history_and_a_continuation() -> None:
    whole = client()
    whole.configure()
    whole.turn(44)
    whole.reply()
    words = whole.said.split()
    c = client()
    c.configure()
    speech = {"type": "input_audio", "audio": b64(numbered(44))}
    c.send(
        text_item("user", "question number 3"),
        text_item("assistant", "You asked about number three."),
        {"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": [speech]}},
        text_item("assistant", " ".join(words[:9])),
        {"type": "response.create", "response": {"instructions": "Continue the answer after these words: “…”."}},
    )
    c.reply()
    assert c.said == " ".join(words[9:])
    assert c.types().count("conversation.item.added") == 5


def test_the_greeting_and_what_is_asked_aside() -> None:
    c = client()
    c.configure()
    c.send({"type": "response.create", "response": {"instructions": "Greet: “Hello and welcome to our office.”"}})
    c.reply()
    assert c.said == "Hello and welcome to our office."
    c.turn(3)
    c.send({"type": "response.create", "response": {"conversation": "none", "metadata": {"why": "aside"}, "input": []}})
    first = c.reply()
    second = c.reply()
    assert {first["metadata"] and first["metadata"]["why"], second["metadata"] and second["metadata"]["why"]} == {
        None,
        "aside",
    }
    assert {bool(first["conversation_id"]), bool(second["conversation_id"])} == {True, False}


def test_barge_in_cancel_truncate_delete() -> None:
    c = client({"reply": {"seconds": 20}})
    c.configure()
    c.turn(70)
    c.run(2000)
    c.send({"type": "response.cancel"})
    response = c.of("response.done")[-1]["response"]
    assert (response["status"], response["status_details"]["reason"]) == ("cancelled", "client_cancelled")
    assert response["output"][0]["status"] == "incomplete"
    assert c.types()[-7:-1] == ANSWER[-7:-1]
    item = response["output"][0]["id"]
    sent = len(c.sound()) / 48
    assert "shorter than" in error(c.ask(truncate(item, int(sent) + 500)))["message"]
    assert kind_of(c.ask(truncate(item, 3600))[0]) == "conversation.item.truncated"
    c.turn(71, "table")
    c.reply()
    assert answered(c.said) == [71]
    last = c.of("response.done")[-1]["response"]["output"][0]["id"]
    assert c.ask({"type": "conversation.item.delete", "item_id": last})[0]["item_id"] == last
    c.send({"type": "response.create"})
    c.reply()
    assert answered(c.said) == [71]  # its answer is gone, so it is open again


def truncate(item: str, ms: int) -> Json:
    return {"type": "conversation.item.truncate", "item_id": item, "content_index": 0, "audio_end_ms": ms}


def test_what_was_cut_off_is_what_counts_as_said() -> None:
    c = client({"reply": {"seconds": 20}})
    c.configure()
    c.turn(70)
    c.run(3000)
    c.send({"type": "response.cancel"})
    c.send(truncate(c.of("response.done")[-1]["response"]["output"][0]["id"], 3500))
    (heard,) = [said.text for said in c.session.items.log() if said.role == "assistant"]
    spoken = c.session.items.order[-1].spoken
    count = len(heard.split())
    assert heard.split() == spoken.text.split()[:count]
    assert spoken.words[count - 1].end / 24 <= 3501 < spoken.words[count].end / 24


def test_server_side_turn_detection() -> None:
    c = client()
    vad = {"type": "server_vad", "silence_duration_ms": 700}
    c.send({"type": "session.update", "session": {"type": "realtime", "audio": {"input": {"turn_detection": vad}}}})
    c.format = PCM16_24K
    silence = bytes(48000)
    c.append(silence + numbered(91) + silence)
    assert once(c.types())[2:7] == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    c.reply()
    assert answered(c.said) == [91]
    begin = c.of("input_audio_buffer.speech_started")[0]["audio_start_ms"]
    assert 600 <= begin <= 1100


def test_speech_over_a_reply_cancels_it() -> None:
    c = client({"reply": {"seconds": 20}})
    c.send({"type": "session.update", "session": {"type": "realtime"}})
    c.format = PCM16_24K
    c.append(bytes(24000) + numbered(1) + bytes(48000))
    c.run(1500)
    c.append(numbered(2) + bytes(48000))
    assert c.of("response.done")[0]["response"]["status_details"] == {"type": "cancelled", "reason": "turn_detected"}


def test_text_only() -> None:
    c = client()
    c.configure(output_modalities=["text"])
    c.turn(5)
    response = c.reply()
    assert response["output"][0]["content"][0]["type"] == "output_text"
    assert c.of("response.output_text.delta")
    assert not c.of("response.output_audio.delta")


def test_audio_that_was_left_out_is_heard() -> None:
    c = client()
    c.configure()
    data = numbered(5)
    c.append(data[:48000] + data[48000 + 24000 :])
    c.send({"type": "input_audio_buffer.commit"}, {"type": "response.create"})
    c.reply()
    assert "part of your question was missing" in c.said


# ---------------------------------------------------------------------------------------------------------- strictness


@pytest.mark.parametrize(
    ("session", "code", "param"),
    [
        ({}, "missing_required_parameter", "session.type"),
        ({"type": "transcription"}, "invalid_value", "session.type"),
        ({"type": "realtime", "voice": "alloy"}, "unknown_parameter", "session.voice"),
        ({"type": "realtime", "modalities": ["audio"]}, "unknown_parameter", "session.modalities"),
        ({"type": "realtime", "temperature": 0.8}, "unknown_parameter", "session.temperature"),
        ({"type": "realtime", "audio": {"input": {"rate": 8000}}}, "unknown_parameter", "session.audio.input.rate"),
        ({"type": "realtime", "output_modalities": ["audio", "text"]}, "invalid_value", "session.output_modalities"),
        ({"type": "realtime", "audio": {"output": {"voice": "nobody"}}}, "invalid_value", "session.audio.output.voice"),
        ({"type": "realtime", "audio": {"output": {"format": {"type": "audio/pcm", "rate": 8000}}}}, "invalid_value",
         "session.audio.output.format.rate"),
        ({"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcmu", "rate": 8000}}}},
         "unknown_parameter", "session.audio.input.format.rate"),
        ({"type": "realtime", "model": "gpt-realtime"}, "invalid_value", "session.model"),
        ({"type": "realtime", "max_output_tokens": 5000}, "invalid_value", "session.max_output_tokens"),
        ({"type": "realtime", "instructions": 4}, "invalid_type", "session.instructions"),
        ({"type": "realtime", "tools": [{"type": "function", "function": {}}]}, "unknown_parameter",
         "session.tools[0].function"),
        ({"type": "realtime", "tools": [{"type": "function"}]}, "missing_required_parameter", "session.tools[0].name"),
        ({"type": "realtime", "audio": {"input": {"turn_detection": {"type": "server_vad", "eagerness": "low"}}}},
         "unknown_parameter", "session.audio.input.turn_detection.eagerness"),
    ],
)  # fmt: skip
def test_a_refused_update_changes_nothing(session: Json, code: str, param: str) -> None:
    c = client()
    before = c.of("session.created")[0]["session"]
    found = error(c.ask({"type": "session.update", "event_id": "mine", "session": {**session, "tool_choice": "none"}}))
    assert (found["code"], found["param"], found["event_id"]) == (code, param, "mine")
    c.send({"type": "session.update", "session": {"type": "realtime"}})
    assert c.of("session.updated")[0]["session"] == before


def test_updates_are_merged_deeply() -> None:
    c = client()
    c.send({"type": "session.update", "session": {"type": "realtime", "instructions": "a",
            "audio": {"input": {"transcription": {"model": "whisper-1"}}, "output": {"voice": "marin"}}}})  # fmt: skip
    c.send({"type": "session.update", "session": {"type": "realtime", "audio": {"input": {"turn_detection": None}}}})
    session = c.of("session.updated")[-1]["session"]
    assert session["instructions"] == "a"
    assert session["audio"]["output"]["voice"] == "marin"
    assert session["audio"]["input"]["transcription"] == {"model": "whisper-1", "language": None, "prompt": None}
    assert session["audio"]["input"]["turn_detection"] is None
    vad = {"type": "server_vad", "threshold": 0.9}
    audio = {"input": {"transcription": None, "turn_detection": vad}}
    c.send({"type": "session.update", "session": {"type": "realtime", "instructions": "", "audio": audio}})
    session = c.of("session.updated")[-1]["session"]
    assert session["instructions"] == ""
    assert session["audio"]["input"]["transcription"] is None
    assert session["audio"]["input"]["turn_detection"]["threshold"] == 0.9
    assert session["audio"]["input"]["turn_detection"]["create_response"] is True


def test_the_voice_is_frozen_once_heard() -> None:
    c = client()
    c.configure()
    c.turn(1)
    c.reply()
    change = {"type": "realtime", "audio": {"output": {"voice": "cedar"}}}
    assert error(c.ask({"type": "session.update", "session": change}))["code"] == "cannot_update_voice"


@pytest.mark.parametrize(
    ("message", "code", "param"),
    [
        ("{not json", "invalid_json", None),
        ("[1]", "invalid_json", None),
        (b'{"type": "response.create"}', "invalid_event", None),
        ({"event_id": "mine"}, "missing_required_parameter", "type"),
        ({"type": "response.audio.delta"}, "invalid_value", "type"),
        ({"type": "output_audio_buffer.clear"}, "invalid_value", "type"),
        ({"type": "session.update"}, "missing_required_parameter", "session"),
        ({"type": "input_audio_buffer.append"}, "missing_required_parameter", "audio"),
        ({"type": "input_audio_buffer.append", "audio": "AAA"}, "invalid_value", "audio"),
        ({"type": "input_audio_buffer.append", "audio": "-__-"}, "invalid_value", "audio"),
        ({"type": "conversation.item.create"}, "missing_required_parameter", "item"),
        ({"type": "conversation.item.create", "item": {"type": "message", "role": "user"}},
         "missing_required_parameter", "item.content"),
        ({"type": "conversation.item.create", "item": {"type": "message", "role": "assistant",
          "content": [{"type": "text", "text": "x"}]}}, "invalid_value", "item.content[0].type"),
        ({"type": "conversation.item.create", "item": {"type": "message", "role": "assistant",
          "content": [{"type": "input_audio", "audio": "AAAA"}]}}, "invalid_value", "item.content[0].type"),
        ({"type": "conversation.item.create", "item": {"type": "message", "role": "user",
          "content": [{"type": "input_text"}]}}, "missing_required_parameter", "item.content[0].text"),
        ({"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": "x", "output": "y"}},
         "invalid_tool_call_id", "item.call_id"),
        ({"type": "conversation.item.truncate", "item_id": "x", "content_index": 0, "audio_end_ms": 1},
         "item_truncate_invalid_item_id", "item_id"),
        ({"type": "conversation.item.delete", "item_id": "x"}, "item_delete_invalid_item_id", "item_id"),
        ({"type": "conversation.item.retrieve", "item_id": "x"}, "item_retrieve_invalid_item_id", "item_id"),
        ({"type": "response.cancel"}, "response_cancel_not_active", None),
        ({"type": "response.create", "response": {"modalities": ["audio"]}}, "unknown_parameter",
         "response.modalities"),
        ({"type": "response.create", "response": {"metadata": {"a" * 65: "x"}}}, "invalid_value", None),
    ],
)  # fmt: skip
def test_wrong_messages_get_an_error_and_nothing_else(message: Any, code: str, param: str | None) -> None:
    c = client()
    c.configure()
    echoed = None
    if isinstance(message, dict):
        echoed = "mine"
        message = {"event_id": "mine", **message}
    got = c.ask(message)
    found = error(got)
    assert len(got) == 1
    assert (found["type"], found["code"], found["event_id"]) == ("invalid_request_error", code, echoed)
    if param is not None:
        assert found["param"] == param
    assert c.ended is None
    c.turn(4)
    assert c.reply()["status"] == "completed"


def test_an_almost_empty_commit_is_refused_late() -> None:
    c = client()
    c.configure()
    c.append(bytes(4000))
    assert c.ask({"type": "input_audio_buffer.commit", "event_id": "mine"}) == []
    found = error(c.run(1000))
    assert (found["code"], found["event_id"]) == ("input_audio_buffer_commit_empty", "mine")


def test_a_second_reply_at_a_time_is_refused() -> None:
    c = client()
    c.configure()
    c.turn(4)
    found = error(c.ask({"type": "response.create", "event_id": "mine"}))
    assert found["code"] == "conversation_already_has_active_response"
    assert c.of("response.created")[0]["response"]["id"] in found["message"]
    assert c.reply()["status"] == "completed"


def test_item_ids_are_unique_and_places_exist() -> None:
    c = client()
    c.configure()
    assert c.ask(text_item("user", "a", id="one"))[0]["item"]["id"] == "one"
    assert error(c.ask(text_item("user", "b", id="one")))["code"] == "item_create_duplicate_item_id"
    assert c.ask({**text_item("user", "c", id="two"), "previous_item_id": "root"})[0]["previous_item_id"] is None
    assert c.ask({**text_item("user", "d", id="three"), "previous_item_id": "two"})[0]["previous_item_id"] == "two"
    assert error(c.ask({**text_item("user", "e"), "previous_item_id": "gone"}))["param"] == "previous_item_id"
    assert [item.id for item in c.session.items.order] == ["two", "three", "one"]


def test_text_items_cannot_be_truncated() -> None:
    c = client()
    c.configure()
    c.send(text_item("assistant", "Hello.", id="mine"))
    assert "Only model output audio" in error(c.ask(truncate("mine", 0)))["message"]


def test_retrieved_items_hold_their_audio() -> None:
    c = client()
    c.configure()
    c.append(numbered(18))
    c.send({"type": "input_audio_buffer.commit"})
    item_id = c.of("input_audio_buffer.committed")[0]["item_id"]
    item = c.ask({"type": "conversation.item.retrieve", "item_id": item_id})[0]["item"]
    import base64

    sound = decode(base64.b64decode(item["content"][0]["audio"]), "pcm16")
    assert read_number(sound, 24000).number == 18


def test_huge_appends_are_refused_and_the_session_lives() -> None:
    c = client()
    c.configure()
    big = b64(bytes(15 * 1024 * 1024 + 2))
    assert error(c.ask({"type": "input_audio_buffer.append", "audio": big}))["param"] == "audio"
    c.turn(3)
    assert c.reply()["status"] == "completed"


# ----------------------------------------------------------------------------------------------------------- admission


@pytest.mark.parametrize(
    ("headers", "query", "code", "error_code"),
    [
        ({"Authorization": "Bearer k", "OpenAI-Beta": "realtime=v1"}, {"model": "m"}, 4000, "beta_api_shape_disabled"),
        ({"Authorization": "Bearer wrong"}, {"model": "m"}, 3000, "invalid_api_key"),
        ({}, {"model": "m"}, 3000, "invalid_api_key"),
        ({"Authorization": "Bearer k"}, {"foo": "bar"}, 4000, "missing_model"),
        ({"Authorization": "Bearer k"}, {"model": "m", "call_id": "rtc_1"}, 4000, "missing_model"),
        ({"Authorization": "Bearer k"}, {"model": "other"}, 4000, "invalid_model"),
    ],
)
def test_who_is_not_admitted_hears_why(
    headers: dict[str, str], query: dict[str, str], code: int, error_code: str
) -> None:
    c = Client(Emulator("openai", {"api_key": "k", "models": ["m"]}), headers, **query)
    assert c.types() == ["error"]
    assert c.got[0][1]["error"]["code"] == error_code
    assert c.ended == Close(code, f"invalid_request_error.{error_code}")


def test_keys_may_come_as_a_subprotocol() -> None:
    emulator = Emulator("openai", {"api_key": "k"})
    c = Client(emulator, {"Sec-WebSocket-Protocol": "realtime, openai-insecure-api-key.k"})
    assert c.types() == ["session.created"]
    assert c.session.subprotocol == "realtime"


def test_azure_refuses_keys_by_http_and_repeats_parts() -> None:
    emulator = Emulator("azure-openai", {"api_key": "k"})
    refused = Client(emulator, {"api-key": "x"}).refusal
    assert isinstance(refused, HttpRefusal)
    assert refused.status == 401
    c = RealtimeClient(emulator, {"api-key": "k"})
    c.configure()
    c.turn(1)
    c.reply()
    assert c.of("response.content_part.added")[0]["content"] == c.of("response.content_part.added")[0]["part"]


def test_other_paths_are_not_found() -> None:
    answer = Emulator("openai").connect(0, {}, "/v1/chat/completions", {"model": "m"})
    assert isinstance(answer, HttpRefusal)
    assert answer.status == 404


def test_the_session_expires() -> None:
    c = client({"session_s": 90})
    created = c.of("session.created")[0]["session"]
    assert isinstance(created["expires_at"], int)
    c.run(90_001)
    assert c.got[-1][1]["error"]["code"] == "session_expired"
    assert isinstance(c.ended, Close)
    assert c.ended.code == 1001


def test_rtt_delays_both_ways() -> None:
    emulator = Emulator("openai", rtt_ms=80)
    assert emulator.upgrade_ms == 160
    c = RealtimeClient(emulator)
    c.until(lambda message: kind_of(message) == "session.created")
    assert c.now == 40_000_000
    c.configure()
    c.until(lambda message: kind_of(message) == "session.updated")
    assert c.now == 120_000_000


@pytest.mark.parametrize(("ids", "distinct"), [("unique", 4), ("same", 1), ("null", 1)])
def test_event_ids_as_scripted(ids: str, distinct: int) -> None:
    c = client({"event_ids": ids})
    c.ask(
        {"type": "input_audio_buffer.clear"}, {"type": "input_audio_buffer.clear"}, {"type": "input_audio_buffer.clear"}
    )
    assert len({message["event_id"] for _, message in c.got}) == distinct
    assert len(c.got) == 4


def test_rate_limits_early() -> None:
    c = client({"rate_limits": {"remaining": 10, "early": True}})
    c.configure()
    c.turn(1)
    c.reply()
    kinds = c.types()
    assert kinds.index("rate_limits.updated") == kinds.index("response.created") + 1
    assert kinds.count("rate_limits.updated") == 1
    assert c.of("rate_limits.updated")[0]["rate_limits"][0]["name"] == "tokens"
