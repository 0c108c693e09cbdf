"""What a call is made with: a frozen snapshot of configuration, resolved before the call starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from audio.frame import Format
from audio.turns import TurnSettings
from providers.base import ToolSpec
from providers.codec import Capabilities


@dataclass(frozen=True, slots=True)
class Candidate:
    """One provider entry a call may use. `voice` is the agent's voice on it."""

    name: str
    kind: str
    model: str
    capabilities: Capabilities
    voice: str = ""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """All in ms. See the deadlines paragraph of docs/design.md for how they work together."""

    dial: int = 1500
    configured: int = 1000
    prepare: int = 1200  # end of turn to first audio: ready the standby
    first_audio: int = 2800  # end of turn to first audio: switch
    first_audio_after_tool: int = 4500
    stall_gap: int = 600  # no audio for this long inside a reply before it can count as stalled
    seed_left: int = 2000  # ... and less than this left to play: ready and seed the standby
    ask_margin: int = 150  # ... and no more than the standby's first audio plus this left: ask it
    slow_sum: int = 400  # underruns within one reply that make it slow
    standby_ack: int = 400
    standby_probe: int = 20_000
    ping_budget: int = 1000
    ping_every: int = 2000
    tool_hold: int = 2000  # how long a handover waits for a running tool before asking without it
    leg_grace: int = 15_000
    key_gap: int = 2000
    rotate_before: int = 5 * 60_000  # planned rotation this long before a session limit
    text_grace: int = 1000  # how long a replaced link that lives is kept for late transcripts and usage; 0: not at all


@dataclass(frozen=True, slots=True)
class LastRung:
    """What happens when no provider is left: the phrase, then retries while the caller waits, then the policy. Who
    waits hears "hold" `repeat_ms` after the end of the phrase, and so on; 0 says it once."""

    phrase: str = "sorry"
    then: Literal["hang_up", "transfer", "take_message"] = "hang_up"
    transfer_to: str = ""
    retry_ms: int = 1000
    hold_ms: int = 20_000  # how long retries go on before the policy acts
    repeat_ms: int = 6000


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool and what may be done with it across a switch."""

    spec: ToolSpec
    side_effects: bool = True
    idempotent: bool = False
    repeatable: bool = False


@dataclass(frozen=True, slots=True)
class Silence:
    """Re-prompt a silent caller after `after_ms`; end the call when `prompts` re-prompts went unanswered."""

    after_ms: int = 6000
    prompts: int = 3


@dataclass(frozen=True, slots=True)
class Line:
    """What is done to the sound of the call. `match_loudness`: every voice of the agent is brought to the level of the
    first one heard. `comfort_noise`: a narrow-band line never falls silent altogether. `auto_gain`: providers get a
    quiet caller raised."""

    match_loudness: bool = True
    comfort_noise: bool = False
    auto_gain: bool = False


@dataclass(frozen=True, slots=True)
class Agent:
    """Who speaks. `greeting` empty: the caller speaks first."""

    name: str
    instructions: str
    greeting: str = ""
    language: str = ""
    tools: tuple[Tool, ...] = ()
    turns: TurnSettings = field(default_factory=TurnSettings)
    line: Line = field(default_factory=Line)
    silence: Silence | None = field(default_factory=Silence)
    bridge_phrase_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Which providers, in which order, and how a switch is made. Filtered by policy before the call sees it."""

    candidates: tuple[Candidate, ...]
    standby: Literal["cold", "warm", "seeded"] = "warm"
    hedge_ms: int | None = None
    fail_back: bool = False
    deadlines: Deadlines = field(default_factory=Deadlines)
    last_rung: LastRung = field(default_factory=LastRung)

    def candidate(self, name: str) -> Candidate:
        """Raises KeyError for a name that is not in the plan."""
        for candidate in self.candidates:
            if candidate.name == name:
                return candidate
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class CallSpec:
    """Everything a `Call` is constructed from. `phrases` holds local spoken messages in the leg's wire form:
    "sorry", "rephrase", "hold", "goodbye"."""

    call_id: str
    leg: Format
    agent: Agent
    plan: Plan
    phrases: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    max_duration_ms: int = 60 * 60 * 1000
    marks: bool = True  # the carrier acknowledges playback
    lead_ms: int = 80  # how far ahead of real time audio is sent
