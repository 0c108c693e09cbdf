"""A whole call on simulated time: a caller, a carrier and providers around a real `Call`.

Providers here speak events, not wire: each link answers commands after given delays with audio whose bytes say which
word they are, so that what the caller heard can be read back word by word.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from audio.frame import PCMU, Frame, encode
from audio.turns import TurnEvent
from bridge.core import effects as fx
from bridge.core import events as ev
from bridge.core.call import Call
from bridge.core.plan import Agent, CallSpec, Candidate, Plan, Tool
from providers import base as pb
from providers.codec import Capabilities

MS = 1_000_000
WORD_MS = 300  # each word of a simulated reply: 240 ms of sound, 60 ms of pause
SOUND_MS = 240
WORDS = [f"w{n:04}" for n in range(400)]
CAPS = Capabilities(input_formats=(PCMU,), output_formats=(PCMU,))
GEMINI_LIKE = replace(
    CAPS,
    explicit_ask=False,
    ask_instructions=False,
    history_audio=False,
    delete_item=False,
    truncate=False,
    cancel_by_id=False,
    queue_asks=False,
    probe_ping=False,
    probe_command=False,
)


def tone(number: int, ms: int) -> bytes:
    """u-law sound that says `number`: a sine whose period in samples is unlike any other number's."""
    n = np.arange(ms * 8)
    pcm = 9000 * np.sin(2 * np.pi * n * (300 + 7 * (number % 400)) / 8000)
    return encode(pcm.astype(np.int16), "pcmu")


WORD_AUDIO = [tone(n, SOUND_MS) + b"\xff" * ((WORD_MS - SOUND_MS) * 8) for n in range(400)]


class ScriptedEars:
    """Turn events at given media times (ms) instead of a detector."""

    def __init__(self) -> None:
        self.script: list[tuple[int, str, int]] = []
        self.consumed = 0
        self.heard_far = 0
        self.expected: list[str] = []
        self.skipped: list[int] = []

    def at(self, ms: int, kind: str, about_ms: int | None = None) -> None:
        self.script.append((ms * 8, kind, (ms if about_ms is None else about_ms) * 8))
        self.script.sort()

    def push(self, frame: Frame, agent_left: int) -> list[TurnEvent]:
        self.consumed += frame.samples
        out = []
        while self.script and self.script[0][0] <= self.consumed:
            _, kind, about = self.script.pop(0)
            out.append(TurnEvent(kind, about, self.consumed))  # type: ignore[arg-type]
        return out

    def played(self, frame: Frame) -> None:
        self.heard_far += frame.samples

    def expect(self, what: str) -> None:
        self.expected.append(what)

    def skip(self, samples: int) -> list[TurnEvent]:
        self.skipped.append(samples)
        return []

    def digits(self) -> str:
        return ""


@dataclass
class Behaviour:
    """How a simulated provider acts. Times in ms; `words` is the length of each reply."""

    connect: int = 40
    configure: int = 40
    first_audio: int = 400
    words: int = 10
    speed: float = 4.0
    caps: Capabilities = CAPS
    refuse: pb.Fault | None = None
    text_lead: int = 0
    on_command: Callable[[SimLink, pb.Command], bool] | None = None
    on_word: Callable[[SimLink, int, int], bool] | None = None
    answers_probe: bool = True


