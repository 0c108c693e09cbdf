"""What one call learns about a provider spares the next one: the shared health board behind a whole bridge."""

from __future__ import annotations

import asyncio
import email.utils
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge import config as configuration
from bridge.app import Bridge
from bridge.config import Config
from bridge.dial.client import Job, place
from bridge.dial.report import Report
from bridge.dial.run import DEFAULT_AUDIO
from bridge.fakes.server import Running
from bridge.fakes.server import start as emulate
from tests.test_app import ONE_QUESTION, Notes
from tests.virtual import network, virtual

PORT = 8071
PROVIDERS = {"one": 9171, "two": 9172, "three": 9173}
LIMIT = {"type": "tokens", "code": "rate_limit_exceeded", "message": "Rate limit reached. Please try again in 30s."}


def config(tmp_path: Path, keys: Mapping[str, str] | None = None, standby: str = "cold", more: str = "") -> Config:
    """A route over all three. `keys`: their API keys where they are not their names; `more`: keys of entry one."""
    entries = "\n".join(
        f"  {name}: {{kind: openai, model: gpt-realtime-2.1, api_key: {(keys or {}).get(name, f'key-of-{name}')}, "
        f'url: "ws://127.0.0.1:{port}/v1/realtime"{more if name == "one" else ""}}}'
        for name, port in PROVIDERS.items()
    )
    text = f"""
providers:
{entries}
routes:
  default: {{providers: [{", ".join(PROVIDERS)}], standby: {standby}, last_rung: {{hold: 3s}}}}
agents:
  reception: {{instructions: "Answer.", greeting: "Hello, how can I help you?"}}
edges:
  media_ws: {{listen: "127.0.0.1:{PORT}", agent: reception}}
"""
    return configuration.parse(text, "segue.yaml", tmp_path, {})


@asynccontextmanager
async def house(config: Config, notes: Notes, **scripts: Any) -> AsyncIterator[dict[str, Running]]:
    """A bridge and its three providers."""
    fakes = {name: await emulate("openai", port, scripts.get(name)) for name, port in PROVIDERS.items()}
    async with Bridge(config, (notes,)):
        yield fakes
    for fake in fakes.values():
        await fake.close()


async def call() -> Report:
    return await place(Job(f"ws://127.0.0.1:{PORT}/twilio", ONE_QUESTION))


def dialled(notes: Notes) -> list[str]:
    return [note.fields["provider"] for note in notes.of("link_opened")]


@virtual
async def test_the_configured_pace_is_kept(tmp_path: Path) -> None:
    notes = Notes()
    async with house(config(tmp_path, more=", connections_per_minute: 5"), notes) as fakes:
        results = await asyncio.gather(*(call() for _ in range(9)))
        assert [result.unanswered for result in results] == [0] * 9
        # New calls use four fifths of it: what is left is for running calls that must switch.
        assert fakes["one"].emulator.connections == 4
        assert fakes["two"].emulator.connections == 5


@virtual
async def test_a_reload_changes_the_pace(tmp_path: Path) -> None:
    notes = Notes()
    fake = await emulate("openai", PROVIDERS["one"])
    other = await emulate("openai", PROVIDERS["two"])
    async with Bridge(config(tmp_path), (notes,)) as bridge:
        bridge.replace(config(tmp_path, more=", connections_per_minute: 1"))
        await asyncio.gather(*(call() for _ in range(3)))
    assert fake.emulator.connections == 1
    assert other.emulator.connections == 2
    await fake.close()
    await other.close()


@virtual
async def test_during_an_outage_new_calls_begin_on_the_healthy_provider(tmp_path: Path) -> None:
    notes = Notes()
    async with house(config(tmp_path), notes) as fakes:
        network().refuse(fakes["one"].port)
        assert (await call()).unanswered == 0  # this one finds it out
        assert dialled(notes) == ["one", "two"]
        notes.seen.clear()
        for result in await asyncio.gather(*(call() for _ in range(4))):
            assert result.unanswered == 0
            assert result.greeting is not None and result.greeting < 1000
        assert dialled(notes) == ["two"] * 4
        assert notes.of("fault") == []


@virtual
async def test_a_service_that_takes_no_new_calls_is_out_whatever_its_old_calls_say(tmp_path: Path) -> None:
    notes = Notes()
    async with house(config(tmp_path), notes) as fakes:
        old = asyncio.create_task(place(Job(f"ws://127.0.0.1:{PORT}/twilio", DEFAULT_AUDIO)))
        await asyncio.sleep(2)
        network().refuse(fakes["one"].port)
        assert (await call()).unanswered == 0
        notes.seen.clear()
        assert (await call()).unanswered == 0
        assert any(note.fields["provider"] == "one" for note in notes.of("first_audio"))  # the old call's
        assert dialled(notes) == ["two"]
        assert (await old).unanswered == 0


