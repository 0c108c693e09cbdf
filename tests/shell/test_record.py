"""Records as they are written: what is on disk, what it costs the loop, what happens when the disk does not keep up."""

from __future__ import annotations

import os
import stat
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from bridge.core import effects as fx
from bridge.core import events as ev
from bridge.core.engine import Transmit
from bridge.shell import record_writer
from bridge.shell.record import CallRecorder, Recordings
from bridge.shell.record_format import (
    BINARY,
    CALLER,
    CLEARED,
    CONCEALED,
    EMITTED,
    EVENTS,
    HEADER_SIZE,
    MEDIA,
    PHRASE,
    PULLED,
    SUMMARY,
    TEXT,
)
from bridge.shell.record_read import CallRecord
from providers.base import HttpRefusal, SocketClosed
from tests.shell.studio import KEY, Provider, Studio, noise, spec, speech, targets

SECOND = 1_000_000_000


def open_one(root: Path, **more: Any) -> tuple[Recordings, CallRecorder]:
    recordings = Recordings(root, **more)
    recorder = recordings.open(spec(), targets())
    recorder.start(SECOND)
    recorder.actions([])
    return recordings, recorder


def finish(recordings: Recordings, recorder: CallRecorder, now: int = 9 * SECOND) -> CallRecord:
    recorder.close(now)
    folder = recorder.finished.result(timeout=20)
    assert recordings.close()
    return CallRecord(folder)


def test_media_holds_frames_messages_ticks_and_what_was_said_in_order(tmp_path: Path) -> None:
    recordings, recorder = open_one(tmp_path)
    frame = noise(20, 1)
    recorder.caller(frame, SECOND + 1)
    recorder.actions([Transmit(1, ["x"])])
    recorder.caller(frame[::-1], SECOND + 2, concealed=True)
    recorder.actions([])
    recorder.caller(frame[:80], SECOND + 3)
    recorder.actions([])
    recorder.message(3, '{"a":"é"}', SECOND + 4)
    recorder.actions([fx.ClearLeg()])
    recorder.message(4, b"\x00\x01", SECOND + 5)
    recorder.actions([])
    recorder.event(ev.Pulled(160), SECOND + 6)
    recorder.actions([fx.Emit(frame), fx.SendMark("1:1")])
    recorder.event(ev.Pulled(320), SECOND + 7)
    recorder.actions([])
    record = finish(recordings, recorder)

    found = [(block.n, block.stamp - SECOND, block.kind, block.value, block.data) for block in record.media()]
    phrases = [(0, 0, PHRASE, 0, name.encode() + b"\0" + audio) for name, audio in spec().phrases.items()]
    assert found == [
        *phrases,
        (1, 1, CALLER, 0, frame),
        (2, 2, CONCEALED, 0, frame[::-1]),
        (3, 3, CALLER, 0, frame[:80]),
        (4, 4, TEXT, 3, '{"a":"é"}'.encode()),
        (4, 4, CLEARED, 0, b""),
        (5, 5, BINARY, 4, b"\x00\x01"),
        (6, 6, PULLED, 160, b""),
        (6, 6, EMITTED, 0, frame),
        (7, 7, PULLED, 320, b""),
    ]


def test_events_hold_everything_else_and_the_notes(tmp_path: Path) -> None:
    recordings, recorder = open_one(tmp_path)
    recorder.event(ev.Dtmf("5"), SECOND + 10)
    recorder.actions([fx.Note("dtmf", {"digit": "5"})])
    recorder.caller(noise(20, 1), SECOND + 20)
    recorder.actions([])
    recorder.failed(2, SocketClosed(1011, "no"), SECOND + 30)
    recorder.actions([])
    lines = finish(recordings, recorder).lines
    closed = {"type": "SocketClosed", "code": 1011, "reason": "no"}
    crc = lines[1].pop("crc")
    assert isinstance(crc, int)
    assert lines[:3] == [
        {"n": 1, "t": SECOND + 10, "in": {"type": "Dtmf", "digit": "5"}},
        {"n": 1, "t": SECOND + 10, "note": "dtmf", "fields": {"digit": "5"}},
        {"n": 3, "t": SECOND + 30, "failed": {"link": 2, "failure": closed}},
    ]  # fmt: skip
    assert lines[3]["end"] is True
    assert lines[3]["inputs"] == 4


