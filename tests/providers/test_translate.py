"""Audio between a leg and a provider: nothing lost, nothing added, nothing touched where both speak the same."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from audio.auto_gain import AutoGain
from audio.frame import PCM16_8K, PCM16_16K, PCM16_24K, PCM16_48K, PCMA, PCMU, Format, Pcm, decode, encode
from audio.levels import level_db
from audio.resample import convert
from providers.base import (
    Ask,
    Audio,
    BeginTurn,
    Configure,
    EndTurn,
    Event,
    Failure,
    Fault,
    FaultClass,
    Noticed,
    ReplyAudio,
    ReplyComplete,
    ReplyEnded,
    Seed,
    Session,
    SocketClosed,
    Speech,
    Text,
)
from providers.codec import Dial
from providers.translate import Converter, Translator
from tests.providers.servers import codec, sent, server, wire

LEGS = [PCMU, PCMA, PCM16_8K, PCM16_16K, PCM16_24K, PCM16_48K]
KINDS = ["openai", "azure_openai", "azure_voice_live", "xai", "gemini"]


def speech(rate: int, seconds: float = 0.5) -> Pcm:
    """Tones that lie within every rate's band."""
    t = np.arange(int(rate * seconds)) / rate
    wave = 7000 * np.sin(2 * np.pi * 440 * t) + 4000 * np.sin(2 * np.pi * 1830 * t + 1)
    return np.asarray(wave.astype(np.int16))


def heard_by_server(kind: str, messages: list[str | bytes]) -> bytes:
    out = b""
    for message in sent(messages):
        if kind == "gemini":
            out += base64.b64decode(message.get("realtimeInput", {}).get("audio", {}).get("data", ""))
        elif message["type"] == "input_audio_buffer.append":
            out += base64.b64decode(message["audio"])
    return out


def say_turn(translator: Translator, pieces: list[bytes], turn: int = 1) -> list[str | bytes]:
    messages = translator.encode(BeginTurn(turn))
    for piece in pieces:
        messages += translator.encode(Audio(piece))
    return messages + translator.encode(EndTurn(turn)) + translator.encode(Ask(turn))


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def correlation(a: Pcm, b: Pcm) -> float:
    n = min(len(a), len(b))
    return float(np.corrcoef(a[:n].astype(float), b[:n].astype(float))[0, 1])


