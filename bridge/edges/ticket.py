"""Signed tickets: what lets a carrier's stream come back to the call it belongs to, and nobody else.

    v1.KIND.REF.EXPIRY.SIGNATURE

KIND is "new" (the first stream of a call), "back" (a stream that returns) or "next" (the redirect after a stream).
REF is our random name of the call, EXPIRY a wall-clock second, and the signature also covers the carrier's callSid,
which is not in the ticket: a stolen ticket is worth nothing on another call, and a guessed callSid nothing without one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Literal, cast

Kind = Literal["new", "back", "next"]

_FORM = re.compile(r"v1\.(new|back|next)\.([A-Za-z0-9_-]{16})\.([0-9]{1,12})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Claim:
    """What a valid ticket says."""

    kind: Kind
    ref: str


class Tickets:
    """Makes and checks tickets. With a `secret` they outlive this process, without one they are its own."""

    def __init__(self, secret: str = "") -> None:
        self._key = hashlib.sha256(b"segue stream ticket" + (secret.encode() or secrets.token_bytes(32))).digest()

    @staticmethod
    def new_ref() -> str:
        return secrets.token_urlsafe(12)

    def issue(self, kind: Kind, ref: str, call_sid: str, expires: float) -> str:
        """A ticket for the carrier's call `call_sid`, good until `expires` (wall-clock seconds)."""
        head = f"v1.{kind}.{ref}.{int(expires)}"
        return f"{head}.{self._sign(head, call_sid)}"

    def check(self, ticket: str, call_sid: str, now: float) -> Claim | None:
        """What the ticket claims; None when it is forged, expired or of another call."""
        match = _FORM.fullmatch(ticket)
        if match is None:
            return None
        right = hmac.compare_digest(self._sign(ticket.rpartition(".")[0], call_sid), match[4])
        if not right or now > int(match[3]):
            return None
        return Claim(cast(Kind, match[1]), match[2])

    def _sign(self, head: str, call_sid: str) -> str:
        digest = hmac.new(self._key, f"{head}|{call_sid}".encode(), hashlib.sha256).digest()
        return urlsafe_b64encode(digest).rstrip(b"=").decode()
