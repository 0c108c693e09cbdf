"""Turn detection on the corpus of real calls beside the repository: skipped where it is not."""

from __future__ import annotations

from collections import defaultdict

import pytest

from audio.turns import TurnSettings
from bench.ears import CORPUS, MUST, Figures, figures
from bench.ears_corpus import load
from bench.ears_overlays import overlays
from bench.ears_rivals import segue
from bench.ears_score import Score, score

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


def test_barge_ins_are_found(found: dict[str, Figures]) -> None:
    assert found["all"]["barge_found_pct"] >= MUST["barge_found_pct"]


@pytest.mark.parametrize("scenario", ["loss", "quiet"])
def test_lost_packets_and_a_quiet_caller_keep_the_figures(found: dict[str, Figures], scenario: str) -> None:
    for name in ("end_p50_ms", "end_p90_ms", "cut_pct", "missed_end_pct", "false_per_min", "start_p95_ms"):
        assert found[scenario][name] <= MUST[name]


def test_overlays_are_the_same_for_a_seed_and_hold_the_bars() -> None:
    calls = load(CORPUS)
    made, again = overlays(calls, 5, 12), overlays(calls, 5, 12)
    assert all((a.near == b.near).all() and a.turns == b.turns for a, b in zip(made, again, strict=True))
    total = Score()
    hear = segue(TurnSettings())
    for call in made:
        if not call.name.startswith("dialogue"):
            total.add(score(call, hear(call)))
    figure = figures(total)
    assert figure["barge_found_pct"] >= 90
    assert figure["echo_per_min"] <= 0.5
    assert figure["backchannel_cut_pct"] <= 25
