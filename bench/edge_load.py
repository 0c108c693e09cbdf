"""The carriers of the bench: many calls from one process, each caller's frames made in advance and sent every 20 ms.

    python -m bench.edge_load --to segue|passthrough|direct --port P --calls N --seconds S --out RESULT
                              [--burst N --burst-at S]

Prints "ready" when everything is made, waits for a line, prints "done" when the calls are over. `direct` speaks to the
provider without a bridge: what is then measured is the bench itself. RESULT holds the stamps of the calls.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from binascii import a2b_base64, b2a_base64
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
import uvloop

from bench import edge_sound as sound
from bench.edge_stats import Ear
from bench.edge_wire import Client, masked, text
from bridge.edges.wsock import CLOSE

SPREAD_S = 2.0  # calls begin within this time
_FRAME_S = 0.02
_GOLDEN = 0.618034
_MEDIA = b'"payload":"'
_DELTA = b'"delta":"'


def phase(number: int) -> float:
    """Where in the 20 ms caller `number` sends its frames: however many callers, evenly spread, always the same."""
    return number * _GOLDEN % 1 * _FRAME_S


class Carrier(Client):
    """One call over Twilio Media Streams."""

    def __init__(self, number: int, path: str, frames: list[bytes], pcm_only: bool) -> None:
        super().__init__("127.0.0.1", path)
        self.number = number
        self.phase = phase(number)
        self.ear = Ear()
        self.sent: dict[int, int] = {}
        self.heard: list[tuple[int, int]] = []
        self.clears = 0
        self.behind = 0.0  # seconds by which a frame was sent late at worst: the carriers' own doing
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._sid = f"MZ{number:032x}"
        self._offset = sound.DELAY if pcm_only else 0
        self._frames = [self.media(index + 1, frame) for index, frame in enumerate(frames)]
        self._next = 0
        self._begin = 0.0

    # What differs between carriers and the direct way

    def greeting(self) -> bytes:
        call = f"CA{self.number:032x}"
        start: dict[str, Any] = {"accountSid": "AC1", "streamSid": self._sid, "callSid": call, "tracks": ["inbound"]}
        start["mediaFormat"] = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
        start["customParameters"] = {"call": f"call-{self.number}"}
        began = {"event": "start", "sequenceNumber": "1", "start": start, "streamSid": self._sid}
        return text('{"event":"connected","protocol":"Call","version":"1.0.0"}') + text(orjson.dumps(began).decode())

    def media(self, chunk: int, frame: bytes) -> bytes:
        payload = b2a_base64(frame, newline=False).decode()
        return text(
            f'{{"event":"media","sequenceNumber":"{chunk + 1}","media":{{"track":"inbound","chunk":"{chunk}",'
            f'"timestamp":"{chunk * 20}","payload":"{payload}"}},"streamSid":"{self._sid}"}}'
        )

    def farewell(self) -> bytes:
        return text(f'{{"event":"stop","sequenceNumber":"2","streamSid":"{self._sid}","stop":{{}}}}')

    def audio_of(self, message: bytes) -> bytes | None:
        """The agent's audio in a message."""
        at = message.find(_MEDIA)
        if at >= 0:
            return a2b_base64(message[at + len(_MEDIA) : message.index(b'"', at + len(_MEDIA))])
        if b'"mark"' in message:
            name = orjson.loads(message)["mark"]["name"]
            answer = text(f'{{"event":"mark","streamSid":"{self._sid}","mark":{{"name":"{name}"}}}}')
            wait = max(0, self.ear.end - time.monotonic_ns()) / 1e9
            self._loop.call_later(wait, self._write, answer)
        elif b'"clear"' in message:
            self.clears += 1
            self.ear.cleared(time.monotonic_ns())
        return None

    # The call

    def _write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def on_open(self) -> None:
        self.transport.write(self.greeting())
        now = self._loop.time()
        self._begin = now + (self.phase - now) % _FRAME_S
        self._loop.call_at(self._begin, self._send)

    def _send(self) -> None:
        if self.transport.is_closing():
            return
        index = self._next
        if index == len(self._frames):
            self.transport.write(self.farewell() + masked(CLOSE, b"\x03\xe8"))
            self._loop.call_later(0.5, self.transport.close)
            return
        self.sent[index % sound.NUMBERS] = now = time.monotonic_ns()
        self.behind = max(self.behind, now / 1e9 - self._begin - index * _FRAME_S)
        self.transport.write(self._frames[index])
        self._next = index + 1
        self._loop.call_at(self._begin + self._next * _FRAME_S, self._send)

    def on_message(self, message: bytes) -> None:
        now = time.monotonic_ns()
        data = self.audio_of(message)
        if data is not None:
            number = sound.read_ulaw(data, self._offset)
            if number is not None:
                self.heard.append((number, now))
            self.ear.media(now, len(data), number is not None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(None)

    def result(self) -> dict[str, Any]:
        whole = self._next == len(self._frames)
        ear = asdict(self.ear)
        return {"call": self.number, "sent": list(self.sent.items()), "heard": self.heard, "clears": self.clears,
                "behind": self.behind, "whole": whole, **ear}  # fmt: skip


class Direct(Carrier):
    """The same caller, speaking OpenAI's language to the provider itself."""

    def greeting(self) -> bytes:
        formats = {"input": {"format": {"type": "audio/pcmu"}, "turn_detection": {"type": "server_vad"}}}
        session = {"type": "realtime", "instructions": f"call-{self.number}", "audio": formats}
        return text(orjson.dumps({"type": "session.update", "session": session}).decode())

    def media(self, chunk: int, frame: bytes) -> bytes:
        return text(f'{{"type":"input_audio_buffer.append","audio":"{b2a_base64(frame, newline=False).decode()}"}}')

    def farewell(self) -> bytes:
        return b""

    def audio_of(self, message: bytes) -> bytes | None:
        if b'"response.output_audio.delta"' not in message:
            return None
        at = message.index(_DELTA) + len(_DELTA)
        return a2b_base64(message[at : message.index(b'"', at)])


async def run(given: argparse.Namespace) -> None:
    loop, voice = asyncio.get_running_loop(), sound.speech()
    kind = Direct if given.to == "direct" else Carrier
    path = {"segue": "/twilio", "passthrough": "/", "direct": "/v1/realtime"}[given.to]
    calls = []
    for number in range(given.calls + given.burst):
        seconds = given.seconds if number < given.calls else max(1.0, given.seconds - given.burst_at)
        calls.append(kind(number, path, sound.caller(number, seconds, voice), given.pcm))
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    begin = loop.time()
    began = time.monotonic_ns()
    tasks = [loop.create_task(start(call, given.port, begin + _moment(call.number, given))) for call in calls]
    await asyncio.wait(tasks)
    failed = [str(task.exception()) for task in tasks if task.exception()]
    given.out.write_bytes(orjson.dumps({"began": began, "failed": failed, "calls": [call.result() for call in calls]}))
    print("done", flush=True)


def _moment(number: int, given: argparse.Namespace) -> float:
    """Seconds after the run's beginning at which a call comes in."""
    calls: int = given.calls
    if number < calls:
        return SPREAD_S * number / calls
    at: float = given.burst_at + (number - calls) / given.burst
    return at


async def start(call: Carrier, port: int, when: float) -> None:
    """The whole of one call, which comes in at `when` (loop time)."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(when - loop.time())
    await loop.create_connection(lambda: call, "127.0.0.1", port)
    await call.over


def main() -> None:
    options = argparse.ArgumentParser(description="The carriers of the edge bench.")
    options.add_argument("--to", choices=("segue", "passthrough", "direct"), required=True)
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--calls", type=int, required=True)
    options.add_argument("--seconds", type=float, required=True)
    options.add_argument("--pcm", action="store_true", help="the provider speaks linear PCM only")
    options.add_argument("--burst", type=int, default=0, help="so many more calls begin within one second")
    options.add_argument("--burst-at", type=float, default=0.0)
    options.add_argument("--out", type=Path, required=True)
    uvloop.run(run(options.parse_args()))


if __name__ == "__main__":
    main()
