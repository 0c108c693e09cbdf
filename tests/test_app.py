"""The whole bridge on virtual time: a test caller, the media-stream edge, the core, an emulated provider, records."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import structlog

from audio.files import read_channels
from audio.frame import decode
from bridge import config as configuration
from bridge.app import Bridge, run
from bridge.app_log import MASK, Redactor, configure
from bridge.config import Config
from bridge.core.effects import Note
from bridge.dial.client import Job, place
from bridge.dial.report import Report
from bridge.dial.run import DEFAULT_AUDIO
from bridge.fakes.server import start as emulate
from bridge.shell.replay import replay
from tests.virtual import virtual

PORT = 8070
PROVIDER = 9070
CALLERS = Path(__file__).parent.parent / "fixtures" / "callers"
ONE_QUESTION = CALLERS / "opening_hours.flac"

TEXT = """
providers:
  one: {{kind: openai, model: gpt-realtime-2.1, api_key: canary-key-0123456789, url: "ws://127.0.0.1:{provider}/v1/realtime"}}
routes:
  default: {{providers: [one], standby: cold, last_rung: {{say: sorry, then: hang_up, hold: 3s}}}}
agents:
  reception: {{instructions: "You speak with {{{{name}}}}.", variables: {{name: somebody}}{greeting}}}
edges:
  media_ws: {{listen: "127.0.0.1:{port}", agent: reception}}
record: {{mode: {record}, folder: "{folder}"}}
limits: {{max_calls: {calls}, drain: 8s}}
"""


def make(tmp_path: Path, **changes: Any) -> Config:
    values = {
        "provider": PROVIDER,
        "port": PORT,
        "record": "off",
        "folder": str(tmp_path / "calls"),
        "calls": 10,
        "greeting": ', greeting: "Hello, how can I help you?"',
    }
    return configuration.parse(TEXT.format(**{**values, **changes}), "segue.yaml", tmp_path, {})


class Notes:
    """Listens to every timeline."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Note]] = []

    def __call__(self, call_id: str, note: Note, now: int) -> None:
        self.seen.append((call_id, note))

    def of(self, kind: str) -> list[Note]:
        return [note for _, note in self.seen if note.kind == kind]

    @property
    def calls(self) -> set[str]:
        return {call for call, _ in self.seen}


@asynccontextmanager
async def bridge(config: Config, notes: Notes | None = None, provider: bool = True) -> AsyncIterator[Bridge]:
    fake = await emulate("openai", PROVIDER) if provider else None
    async with Bridge(config, (notes,) if notes else ()) as running:
        yield running
    if fake is not None:
        await fake.close()


async def call(audio: Path = ONE_QUESTION, target: str = f"ws://127.0.0.1:{PORT}/twilio", **options: Any) -> Report:
    return await place(Job(target, audio, **options))


