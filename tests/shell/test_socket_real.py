"""Provider sockets on real ones, for what no in-memory network shows: TLS, socket options, the kernel's buffers."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket as sockets
import ssl
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.frames import Opcode

from bridge.fakes.sockets import vanish
from bridge.shell.socket import connect
from providers.base import NetworkError
from providers.codec import Dial
from tests.shell.peer import Heard, Listener

Runner = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Runner:
    return asyncio.run if request.param == "asyncio" else uvloop.run


async def _until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and self-signed certificate for localhost and 127.0.0.1 in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + signed.public_bytes(serialization.Encoding.PEM)
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(pem)
    return path


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_tls_with_the_right_trust(run: Runner, certificate: Path, host: str) -> None:
    async def scenario() -> None:
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.load_cert_chain(certificate)
        listener = await Listener().open(tls=server)
        heard = Heard()
        trust = ssl.create_default_context(cafile=str(certificate))
        socket = connect(Dial(f"wss://{host}:{listener.port}/x"), heard.handler, trust)
        await _until(lambda: bool(heard.of("opened")))
        message = "0123456789" * 30_000
        socket.write([message])
        await _until(lambda: bool(listener.peer.payloads))
        assert listener.peer.payloads == [message]
        listener.peer.send(Opcode.TEXT, message.encode())
        await _until(lambda: bool(heard.messages))
        assert heard.messages == [message]
        await asyncio.sleep(0.2)
        assert socket.outbox_age == 0
        socket.close()
        await _until(lambda: listener.peer.lost)
        listener.close()

    run(scenario())


def test_tls_without_trust(run: Runner, certificate: Path) -> None:
    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)  # the server complains
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.load_cert_chain(certificate)
        listener = await Listener().open(tls=server)
        heard = Heard()
        connect(Dial(f"wss://127.0.0.1:{listener.port}/x"), heard.handler)
        await _until(lambda: bool(heard.of("closed")))
        assert isinstance(heard.failure, NetworkError)
        assert heard.failure.kind == "tls"
        assert "certificate" in heard.failure.detail.lower()
        listener.close()

    run(scenario())


def test_plain_text_where_tls_was_meant(run: Runner) -> None:
    async def scenario() -> None:
        async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await reader.read()
            writer.close()

        server = await asyncio.start_server(plain, "127.0.0.1", 0)
        heard = Heard()
        connect(Dial(f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"), heard.handler)
        await _until(lambda: bool(heard.of("closed")))
        assert isinstance(heard.failure, NetworkError)
        assert heard.failure.kind == "tls"
        server.close()

    run(scenario())


def test_nobody_listens(run: Runner) -> None:
    async def scenario() -> None:
        with sockets.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        heard = Heard()
        connect(Dial(f"ws://localhost:{port}/x"), heard.handler)
        await _until(lambda: bool(heard.of("closed")))
        assert isinstance(heard.failure, NetworkError)
        assert heard.failure.kind == "refused"

    run(scenario())


def test_the_peer_resets(run: Runner) -> None:
    async def scenario() -> None:
        listener = await Listener().open()
        heard = Heard()
        connect(Dial(listener.url), heard.handler)
        await _until(lambda: bool(heard.of("opened")))
        raw = listener.peer.transport.get_extra_info("socket")
        raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        listener.peer.transport.abort()
        await _until(lambda: bool(heard.of("closed")))
        assert isinstance(heard.failure, NetworkError)
        assert heard.failure.kind == "reset"
        listener.close()

    run(scenario())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="TCP_USER_TIMEOUT is Linux's")
def test_socket_options(run: Runner) -> None:
    async def scenario() -> None:
        listener = await Listener().open()
        heard = Heard()
        socket = connect(Dial(listener.url), heard.handler)
        await _until(lambda: bool(heard.of("opened")))
        assert socket._transport is not None
        raw = socket._transport.get_extra_info("socket")
        assert raw.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY) != 0
        assert raw.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_USER_TIMEOUT) == 2000
        socket.close()
        listener.close()

    run(scenario())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells what was not acknowledged")
def test_a_peer_that_stops_reading_is_suspect(run: Runner) -> None:
    async def scenario() -> None:
        listener = await Listener().open()
        heard = Heard()
        socket = connect(Dial(listener.url), heard.handler)
        await _until(lambda: bool(heard.of("opened")))
        listener.peer.transport.pause_reading()
        socket.write([b"z" * 1_000_000] * 15)  # more than both kernels' buffers hold
        begun = asyncio.get_running_loop().time()
        await _until(lambda: bool(heard.of("suspect")))
        ((_, dead),) = heard.of("suspect")
        assert not dead
        assert heard.when("suspect") - begun < 1.5
        assert socket.outbox_age >= 500_000_000
        socket.abort()
        listener.close()

    run(scenario())


def test_a_peer_that_vanished_is_suspect_and_then_lost(run: Runner) -> None:
    """No RST, no FIN, nothing acknowledged: what a pulled cable looks like."""

    async def scenario() -> None:
        listener = await Listener().open()
        heard = Heard()
        socket = connect(Dial(listener.url), heard.handler)
        await _until(lambda: bool(heard.of("opened")))
        if not vanish(listener.peer.transport):
            pytest.skip("this machine cannot make a connection vanish")
        begun = asyncio.get_running_loop().time()
        while not heard.of("closed") and asyncio.get_running_loop().time() - begun < 6:
            socket.write(["20 ms of a caller"])
            await asyncio.sleep(0.02)
        assert isinstance(heard.failure, NetworkError)
        assert heard.failure.kind == "timeout"
        assert 0.4 < heard.when("suspect") - begun < 1.0
        assert 1.5 < heard.when("closed") - begun < 4.5
        listener.peer.transport.abort()
        listener.close()

    run(scenario())
