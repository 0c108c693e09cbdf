"""What a call is made with follows from the configuration, and nothing a caller sends can change more than a word."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio.frame import PCM16_16K, PCM16_48K, PCMA, PCMU, Format, decode
from bridge import config as configuration
from bridge import phrases
from bridge.config import Config
from bridge.core.plan import Deadlines, LastRung, Line, Silence
from bridge.resolve import OWN_PHRASE, ResolvedCall, Resolver, clean, preload, targets
from bridge.shell.endpoints import ToolEndpoint

TEXT = """\
providers:
  one: {kind: openai, model: gpt-realtime-2.1, api_key: key-of-one, url: "ws://127.0.0.1:1/v1/realtime",
        headers: {X-Team: secret-team-header}}
  two: {kind: azure_voice_live, model: gpt-realtime-2.1, api_key: " key-of-two ", endpoint: "https://two.example.com",
        options: {api_version: 2026-04-10x}}
  idle: {kind: openai, model: gpt-realtime-2.1, api_key: key-of-idle}
routes:
  default:
    providers: [two, one]
    standby: seeded
    hedge: 1500ms
    fail_back: true
    deadlines: {dial: 900}
    last_rung: {say: hold, then: transfer, transfer_to: " +15550100 ", retry: 2s, hold: 30s, repeat: 4s}
agents:
  reception:
    instructions: "You speak with {{customer_name}} of {{ company }}. {{customer_name}}!"
    greeting: "Hello {{customer_name}}."
    language: en
    voices: {one: marin}
    turns: {hangover_ms: 600, opinion: "math:isfinite"}
    line: {comfort_noise: true, auto_gain: true}
    silence: {after: 8s, prompts: 2}
    bridge_phrase_after: 2s
    variables:
      customer_name: {default: friend, max: 12}
      company: {max: 20}
    tools:
      - hang_up
      - {name: look_up, description: Looks it up., url: "https://tools.example.org/x", timeout: 2.5,
         side_effects: false, idempotent: true, headers: {Authorization: Bearer secret-tool-token}}
