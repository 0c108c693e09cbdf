"""The age of what has been written, on a table of times and sizes."""

from __future__ import annotations

from bridge.shell.outbox import LATE, Outbox

MS = 1_000_000


def test_nothing_written_has_no_age() -> None:
    outbox = Outbox()
    assert outbox.look(0, 10**12) == 0
    assert not outbox.late(0, 10**12)


def test_the_age_is_that_of_the_oldest_byte_still_waiting() -> None:
    outbox = Outbox()
    for step in range(10):  # 100 bytes every 100 ms
        outbox.written += 100
        outbox.mark(step * 100 * MS)
    now = 1000 * MS
    assert outbox.look(1000, now) == 1000 * MS
    assert outbox.look(350, now) == 400 * MS  # 650 arrived; the 7th hundred was written at 600
    assert outbox.look(0, now) == 0


def test_stuck_is_late_after_half_a_second_however_much_waits() -> None:
    for waiting in (1, 10_000_000):
        outbox = Outbox()
        outbox.written = 10_000_000
        outbox.mark(0)
        assert not outbox.late(waiting, 10 * MS)
        assert not outbox.late(waiting, 490 * MS)
        assert outbox.late(waiting, 510 * MS)


def test_a_burst_that_drains_is_not_late() -> None:
    outbox = Outbox()
    outbox.written = 3_200_000  # five minutes of G.711 in one go
    outbox.mark(0)
    for tenth in range(1, 11):  # takes a second
        assert not outbox.late(3_200_000 - tenth * 320_000, tenth * 100 * MS)


def test_a_trickle_is_late() -> None:
    outbox = Outbox()
    verdicts = []
    for tick in range(40):  # 1,000 bytes written, 200 acknowledged, every 100 ms
        outbox.written += 1000
        outbox.mark(tick * 100 * MS)
        verdicts.append(outbox.late(outbox.written - tick * 200, tick * 100 * MS))
    assert not any(verdicts[: LATE // (100 * MS)])
    assert all(verdicts[12:])


def test_it_forgets_once_everything_arrived() -> None:
    outbox = Outbox()
    outbox.written = 500
    outbox.mark(0)
    assert outbox.late(500, 600 * MS)
    assert not outbox.late(0, 700 * MS)
    outbox.written += 500
    outbox.mark(100_000 * MS)  # after a long pause
    assert not outbox.late(500, 100_100 * MS)
    assert outbox.late(500, 100_600 * MS)
