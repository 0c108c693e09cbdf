"""Whole test calls against the media-stream edge, with an agent that only listens for loudness, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from aiohttp import web

from audio.files import read_channels, write_audio
from audio.frame import Frame, decode, encode
from bridge.core.events import Dtmf, Event, LegBack, LegLost, Mark
from bridge.dial.client import DialError, Job, place
from bridge.dial.report import Report
from bridge.dial.run import parse_keys
from bridge.dial.webhook import Document, carrier_signature, read_document
from bridge.edges.media_ws import MediaWs, Settings
from bridge.edges.signature import sign
from bridge.shell.leg import Leg
from tests.virtual import network, virtual

PORT = 8090
URL = f"ws://127.0.0.1:{PORT}/twilio"
FRAME = 160
QUIET_FRAMES = 20  # 400 ms of quiet end a turn


def tone(seconds: float, hertz: float) -> bytes:
    at = np.arange(int(seconds * 8000))
    return encode((8000 * np.sin(2 * np.pi * hertz * at / 8000)).astype(np.int16), "pcmu")


class Agent:
    """Greets, then answers each turn with a second of tone, sent in 20 ms pieces with a mark at its end. `stall`: how
    long the second half of each answer keeps people waiting."""

    def __init__(self, leg: Leg, greeting: bool, stall: float, hang_up_after: int) -> None:
        self.leg = leg
        self.over = False
        self.events: list[Event] = []
        self.sound = bytearray()
        self.notices: list[str] = []
        self._stall = stall
        self._left = hang_up_after
        self._quiet = 0
        self._speech = False
        self._task: asyncio.Task[None] | None = None
        if greeting:
            self.say(tone(0.5, 500))

    def say(self, sound: bytes) -> None:
        self._task = asyncio.create_task(self._say(sound))

    async def _say(self, sound: bytes) -> None:
        half = len(sound) // 2 // FRAME * FRAME
        for at in range(0, len(sound), FRAME):
            if at == half:
                await asyncio.sleep(self._stall)
            self.leg.send(sound[at : at + FRAME])
            await asyncio.sleep(0.02)
        self.leg.mark(f"end of {len(sound)}")

    def dispatch(self, event: Event) -> None:
        self.events.append(event)

    def heard(self, frame: Frame) -> None:
        self.sound += frame.data
        loud = np.abs(frame.pcm.astype(np.int32)).mean() > 500
        self._quiet = 0 if loud else self._quiet + 1
        self._speech |= bool(loud)
        if self._speech and self._quiet == QUIET_FRAMES:
            self._speech = False
            self._left -= 1
            if self._left < 0:
                self.leg.hang_up("enough")
            else:
                self.say(tone(1.0, 700))

    def notice(self, what: str) -> None:
        self.notices.append(what)


class Board:
    def __init__(self, greeting: bool = True, stall: float = 0.0, hang_up_after: int = 99, mute: bool = False) -> None:
        self.agents: list[Agent] = []
        self.parameters: Mapping[str, str] = {}
        self.room = True
        self._make = (greeting, stall, hang_up_after)
        self._mute = mute

    def knows(self, agent: str) -> bool:
        return True

    def has_room(self, waiting: int = 0) -> bool:
        return self.room

    async def start(self, agent: str, leg: Leg, parameters: Mapping[str, str], caller: Mapping[str, str]) -> Agent:
        self.parameters = parameters
        self.agents.append(Agent(leg, *self._make))
        if self._mute:
            leg.send = lambda data: None  # type: ignore[method-assign]
        return self.agents[-1]


@asynccontextmanager
async def listening(board: Board, **settings: Any) -> AsyncIterator[Board]:
    app = web.Application()
    edge = MediaWs(Settings("127.0.0.1", PORT, "reception", **settings), board, asyncio.get_running_loop().time)
    edge.add_routes(app.router)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", PORT).start()
    yield board
    await edge.close()
    await runner.cleanup()


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Three questions of noise, 1 s each, with 3 s between, and where they are."""
    rng = np.random.default_rng(9)
    pcm = np.zeros(12 * 8000, np.int16)
    turns = [(1.0, 2.0), (5.0, 6.0), (9.0, 10.0)]
    for begin, end in turns:
        pcm[int(begin * 8000) : int(end * 8000)] = rng.integers(-6000, 6000, 8000)
    write_audio(tmp_path / "questions.wav", pcm, 8000)
    told = {"turns": [{"begin_s": begin, "end_s": end} for begin, end in turns]}
    (tmp_path / "questions.json").write_bytes(orjson.dumps(told))
    return tmp_path / "questions.wav"


