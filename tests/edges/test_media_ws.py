from __future__ import annotations

import asyncio
import random
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from xml.etree import ElementTree

import aiohttp
import orjson
import pytest
from aiohttp import web

from audio.frame import Frame
from bridge.core.events import Dtmf, Event, Gone, LegBack, LegLost, Mark
from bridge.edges.media_ws import EdgeError, MediaWs, Settings
from bridge.edges.signature import sign
from bridge.edges.switchboard import Refused
from bridge.shell.leg import Leg
from tests.edges.test_twilio import media, message, start
from tests.virtual import network, virtual

PORT = 8080
rng = random.Random(11)


class Call:
    """A running call that only listens."""

    def __init__(self, leg: Leg, agent: str, parameters: Mapping[str, str]) -> None:
        self.leg = leg
        self.agent = agent
        self.parameters = parameters
        self.events: list[Event | Frame] = []
        self.notices: list[str] = []
        self.over = False

    def dispatch(self, event: Event) -> None:
        self.events.append(event)

    def heard(self, frame: Frame) -> None:
        self.events.append(frame)

    def notice(self, what: str) -> None:
        self.notices.append(what)

    @property
    def audio(self) -> bytes:
        return b"".join(each.data for each in self.events if isinstance(each, Frame))

    @property
    def others(self) -> list[Event]:
        return [each for each in self.events if not isinstance(each, Frame)]


class Board:
    """A switchboard that starts calls after `delay` seconds and takes `most` of them."""

    def __init__(self, most: int = 100, delay: float = 0.0) -> None:
        self.most = most
        self.delay = delay
        self.calls: list[Call] = []
        self.refusal = ""

    def knows(self, agent: str) -> bool:
        return agent in ("reception", "sales")

    def has_room(self, waiting: int = 0) -> bool:
        return sum(not call.over for call in self.calls) + waiting < self.most

    async def start(self, agent: str, leg: Leg, parameters: Mapping[str, str], caller: Mapping[str, str]) -> Call:
        await asyncio.sleep(self.delay)
        if self.refusal:
            raise Refused(self.refusal)
        self.calls.append(Call(leg, agent, parameters))
        return self.calls[-1]


class Bench:
    """An edge that listens, and a carrier's HTTP client."""

    def __init__(self, board: Board, session: aiohttp.ClientSession) -> None:
        self.board = board
        self.session = session

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{PORT}{path}"

    async def connect(self, path: str = "/twilio", **options: Any) -> aiohttp.ClientWebSocketResponse:
        return await self.session.ws_connect(self.url(path), compress=0, **options)

    async def document(self, url: str, sid: str | None = "CA1", method: str = "POST", **options: Any) -> Any:
        fields = {} if sid is None else {"CallSid": sid, "From": "+15550001"}
        where = {"data": fields} if method == "POST" else {"params": fields}
        async with self.session.request(method, url, **where, **options) as answer:
            text = await answer.text()
            return ElementTree.fromstring(text) if answer.status == 200 else answer.status

    async def stream(self, document: Any, sid: str = "CA1", stream_sid: str = "MZ1") -> aiohttp.ClientWebSocketResponse:
        """Do as the document says: dial the stream and start it."""
        stream = document.find("Connect/Stream")
        socket = await self.session.ws_connect(stream.get("url").replace("ws://", "http://"), compress=0)
        parameters = {each.get("name"): each.get("value") for each in stream}
        await socket.send_bytes(message("connected"))  # binary: ignored, and counted
        text = start(callSid=sid, streamSid=stream_sid, customParameters=parameters)
        await socket.send_str(text.decode())
        await asyncio.sleep(0.01)
        return socket


@asynccontextmanager
async def bench(board: Board, **settings: Any) -> AsyncIterator[Bench]:
    app = web.Application()
    edge = MediaWs(Settings("127.0.0.1", PORT, "reception", **settings), board, asyncio.get_running_loop().time)
    edge.add_routes(app.router)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", PORT).start()
    async with aiohttp.ClientSession() as session:
        yield Bench(board, session)
    await edge.close()
    await asyncio.sleep(0.1)
    await runner.cleanup()


def verbs(document: Any) -> list[str]:
    return [verb.tag for verb in document]


async def begun(at: Bench, path: str = "/twilio", **changes: Any) -> tuple[aiohttp.ClientWebSocketResponse, Call]:
    socket = await at.connect(path)
    await socket.send_str(start(**changes).decode())
    await asyncio.sleep(0.01)
    return socket, at.board.calls[-1]


