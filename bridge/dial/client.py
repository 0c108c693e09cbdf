"""Calls a media-stream edge as a carrier does: webhook, socket, pacing, marks, redirect."""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp
import orjson

from audio.files import read_audio, write_audio
from audio.frame import encode
from bridge.dial.caller import FRAME_MS, Caller, Keys, Manner, Manners, Phase
from bridge.dial.carrier import NS, Carrier
from bridge.dial.report import Counts, Report, report, stereo
from bridge.dial.turns import turns_of
from bridge.dial.webhook import Document, carrier_signature, read_document

RATE = 8000
_FRAME = RATE * FRAME_MS // 1000
_FRAME_NS = FRAME_MS * NS // 1000
_CONNECT_S = 10.0
_REDIRECTS = 20


class DialError(Exception):
    """The call cannot be made as asked; the message is for people."""


@dataclass(frozen=True)
class Job:
    """A call to make. `target`: `ws(s)://…` of a media stream, or `http(s)://…` of the TwiML that names one.

    `drops`: seconds into the call at which the socket is lost without a word; the carrier then asks the redirect of the
    TwiML how to go on, so a `ws://` target is dialled by the TwiML below it. `away` is how long that takes.
    `auth_token` signs what a carrier signs. `timeout` is in seconds, for the whole call.
    """

    target: str
    audio: Path
    record: Path | None = None
    manner: Manner = "polite"
    keys: Sequence[Keys] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 180.0
    manners: Manners = field(default_factory=Manners)
    drops: Sequence[float] = ()
    away: float = 0.5
    auth_token: str = field(default="", repr=False)
    call_sid: str = ""


class Watcher(Protocol):
    """Who looks on while the call runs."""

    def tick(self, call: Call) -> None:
        """Called every 20 ms of the call."""
        ...


async def place(job: Job, watcher: Watcher | None = None) -> Report:
    """Make the call. Raises DialError for a job that makes no sense and AudioFileError for a recording that cannot be
    read; whatever the network does ends up in the report."""
    loop = asyncio.get_running_loop()
    sound = await loop.run_in_executor(None, read_audio, job.audio, RATE)
    turns = await loop.run_in_executor(None, turns_of, job.audio, sound, RATE)
    caller = Caller(encode(sound, "pcmu"), turns, job.manner, job.keys, job.manners, RATE)
    call = Call(job, caller, watcher)
    result = await call.run()
    if job.record is not None and call.line is not None:
        both = stereo(bytes(call.sent), call.line, call.length)
        await loop.run_in_executor(None, write_audio, job.record, both, RATE)
    return result


