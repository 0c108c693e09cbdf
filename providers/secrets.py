"""Removing credentials from text that leaves the process: fault reasons, logs, records."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

MASK = "[secret]"

# What a credential looks like wherever it stands. The masked form providers quote back ("sk-ab***yz") counts as well.
_SHAPES = re.compile(
    r"""
    \b(?:sk|ek|pk|rk|xai)[-_][A-Za-z0-9_*.\-]{6,}       # OpenAI keys, ephemeral secrets, xAI keys
    | \bAIza[A-Za-z0-9_*\-]{10,}                        # Google API keys
    | \bya29\.[A-Za-z0-9_.*\-]+                         # Google access tokens
    | \bauth_tokens/[A-Za-z0-9_.*\-]+                   # Gemini ephemeral tokens
    | \bopenai-insecure-api-key\.[^\s,"']+              # the browsers' subprotocol item
    | \beyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_.\-]+        # JSON web tokens (Entra)
    """,
    re.VERBOSE,
)
# `name=value` and `name: value` where the name says that the value is a credential; the name stays.
_NAMED = re.compile(
    r"""(?ix)
    (
      \b(?:x-goog-api-key|api[-_]?key|access[-_]token|auth[-_]token|client[-_]secret|authorization|password|key|token)
      ["']? \s* [=:] \s* ["']? (?:(?:bearer|token|basic)\s+)?
      | \bbearer\s+
    )
    (?!\[secret\]) [^\s&"',;\[\]<>]{4,}
    """
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without the given `secrets` (as they are and percent-encoded) and without anything shaped like a key:
    `sk-…`, `ek_…`, `AIza…`, `Bearer …`, `key=`, `api-key=` and their like. Each is replaced by `[secret]`."""
    for secret in sorted({s for s in secrets if s}, key=len, reverse=True):
        text = text.replace(secret, MASK).replace(quote(secret, safe=""), MASK)
    text = _SHAPES.sub(MASK, text)
    return _NAMED.sub(lambda match: match.group(1) + MASK, text)
