"""Two hundred calls lose their provider at the same moment; what is left is one account that takes 30 connections a
minute and one that takes 100. Judged by what each caller heard and by when the accounts were dialled."""

from __future__ import annotations

from bridge.core.plan import LastRung
from bridge.fakes.speech import answered
from tests.chaos.storm import Storm, StormCall, longest_silence, most_in_a_minute

PACES = {"a": 10_000, "b": 30, "c": 100}
KINDS = {"b": "azure_voice_live", "c": "openai"}
KILL = 5000
FIRST_AUDIO_MS = 300
COLD_MS = 60 + 20 + 30 + FIRST_AUDIO_MS + 40  # dial, greeting of the server, configuration, first audio, frames
RUSH = 2 + 5  # whoever asks first in a rush is let through: a twentieth of each pace, and two at least
PATIENCE = 6000  # between two messages
WINDOW = 61_000


def _role(number: int) -> str:
    """Mixed, as calls lose their provider in no order."""
    turn = number * 7 % 20
    return "warm" if turn == 0 else "owed" if turn < 11 else "speaking" if turn < 16 else "silent"


def _callers(storm: Storm, base_ms: int = 0) -> dict[str, list[StormCall]]:
    roles: dict[str, list[StormCall]] = {"warm": [], "owed": [], "speaking": [], "silent": [], "new": []}
    for number in range(200):
        role = _role(number)
        call = storm.call(base_ms + number * 7, "warm" if role == "warm" else "cold")
        begins = {"warm": 2400, "owed": 2400, "speaking": 4300, "silent": 12_000}[role]
        roles[role].append(call.asks_at(base_ms + begins + number))
    return roles


def test_two_hundred_calls_are_all_served_callers_who_wait_first() -> None:
    storm = Storm(KINDS, PACES, last_rung=LastRung(hold_ms=75_000, repeat_ms=PATIENCE))
    roles = _callers(storm)
    for number in range(10):
        new = storm.call(KILL + 2000 + number * 50)
        roles["new"].append(new.asks_at(new.begin_ms + 500))
    storm.run(KILL + 85_000, KILL)

    assert [call.ended for call in storm.calls] == ["hung up"] * 210
    assert [answered(call.text) for call in storm.calls] == [[number] for number in range(210)]
    times = {name: sorted(dial.at_ms for dial in dials) for name, dials in storm.dials.items()}
    for name in ("b", "c"):
        assert most_in_a_minute(times[name]) <= PACES[name]
    assert not [note for call in storm.calls for note in call.noted("fault") if note["class"] == "rate_limited"]
    assert sum(1 for at in times["a"] if at >= KILL) <= 10  # probes of the dead one, over more than a minute

    # A warm standby switches at once, and what the others get does not matter to it.
    for call in roles["warm"]:
        assert call.answered_ms <= KILL + FIRST_AUDIO_MS + 60
    # Every caller who waits for an answer when it happens gets one of the connections there are.
    for call in roles["owed"]:
        assert call.answered_ms <= KILL + COLD_MS
    # All of the connections are used, and the next ones when the minute is over; in order of need.
    at_once = {dial.call for name in ("b", "c") for dial in storm.dials[name] if KILL <= dial.at_ms < KILL + 1000}
    assert len(at_once) + len(roles["warm"]) == 130
    hasty = [dial for name in ("b", "c") for dial in storm.dials[name] if dial.at_ms == KILL]
    assert sum(1 for dial in hasty if dial.call not in roles["owed"]) <= RUSH
    waited = [call for role in ("speaking", "silent", "new") for call in roles[role] if call not in at_once]
    assert all(call.answered_ms <= KILL + WINDOW + COLD_MS for call in waited)
    between = [call for call in waited if call.answered_ms < KILL + WINDOW]
    assert len(between) == len(roles["warm"])  # what their standbys took comes back first
    assert all(call in roles["speaking"] for call in between)  # they have waited for an answer for the longest

    # Who waits in silence hears so, again and again.
    for call in waited:
        assert longest_silence(call, call.owed_ms + 40, int(call.answered_ms)) <= PATIENCE + COLD_MS
        assert " <hold> <hold> " in f" {call.text} "
    # Nobody asks over and over: they are told when to come back.
    assert max(call.asked for call in storm.calls) <= 2 * WINDOW / 4000


def test_within_the_hold_limit_all_there_is_is_given_out_and_the_others_get_the_policy() -> None:
    """The accounts were dialled all through the minute before, so connections come back one by one. A quarter of those
    who wait hang up meanwhile: others move up."""
    base, hold = 65_000, 20_000
    kill, last = base + KILL, base + KILL + hold
    storm = Storm(KINDS, PACES, last_rung=LastRung(hold_ms=hold, repeat_ms=PATIENCE))
    roles = _callers(storm, base)
    before = {name: [kill - 60_000 + at * 60_000 // PACES[name] for at in range(PACES[name])] for name in KINDS}
    for name, times in before.items():
        storm.prefill(name, times)
    for call in storm.calls[::4]:
        call.gives_up_ms = kill + 3000 + call.number * 10
    storm.run(last + 15_000, kill)

    # There was no room for a standby, and the record says so.
    for call in roles["warm"]:
        assert [note["what"] for note in call.noted("noticed")] == [
            "no standby for now, the call runs cold: b: connection pace reached; c: connection pace reached"
        ]
    dialled: list[StormCall] = []
    for name in KINDS:
        times = sorted(dial.at_ms for dial in storm.dials[name])
        assert most_in_a_minute(before[name] + times) <= PACES[name]
        freed = sum(1 for at in before[name] if kill <= at + WINDOW <= last)
        assert freed - 1 <= len(times) <= freed, "a connection that came back was not used"
        dialled += [dial.call for dial in storm.dials[name]]
    assert len(dialled) > 35

    for call in storm.calls:
        if call in dialled:
            assert call.ended == "hung up" and answered(call.text) == [call.number]
            assert longest_silence(call, call.owed_ms + 40, int(call.answered_ms)) <= PATIENCE + COLD_MS
        elif call.gives_up_ms is None:
            assert call.ended == "no provider"
            assert call.text.startswith("<sorry> <hold>")
            assert call.spec.phrases["goodbye"][800:2400] in call.sound[-4000:]
            end = call.begin_ms + len(call.heard) // 8
            assert last <= end <= last + 2000
            assert longest_silence(call, max(kill, call.owed_ms) + 40, last) <= PATIENCE + 100
    # They went to callers who were waiting for an answer when it happened, in the order in which they lost it.
    served = sorted((dial.at_ms, dial.call.number) for name in KINDS for dial in storm.dials[name])
    assert {_role(number) for _, number in served} <= {"owed", "warm"}
    assert [number for _, number in served] == sorted(number for _, number in served)
