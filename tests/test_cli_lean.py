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
assert "soundfile" not in sys.modules, "a server without records loads what reads FLAC"
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
            loaded = Path(f"/proc/{process.pid}/maps").read_text()
            assert "pydantic" not in loaded and "sndfile" not in loaded and "numpy" in loaded
        process.terminate()
        assert process.wait(10) == 0


TRUST = """
import asyncio, ssl, sys
from bridge.cli_lean import spare
spare()
import aiohttp
from aiohttp import connector, web
from bridge.fakes.tls import self_signed
assert not connector._SSL_CONTEXT_VERIFIED.cert_store_stats()["x509"], "certificates were read"
assert ssl.create_default_context().cert_store_stats()["x509"], "others find none"
server, certificate = self_signed()

async def main():
    app = web.Application()
    app.router.add_get("/", lambda request: asyncio.sleep(0, web.Response(text="hello")))
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server)
    await site.start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}/"
    async with aiohttp.ClientSession() as session:
        try:
            await session.get(url)
            raise AssertionError("a stranger is trusted")
        except aiohttp.ClientConnectorCertificateError:
            pass
        found = connector._SSL_CONTEXT_VERIFIED
        assert type(found) is ssl.SSLContext and found.cert_store_stats()["x509"], "no certificates were read"
        found.load_verify_locations(cadata=certificate.decode())
        async with session.get(url) as answer:
            print(await answer.text())
    await runner.cleanup()

asyncio.run(main())
"""


def test_certificates_are_read_when_somebody_needs_them() -> None:
    done = subprocess.run([sys.executable, "-c", TRUST], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "hello\n"


def test_a_logger_that_is_there_already_is_left_alone() -> None:
    program = "import structlog, sys; from bridge.cli_lean import spare; spare(); import rich; assert rich.__file__"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
