"""A server does not load what only people at a terminal need."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from bridge.cli_lean import give_back, spare
spare()
import bridge.cli_serve
assert "rich" not in sys.modules, "a server loads what draws tables"
assert "matplotlib" not in sys.modules and "bridge.fakes" not in sys.modules
import rich.console, structlog
give_back()
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger().exception("plain")
"""


def test_a_server_does_without_what_draws_and_still_logs_tracebacks() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "ZeroDivisionError" in done.stdout and "plain" in done.stdout


def test_a_logger_that_is_there_already_is_left_alone() -> None:
    program = "import structlog, sys; from bridge.cli_lean import spare; spare(); import rich; assert rich.__file__"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
