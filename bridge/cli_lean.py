"""Keeping a server small: what it would load and never use, and what it gives back."""

from __future__ import annotations

import ctypes
import sys


def spare() -> None:
    """Load the logging library without what it looks for to draw tracebacks in colour: logs have plain ones, and the
    drawing takes 4 MiB in every server. To be called before anything that logs is imported; whoever draws (`dial`,
    `demo`) runs in another process, and finds it as before."""
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # how Python is told that there is no such module
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]


def give_back() -> None:
    """Hand memory that was only needed for starting back to the system. Where the C library cannot, nothing happens."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return
