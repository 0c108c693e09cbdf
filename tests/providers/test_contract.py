"""One suite over all kinds of providers: the same conversation gives the same events."""

from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import pytest

from audio.frame import PCM16_8K, PCM16_16K, PCM16_24K, PCM16_48K, PCMA, PCMU, Format
from providers.base import (
    Ask,
    Audio,
    BeginTurn,
    CallerText,
    Cancel,
    Configure,
    EndTurn,
    Event,
    FaultClass,
    Noticed,
    Ready,
    ReplyAudio,
    ReplyComplete,
    ReplyEnded,
    ReplyStarted,
    ReplyText,
    Seed,
    Session,
    Text,
    ToolCalled,
    ToolOutput,
    ToolSpec,
    Usage,
)
from providers.codec import Codec
from providers.registry import capabilities_for, codec_for, kinds
from tests.providers.servers import TARGETS, Server, codec, said, sent, server

TOOL = ToolSpec(
    "lookup", "Looks it up.", {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
)
SESSION = Session("Be brief.", tools=(TOOL,))
PCM = np.random.default_rng(7).integers(-20000, 20000, 4800, dtype=np.int16).tobytes()


def unnamed(events: list[Event]) -> list[Event]:
    """Item names are the provider's own."""
    return [replace(e, item="item") if isinstance(e, (ReplyAudio, ReplyText)) else e for e in events]


def opened(kind: str) -> tuple[Codec, Server]:
    link, far = codec(kind), server(kind)
    far.hear(link.encode(Configure(SESSION)))
    assert said(link, far.configured()) == [Ready("sess_1")]
    return link, far


def ask(link: Codec, far: Server, turn: int, number: int, audio: bytes = PCM) -> None:
    for command in (BeginTurn(turn), Audio(audio), EndTurn(turn), Ask(number)):
        far.hear(link.encode(command))


def test_the_suite_covers_every_kind() -> None:
    assert set(kinds()) == set(TARGETS)


@pytest.fixture(params=kinds())
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_an_answered_turn(kind: str) -> None:
    link, far = opened(kind)
    ask(link, far, 1, 11)
    events = said(link, [*far.turn_taken(), *far.transcript([" What", " time?"]), *far.begin()])
    events += said(link, [*far.text("It is"), *far.audio(PCM[:960]), *far.text(" noon."), *far.audio(PCM[960:])])
    events += said(link, [*far.spoken(), *far.end()])
    # Gemini says nothing when a caller's text or a reply is whole: both follow from what comes next.
    rest = [e for e in events if not isinstance(e, CallerText)]
    assert unnamed(rest) == [
        ReplyStarted(11),
        ReplyText(11, "item", "It is"),
        ReplyAudio(11, "item", PCM[:960]),
        ReplyText(11, "item", " noon."),
        ReplyAudio(11, "item", PCM[960:]),
        ReplyComplete(11),
        ReplyEnded(
            11,
            "completed",
            None,
            Usage(
                input_text=14,
                input_audio=26,
                output_text=29,
                output_audio=77,
                total=146,
            ),
        ),
    ]
    texts = [e for e in events if isinstance(e, CallerText)]
    assert [(t.turn, t.text.strip(), t.final) for t in texts] == [
        (1, "What", False),
        (1, "time?", False),
        (1, "What time?", True),
    ]
    assert len({e.item for e in events if isinstance(e, (ReplyAudio, ReplyText))}) == 1


def test_items_of_two_replies_have_two_names(kind: str) -> None:
    link, far = opened(kind)
    items = []
    for number in (1, 2):
        ask(link, far, number, number)
        events = said(link, [*far.turn_taken(), *far.begin(), *far.audio(PCM), *far.spoken(), *far.end()])
        items += [e.item for e in events if isinstance(e, ReplyAudio)]
    assert len(set(items)) == 2


def test_a_tool_round(kind: str) -> None:
    link, far = opened(kind)
    ask(link, far, 1, 1)
    events = said(link, [*far.turn_taken(), *far.begin(), *far.call("call_7", "lookup", {"q": "weather"})])
    if kind != "gemini":
        events += said(link, far.end(usage=False))
    assert events == [
        ReplyStarted(1),
        ToolCalled(1, "call_7", "lookup", '{"q":"weather"}'),
        ReplyEnded(1, "completed"),
    ]
    far.hear(link.encode(ToolOutput("call_7", "lookup", '{"sky":"grey"}')))
    far.hear(link.encode(Ask(2)))
    events = said(link, [*far.begin(), *far.audio(PCM), *far.spoken(), *far.end(usage=False)])
    assert unnamed(events) == [
        ReplyStarted(2),
        ReplyAudio(2, "item", PCM),
        ReplyComplete(2),
        ReplyEnded(2, "completed"),
    ]


def test_a_tool_call_after_words(kind: str) -> None:
    link, far = opened(kind)
    ask(link, far, 1, 1)
    messages = [*far.turn_taken(), *far.begin(), *far.audio(PCM), *far.call("c1", "lookup", {})]
    events = said(link, messages + ([] if kind == "gemini" else far.end(usage=False)))
    assert [type(e) for e in events if not isinstance(e, ReplyComplete)] == [
        ReplyStarted,
        ReplyAudio,
        ToolCalled,
        ReplyEnded,
    ]
    assert sum(isinstance(e, ReplyComplete) for e in events) == 1


def test_a_barge_in_keeps_late_audio_with_the_old_ask(kind: str) -> None:
    link, far = opened(kind)
    ask(link, far, 1, 1)
    assert said(link, [*far.turn_taken(), *far.begin(), *far.audio(PCM)])[0] == ReplyStarted(1)
    link.encode(Cancel(1))
    link.encode(BeginTurn(2))
    late = said(link, [*far.text(" late"), *far.audio(PCM), *far.interrupted()])
    assert unnamed(late) == [
        ReplyText(1, "item", " late"),
        ReplyAudio(1, "item", PCM),
        ReplyEnded(1, "cancelled"),
    ]
    for command in (Audio(PCM), EndTurn(2), Ask(2)):
        far.hear(link.encode(command))
    events = said(link, [*far.turn_taken(), *far.begin(), *far.audio(PCM), *far.spoken(), *far.end(usage=False)])
    assert unnamed(events) == [
        ReplyStarted(2),
        ReplyAudio(2, "item", PCM),
        ReplyComplete(2),
        ReplyEnded(2, "completed"),
    ]


def test_an_empty_reply(kind: str) -> None:
    link, far = opened(kind)
    ask(link, far, 1, 1)
    events = said(link, [*far.turn_taken(), *far.begin(), *far.end(usage=False)])
    assert events[:-1] == [ReplyStarted(1)]
    ended = events[-1]
    assert isinstance(ended, ReplyEnded) and ended.outcome == "empty"
    assert ended.fault is not None and ended.fault.kind is FaultClass.EMPTY


@pytest.mark.parametrize("spoken", [False, True])
def test_a_refusal_of_the_content(kind: str, spoken: bool) -> None:
    link, far = opened(kind)
    ask(link, far, 1, 1)
    events = said(link, [*far.turn_taken(), *far.begin(), *(far.audio(PCM) if spoken else []), *far.refused()])
    ended = events[-1]
    assert isinstance(ended, ReplyEnded) and ended.outcome == "refused"
    assert ended.fault is not None and ended.fault.kind is FaultClass.REFUSED
    assert not any(isinstance(e, ReplyComplete) for e in events)


def test_bad_base64_is_noticed_and_the_rest_goes_on(kind: str) -> None:
    link, far = opened(kind)
    ask(link, far, 1, 1)
    said(link, [*far.turn_taken(), *far.begin(), *far.audio(PCM)])
    good = far.audio(PCM)[0]
    text = good["serverContent"]["modelTurn"]["parts"][0]["inlineData"]["data"] if kind == "gemini" else good["delta"]
    for broken in ("!!!!", "AAA*", "A", "AA=AA", "ä"):
        message = orjson_replace(good, text, broken)
        assert said(link, [message]) == [Noticed("skipped: audio that is not base64")]
    assert unnamed(said(link, [good])) == [ReplyAudio(1, "item", PCM)]


def orjson_replace(message: dict[str, object], old: str, new: str) -> dict[str, object]:
    """A copy of a message with one text changed, wherever it is."""

    def walk(value: object) -> object:
        if isinstance(value, dict):
            return {k: walk(v) for k, v in value.items()}
        if isinstance(value, list):
            return [walk(v) for v in value]
        return new if value == old else value

    out = walk(message)
    assert isinstance(out, dict)
    return out


@pytest.mark.parametrize("alphabet", ["standard", "urlsafe"])
@pytest.mark.parametrize("padded", [True, False])
def test_both_alphabets_padded_or_not(kind: str, alphabet: str, padded: bool) -> None:
    link, far = opened(kind)
    ask(link, far, 1, 1)
    said(link, [*far.turn_taken(), *far.begin()])
    data = b"\xfb\xff\xfe\x00" * 5
    good = far.audio(data)[0]
    old = good["serverContent"]["modelTurn"]["parts"][0]["inlineData"]["data"] if kind == "gemini" else good["delta"]
    encoded = (base64.b64encode if alphabet == "standard" else base64.urlsafe_b64encode)(data).decode()
    message = orjson_replace(good, old, encoded if padded else encoded.rstrip("="))
    assert unnamed(said(link, [message]))[-1] == ReplyAudio(1, "item", data)


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "{",
        "nonsense",
        "[]",
        "[1,2]",
        '"text"',
        "7",
        "null",
        "true",
        b"\xff\xfe",
        b"\x00" * 100,
        "[" * 5000,
        '"\ud800"',
    ],
)
def test_what_is_no_object_is_noticed(kind: str, garbage: str | bytes) -> None:
    link, _ = opened(kind)
    events = link.decode(garbage)
    assert [type(e) for e in events] == [Noticed]
    assert len(events[0].what) < 300  # type: ignore[union-attr]


