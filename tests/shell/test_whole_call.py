"""Whole calls in virtual time: the real runner, sockets, pacer and health board, real call cores and codecs, against
emulated providers behind an in-memory network. Only kernel and clock are missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
import soundfile

from audio.frame import PCMU, Frame, decode, encode
from bridge.core.effects import Note
from bridge.core.events import Gone, Mark
from bridge.core.plan import Agent, CallSpec, Candidate, Line, Plan
from bridge.fakes import server
from bridge.fakes.numbered import number_speech
from bridge.shell.calls import Calls
from bridge.shell.health import HealthBoard
from bridge.shell.pacer import Pacer
from bridge.shell.runner import CallRunner
from bridge.shell.services import Services
from bridge.shell.tools import Webhooks
from providers.codec import Target
from providers.registry import capabilities_for
from tests.shell.studio import CALLERS
from tests.virtual import network, virtual
from tests.wire.ear import Heard, ear

HANGOVER_S = 0.5  # of silence end a turn
KINDS = {"openai": ("openai", "gpt-realtime-2.1"), "gemini": ("gemini", "gemini-3.8-live")}
SORRY = encode(np.random.default_rng(1).normal(0, 3000, 8000).astype(np.int16), "pcmu")


class Phone:
    """The caller's side: a carrier that plays what it is sent at real time and gives marks back, and a caller who says
    `track` from the start. `heard`: what was played, with when (s)."""

    marks = True
    format = PCMU

    def __init__(self, track: np.ndarray) -> None:
        self.loop = asyncio.get_running_loop()
        self.runner: CallRunner
        self.heard: list[tuple[float, bytes]] = []
        self.hung_up: str | None = None
        self.track = track
        self._until = 0.0
        self._begun = self.loop.time()

    def send(self, data: bytes) -> None:
        self._until = max(self._until, self.loop.time())
        self.heard.append((self._until - self._begun, data))
        self._until += len(data) / 8000

    def clear(self) -> None:
        now = self.loop.time()
        self.heard = [(at, data) for at, data in self.heard if at + self._begun < now]
        self._until = now

    def mark(self, name: str) -> None:
        self.loop.call_at(self._until, lambda: self.runner.dispatch(Mark(name)))

    def transfer(self, target: str) -> None:
        self.hung_up = f"transfer to {target}"

    def hang_up(self, reason: str) -> None:
        self.hung_up = reason

    def speak(self, frame: int = 0) -> None:
        """20 ms of the caller, then the next."""
        if self.runner.over:
            return
        begin = frame * 160
        noise = np.random.default_rng(frame).integers(-12, 12, 160).astype(np.int16)
        pcm = self.track[begin : begin + 160] if begin + 160 <= len(self.track) else np.zeros(160, np.int16)
        self.runner.heard(Frame(encode(pcm + noise, "pcmu"), PCMU))
        self.loop.call_at(self._begun + (frame + 1) * 0.02, self.speak, frame + 1)

    @property
    def sound(self) -> bytes:
        """What was played, with the silence between."""
        out = bytearray()
        for at, data in self.heard:
            out += b"\xff" * (round(at * 8000) - len(out))
            out += data
        return bytes(out)

    def silences(self, begin: float, end: float) -> float:
        """Seconds between `begin` and `end` in which nothing was played."""
        played = sum(max(0.0, min(at + len(data) / 8000, end) - max(at, begin)) for at, data in self.heard)
        return end - begin - played


def question(number: int, at_ms: int) -> np.ndarray:
    """A recorded sentence that carries `number`, after `at_ms` of silence."""
    pcm, rate = soundfile.read(CALLERS / "order_status.flac", dtype="int16")
    assert rate == 8000
    return np.concatenate([np.zeros(at_ms * 8, np.int16), number_speech(pcm, number)])


class Exchange:
    """One caller and a bridge whose providers are emulators: name -> (kind, script)."""

    def __init__(self, **providers: tuple[str, Any]) -> None:
        self.providers = providers
        self.notes: list[tuple[float, Note]] = []
        self.emulators: dict[str, server.Running] = {}

    async def __aenter__(self) -> Exchange:
        for name, (kind, script) in self.providers.items():
            self.emulators[name] = await server.start(kind, script=script)  # type: ignore[arg-type]
        self.pacer = Pacer()
        self.tools = Webhooks()
        self.health = HealthBoard(Random(4))
        services = Services(self.health, self.pacer, self.tools, watchers=(self._watch,))
        self.calls = Calls(services, 10)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.calls.drain(0)
        await self.tools.close()
        for emulator in self.emulators.values():
            await emulator.close()

    def _watch(self, call_id: str, note: Note, now: int) -> None:
        self.notes.append((now / 1e9 - self.phone._begun, note))

    async def call(self, track: np.ndarray, seconds: float, line: Line | None = None, **plan: Any) -> None:
        """Start a call and let it run."""
        targets = {name: self.target(name) for name in self.providers}
        candidates = tuple(
            Candidate(name, target.kind, target.model, capabilities_for(target, PCMU))
            for name, target in targets.items()
        )
        agent = Agent("agent", "Answer.", silence=None, line=line or Line())
        spec = CallSpec("call-1", PCMU, agent, Plan(candidates, **plan), {"sorry": SORRY})
        self.phone = Phone(track)
        self.phone.runner = self.calls.start(spec, targets, self.phone)
        self.phone.speak()
        await asyncio.sleep(seconds)

    def target(self, name: str) -> Target:
        return Target(name, *KINDS[self.providers[name][0]], url=self.emulators[name].url, api_key="sk-test")

    def noted(self, kind: str) -> list[dict[str, Any]]:
        return [dict(note.fields) for _, note in self.notes if note.kind == kind]

    def when(self, kind: str) -> float:
        return next(at for at, note in self.notes if note.kind == kind)

    @property
    def words(self) -> list[Heard]:
        """What the caller heard, by the ear that knows the emulators' voice; times in ms."""
        return ear().words(self.phone.sound)

    @property
    def said(self) -> str:
        """Whole words; broken ones are marked."""
        return " ".join(word.word + ("" if word.whole else "~") for word in self.words)


