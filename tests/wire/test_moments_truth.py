"""What the next provider is told was said: transcripts that come late, never, or from a dead link; cuts at random."""

from __future__ import annotations

import random

import pytest

from tests.wire.moments import (
    PAIRS,
    SCRIPT,
    WELCOME,
    ask,
    assert_same,
    call,
    difference,
    got,
    heard,
    rule,
    times,
    turns,
)

RESET = {"reset": True}


def history(stage: object, provider: str, index: int = 0) -> list[tuple[str, str]]:
    """Who said what, as the connection was told in texts before it was asked."""
    out = []
    for entry in got(stage, provider, index):  # type: ignore[arg-type]
        if entry.what == "ask":
            break
        if entry.what == "text":
            out.append((entry.role, entry.text))
    return out


@pytest.mark.parametrize("kinds", PAIRS)
def test_a_callers_words_come_after_the_answer_and_before_the_switch(kinds: tuple[str, str]) -> None:
    late = {"caller_text": {"delay_ms": 4000}, "rules": [rule(RESET, "asked", reply=2)]}
    stage = call(*kinds, a=late)
    end = ask(stage, 300, 11)
    ask(stage, 6900, 12)
    stage.run(13_000)
    if kinds[0] == "gemini":  # nothing says that they are complete before the next turn is: the sound is
        assert_same(stage, "b", turns(stage, stage.of("b")[0])[0], 0, end)
    else:
        assert ("user", "question number 11") in [(role, text.strip()) for role, text in history(stage, "b")]
    assert times(stage, "you asked about number twelve") == 1


@pytest.mark.parametrize("kinds", PAIRS)
def test_a_callers_words_never_come(kinds: tuple[str, str]) -> None:
    """Then the sound itself is handed over where history takes it, else a remark."""
    stage = call(*kinds, a={"caller_text": {"fail": True}, "rules": [rule(RESET, "asked", reply=2)]})
    end = ask(stage, 300, 13)
    ask(stage, 6900, 14)
    stage.run(13_000)
    assert times(stage, "you asked about number fourteen") == 1
    assert times(stage, "number thirteen") == 1, "it was answered before"
    if kinds[1] == "gemini":
        assert ("user", "(caller spoke, words unknown)") in history(stage, "b")
    else:
        assert_same(stage, "b", turns(stage, stage.of("b")[0])[0], 0, end)


@pytest.mark.parametrize("kinds", PAIRS)
def test_no_transcript_at_all_the_answer_is_given_again_as_a_whole(kinds: tuple[str, str]) -> None:
    """Nobody knows the words the caller heard, so nobody can go on after them; nothing of the answer is missing."""
    style = {"reply": {**SCRIPT["reply"], "lead_ms": None}}
    stage = call(*kinds, a={**style, "rules": [rule(RESET, "reply", reply=1, after_deltas=8)]}, b=style, pace=1.3)
    whole = call(*kinds, a=style)
    for each in (stage, whole):
        ask(each, 300, 16)
        each.run(12_000)
    assert heard(stage).endswith(heard(whole))
    assert times(stage, "number sixteen") <= 2


@pytest.mark.parametrize("after", [3, 8, 13, 18])
def test_word_times_of_the_provider_are_used(after: int) -> None:
    """Azure's voices tell when each word begins; the next provider goes on after exactly the last whole one."""
    style = {"word_times": True, "reply": {**SCRIPT["reply"], "seconds": 6, "lead_ms": 800}}
    blow = [rule(RESET, "reply", reply=2, after_deltas=after)]
    timings = {"options": {"a": {"word_timings": True}}}
    stage = call("azure_voice_live", "openai", a={**style, "rules": blow}, b=style, greeting=WELCOME, **timings)
    whole = call("azure_voice_live", "openai", a=style, b=style, greeting=WELCOME, **timings)
    for each in (stage, whole):
        ask(each, 4500, 37)
        each.run(15_000)
    assert stage.noted("swap")
    want, have = ([word for word in heard(each).split() if word[-1] != "~"] for each in (whole, stage))
    assert difference(want, have) <= 1
    told = next(str(note["text"]).split() for note in stage.noted("heard")[1:])
    assert told == str(whole.noted("heard")[1]["text"]).split()[: len(told)]


@pytest.mark.parametrize("kinds", PAIRS)
@pytest.mark.parametrize(("lead_ms", "mean", "worst"), [(-600, 1.5, 5), (0, 0.2, 1), (800, 0.2, 1), (3000, 0.2, 1)])
def test_the_seam_wherever_it_falls(kinds: tuple[str, str], lead_ms: int, mean: float, worst: int) -> None:
    """The link dies anywhere in its answer, with a transcript that runs ahead of the sound or behind it. Words said
    twice, broken off or left out at the seam; behind the sound nobody can know better than to say them again."""
    rng = random.Random(f"{kinds}{lead_ms}")
    off = []
    for _ in range(8):
        style = {"reply": {**SCRIPT["reply"], "seconds": 6, "lead_ms": lead_ms}}
        blow = [rule(RESET, "reply", reply=2, after_deltas=rng.randint(1, 22))]
        stage = call(*kinds, a={**style, "rules": blow}, b=style, greeting=WELCOME, pace=rng.choice([1.2, 2.0, 4.0]))
        whole = call(*kinds, a=style, greeting=WELCOME)
        for each in (stage, whole):
            ask(each, 4500, 37)
            each.run(15_000)
        assert stage.noted("swap")
        want, have = ([word for word in heard(each).split() if word[-1] != "~"] for each in (whole, stage))
        off.append(difference(want, have))
    assert sum(off) / len(off) <= mean, off
    assert max(off) <= worst, off
