"""Emulators that stand in for the providers of the embedded configuration, in this process."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from bridge.fakes.emulator import Kind
from bridge.fakes.server import start

# Provider entry of the embedded configuration -> its emulator.
KINDS: Mapping[str, Kind] = {"openai": "openai", "azure": "azure", "gemini": "gemini"}


@contextlib.asynccontextmanager
async def emulators(
    scripts: Mapping[str, Any] | None = None, save: Path | None = None
) -> AsyncIterator[dict[str, str]]:
    """All three on free ports, for as long as the context lasts; gives provider entry -> address. `scripts` by provider
    entry; `save`: a folder below which each writes what it receives."""
    async with contextlib.AsyncExitStack() as stack:
        urls = {}
        for name, kind in KINDS.items():
            folder = save / name if save is not None else None
            running = await start(kind, script=(scripts or {}).get(name), save_dir=folder)
            stack.push_async_callback(running.close)
            urls[name] = running.url
        yield urls
