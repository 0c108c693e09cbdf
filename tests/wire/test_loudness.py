"""Speech of the emulated providers, one of them quieter or louder on the wire: the caller hears one level.

Judged on the caller's leg: the level of the active speech in up to 1.5 s before the join beside that of up to 1.5 s
after it. Speech is not a tone: with equal voices and nothing matched, the words alone make a step of up to 6 dB where
little is said. So each call is made twice, with the same words at the same times; what the first has more than such a
natural call is *ours*. A step is a fault where it is heard (more than 3 dB) and ours (more than 3 dB of it).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import lru_cache
from random import Random
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
ALONE = Line(match_loudness=False)
MOST_DB = 3.0
WINDOW_MS, LEAST_MS = 1500, 400  # less speech on a side has no level


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


@dataclass(frozen=True)
class Case:
    """a dies in its reply after so many deltas (100 ms each) and b goes on. `pace`: how much faster than real time
    sound comes; `seconds`: the length of each one's reply."""

    kinds: tuple[str, str]
    deltas: int
    standby: str = "warm"
    pace: float = 1.5
    number: int = 12
    seconds: tuple[float, float] = (3.2, 3.2)


def switched(case: Case, db: float, known: bool = False, line: Line = Line()) -> Unequal:  # noqa: B008 - frozen
    """b is `db` louder than a, both far from full scale."""
    one, two = ({**SCRIPT, "reply": {**SCRIPT["reply"], "seconds": seconds}} for seconds in case.seconds)
    dying = {**one, "rules": [rule(RESET, "reply", reply=1, after_deltas=case.deltas)]}
    providers = {"a": (case.kinds[0], dying), "b": (case.kinds[1], two)}
    stage = Unequal(providers, case.standby, pace=case.pace, agent={"line": line})
    stage.gains = {"a": -10.0, "b": -10.0 + db}
    if known:
        for name, level in learnt(case.kinds, db).items():
            stage.health.heard(stage.targets[name], "", level)
    ask(stage, 300, case.number)
    stage.run(12_000)
    return stage


