"""Recorded calls do today what they did when they were recorded.

A call of `fixtures/calls` is a record: what it was given, and what it did. When a change of behaviour is meant, `make
bless` gives each call the same input again and writes down what it does now; the difference of `events.jsonl` and
`call.json` is for review. `python -m tests.replay.test_calls` records the scenes of `NAMES` from nothing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import orjson
import pytest
import soundfile

from audio.frame import decode, encode
from bridge.fakes.speech import RATE, Spoken
from bridge.shell.record import Recordings
from bridge.shell.record_format import EVENTS, MEDIA, SUMMARY
from bridge.shell.record_read import CallRecord
from bridge.shell.record_summary import summarise
from bridge.shell.replay import replay
from tests.shell.studio import SCENES, Provider, Studio, play, spec, targets

ROOT = Path(__file__).parents[2]
CALLS = ROOT / "fixtures" / "calls"
FOLDERS = sorted(path for path in CALLS.glob("*") if path.is_dir())
NAMES = {"death-in-a-reply": "death in a reply", "interruption": "interruption", "tool": "tool"}
CORPUS = Path(os.environ.get("SEGUE_CORPUS", ROOT.parent / "shared" / "corpus")) / "calls"
RECORDED_AT = 1_790_000_000.0  # one time of day for all fixtures, so that recording anew changes nothing else


def bless(folder: Path) -> None:
    """Record anew what the call does when it is given the same."""
    record = CallRecord(folder)
    with tempfile.TemporaryDirectory() as scratch:
        recordings = Recordings(Path(scratch), wall=lambda: float(record.head["wall"]))
        again = recordings.open(record.spec(), record.targets())
        replay(folder, again=again)
        fresh = again.finished.result(timeout=60)
        assert recordings.close()
        keep(fresh, folder)


def keep(fresh: Path, folder: Path) -> None:
    """The record without its sound files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (EVENTS, MEDIA, SUMMARY):
        shutil.copyfile(fresh / name, folder / name)


def test_there_are_recorded_calls() -> None:
    assert {folder.name for folder in FOLDERS} >= set(NAMES)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_recorded_call_does_the_same(folder: Path, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--bless", default=False):
        bless(folder)
    report = replay(folder)
    assert not report.differences, f"{report.differences[0]}\nIs the change meant? Then: make bless"
    assert not report.missing
    expected = orjson.loads((folder / SUMMARY).read_bytes())
    summary = orjson.loads(orjson.dumps(summarise(CallRecord(folder).notes())))
    assert summary == {name: expected[name] for name in summary}


@pytest.mark.parametrize("scene", [*NAMES.values(), "stall in a reply", "death in the greeting"])
def test_what_such_a_call_tells_as_heard_is_what_was_heard(scene: str, tmp_path: Path) -> None:
    """The simulated providers speak real words with known times: a word counts when it is over, give or take 60 ms."""
    recordings = Recordings(tmp_path)
    studio = play(scene, recordings.open(spec("call", **SCENES[scene][0]), targets()))
    assert recordings.close()
    told = [note.fields for note in studio.notes if note.kind == "heard"]
    assert told
    for heard in told:
        wires = [wire for wire in studio.wires.values() if wire.name == heard["provider"]]
        replies = [wire.speech(number) for wire in wires for number in range(1, wire.replies + 1)]
        assert any(_heard_of(spoken, heard["heard_ms"], heard["text"]) for spoken in replies), heard


def _heard_of(spoken: Spoken, heard_ms: int, text: str) -> bool:
    """Is `text` what is heard of `spoken` in so many ms?"""
    ends = [word.end * 1000 / RATE for word in spoken.words]
    least, most = (sum(end <= heard_ms + slack for end in ends) for slack in (-60, 60))
    return text in (" ".join(word.text for word in spoken.words[:count]) for count in range(least, most + 1))


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of real calls is not here")
@pytest.mark.parametrize("name", ["pub01", "pub04", "pub13"])
def test_a_real_caller_is_replayed_bit_for_bit(name: str, tmp_path: Path) -> None:
    """Half a minute of a real call against a provider that dies in its second reply."""
    pcm, rate = soundfile.read(CORPUS / f"{name}_caller.flac", dtype="int16", frames=30 * 8000)
    assert rate == 8000
    recordings = Recordings(tmp_path)
    recorder = recordings.open(spec(name), targets())
    studio = Studio(recorder, spec(name), {"one": Provider(dies_in=2)})
    studio.says(0, encode(pcm, "pcmu")).run(len(pcm) // 8)
    folder = recorder.finished.result(timeout=60)
    assert recordings.close()
    report = replay(folder)
    assert report.differences == []
    assert report.missing == ""
    summary = orjson.loads((folder / SUMMARY).read_bytes())
    assert summary["totals"]["turns"] >= 1
    caller, _ = soundfile.read(folder / "caller.flac", dtype="int16")
    assert np.array_equal(caller, decode(bytes(studio.sent), "pcmu"))


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        recordings = Recordings(Path(scratch), wall=lambda: RECORDED_AT)
        for name, scene in NAMES.items():
            recorder = recordings.open(spec(name, **SCENES[scene][0]), targets())
            play(scene, recorder, name)
            keep(recorder.finished.result(timeout=60), CALLS / name)
            print(f"recorded {CALLS / name}")
        recordings.close()


if __name__ == "__main__":
    main()
