"""Keeping a server small: what it would load and never use, and what it gives back."""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path

from bridge.cli_errors import told

# Modules are looked for where this process looked for them, and nowhere else.
_PROGRAM = """\
import json, sys
sys.path[:], arguments = json.loads(sys.argv[1])
from bridge.cli_lean import serve
serve(*arguments)
"""


def become_server(file: Path | None, listen: str | None, level: str, as_json: bool) -> None:
    """Serve in this process begun anew: same number, same environment, without what reads options, which would stay
    loaded as long as the server runs (10 MiB)."""
    arguments = (str(file) if file else None, listen, level, as_json)
    if os.name != "posix":  # elsewhere a process cannot begin anew
        serve(*arguments)
        return
    sys.stdout.flush()
    sys.stderr.flush()
    # What follows the arguments is for people who list processes.
    words = [_PROGRAM, json.dumps([sys.path, arguments]), *sys.argv]
    os.execv(sys.executable, [sys.executable, "-P", "-c", *words])


def serve(file: str | None, listen: str | None, level: str, as_json: bool) -> None:
    """Load the server and run it; the process ends with its exit code."""

    def action() -> None:
        spare()
        from bridge.cli_serve import command

        sys.exit(command(Path(file) if file else None, listen, level, as_json))

    told(action)


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