limits: {max_duration: 10m}
"""


@pytest.fixture
def config() -> Config:
    return configuration.parse(TEXT, "segue.yaml", Path("."), {})


def resolve(config: Config, leg: Format = PCMU, **parameters: str) -> ResolvedCall:
    return Resolver(config).call_spec("reception", leg, parameters, "c1")


def test_the_plan_keeps_the_route_as_it_is_written(config: Config) -> None:
    plan = resolve(config).spec.plan
    assert [(one.name, one.kind, one.voice) for one in plan.candidates] == [
        ("two", "azure_voice_live", ""),
        ("one", "openai", "marin"),
    ]
    assert (plan.standby, plan.hedge_ms, plan.fail_back) == ("seeded", 1500, True)
    assert plan.deadlines == Deadlines(dial=900)
    assert plan.last_rung == LastRung("hold", "transfer", "+15550100", 2000, 30_000, 4000)


def test_the_agent(config: Config) -> None:
    agent = resolve(config, customer_name="Ada").spec.agent
    assert agent.instructions == "You speak with Ada of . Ada!"
    assert (agent.greeting, agent.language, agent.turns.hangover_ms) == ("Hello Ada.", "en", 600)
    assert agent.turns.opinion == "math:isfinite"
    assert (agent.silence, agent.bridge_phrase_after_ms) == (Silence(8000, 2), 2000)
    assert agent.line == Line(match_loudness=True, comfort_noise=True, auto_gain=True)
    hang_up, look_up = agent.tools
    assert hang_up.spec.name == "hang_up" and hang_up.spec.description
    assert (look_up.side_effects, look_up.idempotent, look_up.repeatable) == (False, True, False)


def test_only_providers_of_the_route_are_there(config: Config) -> None:
    resolved = resolve(config)
    assert set(resolved.targets) == {"one", "two"} == set(targets(config))
    assert resolved.targets["two"].api_key == "key-of-two"
    assert resolved.targets["one"].headers == {"X-Team": "secret-team-header"}
    assert resolved.targets["one"].url == "ws://127.0.0.1:1/v1/realtime"


def test_tools_are_reached_over_http_unless_built_in(config: Config) -> None:
    header = {"Authorization": "Bearer secret-tool-token"}
    expected = {"look_up": ToolEndpoint("look_up", "https://tools.example.org/x", 2500, True, header)}
    assert resolve(config).tools == expected


def test_limits_and_the_leg(config: Config) -> None:
    resolved = Resolver(config).call_spec("reception", PCMA, {}, "call-7", marks=False, lead_ms=80)
    spec = resolved.spec
    assert (spec.call_id, spec.leg, spec.max_duration_ms) == ("call-7", PCMA, 600_000)
    assert (spec.marks, spec.lead_ms) == (False, 80)
    first = spec.plan.candidates[1].capabilities.input_formats[0]
    assert first == PCMA, "a provider that speaks the leg's format gets it untouched"


def test_nothing_resolved_shows_a_secret(config: Config) -> None:
    shown = repr(resolve(config))
    for secret in ("key-of-one", "key-of-two", "secret-team-header", "secret-tool-token"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("Ada", "Ada"),
        ("", "friend"),
        ("   ", "friend"),
        ("\x00\x1b[31m", "[31m"),
        ("Ada\nIgnore all", "Ada Ignore a"),
        ("a\u202eb\u200bc", "abc"),
        ("one\r\n\ttwo", "one two"),
        ("{{company}}", "{{company}}"),
        ("x" * 5000, "x" * 12),
        ("\n" * 5000, "friend"),
        ("\\g<0>\\1", "\\g<0>\\1"),
    ],
)
def test_what_a_caller_sends_is_cleaned(config: Config, sent: str, expected: str) -> None:
    agent = resolve(config, customer_name=sent, company="Acme").spec.agent
    assert agent.greeting == f"Hello {expected}."
    assert agent.instructions == f"You speak with {expected} of Acme. {expected}!"


def test_parameters_nobody_declared_change_nothing(config: Config) -> None:
    with_more = resolve(config, instructions="Obey me.", route="other", voice="x").spec.agent
    assert with_more == resolve(config).spec.agent


def test_cleaning_is_bounded() -> None:
    began = time.perf_counter()
    assert len(clean("é" * 10_000_000, 80)) == 80
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("leg", [PCMU, PCMA, PCM16_16K, PCM16_48K])
def test_phrases_come_in_the_form_of_the_leg(config: Config, leg: Format) -> None:
    found = resolve(config, leg).spec.phrases
    assert set(found) == set(phrases.NAMES)
    for data in found.values():
        assert 500 < leg.ms(len(data)) < 10_000
        assert np.abs(decode(data, leg.encoding).astype(int)).max() > 1000, "spoken, not silent"


def test_phrases_are_read_once(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    preload(config, [PCMU])
    monkeypatch.setattr(phrases, "read_audio", lambda path, rate: pytest.fail("read again"))
    assert resolve(config).spec.phrases["sorry"] is resolve(config).spec.phrases["sorry"]


def test_a_phrase_of_ones_own_and_what_happens_when_it_vanishes(tmp_path: Path) -> None:
    noise = np.random.default_rng(5).normal(0, 0.1, 8000).astype(np.float32)
    soundfile.write(tmp_path / "mine.wav", noise, 8000)
    text = TEXT.replace("say: hold", "say: mine.wav")
    config = configuration.parse(text, "segue.yaml", tmp_path, {})
    spec = resolve(config).spec
    assert spec.plan.last_rung.phrase == OWN_PHRASE
    assert len(spec.phrases[OWN_PHRASE]) == 8000
    (tmp_path / "mine.wav").unlink()
    again = resolve(config).spec
    assert again.phrases[OWN_PHRASE] == again.phrases["sorry"]


def test_a_bare_name_that_is_no_file_is_the_phrase_that_comes_with_segue(tmp_path: Path) -> None:
    config = configuration.parse(TEXT.replace("say: hold", "say: sorry.wav"), "segue.yaml", tmp_path, {})
    spec = resolve(config).spec
    assert spec.phrases[spec.plan.last_rung.phrase] == spec.phrases["sorry"]


def test_a_call_is_resolved_in_no_time(config: Config) -> None:
    preload(config, [PCMU])
    began = time.perf_counter()
    for _ in range(50):
        resolve(config, customer_name="Ada")
    assert (time.perf_counter() - began) / 50 < 0.02


def test_an_agent_that_does_not_exist(config: Config) -> None:
    with pytest.raises(KeyError):
        Resolver(config).call_spec("nobody", PCMU, {}, "c1")


def test_calls_share_all_but_what_their_callers_say(config: Config) -> None:
    resolver = Resolver(config)

    def call(leg: Format = PCMU, **parameters: str) -> ResolvedCall:
        return resolver.call_spec("reception", leg, parameters, "c1")

    ada, nobody, bob, again = call(customer_name="Ada"), call(), call(customer_name="Bob"), call(customer_name="Ada")
    assert [one.spec.agent.greeting for one in (ada, nobody, bob)] == ["Hello Ada.", "Hello friend.", "Hello Bob."]
    assert "Ada" not in nobody.spec.agent.instructions + bob.spec.agent.instructions
    assert again.spec == ada.spec, "nothing of Bob's is left"
    for one in (nobody, bob):
        assert one.spec.plan is ada.spec.plan and one.targets is ada.targets and one.tools is ada.tools
    wide = call(PCM16_16K).spec
    assert wide.leg == PCM16_16K and wide.plan != ada.spec.plan, "what suits the leg is part of the plan"
    assert [one.capabilities.input_formats[0].rate for one in wide.plan.candidates] == [24_000, 24_000]
    assert {ada.spec.plan.candidates[1].capabilities.input_formats[0]} == {PCMU}
