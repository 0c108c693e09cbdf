"""Calls with random faults at random times, judged by what the caller heard and what each provider received.

A failure prints its seed; `SEGUE_CHAOS_SEED=n pytest tests/chaos/test_random.py` runs that call alone,
`SEGUE_CHAOS_CALLS=n` sets how many are run.
"""

from __future__ import annotations

import os
import random

import pytest

from bridge.core import events as ev
from bridge.core.plan import Plan
from providers import base as pb
from providers.base import Fault, FaultClass
from tests.core.stage import GEMINI_LIKE, Behaviour, SimLink, Stage
from tests.core.test_call import LOOKUP

CALLS = int(os.environ.get("SEGUE_CHAOS_CALLS", "2000"))
ONLY = os.environ.get("SEGUE_CHAOS_SEED")
BATCH = 50
FAULTS = [
    Fault(FaultClass.NETWORK, "reset"),
    Fault(FaultClass.OVERLOADED, "1011", "1011"),
    Fault(FaultClass.RATE_LIMITED, "slow down", "429", 400),
    Fault(FaultClass.EXPIRED, "session expired"),
    Fault(FaultClass.ACCOUNT, "quota"),
]


class Chaos:
    """One call: its script, its faults, and what must be true of it afterwards."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = rng = random.Random(seed)
        self.words = rng.choice([4, 8, 14])
        self.tool_calls = rng.random() < 0.25
        acts = {
            name: Behaviour(
                first_audio=rng.choice([150, 400, 900]),
                speed=rng.choice([1.5, 4.0, 50.0]),
                words=self.words,
                caps=rng.choice([Behaviour().caps, Behaviour().caps, GEMINI_LIKE]),
                on_command=self.on_command,
            )
            for name in "abc"
        }
        self.stage = Stage(
            acts,
            plan=Plan((), rng.choice(["cold", "warm", "seeded"]), rng.choice([None, None, None, 300, 900])),
            greeting=rng.choice(["", "Hello"]),
            tools=(LOOKUP,),
            seed=seed,
            marks=rng.random() < 0.8,
        )
        self.stage.tool_ms = rng.choice([50, 700, 2600])
        self.skip_ask = 0
        self.in_text = False
        self.proof_ms: int | None = None
        self.log: list[str] = []
        self.cuts = False
        self.end_ms = self.script_caller()
        for _ in range(rng.randint(1, 4)):
            self.stage.later(rng.randint(0, self.end_ms), rng.choice(self.faults()))

    def script_caller(self) -> int:
        """Two to four turns; some resume after a pause, some talk over the agent. Returns when the caller leaves."""
        rng, ears = self.rng, self.stage.ears
        at = rng.randint(200, 4000)
        for _ in range(rng.randint(2, 4)):
            length = rng.choice([400, 1200, 3000])
            ears.at(at + 100, "cut" if rng.random() < 0.3 else "speech_start", at)
            ears.at(at + length + 500, "turn_end", at + length)
            at += length + 500 + rng.choice([200, 900, 4000, 9000])
        return at + 9000

    # -------------------------------------------------------------------------------------------------------- faults

    def on_command(self, link: SimLink, command: pb.Command) -> bool:
        if isinstance(command, pb.Probe) and self.proof_ms is not None:
            link.say(pb.Probed(), self.proof_ms)
            return True
        if not isinstance(command, pb.Ask):
            return False
        if self.in_text:
            self.in_text = False
            empty = Fault(FaultClass.EMPTY, "no audio")
            link.say(pb.ReplyStarted(command.number), 60)
            link.say(pb.ReplyText(command.number, f"text{command.number}", "w0000 w0001"), 120)
            link.say(pb.ReplyEnded(command.number, "empty", empty), 130)
            return True
        if self.skip_ask:
            self.skip_ask -= 1
            return True
        if self.tool_calls and not any(isinstance(c, pb.ToolOutput) for c in link.log) and not self.told(link):
            link.say(pb.ReplyStarted(command.number), 60)
            link.say(pb.ToolCalled(command.number, f"c{command.number}", "lookup", "{}"), 120)
            link.say(pb.ReplyEnded(command.number, "completed"), 130)
            return True
        return False

    @staticmethod
    def told(link: SimLink) -> bool:
        seeds = [item for c in link.log if isinstance(c, pb.Seed) for item in c.items]
        return any(isinstance(item, pb.ToolUse) or "still running" in getattr(item, "text", "") for item in seeds)

    def living(self) -> list[SimLink]:
        return [link for link in self.stage.links.values() if link.alive]

    def faults(self):  # type: ignore[no-untyped-def]
        rng, stage = self.rng, self.stage

        def die() -> None:
            if self.living():
                link = rng.choice(self.living())
                self.log.append(f"{stage.now // 10**6} die {link.provider}{link.number}")
                link.die(rng.choice(FAULTS))

        def half_open() -> None:
            if self.living():
                link = rng.choice(self.living())
                self.log.append(f"{stage.now // 10**6} silent {link.provider}{link.number}")
                link.silent = True

        def no_answer() -> None:
            self.log.append(f"{stage.now // 10**6} next ask unanswered")
            self.skip_ask = 1

        def answer_in_text() -> None:
            self.log.append(f"{stage.now // 10**6} next ask answered in text")
            self.in_text = True

        def slow_proofs() -> None:
            self.proof_ms = rng.choice([350, 600, 1500])
            self.log.append(f"{stage.now // 10**6} sessions prove themselves after {self.proof_ms} ms")

        def refuse() -> None:
            name = rng.choice("ab")
            self.log.append(f"{stage.now // 10**6} {name} refuses")
            stage.behaviours[name].refuse = rng.choice(FAULTS)
            stage.later(6000, lambda: setattr(stage.behaviours[name], "refuse", None))

        def go_away() -> None:
            if self.living():
                link = rng.choice(self.living())
                self.log.append(f"{stage.now // 10**6} goAway {link.provider}{link.number}")
                link.say(pb.Expiring(8000))

        def suspect() -> None:
            if self.living():
                stage.dispatch(ev.Suspect(rng.choice(self.living()).number, "slow outbox"))

        return [die, die, half_open, no_answer, refuse, go_away, suspect, answer_in_text, slow_proofs]

    # ------------------------------------------------------------------------------------------------------- judging

    def run(self) -> None:
        stage = self.stage
        stage.run(self.end_ms)
        stage.dispatch(ev.Gone("caller hung up"))
        stage.run(self.end_ms + 200)
        self.check_record()
        self.check_speech()
        self.check_answers()
        assert len({tool.key for tool in stage.tools}) == len(stage.tools)
        per_exchange: dict[int, int] = {}
        for call in stage.call._desk.ledger.calls.values():
            per_exchange[call.exchange] = per_exchange.get(call.exchange, 0) + 1
        assert all(count == 1 for count in per_exchange.values()), "a tool ran twice for one exchange"

    def check_record(self) -> None:
        stage = self.stage
        assert len(stage.noted("call_ended")) == 1
        opened = [note["exchange"] for note in stage.noted("exchange_opened")]
        settled = [note["exchange"] for note in stage.noted("exchange_settled")]
        reopened = [note["exchange"] for note in stage.noted("exchange_reopened")]
        assert sorted(settled) == sorted(opened + reopened), "each exchange is settled once"
        assert not self.living()
        assert stage.call.deadline is None

    def check_speech(self) -> None:
        """P1: whoever answered got every sample of every turn of the exchange, once and in order."""
        for exchange in self.stage.call._desk.conversation.exchanges:
            if exchange.state != "answered":
                continue
            reply = next((r for r in reversed(exchange.replies) if not r.void), None)
            if reply is None or reply.first_audio_ns is None:
                continue
            link = self.stage.links[reply.link]
            turns = [turn for turn in exchange.turns if turn.kind == "speech"]
            want = b"".join(self.stage.caller(turn.began // 8, (turn.ended or 0) // 8) for turn in turns)
            got = b"".join(link.turns.get(turn.id, b"") for turn in turns)
            assert got == want, f"turns of exchange {exchange.id}"

    def check_answers(self) -> None:
        """P2: the words of an answer come once each and in order; only a barge-in may cut it short."""
        heard = [word for word in self.stage.words() if word < 390]
        runs: list[list[int]] = []
        for word in heard:
            if runs and word == runs[-1][-1] + 1:
                runs[-1].append(word)
            else:
                runs.append([word])
        answered = [e for e in self.stage.call._desk.conversation.exchanges if e.state == "answered"]
        assert all(run[0] == 0 for run in runs), f"an answer begins in its middle: {runs}"
        whole = sum(1 for run in runs if len(run) == self.words)
        exchanges = self.stage.call._desk.conversation.exchanges
        spoken = [e for e in exchanges if any(r.heard for r in e.replies)]
        late = [e for e in exchanges if any(r.after_tool for r in e.replies)]  # said so, then said the result
        assert len(runs) <= len(spoken) + len(late), f"more answers than exchanges: {runs}"
        assert whole <= len(answered) + len(late) + 1, (runs, len(answered))


def seeds() -> list[int]:
    return [int(ONLY)] if ONLY else list(range(0, CALLS, BATCH))


@pytest.mark.parametrize("first", seeds())
def test_random_faults(first: int) -> None:
    for seed in [first] if ONLY else range(first, first + BATCH):
        chaos = Chaos(seed)
        try:
            chaos.run()
        except Exception as error:
            raise AssertionError(f"SEGUE_CHAOS_SEED={seed}: {error!r}\n" + "\n".join(chaos.log)) from error