def test_the_snapshot_builds_the_same_call_again_without_credentials(tmp_path: Path) -> None:
    recordings, recorder = open_one(tmp_path)
    record = finish(recordings, recorder)
    assert record.spec() == spec()
    for name, target in record.targets().items():
        live = targets()[name]
        assert target == replace(
            live, api_key="*" * len(live.api_key), headers={"0": "*" * len(live.headers["X-Gateway"])}
        )


def test_a_checksum_is_written_each_second_and_with_each_note(tmp_path: Path) -> None:
    recordings, recorder = open_one(tmp_path)
    for tick in range(250):
        recorder.event(ev.Pulled(160), SECOND + tick * 20_000_000)
        recorder.actions([fx.Emit(noise(20, tick))])
    record = finish(recordings, recorder)
    checks = [line for line in record.lines if "crc" in line and "end" not in line]
    assert [round((line["t"] - SECOND) / SECOND, 2) for line in checks] == [1.0, 2.0, 3.0, 4.0]
    assert len({line["crc"] for line in checks}) == 4
    assert record.tail is not None
    assert record.tail["actions"] == 250


def test_without_sound_only_events_and_notes_are_kept(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path, "events")
    recorder = recordings.open(spec(), targets())
    Studio(recorder).says(5000, speech("thanks")).run(9000)
    folder = recorder.finished.result(timeout=20)
    assert recordings.close()
    assert sorted(path.name for path in folder.iterdir()) == [SUMMARY, EVENTS]
    summary = orjson.loads((folder / SUMMARY).read_bytes())
    assert summary["record"]["mode"] == "events"
    assert summary["totals"]["turns"] == 1
    assert summary["ended"] == "hung up"
    raw = (folder / EVENTS).read_bytes()
    assert b"response.output_audio" not in raw


# ------------------------------------------------------------------------------------------------------------ the loop


def test_the_disk_is_never_touched_by_the_thread_of_the_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[int] = set()
    for name in ("open", "write", "mkdir", "replace"):
        real = getattr(os, name)

        def watched(*args: Any, _real: Any = real, **more: Any) -> Any:
            threads.add(threading.get_ident())
            return _real(*args, **more)

        monkeypatch.setattr(os, name, watched)
    recordings = Recordings(tmp_path / "calls")
    recorder = recordings.open(spec(), targets())
    Studio(recorder).says(5000, speech("thanks")).run(9000)
    recorder.finished.result(timeout=20)
    assert threads
    assert threading.get_ident() not in threads
    assert recordings.close()


def test_the_writer_sleeps_while_no_call_runs(tmp_path: Path) -> None:
    recordings, recorder = open_one(tmp_path, every=0.001)
    recorder.close(2 * SECOND)
    recorder.finished.result(timeout=20)
    waits: list[float | None] = []
    wake = recordings._writer._wake
    real = wake.wait

    def counted(timeout: float | None = None) -> bool:
        waits.append(timeout)
        return real(timeout)

    wake.wait = counted  # type: ignore[method-assign]
    wake.set()
    while not waits:
        time.sleep(0.001)
    time.sleep(0.02)
    assert waits == [None]
    assert recordings.close()


def test_what_is_written_follows_the_call_and_does_not_wait_for_its_end(tmp_path: Path) -> None:
    recordings, recorder = open_one(tmp_path, every=0.005)
    recorder.caller(noise(20, 1), 2 * SECOND)
    recorder.actions([])
    patience = time.monotonic() + 10
    while recordings.waiting or not (tmp_path / "CA1" / MEDIA).exists():
        assert time.monotonic() < patience
        time.sleep(0.005)
    assert [block.kind for block in CallRecord(tmp_path / "CA1").media()][-1] == CALLER
    assert not (tmp_path / "CA1" / SUMMARY).exists()
    finish(recordings, recorder)


# ------------------------------------------------------------------------------------------------------- a slow disk


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """A disk that takes nothing until the event is set."""
    release = threading.Event()
    real = record_writer._File.append

    def append(file: record_writer._File, data: bytes) -> int:
        release.wait(20)
        return real(file, data)

    monkeypatch.setattr(record_writer._File, "append", append)
    return release


