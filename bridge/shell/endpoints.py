"""Where an agent's tools are reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ToolEndpoint:
    """One tool's webhook. `idempotent`: it may be called again with the same key when nobody knows whether the first
    call arrived. Headers hold credentials and never appear in a repr."""

    name: str
    url: str
    timeout_ms: int = 5000
    idempotent: bool = False
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
