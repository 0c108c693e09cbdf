"""Holes in a carrier's stream: what the call gets in their place."""

from __future__ import annotations

import numpy as np
import pytest

from audio.files import read_audio
from audio.frame import PCMU, Frame
from bridge.core.events import LegLost, LineAway
from bridge.edges.media_leg import LONGEST_LOSS_MS, MediaLeg
from tests.edges.lossy import Edge, chunked, joined, losses
from tests.virtual import virtual
from tests.wire.caller import QUESTIONS

SPEECH = read_audio(QUESTIONS / "order_status.flac", 8000)
CHUNKS = chunked(SPEECH)
BLEND = 40  # samples after a loss into which the cover runs


def whole(edge: Edge, lost: set[int]) -> None:
    for _ in edge.play(CHUNKS, lost):
        pass


@virtual
async def test_a_whole_stream_comes_as_it_was_sent() -> None:
    edge = Edge()
    whole(edge, set())
    assert [frame.data for frame in edge.frames] == CHUNKS
    assert not any(frame.concealed or frame._pcm is not None for frame in edge.frames), "not even decoded"
    assert edge.notices == []


@virtual
@pytest.mark.parametrize("stamps", [True, False])
@pytest.mark.parametrize("length", [1, 2, 4, 8, 20])
async def test_a_hole_is_covered_at_its_length_and_nothing_else_is_touched(length: int, stamps: bool) -> None:
    edge = Edge(stamps=stamps)
    lost = set(range(30, 30 + length))
    whole(edge, lost)
    assert [frame.concealed for frame in edge.frames] == [number in lost for number in range(len(CHUNKS))]
    assert edge.away == []
    for number, frame in enumerate(edge.frames):
        if number == 30 + length:
            assert frame.data[BLEND:] == CHUNKS[number][BLEND:]
        elif number not in lost:
            assert frame.data == CHUNKS[number]
    assert edge.notices == [f"ignored missing chunk: number {30 + length + 4}"]


@virtual
async def test_no_hole_clicks() -> None:
    """Around each hole no step from sample to sample is larger than the voice itself makes near it. Without cover, or
    with silence in the holes, some are."""
    lost = losses(len(CHUNKS), 0.06, 5)
    edge = Edge()
    whole(edge, lost)
    natural = joined([Frame(chunk, PCMU) for chunk in CHUNKS])

    def worst(sound: np.ndarray) -> float:
        """The largest step at a border of a hole, against the largest of the speech around it."""
        borders = [number for number in range(1, len(CHUNKS)) if (number in lost) != (number - 1 in lost)]
        most = 0.0
        for border in borders:
            at = border * 160
            steps = np.abs(np.diff(natural[max(0, at - 960) : at + 960])).max()
            most = max(most, float(np.abs(np.diff(sound[at - 3 : at + 4])).max() / max(steps, 200.0)))
        return most

    silent = natural.copy()
    for number in lost:
        silent[number * 160 : number * 160 + 160] = 0
    assert worst(joined(edge.frames)) <= 1.0 < worst(silent)


@virtual
async def test_a_long_hole_is_covered_for_a_moment_and_told() -> None:
    edge = Edge()
    longest = LONGEST_LOSS_MS // 20
    lost = set(range(30, 30 + longest + 1))
    whole(edge, lost)
    kinds = [(type(event), getattr(event, "concealed", None)) for event in edge.events]
    assert kinds[:30] == [(Frame, False)] * 30
    assert kinds[30:35] == [(Frame, True)] * 4 + [(LineAway, None)]
    assert kinds[35:] == [(Frame, False)] * (len(CHUNKS) - 30 - len(lost))
    assert edge.away == [LONGEST_LOSS_MS + 20]


@virtual
async def test_a_hold_that_skips_no_number_is_told() -> None:
    edge = Edge()
    for number in range(40):
        edge.chunk(number, CHUNKS[number], at_ms=number * 20 + (30_000 if number >= 25 else 0))
    assert edge.away == [30_000]
    assert [frame.data[BLEND:] for frame in edge.frames if not frame.concealed] == [c[BLEND:] for c in CHUNKS[:40]]
    assert sum(frame.concealed for frame in edge.frames) == 4


@virtual
async def test_what_comes_late_after_it_was_covered_is_dropped() -> None:
    edge = Edge()
    for number in (*range(20), 21, 22, 23, 24, 20, 25, 26):
        edge.chunk(number, CHUNKS[number])
    assert [frame.concealed for frame in edge.frames] == [number == 20 for number in range(27)]
    assert edge.notices == ["ignored missing chunk: number 25", "ignored late chunk: number 21"]


@virtual
async def test_out_of_order_is_put_in_order_and_not_covered() -> None:
    edge = Edge()
    for number in (*range(20), 21, 20, 23, 24, 22, 25):
        edge.chunk(number, CHUNKS[number])
    assert [frame.data for frame in edge.frames] == CHUNKS[:26]


@virtual
async def test_a_stream_that_is_attached_again_does_not_begin_with_the_old_ones_sound() -> None:
    edge = Edge()
    for number in range(40):
        edge.chunk(number, CHUNKS[number])
    edge.connect()
    assert isinstance(edge.events[-1], LegLost)
    edge.chunk(700, CHUNKS[41])  # a first number is no gap
    edge.chunk(702, CHUNKS[43])
    for number in (703, 704, 705):
        edge.chunk(number, CHUNKS[number - 659])
    concealed = [frame for frame in edge.frames if frame.concealed]
    assert len(concealed) == 1
    assert edge.frames[40].data == CHUNKS[41]


@virtual
async def test_holes_before_the_call_exists_are_kept_with_the_rest() -> None:
    edge = Edge()
    edge.leg = MediaLeg(PCMU, "ref", "CA1", "agent", lambda leg, target: None)
    edge.connect()
    for number in (0, 1, 2, 4, 5, 6, 7):
        edge.chunk(number, CHUNKS[number + 20])
    assert edge.events == []
    edge.leg.started(edge)
    assert [frame.concealed for frame in edge.frames] == [False, False, False, True, False, False, False, False]
