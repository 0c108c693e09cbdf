"""What a bridge costs at the very least when it is written plainly: the yardstick of `bench.edge`.

The coroutine API of `websockets` on both sides and orjson; the provider detects turns. No voice activity detection, no
pacing, no tape, no failover: a carrier's media becomes `input_audio_buffer.append`, `response.output_audio.delta`
becomes the carrier's media.

    python -m bench.passthrough --provider ws://127.0.0.1:P/v1/realtime [--uvloop]      prints its port
"""

from __future__ import annotations

import argparse
import asyncio

import orjson
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed


async def to_carrier(provider: ClientConnection, carrier: ServerConnection, stream: str) -> None:
    async for message in provider:
        event = orjson.loads(message)
        if event["type"] == "response.output_audio.delta":
            media = {"event": "media", "streamSid": stream, "media": {"payload": event["delta"]}}
            await carrier.send(orjson.dumps(media).decode())


async def call(carrier: ServerConnection, address: str) -> None:
    async with connect(address) as provider:
        answers: asyncio.Task[None] | None = None
        try:
            async for message in carrier:
                event = orjson.loads(message)
                if event["event"] == "media":
                    append = {"type": "input_audio_buffer.append", "audio": event["media"]["payload"]}
                    await provider.send(orjson.dumps(append).decode())
                elif event["event"] == "start":
                    await provider.send(session(event["start"]["customParameters"]["call"]))
                    answers = asyncio.create_task(to_carrier(provider, carrier, event["streamSid"]))
                elif event["event"] == "stop":
                    break
        except ConnectionClosed:
            pass
        finally:
            if answers is not None:
                answers.cancel()


def session(call: str) -> str:
    pcmu = {"type": "audio/pcmu"}
    audio = {"input": {"format": pcmu, "turn_detection": {"type": "server_vad"}}, "output": {"format": pcmu}}
    body = {"type": "realtime", "instructions": f"You answer {call}.", "audio": audio}
    return orjson.dumps({"type": "session.update", "session": body}).decode()


async def run(address: str) -> None:
    async with serve(lambda carrier: call(carrier, address), "127.0.0.1", 0, backlog=1024) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


def main() -> None:
    options = argparse.ArgumentParser(description="A plain pass-through from a carrier's stream to a provider.")
    options.add_argument("--provider", required=True)
    options.add_argument("--uvloop", action="store_true", help="run it on uvloop instead of asyncio's own loop")
    given = options.parse_args()
    (uvloop.run if given.uvloop else asyncio.run)(run(given.provider))


if __name__ == "__main__":
    main()
