from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from bridge.edges.wsock import BINARY, CLOSE, PING, PONG, SKIPPED, TEXT, FrameParser, ProtocolError, frame

MAX = 5000
rng = random.Random(3)


def sent(opcode: int, payload: bytes, fin: bool = True, mask: bool = True) -> bytes:
    """A frame as another implementation writes it."""
    return Frame(Opcode(opcode), payload, fin=fin).serialize(mask=mask)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 1000, MAX])
@pytest.mark.parametrize("step", [1, 2, 3, 7, 100, 10_000])
def test_messages_come_out_whole_however_they_are_cut(size: int, step: int) -> None:
    payloads = [rng.randbytes(size), rng.randbytes(10), rng.randbytes(size)]
    wire = b"".join(sent(TEXT, payload) for payload in payloads)
    parser = FrameParser(MAX)
    out = [message for at in range(0, len(wire), step) for message in parser.feed(wire[at : at + step])]
    assert out == [(TEXT, payload) for payload in payloads]


def test_fragments_are_joined_with_control_frames_between() -> None:
    wire = sent(TEXT, b"one ", fin=False) + sent(PING, b"p") + sent(0, b"two ", fin=False) + sent(0, b"three")
    assert FrameParser(MAX).feed(wire) == [(PING, b"p"), (TEXT, b"one two three")]


def test_binary_and_control_frames() -> None:
    wire = sent(BINARY, b"\x00\xff") + sent(PONG, b"") + sent(CLOSE, b"\x03\xe8bye")
    assert FrameParser(MAX).feed(wire) == [(BINARY, b"\x00\xff"), (PONG, b""), (CLOSE, b"\x03\xe8bye")]


@pytest.mark.parametrize("step", [1, 500, 100_000])
def test_a_message_that_is_too_long_is_skipped_and_the_next_one_read(step: int) -> None:
    wire = sent(TEXT, b"before") + sent(TEXT, rng.randbytes(70_000)) + sent(TEXT, b"after")
    parser = FrameParser(MAX)
    out = [message for at in range(0, len(wire), step) for message in parser.feed(wire[at : at + step])]
    assert out == [(TEXT, b"before"), (SKIPPED, b"70000"), (TEXT, b"after")]


def test_what_is_skipped_is_not_kept() -> None:
    parser = FrameParser(MAX)
    parser.feed(sent(TEXT, rng.randbytes(1_000_000))[:500_000])
    assert len(parser._buffer) == 0


def test_fragments_that_grow_too_long_are_skipped() -> None:
    parts = [sent(TEXT, b"x" * 4000, fin=False), *(sent(0, b"y" * 4000, fin=False) for _ in range(10)), sent(0, b"z")]
    wire = b"".join(parts) + sent(TEXT, b"after")
    parser = FrameParser(MAX)
    out = [
        message for part in [wire[at : at + 777] for at in range(0, len(wire), 777)] for message in parser.feed(part)
    ]
    assert out == [(SKIPPED, b"44001"), (TEXT, b"after")]


def test_a_declared_length_of_many_bytes_is_no_reason_to_wait() -> None:
    head = bytes((0x81, 0xFF)) + (1 << 62).to_bytes(8, "big") + b"mask"
    parser = FrameParser(MAX)
    for _ in range(10):
        assert parser.feed(head if _ == 0 else b"x" * 10_000) == []
    assert len(parser._buffer) == 0


@pytest.mark.parametrize(
    "wire",
    [
        sent(TEXT, b"x", mask=False),
        b"\xc1\x80mask",  # a reserved bit
        b"\x83\x80mask",  # an unknown opcode
        b"\x8b\x80mask",
        b"\x09\x80mask",  # a fragmented ping
        b"\x88\xfe\x00\x7emask" + b"x" * 126,  # a long close
        sent(0, b"x"),  # a continuation of nothing
        sent(TEXT, b"x", fin=False) + sent(TEXT, b"y"),
        sent(TEXT, b"x", fin=False) + sent(BINARY, b"y"),
    ],
    ids=[
        "not masked",
        "reserved bit",
        "unknown opcode",
        "unknown control opcode",
        "fragmented ping",
        "long close",
        "continuation of nothing",
        "text within fragments",
        "binary within fragments",
    ],
)
def test_broken_rules_are_an_error(wire: bytes) -> None:
    with pytest.raises(ProtocolError):
        FrameParser(MAX).feed(wire)


@settings(max_examples=300)
@given(st.binary(max_size=400), st.integers(1, 50))
def test_any_bytes_are_messages_or_a_protocol_error(data: bytes, step: int) -> None:
    parser = FrameParser(100)
    try:
        for at in range(0, len(data), step):
            for opcode, payload in parser.feed(data[at : at + step]):
                assert opcode == SKIPPED or len(payload) <= 125
    except ProtocolError:
        pass


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_frames_are_written_as_others_write_them(size: int) -> None:
    payload = rng.randbytes(size)
    assert frame(TEXT, payload) == sent(TEXT, payload, mask=False)