@dataclass
class SimLink:
    """One session. `received` is the caller audio in order, `log` every command."""

    stage: Stage
    number: int
    provider: str
    act: Behaviour
    opened: int
    log: list[pb.Command] = field(default_factory=list)
    received: bytearray = field(default_factory=bytearray)
    turns: dict[int, bytes] = field(default_factory=dict)
    turn: int | None = None
    alive: bool = True
    running: int | None = None
    begin: int = 0  # first word of the reply
    silent: bool = False

    def say(self, event: pb.Event, after: int = 0) -> None:
        def deliver() -> None:
            if self.alive and not self.silent:
                self.stage.dispatch(ev.FromLink(self.number, event))

        self.stage.later(after, deliver)

    def die(self, fault: pb.Fault) -> None:
        if self.alive:
            self.alive = False
            self.stage.dispatch(ev.LinkDown(self.number, fault))

    def take(self, command: pb.Command) -> None:
        self.log.append(command)
        if self.silent or (self.act.on_command is not None and self.act.on_command(self, command)):
            return
        match command:
            case pb.Configure():
                self.say(pb.Ready("s"), self.act.configure)
            case pb.BeginTurn(turn):
                self.turn = turn
                self.turns[turn] = b""
            case pb.Audio(data):
                self.received += data
                if self.turn is not None:
                    self.turns[self.turn] += data
            case pb.Seed(items):
                for item in items:
                    if isinstance(item, pb.Speech):
                        self.turns[item.turn] = self.turns.get(item.turn, b"") + item.data
            case pb.Ask(number, _):
                self.reply(number)
            case pb.Cancel(number):
                if self.running == number:
                    self.running = None
                    self.say(pb.ReplyEnded(number, "cancelled"))
            case pb.Probe():
                if self.act.answers_probe:
                    self.say(pb.Probed(), 20)
            case _:
                pass

    def first_word(self) -> int:
        """Continue after the last word of a partial reply seeded at the end, else begin."""
        asks = [index for index, command in enumerate(self.log) if isinstance(command, pb.Ask)]
        told = [
            item.text
            for command in self.log[asks[-2] if len(asks) > 1 else 0 :]
            if isinstance(command, pb.Seed)
            for item in command.items
            if isinstance(item, pb.Text)
        ]
        ask = next(c for c in reversed(self.log) if isinstance(c, pb.Ask))
        text = ask.instructions if "Continue" in ask.instructions else ""
        if not text and told and "Continue the answer" in told[-1]:
            text = told[-1]
        spoken = [
            int(w[1:]) for w in text.replace("”", " ").replace("“", " ").split() if w[:1] == "w" and w[1:].isdigit()
        ]
        return spoken[-1] + 1 if spoken else 0

    def reply(self, ask: int) -> None:
        self.running = ask
        self.begin = begin = self.first_word()
        first = self.act.first_audio
        self.say(pb.ReplyStarted(ask), max(0, first - 100))
        last = max(begin, self.act.words)
        for index, word in enumerate(range(begin, last)):
            when = first + int(index * WORD_MS / self.act.speed)
            self.stage.later(when, lambda word=word: self.word(ask, word))
        self.stage.later(first + int((last - begin) * WORD_MS / self.act.speed), lambda: self.end(ask, last > begin))

    def word(self, ask: int, word: int) -> None:
        if self.running != ask or not self.alive:
            return
        if self.act.on_word is not None and self.act.on_word(self, ask, word):
            return
        if not self.silent:
            at_ms = (word - self.begin) * WORD_MS  # tones are no speech that text could be laid along
            self.stage.dispatch(ev.FromLink(self.number, pb.ReplyText(ask, f"i{ask}", f"{WORDS[word]} ", at_ms)))
            self.stage.dispatch(ev.FromLink(self.number, pb.ReplyAudio(ask, f"i{ask}", WORD_AUDIO[word])))

    def end(self, ask: int, spoke: bool) -> None:
        if self.running != ask or self.silent:
            return
        self.running = None
        if spoke:
            self.say(pb.ReplyComplete(ask))
        self.say(pb.ReplyEnded(ask, "completed" if spoke else "empty", None, pb.Usage(input_audio=10)))


