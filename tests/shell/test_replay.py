"""A recorded call does the same again, and where it does not, the first difference is named."""

from __future__ import annotations

import base64
import io
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from audio.files import read_audio
from audio.frame import Frame
from audio.turns import TurnSettings
from bridge.core import effects as fx
from bridge.core import events as ev
from bridge.core.engine import Action, Engine, Transmit
from bridge.core.plan import Line
from bridge.shell.record import CallRecorder, Recordings
from bridge.shell.record_format import CALLER, CONCEALED, EVENTS, MEDIA, Block
from bridge.shell.record_read import CallRecord, RecordError
from bridge.shell.replay import Report, command, replay
from bridge.shell.timeline import draw
from providers.base import Failure, HttpRefusal
from tests.core.test_keys import tones
from tests.edges.lossy import Edge, chunked, losses
from tests.edges.test_lossy_line import quieter
from tests.shell.studio import BEGINNING, SCENES, TOOL, Provider, Studio, play, spec, speech, targets
from tests.virtual import virtual
from tests.wire.caller import QUESTIONS

SECOND = 1_000_000_000


def record(root: Path, direct: Callable[[CallRecorder], Studio], **about: Any) -> tuple[Path, Studio]:
    recordings = Recordings(root)
    recorder = recordings.open(spec(**about), targets())
    studio = direct(recorder)
    assert recordings.close()
    return recorder.finished.result(timeout=0), studio


@pytest.mark.parametrize("scene", SCENES)
def test_a_call_is_the_same_bit_for_bit(tmp_path: Path, scene: str) -> None:
    about, ms = SCENES[scene][0], SCENES[scene][3]
    folder, studio = record(tmp_path, lambda recorder: play(scene, recorder), **about)
    report = replay(folder)
    assert report.differences == []
    assert report.same
    assert report.missing == ""
    assert report.checks >= len(studio.notes) + ms // 1000 - 5
    tail = CallRecord(folder).tail
    assert tail is not None
    assert (report.events, report.actions) == (tail["inputs"], tail["actions"])
    expected = {"interruption": "cut", "tool": "tool_done", "death in a reply": "swap", "all refused": "last_rung"}
    if scene in expected:
        assert any(note.kind == expected[scene] for note in studio.notes), "the scene shows what it is for"


@pytest.mark.parametrize("seed", range(20))
def test_calls_full_of_mishaps_are_the_same_too(tmp_path: Path, seed: int) -> None:
    """Random faults, talking over, keys, a lost leg, a hang-up at a random time."""
    chance = random.Random(seed)

    def provider() -> Provider:
        return Provider(
            refuse=HttpRefusal(chance.choice((401, 429, 503)), {}) if chance.random() < 0.15 else None,
            first_audio=chance.randrange(100, 1500),
            pieces=chance.randrange(1, 25),
            dies_in=chance.randrange(4),
            dies_after=chance.randrange(8),
            stalls=chance.random() < 0.5,
            calls_tool=chance.randrange(4),
        )

    def direct(recorder: CallRecorder) -> Studio:
        studio = Studio(recorder, spec(tools=(TOOL,)), {"one": provider(), "two": provider()})
        at = chance.randrange(200, 5000)
        for _ in range(3):
            studio.says(at, speech(chance.choice(("order_status", "thanks", "table"))))
            at += chance.randrange(3200, 7000)
        for digit in "12#"[: chance.randrange(4)]:
            studio.later(chance.randrange(1000, 9000), lambda digit=digit: studio.event(ev.Dtmf(digit)))
        if chance.random() < 0.4:
            gone = chance.randrange(500, 8000)
            studio.later(gone, lambda: studio.event(ev.LegLost()))
            studio.later(gone + chance.randrange(100, 3000), lambda: studio.event(ev.LegBack()))
        return studio.run(chance.randrange(6000, 15000))

    folder, studio = record(tmp_path, direct, tools=(TOOL,))
    report = replay(folder)
    assert report.differences == []
    assert report.missing == ""
    summary = json.loads((folder / "call.json").read_text())
    assert summary["ended"] == "hung up"
    ends = [(said["began_ms"], said["ended_ms"]) for said in summary["speech"]]
    assert all(begin <= end for begin, end in ends)
    assert all(end <= begin for (_, end), (begin, _) in pairwise(ends)), "one voice at a time"
    asked = [note for note in studio.notes if note.kind == "asked"]
    assert len(summary["asks"]) == len(asked)
    assert not any(exchange["state"] == "open" for exchange in summary["exchanges"])
    draw(summary, Console(file=io.StringIO()))