def test_payload_goes_before_metadata_and_notes_go_last(tmp_path: Path, stuck: threading.Event) -> None:
    recordings, recorder = open_one(tmp_path, limit=40_000)
    for n in range(1000):
        recorder.caller(noise(20, 1), SECOND + n)
        recorder.actions([fx.Note("noticed", {"what": n})] if n % 20 == 0 else [])
        assert recordings.waiting <= 60_000 + 500
    lost = recorder.lost
    stuck.set()
    record = finish(recordings, recorder)

    blocks = [block for block in record.media() if block.kind == CALLER]
    whole = [block for block in blocks if block.data is not None]
    bare = [block for block in blocks if block.data is None]
    assert 0 < len(whole) <= 40_000 / (160 + HEADER_SIZE) + 1
    assert len(bare) > len(whole), "metadata outlives payload"
    assert [block.n for block in blocks] == list(range(1, len(blocks) + 1))
    assert all(block.data == noise(20, 1) for block in whole)
    assert lost.bodies == len(bare)
    assert lost.bytes == 160 * len(bare)
    assert lost.blocks == 1000 - len(blocks)
    assert len(record.notes()) == 50, "there was room for every note"
    assert record.tail is not None
    assert record.tail["lost"] == {"bodies": lost.bodies, "bytes": lost.bytes, "blocks": lost.blocks, "lines": 0}
    assert orjson.loads((tmp_path / "CA1" / SUMMARY).read_bytes())["record"]["lost"] == record.tail["lost"]


def test_when_even_notes_find_no_room_they_are_counted_and_the_end_is_still_written(
    tmp_path: Path, stuck: threading.Event
) -> None:
    recordings, recorder = open_one(tmp_path, limit=4000)
    for n in range(500):
        recorder.event(ev.Dtmf("1"), SECOND + n)
        recorder.actions([fx.Note("dtmf", {"digit": "1"})])
    assert recorder.lost.lines > 500
    assert recordings.waiting < 7000
    stuck.set()
    tail = finish(recordings, recorder).tail
    assert tail is not None
    assert tail["lost"]["lines"] == recorder.lost.lines


def test_a_full_disk_costs_the_record_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recordings, recorder = open_one(tmp_path, every=0.005)
    patience = time.monotonic() + 10
    while recordings.waiting or not (tmp_path / "CA1" / MEDIA).exists():
        assert time.monotonic() < patience
        time.sleep(0.005)
    real, full = os.write, threading.Event()
    full.set()

    def write(file: int, data: Any) -> int:
        if full.is_set() and threading.current_thread().name == "records":
            if len(data) > 100:
                return real(file, data[:100])  # the last bytes that fit: a torn block
            raise OSError(28, "No space left on device")
        return real(file, data)

    monkeypatch.setattr(os, "write", write)
    for n in range(10):
        recorder.caller(noise(20, n), SECOND + n)
        recorder.actions([])
    while recordings.waiting:
        assert time.monotonic() < patience
        time.sleep(0.005)
    full.clear()
    recorder.caller(noise(20, 99), SECOND + 100)
    recorder.actions([])
    record = finish(recordings, recorder)
    assert [(block.n, block.data) for block in record.media() if block.kind == CALLER] == [(11, noise(20, 99))]
    assert orjson.loads((tmp_path / "CA1" / SUMMARY).read_bytes())["record"]["unwritten_bytes"] == 10 * (
        160 + HEADER_SIZE
    )


def test_a_folder_that_cannot_be_made_fails_the_record_and_not_the_call(tmp_path: Path) -> None:
    (tmp_path / "CA1").write_text("in the way")
    recordings, recorder = open_one(tmp_path)
    recorder.caller(noise(20, 1), 2 * SECOND)
    recorder.actions([])
    recorder.close(3 * SECOND)
    with pytest.raises(FileExistsError):
        recorder.finished.result(timeout=20)
    assert recordings.close()
    assert (tmp_path / "CA1").read_text() == "in the way"


# ----------------------------------------------------------------------------------------------------- who may read it


def test_folders_and_files_are_for_the_owner_alone(tmp_path: Path) -> None:
    recordings, recorder = open_one(tmp_path / "deep" / "calls")
    folder = finish(recordings, recorder).folder
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [folder.parent, folder, *folder.iterdir()]}
    assert modes["calls"] == modes["CA1"] == 0o700
    assert {mode for name, mode in modes.items() if "." in name} == {0o600}


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\0b", ".hidden", "a b", "é", "x" * 200])
def test_a_call_whose_id_is_no_safe_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="file name"):
        Recordings(tmp_path).open(spec(name), targets())


