from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.edges.ticket import Claim, Tickets

REF = "abcdefghijklmnop"


def test_a_ticket_says_what_was_put_in() -> None:
    tickets = Tickets("secret")
    ticket = tickets.issue("new", REF, "CA1", 1000)
    assert tickets.check(ticket, "CA1", 1000) == Claim("new", REF)
    assert Tickets("secret").check(ticket, "CA1", 999.5) == Claim("new", REF)


def test_it_expires() -> None:
    tickets = Tickets()
    assert tickets.check(tickets.issue("back", REF, "CA1", 1000), "CA1", 1001) is None


@pytest.mark.parametrize("other", ["", "CA2", "CA1 ", "ca1"])
def test_it_is_good_for_its_own_call_only(other: str) -> None:
    tickets = Tickets()
    assert tickets.check(tickets.issue("back", REF, "CA1", 1000), other, 0) is None


def test_another_key_does_not_accept_it() -> None:
    ticket = Tickets("secret").issue("new", REF, "CA1", 1000)
    assert Tickets("secrets").check(ticket, "CA1", 0) is None
    assert Tickets().check(ticket, "CA1", 0) is None
    assert Tickets().check(Tickets().issue("new", REF, "CA1", 1000), "CA1", 0) is None


def test_every_changed_character_is_noticed() -> None:
    tickets = Tickets("secret")
    ticket = tickets.issue("next", REF, "CA1", 1000)
    for at in range(len(ticket) - 1):  # the last one of base64 carries two bits that mean nothing
        changed = ticket[:at] + ("A" if ticket[at] != "A" else "B") + ticket[at + 1 :]
        assert tickets.check(changed, "CA1", 0) is None, at
    assert tickets.check(ticket.replace(".next.", ".back."), "CA1", 0) is None


@given(st.text(max_size=120))
def test_no_text_is_a_ticket(text: str) -> None:
    assert Tickets("secret").check(text, "CA1", 0) is None


def test_refs_fit_and_differ() -> None:
    refs = {Tickets.new_ref() for _ in range(200)}
    assert len(refs) == 200
    tickets = Tickets()
    for ref in refs:
        assert tickets.check(tickets.issue("new", ref, "", 10), "", 0) == Claim("new", ref)
