"""Exactly one summary per call, however it ended: recovery after a crash, torn files, expiry."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import soundfile

from bridge.shell import record_finish
from bridge.shell.record import Recordings
from bridge.shell.record_finish import expire, recover
from bridge.shell.record_format import AGENT_TRACK, CALLER_TRACK, EVENTS, MEDIA, SUMMARY
from bridge.shell.record_read import CallRecord, RecordError
from bridge.shell.replay import replay
from tests.shell.studio import Provider, Studio, spec, speech, targets

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole call with a switch in it."""
    root = tmp_path_factory.mktemp("calls")
    recordings = Recordings(root)
    recorder = recordings.open(spec(), targets())
    Studio(recorder, acts={"one": Provider(dies_in=2)}).says(5000, speech("order_status")).run(13000)
    assert recordings.close()
    return recorder.finished.result(timeout=0)


def died(finished: Path, root: Path, media: int | None = None, events: int | None = None) -> Path:
    """The call as a killed process leaves it: no summary, files cut after so many bytes."""
    folder = root / "CA1"
    shutil.copytree(finished, folder)
    for name in (SUMMARY, CALLER_TRACK, AGENT_TRACK):
        (folder / name).unlink()
    if media is not None:
        os.truncate(folder / MEDIA, media)
    lines = (folder / EVENTS).read_bytes().splitlines(keepends=True)
    whole = b"".join(lines[:-1])  # the last one says that the call was closed
    (folder / EVENTS).write_bytes(whole if events is None else whole[:events])
    return folder


def read(folder: Path) -> Any:
    return orjson.loads((folder / SUMMARY).read_bytes())


# ------------------------------------------------------------------------------------------------------------ recovery


def test_a_killed_call_is_recovered_once(finished: Path, tmp_path: Path) -> None:
    folder = died(finished, tmp_path)
    assert recover(tmp_path) == ["CA1"]
    first = (folder / SUMMARY).read_bytes()
    assert recover(tmp_path) == []
    assert (folder / SUMMARY).read_bytes() == first
    crashed, live = orjson.loads(first), read(finished)
    assert crashed["ended"] == "crashed"
    for name in ("call", "agent", "turns", "exchanges", "swaps", "transcript", "totals", "providers", "started"):
        assert crashed[name] == live[name]
    for name in (CALLER_TRACK, AGENT_TRACK):
        assert (folder / name).read_bytes() == (finished / name).read_bytes()
    assert not list(folder.glob("*.part"))


def test_finished_calls_and_other_folders_are_left_alone(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "done")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "readme.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert recover(tmp_path) == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert recover(tmp_path / "nowhere") == []