@virtual
@pytest.mark.parametrize("seed", range(4))
async def test_a_call_on_a_bad_line_is_the_same_too(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost chunks, a hold, keys in band and reported, a quiet caller raised, opinions: all of it comes with the events,
    so that nobody is asked again. What was recorded of the caller is what the call was given, bit for bit."""
    agent = replace(spec().agent, turns=TurnSettings(opinion="judges:asked"), line=Line(auto_gain=True))
    about = replace(spec(greeting=""), agent=replace(agent, greeting=""))
    sentence = quieter(read_audio(QUESTIONS / "order_status.flac", 8000), -14)
    rest = np.zeros(16_000, np.int16)
    pcm = np.concatenate((rest, sentence, rest, tones("12#", seconds=3.0), sentence, rest, sentence, rest))
    chunks = chunked(pcm)
    lost = losses(len(chunks), 0.05, seed) | set(range(770, 840))
    given: list[ev.Event | Frame] = []

    def direct(recorder: CallRecorder) -> Studio:
        studio = Studio(recorder, about)
        studio.caller_on = False

        def tell(what: ev.Event | Frame) -> None:
            given.append(what)
            if isinstance(what, Frame):
                studio.hears(what)
            else:
                studio.event(what)

        edge = Edge(tell)
        for number in sorted(set(range(len(chunks))) - lost):
            studio.later(20 * number, lambda number=number: edge.chunk(number, chunks[number]))
        for index, key in enumerate("12#"):
            at = 4000 + len(sentence) // 8 + 2100 + 250 * index
            studio.later(at, lambda key=key: studio.event(ev.Dtmf(key)))
        return studio.run(20 * len(chunks))

    recordings = Recordings(tmp_path)
    recorder = recordings.open(about, targets())
    studio = direct(recorder)
    assert recordings.close()
    folder = recorder.finished.result(timeout=0)
    monkeypatch.setattr("bridge.shell.opinions.find", lambda path: pytest.fail("nobody is asked in a replay"))
    report = replay(folder)
    assert report.differences == [] and report.missing == ""
    kinds = {note.kind for note in studio.notes}
    assert {"concealed", "line_away", "opinion", "dtmf", "turn_ended"} <= kinds
    frames = [each for each in given if isinstance(each, Frame)]
    kept = [
        (step.given.data, step.given.kind == CONCEALED)
        for step in CallRecord(folder).steps()
        if isinstance(step.given, Block) and step.given.kind in (CALLER, CONCEALED)
    ]
    assert kept == [(frame.data, frame.concealed) for frame in frames]
    summary = json.loads((folder / "call.json").read_text())
    assert summary["totals"]["concealed_ms"] == 20 * sum(frame.concealed for frame in frames) > 500
    assert summary["totals"]["away_ms"] == summary["line_away"][0]["ms"] >= 1400
    assert [key["digit"] for key in summary["keys"]] == ["1", "2", "#"]
    appended = b"".join(
        base64.b64decode(message["audio"])
        for wire in studio.wires.values()
        for message in wire.log
        if message["type"] == "input_audio_buffer.append"
    )
    assert appended and appended not in b"".join(data for data, _ in kept if data), "the caller was raised"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A call of two replies, for replays on engines that are not the same."""
    direct: Callable[[CallRecorder], Studio] = lambda recorder: (  # noqa: E731
        Studio(recorder).says(5000, speech("order_status")).run(13000)
    )
    return record(tmp_path_factory.mktemp("calls"), direct)[0]


class Bent:
    """The engine, but what it does after input number `at` is bent."""

    def __init__(self, at: int, bend: Callable[[list[Action]], list[Action]]) -> None:
        self._at = at
        self._bend = bend
        self._n = -1

    def __call__(self, *about: Any) -> Bent:
        self._engine = Engine(*about)
        return self

    def _pass(self, actions: list[Action]) -> list[Action]:
        self._n += 1
        return self._bend(actions) if self._n == self._at else actions

    def start(self, now: int) -> list[Action]:
        return self._pass(self._engine.start(now))

    def heard(self, frame: Frame, now: int) -> list[Action]:
        return self._pass(self._engine.heard(frame, now))

    def handle(self, event: ev.Event, now: int) -> list[Action]:
        return self._pass(self._engine.handle(event, now))

    def received(self, link: int, message: str | bytes, now: int) -> list[Action]:
        return self._pass(self._engine.received(link, message, now))

    def failed(self, link: int, failure: Failure, now: int) -> list[Action]:
        return self._pass(self._engine.failed(link, failure, now))


def where(folder: Path, what: type, count: int = 1) -> int:
    """The number of the `count`-th input that `what` is among the answers of."""
    found: list[int] = []

    class Watch(Bent):
        def _pass(self, actions: list[Action]) -> list[Action]:
            self._n += 1
            if any(isinstance(action, what) for action in actions):
                found.append(self._n)
            return actions

    assert replay(folder, Watch(0, lambda actions: actions)).same
    return found[count - 1]


def bent(folder: Path, at: int, bend: Callable[[list[Action]], list[Action]]) -> Report:
    return replay(folder, Bent(at, bend))


def test_one_changed_byte_of_sound_is_found_at_its_input(recorded: Path) -> None:
    at = where(recorded, fx.Emit, 60)

    def bend(actions: list[Action]) -> list[Action]:
        return [
            fx.Emit(bytes([action.data[0] ^ 1]) + action.data[1:]) if isinstance(action, fx.Emit) else action
            for action in actions
        ]

    report = bent(recorded, at, bend)
    first = report.differences[0]
    assert (first.n, first.what, first.event) == (at, "agent audio", "Pulled(160)")
    assert first.at_ms == (next(s.now for s in CallRecord(recorded).steps() if s.n == at) - BEGINNING) / 1e6
    assert not report.same
    assert len(report.differences) == 2, "once as sound, once at the next checksum, and then all is equal again"


def test_one_changed_message_to_a_provider_is_found_within_a_second(recorded: Path) -> None:
    at = where(recorded, Transmit, 40)

    def bend(actions: list[Action]) -> list[Action]:
        return [Transmit(a.link, [*a.messages, "{}"]) if isinstance(a, Transmit) else a for a in actions]

    report = bent(recorded, at, bend)
    (only,) = report.differences
    assert only.what == "actions"
    assert only.since < at <= only.n
    times = {step.n: step.now for step in CallRecord(recorded).steps()}
    assert times[only.n] - times[at] <= SECOND + 20_000_000


@pytest.mark.parametrize(
    ("bend", "expected", "got"),
    [
        (lambda actions: [], '"note":"agent_began"', "nothing"),
        (lambda actions: [*actions, fx.Note("noticed", {"what": "new"})], "nothing", '"what":"new"'),
        (lambda actions: [fx.Note("agent_began", {"ask": 9})], '"ask":1', '"ask":9'),
    ],
)
def test_a_note_missing_added_or_changed_is_shown(
    recorded: Path, bend: Callable[[list[Action]], list[Action]], expected: str, got: str
) -> None:
    at = next(
        step.n for step in CallRecord(recorded).steps() if any(x.get("note") == "agent_began" for x in step.lines)
    )
    report = bent(recorded, at, bend)
    note = next(difference for difference in report.differences if difference.what == "note")
    assert note.n == at
    assert expected in note.expected
    assert got in note.got


def test_an_effect_that_only_moved_counts_as_different(recorded: Path) -> None:
    at = where(recorded, fx.Open)
    report = bent(recorded, at, lambda actions: actions[::-1])
    assert report.differences


def test_an_engine_that_raises_is_a_difference(recorded: Path) -> None:
    def bend(actions: list[Action]) -> list[Action]:
        raise KeyError("lost")

    (only,) = bent(recorded, 100, bend).differences
    assert (only.n, only.expected) == (100, "nothing raised")
    assert "KeyError: 'lost'" in only.got


def test_a_call_that_failed_is_replayed_up_to_there(recorded: Path, tmp_path: Path) -> None:
    """The record of a call whose engine raised: the same again is no difference, not raising is none either."""
    recordings = Recordings(tmp_path)
    recorder = recordings.open(spec(), targets())
    engine = Engine(spec(), targets())
    recorder.start(SECOND)
    recorder.actions(engine.start(SECOND))
    recorder.event(ev.Dtmf("1"), 2 * SECOND)
    recorder.crashed("Traceback\nKeyError: 'lost'", 2 * SECOND)
    recorder.close(3 * SECOND)
    folder = recorder.finished.result(timeout=20)
    assert recordings.close()

    def bend(actions: list[Action]) -> list[Action]:
        raise KeyError("lost")

    report = bent(folder, 1, bend)
    assert report.same
    assert report.missing == ""
    summary = json.loads((folder / "call.json").read_text())
    assert (summary["ended"], summary["error"]) == ("error", "KeyError: 'lost'")


def test_many_differences_end_the_replay(recorded: Path) -> None:
    class Always(Bent):
        def _pass(self, actions: list[Action]) -> list[Action]:
            return [*actions, fx.Emit(b"\xff" * 160)]

    assert len(replay(recorded, Always(0, lambda actions: actions)).differences) == 20


# ------------------------------------------------------------------------------------------------- incomplete records


def test_a_gap_in_the_record_ends_the_replay_and_is_said(recorded: Path, tmp_path: Path) -> None:
    folder = tmp_path / "gap"
    shutil.copytree(recorded, folder)
    lines = (folder / EVENTS).read_bytes().splitlines(keepends=True)
    lost = next(i for i, line in enumerate(lines) if b'"in":' in line and i > 40)
    n = json.loads(lines[lost])["n"]
    (folder / EVENTS).write_bytes(b"".join(lines[:lost] + lines[lost + 1 :]))
    report = replay(folder)
    assert report.same
    assert report.events == n
    assert f"from number {n} on are missing" in report.missing


def test_without_the_body_of_an_input_the_replay_stops_before_it(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path, limit=40_000, every=30)
    recorder = recordings.open(spec(), targets())
    Studio(recorder).run(4000)
    folder = recorder.finished.result(timeout=20)
    assert recordings.close()
    assert recorder.lost.bodies > 0
    report = replay(folder)
    assert report.same
    assert "was not recorded" in report.missing
    assert 0 < report.events < 300


def test_without_sound_there_is_nothing_to_replay(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path, "events")
    recorder = recordings.open(spec(), targets())
    Studio(recorder).run(1000)
    folder = recorder.finished.result(timeout=20)
    assert recordings.close()
    with pytest.raises(RecordError, match="recorded without sound"):
        replay(folder)


def test_a_replay_can_be_recorded_and_is_the_same_record(recorded: Path, tmp_path: Path) -> None:
    recordings = Recordings(tmp_path)
    again = recordings.open(spec(), targets())
    assert replay(recorded, again=again).same
    folder = again.finished.result(timeout=20)
    assert recordings.close()
    assert (folder / MEDIA).read_bytes() == (recorded / MEDIA).read_bytes()
    for one, other in zip(CallRecord(recorded).lines, CallRecord(folder).lines, strict=True):
        assert one == other


# --------------------------------------------------------------------------------------------------------- the command


def run(folder: Path, as_json: bool) -> tuple[int, str]:
    out = io.StringIO()
    return command(folder, as_json, Console(file=out, width=120)), out.getvalue()


def test_the_command_says_none_bit_for_bit(recorded: Path) -> None:
    code, text = run(recorded, False)
    assert code == 0
    assert "none, bit for bit" in text
    code, text = run(recorded, True)
    said = json.loads(text)
    assert code == 0
    assert said["same"] is True
    assert said["differences"] == []
    assert said["events"] > 600


def test_the_command_names_the_first_difference(recorded: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bent"
    shutil.copytree(recorded, folder)
    lines = (folder / EVENTS).read_text().splitlines(keepends=True)
    index = next(i for i, line in enumerate(lines) if '"note":"turn_began"' in line)
    note = json.loads(lines[index])
    note["crc"] ^= 1
    lines[index] = json.dumps(note) + "\n"
    (folder / EVENTS).write_text("".join(lines))
    code, said = run(folder, False)
    assert code == 1
    assert f"input {note['n']} " in said
    assert f"{(note['t'] - BEGINNING) / 1e9:.3f} s" in said
    assert "160 bytes of the caller" in said
    code, said = run(folder, True)
    assert code == 1
    assert json.loads(said)["differences"][0]["n"] == note["n"]


def test_the_command_on_no_record(tmp_path: Path) -> None:
    code, text = run(tmp_path / "none", False)
    assert code == 2
    assert "no call record" in text
    code, text = run(tmp_path / "none", True)
    assert code == 2
    assert "no call record" in json.loads(text)["error"]
