"""A very short run of the edge bench, to see that its processes still fit together and to each other's bridge."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.edge import plan
from bench.edge_core import frame_us
from bench.edge_runs import SUBJECTS, measure


@pytest.mark.slow
@pytest.mark.parametrize("subject", ["pass-through", "segue", "segue PCM"])
def test_a_call_is_heard_both_ways(subject: str, tmp_path: Path) -> None:
    result = measure(subject, 1, 4.0, tmp_path)
    assert result.problems == []
    assert result.replies == 1 and len(result.inward) >= 20
    assert min(result.inward) > 0 and min(result.outward) > 0
    assert result.cpu_ms is not None and result.cpu_ms > 0
    assert result.rest_mib is not None and result.peak_mib is not None and 10 < result.rest_mib <= result.peak_mib


def test_a_call_without_sockets_has_turns() -> None:
    assert 1 < frame_us(1, 15.0) < 1000


def test_records_are_written_with_most_calls_only() -> None:
    runs = plan([100, 1], list(SUBJECTS))
    assert [count for count, subject in runs if subject == "segue recording"] == [100]
    assert runs[0] == (1, "pass-through") and len(runs) == 9