# ----------------------------------------------------------------------------------------------------- both directions


@virtual
async def test_a_call_from_start_to_stop() -> None:
    async with bench(Board()) as at:
        socket, call = await begun(at, "/twilio/sales", customParameters={"customer_name": "Ann"})
        assert (call.agent, call.parameters) == ("sales", {"customer_name": "Ann"})
        sounds = [rng.randbytes(160) for _ in range(5)]
        for number, sound in enumerate(sounds):
            await socket.send_str(media(sound, str(number + 1)).decode())
        await socket.send_str(message("dtmf", dtmf={"digit": "#"}).decode())
        await socket.send_str(message("mark", mark={"name": "0:1"}).decode())
        await asyncio.sleep(0.01)
        assert call.audio == b"".join(sounds)
        assert call.others == [Dtmf("#"), Mark("0:1")]
        call.leg.send(sounds[0])
        call.leg.mark("0:2")
        call.leg.clear()
        received = [orjson.loads((await socket.receive()).data) for _ in range(3)]
        assert [each["event"] for each in received] == ["media", "mark", "clear"]
        assert received[0]["media"]["payload"] == b64encode(sounds[0]).decode()
        await socket.send_str(message("stop", stop={}).decode())
        await asyncio.sleep(0.01)
        assert call.others[-1] == Gone("caller hung up")
        await socket.close()
        await asyncio.sleep(0.01)
        assert len(call.others) == 3
        assert not call.notices


@virtual
async def test_audio_during_set_up_waits_for_the_call() -> None:
    async with bench(Board(delay=0.5)) as at:
        socket = await at.connect()
        await socket.send_str(start().decode())
        sounds = [rng.randbytes(160) for _ in range(10)]
        for number, sound in enumerate(sounds):
            await socket.send_str(media(sound, str(number + 1)).decode())
        await asyncio.sleep(0.4)
        assert not at.board.calls
        await asyncio.sleep(0.2)
        assert at.board.calls[0].audio == b"".join(sounds)
        await socket.close()


@virtual
async def test_hanging_up_closes_the_socket_normally() -> None:
    async with bench(Board()) as at:
        socket, call = await begun(at)
        call.leg.send(rng.randbytes(160))
        call.leg.hang_up("goodbye")
        assert orjson.loads((await socket.receive()).data)["event"] == "media"
        end = await socket.receive()
        assert (end.type, end.data, end.extra) == (aiohttp.WSMsgType.CLOSE, 1000, "goodbye")
        call.leg.send(b"x")
        call.leg.clear()
        assert call.others == []


@virtual
async def test_a_ping_is_answered_and_a_silent_stream_is_asked() -> None:
    async with bench(Board(), ping_after=5.0, dead_after=8.0) as at:
        socket, call = await begun(at)
        await socket.ping(b"there?")
        reading = asyncio.create_task(socket.receive())  # aiohttp answers pings only while somebody reads
        await asyncio.sleep(60)
        assert call.others == []
        network().pipes[0].freeze()
        await asyncio.sleep(10)
        reading.cancel()
        assert call.others == [Gone("stream lost")]
        assert any("no sign of life" in notice for notice in call.notices)


# ----------------------------------------------------------------------------------------------------------- bad input


@virtual
async def test_rubbish_is_counted_and_the_call_goes_on() -> None:
    async with bench(Board()) as at:
        socket, call = await begun(at)
        for text in (
            "{",
            "{",
            "{}",
            '{"event":"launch"}',
            start(streamSid="MZ9").decode(),
            "x" * 70_000,
            "y" * 9_000_000,
        ):
            await socket.send_str(text)
        await socket.send_bytes(b"\x00" * 10)
        sound = rng.randbytes(160)
        await socket.send_str(media(sound, "1").decode())
        await asyncio.sleep(0.01)
        assert call.audio == sound
        assert [notice.split(":")[0] for notice in call.notices] == [
            "ignored malformed message",
            "ignored unknown event",
            "ignored second start",
            "ignored oversized message",
            "ignored binary message",
        ]
        await socket.send_str(message("stop").decode())
        await socket.close()
        await asyncio.sleep(0.01)
        assert call.notices[-1] == "ignored in all: malformed message 3, oversized message 2"


