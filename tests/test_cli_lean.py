"""A server does not load what only people at a terminal need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from bridge.cli_lean import give_back, spare
spare()
import bridge.cli_serve
assert "rich" not in sys.modules, "a server loads what draws tables"
assert "pydantic" not in sys.modules, "a server loads a library that takes 9 MiB and checks one file"
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


@pytest.mark.skipif(os.name != "posix", reason="a process begins anew on POSIX only")
def test_a_server_is_the_process_that_was_started_without_what_reads_options(tmp_path: Path) -> None:
    """It keeps its number, its words in the list of processes and its modules, whatever lies in the folder."""
    (tmp_path / "json.py").write_text("raise RuntimeError('not this one')")
    (tmp_path / "segue.yaml").write_text(
        "providers: {p: {kind: openai, model: gpt-realtime-2.1, api_key: a-test-key, url: 'ws://127.0.0.1:1/'}}\n"
        "routes: {default: {providers: [p], standby: cold}}\n"
        "agents: {a: {instructions: Be kind.}}\n"
        "edges: {media_ws: {listen: '127.0.0.1:0', agent: a}}\n"
    )
    start = f"import sys; sys.path[:] = {sys.path!r}; from bridge.cli import main; sys.argv = ['segue', *sys.argv[1:]]"
    command = [sys.executable, "-c", f"{start}; main()", "serve", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None and json.loads(process.stdout.readline())["event"] == "listening"
        if sys.platform == "linux":
            words = Path(f"/proc/{process.pid}/cmdline").read_text().split("\0")
            assert words[-4:] == ["segue", "serve", "--json", ""]
            assert "pydantic" not in Path(f"/proc/{process.pid}/maps").read_text()
        process.terminate()
        assert process.wait(10) == 0


def test_a_logger_that_is_there_already_is_left_alone() -> None:
    program = "import structlog, sys; from bridge.cli_lean import spare; spare(); import rich; assert rich.__file__"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
