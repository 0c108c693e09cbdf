"""The emulated Gemini Live: order, spelling, model rules, tools, resumption."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from audio.frame import PCM16_8K, PCM16_16K, PCM16_24K
from bridge.fakes.emulator import Emulator
from bridge.fakes.gemini_setup import INVALID
from bridge.fakes.speech import answered, bank
from bridge.fakes.wire import Close, HttpRefusal
from tests.fakes.client import GeminiClient, Json, b64, kind_of, numbered

START: Json = {"realtimeInput": {"activityStart": {}}}
END: Json = {"realtimeInput": {"activityEnd": {}}}


def client(script: Any = None, **options: Any) -> GeminiClient:
    return GeminiClient(Emulator("gemini", script, **options))


def turns(*said: tuple[str, str], complete: bool = False) -> Json:
    entries = [{"role": role, "parts": [{"text": text}]} for role, text in said]
    return {"clientContent": {"turns": entries, "turnComplete": complete}}


def audio(messages: list[Json]) -> bytes:
    out = b""
    for message in messages:
        for part in message.get("serverContent", {}).get("modelTurn", {}).get("parts", ()):
            if "inlineData" in part:
                out += base64.b64decode(part["inlineData"]["data"])
    return out


def refused(c: GeminiClient) -> bool:
    return c.ended == Close(1007, INVALID)


# ------------------------------------------------------------------------------------------------------- conversations


def test_one_answer() -> None:
    c = client()
    assert c.got == []
    assert c.configure() == [{"setupComplete": {}}]
    c.turn(37)
    got = c.turn_complete()
    assert all(isinstance(raw, bytes) for raw in c.raw)
    kinds = list(dict.fromkeys(kind_of(message) for message in got))
    assert set(kinds[:3]) == {"outputTranscription", "modelTurn", "inputTranscription"}
    assert kinds[3:] == ["generationComplete", "turnComplete"]
    assert client().text(got).startswith("You asked about number thirty seven.")
    heard = [
        message["serverContent"]["inputTranscription"]["text"]
        for message in got
        if kind_of(message) == "inputTranscription"
    ]
    assert "".join(heard) == " question number 37"
    usage = got[-1]["usageMetadata"]
    assert usage["responseTokenCount"] == round(25 * len(audio(got)) / 48000)
    assert usage["totalTokenCount"] == usage["promptTokenCount"] + usage["responseTokenCount"]


def test_the_end_of_the_turn_waits_for_the_playout() -> None:
    c = client(pace=4.0)
    c.configure()
    c.turn(3)
    begin = c.now
    got = c.turn_complete()
    seconds = len(audio(got)) / 48000
    done = next(at for at, message in c.got if kind_of(message) == "generationComplete")
    assert done - begin / 1e6 == pytest.approx(300 + seconds / 4 * 1000, abs=450)
    assert c.now / 1e6 - begin / 1e6 == pytest.approx(300 + seconds * 1000, abs=10)


def test_interruption() -> None:
    c = client({"reply": {"seconds": 20}, "turn_complete_ms": 0})
    c.configure()
    c.turn(3)
    c.run(1500)
    got = c.ask(START)
    assert [kind_of(message) for message in got] == ["interrupted", "turnComplete"]
    c.audio(numbered(4, format=PCM16_16K))
    c.send(END)
    got = c.turn_complete()
    assert answered(c.text(got)) == [4]
    assert "generationComplete" in [kind_of(message) for message in got]


def test_late_audio_after_an_interruption() -> None:
    c = client({"reply": {"seconds": 20}, "rules": [{"when": {"phase": "reply"}, "do": {"late_audio": 800}}]})
    c.configure()
    c.turn(3)
    c.run(1500)
    got = c.ask(START)
    assert kind_of(got[0]) == "interrupted"
    assert kind_of(got[-1]) == "turnComplete"
    assert len(audio(got)) >= 800 * 48


def test_an_interruption_during_playback_counts_as_said() -> None:
    c = client({"reply": {"seconds": 6}})
    c.configure()
    c.turn(3)
    c.until(lambda message: kind_of(message) == "generationComplete")
    assert [kind_of(message) for message in c.ask(START)] == ["interrupted", "turnComplete"]
    said = [entry.text for entry in c.session.log if entry.role == "assistant"]
    assert len(said) == 1
    assert len(said[0].split()) > 12


def test_audio_outside_an_activity_is_thrown_away() -> None:
    c = client()
    c.configure()
    data = numbered(5, format=PCM16_16K)
    c.audio(data[:40000])
    c.send(START)
    c.audio(data[40000:])
    c.send(END)
    assert "part of your question was missing" in c.text(c.turn_complete())


def test_two_questions_in_one_activity() -> None:
    c = client()
    c.configure()
    c.send(START)
    c.audio(numbered(5, format=PCM16_16K) + bytes(9600) + numbered(6, "table", format=PCM16_16K))
    c.send(END)
    assert answered(c.text(c.turn_complete())) == [5, 6]


def test_tools_block_until_answered() -> None:
    c = client({"tools": [{"turn": 1, "name": "lookup", "arguments": {"order": 7}}]})
    c.configure(tools=["lookup"])
    c.turn(8)
    got = c.until(lambda message: "toolCall" in message)
    (call,) = got[-1]["toolCall"]["functionCalls"]
    assert (call["name"], call["args"]) == ("lookup", {"order": 7})
    assert {kind_of(message) for message in c.run(20_000)} == {"inputTranscription"}
    response = {"id": call["id"], "name": "lookup", "response": {"output": {"left": 12}}}
    c.send({"toolResponse": {"functionResponses": [response]}})
    assert "You asked about number eight. The result is twelve." in c.text(c.turn_complete())


def test_tools_that_do_not_block_end_the_turn() -> None:
    c = client({"tools": [{"turn": 1, "name": "lookup"}]})
    tools = [{"functionDeclarations": [{"name": "lookup"}]}]
    setup = {"realtimeInputConfig": {"automaticActivityDetection": {"disabled": True}}, "tools": tools}
    c.ask({"setup": {"model": "models/gemini-3.8-live", "outputAudioTranscription": {}, **setup}})
    c.turn(8)
    got = c.turn_complete()
    (call,) = next(message for message in got if "toolCall" in message)["toolCall"]["functionCalls"]
    c.send({"toolResponse": {"functionResponses": [{"id": call["id"], "name": "lookup", "response": {"output": "9"}}]}})
    assert "The result is nine." in c.text(c.turn_complete())


def test_new_speech_takes_tool_calls_back() -> None:
    c = client({"tools": [{"turn": 1, "name": "lookup"}]})
    c.configure(tools=["lookup"])
    c.turn(8)
    (call,) = c.until(lambda message: "toolCall" in message)[-1]["toolCall"]["functionCalls"]
    assert c.ask(START) == [{"toolCallCancellation": {"ids": [call["id"]]}}]


def test_speech_during_a_tool_call_kills_older_models() -> None:
    c = client({"tools": [{"turn": 1, "name": "lookup"}]})
    c.configure(tools=["lookup"], model="gemini-2.5-flash-native-audio-preview-12-2025")
    c.turn(8)
    c.until(lambda message: "toolCall" in message)
    c.send(START)
    assert c.ended == Close(1008, "Operation is not implemented, or supported, or enabled.")


def test_history_note_and_continuation() -> None:
    first = client()
    first.configure()
    first.turn(44)
    words = first.text(first.turn_complete()).split()
    c = client()
    c.configure()
    note = (
        "(The caller's question follows as audio. The caller has already heard this part of your answer: "
        f"“{' '.join(words[:9])}”. Continue the answer right after these words.)"
    )
    c.send(turns(("user", "question number 3"), ("model", "You asked about number three."), ("user", note)))
    c.turn(44)
    assert c.text(c.turn_complete()) == " ".join(words[9:])


def test_a_nudge_without_caller_audio() -> None:
    c = client()
    c.configure(systemInstruction={"parts": [{"text": "Greet with “Hello and welcome to our office.”"}]})
    c.send({"realtimeInput": {"text": " "}})
    assert c.text(c.turn_complete()) == "Hello and welcome to our office."
    c.send(turns(("user", "Say “One moment.”"), complete=True))
    assert c.text(c.turn_complete()) == "One moment."


def test_client_content_interrupts() -> None:
    c = client({"reply": {"seconds": 20}})
    c.configure()
    c.turn(2)
    c.run(1000)
    assert [kind_of(message) for message in c.ask({"clientContent": {"turnComplete": False}})] == [
        "interrupted",
        "turnComplete",
    ]


def test_older_models_forget_their_seed_once() -> None:
    c = client()
    c.configure(model="gemini-2.5-flash-native-audio-preview-12-2025")
    c.send(turns(("user", "question number 3")))
    c.turn(4)
    c.run(100)
    assert c.session.reply.spoken.text.startswith("You asked about number four.")
    got = c.ask({"clientContent": {"turnComplete": True}})
    assert [kind_of(message) for message in got][:2] == ["interrupted", "turnComplete"]
    assert answered(c.text(c.turn_complete())) == [3, 4]


def test_automatic_activity() -> None:
    c = client()
    c.ask({"setup": {"model": "models/gemini-3.8-live", "outputAudioTranscription": {}}})
    c.audio(bytes(32000) + numbered(71, format=PCM16_16K) + bytes(32000))
    assert answered(c.text(c.turn_complete())) == [71]


@pytest.mark.parametrize("format", [PCM16_8K, PCM16_24K], ids=str)
def test_other_rates_by_mime_type(format: Any) -> None:
    c = client()
    c.configure()
    c.send(START)
    data = numbered(18, format=format)
    blob = {"data": b64(data), "mimeType": f"audio/pcm;rate={format.rate}"}
    c.send({"realtimeInput": {"audio": blob}}, END)
    assert answered(c.text(c.turn_complete())) == [18]


def test_both_spellings_and_both_alphabets() -> None:
    c = client()
    setup = {
        "model": "models/gemini-3.8-live",
        "generation_config": {"speech_config": {"voice_config": {"prebuilt_voice_config": {"voice_name": "Kore"}}}},
        "realtime_input_config": {"automatic_activity_detection": {"disabled": True}},
        "output_audio_transcription": {},
    }
    assert c.ask({"setup": setup}) == [{"setupComplete": {}}]
    c.send({"realtime_input": {"activity_start": {}}})
    data = numbered(19, format=PCM16_16K)
    for at in range(0, len(data), 1000):
        text = base64.urlsafe_b64encode(data[at : at + 1000]).decode().rstrip("=")
        c.send({"realtime_input": {"audio": {"data": text, "mime_type": "audio/pcm;rate=16000"}}})
    c.send({"realtime_input": {"activity_end": {}}})
    assert answered(c.text(c.turn_complete())) == [19]


# --------------------------------------------------------------------------------------------------------------- rules


@pytest.mark.parametrize(
    "setup",
    [
        {"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}}},
        {"generationConfig": {"enableAffectiveDialog": True}},
        {"generationConfig": {"responseModalities": ["TEXT"]}},
        {"generationConfig": {"speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Nobody"}}}}},
        {"generationConfig": {"volume": 11}},
        {"proactivity": {"proactiveAudio": False}},
        {"sessionResumption": {"transparent": True}},
        {"explicitVadSignal": True},
        {"voice": "Kore"},
        {"model": "gemini-3.8-live-extended-thinking"},
        {"model": "gemini-3.1-flash-live-preview", "proactivity": {"proactiveAudio": True}},
        {"model": "gemini-2.5-flash-live", "generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}}},
        {"tools": [{"functionDeclarations": [{"name": "a", "parameters": {"type": "object"}}]}]},
        {"tools": [{"functionDeclarations": [{"name": "a", "parameters": {"type": "OBJECT", "$ref": "#"}}]}]},
        {"model": "gemini-3.1-flash-live-preview",
         "tools": [{"functionDeclarations": [{"name": "a", "behavior": "NON_BLOCKING"}]}]},
    ],
)  # fmt: skip
def test_what_a_model_does_not_take_closes_the_socket(setup: Json) -> None:
    c = client()
    c.configure(**{"model": "gemini-3.8-live", **setup}) if "model" in setup else c.configure(**setup)
    assert refused(c)


@pytest.mark.parametrize(
    "message",
    [
        {"setup": {"model": "models/gemini-3.8-live"}},
        {"realtimeInput": {"mediaChunks": []}},
        {"realtimeInput": {"activityStart": {}, "activityEnd": {}}},
        {"realtimeInput": {"audio": {"data": "AAAA", "mimeType": "audio/opus"}}},
        {"realtimeInput": {"audio": {"data": "AA*A", "mimeType": "audio/pcm;rate=16000"}}},
        {"realtimeInput": {"audioStreamEnd": True}},
        {"realtimeInput": {}, "clientContent": {}},
        {"unheardOf": {}},
        turns(("system", "x")),
        {"clientContent": {"turns": [{"parts": [{"text": "no role"}]}]}},
        {"toolResponse": {"functionResponses": [{"name": "a", "response": {}}]}},
        {"toolResponse": {"functionResponses": [{"id": "1", "name": "a", "response": "text"}]}},
        [1],
    ],
)
def test_wrong_messages_close_the_socket(message: Any) -> None:
    import orjson

    c = client()
    c.configure()
    c.send(orjson.dumps(message).decode())
    assert refused(c)


def test_the_setup_comes_first() -> None:
    c = client()
    c.send(START)
    assert refused(c)
    c = client()
    c.send("{")
    assert isinstance(c.ended, Close)
    assert c.ended.code == 1007


def test_activity_by_hand_needs_the_setting() -> None:
    c = client()
    c.ask({"setup": {"model": "models/gemini-3.8-live"}})
    c.send(START)
    assert isinstance(c.ended, Close)
    assert c.ended.code == 1007


def test_history_only_once_on_3_1() -> None:
    model = "gemini-3.1-flash-live-preview"
    c = client()
    c.configure(model=model, historyConfig={"initialHistoryInClientContent": True})
    assert c.ask(turns(("user", "question number 2"), ("model", "Yes."), complete=True), ms=5000) == []
    assert c.ended is None
    c.send(turns(("user", "again")))
    assert refused(c)
    c = client()
    c.configure(model=model)
    c.send(turns(("user", "x")))
    assert refused(c)


def test_seeds_of_older_models_end_with_the_user() -> None:
    c = client()
    c.configure(model="gemini-2.5-flash-native-audio-preview-12-2025")
    c.send(turns(("user", "a"), ("model", "b")))
    assert refused(c)


def test_keys_and_models() -> None:
    c = GeminiClient(Emulator("gemini", {"api_key": "k"}), {"x-goog-api-key": "x"})
    c.configure()
    assert c.ended == Close(1007, "API key not valid. Please pass a valid API key.")
    c = GeminiClient(Emulator("gemini", {"api_key": "k"}), None, key="k")
    assert c.configure() == [{"setupComplete": {}}]
    c = client({"models": ["gemini-3.8-live"]})
    c.configure(model="gemini-9-live")
    assert isinstance(c.ended, Close)
    assert c.ended.code == 1008
    assert "is not found" in c.ended.reason
    vertex = "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent"
    answer = Emulator("gemini", {"api_key": "k"}).connect(0, {"Authorization": "Bearer x"}, vertex)
    assert isinstance(answer, HttpRefusal)
    assert answer.status == 401


def test_context_updates() -> None:
    c = client()
    c.configure()
    c.send({"contextUpdate": {"systemInstruction": {"parts": [{"text": "Greet with “Yes.”"}]}}})
    c.send({"realtimeInput": {"text": " "}})
    assert c.text(c.turn_complete()) == "Yes."
    c = client()
    c.configure(model="gemini-3.1-flash-live-preview")
    c.send({"contextUpdate": {}})
    assert refused(c)


# ---------------------------------------------------------------------------------------------------------- resumption


def test_resumption() -> None:
    emulator = Emulator("gemini", {"turn_complete_ms": 0})
    c = GeminiClient(emulator)
    first = c.configure(sessionResumption={})[-1]["sessionResumptionUpdate"]
    assert first["resumable"] is True
    c.turn(4)
    c.turn_complete()
    handle = c.of("sessionResumptionUpdate")[-1]["sessionResumptionUpdate"]["newHandle"]
    assert handle != first["newHandle"]
    early = GeminiClient(emulator)
    early.configure(sessionResumption={"handle": handle})
    assert isinstance(early.ended, Close)
    assert early.ended.code == 1011
    c.session.end(Close(1000))
    c.run(0)
    resumed = GeminiClient(emulator)
    assert {"setupComplete": {}} in resumed.configure(sessionResumption={"handle": handle})
    said = next(said.text for said in resumed.session.log if said.role == "assistant")
    assert said.startswith("You asked about number four")
    unknown = GeminiClient(emulator)
    unknown.configure(sessionResumption={"handle": "nothing"})
    assert unknown.ended == Close(1008, "BidiGenerateContent session not found")


def test_going_away() -> None:
    c = client({"session_s": 100})
    c.configure()
    got = c.run(50_001)
    assert got == [{"goAway": {"timeLeft": "50s"}}]
    c.run(50_001)
    assert c.ended == Close(1011, "Deadline expired before operation could complete.")


def test_the_voice_is_that_of_the_bank() -> None:
    c = client({"reply": {"seconds": 0}})
    c.configure()
    c.turn(12)
    spoken = bank().say("You asked about number twelve.")
    assert spoken is not None
    assert audio(c.turn_complete()) == bank().audio(spoken, PCM16_24K)
