"""The caller speaks while the agent's last words play, or right after them: the provider gets the first syllable.

With the real turn detector, on a line that may return the agent.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from audio.frame import PCMU, Pcm, decode, encode
from audio.turns import TurnDetector, TurnSettings
from bridge.core.engine import Engine
from tests.wire.caller import Line, question
from tests.wire.moments import SCRIPT, WELCOME, turns
from tests.wire.stage import WireStage

OFFSETS = range(-600, 401, 100)  # ms from the end of the agent's words to the caller's first
ECHOES = [None, (-16.0, 80), (-16.0, 200), (-20.0, 130), (-26.0, 200)]


class Speakerphone(Line):
    """`echo`: dB and delay in ms at which what the caller hears comes back."""

    def __init__(self, stage: WireStage, echo: tuple[float, int] | None) -> None:
        super().__init__(1)
        self._heard, self._echo = stage.heard, echo

    def frame(self, index: int) -> bytes:
        data = super().frame(index)
        if self._echo is None:
            return data
        db, delay = self._echo
        begin = index * 160 - delay * 8
        if begin < 0:
            return data
        echo = decode(bytes(self._heard[begin : begin + 160]), "pcmu") * 10 ** (db / 20)
        return encode((decode(data, "pcmu") + echo).clip(-32768, 32767).astype(np.int16), "pcmu")


def _call(greeting: str, echo: tuple[float, int] | None) -> WireStage:
    stage = WireStage({"a": ("openai", SCRIPT)}, greeting=greeting)
    stage.ears = TurnDetector(TurnSettings(), PCMU.rate)  # type: ignore[assignment]
    stage.call = Engine(stage.spec, stage.targets, stage.ears)  # type: ignore[assignment, arg-type]
    stage.line = Speakerphone(stage, echo)
    return stage


@lru_cache(maxsize=32)
def _untouched(greeting: str, echo: tuple[float, int] | None) -> int:
    """When the agent's greeting is over (ms) that nobody interrupts; the echo of it is no turn."""
    stage = _call(greeting, echo).run(6000)
    assert not stage.noted("turn_began")
    return int(np.flatnonzero(np.abs(decode(bytes(stage.heard), "pcmu").astype(int)) > 300)[-1]) // 8


@lru_cache(maxsize=8)
def _words(db: float) -> Pcm:
    """A recorded question from its first syllable on, its speech `db` loud."""
    pcm = question(7, 2400).astype(float)
    pcm = pcm[np.flatnonzero(np.abs(pcm) > 0.05 * np.abs(pcm).max())[0] :]
    return (pcm * 32768 * 10 ** (db / 20) / np.sqrt(np.mean(pcm**2))).clip(-32768, 32767).astype(np.int16)


@pytest.mark.parametrize("greeting", ["Hello.", WELCOME])
@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("db", [-18.0, -23.0, -27.0])
def test_the_first_syllable_reaches_the_provider(greeting: str, echo: tuple[float, int] | None, db: float) -> None:
    over, said = _untouched(greeting, echo), _words(db)
    lost = []
    for offset in OFFSETS:
        stage = _call(greeting, echo)
        begin = over + offset
        stage.line.say(begin, said)
        stage.run(begin + 4000)
        spoken = b"".join(stage.sent_frames)[begin * 8 : begin * 8 + 4000]
        got = turns(stage, stage.of("a")[0])
        if not got or spoken not in got[0]:
            lost.append(offset)
    assert lost == []
