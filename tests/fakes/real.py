"""Coroutine tests on a real event loop, with a limit."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")
LIMIT = 30.0


def real(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make a coroutine function a test; it fails after LIMIT seconds, or when it leaves a task behind."""

    @functools.wraps(test)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        async def run() -> None:
            async with asyncio.timeout(LIMIT):
                await test(*args, **kwargs)
            for _ in range(20):
                left = asyncio.all_tasks() - {asyncio.current_task()}
                if not left:
                    return
                await asyncio.sleep(0.02)
            raise AssertionError(f"left behind: {left}")

        asyncio.run(run())

    return wrapper
