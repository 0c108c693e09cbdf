"""What goes in and out of an emulated connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Message:
    """A WebSocket message; bytes are a binary frame."""

    data: str | bytes


@dataclass(frozen=True, slots=True)
class Close:
    """A close frame, then the end of the connection."""

    code: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection ends without a word (TCP reset)."""


@dataclass(frozen=True, slots=True)
class Silence:
    """From here on nothing is read and nothing is said, but the connection stands. `acknowledged`: the machine still
    acknowledges what it receives; otherwise not even that."""

    acknowledged: bool


Out = Message | Close | Reset | Silence


@dataclass(frozen=True, slots=True)
class HttpRefusal:
    """The upgrade is answered with this status."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Request:
    """The upgrade request. Header names in lower case; the query as it was sent, each name once."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def key(self) -> str | None:
        """The credential, from whichever place it was sent in."""
        authorization = self.headers.get("authorization", "") or self.query.get("Authorization", "")
        scheme, _, rest = authorization.partition(" ")
        if scheme.lower() in ("bearer", "token") and rest:
            return rest.strip()
        for name in ("api-key", "x-goog-api-key"):
            if self.headers.get(name):
                return self.headers[name]
        for protocol in self.headers.get("sec-websocket-protocol", "").split(","):
            if protocol.strip().startswith("openai-insecure-api-key."):
                return protocol.strip().removeprefix("openai-insecure-api-key.")
        for name in ("key", "api-key", "access_token"):
            if self.query.get(name):
                return self.query[name]
        return None