def test_no_credential_reaches_the_disk(tmp_path: Path) -> None:
    """Not in the snapshot, nor where a provider quotes it: in messages, failures, headers, traces, percent-encoded."""
    gate = targets()["two"].headers["X-Gateway"]
    recordings = Recordings(tmp_path)
    keyed = {
        name: replace(target, url=f"wss://user:{KEY}-{name}@host.example/v1?key={KEY}-{name}")
        for name, target in targets().items()
    }
    recorder = recordings.open(spec(), keyed)
    acts = {
        "one": Provider(says=f"Incorrect API key provided: {KEY}-one via gate-canary-one"),
        "two": Provider(refuse=HttpRefusal(401, {"x-echo": f"{KEY}-two"}, f"bad {KEY}-two {gate}".encode())),
    }
    Studio(recorder, acts=acts).says(5000, speech("thanks")).run(9000)
    folder = recorder.finished.result(timeout=20)
    other = recordings.open(spec("CA2"), keyed)
    other.start(SECOND)
    other.actions([])
    other.message(1, b'{"bytes":"%s-one"}' % KEY.encode(), SECOND + 1)
    other.crashed(f"Traceback\nValueError: {KEY}-one", SECOND + 2)
    other.close(SECOND + 3)
    second = other.finished.result(timeout=20)
    assert recordings.close()
    quoted = (folder / MEDIA).read_bytes()
    assert b"Incorrect API key provided: ****" in quoted, "the message itself is kept"
    for path in [*folder.iterdir(), *second.iterdir()]:
        content = path.read_bytes()
        assert b"canary" not in content, path.name
    assert orjson.loads((second / SUMMARY).read_bytes())["error"].startswith("ValueError: ***")


# -------------------------------------------------------------------------------------------------------------- the end


def test_each_call_has_one_summary_however_many_run_at_once(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path, every=0.005)
    recorders = [recordings.open(spec(f"CA{n}"), targets()) for n in range(30)]
    for recorder in recorders:
        recorder.start(SECOND)
        recorder.actions([fx.Note("call_started", {"agent": "a", "providers": [], "leg": ""})])
    for n in range(50):
        for recorder in recorders:
            recorder.caller(noise(20, n), SECOND + n * 20_000_000)
            recorder.actions([])
    for recorder in recorders:
        recorder.actions([fx.Note("call_ended", {"reason": "hung up"})])
        recorder.close(3 * SECOND)
    assert recordings.close(30)
    for recorder in recorders:
        folder = recorder.finished.result(timeout=0)
        assert sorted(path.name for path in folder.iterdir()) == [
            "agent.flac", "call.json", "caller.flac", "events.jsonl", "media.bin",
        ]  # fmt: skip
        assert sum(block.kind == CALLER for block in CallRecord(folder).media()) == 50


def test_closing_leaves_running_calls_to_be_recovered(tmp_path: Path) -> None:
    recordings, recorder = open_one(tmp_path)
    recorder.caller(noise(20, 1), 2 * SECOND)
    recorder.actions([])
    assert recordings.close()
    assert recorder.finished.cancelled()
    assert [block.kind for block in CallRecord(tmp_path / "CA1").media()][-1] == CALLER
    recorder.caller(noise(20, 2), 3 * SECOND)  # a call that goes on is not harmed
    recorder.close(4 * SECOND)
    late = recordings.open(spec("CA2"), targets())
    late.start(5 * SECOND)
    assert late.finished.cancelled()


def test_what_cannot_be_stored_is_described_and_never_raises(tmp_path: Path) -> None:
    class Odd:
        def __repr__(self) -> str:
            return "<odd é>"

    recordings, recorder = open_one(tmp_path)
    recorder.event(Odd(), SECOND + 1)  # type: ignore[arg-type]
    recorder.actions([fx.Note("noticed", {"what": Odd(), "set": {1}}), fx.Note("noticed", {1: 2**70})])  # type: ignore[dict-item]
    recorder.message(1, "\ud800 half a pair", SECOND + 2)
    recorder.actions([])
    record = finish(recordings, recorder)
    assert record.lines[0]["in"] == {"type": "?", "repr": "<odd \\xe9>"}
    assert [note.fields for note in record.notes()] == [
        {"what": "<odd é>", "set": "{1}"},
        {"unreadable": f"{{1: {2**70}}}"},
    ]
    assert [block.data for block in record.media() if block.kind == TEXT] == [b"\xed\xa0\x80 half a pair"]
