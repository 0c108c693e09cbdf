"""Keeping a server small: what it would load and never use, and what it gives back."""

from __future__ import annotations

import ctypes
import json
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

from bridge.cli_errors import told

# Modules are looked for where this process looked for them, and nowhere else.
_PROGRAM = """\
import json, sys
sys.path[:], arguments = json.loads(sys.argv[1])
from bridge.cli_lean import serve
serve(*arguments)
"""


def become_server(file: Path | None, listen: str | None, level: str, as_json: bool) -> None:
    """Serve in this process begun anew: same number, same environment, same options of the interpreter, without what
    reads our own, which would stay loaded as long as the server runs (10 MiB), and without the columns of each
    instruction, which only underline places in tracebacks (0.5 MiB)."""
    arguments = (str(file) if file else None, listen, level, as_json)
    if os.name != "posix" or not sys.executable or hasattr(sys, "frozen"):  # cannot begin anew, or is no interpreter
        serve(*arguments)
        return
    sys.stdout.flush()
    sys.stderr.flush()
    # What follows the arguments is for people who list processes.
    words = [_PROGRAM, json.dumps([sys.path, arguments]), *sys.argv]
    options = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing does
    options += ["-X", "no_debug_ranges", "-P", "-c"]
    os.execv(sys.executable, [sys.executable, *options, *words])


def serve(file: str | None, listen: str | None, level: str, as_json: bool) -> None:
    """Load the server and run it; the process ends with its exit code."""

    def action() -> None:
        spare()
        from bridge.cli_serve import command

        sys.exit(command(Path(file) if file else None, listen, level, as_json))

    told(action)


def spare() -> None:
    """Load libraries without what a server does not need of them. To be called before anything else imports them; where
    something has, they stay as they are."""
    _logging_without_colours()
    _http_without_certificates()


def _logging_without_colours() -> None:
    """What structlog looks for to draw tracebacks in colour takes 4 MiB, and logs have plain ones. Whoever draws
    (`dial`, `demo`) runs in another process, and finds it as before."""
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # how Python is told that there is no such module
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]


class _TrustsLater(ssl.SSLContext):
    """Reads the system's certificates when its first connection is made, and is a plain context from then on."""

    def wrap_bio(self, *given: Any, **named: Any) -> ssl.SSLObject:
        self._read()
        return self.wrap_bio(*given, **named)

    def wrap_socket(self, *given: Any, **named: Any) -> ssl.SSLSocket:
        self._read()
        return self.wrap_socket(*given, **named)

    def _read(self) -> None:
        self.__class__ = ssl.SSLContext  # type: ignore[assignment]
        self.set_default_verify_paths()


def _http_without_certificates() -> None:
    """aiohttp reads the system's certificates twice when it is imported, 2.5 MiB. Links and tools have a store of their
    own (`bridge.shell.dialling`), made where something speaks TLS; what an operator's function of `turns.opinion` does
    with aiohttp finds certificates as well, read when it first connects."""
    if "aiohttp" in sys.modules:
        return

    def later(context: ssl.SSLContext) -> None:
        context.__class__ = _TrustsLater

    ssl.SSLContext.set_default_verify_paths = later  # type: ignore[method-assign, assignment]
    try:
        import aiohttp  # noqa: F401
    finally:
        del ssl.SSLContext.set_default_verify_paths


def give_back() -> None:
    """Hand memory that was only needed for starting back to the system. Where the C library cannot, nothing happens."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return