@virtual
async def test_breaking_the_websocket_protocol_ends_that_stream_only() -> None:
    async with bench(Board()) as at:
        socket, call = await begun(at)
        other, second = await begun(at)
        network().pipes[0].client.write(b"\xf3\x00")
        end = await socket.receive()
        assert end.data == 1002
        assert call.others == [Gone("stream lost")]
        await other.send_str(media(b"x" * 160, "1").decode())
        await asyncio.sleep(0.01)
        assert second.audio == b"x" * 160
        await other.close()


@virtual
async def test_audio_that_is_not_supported_closes_the_stream_with_a_reason() -> None:
    async with bench(Board()) as at:
        socket = await at.connect()
        wire = {"encoding": "audio/x-l16", "sampleRate": 16000, "channels": 1}
        await socket.send_str(start(mediaFormat=wire).decode())
        end = await socket.receive()
        assert end.data == 1003
        assert "audio/x-l16" in (end.extra or "")
        assert not at.board.calls


@virtual
async def test_a_stream_that_never_starts_is_closed() -> None:
    async with bench(Board(), start_within=3.0) as at:
        socket = await at.connect()
        began = asyncio.get_running_loop().time()
        assert (await socket.receive()).data == 1008
        assert 3.0 <= asyncio.get_running_loop().time() - began <= 4.5


@virtual
async def test_a_refused_call_closes_its_stream() -> None:
    board = Board()
    board.refusal = "no provider"
    async with bench(board) as at:
        socket = await at.connect()
        await socket.send_str(start().decode())
        end = await socket.receive()
        assert (end.data, end.extra) == (1008, "no provider")


@virtual
async def test_what_is_not_for_us() -> None:
    async with bench(Board()) as at:
        for path, status in (("/twilio", 426), ("/twilio/sales", 426)):
            async with at.session.get(at.url(path)) as answer:
                assert answer.status == status
        assert await at.document(at.url("/twilio/nobody/twiml")) == 404
        for path, options, status in (
            ("/twilio/nobody", {}, 404),
            ("/twilio", {"origin": "http://evil.example"}, 403),
        ):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
                await at.connect(path, **options)
            assert refusal.value.status == status


@virtual
async def test_a_webhook_that_is_too_large_or_makes_no_sense() -> None:
    async with bench(Board()) as at:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        for body, status in (
            (b"CallSid=" + b"x" * 500, 400),
            (b"CallSid=a%00b", 400),
            (b"\xff\xfe=&&;==", 200),
            (b"x" * 9_000_000, 413),
        ):
            async with at.session.post(at.url("/twilio/twiml"), data=body, headers=form) as answer:
                assert answer.status == status


@virtual
async def test_a_carrier_that_does_not_read_is_cut_off() -> None:
    async with bench(Board()) as at:
        _, call = await begun(at)
        pipe = network().pipes[0]
        pipe.client.pause_reading()
        for _ in range(2000):
            call.leg.send(rng.randbytes(160))
        assert call.others == [Gone("stream lost")]
        assert any("stopped reading" in notice for notice in call.notices)


# -------------------------------------------------------------------------------------------------------------- limits


@virtual
async def test_a_full_house_is_busy_on_both_ways_in() -> None:
    async with bench(Board(most=1)) as at:
        socket, call = await begun(at)
        reject = await at.document(at.url("/twilio/reception/twiml"))
        assert verbs(reject) == ["Reject"] and reject[0].get("reason") == "busy"
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await at.connect()
        assert refusal.value.status == 503
        assert refusal.value.headers is not None and int(refusal.value.headers["Retry-After"]) > 0
        call.over = True
        assert verbs(await at.document(at.url("/twilio/reception/twiml"))) == ["Connect", "Redirect"]
        await socket.close()


@virtual
async def test_streams_that_have_not_begun_take_a_place() -> None:
    async with bench(Board(most=2, delay=1.0)) as at:
        sockets = [await at.connect() for _ in range(2)]
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await at.connect()
        for socket in sockets:
            await socket.send_str(start().decode())
        await asyncio.sleep(0.5)
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await at.connect()
        await asyncio.sleep(1.0)
        assert len(at.board.calls) == 2
        for socket in sockets:
            await socket.close()


# --------------------------------------------------------------------------------------------------------- coming back