async def dial(questions: Path, target: str = URL, **options: Any) -> Report:
    return await place(Job(target, questions, **options))


# ------------------------------------------------------------------------------------------------------------- a call


@virtual
async def test_a_polite_call(questions: Path, tmp_path: Path) -> None:
    async with listening(Board()) as board:
        recording = tmp_path / "call.wav"
        result = await dial(questions, record=recording, parameters={"customer_name": "Ann"})
        agent = board.agents[0]
        assert result.end == "caller done" and result.spoke
        assert board.parameters == {"customer_name": "Ann"}
        assert result.greeting is not None and result.greeting < 100
        assert len(result.replies) == 3 and result.unanswered == 0
        for reply in result.replies:
            assert reply.ended - reply.began == 1000
            assert reply.first_audio_ms is not None and 400 <= reply.first_audio_ms <= 440
        assert result.gaps == ()
        assert result.agent_audio == 3500
        assert (result.marks, result.clears, result.unread) == (4, 0, 0)
        assert [event for event in agent.events if isinstance(event, Mark)] == [
            Mark("end of 4000"), *[Mark("end of 8000")] * 3,
        ]  # fmt: skip
        assert not agent.notices
        # What the agent heard is what the recording has on the left; its tones are on the right where they were played.
        both = read_channels(recording, 8000)
        assert np.array_equal(both[: len(agent.sound), 0], decode(bytes(agent.sound), "pcmu"))
        first = result.replies[0]
        answer = (first.ended + (first.first_audio_ms or 0)) * 8
        assert np.array_equal(both[answer : answer + 8000, 1], decode(tone(1.0, 700), "pcmu"))
        assert not both[first.ended * 8 : answer, 1].any()
        assert orjson.loads(orjson.dumps(result.to_json()))["first_audio_p50"] == first.first_audio_ms


@virtual
async def test_a_gap_inside_an_answer_is_measured(questions: Path) -> None:
    async with listening(Board(stall=0.6)):
        result = await dial(questions)
        assert [580 <= gap.ms <= 620 for gap in result.gaps] == [True] * 4
        assert result.end == "caller done"


@virtual
async def test_talking_over(questions: Path) -> None:
    async with listening(Board()) as board:
        result = await dial(questions, manner="talk_over")
        assert [reply.began for reply in result.replies] == [1000, 5000, 9000]
        assert result.unanswered == 0
        assert len(board.agents[0].sound) > 12 * 8000


@virtual
async def test_keys(questions: Path) -> None:
    async with listening(Board()) as board:
        result = await dial(questions, keys=parse_keys("3.5:9, 12#"))
        assert [event for event in board.agents[0].events if isinstance(event, Dtmf)] == [
            Dtmf("9"), Dtmf("1"), Dtmf("2"), Dtmf("#"),
        ]  # fmt: skip
        assert result.replies[-1].kind == "keys"


# -------------------------------------------------------------------------------------------------------- how it ends


@virtual
async def test_the_agent_hangs_up(questions: Path) -> None:
    async with listening(Board(hang_up_after=1)):
        result = await dial(questions)
        assert result.end == "agent hung up"
        assert [reply.first_audio_ms is None for reply in result.replies] == [False, True]


@virtual
async def test_nobody_speaks(questions: Path) -> None:
    async with listening(Board(mute=True)):
        result = await dial(questions)
        assert not result.spoke
        assert result.unanswered == 3
        assert result.greeting is None


@virtual
async def test_a_call_that_takes_too_long(questions: Path) -> None:
    async with listening(Board()) as board:
        result = await dial(questions, timeout=5.0)
        assert result.end == "timeout"
        assert 4800 <= result.duration <= 5000
        await asyncio.sleep(0.1)
        assert "Gone" in type(board.agents[0].events[-1]).__name__


@virtual
async def test_the_connection_breaks(questions: Path) -> None:
    async with listening(Board()):
        asyncio.get_running_loop().call_later(3.0, lambda: network().pipes[0].reset())
        result = await dial(questions)
        assert result.end.startswith("connection lost")
        assert 2900 <= result.duration <= 3100


