"""Which exceptions are a user's affair, and how they are said."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable


class UserError(Exception):
    """What the user asked for cannot be done; the text is one line for people."""


# Looked up by name in modules that are loaded anyway when one of them is raised: naming a class here costs no import.
_KNOWN = (
    ("bridge.config", "ConfigError"),
    ("bridge.shell.record_read", "RecordError"),
    ("bridge.fakes.checks", "ScriptError"),
    ("bridge.dial.client", "DialError"),
    ("bridge.dial.turns", "TurnsError"),
    ("bridge.edges.media_ws", "EdgeError"),
    ("audio.files", "AudioFileError"),
)


def told(action: Callable[[], object]) -> None:
    """Run what a command does. What people did wrong is told in a line each and ends the process with exit code 2."""
    try:
        action()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        lines = for_people(error)
        if lines is None:
            raise
        for line in lines:
            print(f"segue: {line}", file=sys.stderr)
        sys.exit(2)


def for_people(error: Exception) -> list[str] | None:
    """The lines that tell a user what to mend; None for an error of ours, which deserves its traceback."""
    known = tuple(getattr(sys.modules[module], name) for module, name in _KNOWN if module in sys.modules)
    if isinstance(error, (UserError, *known)):
        return str(error).splitlines()
    if isinstance(error, OSError):
        return [_system(error)]
    return None


def _system(error: OSError) -> str:
    what = error.strerror or str(error) or type(error).__name__
    if error.errno == errno.EADDRINUSE:
        return f"{what}: another program uses that port; choose one with --listen or --port"
    return f"{error.filename}: {what}" if error.filename else what