@virtual
async def test_after_an_outage_one_call_tries_and_the_others_follow(tmp_path: Path) -> None:
    notes = Notes()
    async with house(config(tmp_path), notes) as fakes:
        network().refuse(fakes["one"].port)
        await call()
        network().heal(fakes["one"].port)
        await asyncio.sleep(30)
        notes.seen.clear()
        first = asyncio.create_task(call())
        await asyncio.sleep(0.05)
        second = asyncio.create_task(call())  # meanwhile it is not known yet
        await asyncio.sleep(3)
        third = asyncio.create_task(call())
        assert [(await each).unanswered for each in (first, second, third)] == [0, 0, 0]
        assert dialled(notes) == ["one", "two", "one"]


@virtual
async def test_a_refused_credential_is_marked_and_its_provider_is_not(tmp_path: Path) -> None:
    """Entries one and two are the same service with two keys, of which the first was revoked."""
    notes = Notes()
    same = config(tmp_path, {"one": "key-revoked-0", "two": "key-of-two"})
    two = replace(same.providers["one"], api_key=same.providers["two"].api_key)
    same = replace(same, providers={**same.providers, "two": two})
    async with house(same, notes, one={"api_key": "key-of-two"}) as fakes:
        for _ in range(3):
            assert (await call()).unanswered == 0
        assert dialled(notes) == ["one", "two", "two", "two"]
        assert [note.fields["class"] for note in notes.of("fault")] == ["account"]
        assert fakes["one"].emulator.connections == 4
        assert fakes["two"].emulator.connections == fakes["three"].emulator.connections == 0


@virtual
async def test_a_quota_refusal_costs_one_dial_and_no_loop(tmp_path: Path) -> None:
    notes = Notes()
    refusing = {"rules": [{"when": {"phase": "session"}, "do": {"quota": True}}]}
    async with house(config(tmp_path), notes, one=refusing) as fakes:
        results = [await call() for _ in range(5)]
        assert [result.unanswered for result in results] == [0] * 5
        assert fakes["one"].emulator.connections <= 2


@virtual
async def test_a_quota_that_runs_out_inside_a_call_costs_no_second_dial(tmp_path: Path) -> None:
    notes = Notes()
    empty = {
        "rules": [
            {"when": {"phase": "asked", "turn": 1}, "do": {"quota": True}},
            {"when": {"phase": "session", "connection": [2, 3, 4, 5]}, "do": {"quota": True}},
        ]
    }
    for standby in ("cold", "warm"):
        async with house(config(tmp_path, standby=standby), notes, one=empty) as fakes:
            assert (await call()).unanswered == 0
            assert (await call()).unanswered == 0
            assert fakes["one"].emulator.connections <= 2


@virtual
async def test_a_rate_limit_is_kept_from_every_call_until_it_ends(tmp_path: Path) -> None:
    notes = Notes()
    limited = {"rules": [{"when": {"phase": "asked", "turn": 1, "connection": 1}, "do": {"fail": LIMIT}}]}
    async with house(config(tmp_path), notes, one=limited):
        began = asyncio.get_running_loop().time()
        assert (await call()).unanswered == 0
        assert (await call()).unanswered == 0
        assert dialled(notes) == ["one", "two", "two"]
        told = next(note for note in notes.of("fault"))
        assert told.fields["class"] == "rate_limited"
        await asyncio.sleep(max(0.0, began + 45 - asyncio.get_running_loop().time()))
        assert (await call()).unanswered == 0
        assert dialled(notes)[-1] == "one"


FIRST = {"phase": "upgrade", "connection": 1}


def _date(seconds: int) -> str:
    return email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize("said", ["60", "1m0.4s", "date", "after lunch"])
def test_a_refusal_at_the_door_is_kept_for_as_long_as_it_says(tmp_path: Path, said: str) -> None:
    """Retry-After in all its forms; what cannot be read counts as not said, which is a few seconds at first."""

    @virtual
    async def scenario() -> None:
        notes = Notes()
        told = _date(60) if said == "date" else said
        refusal = {"http": {"status": 429, "headers": {"Retry-After": told}}}
        async with house(config(tmp_path), notes, one={"rules": [{"when": FIRST, "do": refusal}]}):
            began = asyncio.get_running_loop().time()
            for _ in range(2):
                assert (await call()).unanswered == 0
            assert asyncio.get_running_loop().time() - began < 58
            again = said == "after lunch"
            assert dialled(notes) == (["one", "two", "one"] if again else ["one", "two", "two"])
            await asyncio.sleep(began + 63 - asyncio.get_running_loop().time())
            assert (await call()).unanswered == 0
            assert dialled(notes)[-1] == "one"

    scenario()
