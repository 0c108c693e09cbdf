"""Short words for the hard moments: calls, faults, what was heard and what was received."""

from __future__ import annotations

from typing import Any

from tests.wire.caller import question
from tests.wire.ear import Heard, ear
from tests.wire.received import Received, other_sound, received
from tests.wire.stage import Socket, WireStage

WELCOME = "Hello, thank you for calling. How can I help you today?"
SCRIPT: dict[str, Any] = {
    "latency": {"upgrade_ms": 60, "session_ms": 20, "ack_ms": 30},
    "reply": {"seconds": 3.2, "first_audio_ms": 300, "lead_ms": 300},
}
ANSWER = "you asked about number {}"
PAIRS = [("openai", "gemini"), ("gemini", "openai"), ("azure_voice_live", "openai"), ("openai", "azure_voice_live")]


def rule(do: Any, phase: str, **when: Any) -> dict[str, Any]:
    """On the first connection unless said otherwise."""
    return {"when": {"phase": phase, "connection": 1, **when}, "do": do}


def call(*kinds: str, a: Any = (), b: Any = (), standby: str = "warm", **more: Any) -> WireStage:
    """Providers a, b, c … of these kinds; `a` and `b` are rules, or whole additions to their scripts."""
    scripts = []
    for added in (a, b, *([()] * (len(kinds) - 2))):
        scripts.append({**SCRIPT, **added} if isinstance(added, dict) else {**SCRIPT, "rules": list(added)})
    providers = {name: (kind, script) for name, kind, script in zip("abc", kinds, scripts, strict=False)}
    return WireStage(providers, standby, **more)


def ask(stage: WireStage, at_ms: int, number: int, ms: int = 1400) -> int:
    """The caller asks; returns when the turn is over."""
    return stage.say(at_ms, question(number, ms))


def heard(stage: WireStage) -> str:
    """Whole words; broken ones are marked."""
    return " ".join(word.word + ("" if word.whole else "~") for word in words(stage))


def words(stage: WireStage) -> list[Heard]:
    return ear().words(bytes(stage.heard))


def times(stage: WireStage, text: str) -> int:
    """How often the caller heard it."""
    return f" {heard(stage)} ".count(f" {text} ")


def got(stage: WireStage, provider: str, index: int = -1) -> list[Received]:
    return received(stage.of(provider)[index])


def turns(stage: WireStage, socket: Socket) -> list[bytes]:
    """The finished caller turns a connection was given."""
    return [entry.data for entry in received(socket) if entry.what == "speech"]


def assert_same(stage: WireStage, provider: str, data: bytes, begin_ms: int, end_ms: int) -> None:
    """What a provider got is what the caller said between two times."""
    trouble = other_sound(stage.targets[provider].kind, data, stage.caller(begin_ms, end_ms))
    assert not trouble, trouble


def asks(stage: WireStage, provider: str) -> list[Received]:
    """Everything it was asked, over all its connections."""
    return [entry for socket in stage.of(provider) for entry in received(socket) if entry.what == "ask"]


def difference(want: list[str], have: list[str]) -> int:
    """Words to take out or put in to make one the other."""
    row = list(range(len(have) + 1))
    for i, word in enumerate(want):
        above, row = row, [i + 1, *row[1:]]
        for j, other in enumerate(have):
            row[j + 1] = above[j] if word == other else 1 + min(above[j + 1], row[j])
    return row[-1]
