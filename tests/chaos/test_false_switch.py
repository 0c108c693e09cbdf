"""Ten thousand normal answers: how often is a provider left although nothing is wrong with it?

First audio is log-normal with a median of 0.6 s and one in a hundred above 2.2 s; the audio of a reply comes in pieces
whose distances vary threefold either way. Three answers in a thousand of such a provider begin after the deadline of
2.8 s: then another one is asked as well, and whoever speaks first answers.
"""

from __future__ import annotations

import math
import random

import pytest

from bridge.core import events as ev
from providers import base as pb
from tests.core.stage import WORD_MS, Behaviour, SimLink, Stage

ANSWERS = 10_000
PER_CALL = 100
BATCHES = 8
WORDS = 3
MEDIAN_S, ONE_IN_A_HUNDRED_S = 0.6, 2.2
SIGMA = math.log(ONE_IN_A_HUNDRED_S / MEDIAN_S) / 2.326
DEADLINE_MS = 2800


class Normal:
    """A call of so many questions by keys. `drawn`: how late each reply of the preferred provider was, in ms."""

    def __init__(self, seed: int, questions: int) -> None:
        self.random = random.Random(seed)
        self.drawn: dict[int, float] = {}
        self.stage = Stage({name: Behaviour(on_command=self.command) for name in "ab"}, standby="warm", seed=seed)
        self.stage.caller_on = False
        for number in range(questions):
            self.stage.later(1000 + 9000 * number, self.ask)
        self.end_ms = 1000 + 9000 * questions

    def ask(self) -> None:
        self.stage.dispatch(ev.Dtmf("1"))
        self.stage.dispatch(ev.Dtmf("#"))

    def command(self, link: SimLink, command: pb.Command) -> bool:
        """Reply as late, and in pieces as far apart, as chance will have it."""
        if not isinstance(command, pb.Ask):
            return False
        ask = command.number
        link.running = ask
        at = 1000 * self.random.lognormvariate(math.log(MEDIAN_S), SIGMA)
        self.drawn[ask] = at
        for word in range(WORDS):
            self.stage.later(at, lambda word=word: link.word(ask, word))  # type: ignore[misc]
            at += WORD_MS / 3 * 3 ** self.random.uniform(-1, 1)
        self.stage.later(at, lambda: link.end(ask, True))
        return True


def late(normal: Normal) -> int:
    """Replies that began after the deadline."""
    return sum(drawn > DEADLINE_MS for drawn in normal.drawn.values())


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_provider_is_left_for_lateness_only_and_never_to_the_callers_loss(batch: int) -> None:
    calls = ANSWERS // BATCHES // PER_CALL + 1
    for call in range(calls):
        normal = Normal(1000 * batch + call, PER_CALL)
        stage = normal.stage
        stage.run(normal.end_ms)
        faults = stage.noted("fault")
        # Never inside a reply, however its pieces come.
        assert all("within a reply" not in str(fault["reason"]) and fault["class"] == "stalled" for fault in faults)
        assert not stage.noted("underrun")
        assert len(faults) <= late(normal)
        # One answer each, and whoever answered spoke no later than the one who was late would have.
        answered = [n for n in stage.noted("exchange_settled") if n["state"] == "answered"]
        assert len(answered) == PER_CALL
        assert stage.words() == list(range(WORDS)) * PER_CALL
        assert len(stage.noted("swap")) <= len(faults)