@pytest.mark.parametrize("message", ['{"type":"something.new","x":1}', '{"somethingNew":{}}', '{"type":"ping"}'])
def test_what_is_unknown_is_ignored(kind: str, message: str) -> None:
    link, _ = opened(kind)
    if kind == "gemini" or "type" in message:
        assert link.decode(message) == []


def caller_audio(kind: str, messages: list[str | bytes]) -> bytes:
    """What the server gets to hear."""
    out = b""
    for message in sent(messages):
        if kind == "gemini":
            chunk = message.get("realtimeInput", {}).get("audio")
            if chunk:
                assert chunk["mimeType"] == "audio/pcm;rate=16000"
                out += base64.b64decode(chunk["data"], validate=True)
        elif message["type"] == "input_audio_buffer.append":
            out += base64.b64decode(message["audio"], validate=True)
    return out


def test_every_byte_of_a_turn_is_sent_in_order_once(kind: str) -> None:
    """Also of a burst that takes several messages; each is small enough for any server."""
    link, _ = opened(kind)
    rng = np.random.default_rng(3)
    pieces = [rng.bytes(size) for size in (640, 2, 96_000, 1_200_000, 640)]
    messages = link.encode(BeginTurn(1))
    for piece in pieces:
        messages += link.encode(Audio(piece))
    messages += link.encode(EndTurn(1)) + link.encode(Ask(1))
    assert caller_audio(kind, messages) == b"".join(pieces)
    assert max(len(m) for m in messages) < 1_000_000