@pytest.mark.parametrize("leg", LEGS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_callers_turn_arrives_whole(kind: str, leg: Format) -> None:
    link = codec(kind, leg)
    translator = Translator(link, leg)
    pcm = speech(leg.rate)
    data = encode(pcm, leg.encoding)
    heard = heard_by_server(kind, say_turn(translator, cut(data, leg.bytes_for(20))))
    there = link.input_format
    if there == leg:
        assert heard == data
        return
    got = decode(heard, there.encoding)
    lag = len(got) - len(pcm) * there.rate // leg.rate
    assert 0 <= lag <= there.rate * 3 // 1000  # the resampler's delay and nothing else
    assert correlation(got[lag:], convert(pcm, leg.rate, there.rate)) > 0.999


@pytest.mark.parametrize("leg", LEGS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_reply_arrives_whole_before_it_is_complete(kind: str, leg: Format) -> None:
    link, far = codec(kind, leg), server(kind)
    translator = Translator(link, leg)
    translator.encode(Configure(Session("x")))
    far.hear(translator.encode(Ask(1)))
    there = link.output_format
    pcm = speech(there.rate)
    events: list[Event] = []
    messages = [*far.configured(), *far.begin()]
    for piece in cut(encode(pcm, there.encoding), 734):
        messages += far.audio(piece)
    for message in [*messages, *far.spoken(), *far.end(usage=False)]:
        events += translator.decode(wire(message))
    kinds = [type(e) for e in events]
    last_audio = max(at for at, kind_ in enumerate(kinds) if kind_ is ReplyAudio)
    assert last_audio < kinds.index(ReplyComplete) < kinds.index(ReplyEnded)
    assert len({(e.ask, e.item) for e in events if isinstance(e, ReplyAudio)}) == 1
    data = b"".join(e.data for e in events if isinstance(e, ReplyAudio))
    if there == leg:
        assert data == encode(pcm, there.encoding)
        return
    got = decode(data, leg.encoding)
    lag = len(got) - len(pcm) * leg.rate // there.rate
    assert 0 <= lag <= max(1, leg.rate * 3 // 1000)
    assert correlation(got[lag:], convert(pcm, there.rate, leg.rate)) > 0.999


@pytest.mark.parametrize("leg", [PCMU, PCM16_48K], ids=str)
def test_pieces_make_no_difference(leg: Format) -> None:
    data = encode(speech(leg.rate), leg.encoding)
    whole, pieces = (
        heard_by_server("gemini", say_turn(Translator(codec("gemini", leg), leg), cut(data, size)))
        for size in (len(data), leg.bytes_for(20))
    )
    assert whole == pieces


def test_turns_do_not_ring_into_each_other() -> None:
    """Each turn is converted as if it were the first."""
    leg = PCM16_8K
    translator = Translator(codec("openai", leg), leg)
    loud, soft = encode(speech(8000) * 2, "pcm16"), encode(speech(8000, 0.3) // 50, "pcm16")
    say_turn(translator, [loud], 1)
    translator.encode(BeginTurn(2))
    translator.encode(Audio(loud))  # and never ended
    after = heard_by_server("openai", say_turn(translator, [soft], 3))
    fresh = heard_by_server("openai", say_turn(Translator(codec("openai", leg), leg), [soft], 3))
    assert after == fresh


class Script:
    """A codec that answers with given events."""

    def __init__(self, output: Format, script: list[list[Event] | Exception]) -> None:
        self.capabilities = codec("openai").capabilities
        self.input_format = self.output_format = output
        self.script = script

    def dial(self) -> Dial:
        return Dial("ws://127.0.0.1")

    def encode(self, command: object) -> list[str | bytes]:
        return [repr(command)]

    def decode(self, message: str | bytes) -> list[Event]:
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def fault(self, failure: Failure) -> Fault:
        return Fault(FaultClass.NETWORK, "lost")


def played(script: list[list[Event] | Exception], leg: Format = PCMU) -> list[Event]:
    translator = Translator(Script(PCM16_24K, script), leg)
    return [event for _ in range(len(script)) for event in translator.decode("")]


def test_the_tail_of_an_item_is_the_items() -> None:
    one, two = encode(speech(24000), "pcm16"), encode(speech(24000, 0.25), "pcm16")
    events = played(
        [[ReplyAudio(1, "a", one)], [ReplyAudio(1, "b", two)], [ReplyComplete(1)], [ReplyEnded(1, "completed")]]
    )
    sizes: dict[str, int] = {}
    for event in events:
        if isinstance(event, ReplyAudio):
            sizes[event.item] = sizes.get(event.item, 0) + len(event.data)
    # Each item: its own length and the delay of the filter, as bytes of u-law.
    assert sizes == {"a": 4000 + 22, "b": 2000 + 22}
    assert [type(e) for e in events[-2:]] == [ReplyComplete, ReplyEnded]


@pytest.mark.parametrize("outcome", ["failed", "cancelled"])
def test_a_reply_cut_short_keeps_what_was_received(outcome: str) -> None:
    data = encode(speech(24000), "pcm16")
    events = played([[ReplyAudio(1, "a", data)], [ReplyEnded(1, outcome)]])  # type: ignore[arg-type]
    assert sum(len(e.data) for e in events if isinstance(e, ReplyAudio)) == 4000 + 22
    assert isinstance(events[-1], ReplyEnded)


def test_the_end_of_another_reply_flushes_nothing() -> None:
    data = encode(speech(24000), "pcm16")
    events = played(
        [[ReplyAudio(2, "b", data[:9600])], [ReplyEnded(1, "cancelled")], [ReplyAudio(2, "b", data[9600:])]]
    )
    assert [type(e) for e in events] == [ReplyAudio, ReplyEnded, ReplyAudio]
    assert sum(len(e.data) for e in events if isinstance(e, ReplyAudio)) == 4000


@pytest.mark.parametrize("leg", [PCMU, PCM16_24K, PCM16_16K], ids=str)
def test_half_a_sample_is_dropped_and_does_not_shift_the_rest(leg: Format) -> None:
    data = encode(speech(24000), "pcm16")
    damaged = played(
        [[ReplyAudio(1, "a", data[:4801])], [ReplyAudio(1, "a", data[4800:])], [ReplyAudio(1, "a", b"\x07")]], leg
    )
    clean = played([[ReplyAudio(1, "a", data[:4800])], [ReplyAudio(1, "a", data[4800:])]], leg)
    assert damaged == clean


def test_a_decoder_that_fails_costs_one_message() -> None:
    data = encode(speech(24000), "pcm16")
    events = played([KeyError("x"), [ReplyAudio(1, "a", data)]])
    assert isinstance(events[0], Noticed) and "KeyError" in events[0].what
    assert isinstance(events[1], ReplyAudio)


@pytest.mark.parametrize("leg", LEGS, ids=str)
def test_speech_in_the_history_is_converted_without_delay(leg: Format) -> None:
    translator = Translator(codec("openai", leg), leg)
    pcm = speech(leg.rate)
    text, spoken = sent(translator.encode(Seed((Text("user", "Hello"), Speech(1, encode(pcm, leg.encoding))))))
    assert text["item"]["content"][0]["text"] == "Hello"
    data = base64.b64decode(spoken["item"]["content"][0]["audio"])
    there = leg if leg in (PCMU, PCMA) else PCM16_24K
    assert len(data) == there.bytes_for(500)
    assert correlation(decode(data, there.encoding), convert(pcm, leg.rate, there.rate)) > 0.999


def test_the_laws_become_each_other_by_table() -> None:
    every = bytes(range(256))
    for source, target in ((PCMU, PCMA), (PCMA, PCMU)):
        expected = encode(decode(every, source.encoding), target.encoding)
        there = Converter(source, target)
        assert there.process(every) == expected
        assert there.flush() == b""


def test_the_rest_is_the_codecs() -> None:
    translator = Translator(codec("openai", PCMU), PCMU)
    assert translator.capabilities == codec("openai", PCMU).capabilities
    assert translator.dial() == codec("openai", PCMU).dial()
    assert translator.fault(SocketClosed(1011)).kind is FaultClass.OVERLOADED


# ----------------------------------------------------------------------------------------------------- automatic gain


def quiet(leg: Format, seconds: float = 4.0) -> bytes:
    """A caller at -40 dB with pauses, on a line that hisses at -70."""
    t = np.arange(int(leg.rate * seconds)) / leg.rate
    words = (np.sin(2 * np.pi * 0.7 * t) > -0.6) * (1.2 + np.sin(2 * np.pi * 4 * t)) * np.sin(2 * np.pi * 300 * t)
    hiss = np.random.default_rng(5).normal(0, 10, len(t))
    return encode(np.asarray(350 * words + hiss, np.int16), leg.encoding)


@pytest.mark.parametrize("leg", LEGS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_quiet_caller_is_raised_in_turns_and_in_the_history(kind: str, leg: Format) -> None:
    data = quiet(leg)
    pieces = cut(data, leg.bytes_for(20))
    gain = AutoGain(leg)
    link = codec(kind, leg)
    translator = Translator(link, leg, gain)
    plain = heard_by_server(kind, say_turn(Translator(codec(kind, leg), leg), pieces))
    heard = heard_by_server(kind, say_turn(translator, pieces))
    assert len(heard) == len(plain), "no sample more, none less"
    form = link.input_format
    last = slice(len(decode(plain, form.encoding)) * 3 // 4, None)
    difference = level_db(decode(heard, form.encoding)[last]) - level_db(decode(plain, form.encoding)[last])
    assert 6 < difference < 15.5
    # What the session is told of earlier turns goes the same way, with what was learned.
    (seeded,) = _seeds(translator, data)
    assert level_db(seeded) > level_db(decode(data, leg.encoding)) + 6


def _seeds(translator: Translator, data: bytes) -> list[Pcm]:
    """The caller's speech of a Seed, as the codec is given it."""
    given: list[Pcm] = []
    link = translator._codec
    encode_ = link.encode

    def spy(command: object) -> list[str | bytes]:
        if isinstance(command, Seed):
            given.extend(decode(i.data, link.input_format.encoding) for i in command.items if isinstance(i, Speech))
        return encode_(command)  # type: ignore[arg-type]

    link.encode = spy  # type: ignore[method-assign, assignment]
    translator.encode(Seed((Speech(1, data, "t1"), Text("user", "and this", "t2"))))
    return given
