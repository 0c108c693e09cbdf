"""`segue listen`: decisions of a recording on standard output."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from audio.files import write_audio
from audio.frame import Pcm
from audio.turns import TurnSettings
from bridge.cli import app
from bridge.cli_errors import UserError
from bridge.listen import listen
from bridge.listen_decisions import Opinion, agent_left
from tests.audio.lines import RATE, line, voice


@pytest.fixture
def call(tmp_path: Path) -> tuple[Path, Path]:
    """The agent speaks from 0.5 to 5.5 s; the caller says "mhm" at 2, interrupts at 4, and speaks again at 7."""
    near = line(2.0, voice(0.35, -22), 1.65, voice(1.2, -22, seed=3), 1.8, voice(1.5, -22, seed=4), 2.0)
    far = line(0.5, voice(2.0, -20, seed=9, pitch=210), 0.5, voice(2.5, -20, seed=8, pitch=210), 5.0)
    write_audio(tmp_path / "near.wav", near, RATE)
    write_audio(tmp_path / "far.wav", far, RATE)
    return tmp_path / "near.wav", tmp_path / "far.wav"


def test_one_json_object_a_line(call: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    near, far = call
    assert listen(near, far, True, None, TurnSettings()) == 0
    events = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert [e["type"] for e in events] == [
        "barge_in",
        "cancel",
        "barge_in",
        "cut",
        "turn_end",
        "speech_start",
        "turn_end",
    ]
    assert all(set(e) == {"t", "type"} for e in events)
    assert [e["t"] for e in events] == sorted(e["t"] for e in events)
    assert 2.0 < events[0]["t"] < 2.25
    assert 7.0 < events[5]["t"] < 7.25


def test_without_the_agent_everything_is_a_turn(call: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert listen(call[0], None, False, None, TurnSettings()) == 0
    out = capsys.readouterr().out
    assert out.count("speech_start") == out.count("turn_end") == 3
    assert "barge_in" not in out


def test_the_second_channel_of_a_stereo_file_is_the_agent(
    call: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from audio.files import read_audio

    near, far = read_audio(call[0], RATE), read_audio(call[1], RATE)
    size = min(len(near), len(far))
    write_audio(tmp_path / "both.wav", np.stack([near[:size], far[:size]], axis=1), RATE)
    assert listen(tmp_path / "both.wav", None, True, None, TurnSettings()) == 0
    both = capsys.readouterr().out
    assert '"barge_in"' in both and '"cut"' in both


def test_a_picture_is_drawn(call: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert listen(*call, True, tmp_path / "ears.png", TurnSettings()) == 0
    assert (tmp_path / "ears.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_agent_left_counts_down_over_the_pauses_of_a_line() -> None:
    far = line(0.5, voice(1.0, -20), 0.8, voice(1.0, -20), 1.5, voice(1.0, -20), 0.5, floor=-90)
    left = agent_left(far)
    assert left[0] == 0
    assert left[30] == pytest.approx((3.3 - 0.6) * RATE, abs=320)
    assert left[90] == pytest.approx((3.3 - 1.8) * RATE, abs=320)
    assert left[200] == 0
    assert left[245] > 0


def test_a_silence_has_no_decisions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_audio(tmp_path / "silence.wav", np.zeros(RATE, np.int16), RATE)
    assert listen(tmp_path / "silence.wav", None, True, None, TurnSettings()) == 0
    assert capsys.readouterr().out == ""


def test_an_opinion_is_asked_in_each_pause_with_the_last_seconds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    near = line(7.0, voice(2.0, -22), 0.6, voice(1.0, -22, seed=3), 3.0)
    write_audio(tmp_path / "near.wav", near, RATE)
    asked: list[tuple[int, int]] = []

    def at_once(pcm: Pcm, rate: int) -> bool:
        assert pcm.dtype == np.int16
        asked.append((len(pcm), rate))
        return len(asked) > 1

    def ends(opinion: Opinion | None) -> list[float]:
        settings = TurnSettings(hangover_ms=900, adaptive=False)
        assert listen(tmp_path / "near.wav", None, True, None, settings, opinion) == 0
        events = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
        return [event["t"] for event in events if event["type"] == "turn_end"]

    plain, told = ends(None), ends(at_once)
    assert asked == [(8 * RATE, RATE)] * 2
    assert len(plain) == len(told) == 1
    assert told[0] == pytest.approx(plain[0] - 0.6, abs=0.03)


def test_the_command_finds_its_opinion_or_says_why_not(call: tuple[Path, Path]) -> None:
    runner = CliRunner()
    done = runner.invoke(app, ["listen", str(call[0]), "--opinion", "no_such_judge:yes"])
    assert isinstance(done.exception, UserError)
    assert str(done.exception).startswith('--opinion "no_such_judge:yes": no_such_judge cannot be imported')
    done = runner.invoke(app, ["listen", str(call[0]), "--opinion", "tests.test_listen:shrug"])
    assert isinstance(done.exception, UserError) and "it answered 'who knows'" in str(done.exception)
    done = runner.invoke(app, ["listen", str(call[0]), "--json", "--opinion", "tests.test_listen:over"])
    assert done.exit_code == 0 and done.output.count("turn_end") == 3


def shrug(pcm: Pcm, rate: int) -> str:
    return "who knows"


def over(pcm: Pcm, rate: int) -> float:
    return 0.9