LEGS = [PCMU, PCMA, PCM16_8K, PCM16_16K, PCM16_24K, PCM16_48K]


@pytest.mark.parametrize("leg", LEGS, ids=str)
def test_formats_follow_the_leg(kind: str, leg: Format) -> None:
    link = codec(kind, leg)
    if kind == "gemini":
        assert (link.input_format, link.output_format) == (PCM16_16K, PCM16_24K)
    else:
        expected = leg if leg in (PCMU, PCMA) else PCM16_24K
        assert (link.input_format, link.output_format) == (expected, expected)
    caps = capabilities_for(TARGETS[kind], leg)
    assert caps == link.capabilities
    assert (caps.input_formats[0], caps.output_formats[0]) == (link.input_format, link.output_format)


def test_a_dial_keeps_secrets_out_of_the_address(kind: str) -> None:
    target = TARGETS[kind]
    dial = codec(kind).dial()
    assert target.api_key not in dial.url
    assert any(target.api_key in value for value in dial.headers.values())
    assert dial.url.startswith("wss://")
    assert target.api_key not in repr(dial)


def test_a_test_server_can_be_named(kind: str) -> None:
    for given, begins in (
        ("http://127.0.0.1:4711/some/path", "ws://127.0.0.1:4711/some/path"),
        ("wss://gateway.example/x?team=7", "wss://gateway.example/x?team=7"),
    ):
        dial = codec(kind, url=given, endpoint="", headers={"AUTHORIZATION": "mine", "X-Team": "7"}).dial()
        assert dial.url.startswith(begins)
        assert dial.headers["X-Team"] == "7"
        names = [name.lower() for name in dial.headers]
        assert len(names) == len(set(names))
        assert dial.headers["AUTHORIZATION"] == "mine"