class Stage:
    """Runs a call. Caller frames are random u-law unlike each other; `heard` is what the caller's ear got."""

    def __init__(
        self,
        providers: dict[str, Behaviour] | None = None,
        standby: str = "warm",
        greeting: str = "",
        tools: tuple[Tool, ...] = (),
        plan: Plan | None = None,
        seed: int = 1,
        marks: bool = True,
        silence: bool = False,
    ) -> None:
        self.behaviours = providers or {"a": Behaviour(), "b": Behaviour()}
        candidates = tuple(Candidate(name, "sim", "m", act.caps) for name, act in self.behaviours.items())
        base = plan or Plan(candidates, standby=standby)  # type: ignore[arg-type]
        agent = Agent("test", "Be helpful.", greeting=greeting, tools=tools)
        if not silence:
            agent = replace(agent, silence=None)
        phrases = {"sorry": tone(390, 600), "goodbye": tone(391, 400), "rephrase": tone(392, 500)}
        phrases["hold"] = tone(393, 500)
        self.spec = CallSpec("call1", PCMU, agent, replace(base, candidates=candidates), phrases, marks=marks)
        self.ears = ScriptedEars()
        self.call = Call(self.spec, self.ears)  # type: ignore[arg-type]
        self.now = 0
        self.links: dict[int, SimLink] = {}
        self.unhealthy: set[str] = set()
        self.notes: list[tuple[int, str, dict[str, object]]] = []
        self.tools: list[fx.RunTool] = []
        self.tool_ms: int | None = 100
        self.ended: str | None = None
        self.sent_frames: list[bytes] = []
        self.heard = bytearray()  # one byte a sample, silence as 0xff
        self._buffer = bytearray()
        self._marks: list[tuple[int, str]] = []
        self._consumed = 0
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._queue: list[ev.Event] = []
        self._busy = False
        self._pacing = False
        self._started = False
        self._rng = np.random.default_rng(seed)
        self.caller_on = True

    # ------------------------------------------------------------------------------------------------------ the clock

    def later(self, ms: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (self.now + int(ms * MS), next(self._order), what))

    def run(self, until_ms: int) -> Stage:
        if not self._started:
            self.begin(0)
        end = until_ms * MS
        while (due := self.due) is not None and due <= end:
            self.step()
        self.now = end
        return self

    def begin(self, now: int) -> None:
        """The call comes in."""
        self._started = True
        self.now = now
        self._perform(self.call.start(now))
        self.later(20, self._frame)

    @property
    def due(self) -> int | None:
        """When something happens next, in ns."""
        deadline = self.call.deadline
        if not self._heap:
            return deadline
        at = self._heap[0][0]
        return at if deadline is None or at <= deadline else max(self.now, deadline)

    def step(self) -> None:
        """That which is due."""
        due, deadline = self.due, self.call.deadline
        assert due is not None
        self.now = due
        if deadline is not None and (not self._heap or deadline < self._heap[0][0]):
            self.dispatch(ev.Tick())
        else:
            heapq.heappop(self._heap)[2]()

    def _frame(self) -> None:
        """Every 20 ms: the carrier plays one frame to the caller and brings one from them."""
        played = bytes(self._buffer[:160])
        del self._buffer[:160]
        self._consumed += len(played)
        self.heard += played + b"\xff" * (160 - len(played))
        while self._marks and self._marks[0][0] <= self._consumed:
            self.dispatch(ev.Mark(self._marks.pop(0)[1]))
        if self.caller_on:
            data = self._rng.integers(0, 256, 160, dtype=np.uint8).tobytes()
            self.sent_frames.append(data)
            self.hears(Frame(data, PCMU))
        if self.ended is None:
            self.later(20, self._frame)

    # ---------------------------------------------------------------------------------------------------- the contract

    def dispatch(self, event: ev.Event) -> None:
        self._feed(event)

    def hears(self, frame: Frame) -> None:
        """The caller's next frame."""
        self._feed(frame)

    def _feed(self, what: ev.Event | Frame) -> None:
        self._queue.append(what)
        if self._busy:
            return
        self._busy = True
        while self._queue:
            given = self._queue.pop(0)
            take = self.call.heard if isinstance(given, Frame) else self.call.handle
            self._perform(take(given, self.now))  # type: ignore[arg-type]
        self._busy = False
        if self.call.playing and not self._pacing:
            self._pacing = True
            self.later(0, self._pace)

    def _pace(self) -> None:
        if not self.call.playing:
            self._pacing = False
            return
        self.dispatch(ev.Pulled(160))
        self.later(20, self._pace)

    def _perform(self, out: list[fx.Effect]) -> None:
        for effect in out:
            getattr(self, f"_do_{type(effect).__name__.lower()}")(effect)

    def _do_choose(self, effect: fx.Choose) -> None:
        for name in self.behaviours:
            if name not in effect.exclude and name not in self.unhealthy:
                self._queue.append(ev.Chosen(effect.request, name, first_audio_p90_ms=500))
                break
        else:
            self._queue.append(ev.Chosen(effect.request, None, "none healthy"))
        self.later(0, lambda: self.dispatch(ev.Tick()))

    def _do_open(self, effect: fx.Open) -> None:
        act = self.behaviours[effect.provider]
        link = self.links[effect.link] = SimLink(self, effect.link, effect.provider, act, self.now)
        refusal = act.refuse
        if refusal is not None:
            self.later(act.connect, lambda: link.die(refusal))
        else:
            self.later(act.connect, lambda: link.alive and self.dispatch(ev.LinkUp(link.number)))

    def _do_send(self, effect: fx.Send) -> None:
        link = self.links[effect.link]
        if link.alive:
            link.take(effect.command)

    def _do_close(self, effect: fx.Close) -> None:
        self.links[effect.link].alive = False

    def _do_ping(self, effect: fx.Ping) -> None:
        link = self.links[effect.link]
        if link.silent:
            self.later(effect.budget_ms, lambda: self.dispatch(ev.Suspect(link.number, "no pong", dead=True)))

    def _do_emit(self, effect: fx.Emit) -> None:
        self._buffer += effect.data

    def _do_clearleg(self, effect: fx.ClearLeg) -> None:
        self._consumed += len(self._buffer)
        self._buffer.clear()

    def _do_sendmark(self, effect: fx.SendMark) -> None:
        self._marks.append((self._consumed + len(self._buffer), effect.name))

    def _do_runtool(self, effect: fx.RunTool) -> None:
        self.tools.append(effect)
        if self.tool_ms is not None:
            self.later(self.tool_ms, lambda: self.dispatch(ev.ToolDone(effect.call, '{"ok":true}')))

    def _do_health(self, effect: fx.Health) -> None:
        pass

    def _do_note(self, effect: fx.Note) -> None:
        self.notes.append((self.now // MS, effect.kind, dict(effect.fields)))

    def _do_transfer(self, effect: fx.Transfer) -> None:
        self.ended = f"transfer {effect.target}"

    def _do_hangup(self, effect: fx.HangUp) -> None:
        self.ended = effect.reason

    # -------------------------------------------------------------------------------------------------------- judging

    def noted(self, kind: str) -> list[dict[str, object]]:
        return [fields for _, name, fields in self.notes if name == kind]

    def when(self, kind: str) -> list[int]:
        return [at for at, name, _ in self.notes if name == kind]

    def link(self, provider: str, index: int = -1) -> SimLink:
        return [link for link in self.links.values() if link.provider == provider][index]

    def caller(self, begin_ms: int, end_ms: int) -> bytes:
        """What the caller sent between two media times."""
        return b"".join(self.sent_frames)[begin_ms * 8 : end_ms * 8]

    def words(self) -> list[int]:
        """The words the caller heard, in order; a word counts when 100 ms of it were heard."""
        pcm = Frame(bytes(self.heard), PCMU).pcm.astype(np.float64)
        out: list[int] = []
        step = 8 * 20
        loud = [i for i in range(0, len(pcm) - step, step) if np.abs(pcm[i : i + step]).mean() > 500]
        runs: list[tuple[int, int]] = []
        for i in loud:
            if runs and runs[-1][1] == i:
                runs[-1] = (runs[-1][0], i + step)
            else:
                runs.append((i, i + step))
        for begin, end in runs:
            if end - begin < 100 * 8:
                continue
            part = pcm[begin:end]
            spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), 16000))
            out.append(round((np.argmax(spectrum) / 2 - 300) / 7))
        return out

    def gaps_ms(self, begin_ms: int, end_ms: int) -> int:
        """The longest silence the caller heard between two times, ms."""
        quiet = np.frombuffer(bytes(self.heard), np.uint8)[begin_ms * 8 : end_ms * 8] >= 0xFE
        longest = run = 0
        for value in quiet:
            run = run + 1 if value else 0
            longest = max(longest, run)
        return longest // 8