@virtual
async def test_nobody_listens(questions: Path) -> None:
    result = await dial(questions)
    assert result.end.startswith("not connected")
    assert result.duration == 0 and not result.spoke


@virtual
@pytest.mark.parametrize("target", [URL, f"http://127.0.0.1:{PORT}/twilio/twiml"])
async def test_a_busy_bridge(questions: Path, target: str) -> None:
    async with listening(Board()) as board:
        board.room = False
        result = await dial(questions, target)
        assert result.end in ("refused: HTTP 503", "refused: busy")


@virtual
async def test_a_target_of_another_kind(questions: Path) -> None:
    with pytest.raises(DialError, match="ws://"):
        await dial(questions, "tel:+1555")


# ------------------------------------------------------------------------------------------------------- by the TwiML


@virtual
async def test_by_the_twiml(questions: Path) -> None:
    async with listening(Board()) as board:
        target = f"http://127.0.0.1:{PORT}/twilio/twiml?customer_name=Ann"
        result = await dial(questions, target)
        assert result.end == "caller done" and result.unanswered == 0
        assert board.parameters == {"customer_name": "Ann"}


@virtual
async def test_a_lost_socket_comes_back_to_the_same_call(questions: Path) -> None:
    async with listening(Board()) as board:
        result = await dial(questions, drops=[4.0, 7.5], away=0.4)
        assert result.reattached == 2
        assert result.end == "caller done"
        assert len(board.agents) == 1
        legs = [type(event) for event in board.agents[0].events if isinstance(event, LegLost | LegBack)]
        assert legs == [LegLost, LegBack] * 2


@virtual
async def test_the_redirect_after_a_hang_up_is_followed(questions: Path) -> None:
    async with listening(Board(hang_up_after=0)) as board:
        result = await dial(questions, f"http://127.0.0.1:{PORT}/twilio/twiml")
        assert result.end == "agent hung up"
        assert len(board.agents) == 1


@virtual
async def test_a_transfer_is_reported(questions: Path) -> None:
    async with listening(Board()) as board:
        asyncio.get_running_loop().call_later(2.0, lambda: board.agents[0].leg.transfer("+15557654321"))
        result = await dial(questions, f"http://127.0.0.1:{PORT}/twilio/twiml")
        assert result.end == "transferred to +15557654321"


@virtual
async def test_a_signing_carrier_is_let_in_and_another_is_not(questions: Path) -> None:
    async with listening(Board(), auth_tokens=("t0ken",)):
        for target in (URL, f"http://127.0.0.1:{PORT}/twilio/twiml"):
            assert (await dial(questions, target, auth_token="t0ken")).end == "caller done"
            assert (await dial(questions, target, auth_token="other")).end.startswith("refused: HTTP 403")


def test_both_sides_sign_alike() -> None:
    fields = {"To": "+1", "CallSid": "CA1", "From": "+2"}
    assert carrier_signature("t", "https://x/y?z=1", fields) == sign("t", "https://x/y?z=1", fields.items())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<Response/>", Document(end="agent hung up")),
        ("<Response><Hangup/></Response>", Document(end="agent hung up")),
        ("<Response><Reject reason='busy'/></Response>", Document(end="refused: busy")),
        ("<Response><Dial><Sip>sip:a@b</Sip></Dial></Response>", Document(end="transferred to sip:a@b")),
        (
            "<Response><Connect><Stream url='wss://h/s'><Parameter name='a' value='1'/></Stream></Connect>"
            "<Redirect>/again</Redirect></Response>",
            Document("wss://h/s", {"a": "1", "b": "2"}, "https://h/again"),
        ),
    ],
)
def test_documents(text: str, expected: Document) -> None:
    assert read_document(text, "https://h/twiml", {"b": "2"}) == expected


@pytest.mark.parametrize(
    "text", ["", "hello", "<Response><Play>x</Play></Response>", "<Response><Connect/></Response>"]
)
def test_documents_that_make_no_sense(text: str) -> None:
    assert read_document(text, "https://h/twiml", {}).end.startswith("refused: the TwiML")


@pytest.mark.parametrize("text", ["x", "1:", ":1", "1-2", "a b"])
def test_keys_that_make_no_sense(text: str) -> None:
    with pytest.raises(DialError, match="keys"):
        parse_keys(text)