@virtual
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_lost_stream_comes_back_to_its_call(method: str) -> None:
    async with bench(Board(most=1)) as at:
        document = await at.document(at.url("/twilio/sales/twiml?customer_name=Ann"), method=method)
        assert verbs(document) == ["Connect", "Redirect"]
        assert document.find("Connect/Stream").get("url") == f"ws://127.0.0.1:{PORT}/twilio/sales"
        first = await at.stream(document, stream_sid="MZ1")
        call = at.board.calls[0]
        assert call.parameters == {"customer_name": "Ann"}
        network().pipes[-1].reset()
        await asyncio.sleep(3.0)
        assert call.others == [LegLost()]
        call.leg.send(b"lost on the way")
        again = await at.document(document.find("Redirect").text, method=method)
        second = await at.stream(again, stream_sid="MZ2")
        assert call.others == [LegLost(), LegBack()]
        sound = rng.randbytes(160)
        await second.send_str(media(sound, "1").decode())
        call.leg.send(sound)
        back = orjson.loads((await second.receive()).data)
        assert (back["streamSid"], back["media"]["payload"]) == ("MZ2", b64encode(sound).decode())
        assert call.audio == sound
        assert len(at.board.calls) == 1
        await first.close()
        await second.send_str(message("stop").decode())
        await asyncio.sleep(0.01)
        assert call.others == [LegLost(), LegBack(), Gone("caller hung up")]
        call.over = True
        await second.close()
        assert verbs(await at.document(again.find("Redirect").text)) == ["Hangup"]


@virtual
async def test_the_carrier_may_notice_the_loss_before_we_do() -> None:
    async with bench(Board()) as at:
        document = await at.document(at.url("/twilio/sales/twiml"))
        first = await at.stream(document)
        call = at.board.calls[0]
        pipe = network().pipes[-1]
        pipe.freeze()
        second = await at.stream(await at.document(document.find("Redirect").text), stream_sid="MZ2")
        assert call.others == [LegLost(), LegBack()]
        call.leg.send(b"x" * 160)
        assert orjson.loads((await second.receive()).data)["streamSid"] == "MZ2"
        await first.close()
        await asyncio.sleep(5)
        assert call.others == [LegLost(), LegBack()]
        await second.close()


@virtual
async def test_a_call_that_was_lost_while_being_set_up_comes_back() -> None:
    async with bench(Board(delay=2.0)) as at:
        document = await at.document(at.url("/twilio/sales/twiml"))
        await at.stream(document)
        network().pipes[-1].reset()
        await asyncio.sleep(0.1)
        second = await at.stream(await at.document(document.find("Redirect").text), stream_sid="MZ2")
        await asyncio.sleep(3.0)
        assert [call.others for call in at.board.calls] == [[LegLost(), LegBack()]]
        await second.close()


@virtual
async def test_a_call_we_ended_is_hung_up_and_one_we_handed_over_is_dialled_once() -> None:
    async with bench(Board()) as at:
        document = await at.document(at.url("/twilio/sales/twiml"))
        socket = await at.stream(document)
        at.board.calls[0].leg.hang_up("done")
        await socket.close()
        assert verbs(await at.document(document.find("Redirect").text)) == ["Hangup"]

        document = await at.document(at.url("/twilio/sales/twiml"), sid="CA2")
        socket = await at.stream(document, sid="CA2")
        at.board.calls[1].leg.transfer("+15551234567")
        assert (await socket.receive()).data == 1000
        redirect = document.find("Redirect").text
        assert verbs(await at.document(redirect, sid="CA9")) == ["Hangup"]
        dial = await at.document(redirect, sid="CA2")
        assert (verbs(dial), dial[0].text) == (["Dial"], "+15551234567")
        assert verbs(await at.document(redirect, sid="CA2")) == ["Hangup"]


@virtual
async def test_a_call_that_ended_in_its_grace_time_is_hung_up() -> None:
    async with bench(Board()) as at:
        document = await at.document(at.url("/twilio/sales/twiml"))
        await at.stream(document)
        network().pipes[-1].reset()
        await asyncio.sleep(1)
        again = await at.document(document.find("Redirect").text)
        at.board.calls[0].over = True
        late = await at.stream(again)
        assert (await late.receive()).data == 1000
        assert len(at.board.calls) == 1
        assert verbs(await at.document(again.find("Redirect").text)) == ["Hangup"]


