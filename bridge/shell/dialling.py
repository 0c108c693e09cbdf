"""Opening a TCP or TLS connection: all addresses of a name, IPv4 and IPv6 in turn, a later one racing a silent one."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import itertools
import socket
import ssl

from providers.base import NetworkError

HEAD_START = 0.25
"""Seconds an address is given before the next is tried beside it (RFC 8305, 5)."""


@functools.cache
def tls_context() -> ssl.SSLContext:
    """The system's trust, made once: reading the certificates takes tens of milliseconds."""
    return ssl.create_default_context()


async def open_transport(host: str, port: int, tls: ssl.SSLContext | None) -> asyncio.Transport:
    """A connected transport without a protocol of its own: the caller sets one. Raises OSError."""
    loop = asyncio.get_running_loop()
    server_name = host if tls else None
    found = await _resolve(host, port)
    if len(found) == 1:
        return await _open(found[0], port, tls, server_name)
    waiting: set[asyncio.Task[asyncio.Transport]] = set()
    error: BaseException | None = None
    addresses = iter(found)
    try:
        while True:
            address = next(addresses, None)
            if address is not None:
                waiting.add(loop.create_task(_open(address, port, tls, server_name)))
            elif not waiting:
                raise error or OSError(f"no address for {host}")
            done, waiting = await asyncio.wait(
                waiting, timeout=None if address is None else HEAD_START, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                if task.exception() is None:
                    waiting |= done - {task}
                    return task.result()
                error = task.exception()
    finally:
        for task in waiting:
            task.add_done_callback(_discard)
            task.cancel()


@functools.lru_cache(maxsize=64)
def _literal(host: str) -> str:
    """The address that `host` is; empty for a name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return ""


async def _resolve(host: str, port: int) -> list[str]:
    """Addresses in the system's order, families alternating."""
    literal = _literal(host)
    if literal:
        return [literal]
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    families: dict[int, list[str]] = {}
    for family, _, _, _, address in found:
        families.setdefault(family, []).append(str(address[0]))
    turns = itertools.zip_longest(*families.values())
    return [address for turn in turns for address in turn if address is not None]


async def _open(address: str, port: int, tls: ssl.SSLContext | None, server_name: str | None) -> asyncio.Transport:
    transport, _ = await asyncio.get_running_loop().create_connection(
        asyncio.Protocol, address, port, ssl=tls, server_hostname=server_name
    )
    return transport


def _discard(task: asyncio.Task[asyncio.Transport]) -> None:
    """An address that lost the race may still have connected."""
    if not task.cancelled() and task.exception() is None:
        task.result().abort()


def network_error(error: BaseException) -> NetworkError:
    """What went wrong below WebSocket, in one word and in the system's words."""
    detail = str(error) or type(error).__name__
    for kind, types in _KINDS:
        if isinstance(error, types):
            return NetworkError(kind, detail)
    return NetworkError("network", detail)


_KINDS: tuple[tuple[str, tuple[type[BaseException], ...]], ...] = (
    ("tls", (ssl.SSLError, ssl.CertificateError)),
    ("dns", (socket.gaierror,)),
    ("refused", (ConnectionRefusedError,)),
    ("reset", (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)),
    ("timeout", (TimeoutError,)),
    ("eof", (EOFError,)),
)
