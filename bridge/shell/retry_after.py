"""Reading "try again later" as providers write it."""

from __future__ import annotations

import datetime
import email.utils
import re

LONGEST_MS = 24 * 60 * 60 * 1000

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}


def parse_retry_after(text: str, wall: datetime.datetime) -> int | None:
    """Milliseconds to wait, at most a day; None for what cannot be read.

    Understands seconds ("17", "0.5"), an HTTP date (RFC 9110, 10.2.3; `wall` is the time now, with a time zone; a past
    date is 0) and durations as in rate-limit headers ("1m26.4s", "250ms").
    """
    text = text.strip()
    try:
        return _bounded(float(text) * 1000)
    except ValueError:
        pass
    parts = _PART.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return _bounded(sum(float(number) * _UNIT_MS[unit] for number, unit in parts))
    try:
        when = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=datetime.UTC)
    return _bounded((when - wall).total_seconds() * 1000)


def _bounded(ms: float) -> int | None:
    if ms != ms:  # not a number
        return None
    return int(min(max(ms, 0.0), LONGEST_MS))