@virtual
async def test_nobody_comes_back_without_the_right_ticket() -> None:
    async with bench(Board()) as at:
        document = await at.document(at.url("/twilio/sales/twiml"))
        await at.stream(document)
        call = at.board.calls[0]
        network().pipes[-1].reset()
        await asyncio.sleep(1)
        again = await at.document(document.find("Redirect").text)
        stranger = await at.stream(again, sid="CA2")
        assert (await stranger.receive()).data == 1008
        ticket = again.find("Connect/Stream")[0].get("value")
        next_ticket = again.find("Redirect").text.partition("again=")[2]
        for forged in (ticket[:-4] + "AAAA", ticket.replace("back", "new"), next_ticket, "", "CA1"):
            socket = await at.connect("/twilio/sales")
            await socket.send_str(start(customParameters={"segue_ticket": forged}).decode())
            assert (await socket.receive()).data == 1008
        await asyncio.sleep(70)  # the ticket for the stream is good for a minute
        late = await at.stream(again)
        assert (await late.receive()).data == 1008
        assert call.others == [LegLost()]
        assert verbs(await at.document(document.find("Redirect").text, sid="CA2")) == ["Hangup"]
        forged_url = document.find("Redirect").text[:-3] + "AAA"
        assert verbs(await at.document(forged_url)) == ["Hangup"]
        # The same callSid without a ticket is a new caller.
        socket, second = await begun(at, "/twilio/sales")
        assert second is not call
        await socket.close()


@virtual
async def test_a_document_fetched_without_a_call_works_too() -> None:
    async with bench(Board()) as at:
        document = await at.document(at.url("/twilio/twiml"), sid=None, method="GET")
        assert document.find("Connect/Stream").get("url") == f"ws://127.0.0.1:{PORT}/twilio"
        socket = await at.stream(document, sid="CAwhatever")
        assert at.board.calls[0].agent == "reception"
        await socket.close()
        again = await at.document(document.find("Redirect").text, sid=None)
        assert verbs(again) == ["Connect", "Redirect"]


# ---------------------------------------------------------------------------------------------------------- signatures


@virtual
async def test_with_a_token_everything_must_be_signed() -> None:
    base = "https://voice.example.org/segue"
    async with bench(Board(), auth_tokens=("new", "old"), base=base) as at:
        fields = [("CallSid", "CA1"), ("From", "+15550001")]

        async def webhook(path: str, headers: dict[str, str]) -> Any:
            return await at.document(at.url(path), headers=headers)

        path = "/twilio/sales/twiml"
        for token in ("new", "old"):
            document = await webhook(path, {"X-Twilio-Signature": sign(token, base + path, fields)})
            assert verbs(document) == ["Connect", "Redirect"]
        assert document.find("Connect/Stream").get("url") == "wss://voice.example.org/segue/twilio/sales"
        for headers in (
            {},
            {"X-Twilio-Signature": "AAAA"},
            {"X-Twilio-Signature": sign("other", base + path, fields)},
            {"X-Twilio-Signature": sign("new", base + path)},
            {"X-Twilio-Signature": sign("new", at.url(path), fields), "Host": f"127.0.0.1:{PORT}"},
        ):
            assert await webhook(path, headers) == 403
        redirect = document.find("Redirect").text
        assert redirect.startswith(base)
        signed = {"X-Twilio-Signature": sign("new", redirect, fields)}
        assert verbs(await webhook(redirect.removeprefix(base), signed)) == ["Hangup"]

        for wrong in ({}, {"X-Twilio-Signature": sign("x", "wss://voice.example.org/segue/twilio/sales")}):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
                await at.connect("/twilio/sales", headers=wrong)
            assert refusal.value.status == 403
        for url in ("wss://voice.example.org/segue/twilio/sales", "wss://voice.example.org:443/segue/twilio/sales/"):
            socket = await at.connect("/twilio/sales", headers={"X-Twilio-Signature": sign("old", url)})
            await socket.close()


@virtual
async def test_a_signed_webhook_without_a_call_is_refused() -> None:
    async with bench(Board(), auth_tokens=("t",)) as at:
        path = "/twilio/twiml"
        headers = {"X-Twilio-Signature": sign("t", at.url(path))}
        assert await at.document(at.url(path), sid=None, headers=headers) == 400


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "voice.example.org"])
def test_a_public_listener_needs_a_token_and_an_address(host: str) -> None:
    with pytest.raises(EdgeError, match="auth_token"):
        MediaWs(Settings(host, 80, "reception", base="https://x.example"), Board())
    with pytest.raises(EdgeError, match="public_url"):
        MediaWs(Settings(host, 80, "reception", auth_tokens=("t",)), Board())
    MediaWs(Settings(host, 80, "reception", auth_tokens=("t",), base="https://x.example"), Board())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "[::1]", "localhost"])
def test_a_private_listener_needs_nothing(host: str) -> None:
    MediaWs(Settings(host, 80, "reception"), Board())
