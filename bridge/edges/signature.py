"""`X-Twilio-Signature`: base64(HMAC-SHA1(auth token, public URL + POST parameters)) (docs: "Security")."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Iterable, Sequence
from urllib.parse import parse_qs, urlsplit, urlunsplit

_PORTS = {"https": 443, "wss": 443, "http": 80, "ws": 80}


def sign(token: str, url: str, parameters: Iterable[tuple[str, str]] = ()) -> str:
    """The signature a carrier would send for `url`. `parameters` are the form fields of a POST; a field given twice
    counts once with the same value."""
    text = url + "".join(name + value for name, value in sorted(set(parameters)))
    return b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()


def addresses(base: str, path: str, query: str, upgrade: bool) -> list[str]:
    """The forms in which a carrier may have signed `path` below the public address `base`: as configured, with the
    other slash, with and without the scheme's own port, and for an upgrade with both spellings of the scheme."""
    parts = urlsplit(base)
    schemes = [parts.scheme]
    if upgrade:
        secure = parts.scheme in ("https", "wss")
        schemes = ["wss", "https"] if secure else ["ws", "http"]
    whole = parts.path.rstrip("/") + path
    other = whole.rstrip("/") if whole.endswith("/") else whole + "/"
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname or ""
    found = []
    for scheme in schemes:
        own = _PORTS.get(scheme, 443)
        bare = host if parts.port in (None, own) else f"{host}:{parts.port}"
        explicit = f"{host}:{parts.port or own}"
        for place in dict.fromkeys((bare, explicit)):
            found += [urlunsplit((scheme, place, each, query, "")) for each in (whole, other)]
    return found


def verify(
    tokens: Sequence[str],
    urls: Iterable[str],
    given: str,
    parameters: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> bool:
    """Whether `given` signs one of `urls` with one of `tokens`. Every combination is compared in constant time, so how
    long it takes says nothing. A URL with `bodySHA256` covers `body` by that hash instead of by its fields."""
    fields = list(parameters)
    right = False
    for url in urls:
        digest = parse_qs(urlsplit(url).query).get("bodySHA256")
        whole = True
        if digest:
            whole = hmac.compare_digest(digest[0].lower(), hashlib.sha256(body).hexdigest())
        for token in tokens:
            equal = hmac.compare_digest(sign(token, url, fields).encode(), given.encode())
            right |= equal and whole
    return right
