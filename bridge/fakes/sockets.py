"""Rude endings of a TCP connection, as far as one machine can stage them."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import struct
import sys

SO_ATTACH_FILTER = 26  # Linux, asm-generic/socket.h


def reset(transport: asyncio.BaseTransport) -> None:
    """End with RST: nothing lingers, what was not sent is lost."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


def go_deaf(transport: asyncio.BaseTransport) -> None:
    """Read nothing any more; the kernel goes on acknowledging until its buffer is full."""
    if isinstance(transport, asyncio.ReadTransport):
        with contextlib.suppress(RuntimeError):
            transport.pause_reading()


def vanish(transport: asyncio.BaseTransport) -> bool:
    """Let the kernel drop whatever arrives, unacknowledged, as if the other machine had lost its network.

    A socket filter that accepts no byte does it, on Linux and without privileges. Elsewhere only reading stops.
    Returns whether the filter is in place."""
    go_deaf(transport)
    sock = transport.get_extra_info("socket")
    if sock is None or not sys.platform.startswith("linux"):
        return False
    program = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # one BPF instruction: return 0
    filter_ = struct.pack("HxxxxxxP", 1, ctypes.addressof(program))
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, filter_)
    except OSError:
        return False
    return True
