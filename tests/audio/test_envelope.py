"""The outline's measure of loudness."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from audio.envelope import Envelope, _percentile_90
from audio.frame import PCMU


@pytest.mark.parametrize("size", [1, 2, 5, 10, 11, 99, 400, 3000])
def test_the_percentile_is_numpys(size: int) -> None:
    random = np.random.default_rng(size)
    for _ in range(200):
        levels = random.integers(0, 91, size).astype(np.uint8)
        assert _percentile_90(levels) == float(np.percentile(levels, 90))


def test_levels_are_told_up_to_the_last_whole_step() -> None:
    outline = Envelope(PCMU)
    data = np.random.default_rng(1).integers(0, 256, 12_345).astype(np.uint8).tobytes()
    for at in range(0, len(data), 700):
        outline.push(data[at : at + 700])
        assert len(outline.levels) == min(at + 700, len(data)) // 160
    whole = Envelope(PCMU)
    whole.push(data)
    assert outline.levels == whole.levels


def test_a_call_imports_nothing_once_it_runs() -> None:
    """What is imported at its first use holds up every call of the process."""
    program = """
import sys
import bridge.cli_serve, providers.registry
from bench.edge_core import Conversation
from bench import edge_sound as sound
voice = sound.speech()
conversation = Conversation(1)
frames = sound.caller(1, 14.0, voice)
before = set(sys.modules)
for frame in frames:
    conversation.frame(frame)
assert conversation.asks
print(sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
