"""Speech of the emulated providers, one of them quieter or louder on the wire: the caller hears one level.

Speech is not a tone: with equal voices the step between the seconds around these joins is up to 3.1 dB by itself.
"""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import Any

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from audio.frame import decode, encode
from bridge.core.plan import Line
from tests.wire.moments import SCRIPT, ask, heard, rule
from tests.wire.stage import Socket, WireStage

PAIRS = [("openai", "gemini"), ("gemini", "openai"), ("openai", "azure_voice_live"), ("azure_voice_live", "gemini")]
RESET = {"reset": True}


class Unequal(WireStage):
    """`gains`: dB by provider, put on the audio of its messages."""

    gains: dict[str, float] = {}  # noqa: RUF012 - set by the tests

    def _hear(self, socket: Socket, data: str | bytes) -> None:
        gain = self.gains.get(socket.provider, 0.0)
        if gain and isinstance(data, (str, bytes)):
            message = orjson.loads(data)
            if _amplify(message, 10 ** (gain / 20)):
                text = orjson.dumps(message)
                data = text if isinstance(data, bytes) else text.decode()
        super()._hear(socket, data)


def _amplify(message: dict[str, Any], factor: float) -> bool:
    """In place; whether there was audio in it."""
    if str(message.get("type", "")) in ("response.output_audio.delta", "response.audio.delta"):
        message["delta"] = _louder(message["delta"], factor, "pcmu")
        return True
    parts = message.get("serverContent", {}).get("modelTurn", {}).get("parts", [])
    for part in parts:
        if "inlineData" in part:
            part["inlineData"]["data"] = _louder(part["inlineData"]["data"], factor, "pcm16")
    return bool(parts)


def _louder(data: str, factor: float, encoding: Any) -> str:
    pcm = np.clip(decode(base64.b64decode(data), encoding) * factor, -32000, 32000).astype(np.int16)
    return base64.b64encode(encode(pcm, encoding)).decode()


def switched(
    kinds: tuple[str, str],
    db: float,
    deltas: int,
    standby: str = "warm",
    known: bool = False,
    line: Line = Line(),  # noqa: B008 - frozen
) -> Unequal:
    """a dies in its reply after so many deltas and b, `db` louder (both far from full scale), goes on."""
    dying = {**SCRIPT, "rules": [rule(RESET, "reply", reply=1, after_deltas=deltas)]}
    stage = Unequal({"a": (kinds[0], dying), "b": (kinds[1], SCRIPT)}, standby, pace=1.5, agent={"line": line})
    stage.gains = {"a": -10.0, "b": -10.0 + db}
    if known:
        for name, level in learnt(kinds, db).items():
            stage.health.heard(stage.targets[name], "", level)
    ask(stage, 300, 12)
    stage.run(9000)
    assert [note["provider"] for note in stage.noted("first_audio")] == ["a", "b"]
    return stage


def active_db(pcm: NDArray[np.float64]) -> float:
    power = np.mean(pcm[: len(pcm) // 160 * 160].reshape(-1, 160) ** 2, axis=1)
    return float(10 * np.log10(np.mean(power[power > np.percentile(power, 95) / 10**1.5])))


def change_db(stage: Unequal) -> float:
    """From the second before the join to the one after it."""
    pcm = decode(bytes(stage.heard), "pcmu").astype(float)
    join = (stage.when("agent_began")[1] + 20) * 8
    return active_db(pcm[join : join + 8000]) - active_db(pcm[join - 8000 : join])


@lru_cache(maxsize=64)
def natural_db(kinds: tuple[str, str], deltas: int, standby: str) -> float:
    """The step where both voices are equally loud and nothing is matched."""
    return change_db(switched(kinds, 0.0, deltas, standby, line=Line(match_loudness=False)))


@pytest.mark.parametrize("kinds", PAIRS)
@pytest.mark.parametrize("standby", ["cold", "warm"])
@pytest.mark.parametrize(
    ("known", "db"), [(False, db) for db in (-9, -6, 0, 6, 9)] + [(True, db) for db in (-9, -6, -3, 0, 3, 6, 9)]
)
def test_the_step_of_level_at_a_switch(kinds: tuple[str, str], standby: str, known: bool, db: float) -> None:
    """`known`: an earlier call has heard both voices, and the board carries it over. Of a voice nobody has heard yet,
    3 to 4 dB may stay for its first second: so much do a few words differ within one voice. A step that the words make
    with equal voices is not the voices'."""
    most = 3.05 if known or abs(db) in (0, 9) else 4.0
    for deltas in (5, 8, 11):
        heard_db = change_db(switched(kinds, db, deltas, standby, known))
        assert abs(heard_db) <= max(most, abs(natural_db(kinds, deltas, standby)) + 0.1), deltas


@pytest.mark.parametrize("kinds", PAIRS)
def test_left_alone_it_is_heard(kinds: tuple[str, str]) -> None:
    """What the test above measures is there without the matching."""
    steps = [change_db(switched(kinds, db, 8, line=Line(match_loudness=False))) for db in (-9.0, 9.0)]
    assert steps[0] < -6 and steps[1] > 6


@pytest.mark.parametrize("kinds", PAIRS)
@pytest.mark.parametrize("known", [False, True])
def test_voices_that_match_are_left_alone(kinds: tuple[str, str], known: bool) -> None:
    for deltas in (5, 8, 11):
        matched = switched(kinds, 0.0, deltas, known=known)
        assert bytes(matched.heard) == bytes(switched(kinds, 0.0, deltas, line=Line(match_loudness=False)).heard)


def test_words_are_still_words() -> None:
    """Raised by 9 dB, the voice is the same voice: the ear that knows the recording follows it."""
    assert "you asked about number" in heard(switched(("openai", "gemini"), -9, 8))


@lru_cache(maxsize=64)
def learnt(kinds: tuple[str, str], db: float) -> dict[str, float]:
    """What the board knows of both voices after one call with each."""
    spoke = {**SCRIPT, "reply": {**SCRIPT["reply"], "seconds": 5}}
    out = {}
    for name in "ab":
        stage = Unequal({"a": (kinds[0], spoke), "b": (kinds[1], spoke)})
        stage.gains = {"a": -10.0, "b": -10.0 + db}
        stage.unhealthy = {"a", "b"} - {name}
        ask(stage, 300, 12)
        stage.run(9000)
        level = stage.health.voice_db(stage.targets[name], "")
        assert level is not None
        out[name] = level
    assert out["b"] - out["a"] == pytest.approx(db, abs=1.5)
    return out
