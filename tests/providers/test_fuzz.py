"""Whatever a server sends, decoding does not raise, and what comes out makes sense."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audio.frame import PCM16_24K, PCMU
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
    Failed,
    Forget,
    HttpRefusal,
    NetworkError,
    Noticed,
    Probe,
    ReplyAudio,
    ReplyEnded,
    ReplyStarted,
    ReplyText,
    Seed,
    Session,
    SocketClosed,
    Speech,
    Text,
    ToolCalled,
    ToolOutput,
    Truncate,
)
from providers.codec import Codec
from providers.registry import kinds
from providers.translate import Translator
from tests.providers.servers import Json, RealtimeServer, codec, server
from tests.providers.test_recordings import FILES, codec_of, received

PCM = bytes(range(2, 242)) * 4
EASY = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["resp_1", "item_1", "user_1", "call_1", "completed", "failed", "ask-1", "seed-1", "turn-" + "9" * 5000]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)

commands: st.SearchStrategy[Command] = st.one_of(
    st.integers(0, 5).map(BeginTurn),
    st.binary(min_size=0, max_size=400).map(Audio),
    st.integers(0, 5).map(EndTurn),
    st.builds(Ask, st.integers(1, 9), st.sampled_from(["", "Greet."])),
    st.integers(0, 9).map(Cancel),
    st.builds(Truncate, st.sampled_from(["item_1", "item_2", "gemini-1", "other"]), st.integers(-5, 5000)),
    st.lists(st.sampled_from(["a", "b", "c"]), max_size=3).map(lambda refs: Forget(tuple(refs))),
    st.builds(
        ToolOutput, st.sampled_from(["call_1", "x"]), st.just("lookup"), st.sampled_from(["{}", "no json", "[1]"])
    ),
    st.just(Probe()),
    st.lists(
        st.builds(
            Text, st.sampled_from(["system", "user", "assistant"]), st.text(max_size=5), st.sampled_from(["", "a"])
        )
        | st.builds(Speech, st.integers(1, 5), st.binary(max_size=60), st.just("b")),
        max_size=3,
    ).map(lambda items: Seed(tuple(items))),
)


class Witness:
    """Checks what must hold of any sequence of events."""

    def __init__(self) -> None:
        self.open: Counter[int] = Counter()

    def see(self, events: list[Event]) -> None:
        for event in events:
            orjson.dumps(repr(event))
            if isinstance(event, ReplyStarted):
                self.open[event.ask] += 1
            elif isinstance(event, ReplyEnded):
                self.open[event.ask] -= 1
                assert self.open[event.ask] >= 0, "ended more often than started"
                assert (event.fault is None) == (event.outcome in ("completed", "cancelled"))
            elif isinstance(event, ReplyAudio):
                assert isinstance(event.data, bytes) and event.data and isinstance(event.item, str)
                assert self.open[event.ask] > 0, "audio outside a reply"
            elif isinstance(event, ReplyText):
                assert isinstance(event.text, str) and event.text
            elif isinstance(event, ToolCalled):
                assert isinstance(orjson.loads(event.arguments), dict)
                assert event.call_id and event.name
            elif isinstance(event, CallerText):
                assert isinstance(event.turn, int) and isinstance(event.text, str)
            elif isinstance(event, Noticed):
                assert len(event.what) <= 300
            elif isinstance(event, Failed):
                assert len(event.fault.reason) <= 300


def conversation(kind: str) -> list[Json]:
    """A bit of everything a server of this kind says."""
    far = server(kind)
    messages = [*far.configured(), *far.turn_taken(), *far.transcript(["Hel", "lo"]), *far.begin(), *far.text("Hi")]
    messages += [*far.audio(PCM), *far.spoken(), *far.end(), *far.turn_taken(), *far.begin()]
    messages += [*far.call("call_1", "lookup", {"q": 1}), *far.end(), *far.begin(), *far.audio(PCM), *far.interrupted()]
    if isinstance(far, RealtimeServer):
        body = {"type": "invalid_request_error", "code": "invalid_value", "message": "no", "event_id": "turn-1"}
        limits = [{"name": "tokens", "limit": 10, "remaining": 5, "reset_seconds": 1.5}]
        messages += [
            {"type": "error", "error": body},
            {"type": "rate_limits.updated", "rate_limits": limits},
            {"type": "input_audio_buffer.cleared"},
            {"type": "warning", "warning": {"code": "a", "message": "b"}},
            {"type": "conversation.item.input_audio_transcription.failed", "error": body},
            {"type": "conversation.item.added", "item": {"id": "item_1"}},
            *far.end("failed", {"type": "failed", "error": body}),
            *far.end("incomplete", {"type": "incomplete", "reason": "content_filter"}),
        ]
    else:
        messages += [
            {"goAway": {"timeLeft": "50s"}},
            {"toolCallCancellation": {"ids": ["call_1"]}},
            {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "no"}},
            {"sessionResumptionUpdate": {"newHandle": "h", "resumable": True}},
            *far.end("SAFETY"),
        ]
    return messages


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a message where something can be changed."""
    out = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        out += places(inner, (*path, key))
    return out