@pytest.mark.parametrize("url", ["ftp://host/x", "127.0.0.1:80", "ws://user:pass@host/x", "wss://"])
def test_an_address_that_cannot_be_dialled(kind: str, url: str) -> None:
    with pytest.raises(ValueError, match="provider"):
        codec(kind, url=url)


def test_an_unknown_option_is_named(kind: str) -> None:
    with pytest.raises(ValueError, match="tempo"):
        codec(kind, options={"tempo": 1})


def test_capabilities_can_be_overridden(kind: str) -> None:
    assert codec(kind, options={"capabilities": {"probe_ping": False, "session_ms": 5}}).capabilities.session_ms == 5
    for bad in ({"probe_ping": 1}, {"flies": True}, {"input_formats": ["pcmu"]}, {"session_ms": "long"}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            codec(kind, options={"capabilities": bad})
    with pytest.raises(ValueError, match="mapping"):
        codec(kind, options={"capabilities": ["probe_ping"]})


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"nova.*openai, azure_openai, azure_voice_live, gemini, xai"):
        codec_for(replace(TARGETS["openai"], kind="nova"), PCMU)


@pytest.mark.parametrize("kind", ["azure_openai", "azure_voice_live"])
def test_azure_needs_an_address(kind: str) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        codec(kind, endpoint="")


def test_history_goes_out_in_order_with_its_roles(kind: str) -> None:
    link, _ = opened(kind)
    items = (
        Text("system", "The caller is Ada.", "n"),
        Text("user", "Hello", "t1"),
        Text("assistant", "Good morning", "a1"),
        Text("user", "   ", "blank"),
        Text("user", "What time is it?", "t2"),
    )
    messages = sent(link.encode(Seed(items)))
    if kind == "gemini":
        (message,) = messages
        content = message["clientContent"]
        assert content["turnComplete"] is False
        assert content["turns"] == [
            {"role": "user", "parts": [{"text": "(Note: The caller is Ada.)"}, {"text": "Hello"}]},
            {"role": "model", "parts": [{"text": "Good morning"}]},
            {"role": "user", "parts": [{"text": "What time is it?"}]},
        ]
        return
    assistant = "output_text" if kind in ("openai", "azure_openai") else "text"
    assert [(m["item"]["role"], m["item"]["content"]) for m in messages] == [
        ("system", [{"type": "input_text", "text": "The caller is Ada."}]),
        ("user", [{"type": "input_text", "text": "Hello"}]),
        ("assistant", [{"type": assistant, "text": "Good morning"}]),
        ("user", [{"type": "input_text", "text": "What time is it?"}]),
    ]
    ids = [m["item"]["id"] for m in messages]
    assert len(set(ids)) == 4 and max(map(len, ids)) <= 32
    assert len({m["event_id"] for m in messages}) == 4
