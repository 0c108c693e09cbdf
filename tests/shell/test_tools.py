"""Tools over HTTP: aiohttp on both sides, in virtual time."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from bridge.core.effects import RunTool
from bridge.core.events import ToolDone
from bridge.shell.endpoints import ToolEndpoint
from bridge.shell.tools import ANSWER_LIMIT, UNKNOWN, Webhooks
from tests.virtual import network, virtual

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
ORDER = RunTool(7, "book_table", '{"people": 4, "when": "8 o\'clock"}', "call-1:3")


class Shop:
    """A server with one tool, and the tool runner that calls it."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[tuple[dict[str, str], Any]] = []
        self.done: list[tuple[float, ToolDone]] = []

    async def __aenter__(self) -> Shop:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.endpoint = ToolEndpoint("book_table", f"http://shop.example:{self.port}/tool", 5000)
        self.webhooks = Webhooks()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.webhooks.close()
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((dict(request.headers), await request.json()))
        return await self.answer(request)

    async def run(self, order: RunTool = ORDER, endpoint: ToolEndpoint | None = None) -> ToolDone:
        loop = asyncio.get_running_loop()
        finished = asyncio.Event()

        def done(result: ToolDone) -> None:
            self.done.append((loop.time(), result))
            finished.set()

        self.webhooks.run("call-1", order, endpoint or self.endpoint, done)
        assert self.done == [] or not finished.is_set()
        await finished.wait()
        return self.done[-1][1]


def _says(body: str | bytes, status: int = 200, **options: Any) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        data = body.encode() if isinstance(body, str) else body
        return web.Response(body=data, status=status, **options)

    return answer


@virtual
async def test_the_request_and_an_answer_that_passes_as_it_is() -> None:
    text = '{ "booked" : true, "note": "žluť", "table": 1.50 }'
    async with Shop(_says(text)) as shop:
        endpoint = replace(shop.endpoint, headers={"Authorization": "Bearer canary-5"})
        assert await shop.run(endpoint=endpoint) == ToolDone(7, text, "ok")
        ((headers, body),) = shop.requests
        assert body == {"call": "call-1", "tool": "book_table", "arguments": {"people": 4, "when": "8 o'clock"}}
        assert headers["Idempotency-Key"] == "call-1:3"
        assert headers["Content-Type"] == "application/json"
        assert headers["Authorization"] == "Bearer canary-5"
        assert "canary-5" not in repr(endpoint)


@pytest.mark.parametrize(
    ("answer", "output"),
    [
        (_says("[1,2]"), [1, 2]),
        (_says('"text"'), "text"),
        (_says("null"), None),
        (_says(b"", 204), {"status": "done"}),
        (_says(b"  \n"), {"status": "done"}),
    ],
)
def test_good_answers(answer: Answer, output: object) -> None:
    @virtual
    async def scenario() -> None:
        async with Shop(answer) as shop:
            result = await shop.run()
            assert (json.loads(result.output), result.status) == (output, "ok")

    scenario()


@pytest.mark.parametrize(
    ("answer", "output"),
    [
        (_says("<html>hi</html>"), {"error": "the tool's answer is not JSON", "status": 200}),
        (_says(b"\xff\xfe{"), {"error": "the tool's answer is not JSON", "status": 200}),
        (_says('{"a": NaN}'), {"error": "the tool's answer is not JSON", "status": 200}),
        (_says("Bad gateway", 502), {"error": "HTTP 502", "status": 502}),
        (_says('{"trace": "secret"}', 500), {"error": "HTTP 500", "status": 500}),
        (_says('{"why":"full"}', 409), {"error": "HTTP 409", "status": 409, "answer": {"why": "full"}}),
        (_says(json.dumps("x" * 5000), 404), {"error": "HTTP 404", "status": 404}),
        (_says(json.dumps("x" * ANSWER_LIMIT)), {"error": "the tool's answer is too large", "status": 200}),
        (_says("{}", 307, headers={"Location": "/elsewhere"}), {"error": "HTTP 307", "status": 307}),
    ],
)
def test_bad_answers_become_errors_a_model_can_read(answer: Answer, output: object) -> None:
    @virtual
    async def scenario() -> None:
        async with Shop(answer) as shop:
            result = await shop.run()
            assert (json.loads(result.output), result.status) == (output, "error")
            assert len(shop.requests) == 1

    scenario()


