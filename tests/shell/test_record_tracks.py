"""The sound files of a call: what the caller sent and heard, sample by sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio.frame import PCM16_16K, PCMU, Format, decode
from bridge.shell.record import Recordings
from bridge.shell.record_format import CALLER, CLEARED, CONCEALED, DROPPED, EMITTED, HEADER, PULLED
from bridge.shell.record_tracks import make_tracks
from tests.shell.studio import Studio, noise, speech, targets
from tests.shell.studio import spec as call_spec

MS = 1_000_000
START = 5_000_000_000


def frame(number: int, form: Format = PCMU) -> bytes:
    return noise(20 if form is PCMU else 80, number)


class Tape:
    """The `media.bin` of a call made by hand; times in ms."""

    def __init__(self, form: Format = PCMU) -> None:
        self.form = form
        self.media = bytearray()
        self.lost: list[int] = []
        self.breaths = 0

    def add(self, at: float, kind: int, data: bytes | None = b"") -> Tape:
        size = 160 if data is None else len(data)
        self.media += HEADER.pack(START + round(at * MS), 1, 0, size, kind, DROPPED if data is None else 0)
        self.media += data or b""
        return self

    def caller(self, at: float, data: bytes | None, kind: int = CALLER) -> Tape:
        return self.add(at, kind, data)

    def emit(self, at: float, data: bytes | None) -> Tape:
        return self.add(at, PULLED).add(at, EMITTED, data)

    def clear(self, at: float) -> Tape:
        return self.add(at, CLEARED)

    def lose(self, at: float) -> Tape:
        self.lost.append(START + round(at * MS))
        return self

    def make(self, folder: Path) -> tuple[np.ndarray, np.ndarray]:
        def breathe() -> None:
            self.breaths += 1

        media, *paths = (folder / name for name in ("media.bin", "caller.flac", "agent.flac"))
        media.write_bytes(self.media)
        length = make_tracks(media, self.form, START, self.lost, *paths, breathe)
        caller, agent = (soundfile.read(path, dtype="int16") for path in paths)
        assert caller[1] == agent[1] == self.form.rate
        assert len(caller[0]) == len(agent[0]) == length
        return caller[0], agent[0]


def pcm(data: bytes, form: Format = PCMU) -> np.ndarray:
    return decode(data, form.encoding)


def at(samples: np.ndarray, ms: float, data: bytes, form: Format = PCMU) -> bool:
    """`data` lies in `samples` at `ms`."""
    begin = round(ms * form.rate / 1000)
    expected = pcm(data, form)
    return bool(np.array_equal(samples[begin : begin + len(expected)], expected))


# ----------------------------------------------------------------------------------------------------------- the caller


def test_the_callers_frames_lie_in_a_row_whenever_they_arrive(tmp_path: Path) -> None:
    tape = Tape()
    sent = b"".join(frame(n) for n in range(200))
    rng = np.random.default_rng(3)
    for n in range(200):
        late = 400 - (n - 50) * 20 if 50 <= n < 70 else rng.uniform(0, 15)  # a burst after 400 ms of nothing
        tape.caller(120 + n * 20 + late, frame(n))
    caller, _ = tape.make(tmp_path)
    begin = int(np.flatnonzero(caller)[0])
    assert 100 <= begin / 8 <= 116
    assert np.array_equal(caller[begin : begin + len(sent)], pcm(sent))
    assert not caller[begin + len(sent) :].any()


def test_a_hole_in_the_callers_stream_stays_a_hole(tmp_path: Path) -> None:
    tape = Tape()
    for n in range(100):
        tape.caller(20 + n * 20 + (3000 if n >= 50 else 0), frame(n))
    caller, _ = tape.make(tmp_path)
    assert at(caller, 0, b"".join(frame(n) for n in range(50)))
    assert not caller[8000:32000].any()
    assert at(caller, 4000, b"".join(frame(n) for n in range(50, 100)))


def test_concealed_frames_are_part_of_what_was_heard_of_the_caller_and_dropped_ones_are_not(tmp_path: Path) -> None:
    caller, _ = Tape().caller(20, frame(1)).caller(40, frame(2), CONCEALED).caller(60, None).make(tmp_path)
    assert at(caller, 0, frame(1) + frame(2))


def test_wide_band_is_kept_as_it_is(tmp_path: Path) -> None:
    tape = Tape(PCM16_16K)
    for n in range(10):
        tape.caller(20 + n * 20, frame(n, PCM16_16K))
    caller, _ = tape.make(tmp_path)
    assert np.array_equal(caller, pcm(b"".join(frame(n, PCM16_16K) for n in range(10)), PCM16_16K))


def test_an_hour_is_written_in_pieces(tmp_path: Path) -> None:
    """Long silences and long speech pass through a bounded buffer."""
    tape = Tape()
    for n in range(3000):
        tape.caller(20 + n * 20, frame(n % 50))
        tape.emit(20 + n * 20 + 5, frame(1000 + n % 50))
    tape.emit(600_000, frame(7))
    caller, agent = tape.make(tmp_path)
    assert len(caller) == 8 * 600_020
    assert np.array_equal(caller[: 3000 * 160], pcm(b"".join(frame(n % 50) for n in range(3000))))
    assert np.array_equal(agent[200 : 200 + 3000 * 160], pcm(b"".join(frame(1000 + n % 50) for n in range(3000))))
    assert at(agent, 600_000, frame(7))
    assert tape.breaths >= 110


# ------------------------------------------------------------------------------------------------------------ the agent


def test_audio_sent_ahead_plays_in_its_turn(tmp_path: Path) -> None:
    _, agent = Tape().emit(100, frame(1)).emit(100, frame(2)).emit(120, frame(3)).emit(500, frame(4)).make(tmp_path)
    assert not agent[:800].any()
    assert at(agent, 100, frame(1) + frame(2) + frame(3))
    assert not agent[160 * 8 : 500 * 8].any()
    assert at(agent, 500, frame(4))


def test_a_clear_throws_away_what_was_not_played_yet(tmp_path: Path) -> None:
    tape = Tape().emit(100, frame(1)).emit(100, frame(2)).emit(110, frame(3)).clear(130).emit(135, frame(4))
    _, agent = tape.make(tmp_path)
    assert at(agent, 100, frame(1) + frame(2)[:80])
    assert not agent[130 * 8 : 135 * 8].any()
    assert at(agent, 135, frame(4))
    assert len(agent) == 155 * 8


def test_a_lost_leg_plays_nothing_that_was_in_flight(tmp_path: Path) -> None:
    tape = Tape().emit(100, frame(1)).emit(100, frame(2)).lose(110).emit(400, frame(2)).emit(400, frame(3)).lose(405)
    _, agent = tape.make(tmp_path)
    assert at(agent, 100, frame(1)[:80])
    assert not agent[110 * 8 : 400 * 8].any()
    assert at(agent, 400, frame(2)[:40])
    assert len(agent) == 405 * 8


def test_a_clear_may_take_back_several_pieces_and_a_dropped_one_is_nothing(tmp_path: Path) -> None:
    tape = Tape().emit(100, None)
    for n in range(10):
        tape.emit(100, frame(n))
    _, agent = tape.clear(145).clear(146).emit(150, frame(20)).make(tmp_path)
    assert at(agent, 100, (frame(0) + frame(1) + frame(2))[: 45 * 8])
    assert at(agent, 150, frame(20))


@pytest.mark.parametrize("tail", [b"", b"\0" * 23, b"\xee" * 100, HEADER.pack(1, 1, 0, 500, CALLER, 0) + b"x" * 499])
def test_a_torn_end_is_left_out(tmp_path: Path, tail: bytes) -> None:
    tape = Tape().caller(20, frame(1)).emit(20, frame(2))
    tape.media += tail
    caller, agent = tape.make(tmp_path)
    assert at(caller, 0, frame(1))
    assert at(agent, 20, frame(2))
    assert len(agent) == 320


def test_a_call_without_sound(tmp_path: Path) -> None:
    (tmp_path / "media.bin").write_bytes(b"")
    tracks = tmp_path / "caller.flac", tmp_path / "agent.flac"
    assert make_tracks(tmp_path / "media.bin", PCMU, START, [], *tracks, lambda: None) == 0
    assert not any(track.exists() for track in tracks), "a FLAC file without sound cannot be read"


# -------------------------------------------------------------------------------------------------------- a whole call


@pytest.mark.parametrize("interrupting", [False, True])
def test_both_tracks_of_a_call_are_what_the_carrier_carried(tmp_path: Path, interrupting: bool) -> None:
    recordings = Recordings(tmp_path)
    recorder = recordings.open(call_spec(), targets())
    studio = Studio(recorder).says(2000 if interrupting else 6000, speech("order_status")).run(16000)
    folder = recorder.finished.result(timeout=20)
    assert recordings.close()
    caller, rate = soundfile.read(folder / "caller.flac", dtype="int16")
    agent, _ = soundfile.read(folder / "agent.flac", dtype="int16")
    assert rate == 8000
    assert len(caller) == len(agent)
    assert np.array_equal(caller, pcm(bytes(studio.sent))[: len(caller)])
    assert any(note.kind == "cut" for note in studio.notes) is interrupting

    # The carrier here plays in slots of 20 ms, the track to the sample: the same sound, at most one slot apart.
    heard = pcm(bytes(studio.heard))
    lag = _lag(agent, heard)
    assert 0 <= lag <= 160
    same = min(len(agent), len(heard) - lag)
    different = np.flatnonzero(agent[:same] != heard[lag : lag + same])
    assert len(different) <= (320 if interrupting else 0), "only the slot at the cut may differ"
    assert np.count_nonzero(agent) > 8000 * 4


def _lag(one: np.ndarray, other: np.ndarray) -> int:
    """By how many samples `other` comes later, from the first sound of each."""
    return int(np.flatnonzero(other)[0]) - int(np.flatnonzero(one)[0])
