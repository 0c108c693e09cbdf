"""The tape against the plain way of keeping everything that was ever appended."""

from __future__ import annotations

import random
import sys

import pytest

from audio.frame import PCMU, Format
from audio.tape import Tape

PCM16 = Format("pcm16", 16000)


class Everything:
    """What a tape has to answer, from a string that is never shortened."""

    def __init__(self, format: Format, limit_ms: int) -> None:
        self.data = b""
        self.width = format.width
        self.limit = format.bytes_for(limit_ms) // self.width
        self.start = self.lost = self.frames = 0

    @property
    def end(self) -> int:
        return len(self.data) // self.width

    def append(self, data: bytes) -> None:
        self.data += data
        self.frames += 1
        over = self.end - self.start - self.limit
        if over > 0 and not self.frames % 16:
            self.start += over
            self.lost += over

    def trim(self, before: int) -> None:
        self.start = max(self.start, min(before, self.end))

    def read(self, begin: int, end: int | None = None) -> bytes:
        begin = max(begin, self.start)
        last = self.end if end is None else max(end, self.start)
        return self.data[begin * self.width : last * self.width]


@pytest.mark.parametrize("format", [PCMU, PCM16])
@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_done_to_it_it_reads_as_if_all_had_been_kept(format: Format, seed: int) -> None:
    chance = random.Random(seed)
    tape, all_of_it = Tape(format, 2000), Everything(format, 2000)
    for _ in range(600):
        what = chance.random()
        if what < 0.8:
            ms = chance.choice([20, 20, 20, 20, 10, 30, 5])
            data = chance.randbytes(format.bytes_for(ms))
            tape.append(data)
            all_of_it.append(data)
        elif what < 0.9:
            before = all_of_it.end - chance.randrange(-100, format.rate * 2)
            tape.trim(before)
            all_of_it.trim(before)
        else:
            begin = all_of_it.end - chance.randrange(-100, format.rate * 3)
            end = chance.choice([None, begin + chance.randrange(-10, format.rate)])
            assert tape.read(begin, end) == all_of_it.read(begin, end)
        assert (tape.start, tape.end, tape.lost) == (all_of_it.start, all_of_it.end, all_of_it.lost)
    assert tape.read(tape.start) == all_of_it.read(all_of_it.start), "all that is kept"


def test_what_was_given_up_takes_no_memory() -> None:
    tape = Tape(PCMU)
    for number in range(50 * 60):
        tape.append(bytes([number % 251]) * 160)
        if not number % 32:
            tape.trim(tape.end - 8000)
    taken = sum(sys.getsizeof(piece) for pieces in (tape._pieces, tape._fresh) for piece in pieces)
    assert tape.end - tape.start >= 8000
    assert taken < 1.5 * (tape.end - tape.start), "a second and what came since the last trim, with little around it"


def test_the_bound_holds_for_pieces_longer_than_it() -> None:
    tape = Tape(PCMU, 20)
    for number in range(16):
        tape.append(bytes([number]) * 250)
    assert (tape.start, tape.end, tape.lost, tape.read(0)) == (3840, 4000, 3840, bytes([15]) * 160)
