"""What a link is told of a caller's turn."""

from __future__ import annotations

from dataclasses import replace

from audio.frame import PCMU
from audio.tape import Tape
from bridge.core.conversation import Exchange, Turn
from bridge.core.handover import UNKNOWN_WORDS, caller_items
from providers.base import Speech, Text
from tests.core.stage import CAPS


def told(turn: Turn, history_audio: bool = True) -> object:
    tape = Tape(PCMU)
    tape.append(bytes(range(256)) * 10)
    exchange = Exchange(1, "speech", turns=[turn])
    (item,) = caller_items(exchange, replace(CAPS, history_audio=history_audio), tape)
    return item


def test_the_whole_text_stands_for_the_turn() -> None:
    turn = Turn(1, 0, 2560, text=" Where is my order? ", text_final=True)
    assert told(turn) == Text("user", "Where is my order?", "x1t1")
    assert told(turn, history_audio=False) == Text("user", "Where is my order?", "x1t1")


def test_half_a_text_does_not_where_the_sound_can_be_given() -> None:
    turn = Turn(1, 0, 2560, text=" Where is")
    item = told(turn)
    assert isinstance(item, Speech) and len(item.data) == 2560
    assert told(turn, history_audio=False) == Text("user", "Where is", "x1t1")


def test_without_text_and_sound_a_remark_keeps_the_place() -> None:
    assert told(Turn(1, 0, 2560), history_audio=False) == Text("user", UNKNOWN_WORDS, "x1t1")
