"""Canaries: secrets that providers, tools and mistakes throw back at us leave by no way there is."""

from __future__ import annotations

import asyncio
import io
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import WSMsgType, web

from audio.frame import PCMU
from bridge import config as configuration
from bridge.app import Bridge
from bridge.app_log import configure
from bridge.config import Config, ConfigError
from bridge.config_default import embedded
from bridge.core.effects import Note
from bridge.dial.client import Job, place
from bridge.fakes.server import start
from bridge.resolve import Resolver, targets
from bridge.shell.records import list_calls, show
from providers.base import HttpRefusal, NetworkError, SocketClosed
from providers.registry import codec_for, kinds
from tests.virtual import virtual

# Odd enough that no pattern for keys knows them: they must be masked because they are ours.
CANARIES = {
    "KEY_ONE": "canary/first+key=0001",
    "KEY_TWO": "canary.second.key.0002",
    "KEY_THREE": "canary-third-key-0003",
    "HEADER": "canary~header~value~0004",
    "TOKEN": "canary!carrier!token!0005",
    "TOOL": "canary_tool_bearer_0006",
}
QUESTION = Path(__file__).parent.parent / "fixtures" / "callers" / "thanks.flac"

TEXT = """
providers:
  refusing: {kind: azure_voice_live, model: gpt-realtime-2.1, api_key: "${KEY_ONE}", url: "ws://127.0.0.1:9101/x"}
  scolding: {kind: openai, model: gpt-realtime-2.1, api_key: "${KEY_TWO}", url: "ws://127.0.0.1:9102/x",
             headers: {X-Team: "${HEADER}"}}
  working: {kind: openai, model: gpt-realtime-2.1, api_key: "${KEY_THREE}", url: "ws://127.0.0.1:9103/v1/realtime"}
routes:
  default: {providers: [refusing, scolding, working], standby: warm}
agents:
  a:
    instructions: Be kind.
    tools:
      - {name: look_up, url: "http://127.0.0.1:9104/tool", headers: {Authorization: "Bearer ${TOOL}"},
         side_effects: false}
edges: {media_ws: {listen: "127.0.0.1:8070", agent: a}}
record: {mode: full, folder: calls}
"""


def make(folder: Path) -> Config:
    return configuration.parse(TEXT, "segue.yaml", folder, CANARIES)


def leaked(text: str | bytes) -> list[str]:
    """The canaries in it, in any of the forms that text travels in."""
    data = text.encode() if isinstance(text, str) else text
    return [
        name
        for name, canary in CANARIES.items()
        if canary.encode() in data or quote(canary, safe="").encode() in data or canary.encode().hex().encode() in data
    ]


@asynccontextmanager
async def serving(port: int, handler: object) -> AsyncIterator[None]:
    runner = web.ServerRunner(web.Server(handler, access_log=None), handle_signals=False)  # type: ignore[arg-type]
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()


def credentials(request: web.BaseRequest) -> str:
    return " ".join(f"{name}: {value}" for name, value in request.headers.items())


async def refuse(request: web.BaseRequest) -> web.StreamResponse:
    """A service that quotes the whole request in its refusal."""
    echo = {"X-Echo": request.headers["api-key"]}
    return web.Response(status=401, text=f"not with {credentials(request)}", headers=echo)


async def scold(request: web.BaseRequest) -> web.StreamResponse:
    """A service that lets one in and then quotes the key in an error and in the reason it closes with."""
    said = credentials(request)
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            error = {"type": "invalid_request_error", "code": "invalid_api_key", "message": f"Incorrect key: {said}"}
            await socket.send_json({"type": "error", "error": error})
            await socket.close(code=3000, message=request.headers["Authorization"].encode())
    return socket


async def tool(request: web.BaseRequest) -> web.StreamResponse:
    """A webhook that fails and shows what it was called with."""
    return web.json_response({"error": credentials(request)}, status=500)


