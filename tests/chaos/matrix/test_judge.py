"""The judge of the matrix: it finds what it is there to find."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from audio.playout import Playout
from audio.tape import Tape
from bridge.core import briefing
from bridge.core.asks import Asks
from bridge.core.ledger import Ledger
from tests.chaos.matrix.cell import Cell
from tests.chaos.matrix.virtual import judge
from tests.wire.moments import difference
from tests.wire.stage import WireStage

Patch = Callable[[pytest.MonkeyPatch], None]


def _tape_loses(patch: pytest.MonkeyPatch) -> None:
    """200 ms in the middle of what is read back."""
    read = Tape.read

    def short(self: Tape, begin: int, end: int | None = None) -> bytes:
        data = read(self, begin, end)
        middle = len(data) // 2
        return data[:middle] + data[middle + 1600 :]

    patch.setattr(Tape, "read", short)


def _tape_repeats(patch: pytest.MonkeyPatch) -> None:
    read = Tape.read
    patch.setattr(Tape, "read", lambda self, begin, end=None: read(self, begin - 2400, end))


def _prefix_first(patch: pytest.MonkeyPatch) -> None:
    """The heard part of the answer before its question."""
    take_over = briefing.take_over

    def wrong(*args: Any) -> Any:
        plan = take_over(*args)
        return dataclasses.replace(plan, seed=plan.seed[::-1], instructions=plan.instructions.replace("Continue", "Go"))

    patch.setattr(briefing, "take_over", wrong)


def _believes_all(patch: pytest.MonkeyPatch) -> None:
    """What was generated counts as heard."""
    patch.setattr(Asks, "heard", lambda self, reply: reply.transcript.text.strip())


def _tool_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "same", lambda *args: None)
    patch.setattr(briefing, "take_over", _without_tools(briefing.take_over))


def _without_tools(take_over: Callable[..., Any]) -> Callable[..., Any]:
    def forgetful(exchange: Any, caps: Any, tape: Any, ledger: Any, heard: Any) -> Any:
        return take_over(exchange, caps, tape, Ledger(), heard)

    return forgetful


def _slow_on_the_way(patch: pytest.MonkeyPatch) -> None:
    """Everything for the next provider is 0.5 s late."""
    transmit = WireStage._do_transmit

    def late(self: WireStage, effect: Any) -> None:
        if self.sockets[effect.link].provider == "b":
            self.later(500, lambda: transmit(self, effect))
        else:
            transmit(self, effect)

    patch.setattr(WireStage, "_do_transmit", late)


def _drops_words(patch: pytest.MonkeyPatch) -> None:
    """A third of the agent's audio never gets out."""
    push = Playout.push
    patch.setattr(Playout, "push", lambda self, key, data: push(self, key, data[: len(data) * 2 // 3]))


SABOTAGE = [
    (_tape_loses, "caller speaking", "closed 1013 bare", "P1"),
    (_tape_repeats, "turn just ended", "closed 1013 bare", "P1"),
    (_prefix_first, "mid-reply, little buffered", "closed 1012", "P2"),
    (_believes_all, "mid-reply, little buffered", "closed 1013 bare", "P2"),
    (_tool_again, "tool result just sent", "closed 1013 bare", "P5"),
    (_slow_on_the_way, "turn just ended", "closed 1013 bare", "P3"),
    (_drops_words, "caller silent", "closed 1013 bare", "P2"),
]


@pytest.mark.parametrize(
    ("sabotage", "phase", "fault", "property"), SABOTAGE, ids=[entry[0].__name__.strip("_") for entry in SABOTAGE]
)
@pytest.mark.parametrize("kind", ["openai", "gemini"])
def test_sabotage_is_found(
    monkeypatch: pytest.MonkeyPatch, kind: str, sabotage: Patch, phase: str, fault: str, property: str
) -> None:
    cell = Cell(kind, fault, phase, "warm")
    assert not judge(cell).problems
    sabotage(monkeypatch)
    problems = judge(cell).problems
    assert any(problem.startswith(property) for problem in problems), problems


def test_the_words_between_two_texts_are_counted() -> None:
    assert difference(list("abc"), list("abc")) == 0
    assert difference(list("abc"), list("ac")) == 1
    assert difference(list("abc"), list("abbc")) == 1
    assert difference(list("abc"), list("xy")) == 5
