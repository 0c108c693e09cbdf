"""The caller hears one level through a switch; judged on the caller's recording, a second before and after the join."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from audio.frame import PCM16_24K, PCMA, PCMU, Format, encode
from bridge.core import events as ev
from bridge.core.plan import Line
from providers import base as pb
from tests.core.line import HumStage, asked
from tests.core.stage import GEMINI_LIKE, Behaviour, SimLink

NETWORK = pb.Fault(pb.FaultClass.NETWORK, "reset")
FORMATS = [PCMU, PCMA, PCM16_24K]


def active_db(pcm: NDArray[np.int64], rate: int) -> float:
    """Mean power of the 20 ms steps within 15 dB of the loud ones, in dB."""
    size = rate // 50
    power = np.mean(pcm[: len(pcm) // size * size].reshape(-1, size).astype(float) ** 2, axis=1)
    loud = np.percentile(power, 95)
    return float(10 * np.log10(np.mean(power[power > loud / 10**1.5])))


def switched(
    format: Format = PCMU,
    db: float = 0.0,
    known: bool = False,
    standby: str = "warm",
    line: Line = Line(),  # noqa: B008 - frozen
    on_word: object = None,
) -> HumStage:
    """a dies in its reply at 3.4 s; b, `db` louder, goes on. The second reply and everything after is b's."""
    low = 0.5  # so that a voice 9 dB louder still fits
    stage = HumStage(
        format,
        {
            "a": Behaviour(words=14, speed=1.3),
            "b": Behaviour(words=14, speed=2.0, caps=GEMINI_LIKE, on_word=on_word),  # type: ignore[arg-type]
        },
        {"a": low, "b": low * 10 ** (db / 20)},
        standby=standby,
        line=line,
    )
    if known:
        # dB above 1 LSB: a sine's RMS
        for name, level in stage.levels.items():
            stage.voice_db[name] = 20 * np.log10(9000 * level / np.sqrt(2))
    asked(stage)
    stage.later(3400, lambda: stage.link("a").die(NETWORK))
    stage.run(9000)
    assert [note["provider"] for note in stage.noted("first_audio")] == ["a", "b"]
    return stage


