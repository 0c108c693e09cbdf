"""Reading what servers send without trusting it, and the base64 of audio."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any

import orjson

Json = dict[str, Any]

_NOTHING: Json = {}
_URL_SAFE = str.maketrans("-_", "+/")


def text_of(value: Mapping[str, Any], key: str) -> str:
    """The string at `key`; "" when there is none."""
    found = value.get(key)
    return found if isinstance(found, str) else ""


def dict_of(value: Mapping[str, Any], key: str) -> Json:
    """The object at `key`; an empty one when there is none."""
    found = value.get(key)
    return found if isinstance(found, dict) else _NOTHING


def list_of(value: Mapping[str, Any], key: str) -> list[Any]:
    """The array at `key`; an empty one when there is none."""
    found = value.get(key)
    return found if isinstance(found, list) else []


def count_of(value: Mapping[str, Any], key: str) -> int:
    """The count at `key` as a non-negative integer; 0 when there is none. JSON cannot carry infinities, so every
    number converts."""
    return int(number_of(value, key))


def number_of(value: Mapping[str, Any], key: str) -> float:
    """The non-negative number at `key`; 0 when there is none."""
    found = value.get(key)
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        return 0.0
    return float(found) if found > 0 else 0.0


def shorten(text: str, limit: int = 300) -> str:
    """`text` cut to at most `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def dump(message: Mapping[str, Any]) -> str:
    """JSON for a text frame."""
    return orjson.dumps(message).decode()


def base64_of(data: bytes) -> str:
    """Standard base64 without line ends."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def bytes_of(encoded: object) -> bytes | None:
    """The bytes of a base64 text in the standard or the URL-safe alphabet, padded or not; None when it is neither.

    Python's lenient decoder drops `-` and `_` silently and returns wrong audio, hence the strict one.
    """
    if not isinstance(encoded, str):
        return None
    try:
        return binascii.a2b_base64(encoded, strict_mode=True)
    except ValueError:
        pass  # the alphabet or the padding is not the common one
    bare = encoded.translate(_URL_SAFE).rstrip("=")
    try:
        return binascii.a2b_base64(bare + "=" * (-len(bare) % 4), strict_mode=True)
    except ValueError:
        return None


def parse(message: str | bytes) -> Json | str:
    """The JSON object of a message, or the reason why it is none."""
    try:
        value = orjson.loads(message)
    except orjson.JSONDecodeError as error:
        return f"not JSON ({len(message)} long): {shorten(str(error), 80)}"
    if not isinstance(value, dict):
        return f"a JSON {type(value).__name__} instead of an object"
    return value