@virtual
async def test_a_whole_call_among_blabbing_services(tmp_path: Path) -> None:
    log = io.StringIO()
    notes: list[Note] = []
    config = make(tmp_path)
    redactor = configure(config.secrets(), "debug", log)
    script = {"tools": [{"name": "look_up", "arguments": {"q": "x"}, "turn": 1}]}
    fake = await start("openai", 9103, script)
    async with serving(9101, refuse), serving(9102, scold), serving(9104, tool):
        async with Bridge(config, (lambda call, note, now: notes.append(note),), redactor):
            report = await place(Job("ws://127.0.0.1:8070/twilio", QUESTION))
            await asyncio.sleep(3)
        assert report.spoke, "the third provider answers"
    await fake.close()

    kinds_seen = {note.kind for note in notes}
    assert {"fault", "tool_called", "tool_done"} <= kinds_seen
    faults = [note.fields for note in notes if note.kind == "fault"]
    assert {fault["provider"] for fault in faults} >= {"refusing", "scolding"}

    assert leaked(log.getvalue()) == []
    assert leaked(repr(notes)) == []
    assert leaked(repr(report) + str(report.to_json())) == []
    files = [path for path in (tmp_path / "calls").rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"call.json", "events.jsonl", "media.bin"}
    for path in files:
        assert leaked(path.read_bytes()) == [], path.name
    everything = b"".join(path.read_bytes() for path in files)
    assert b"Incorrect key: " in everything and b"not with " in everything, "what they said is there, without the keys"
    (row,) = list_calls(tmp_path / "calls")
    assert leaked(str(row) + str(show(tmp_path / "calls", row["call"]))) == []


def test_values_of_a_call(tmp_path: Path) -> None:
    config = make(tmp_path)
    resolved = Resolver(config).call_spec("a", PCMU, {}, "c1")
    assert leaked(repr(resolved) + str(resolved)) == []
    assert leaked(repr(config) + str(config) + str(asdict(config))) == []
    for target in targets(config).values():
        codec = codec_for(target, PCMU)
        assert leaked(repr(target) + repr(codec) + repr(codec.dial()) + codec.dial().url) == []


@pytest.mark.parametrize("kind", kinds())
def test_faults_of_every_kind_of_provider(kind: str) -> None:
    key = CANARIES["KEY_ONE"]
    text = f"""
providers:
  p: {{kind: {kind}, model: m, api_key: "{key}", url: "ws://127.0.0.1:9/x", headers: {{X: "{CANARIES["HEADER"]}"}}}}
routes: {{r: {{providers: [p], standby: cold}}}}
agents: {{a: {{instructions: x, route: r}}}}
"""
    config = configuration.parse(text, "segue.yaml", Path("."), {})
    codec = codec_for(targets(config)["p"], PCMU)
    said = f"no: {key} {quote(key, safe='')} {CANARIES['HEADER']}"
    for failure in (
        HttpRefusal(403, {"x-why": said}, said.encode()),
        SocketClosed(1008, said),
        SocketClosed(3000, said),
        NetworkError("tls", said),
    ):
        assert leaked(repr(codec.fault(failure))) == [], failure


def test_errors_and_their_tracebacks(tmp_path: Path) -> None:
    broken = TEXT.replace("standby: warm", "standby: hot").replace("kind: openai", "kind: openia")
    with pytest.raises(ConfigError) as caught:
        configuration.parse(broken, "segue.yaml", tmp_path, CANARIES)
    assert leaked("".join(traceback.format_exception(caught.value))) == []
    with pytest.raises(ConfigError) as syntax:
        configuration.parse(f"a: '{CANARIES['KEY_ONE']}\nb: [", "segue.yaml", tmp_path, CANARIES)
    assert leaked("".join(traceback.format_exception(syntax.value))) == []


def test_what_the_log_is_given_by_mistake(tmp_path: Path) -> None:
    import logging

    import structlog

    log = io.StringIO()
    configure(make(tmp_path).secrets(), "debug", log)
    structlog.get_logger("x").info("dialling", headers={"api-key": CANARIES["KEY_ONE"]}, list=[CANARIES["TOOL"]])
    logging.getLogger("aiohttp").error("refused %s", CANARIES["KEY_TWO"])
    try:
        raise ValueError(f"bad {CANARIES['KEY_THREE']}")
    except ValueError:
        structlog.get_logger("x").exception("oops")
    assert "dialling" in log.getvalue() and "oops" in log.getvalue() and "refused" in log.getvalue()
    assert leaked(log.getvalue()) == []


def test_a_key_from_the_environment_stays_out_of_what_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    from bridge.cli import main

    monkeypatch.setenv("OPENAI_API_KEY", CANARIES["KEY_ONE"])
    assert embedded().secrets() == (CANARIES["KEY_ONE"],)
    for words in (["check"], ["check", "--json"], ["calls", "list", "--folder", CANARIES["KEY_TWO"]]):
        monkeypatch.setattr(sys, "argv", ["segue", *words])
        with pytest.raises(SystemExit):
            main()
        out, err = capsys.readouterr()
        assert CANARIES["KEY_ONE"] not in out + err