def change_db(stage: HumStage) -> float:
    """How much louder the second after the join is than the one before; the join is where b's tone begins."""
    rate, pcm = stage.format.rate, stage.pcm()
    began = stage.when("agent_began")
    join = began[1] * rate // 1000 + rate * 60 // 1000  # what was sent ahead is heard out
    return active_db(pcm[join : join + rate], rate) - active_db(pcm[join - rate - rate // 10 : join - rate // 10], rate)


@pytest.mark.parametrize("format", FORMATS, ids=str)
@pytest.mark.parametrize("standby", ["cold", "warm"])
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("db", [-9, -6, -4, -2, 0, 2, 4, 6, 9])
def test_the_step_of_level_at_a_switch(format: Format, standby: str, known: bool, db: float) -> None:
    stage = switched(format, db, known, standby)
    # A hum has no words whose level could be taken for the voice's: the step stays only where it may be the words'.
    assert abs(change_db(stage)) <= (0.3 if known else 2.1 if abs(db) == 2 else 0.6)
    assert stage.steps()[0] <= stage.smooth()


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_left_alone_a_switch_is_heard(format: Format) -> None:
    """What the tests above measure is there without the matching."""
    assert change_db(switched(format, 9, line=Line(match_loudness=False))) == pytest.approx(9, abs=0.5)
    assert change_db(switched(format, -9, line=Line(match_loudness=False))) == pytest.approx(-9, abs=0.5)


@pytest.mark.parametrize("format", FORMATS, ids=str)
@pytest.mark.parametrize("known", [False, True])
def test_voices_that_match_pass_untouched(format: Format, known: bool) -> None:
    assert switched(format, 0, known).heard == switched(format, 0, known, line=Line(match_loudness=False)).heard


def test_a_voice_far_away_is_changed_by_9_db_and_no_more() -> None:
    assert change_db(switched(PCM16_24K, -14, known=True)) == pytest.approx(-5, abs=0.3)


def test_what_is_wrongly_known_is_corrected_without_pumping() -> None:
    """The board says b is as loud as a; it is 6 dB louder. The gain drifts by no more than 1.5 dB a second."""
    sounds = {}
    for db in (0.0, 6.0):
        stage = HumStage(
            PCM16_24K,
            {"a": Behaviour(words=14, speed=1.3), "b": Behaviour(words=90, speed=2.0)},
            {"a": 0.5, "b": 0.5 * 10 ** (db / 20)},
        )
        stage.voice_db = dict.fromkeys("ab", float(20 * np.log10(4500 / np.sqrt(2))))
        asked(stage)
        stage.later(3400, lambda stage=stage: stage.link("a").die(NETWORK))
        stage.run(26_000)
        began = stage.when("agent_began")[1] * 24 + 24 * 100
        pcm = stage.pcm()[began : began + 20 * 24_000].astype(float)
        sounds[db] = 10 * np.log10(np.mean(pcm.reshape(-1, 12_000) ** 2, axis=1))
    louder = sounds[6.0] - sounds[0.0]
    assert louder[0] > 4.5
    assert louder[-1] < 3.0
    assert np.all(np.diff(louder) <= 0.2)
    assert np.min(np.diff(louder)) > -1.0


CRACK = np.rint(31000 * np.sin(np.arange(80) * 0.2)).astype(np.int16)


def peaky(link: SimLink, ask: int, word: int) -> bool:
    """A quiet voice that cracks now and then, at full scale."""
    pcm = np.rint(1500 * np.sin(np.arange(2400) * 0.2 + 1)).astype(np.int16)
    if word % 8 == 3:
        pcm[800:880] = CRACK
    data = encode(pcm, link.stage.spec.leg.encoding)
    link.stage.dispatch(ev.FromLink(link.number, pb.ReplyAudio(ask, f"i{ask}", data)))
    return True


@pytest.mark.parametrize("format", [PCMU, PCMA], ids=str)
def test_what_is_raised_does_not_clip(format: Format) -> None:
    stage = switched(format, on_word=peaky)
    began = (stage.when("agent_began")[1] + 100) * 8
    sound = np.abs(stage.pcm()[began:])
    assert np.percentile(sound[: 8 * 1500], 95) > 1500 * 1.8  # it was raised
    assert 25_000 < sound.max() < 32768 * 10 ** (-0.8 / 20)  # its cracks were bent, not raised into the stop
    at = np.flatnonzero(sound > 20_000)
    cracks = np.split(sound[at], np.flatnonzero(np.diff(at) > 400) + 1)
    assert len(cracks) > 1
    for crack in cracks:
        # Encoded at any level, up to 14 of the 80 samples of an unhurt crack share the topmost code; a hard stop would
        # flatten 41 or more.
        assert np.count_nonzero(crack == crack.max()) <= 14


def test_phrases_come_at_the_level_of_the_voice() -> None:
    """"one moment" hums 12 dB above the voice that spoke before it."""
    stage = HumStage(
        PCMU,
        {"a": Behaviour(words=6), "b": Behaviour(words=6)},
        {"a": 0.4, "b": 0.4},
        bridge_phrase_after_ms=700,
    )
    asked(stage)
    stage.run(5000)
    stage.behaviours["a"].first_audio = 2500
    asked(stage, 5000, 6000)
    stage.run(8300)
    assert stage.when("phrase")
    pcm = stage.pcm()
    said = (stage.when("phrase")[0] + 40) * 8
    step = active_db(pcm[said : said + 3200], 8000) - active_db(pcm[2000 * 8 : 3000 * 8], 8000)
    assert step == pytest.approx(0, abs=1.5)


def test_what_was_heard_of_a_voice_is_told() -> None:
    stage = HumStage(PCMU, {"a": Behaviour(words=8), "b": Behaviour()}, {"a": 0.3})
    asked(stage)
    stage.run(6000)
    assert [name for name, _ in stage.told] == ["a"]
    assert stage.told[0][1] == pytest.approx(20 * np.log10(2700 / np.sqrt(2)), abs=1.0)


@pytest.mark.parametrize("known", [False, True])
def test_a_phrase_before_any_voice(known: bool) -> None:
    """It comes at the level the first choice is known to have, else as it is; the voice after it is left alone."""
    stage = HumStage(
        PCMU, {"a": Behaviour(words=8, first_audio=2000), "b": Behaviour()}, {"a": 0.4}, bridge_phrase_after_ms=700
    )
    if known:
        stage.voice_db["a"] = 20 * np.log10(3600 / np.sqrt(2))
    asked(stage)
    stage.run(7000)
    pcm = stage.pcm()
    phrase, voice = ((at + 40) * 8 for at in stage.when("agent_began"))
    step = active_db(pcm[voice : voice + 8000], 8000) - active_db(pcm[phrase : phrase + 4000], 8000)
    assert step == pytest.approx(0.0 if known else 20 * np.log10(0.4), abs=0.7)
    assert active_db(pcm[voice : voice + 8000], 8000) == pytest.approx(20 * np.log10(3600 / np.sqrt(2)), abs=0.2)
