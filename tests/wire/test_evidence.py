"""What the record says of a switch is what the caller's recording and the bytes sent to the next provider show."""

from __future__ import annotations

import numpy as np
import pytest

from audio.frame import decode
from tests.wire.moments import PAIRS, ask, call, rule, turns
from tests.wire.stage import WireStage

RESET = {"reset": True}
STALL = {"stall": True}
MOMENTS = {
    "caller speaking": rule(RESET, "speaking", turn=1, after_ms=700),
    "turn just ended": rule(RESET, "asked", reply=1),
    "first audio": rule(RESET, "reply", reply=1, after_deltas=1),
    "mid-reply": rule(RESET, "reply", reply=1, after_deltas=5),
    "no answer": rule(STALL, "asked", reply=1),
    "halts in its reply": rule(STALL, "reply", reply=1, after_deltas=4),
}


def silence_ms(stage: WireStage, owed_ms: int) -> int:
    """How long the caller heard nothing, from the last sound of the old voice or from when an answer was owed, until
    the new one."""
    sounds = np.flatnonzero(np.any(decode(bytes(stage.heard), "pcmu").reshape(-1, 160) != 0, axis=1)) * 20
    began = stage.when("agent_began")[-1]
    new = int(sounds[sounds >= began - 20][0])
    before = sounds[sounds < new]
    return new - max(owed_ms, int(before[-1]) + 20 if len(before) else 0)


@pytest.mark.parametrize("kinds", PAIRS)
@pytest.mark.parametrize("standby", ["cold", "warm"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_silence_and_replay_are_what_they_are_said_to_be(kinds: tuple[str, str], standby: str, moment: str) -> None:
    stage = call(*kinds, a=[MOMENTS[moment]], standby=standby, pace=1.5)
    owed_ms = ask(stage, 300, 12)
    stage.run(12_000)
    (swap,) = stage.noted("swap")
    (turn,) = turns(stage, stage.of("b")[0])
    if moment == "caller speaking":
        assert swap["silence_ms"] == 0
        # All of the call until then, its first 0.3 s being the turn's pre-roll; the rest is sent as it is said.
        assert swap["replayed_ms"] == pytest.approx(stage.when("swap")[0], abs=40)
    else:
        assert swap["silence_ms"] == pytest.approx(silence_ms(stage, owed_ms), abs=40)  # the frame grid, and a ring
        rate = 16_000 * 2 if kinds[1] == "gemini" else 8000
        assert swap["replayed_ms"] == pytest.approx(len(turn) * 1000 / rate, abs=20)