def active_db(pcm: NDArray[np.float64]) -> float:
    power = np.mean(pcm[: len(pcm) // 160 * 160].reshape(-1, 160) ** 2, axis=1)
    return float(10 * np.log10(np.mean(power[power > np.percentile(power, 95) / 10**1.5])))


def change_db(stage: Unequal) -> float | None:
    """The step at the join, over what was said around it; None where too little was, or all by a."""
    if [note["provider"] for note in stage.noted("first_audio")] != ["a", "b"]:
        return None
    pcm = decode(bytes(stage.heard), "pcmu").astype(float)
    began, join = stage.when("agent_began")[:2]
    join += 20
    ended = stage.when("agent_ended")[-1]
    first, last = max(began, join - WINDOW_MS), min(ended, join + WINDOW_MS)
    if join - first < LEAST_MS or last - join < LEAST_MS:
        return None
    return active_db(pcm[join * 8 : last * 8]) - active_db(pcm[first * 8 : join * 8])


@lru_cache(maxsize=256)
def natural_db(case: Case) -> float | None:
    """The step where both voices are equally loud and nothing is matched: the words'."""
    return change_db(switched(case, 0.0, line=ALONE))


def steps_db(case: Case, db: float, known: bool = False, line: Line = Line()) -> tuple[float, float]:  # noqa: B008
    """The step that is heard, and what of it is ours."""
    heard_db, words_db = change_db(switched(case, db, known, line)), natural_db(case)
    assert heard_db is not None and words_db is not None
    return heard_db, heard_db - words_db


@pytest.mark.parametrize("kinds", PAIRS)
@pytest.mark.parametrize("standby", ["cold", "warm"])
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("db", [-9, -6, -3, 0, 3, 6, 9])
def test_the_step_of_level_at_a_switch(kinds: tuple[str, str], standby: str, known: bool, db: float) -> None:
    """`known`: an earlier call has heard both voices, and the board carries it over."""
    for deltas in (5, 8, 11):
        heard_db, ours_db = steps_db(Case(kinds, deltas, standby), db, known)
        assert min(abs(heard_db), abs(ours_db)) <= MOST_DB, (deltas, heard_db, ours_db)


def random_case(chance: Random) -> Case:
    """Other words, lengths (also a second or less of either voice) and ways for sound to arrive."""
    return Case(
        chance.choice(PAIRS),
        chance.randrange(4, 22),
        chance.choice(["cold", "warm"]),
        chance.choice([1.3, 1.5, 2.0, 4.0, 20.0]),
        chance.randrange(1, 60),
        (chance.choice([2.5, 3.5, 5.0]), chance.choice([0.8, 1.5, 3.0, 5.0])),
    )


def random_steps(seed: int, line: Line = Line()) -> NDArray[np.float64]:  # noqa: B008 - frozen
    """Heard and ours, of first switches to a voice nobody has heard; a row each."""
    chance = Random(seed)
    rows = []
    while len(rows) < 60:
        case = random_case(chance)
        if natural_db(case) is not None:
            rows += [steps_db(case, db, line=line) for db in (chance.uniform(-9, 0), chance.uniform(0, 9))]
    return np.array(rows)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_first_switch_ever_over_random_calls(seed: int) -> None:
    heard_db, ours_db = random_steps(seed).T
    assert np.minimum(np.abs(heard_db), np.abs(ours_db)).max() <= MOST_DB
    # The words being few, their level is taken for the voice's now and then: a quiet end is raised, and heard as even.
    assert np.sqrt(np.mean(ours_db**2)) <= 1.4
    assert np.mean(np.abs(ours_db) > MOST_DB) <= 0.05
    assert np.mean(np.abs(heard_db) > MOST_DB) <= 0.05


def gains_db(case: Case, db: float) -> NDArray[np.float64]:
    """What was done to b's voice on the caller's leg, per 20 ms; NaN in pauses."""
    stage, alone = switched(case, db), switched(case, db, line=ALONE)
    first, last = stage.when("agent_began")[1] + 20, stage.when("agent_ended")[-1]
    powers = []
    for heard_by in (stage, alone):
        pcm = decode(bytes(heard_by.heard[first * 8 : (last - (last - first) % 20) * 8]), "pcmu").astype(float)
        powers.append(np.mean(pcm.reshape(-1, 160) ** 2, axis=1))
    active = powers[1] > np.percentile(powers[1], 95) / 10**1.5
    return np.where(active, 10 * np.log10((powers[0] + 1e-9) / (powers[1] + 1e-9)), np.nan)


def test_what_corrects_is_not_heard_as_pumping() -> None:
    """From half a second of the new voice on, its gain moves by no more than 2 dB within any half second."""
    chance, moves = Random(5), []
    while len(moves) < 30:
        case, db = random_case(chance), chance.uniform(-9, 9)
        gains = gains_db(case, db)[25:-3] if natural_db(case) is not None else []  # the last ones ring out
        if len(gains) > 25:
            spans = np.lib.stride_tricks.sliding_window_view(gains, 25)
            spans = spans[np.count_nonzero(~np.isnan(spans), axis=1) > 1]
            moves.append(np.max(np.nanmax(spans, axis=1) - np.nanmin(spans, axis=1), initial=0.0))
    assert np.percentile(moves, 90) <= 2.0
    assert np.median(moves) <= 0.5


def test_left_alone_it_is_heard() -> None:
    """What the tests above measure is there without the matching."""
    heard_db, ours_db = random_steps(1, ALONE).T
    assert np.mean(np.minimum(np.abs(heard_db), np.abs(ours_db)) > MOST_DB) > 0.5
    for kinds in PAIRS:
        case = Case(kinds, 8)
        assert steps_db(case, -9, line=ALONE)[0] < -6 and steps_db(case, 9, line=ALONE)[0] > 6


@pytest.mark.parametrize("kinds", PAIRS)
def test_voices_known_to_match_are_left_alone(kinds: tuple[str, str]) -> None:
    for deltas in (5, 8, 11):
        case = Case(kinds, deltas)
        assert bytes(switched(case, 0.0, known=True).heard) == bytes(switched(case, 0.0, line=ALONE).heard)


def test_words_are_still_words() -> None:
    """Raised by 9 dB, the voice is the same voice: the ear that knows the recording follows it."""
    assert "you asked about number" in heard(switched(Case(("openai", "gemini"), 8), -9))


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