def mutated(draw: Any, message: Json) -> Any:
    """A message with one place replaced, removed or doubled."""
    found = places(message)
    if not found:
        return message
    message = copy.deepcopy(message)
    *way, last = draw(st.sampled_from(found))
    where: Any = message
    for key in way:
        where = where[key]
    action = draw(st.sampled_from(["replace", "remove", "nest"]))
    if action == "replace":
        where[last] = draw(json_values)
    elif action == "remove":
        del where[last]
    else:
        where[last] = [where[last], where[last]]
    return message


@pytest.mark.parametrize("kind", kinds())
@EASY
@given(st.lists(st.text(max_size=60) | st.binary(max_size=60) | json_values.map(orjson.dumps), max_size=8))
def test_noise(kind: str, messages: list[str | bytes]) -> None:
    link, witness = codec(kind), Witness()
    for message in messages:
        witness.see(link.decode(message))


@pytest.mark.parametrize("kind", kinds())
@EASY
@given(st.data())
def test_known_types_with_any_fields(kind: str, data: st.DataObject) -> None:
    link, witness = codec(kind), Witness()
    known = conversation(kind)
    for _ in range(6):
        message = data.draw(st.sampled_from(known))
        keys = [key for key in message if key != "type"] if kind != "gemini" else list(message)
        made = {key: data.draw(json_values) for key in keys}
        if kind != "gemini":
            made["type"] = message["type"]
        witness.see(link.decode(orjson.dumps(made)))


@pytest.mark.parametrize("kind", kinds())
@EASY
@given(st.data())
def test_a_mutated_conversation_between_any_commands(kind: str, data: st.DataObject) -> None:
    """Through a Translator, whose net must never have been needed."""
    translator, witness = Translator(codec(kind, PCMU), PCMU), Witness()
    translator.encode(Configure(Session("x")))
    for message in conversation(kind):
        for command in data.draw(st.lists(commands, max_size=2)):
            for written in translator.encode(command):
                assert isinstance(written, str) and isinstance(orjson.loads(written), dict)
        changed = mutated(data.draw, message) if data.draw(st.integers(0, 3)) == 0 else message
        events = translator.decode(orjson.dumps(changed))
        assert not any(isinstance(e, Noticed) and "decoder failed" in e.what for e in events)
        witness.see(events)


@pytest.mark.skipif(not FILES, reason="the corpus of recorded provider sockets is not here")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@settings(EASY, max_examples=10)
@given(st.data())
def test_mutated_recordings(path: Any, data: st.DataObject) -> None:
    messages = received(path)
    link, witness = codec_of(path), Witness()
    start = data.draw(st.integers(0, len(messages) - 1))
    for message in messages[start : start + 40]:
        fate = data.draw(st.integers(0, 5))
        if fate == 0:
            continue
        witness.see(link.decode(orjson.dumps(mutated(data.draw, message) if fate == 1 else message)))


@pytest.mark.parametrize("kind", kinds())
@EASY
@given(st.data())
def test_any_end_is_classified(kind: str, data: st.DataObject) -> None:
    failures = (
        st.builds(SocketClosed, st.none() | st.integers(0, 65535), st.text(max_size=200))
        | st.builds(
            HttpRefusal,
            st.integers(100, 599),
            st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "x"]), st.text(max_size=20)),
            st.binary(max_size=80) | json_values.map(orjson.dumps),
        )
        | st.builds(NetworkError, st.text(max_size=20), st.text(max_size=400))
    )
    link: Codec = codec(kind)
    fault = link.fault(data.draw(failures))
    assert len(fault.reason) <= 300
    assert fault.retry_after_ms is None or 0 <= fault.retry_after_ms <= 24 * 3600 * 1000


@pytest.mark.parametrize("kind", kinds())
def test_large_messages(kind: str) -> None:
    """A reply's audio in one message, and garbage of the same size."""
    link, far = codec(kind, PCM16_24K), server(kind)
    data = PCM * 4000
    events = [e for m in [*far.begin(), *far.audio(data)] for e in link.decode(orjson.dumps(m))]
    assert [e.data for e in events if isinstance(e, ReplyAudio)] == [data]
    (event,) = link.decode(b"{" + b"x" * 8_000_000)
    assert isinstance(event, Noticed) and len(event.what) < 300