@pytest.mark.parametrize("kind", ["openai", "gemini"])
def test_a_question_is_answered_once_and_the_caller_hangs_up(kind: str) -> None:
    @virtual
    async def scenario() -> None:
        async with Exchange(one=(kind, None), two=("openai", None)) as exchange:
            await exchange.call(question(37, 500), 16)
            assert exchange.said.count("thirty seven") == 1, exchange.said
            assert exchange.noted("swap") == []
            assert exchange.pacer.late_slots == 0
            phone = exchange.phone
            assert exchange.said.startswith("you asked about number thirty seven") and "~" not in exchange.said
            begun, ended = exchange.words[0].begin / 1000, exchange.words[-1].end / 1000
            assert ended - begun > 3 and phone.silences(begun, ended) < 0.005
            phone.runner.dispatch(Gone("caller hung up"))
            assert await phone.runner.finished == "caller hung up"
            await asyncio.sleep(1)
            assert network().pipes == []

    scenario()


@pytest.mark.parametrize("kind", ["openai", "gemini"])
def test_with_comfort_noise_the_line_is_never_silent(kind: str) -> None:
    """On the pacer's own grid, before, between and after what the agent says; the answer comes as soon as without."""

    @virtual
    async def scenario() -> None:
        first = []
        for noise in (False, True):
            async with Exchange(one=(kind, None), two=("openai", None)) as exchange:
                await exchange.call(question(37, 500), 16, Line(comfort_noise=noise))
                assert exchange.said.count("thirty seven") == 1, exchange.said
                phone = exchange.phone
                assert (phone.silences(0.1, 15.9) < 0.03) == noise
                assert all(len(data) % 160 == 0 for _, data in phone.heard)
                loud = [at for at, data in phone.heard if np.abs(decode(data, "pcmu")).max() > 500]
                first.append(loud[0])
                phone.runner.dispatch(Gone("caller hung up"))
                await phone.runner.finished
                sent = len(phone.heard)
                await asyncio.sleep(1)
                assert len(phone.heard) == sent and exchange.pacer.playing == 0
        assert -0.001 < first[1] - first[0] <= 0.04

    scenario()


@virtual
async def test_a_call_tells_the_board_how_loud_the_voice_is() -> None:
    async with Exchange(one=("openai", None), two=("openai", None)) as exchange:
        await exchange.call(question(37, 500), 16)
        target = exchange.target("one")
        level = exchange.health.voice_db(target, "")
        assert level is not None and 60 < level < 75
        assert exchange.health.choose(1, [target], "call", (), 0).provider == "one"


