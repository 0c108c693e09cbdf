from __future__ import annotations

import json
import random
from base64 import b64encode
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.frame import PCMU
from bridge.edges.twilio import (
    MAX_EARLY,
    MAX_PARAMETERS,
    Ignored,
    Item,
    Key,
    Played,
    Start,
    Stop,
    TwilioFramer,
    Unusable,
    checked_parameters,
)

MULAW = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
rng = random.Random(7)


def message(event: str, **fields: Any) -> bytes:
    return orjson.dumps({"event": event, "sequenceNumber": "1", "streamSid": "MZ1", **fields})


def start(**changes: Any) -> bytes:
    fields = {"streamSid": "MZ1", "callSid": "CA1", "accountSid": "AC1", "customParameters": {}, "mediaFormat": MULAW}
    return message("start", start={**fields, **changes})


def media(audio: bytes, chunk: object = None) -> bytes:
    fields = {"track": "inbound", "timestamp": "20", "payload": b64encode(audio).decode()}
    return message("media", media=fields if chunk is None else {**fields, "chunk": chunk})


def started() -> TwilioFramer:
    framer = TwilioFramer()
    assert isinstance(framer.received(start())[0], Start)
    return framer


def only(items: Any) -> Item:
    assert len(items) == 1, items
    item: Item = items[0]
    return item


def heard(framer: TwilioFramer, *messages: bytes) -> list[bytes]:
    return [item for each in messages for item in framer.received(each) if isinstance(item, bytes)]


# ------------------------------------------------------------------------------------------------------------ in order


def test_a_whole_stream() -> None:
    framer = TwilioFramer()
    assert framer.received(message("connected", protocol="Call", version="1.0.0")) == ()
    begun = only(framer.received(start(customParameters={"tenant": "t1"})))
    assert begun == Start("MZ1", "CA1", "AC1", {"tenant": "t1"}, PCMU)
    first, second = rng.randbytes(160), rng.randbytes(160)
    assert framer.received(media(first, "1")) == [first]
    assert framer.received(media(second, "2")) == [second]
    assert framer.received(message("dtmf", dtmf={"track": "inbound_track", "digit": "5"})) == [Key("5")]
    assert framer.received(message("mark", mark={"name": "3:7"})) == (Played("3:7"),)
    assert framer.received(message("stop", stop={"callSid": "CA1"})) == [Stop()]
    assert not framer.ignored


