from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest

from audio.files import read_audio
from bridge.dial.run import DEFAULT_AUDIO
from bridge.dial.turns import Turn, TurnsError, read_turns, turns_of

RATE = 8000


def told(tmp_path: Path, data: object) -> Path:
    path = tmp_path / "call.json"
    path.write_bytes(data if isinstance(data, bytes) else orjson.dumps(data))
    return path


def test_our_own_form(tmp_path: Path) -> None:
    path = told(tmp_path, {"turns": [{"begin_s": 1.5, "end_s": 2.0, "text": "x"}]})
    assert read_turns(path, RATE, 100_000) == [Turn(12_000, 16_000)]


def test_a_calls_segments(tmp_path: Path) -> None:
    segments = [
        {"channel": "caller", "start": 6, "end": 7, "kind": "barge_in"},
        {"channel": "agent", "start": 0, "end": 1, "kind": "turn"},
        {"channel": "caller", "start": 2, "end": 3, "kind": "utterance"},
        {"channel": "caller", "start": 9, "end": 99, "kind": "backchannel"},
    ]
    found = read_turns(told(tmp_path, {"segments": segments}), RATE, 10 * RATE)
    assert found == [
        Turn(2 * RATE, 3 * RATE),
        Turn(6 * RATE, 7 * RATE, "barge_in"),
        Turn(9 * RATE, 10 * RATE, "backchannel"),
    ]


def test_caller_turns_come_before_segments(tmp_path: Path) -> None:
    data = {"caller_turns": [{"start": 1, "end": 4}], "segments": [{"channel": "caller", "start": 1, "end": 2}]}
    assert read_turns(told(tmp_path, data), RATE, 10 * RATE) == [Turn(RATE, 4 * RATE)]


@pytest.mark.parametrize("data", [b"{", {"turns": [{}]}, {"turns": [{"start": "x", "end": 1}]}, {"turns": 7}])
def test_a_file_that_cannot_be_used_says_so(tmp_path: Path, data: object) -> None:
    with pytest.raises(TurnsError, match=r"call\.json"):
        read_turns(told(tmp_path, data), RATE, RATE)


def test_a_file_about_something_else_says_nothing(tmp_path: Path) -> None:
    assert read_turns(told(tmp_path, {"words": []}), RATE, RATE) == []
    assert read_turns(told(tmp_path, []), RATE, RATE) == []


def test_without_a_file_turns_are_found_by_level(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    pcm = np.zeros(5 * RATE, np.int16)
    for begin, end in ((1.0, 2.0), (2.4, 3.0), (4.0, 4.5)):
        pcm[int(begin * RATE) : int(end * RATE)] = rng.integers(-3000, 3000, round((end - begin) * RATE))
    found = turns_of(tmp_path / "nothing.flac", pcm, RATE)
    assert found == [Turn(RATE, 3 * RATE), Turn(4 * RATE, int(4.5 * RATE))]


def test_silence_at_the_ends_of_a_told_turn_is_not_speech(tmp_path: Path) -> None:
    told(tmp_path, {"turns": [{"start": 1, "end": 4}, {"start": 4.5, "end": 5}]})
    pcm = np.zeros(5 * RATE, np.int16)
    pcm[int(1.5 * RATE) : int(3.2 * RATE)] = np.random.default_rng(1).integers(-3000, 3000, int(1.7 * RATE))
    found = turns_of(tmp_path / "call_caller.flac", pcm, RATE)
    assert found == [Turn(int(1.5 * RATE), int(3.2 * RATE)), Turn(int(4.5 * RATE), 5 * RATE)]


def test_a_callers_file_finds_its_calls_truth(tmp_path: Path) -> None:
    told(tmp_path, {"turns": [{"start": 1, "end": 2}]})
    assert turns_of(tmp_path / "call_caller.flac", np.zeros(RATE * 5, np.int16), RATE) == [Turn(RATE, 2 * RATE)]


def test_the_default_recording_has_its_turns() -> None:
    sound = read_audio(DEFAULT_AUDIO, RATE)
    turns = turns_of(DEFAULT_AUDIO, sound, RATE)
    assert len(turns) >= 3
    assert all(0 <= turn.begin < turn.end <= len(sound) for turn in turns)
