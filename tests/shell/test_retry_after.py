"""Every form in which providers say "later", and none of it raises."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.shell.retry_after import LONGEST_MS, parse_retry_after

NOW = datetime.datetime(2026, 11, 22, 12, 0, 0, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("17", 17_000),
        (" 0 ", 0),
        ("0.25", 250),
        ("1m26.4s", 86_400),
        ("250ms", 250),
        ("2h3m4s5ms", 7_384_005),
        ("6s", 6_000),
        ("Sun, 22 Nov 2026 12:01:30 GMT", 90_000),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0),
        ("Sunday, 22-Nov-26 12:00:10 GMT", 10_000),
        ("Sun Nov 22 12:00:10 2026", 10_000),
        ("-5", 0),
        ("999999999999", LONGEST_MS),
        ("inf", LONGEST_MS),
        ("Tue, 01 Jan 2030 00:00:00 GMT", LONGEST_MS),
        ("nan", None),
        ("", None),
        ("soon", None),
        ("1m 26s", None),
        ("5 minutes", None),
        ("1x", None),
        ("\x00", None),
    ],
)
def test_forms(text: str, expected: int | None) -> None:
    assert parse_retry_after(text, NOW) == expected


@given(st.text(max_size=40))
def test_nothing_raises(text: str) -> None:
    answer = parse_retry_after(text, NOW)
    assert answer is None or 0 <= answer <= LONGEST_MS