def _refuse_connection(exchange: Exchange) -> None:
    network().refuse(exchange.emulators["one"].port)


def _swallow(exchange: Exchange) -> None:
    network().swallow(exchange.emulators["one"].port)


@pytest.mark.parametrize(
    ("script", "before"),
    [
        ({"rules": [{"when": {"phase": "upgrade"}, "do": {"http": {"status": 503}}}]}, lambda exchange: None),
        (None, _refuse_connection),
        (None, _swallow),
    ],
    ids=["503", "refused", "swallowed"],
)
def test_a_provider_that_cannot_be_reached_is_passed_over(script: Any, before: Callable[[Exchange], None]) -> None:
    @virtual
    async def scenario() -> None:
        async with Exchange(one=("openai", script), two=("openai", None)) as exchange:
            before(exchange)
            await exchange.call(question(41, 300), 16)
            assert exchange.said.startswith("you asked about number forty one"), exchange.said
            assert exchange.said.count("you asked") == 1 and "~" not in exchange.said

    scenario()


def _later(seconds: float, action: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(seconds, action)


def _freeze_calls_to(exchange: Exchange, name: str) -> None:
    for pipe in network().pipes:
        if pipe.port == exchange.emulators[name].port:
            pipe.freeze()


def _reset_calls_to(exchange: Exchange, name: str) -> None:
    for pipe in list(network().pipes):
        if pipe.port == exchange.emulators[name].port:
            pipe.reset()


@pytest.mark.parametrize("after", [1.5, 3.6, 4.6, 5.2, 7.0])
@pytest.mark.parametrize("how", [_freeze_calls_to, _reset_calls_to])
def test_a_link_that_breaks_at_any_moment_costs_no_answer(how: Callable[[Exchange, str], None], after: float) -> None:
    @virtual
    async def scenario() -> None:
        async with Exchange(one=("openai", None), two=("openai", None)) as exchange:
            _later(after, lambda: how(exchange, "one"))
            await exchange.call(question(58, 500), 25)
            assert exchange.said.count("fifty eight") == 1, exchange.said
            assert exchange.said.replace("~", "").count("you asked") == 1, exchange.said
            assert SORRY[40:-80] not in exchange.phone.sound

    scenario()


@pytest.mark.parametrize("kind", ["openai", "gemini"])
@pytest.mark.parametrize("after", [0.3, 1.5, 3.0, 5.2], ids=["idle", "caller speaking", "later", "owed or answering"])
def test_a_dead_socket_is_found_by_our_own_clocks(kind: str, after: float) -> None:
    """This network has no timeouts of its own: what vanishes stays silent for ever."""

    @virtual
    async def scenario() -> None:
        async with Exchange(one=(kind, None), two=("openai", None)) as exchange:
            _later(after, lambda: _freeze_calls_to(exchange, "one"))
            await exchange.call(question(58, 500), 25)
            assert exchange.said.count("fifty eight") == 1, exchange.said
            found = next(at for at, note in exchange.notes if note.kind == "fault")
            owed, begun = len(exchange.phone.track) / 8000 + HANGOVER_S, exchange.words[0].begin / 1000
            heard_to = exchange.words[-1].end / 1000
            times = exchange.phone.runner.spec.plan.deadlines
            if kind == "openai" and after < owed - 3:  # pinged at the beginning of the turn and every two seconds
                assert found <= max(after, 0.5) + (times.ping_every + times.ping_budget) / 1000 + 0.5
                assert begun - owed <= 1.0
            silence = begun - owed + exchange.phone.silences(begun, heard_to)
            assert silence <= times.first_audio / 1000 + 1.0, (found, owed, begun, heard_to)

    scenario()


@virtual
async def test_when_nobody_is_left_the_caller_is_told_and_the_call_ends() -> None:
    async with Exchange(one=("openai", None), two=("openai", None)) as exchange:
        for emulator in exchange.emulators.values():
            network().refuse(emulator.port)
        await exchange.call(question(12, 300), 60)
        assert exchange.phone.runner.over
        assert exchange.phone.hung_up
        assert SORRY[40:-80] in b"".join(data for _, data in exchange.phone.heard)  # faded in and out at its ends
        # Refused dials open the breakers: nobody hammers a dead provider once a second for the whole minute.
        assert len(exchange.noted("link_opened")) < 20