async def get(path: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{PORT}{path}") as answer:
        text = await answer.text()
        return answer.status, orjson.loads(text) if answer.content_type == "application/json" else text


# -------------------------------------------------------------------------------------------------------------- calls


@virtual
async def test_a_whole_call(tmp_path: Path) -> None:
    notes = Notes()
    async with bridge(make(tmp_path, record="full"), notes) as running:
        assert running.address == f"127.0.0.1:{PORT}"
        result = await call(DEFAULT_AUDIO)
        assert result.end == "caller done" and result.spoke
        assert result.greeting is not None and result.greeting < 1500
        assert len(result.replies) == 5 and result.unanswered == 0
        assert all(200 < latency < 2800 for latency in result.latencies)
        assert result.gaps == () and result.unread == 0
        assert result.marks > 20
        await asyncio.sleep(1)
        assert running.calls.counters() == {"running": 0, "started": 1, "ended": 1, "refused": 0}
    folders = list((tmp_path / "calls").iterdir())
    assert len(folders) == 1
    assert {path.name for path in folders[0].iterdir()} >= {"call.json", "caller.flac", "agent.flac", "media.bin"}
    assert orjson.loads((folders[0] / "call.json").read_bytes())["ended"] == "caller hung up"
    again = replay(folders[0])
    assert again.same and again.events > 3500 and not again.missing


@virtual
async def test_the_callers_words_reach_the_provider_whole_and_as_they_are(tmp_path: Path) -> None:
    fake = await emulate("openai", PROVIDER, save_dir=tmp_path / "received")
    async with Bridge(make(tmp_path, greeting="")):
        result = await call(record=tmp_path / "call.wav")
        assert result.unanswered == 0
    await fake.close()
    received = decode(next((tmp_path / "received").glob("*.ulaw")).read_bytes(), "pcmu")
    said = read_channels(tmp_path / "call.wav", 8000)[:, 0]
    place_of = said.tobytes().find(received.tobytes()) // 2  # one piece of the line, untouched
    assert place_of >= 0
    turn = result.replies[0]
    assert place_of <= (turn.began - 200) * 8  # with what came before the first sound
    assert place_of + len(received) >= turn.ended * 8


@virtual
async def test_without_any_provider_the_caller_is_told(tmp_path: Path) -> None:
    notes = Notes()
    async with bridge(make(tmp_path), notes, provider=False):
        result = await call()
        assert result.spoke
        assert result.end == "agent hung up"
        assert result.duration < 20_000
        assert notes.of("last_rung")


@virtual
async def test_a_lost_stream_comes_back_to_its_call(tmp_path: Path) -> None:
    notes = Notes()
    async with bridge(make(tmp_path, record="events"), notes):
        result = await call(DEFAULT_AUDIO, drops=[2.0, 20.0], away=3.0)
        assert result.reattached == 2
        assert result.end == "caller done"
        assert result.replies[-1].first_audio_ms is not None
        assert len(notes.calls) == 1
        assert len(notes.of("call_ended")) == 1
    assert len(list((tmp_path / "calls").iterdir())) == 1


@virtual
async def test_a_lost_stream_that_does_not_come_back_ends_the_call(tmp_path: Path) -> None:
    notes = Notes()
    async with bridge(make(tmp_path), notes) as running:
        result = await call(drops=[4.0], away=17.0)
        assert result.reattached == 0
        assert result.end == "agent hung up"
        assert running.calls.counters()["running"] == 0
        assert len(notes.of("call_ended")) == 1


@virtual
async def test_no_more_calls_than_allowed(tmp_path: Path) -> None:
    async with bridge(make(tmp_path, calls=1)):
        first = asyncio.create_task(call())
        await asyncio.sleep(1)
        assert (await call()).end == "refused: HTTP 503"
        assert (await call(target=f"http://127.0.0.1:{PORT}/twilio/twiml")).end == "refused: busy"
        assert (await first).end == "caller done"
        assert (await call()).end == "caller done"


@virtual
async def test_a_dozen_callers_at_once_fill_the_house(tmp_path: Path) -> None:
    async with bridge(make(tmp_path, calls=12)):
        results = await asyncio.gather(*(call() for _ in range(12)))
        assert [result.end for result in results] == ["caller done"] * 12
        assert all(result.unanswered == 0 and result.gaps == () for result in results)


# ---------------------------------------------------------------------------------------------------- drain and reload


@virtual
async def test_draining(tmp_path: Path) -> None:
    async with bridge(make(tmp_path)) as running:
        assert (await get("/healthz"))[0] == 200
        assert (await get("/readyz"))[0] == 200
        talking = asyncio.create_task(call(DEFAULT_AUDIO))
        await asyncio.sleep(6)
        began = asyncio.get_running_loop().time()
        draining = asyncio.create_task(running.drain())
        await asyncio.sleep(0.1)
        assert (await get("/healthz"))[0] == 200
        status, body = await get("/readyz")
        assert (status, body["status"], body["running"]) == (503, "draining", 1)
        assert (await call()).end == "refused: HTTP 503"
        await draining
        assert asyncio.get_running_loop().time() - began <= 8.1
        assert (await talking).end == "agent hung up"


@virtual
async def test_draining_an_idle_bridge_takes_no_time(tmp_path: Path) -> None:
    async with bridge(make(tmp_path)) as running:
        began = asyncio.get_running_loop().time()
        await running.drain()
        assert asyncio.get_running_loop().time() == began


@virtual
async def test_a_new_configurations_secrets_are_masked_beside_the_old(tmp_path: Path) -> None:
    redactor = Redactor(["canary-key-0123456789"])
    async with Bridge(make(tmp_path), redactor=redactor) as running:
        text = TEXT.replace("canary-key-0123456789", "newer-key-9876543210")
        values = {"provider": 1, "port": PORT, "record": "off", "folder": "x", "calls": 1, "greeting": ""}
        running.replace(configuration.parse(text.format(**values), "segue.yaml", tmp_path, {}))
    event = redactor(None, "", {"event": "canary-key-0123456789 newer-key-9876543210"})
    assert event == {"event": f"{MASK} {MASK}"}


@virtual
async def test_a_new_configuration_is_for_new_calls(tmp_path: Path) -> None:
    async with bridge(make(tmp_path)) as running:
        talking = asyncio.create_task(call(DEFAULT_AUDIO))
        await asyncio.sleep(1)
        running.replace(make(tmp_path, calls=1, greeting=', greeting: "Good evening."'))
        assert (await call()).end == "refused: HTTP 503"
        assert (await talking).end == "caller done"


@virtual
async def test_a_provider_that_is_excluded_is_left_at_once(tmp_path: Path) -> None:
    notes = Notes()
    two = TEXT.replace("providers: [one]", "providers: [one, two]").replace(
        "routes:", '  two: {{kind: openai, model: gpt-realtime-2.1, api_key: k2, url: "ws://127.0.0.1:9071/v1/realtime"}}\nroutes:'
    )  # fmt: skip
    values = {"provider": PROVIDER, "port": PORT, "record": "off", "folder": "calls", "calls": 5, "greeting": ""}
    both = configuration.parse(two.format(**values), "segue.yaml", tmp_path, {})
    second = two.replace("providers: [one, two]", "providers: [two]")
    only_two = configuration.parse(second.format(**values), "segue.yaml", tmp_path, {})
    other = await emulate("openai", 9071)
    async with bridge(both, notes) as running:
        talking = asyncio.create_task(call(DEFAULT_AUDIO))
        await asyncio.sleep(12)
        running.replace(only_two)
        result = await talking
        assert result.unanswered == 0
        asked = [note.fields["provider"] for note in notes.of("asked")]
        assert asked[0] == "one" and asked[-1] == "two"
    await other.close()


@virtual
async def test_a_changed_file_is_loaded_and_a_bad_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "segue.yaml"
    text = TEXT.format(provider=PROVIDER, port=PORT, record="off", folder="calls", calls=3, greeting="")
    path.write_text(text)
    bridges: list[Bridge] = []
    serving = asyncio.create_task(run(configuration.load(path), path, bridges.append))
    while not bridges:
        await asyncio.sleep(0.1)
    assert bridges[0].config.limits.max_calls == 3
    path.write_text(text.replace("max_calls: 3", "max_calls: [x]"))
    os.utime(path, ns=(1, 1))
    await asyncio.sleep(5)
    assert bridges[0].config.limits.max_calls == 3
    path.write_text(text.replace("max_calls: 3", "max_calls: 7"))
    os.utime(path, ns=(2, 2))
    await asyncio.sleep(5)
    assert bridges[0].config.limits.max_calls == 7
    path.write_text(text.replace("max_calls: 3", "max_calls: 9"))
    os.utime(path, ns=(2, 2))
    os.kill(os.getpid(), signal.SIGHUP)
    await asyncio.sleep(1)
    assert bridges[0].config.limits.max_calls == 9
    os.kill(os.getpid(), signal.SIGTERM)
    await serving


def test_a_process_ends_at_once_when_it_is_idle(tmp_path: Path) -> None:
    path = tmp_path / "segue.yaml"
    path.write_text(TEXT.format(provider=9, port=0, record="full", folder="calls", calls=3, greeting=""))
    command = [sys.executable, "-m", "bridge", "serve", str(path), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = orjson.loads(process.stdout.readline())["address"]
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=5) as answer:
            assert orjson.loads(answer.read())["status"] == "ready"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0
    finally:
        process.kill()
        process.stdout.close()  # type: ignore[union-attr]
        process.wait()


# ------------------------------------------------------------------------------------------------------------------ log


@pytest.fixture
def restored() -> Any:
    yield
    structlog.reset_defaults()
    logging.basicConfig(handlers=[logging.NullHandler()], level=logging.WARNING, force=True)


def test_no_secret_is_logged(restored: None) -> None:
    out = io.StringIO()
    redactor = configure(["canary-key-0123456789"], stream=out)
    log = structlog.get_logger("segue.test")
    log.warning("key canary-key-0123456789", url="wss://h?key=canary-key-0123456789", list=["canary-key-0123456789"])
    try:
        raise ValueError("canary-key-0123456789 is wrong")
    except ValueError:
        log.exception("failed", error={"a": "canary-key-0123456789"})
    logging.getLogger("aiohttp.server").error("bad request %s", "canary-key-0123456789")
    redactor.add(["another-secret"])
    log.info("another-secret", key="canary-key-0123456789")
    text = out.getvalue()
    assert "canary" not in text and "another-secret" not in text
    assert text.count(MASK) >= 6
    for line in text.splitlines():
        orjson.loads(line)
    assert "bad request" in text and "ValueError" in text