@virtual
async def test_an_answer_of_exactly_the_limit_passes() -> None:
    text = json.dumps("x" * (ANSWER_LIMIT - 2))
    async with Shop(_says(text)) as shop:
        assert (await shop.run()).output == text


@pytest.mark.parametrize("arguments", ["{people: 4}", "[1]", "4", '{"a":', "\x00", '{"a": "\ud800"}'])
def test_bad_arguments_reach_nobody(arguments: str) -> None:
    @virtual
    async def scenario() -> None:
        async with Shop(_says("{}")) as shop:
            result = await shop.run(replace(ORDER, arguments=arguments))
            assert result.status == "error"
            assert "arguments" in json.loads(result.output)["error"]
            assert shop.requests == []

    scenario()


@virtual
async def test_no_arguments_are_an_empty_object() -> None:
    async with Shop(_says("{}")) as shop:
        await shop.run(replace(ORDER, arguments=""))
        assert shop.requests[0][1]["arguments"] == {}


@virtual
async def test_an_unknown_tool() -> None:
    async with Shop(_says("{}")) as shop:
        finished: list[ToolDone] = []
        shop.webhooks.run("call-1", replace(ORDER, name="fly"), None, finished.append)
        assert finished == []
        await asyncio.sleep(0.001)
        assert finished == [ToolDone(7, '{"error":"there is no tool named \'fly\'"}', "error")]


async def _never(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(3600)
    raise AssertionError("nobody waits that long")


@pytest.mark.parametrize(("idempotent", "attempts", "after"), [(False, 1, 5.0), (True, 2, 10.0)])
def test_no_answer_in_time_is_unknown_and_retried_only_if_idempotent(
    idempotent: bool, attempts: int, after: float
) -> None:
    @virtual
    async def scenario() -> None:
        async with Shop(_never) as shop:
            begun = asyncio.get_running_loop().time()
            result = await shop.run(endpoint=replace(shop.endpoint, idempotent=idempotent))
            assert result == ToolDone(7, UNKNOWN, "timeout")
            assert len(shop.requests) == attempts
            assert {headers["Idempotency-Key"] for headers, _ in shop.requests} == {"call-1:3"}
            assert shop.done[0][0] - begun == pytest.approx(after, abs=0.01)

    scenario()


@virtual
async def test_a_retry_that_succeeds() -> None:
    async def second_time(_: web.Request) -> web.StreamResponse:
        if len(shop.requests) == 1:
            await asyncio.sleep(60)
        return web.json_response({"booked": True})

    async with Shop(second_time) as shop:
        result = await shop.run(endpoint=replace(shop.endpoint, idempotent=True))
        assert (json.loads(result.output), result.status) == ({"booked": True}, "ok")


@virtual
async def test_an_answer_that_stops_in_the_middle_is_unknown() -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"booked":')
        assert request.transport is not None
        request.transport.close()
        return response

    async with Shop(half) as shop:
        assert await shop.run() == ToolDone(7, UNKNOWN, "timeout")


@virtual
async def test_a_tool_that_cannot_be_reached_certainly_did_nothing() -> None:
    async with Shop(_says("{}")) as shop:
        network().refuse(shop.port)
        result = await shop.run()
        assert (json.loads(result.output), result.status) == ({"error": "the tool cannot be reached"}, "error")


@virtual
async def test_neither_address_nor_credentials_reach_model_or_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with Shop(_says("{}")) as shop:
        network().refuse(shop.port)
        endpoint = ToolEndpoint(
            "book_table", f"http://canary-host.example:{shop.port}/canary-path", 5000, headers={"X-Key": "canary-key"}
        )
        result = await shop.run(endpoint=endpoint)
        assert "canary" not in result.output
        assert "canary" not in caplog.text


@virtual
async def test_many_run_at_once_and_cookies_are_not_kept() -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(1)
        return web.json_response({"cookie": request.headers.get("Cookie")}, headers={"Set-Cookie": "a=b"})

    async with Shop(slow) as shop:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        results = await asyncio.gather(*(shop.run() for _ in range(40)))
        results += [await shop.run()]
        assert {result.output for result in results} == {'{"cookie": null}'}
        assert loop.time() - begun == pytest.approx(2, abs=0.01)


@virtual
async def test_closing_gives_up_what_runs() -> None:
    async with Shop(_never) as shop:
        finished: list[ToolDone] = []
        shop.webhooks.run("call-1", ORDER, shop.endpoint, finished.append)
        await asyncio.sleep(1)
    await asyncio.sleep(100)
    assert finished == []