@pytest.mark.parametrize("seed", range(12))
def test_wherever_the_files_are_torn_the_call_is_recovered_and_replays_as_far_as_it_goes(
    finished: Path, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    media = chance.randrange((finished / MEDIA).stat().st_size)
    first = len((finished / EVENTS).read_bytes().splitlines(keepends=True)[0])
    events = chance.randrange(first, (finished / EVENTS).stat().st_size)
    folder = died(finished, tmp_path, media, events)
    notes = CallRecord(folder).notes()
    assert notes == CallRecord(finished).notes()[: len(notes)]
    assert recover(tmp_path) == ["CA1"]
    summary = read(folder)
    assert summary["ended"] == "crashed"
    caller, agent = (soundfile.info(folder / name).frames for name in (CALLER_TRACK, AGENT_TRACK))
    assert caller == agent == round(summary["record"]["sound_ms"] * 8)
    report = replay(folder)
    assert report.differences == []
    assert report.missing
    assert report.events <= replay(finished).events


def test_a_call_that_died_before_its_first_line_still_has_its_record(finished: Path, tmp_path: Path) -> None:
    folder = died(finished, tmp_path, 0, 40)
    assert recover(tmp_path) == ["CA1"]
    summary = read(folder)
    assert (summary["call"], summary["ended"], summary["turns"]) == ("CA1", "crashed", [])
    assert "first line" in summary["error"]
    with pytest.raises(RecordError):
        replay(folder)


def test_a_disk_that_refuses_the_sound_still_gets_the_summary(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = died(finished, tmp_path)

    def refuse(*args: object) -> int:
        (folder / f"{CALLER_TRACK}.part").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(record_finish, "make_tracks", refuse)
    assert recover(tmp_path) == ["CA1"]
    assert "No space" in read(folder)["record"]["sound_error"]
    assert sorted(path.name for path in folder.iterdir()) == [SUMMARY, EVENTS, MEDIA]


def test_one_record_that_cannot_be_recovered_does_not_keep_the_others(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = died(finished, tmp_path)
    folder.rename(tmp_path / "A1")
    died(finished, tmp_path)
    real = record_finish._publish

    def publish(folder: Path, summary: dict[str, Any]) -> None:
        if folder.name == "A1":
            raise OSError(28, "No space left on device")
        real(folder, summary)

    monkeypatch.setattr(record_finish, "_publish", publish)
    assert recover(tmp_path) == ["CA1"]


# ------------------------------------------------------------------------------------------- another process, killed

CHILD = """
import sys, time
from pathlib import Path
from bridge.core.effects import Emit, Note
from bridge.shell.record import Recordings
from tests.shell.studio import noise, spec, targets
recordings = Recordings(Path(sys.argv[1]), every=0.01)
recorder = recordings.open(spec("LIVE"), targets())
recorder.start(time.monotonic_ns())
recorder.actions([Note("call_started", {"agent": "reception", "providers": ["one"], "leg": "pcmu@8000"})])
print("up", flush=True)
while True:
    recorder.caller(noise(20, 1), time.monotonic_ns())
    recorder.actions([Emit(noise(20, 2))])
    time.sleep(0.005)
"""


@pytest.fixture
def child(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_a_living_process_keeps_its_call_and_a_killed_one_leaves_it(
    child: subprocess.Popen[str], tmp_path: Path
) -> None:
    media = tmp_path / "LIVE" / MEDIA
    patience = time.monotonic() + 20
    while not media.exists() or media.stat().st_size < 60_000:
        assert time.monotonic() < patience
        time.sleep(0.02)
    assert recover(tmp_path) == [], "a call that is being written is nobody else's"
    assert expire(tmp_path, timedelta(0), time.time() + 1000) == []
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert recover(tmp_path) == ["LIVE"]
    summary = read(tmp_path / "LIVE")
    assert (summary["ended"], summary["agent"]) == ("crashed", "reception")
    assert summary["record"]["sound_ms"] >= 20 * 100
    assert expire(tmp_path, timedelta(0), time.time() + 1000) == ["LIVE"]


# -------------------------------------------------------------------------------------------------------------- expiry


def test_old_calls_expire_and_nothing_else_is_touched(finished: Path, tmp_path: Path) -> None:
    now = time.time()
    for name, days in (("old", 31), ("older", 400), ("young", 29)):
        shutil.copytree(finished, tmp_path / name)
        os.utime(tmp_path / name / EVENTS, (now - days * 86400, now - days * 86400))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "call.json").write_text("not a record")
    os.utime(tmp_path / "mine", (0, 0))
    (tmp_path / "link").symlink_to(tmp_path / "old")
    assert expire(tmp_path, timedelta(days=30), now) == ["old", "older"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "mine", "young"]


def test_a_record_that_cannot_be_deleted_is_passed_over(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        shutil.copytree(finished, tmp_path / name)
    real = shutil.rmtree

    def rmtree(path: Path) -> None:
        if path.name == "a":
            raise PermissionError(13, "Permission denied")
        real(path)

    monkeypatch.setattr(record_finish.shutil, "rmtree", rmtree)
    assert expire(tmp_path, timedelta(days=1), time.time() + 10 * 86400) == ["b"]
