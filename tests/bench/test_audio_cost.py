"""The bench of the sound modules measures every one of its cases."""

from __future__ import annotations

import json
import sys

from bench import audio as bench


def test_every_case_runs_and_is_reported(monkeypatch, capsys, tmp_path):
    def once(work, frames):
        work()
        return 1.25 / frames

    monkeypatch.setattr(bench, "microseconds", once)
    monkeypatch.setattr(sys, "argv", ["bench.audio", "--json"])
    bench.main()
    figures = json.loads(capsys.readouterr().out)
    assert list(figures) == [name for name, _, _ in bench.cases(tmp_path)]
    assert {"resample 8 to 24 kHz", "fader u-law, ducked", "conceal u-law, nothing lost"} < set(figures)


def test_a_figure_is_time_per_frame():
    calls = []
    cost = bench.microseconds(lambda: calls.append(sum(range(2000))), 10)
    assert len(calls) > 25 and 0 < cost < 10_000
