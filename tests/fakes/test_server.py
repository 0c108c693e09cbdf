"""The emulators on real sockets: refusals, rude endings, TLS, delays, and what they keep."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from audio.frame import PCM16_16K, PCM16_24K, PCMU
from bridge.fakes import start
from bridge.fakes.checks import ScriptError
from bridge.fakes.server import Running
from tests.fakes.client import ROOT, Json, b64, numbered
from tests.fakes.real import real
from tests.virtual import virtual

QUICK: Json = {"reply": {"seconds": 2, "first_audio_ms": 5, "pace": 100}, "turn_complete_ms": 0}
APPEND = "input_audio_buffer.append"


@asynccontextmanager
async def server(kind: str = "openai", script: Any = None, **options: Any) -> AsyncIterator[Running]:
    running = await start(kind, script={**QUICK, **(script or {})}, **options)  # type: ignore[arg-type]
    try:
        yield running
    finally:
        await running.close()


@asynccontextmanager
async def dialled(running: Running, **options: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    url = f"{running.url}?model=gpt-realtime-2.1"
    async with aiohttp.ClientSession() as http, http.ws_connect(url, max_msg_size=0, **options) as ws:
        yield ws


def rule(phase: str, do: Any, **when: Any) -> Json:
    return {"rules": [{"when": {"phase": phase, **when}, "do": do}]}


async def say(ws: aiohttp.ClientWebSocketResponse, data: bytes, kind: Json | None = None) -> None:
    """Configure by hand, then one turn and the ask for a reply."""
    audio = {"input": {"format": kind or {"type": "audio/pcm", "rate": 24000}, "turn_detection": None}}
    await ws.send_json({"type": "session.update", "session": {"type": "realtime", "audio": audio}})
    for at in range(0, len(data), 9600):
        await ws.send_json({"type": APPEND, "audio": b64(data[at : at + 9600])})
    await ws.send_json({"type": "input_audio_buffer.commit"})
    await ws.send_json({"type": "response.create"})


async def until(ws: aiohttp.ClientWebSocketResponse, kind: str) -> Json:
    while True:
        message = await ws.receive_json(timeout=10)
        if message["type"] == kind:
            return dict(message)


def transcript(done: Json) -> str:
    return str(done["response"]["output"][0]["content"][0]["transcript"])


def unacknowledged(ws: aiohttp.ClientWebSocketResponse) -> int:
    """Segments the other machine has not acknowledged (Linux: tcpi_unacked)."""
    sock = ws.get_extra_info("socket")
    return int(struct.unpack_from("I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 24)[0])


@real
async def test_a_conversation_over_a_socket() -> None:
    async with server() as running, dialled(running) as ws:
        await say(ws, numbered(42))
        assert transcript(await until(ws, "response.done")).startswith("You asked about number forty two.")


@real
async def test_subprotocol_and_large_appends() -> None:
    async with server() as running, dialled(running, protocols=("realtime", "openai-insecure-api-key.k")) as ws:
        assert ws.protocol == "realtime"
        await ws.send_json({"type": APPEND, "audio": b64(bytes(14 * 1024 * 1024))})
        await ws.send_json({"type": APPEND, "audio": b64(bytes(16 * 1024 * 1024))})
        assert (await until(ws, "error"))["error"]["param"] == "audio"


@real
async def test_http_refusals() -> None:
    do = {"http": {"status": 429, "headers": {"Retry-After": "7"}, "body": "slow down"}}
    async with server(script=rule("upgrade", do)) as running:
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            async with dialled(running):
                pass
        assert raised.value.status == 429
        assert raised.value.headers is not None
        assert raised.value.headers["Retry-After"] == "7"


@real
async def test_refused_by_reset() -> None:
    async with server(script=rule("upgrade", {"refuse": True})) as running:
        with pytest.raises(aiohttp.ClientError):
            async with dialled(running):
                pass


@pytest.mark.parametrize("how", [{"hang": True}, {"half_open": "silent"}])
@real
async def test_an_upgrade_that_is_never_answered(how: Json) -> None:
    async with server(script=rule("upgrade", how)) as running:
        with pytest.raises((TimeoutError, aiohttp.ClientError)):
            async with asyncio.timeout(0.2), dialled(running):
                pass


@real
async def test_closes_with_code_and_reason() -> None:
    reason = "insufficient_quota.insufficient_quota"
    script = rule("configured", {"close": {"code": 1013, "reason": reason}})
    async with server(script=script) as running, dialled(running) as ws:
        await say(ws, b"")
        await until(ws, "session.updated")
        message = await ws.receive(timeout=5)
        assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, 1013, reason)


@real
async def test_resets() -> None:
    async with server(script=rule("configured", {"reset": True})) as running, dialled(running) as ws:
        await say(ws, b"")
        await until(ws, "session.updated")
        message = await ws.receive(timeout=5)
        assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        assert ws.close_code == 1006


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts what the kernel acknowledges as Linux does")
@pytest.mark.parametrize(("how", "acknowledged"), [("acknowledged", True), ("silent", False)])
@real
async def test_half_open_in_both_forms(how: str, acknowledged: bool) -> None:
    async with server(script=rule("configured", {"half_open": how})) as running, dialled(running) as ws:
        await say(ws, b"")
        await until(ws, "session.updated")
        await asyncio.sleep(0.05)
        for _ in range(3):
            await ws.send_json({"type": APPEND, "audio": b64(bytes(4800))})
        await ws.ping()
        with pytest.raises(TimeoutError):
            await ws.receive(timeout=0.3)
        assert (unacknowledged(ws) == 0) is acknowledged


@real
async def test_tls() -> None:
    async with server(tls=True) as running:
        assert running.url.startswith("wss://127.0.0.1:")
        assert running.certificate is not None
        context = ssl.create_default_context(cadata=running.certificate.decode())
        async with dialled(running, ssl=context) as ws:
            await until(ws, "session.created")
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            async with dialled(running):
                pass


@pytest.mark.parametrize(("pong_ms", "comes"), [(0, True), (150, True), (None, False)])
@real
async def test_pongs(pong_ms: int | None, comes: bool) -> None:
    async with server(script={"pong_ms": pong_ms}) as running, dialled(running, autoping=False) as ws:
        await until(ws, "session.created")
        begin = time.monotonic()
        await ws.ping(b"x")
        if comes:
            message = await ws.receive(timeout=5)
            assert (message.type, bytes(message.data)) == (aiohttp.WSMsgType.PONG, b"x")
            assert time.monotonic() - begin >= (pong_ms or 0) / 1000
        else:
            with pytest.raises(TimeoutError):
                await ws.receive(timeout=0.3)


@real
async def test_what_was_received_is_kept_byte_for_byte(tmp_path: Path) -> None:
    data = numbered(5, format=PCMU)
    pcm = numbered(6, format=PCM16_24K)
    async with server(save_dir=tmp_path) as running:
        async with dialled(running, headers={"Authorization": "Bearer sk-secret"}) as ws:
            await say(ws, data, {"type": "audio/pcmu"})
            await until(ws, "response.done")
            await ws.send_str("not JSON")
            await until(ws, "error")
        async with dialled(running) as ws:
            await say(ws, pcm)
            await until(ws, "response.done")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "001.json",
        "001.jsonl",
        "001.ulaw",
        "002.jsonl",
        "002.wav",
    ]
    assert (tmp_path / "001.ulaw").read_bytes() == data
    assert json.loads((tmp_path / "001.json").read_text()) == {"rate": 8000, "encoding": "pcmu", "bytes": len(data)}
    with wave.open(str(tmp_path / "002.wav")) as file:
        assert (file.getframerate(), file.readframes(10**9)) == (24000, pcm)
    text = (tmp_path / "001.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert "sk-secret" not in text
    assert next(line["message"]["type"] for line in lines if "message" in line) == "session.update"
    places = [line["message"]["audio"] for line in lines if line.get("message", {}).get("type") == APPEND]
    assert sum(place["bytes"] for place in places) == len(data)
    assert [place["offset"] for place in places] == list(range(0, len(data), 9600))
    assert [line["unreadable"] for line in lines if "unreadable" in line] == ["not JSON"]
    assert "ended" in lines[-1]


@real
async def test_gemini_audio_is_kept_in_its_own_rate(tmp_path: Path) -> None:
    data = numbered(7, format=PCM16_16K)
    detection = {"automaticActivityDetection": {"disabled": True}}
    messages = [
        {"setup": {"model": "models/gemini-3.8-live", "realtimeInputConfig": detection}},
        {"realtimeInput": {"activityStart": {}}},
        {"realtimeInput": {"audio": {"data": b64(data), "mimeType": "audio/pcm;rate=16000"}}},
        {"realtimeInput": {"activityEnd": {}}},
    ]
    async with (
        server("gemini", save_dir=tmp_path) as running,
        aiohttp.ClientSession() as http,
        http.ws_connect(running.url) as ws,
    ):
        for message in messages:
            await ws.send_json(message)
        while b"turnComplete" not in await ws.receive_bytes(timeout=10):
            pass
    with wave.open(str(tmp_path / "001.wav")) as file:
        assert (file.getframerate(), file.readframes(10**9)) == (16000, data)


@real
async def test_several_connections_at_a_time() -> None:
    async def one(running: Running, n: int) -> str:
        async with dialled(running) as ws:
            await say(ws, numbered(n))
            return transcript(await until(ws, "response.done"))

    async with server() as running:
        said = await asyncio.gather(*(one(running, n) for n in range(8)))
    for n, text in enumerate(said):
        assert text.split()[4].rstrip(".") == ["zero", "one", "two", "three", "four", "five", "six", "seven"][n]


@real
async def test_closing_ends_every_connection() -> None:
    running = await start("openai", script=rule("configured", {"half_open": "acknowledged"}))
    async with dialled(running) as healthy, dialled(running) as mute:
        await say(mute, b"")
        await until(mute, "session.updated")
        begin = time.monotonic()
        await running.close()
        assert time.monotonic() - begin < 2
        for ws in (healthy, mute):
            while (await ws.receive(timeout=5)).type not in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
                pass


@virtual
async def test_time_is_the_loop_s() -> None:
    """On simulated time: 100 ms of round trip, and a reply that takes as long as it lasts."""
    loop = asyncio.get_running_loop()
    async with server(script={"reply": {"seconds": 8, "pace": 1.0}}, rtt_ms=100) as running, dialled(running) as ws:
        begin = loop.time()
        await say(ws, numbered(9))
        await until(ws, "session.updated")
        assert loop.time() - begin == pytest.approx(0.1, abs=0.002)
        await until(ws, "response.done")
        assert 7.5 < loop.time() - begin < 10


@real
async def test_bad_scripts_and_ports() -> None:
    with pytest.raises(ScriptError, match="sed: is not known"):
        await start("openai", script={"sed": 1})
    with pytest.raises(ValueError, match="no emulator of kind 'llama'"):
        await start("llama")  # type: ignore[arg-type]
    async with server() as running:
        with pytest.raises(OSError):
            await start("openai", port=running.port)


def serve(*arguments: str) -> subprocess.Popen[str]:
    program = f"import sys; from bridge.fakes import serve; sys.exit(serve({', '.join(arguments)}))"
    return subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_says_where_and_ends_at_once(number: signal.Signals) -> None:
    process = serve("'azure'", "0")
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("azure emulator listening on ws://127.0.0.1:")
    assert line.rstrip().endswith("/voice-live/realtime")
    begin = time.monotonic()
    process.send_signal(number)
    assert process.wait(10) == 0
    assert time.monotonic() - begin < 2


def test_serve_says_what_is_wrong(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("reply: {tempo: 3}\n")
    process = serve("'openai'", "0", f"__import__('pathlib').Path({str(bad)!r})")
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "bad.yaml: reply.tempo: is not known here" in out


@real
async def test_a_client_that_does_not_wait_for_the_upgrade_leaves_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with server(script={"latency": {"upgrade_ms": 100}}, save_dir=tmp_path) as running:
        _, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(
            b"GET /v1/realtime?model=gpt-realtime-2.1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        await asyncio.sleep(0.02)
        writer.transport.abort()
        await asyncio.sleep(0.2)
        async with dialled(running) as ws:
            assert (await until(ws, "session.created"))["type"] == "session.created"
    assert [path.name for path in tmp_path.glob("*.jsonl")] == ["002.jsonl"]
    assert not caplog.records
