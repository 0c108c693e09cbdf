"""Turn detection on the corpus of real calls beside the repository: skipped where it is not."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest

from audio.turns import TurnSettings
from bench.ears import AIM, CORPUS, MUST, Figures, figures
from bench.ears_corpus import load
from bench.ears_overlays import overlays
from bench.ears_rivals import segue
from bench.ears_score import Score, score
from bench.ears_variants import variants

pytestmark = pytest.mark.skipif(not (CORPUS / "index.json").exists(), reason="no corpus of calls beside the repository")


@pytest.fixture(scope="module")
def found() -> dict[str, Figures]:
    groups: dict[str, Score] = defaultdict(Score)
    hear = segue(TurnSettings())
    for call in load(CORPUS):
        result = score(call, hear(call))
        groups["all"].add(result)
        groups[call.scenario].add(result)
    return {name: figures(group) for name, group in groups.items()}


@pytest.mark.parametrize("name", [name for name in MUST if name not in ("cpu_us", "barge_found_pct")])
def test_every_figure_is_within_its_bar(found: dict[str, Figures], name: str) -> None:
    assert found["all"][name] <= MUST[name]


@pytest.mark.parametrize("name", [name for name in AIM if name not in ("cpu_us", "barge_found_pct")])
def test_every_figure_is_where_it_is_aimed_at(found: dict[str, Figures], name: str) -> None:
    assert found["all"][name] <= AIM[name]


def test_barge_ins_are_found(found: dict[str, Figures]) -> None:
    assert found["all"]["barge_found_pct"] >= AIM["barge_found_pct"]


@pytest.mark.parametrize("scenario", ["loss", "quiet"])
def test_lost_packets_and_a_quiet_caller_keep_the_figures(found: dict[str, Figures], scenario: str) -> None:
    for name in ("end_p50_ms", "end_p90_ms", "cut_pct", "missed_end_pct", "false_per_min", "start_p95_ms"):
        assert found[scenario][name] <= MUST[name]


def test_overlays_are_the_same_for_a_seed_and_hold_the_bars() -> None:
    calls = load(CORPUS)
    made, again = overlays(calls, 5, 12), overlays(calls, 5, 12)
    assert all((a.near == b.near).all() and a.turns == b.turns for a, b in zip(made, again, strict=True))
    over_the_agent, in_noise = Score(), Score()
    hear = segue(TurnSettings())
    for call in made:
        (in_noise if call.name.startswith("dialogue") else over_the_agent).add(score(call, hear(call)))
    figure = figures(over_the_agent)
    assert figure["barge_found_pct"] >= 90
    assert figure["echo_per_min"] == 0
    assert figure["backchannel_cut_pct"] <= 5
    assert figures(in_noise)["missed_end_pct"] <= 5


def test_other_voices_and_levels_keep_the_figures() -> None:
    """Variants of the calls that nobody tuned to, in those calls that are not one long story."""
    calls = [call for call in load(CORPUS) if call.scenario in ("clean", "digits", "bargein", "backchannel", "echo")]
    words = [replace(call, turns=[]) for call in load(CORPUS)]
    total = Score()
    hear = segue(TurnSettings())
    for call in variants([*calls, *words], 5):
        if call.scenario.startswith(("speed", "gsm", "loss", "-8")):
            total.add(score(call, hear(call)))
    figure = figures(total)
    assert figure["end_p50_ms"] <= 530
    assert figure["end_p90_ms"] <= 900
    assert figure["cut_pct"] <= 8
    assert figure["missed_end_pct"] <= 1