class Call:
    """One call while it runs."""

    def __init__(self, job: Job, caller: Caller, watcher: Watcher | None) -> None:
        self.job = job
        self.caller = caller
        self.line: Carrier | None = None
        self.sent = bytearray()  # what the caller said, one byte a sample, since the call began
        self.connected = False
        self.counts = Counts()
        self._watcher = watcher
        self._loop = asyncio.get_running_loop()
        self._sid = job.call_sid or f"CA{uuid.uuid4().hex}"
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._session: aiohttp.ClientSession | None = None  # the socket's own: closing it loses the socket
        self._stream = ""
        self._chunk = 0
        self._sequence = 0
        self._heard = 0  # the end of agent audio as of the frame before
        self._drops = sorted(job.drops)
        self._redirects = 0

    @property
    def length(self) -> int:
        """Samples since the call began."""
        return len(self.sent)

    async def run(self) -> Report:
        """From the first request to the end."""
        try:
            async with asyncio.timeout(self.job.timeout):
                end = await self._whole()
        except TimeoutError:
            end = "timeout"
            await self._say_stop()
        except (aiohttp.ClientError, OSError) as error:
            end = f"connection lost: {error}" if self.line else f"not connected: {error}"
        finally:
            await self._let_go()
        if self.line is not None:
            self.line.advance(self.line.time(self.length))
        return report(self.job.target, self._sid, end, self.line, self.caller.spoken, self.length, self.counts)

    # -------------------------------------------------------------------------------------------------- the documents

    async def _whole(self) -> str:
        document = await self._first_document()
        while not document.end:
            refusal = await self._connect(document)
            if refusal:
                return refusal
            end = await self._talk(bool(document.redirect))
            if end:
                return end
            if self._redirects >= _REDIRECTS:
                return "redirected too often"
            self._redirects += 1
            document = await self._ask(document.redirect)
        return document.end

    async def _first_document(self) -> Document:
        target = self.job.target
        scheme = urlsplit(target).scheme
        if scheme in ("http", "https"):
            return await self._ask(target)
        if scheme not in ("ws", "wss"):
            raise DialError(f"{target}: a media stream begins with ws:// or wss://, its TwiML with http:// or https://")
        if self._drops:
            return await self._ask(re.sub(r"^ws", "http", target).rstrip("/") + "/twiml")
        return Document(stream=target, parameters=self.job.parameters)

    async def _ask(self, url: str) -> Document:
        """Fetch a document."""
        if not url:
            return Document(end="agent hung up")
        fields = {"CallSid": self._sid, "From": "+15550100", "To": "+15550199", "CallStatus": "in-progress"}
        headers = self._signed(url, fields)
        limit = aiohttp.ClientTimeout(total=_CONNECT_S)
        async with (
            aiohttp.ClientSession(timeout=limit) as session,
            session.post(url, data=fields, headers=headers) as answer,
        ):
            text = await answer.text()
            if answer.status != 200:
                return Document(end=f"refused: HTTP {answer.status} {text.strip()[:80]}".strip())
        return read_document(text, url, self.job.parameters)

    def _signed(self, url: str, fields: Mapping[str, str]) -> dict[str, str]:
        if not self.job.auth_token:
            return {}
        return {"X-Twilio-Signature": carrier_signature(self.job.auth_token, url, fields)}

    # ------------------------------------------------------------------------------------------------------ the socket

    async def _connect(self, document: Document) -> str:
        """Open the stream; why it was refused, or nothing."""
        headers = self._signed(document.stream, {})
        await self._let_go()
        self._session = aiohttp.ClientSession()
        try:
            async with asyncio.timeout(_CONNECT_S):
                self._socket = await self._session.ws_connect(
                    document.stream, headers=headers, compress=0, max_msg_size=1 << 24
                )
        except aiohttp.WSServerHandshakeError as error:
            return f"refused: HTTP {error.status}"
        except TimeoutError:
            return f"not connected: no answer within {_CONNECT_S:.0f} s"
        self._stream = f"MZ{uuid.uuid4().hex}"
        self._chunk = self._sequence = 0
        now = self._now()
        if self.line is None:
            self.line = Carrier(now, RATE)
        else:
            self.counts.reattached += 1
        await self._send({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        wire = {"encoding": "audio/x-mulaw", "sampleRate": RATE, "channels": 1}
        begin = {
            "streamSid": self._stream,
            "accountSid": "AC" + "0" * 32,
            "callSid": self._sid,
            "tracks": ["inbound"],
            "customParameters": dict(document.parameters),
            "mediaFormat": wire,
        }
        await self._send({"event": "start", "start": begin})
        self.connected = True
        self._miss()
        return ""

    async def _let_go(self) -> None:
        """Close the socket politely if there is one."""
        if self._socket is not None:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._socket.close()
            self._socket = None
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _miss(self) -> None:
        """What was said while there was no socket is lost, as it is on a telephone."""
        assert self.line is not None
        while self._due() <= self._now():
            self.sent += self.caller.frame(False)

    async def _talk(self, redirected: bool) -> str:
        """Speak and listen on the open socket. Why the call is over; nothing: ask the document."""
        assert self._socket is not None
        reader = asyncio.create_task(self._read(self._socket))
        try:
            while not reader.done():
                await self._until_next_frame(reader)
                if reader.done():
                    break
                if self._drops and self._seconds() >= self._drops[0]:
                    return await self._drop()
                if self.caller.phase is Phase.DONE:
                    await self._say_stop()
                    return "caller done"
                await self._speak()
            self.connected = False
            self._forget_buffer()
            return "" if redirected else await reader
        finally:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader

    async def _until_next_frame(self, reader: asyncio.Task[str]) -> None:
        """Sleep until a frame or a mark is due. Frames are due on a grid that began with the call."""
        assert self.line is not None
        while (due := self._due()) > (now := self._now()):
            await self._give_back(self.line.advance(now))
            mark = self.line.deadline
            wake = due if mark is None or mark <= now else min(due, mark)
            await asyncio.wait([reader], timeout=max(0.0, (wake - now) / NS))
            if reader.done():
                return

    async def _speak(self) -> None:
        """Send the 20 ms that are due."""
        line = self.line
        assert line is not None
        await self._give_back(line.advance(max(self._now(), self._due())))
        end = line.heard[-1].end if line.heard else 0
        data = self.caller.frame(end > self.length)
        self.sent += data
        self._chunk += 1
        timestamp = str((self.length - _FRAME) * 1000 // RATE)
        payload = b64encode(data).decode()
        await self._send(
            {
                "event": "media",
                "media": {"track": "inbound", "chunk": str(self._chunk), "timestamp": timestamp, "payload": payload},
            }
        )
        for digit in self.caller.pressed:
            await self._send({"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": digit}})
        if self._watcher is not None:
            self._watcher.tick(self)

    async def _drop(self) -> str:
        """Lose the socket without a word, and be away for a while."""
        self._drops.pop(0)
        self.connected = False
        assert self._session is not None
        await self._session.close()
        self._socket = self._session = None
        self._forget_buffer()
        await asyncio.sleep(self.job.away)
        return ""

    def _forget_buffer(self) -> None:
        if self.line is not None:
            self.line.clear(self._now())

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> str:
        """Take what comes until the socket ends, and say how it ended."""
        assert self.line is not None
        while True:
            message = await socket.receive()
            if message.type is aiohttp.WSMsgType.TEXT:
                try:
                    await self._take(self.line, orjson.loads(message.data))
                except (ValueError, KeyError, TypeError, AttributeError):
                    self.counts.unread += 1
            elif message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
                code = socket.close_code
                reason = f" {message.extra}" if message.extra else ""
                return "agent hung up" if code == 1000 else f"connection lost: {code}{reason}"
            else:
                self.counts.unread += 1

    async def _take(self, line: Carrier, data: dict[str, object]) -> None:
        event, now = data["event"], self._now()
        if data["streamSid"] != self._stream:
            self.counts.unread += 1
        elif event == "media":
            await self._give_back(line.media(b64decode(data["media"]["payload"], validate=True), now))  # type: ignore[index]
        elif event == "mark":
            self.counts.marks += 1
            await self._give_back(line.mark(data["mark"]["name"], now))  # type: ignore[index]
        elif event == "clear":
            self.counts.clears += 1
            await self._give_back(line.clear(now))
        else:
            self.counts.unread += 1

    async def _give_back(self, marks: Sequence[str]) -> None:
        for name in marks:
            await self._send({"event": "mark", "mark": {"name": name}})

    async def _say_stop(self) -> None:
        if self._socket is not None and self.connected:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                await self._send({"event": "stop", "stop": {"callSid": self._sid}})
            self.connected = False

    async def _send(self, message: dict[str, object]) -> None:
        assert self._socket is not None
        self._sequence += 1
        message |= {"sequenceNumber": str(self._sequence), "streamSid": self._stream}
        with contextlib.suppress(ConnectionError):  # the reader says that the socket is gone
            await self._socket.send_str(orjson.dumps(message).decode())

    def _due(self) -> int:
        """When the next 20 ms have been spoken and are sent."""
        assert self.line is not None
        return self.line.time(self.length + _FRAME)

    def _seconds(self) -> float:
        return self.length / RATE

    def _now(self) -> int:
        return int(self._loop.time() * NS)
