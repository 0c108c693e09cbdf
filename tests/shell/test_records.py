"""Listing, showing and drawing calls."""

from __future__ import annotations

import io
import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bridge.shell.record import Recordings
from bridge.shell.record_format import EVENTS, SUMMARY
from bridge.shell.record_read import RecordError
from bridge.shell.record_summary import summarise
from bridge.shell.records import list_calls, list_command, show, show_command
from bridge.shell.timeline import CALLER, LOCAL, draw, scene, seconds, svg
from providers.base import HttpRefusal
from tests.shell.studio import Provider, Studio, spec, speech, targets

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three calls: one plain, one with a switch, one whose providers all refuse."""
    root = tmp_path_factory.mktemp("calls")
    clock = iter((1000.0, 3000.0, 2000.0))
    recordings = Recordings(root, wall=lambda: next(clock))
    dead = Provider(refuse=HttpRefusal(503, {}))
    acts = {"plain": {}, "switched": {"one": Provider(dies_in=2)}, "refused": {"one": dead, "two": dead}}
    for name, act in acts.items():
        recorder = recordings.open(spec(name), targets())
        Studio(recorder, spec(name), act).says(5000, speech("order_status")).run(14000)
    assert recordings.close()
    return root


def printed(summary: dict[str, Any], width: int = 100) -> str:
    out = io.StringIO()
    draw(summary, Console(file=out, width=width))
    return out.getvalue()


def run(command: Any, *about: Any) -> tuple[int, str]:
    out = io.StringIO()
    code = command(*about, console=Console(file=out, width=110))
    return code, out.getvalue()


# ---------------------------------------------------------------------------------------------------- list and show


def test_calls_are_listed_by_their_time(root: Path) -> None:
    rows = list_calls(root)
    assert [row["call"] for row in rows] == ["plain", "refused", "switched"]
    switched = rows[2]
    assert switched["started"] == "1970-01-01T00:50:00.000+00:00"
    assert (switched["swaps"], switched["turns"], switched["providers"]) == (1, 1, ["one", "two"])
    assert (switched["ended"], switched["duration_ms"], switched["agent"]) == ("hung up", 14000, "reception")
    assert rows[1]["providers"] == []


def test_running_and_dead_calls_are_told_apart(root: Path, tmp_path: Path) -> None:
    recordings = Recordings(tmp_path)
    recorder = recordings.open(spec("running"), targets())
    recorder.start(1)
    recorder.actions([])
    shutil.copytree(root / "plain", tmp_path / "dead")
    (tmp_path / "dead" / SUMMARY).unlink()
    (tmp_path / "junk").mkdir()
    (tmp_path / "file").write_text("")
    while not (tmp_path / "running" / EVENTS).exists() or not (tmp_path / "running" / EVENTS).stat().st_size:
        pass
    rows = {row["call"]: (row["ended"], row["running"]) for row in list_calls(tmp_path)}
    assert rows == {"running": (None, True), "dead": (None, False)}
    assert "running" in run(list_command, tmp_path, False)[1]
    assert "died" in run(list_command, tmp_path, False)[1]
    assert show(tmp_path, "dead")["turns"] == show(root, "plain")["turns"]
    assert recordings.close()


def test_the_list_for_people_and_for_programs(root: Path, tmp_path: Path) -> None:
    code, text = run(list_command, root, False)
    assert code == 0
    assert [name in text for name in ("plain", "refused", "switched", "hung up", "14.00 s")] == [True] * 5
    code, text = run(list_command, root, True)
    assert [json.loads(line) for line in text.splitlines()] == list_calls(root)
    assert run(list_command, tmp_path, False) == (0, f"No calls in {tmp_path}.\n") or len(str(tmp_path)) > 90
    assert run(list_command, tmp_path, True) == (0, "")


def test_a_call_is_shown_for_people_and_for_programs(root: Path, tmp_path: Path) -> None:
    code, text = run(show_command, root, "switched", False, tmp_path / "x.svg")
    assert code == 0
    assert "one" in text
    assert ET.parse(tmp_path / "x.svg").getroot().tag == f"{SVG}svg"
    code, text = run(show_command, root, "switched", True)
    assert json.loads(text) == show(root, "switched")


@pytest.mark.parametrize("name", ["none", "..", ".", "", "../calls", "/etc"])
def test_no_such_call(root: Path, name: str) -> None:
    with pytest.raises(RecordError, match="no such call"):
        show(root, name)
    code, text = run(show_command, root, name, True)
    assert code == 2
    assert "no such call" in json.loads(text)["error"]


@pytest.mark.parametrize("content", ["{half", "[]", '{"schema": 99}'])
def test_a_summary_that_cannot_be_read(root: Path, tmp_path: Path, content: str) -> None:
    shutil.copytree(root / "plain", tmp_path / "CA1")
    (tmp_path / "CA1" / SUMMARY).write_text(content)
    code, text = run(show_command, tmp_path, "CA1", False)
    assert code == 2
    assert "call.json" in text.replace("\n", "")
    assert list_calls(tmp_path) == []


def test_a_picture_that_cannot_be_written(root: Path, tmp_path: Path) -> None:
    assert run(show_command, root, "plain", False, tmp_path / "none" / "x.svg")[0] == 2


# --------------------------------------------------------------------------------------------------------- pictures


def test_the_lanes_of_a_switched_call(root: Path) -> None:
    view = scene(show(root, "switched"))
    assert view.providers == ["one", "two"]
    (turn,) = view.caller
    assert turn.colour == CALLER
    assert 4500 < turn.begin < 5200 < turn.end < 8600
    assert [bar.colour for bar in view.agent] == [0, 0, 1]
    assert all(a.end <= b.begin for a, b in zip(view.agent, view.agent[1:], strict=False)), "one voice at a time"
    ((number, at),) = view.marks
    assert number == 1
    assert view.agent[1].begin < at < view.agent[2].end


def test_the_terminal_picture_places_speech_and_switch(root: Path) -> None:
    text = printed(show(root, "switched"), width=150)
    rows = text.splitlines()
    caller, agent = ("".join(row[8:] for row in rows if row.startswith(f"{name:<8}")) for name in ("caller", "agent"))
    cell = 50  # ms: 14 s in three rows of 141 cells
    view = scene(show(root, "switched"))
    for lane, bars in ((caller, view.caller), (agent, view.agent)):
        for index, mark in enumerate(lane):
            inside = any(bar.begin < (index + 1) * cell and bar.end > index * cell for bar in bars)
            assert (mark == "█") is inside
    mark = next(row for row in rows if row.strip() == "▲1")
    row = sum(line.startswith("caller") for line in rows[: rows.index(mark)]) - 1
    assert row * 141 + mark.index("▲") - 8 == int(view.marks[0][1] // cell)
    assert "overloaded 1011" in text
    assert "1 switch, 0 ms of silence added" in text
    again = show(root, "switched")["swaps"][0]["again"]
    assert again["input_text"] > 0
    row = next(line for line in rows if line.startswith("▲1") and "overloaded" in line)
    assert str(again["input_text"] + again["input_audio"]) in row.split()
    assert "sessions, open for" in text
    assert "1 turn," in text


@pytest.mark.parametrize("width", [30, 80, 200])
def test_the_picture_fits_any_width(root: Path, width: int) -> None:
    for name in ("plain", "switched", "refused"):
        lines = printed(show(root, name), width).splitlines()
        assert max(len(line) for line in lines) <= width
        assert sum(line.startswith("caller") for line in lines) <= 4


def test_a_long_call_is_drawn_in_few_rows() -> None:
    summary = {"call": "x", **summarise(()), "duration_ms": 3 * 3_600_000}
    assert sum(line.startswith("caller") for line in printed(summary).splitlines()) <= 3


def test_local_messages_and_silence_are_drawn(root: Path) -> None:
    view = scene(show(root, "refused"))
    assert view.local[0][0] == "sorry"
    assert {bar.colour for bar in view.agent} == {LOCAL}
    assert "♪sorry" in printed(show(root, "refused"))
    summary = show(root, "switched")
    summary["swaps"][0] |= {"silence_ms": 3000, "at_ms": 4900}
    assert printed(summary).count("╳") >= 4  # where nobody spoke anyway


def lane(name: str, text: str) -> str:
    return "".join(row[8:] for row in text.splitlines() if row.startswith(f"{name:<8}"))


def test_a_line_that_was_away_and_a_hold_are_drawn_where_they_were(root: Path) -> None:
    summary = show(root, "switched")
    assert not {"╱", "≈"} & set(printed(summary)), "nothing of the kind happened"
    turn = summary["turns"][0]
    summary["line_away"] = [{"at_ms": 3000, "ms": 1800}]
    summary["holds"] = [{"at_ms": 14_000, "ms": 900}]
    summary["totals"] |= {"away_ms": 1800, "hold_ms": 900}
    text = printed(summary, width=150)
    caller, agent = lane("caller", text), lane("agent", text)
    assert [50 * index for index, mark in enumerate(caller) if mark == "╱"] == list(range(1200, 3000, 50))
    assert caller[turn["began_ms"] // 50 + 1] == "█"
    assert agent.rstrip("·").endswith("≈" * 18) and agent.count("≈") == 18
    assert "╱ line away" in text and "≈ on hold" in text
    assert "line away for 1.80 s" in text and "on hold for 900 ms" in text
    titles = [title.text for title in ET.fromstring(svg(summary)).iter(f"{SVG}title")]
    assert any("1.80 s without the caller's line" in str(title) for title in titles)
    assert any("900 ms on hold" in str(title) for title in titles)


def test_a_call_that_nobody_takes_is_on_hold_but_for_our_words(root: Path) -> None:
    summary = show(root, "refused")
    (hold,) = summary["holds"]
    agent = lane("agent", printed(summary, width=150))
    began, ended = (hold["at_ms"] - hold["ms"]) // 50, hold["at_ms"] // 50
    assert set(agent[began + 1 : ended - 1]) == {"≈", "█"}
    assert not {"≈", "█"} & set(agent[: began - 1])
    assert f"on hold for {seconds(hold['ms'])}" in printed(summary, width=300)


def test_the_svg_holds_every_stretch_and_switch_and_escapes_what_was_said(root: Path) -> None:
    summary = show(root, "switched")
    summary["turns"][0]["text"] = 'a < b & "c"'
    picture = ET.fromstring(svg(summary))
    view = scene(summary)
    titles = [title.text or "" for title in picture.iter(f"{SVG}title")]
    bars = [rect for rect in picture.iter(f"{SVG}rect") if rect.find(f"{SVG}title") is not None]
    assert len(bars) == len(view.caller) + len(view.agent) + len(view.silence)
    assert any(title.endswith(': a < b & "c"') for title in titles)
    assert any("one to two: overloaded internal error" in title for title in titles)
    colours = [rect.get("fill") for rect in bars[1:]]
    assert colours[0] == colours[1] != colours[2]


def test_times_for_people() -> None:
    assert [seconds(ms) for ms in (None, 0, 999.4, 1234, 59_990, 83_000, 3_600_000)] == [
        "-", "0 ms", "999 ms", "1.23 s", "59.99 s", "1:23", "60:00",
    ]  # fmt: skip
