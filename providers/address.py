"""Where to dial: addresses from configuration, and the options of a target.

What was made of an address is remembered, so that calls need not pay for it: no secret is ever part of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote, urlsplit

from providers.codec import Target

_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}


def websocket_url(target: Target, path: str, default: str = "") -> str:
    """The address of a target before its query: `url` as it stands, else `endpoint` (or `default`) followed by `path`.

    http(s) is taken as ws(s). Raises ValueError when there is no address, or one that cannot be dialled.
    """
    if target.url:
        return _checked(target.name, target.url)
    base = target.endpoint or default
    if not base:
        raise ValueError(f"provider {target.name}: kind {target.kind} needs an endpoint or a url")
    return _checked(target.name, base.rstrip("/") + path)


def with_query(url: str, parameters: Mapping[str, str]) -> str:
    """`url` with the parameters it does not carry yet."""
    return _with_query(url, tuple(parameters.items()))


@lru_cache(maxsize=256)
def _with_query(url: str, parameters: tuple[tuple[str, str], ...]) -> str:
    query = urlsplit(url).query
    present = {part.partition("=")[0] for part in query.split("&")}
    added = [f"{name}={quote(value, safe='')}" for name, value in parameters if name not in present]
    if not added:
        return url
    return url + ("&" if query else "?") + "&".join(added)


def with_headers(target: Target, own: Mapping[str, str]) -> dict[str, str]:
    """Our headers, then the target's: those win whatever their case."""
    given = {name.lower() for name in target.headers}
    return {**{name: value for name, value in own.items() if name.lower() not in given}, **target.headers}


def option(target: Target, name: str, default: str = "", allowed: tuple[str, ...] = ()) -> str:
    """A text option of a target. Raises ValueError when it is no text or not one of `allowed`."""
    value = target.options.get(name, default)
    if not isinstance(value, str):
        raise ValueError(f"provider {target.name}: options.{name} must be text")
    if allowed and value not in allowed:
        raise ValueError(f"provider {target.name}: options.{name} is {value!r}; it can be {', '.join(allowed)}")
    return value


def check_options(target: Target, known: frozenset[str]) -> None:
    """Raises ValueError for an option the kind does not have."""
    for name in target.options:
        if name not in known:
            raise ValueError(
                f"provider {target.name}: kind {target.kind} has no option {name!r}; known: {', '.join(sorted(known))}"
            )


@lru_cache(maxsize=256)
def _checked(name: str, url: str) -> str:
    parts = urlsplit(url)
    scheme = _SCHEMES.get(parts.scheme.lower())
    if scheme is None or not parts.netloc:
        shown = f"{parts.scheme}://{parts.hostname or ''}"
        raise ValueError(f"provider {name}: {shown} is no ws(s) or http(s) address")
    if "@" in parts.netloc:
        raise ValueError(f"provider {name}: credentials belong in api_key or headers, not in the url")
    return parts._replace(scheme=scheme, fragment="").geturl()
