"""Tools as webhooks: POST of JSON, answer handed to the model as it is. One HTTP session for all calls.

    POST <url>   Idempotency-Key: <call id>:<n>   {"call": …, "tool": …, "arguments": {…}}

Whatever goes wrong becomes JSON that a model can read; nothing in it names the address or its credentials.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

import aiohttp
import orjson
import structlog

from bridge.core.effects import RunTool
from bridge.core.events import ToolDone
from bridge.shell.dialling import tls_context
from bridge.shell.endpoints import ToolEndpoint

log = structlog.get_logger("segue.tools")

ANSWER_LIMIT = 64 * 1024
_QUOTED_LIMIT = 2048
UNKNOWN = '{"status":"unknown"}'
"""Nobody knows whether the tool did its work: no answer in time, or the connection broke after the request."""

_EMPTY = '{"status":"done"}'


class Webhooks:
    """Runs tools. Construct it on the running loop."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),  # nothing is carried from one call to another
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
            headers={"User-Agent": "segue", "Accept": "application/json"},
        )
        self._running: set[asyncio.Task[None]] = set()

    def run(
        self, call_id: str, order: RunTool, endpoint: ToolEndpoint | None, done: Callable[[ToolDone], None]
    ) -> None:
        """Begin; `done` is called exactly once, never from within. The tool is not stopped when its call ends: what it
        began should not be left half done."""
        task = asyncio.get_running_loop().create_task(self._run(call_id, order, endpoint, done), name="tool")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Give up what still runs."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._session.close()

    async def _run(
        self, call_id: str, order: RunTool, endpoint: ToolEndpoint | None, done: Callable[[ToolDone], None]
    ) -> None:
        try:
            result = await self._execute(call_id, order, endpoint)
        except Exception as error:
            log.exception("tool failed", call=call_id, tool=order.name)
            result = _error(order, f"the tool failed ({type(error).__name__})")
        if result.status != "ok":
            log.warning("tool did not succeed", call=call_id, tool=order.name, status=result.status)
        done(result)

    async def _execute(self, call_id: str, order: RunTool, endpoint: ToolEndpoint | None) -> ToolDone:
        if endpoint is None or not endpoint.url:
            return _error(order, f"there is no tool named {order.name!r}")
        try:
            arguments = orjson.loads(order.arguments or "{}")
        except orjson.JSONDecodeError:
            return _error(order, "the arguments are not valid JSON")
        if not isinstance(arguments, dict):
            return _error(order, "the arguments are not a JSON object")
        body = orjson.dumps({"call": call_id, "tool": order.name, "arguments": arguments})
        for _ in range(2 if endpoint.idempotent else 1):
            result = await self._attempt(order, endpoint, body)
            if result.status != "timeout":
                break
        return result

    async def _attempt(self, order: RunTool, endpoint: ToolEndpoint, body: bytes) -> ToolDone:
        headers = {**endpoint.headers, "Content-Type": "application/json", "Idempotency-Key": order.key}
        timeout, trust = aiohttp.ClientTimeout(total=endpoint.timeout_ms / 1000), _trust(endpoint.url)
        try:
            async with self._session.post(
                endpoint.url, data=body, headers=headers, timeout=timeout, allow_redirects=False, ssl=trust
            ) as response:
                answer = await _read(response)
                return _result(order, response.status, answer)
        except aiohttp.ClientConnectorError:
            return _error(order, "the tool cannot be reached")
        except aiohttp.InvalidURL:
            return _error(order, "the tool has no usable address")
        except (TimeoutError, aiohttp.ClientError):
            return ToolDone(order.call, UNKNOWN, "timeout")


def _trust(url: str) -> ssl.SSLContext | bool:
    """Links and tools share one store of certificates."""
    return tls_context() if url.startswith("https:") else True


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """The body; None when it is larger than allowed."""
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > ANSWER_LIMIT:
            return None
        parts.append(part)
    return b"".join(parts)


def _result(order: RunTool, status: int, answer: bytes | None) -> ToolDone:
    succeeded = 200 <= status < 300
    if answer is None:
        return _error(order, "the tool's answer is too large", status)
    if succeeded and not answer.strip():
        return ToolDone(order.call, _EMPTY)
    try:
        value = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return _error(order, "the tool's answer is not JSON" if succeeded else f"HTTP {status}", status)
    if succeeded:
        return ToolDone(order.call, answer.decode())
    if 400 <= status < 500 and len(answer) <= _QUOTED_LIMIT:  # meant for whoever asked: "no such order"
        return _error(order, f"HTTP {status}", status, value)
    return _error(order, f"HTTP {status}", status)


def _error(order: RunTool, what: str, status: int | None = None, answer: object = None) -> ToolDone:
    fields: dict[str, object] = {"error": what}
    if status is not None:
        fields["status"] = status
    if answer is not None:
        fields["answer"] = answer
    return ToolDone(order.call, orjson.dumps(fields).decode(), "error")