@pytest.mark.parametrize("size", [1, 80, 159, 160, 161, 320, 480, 1000, 8000])
def test_payloads_of_any_length_become_frames_of_20_ms(size: int) -> None:
    framer = started()
    sound = rng.randbytes(size * 5)
    frames = heard(framer, *(media(sound[at : at + size], str(at // size + 1)) for at in range(0, len(sound), size)))
    assert [len(frame) for frame in frames] == [160] * (len(sound) // 160)
    rest = heard(framer, message("stop", stop={}))
    assert b"".join(frames + rest) == sound


def test_any_key_order_and_spacing_is_read() -> None:
    sound = rng.randbytes(160)
    payload = b64encode(sound)
    for text in (
        b'{"streamSid":"MZ1","media":{"payload":"%b","chunk":"1"},"event":"media"}' % payload,
        b'{ "event" : "media" , "media" : { "chunk" : 1, "payload" : "%b" } }' % payload,
        b'{"event":"media","note":"\\"payload\\":\\"AAAA\\"","media":{"chunk":"1","payload":"%b"}}' % payload,
        b'{"event":"media","media":{"chunk":"1","payload":"%b"}}' % payload.replace(b"/", b"\\/"),
    ):
        assert heard(started(), text) == [sound]


def test_what_goes_out() -> None:
    framer = started()
    sound = rng.randbytes(160)
    assert orjson.loads(framer.media(sound)) == {
        "event": "media", "streamSid": "MZ1", "media": {"payload": b64encode(sound).decode()},
    }  # fmt: skip
    assert orjson.loads(framer.mark('0:"1')) == {"event": "mark", "streamSid": "MZ1", "mark": {"name": '0:"1'}}
    assert orjson.loads(framer.clear()) == {"event": "clear", "streamSid": "MZ1"}


# ------------------------------------------------------------------------------------------------------------ bad input


def test_chunks_out_of_order_are_put_right() -> None:
    sounds = {number: rng.randbytes(160) for number in range(1, 7)}
    framer = started()
    arrived = heard(framer, *(media(sounds[number], str(number)) for number in (1, 2, 4, 3, 6, 5)))
    assert arrived == [sounds[number] for number in range(1, 7)]
    assert not framer.ignored


def test_a_chunk_that_is_too_late_is_counted_and_said() -> None:
    framer = started()
    sounds = [rng.randbytes(160) for _ in range(9)]
    for number in (1, 3, 4, 5, 6):
        framer.received(media(sounds[number], str(number)))
    assert framer.received(media(sounds[2], "2")) == [Ignored("late chunk", "number 2")]
    assert framer.ignored == {"missing chunk": 1, "late chunk": 1}


@pytest.mark.parametrize("chunk", [None, "", "-1", "x", "99999999999999999999", 1.5, True, [], {"a": 1}])
def test_a_chunk_without_a_usable_number_is_taken_as_it_comes(chunk: object) -> None:
    framer = started()
    sounds = [rng.randbytes(160) for _ in range(3)]
    assert heard(framer, *(media(sound, chunk) for sound in sounds)) == sounds


def test_media_before_start_is_kept_up_to_a_second() -> None:
    framer = TwilioFramer()
    sounds = [rng.randbytes(160) for _ in range(MAX_EARLY + 10)]
    said = [item for n, sound in enumerate(sounds) for item in framer.received(media(sound, str(n + 1)))]
    assert said[0] == Ignored("media before start", "kept")
    assert said[1:] == [Ignored("media before start", "dropped")] * 10
    begun, *frames = framer.received(start())
    assert isinstance(begun, Start)
    assert frames == sounds[:MAX_EARLY]
    assert framer.ignored["media before start"] == MAX_EARLY + 10


def test_a_second_start_changes_nothing() -> None:
    framer = started()
    assert only(framer.received(start(streamSid="MZ2"))) == Ignored("second start", "the stream goes on as it began")
    assert b"MZ1" in framer.media(b"x") and b"MZ2" not in framer.clear()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"", "malformed message"),
        (b"{", "malformed message"),
        (b"\xff\xfe", "malformed message"),
        (b"[" * 100_000, "malformed message"),
        (b"null", "malformed message"),
        (b'"media"', "malformed message"),
        (b"[1, 2]", "malformed message"),
        (b"{}", "malformed message"),
        (b'{"event":"media"}', "malformed message"),
        (b'{"event":"media","media":"x"}', "malformed message"),
        (b'{"event":"media","media":{"payload":17}}', "malformed message"),
        (b'{"event":"media","media":{"payload":"a"}}', "bad audio"),
        (b'{"event":"media","media":{"payload":"%%%%"}}', "bad audio"),
        (b'{"event":"media","media":{"payload":"AAAA=AAA"}}', "bad audio"),
        ('{"event":"media","media":{"payload":"é"}}'.encode(), "bad audio"),
        (b'{"event":"dtmf"}', "malformed message"),
        (b'{"event":"dtmf","dtmf":{"digit":"55"}}', "bad key"),
        (b'{"event":"dtmf","dtmf":{"digit":""}}', "bad key"),
        (b'{"event":"mark","mark":{}}', "malformed message"),
        (b'{"event":"mark","mark":{"name":7}}', "bad mark"),
        (b'{"event":"mark","mark":{"name":"%b"}}' % (b"x" * 1000), "bad mark"),
        (b'{"event":"launch"}', "unknown event"),
        (b'{"event":["media"]}', "unknown event"),
        (b'{"event":null}', "unknown event"),
    ],
)
def test_what_cannot_be_used_is_counted_and_the_stream_goes_on(text: bytes, kind: str) -> None:
    framer = started()
    item = only(framer.received(text))
    assert isinstance(item, Ignored) and item.kind == kind
    assert framer.ignored == {kind: 1}
    sound = rng.randbytes(160)
    assert framer.received(media(sound, "1")) == [sound]


@pytest.mark.parametrize(
    "wire",
    [
        {**MULAW, "sampleRate": 16000},
        {**MULAW, "encoding": "audio/x-l16"},
        {**MULAW, "channels": 2},
        "audio/x-mulaw",
        {**MULAW, "sampleRate": {"a": "\n" * 500}},
    ],
)
def test_audio_that_is_not_supported_is_refused_with_a_reason(wire: object) -> None:
    item = only(TwilioFramer().received(start(mediaFormat=wire)))
    assert isinstance(item, Unusable)
    assert item.why.isprintable() and len(item.why) < 200


def test_a_start_that_lacks_its_fields_leaves_the_stream_waiting() -> None:
    framer = TwilioFramer()
    injected = start(streamSid='x","event":"clear')
    bad = (message("start"), message("start", start=[]), orjson.dumps({"event": "start", "start": {}}), injected)
    for each in bad:
        assert isinstance(only(framer.received(each)), Ignored)
    assert isinstance(only(framer.received(start())), Start)


@given(st.binary(max_size=200))
def test_no_bytes_raise(text: bytes) -> None:
    framer = started()
    framer.received(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from(["connected", "start", "media", "dtmf", "mark", "stop", "other"]),
    st.dictionaries(st.sampled_from(["start", "media", "dtmf", "mark", "streamSid", "stop"]), JSON, max_size=4),
    st.dictionaries(
        st.sampled_from(["payload", "chunk", "digit", "name", "streamSid", "customParameters", "mediaFormat"]), JSON
    ),
)
def test_no_shape_raises(event: str, fields: dict[str, object], inner: dict[str, object]) -> None:
    for framer in (TwilioFramer(), started()):
        framer.received(json.dumps({"event": event, **fields}).encode())
        framer.received(json.dumps({"event": event, event: inner}).encode())
        for item in framer.received(start()):
            assert not isinstance(item, Start) or item.stream


# ----------------------------------------------------------------------------------------------------------- parameters


def test_good_parameters_pass() -> None:
    assert checked_parameters({"customer_name": "Ann Ω", "n": 7, "a.b-c": ""}) == (
        {"customer_name": "Ann Ω", "n": "7", "a.b-c": ""},
        [],
    )
    assert checked_parameters(None) == ({}, [])


@pytest.mark.parametrize(
    ("given_", "why"),
    [
        ({"": "x"}, "no usable name"),
        ({"a b": "x"}, "no usable name"),
        ({"1a": "x"}, "no usable name"),
        ({"x" * 65: "x"}, "no usable name"),
        ({"x": None}, "not text"),
        ({"x": {}}, "not text"),
        ({"x": "y" * 1001}, "longer"),
        ({"x": "a\nb"}, "control"),
        ({"x": "a\u202eb"}, "control"),
        ([], "not an object"),
    ],
)
def test_bad_parameters_are_left_out_one_by_one(given_: object, why: str) -> None:
    good, bad = checked_parameters({**given_, "ok": "1"} if isinstance(given_, dict) else given_)
    assert good == ({"ok": "1"} if isinstance(given_, dict) else {})
    assert len(bad) == 1 and why in bad[0]


def test_only_so_many_parameters_are_taken() -> None:
    good, bad = checked_parameters({f"p{n}": "v" for n in range(1000)})
    assert len(good) == MAX_PARAMETERS
    assert len(bad) <= MAX_PARAMETERS + 2
