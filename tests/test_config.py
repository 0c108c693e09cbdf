"""A configuration is whole and valid, or everything that is wrong with it is said, with its line."""

# ruff: noqa: E501 - the table of mistakes is read best with one mistake a line

from __future__ import annotations

import textwrap
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bridge import config as configuration
from bridge.config import Config, ConfigError, Problem
from bridge.config_default import credentialed, embedded

CANARY = "sk-canary-0123456789abcdef"

GOOD = """\
public_url: "https://voice.example.org"
providers:
  openai: {kind: openai, model: gpt-realtime-2.1, api_key: "${OPENAI_API_KEY}"}
  azure: {kind: azure_voice_live, endpoint: "https://one.example.com", model: gpt-realtime-2.1, api_key: k2-azure-key}
  gemini: {kind: gemini, model: gemini-3.8-live, api_key: k3-gemini-key}
routes:
  default:
    providers: [openai, azure, gemini]
    standby: warm
    hedge: null
    last_rung: {say: sorry, then: transfer, transfer_to: "+15550100"}
agents:
  reception:
    instructions: "Speak with {{customer_name}}."
    greeting: "Hello {{ customer_name }}!"
    voices: {openai: marin}
    variables: {customer_name: {default: "", max: 80}}
    turns: {hangover_ms: 500}
    tools:
      - name: order_status
        description: Where an order is.
        parameters: {type: object, properties: {order: {type: string}}}
        url: https://tools.example.org/order
        timeout: 5
edges:
  media_ws: {listen: "127.0.0.1:8080", agent: reception, auth_token: "${TWILIO_AUTH_TOKEN}"}
record: {mode: full, folder: calls, keep: 30d}
limits: {max_calls: 100, max_duration: 60m}
"""
ENV = {"OPENAI_API_KEY": CANARY, "TWILIO_AUTH_TOKEN": "twilio-canary-token"}


def parse(text: str, env: dict[str, str] | None = None, folder: Path = Path(".")) -> Config:
    return configuration.parse(textwrap.dedent(text), "segue.yaml", folder, ENV if env is None else env)


def problems(text: str, env: dict[str, str] | None = None, folder: Path = Path(".")) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        parse(text, env, folder)
    return list(caught.value.problems)


def broken(old: str, new: str, env: dict[str, str] | None = None, folder: Path = Path(".")) -> str:
    """The one error of the good configuration with one thing changed."""
    assert GOOD.count(old) == 1, old
    found = problems(GOOD.replace(old, new), env, folder)
    assert len(found) == 1, [str(item) for item in found]
    return f"{found[0].line}: {found[0]}"


def test_a_good_one() -> None:
    config = parse(GOOD)
    assert config.routes["default"].providers == ["openai", "azure", "gemini"]
    assert config.record.keep == 30 * 86_400_000
    assert config.limits.max_duration == 3_600_000
    assert config.agents["reception"].tools[0].timeout == 5000
    assert config.agents["reception"].turns.hangover_ms == 500
    key = config.providers["openai"].api_key
    assert key is not None and key.get_secret_value() == CANARY
    assert config.warnings == ()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("kind: gemini, model", "kind: gemini, modle: x, model", '5: providers.gemini.modle: unknown key "modle" (did you mean "model"?)'),
        ("standby: warm", "standby: hot", "9: routes.default.standby: must be one of: 'cold', 'warm' or 'seeded'"),
        ("api_key: k3-gemini-key", "api_key: k, options: {voice: x}", "5: providers.gemini.options: kind gemini has no option 'voice'; known: api, api_version, auth, capabilities, location, project, thinking_level"),
        ("hedge: null", "hedge: soon", "10: routes.default.hedge: must be a duration such as 500ms, 5s, 60m, 12h or 30d"),
        ("hedge: null", "deadlines: {first_audoi: 3}", '10: routes.default.deadlines.first_audoi: unknown key "first_audoi" (did you mean "first_audio"?)'),
        ("hedge: null", "deadlines: {prepare: 3s}", "10: routes.default.deadlines.prepare: must not be later than first_audio (2800 ms)"),
        ("hedge: null", "deadlines: {dial: 0}", "10: routes.default.deadlines.dial: must be more than 0"),
        ("hedge: null", "fail_back: 7", "10: routes.default.fail_back: must be true or false"),
        ("[openai, azure, gemini]", "[openai, azrue, gemini]", '8: routes.default.providers[1]: unknown provider "azrue" (did you mean "azure"?)'),
        ("[openai, azure, gemini]", "[openai, openai]", '8: routes.default.providers[1]: provider "openai" is listed twice'),
        ("[openai, azure, gemini]", "[]", "8: routes.default.providers: must not be empty"),
        (", transfer_to: \"+15550100\"", "", "11: routes.default.last_rung.transfer_to: is required when then is transfer (a number like +15550100 or a sip: address)"),
        ("\"+15550100\"", "+15550100", "11: routes.default.last_rung.transfer_to: must be text; put it in quotes"),
        ("\"+15550100\"", "reception desk", "11: routes.default.last_rung.transfer_to: is not a number or a sip: address"),
        ("say: sorry", "say: sory", '11: routes.default.last_rung.say: unknown phrase "sory" (a WAV or FLAC file, or one of: sorry, rephrase, hold, goodbye, message)'),
        ("Speak with {{customer_name}}.", "Speak with {{customer}}.", '14: agents.reception.instructions: uses {{customer}}, which variables does not declare (did you mean "customer_name"?)'),
        ("voices: {openai: marin}", "voices: {opnai: marin}", '16: agents.reception.voices.opnai: unknown provider "opnai" (did you mean "openai"?)'),
        ("voices: {openai: marin}", "route: defualt", '16: agents.reception.route: unknown route "defualt" (did you mean "default"?)'),
        ("hangover_ms: 500", "hangover_ms: long", "18: agents.reception.turns.hangover_ms: must be a whole number"),
        ("turns: {hangover_ms: 500}", "line: {comfort: true}", '18: agents.reception.line.comfort: unknown key "comfort" (did you mean "comfort_noise"?)'),
        ("turns: {hangover_ms: 500}", "line: {match_loudness: 3}", "18: agents.reception.line.match_loudness: must be true or false"),
        ("hangover_ms: 500", "hangover_ms: 11s", "18: agents.reception.turns.hangover_ms: must be between 0 and 10000"),
        ("hangover_ms: 500", "opinion: judges.yes", "18: agents.reception.turns.opinion: must be written package.module:function (install it where Segue runs, or put its folder on PYTHONPATH)"),
        ("hangover_ms: 500", "opinion: \"no_such_judge:yes\"", "18: agents.reception.turns.opinion: no_such_judge cannot be imported (ModuleNotFoundError: No module named 'no_such_judge') (install it where Segue runs, or put its folder on PYTHONPATH)"),
        ("hangover_ms: 500", "opinion: \"math:no_such_function\"", "18: agents.reception.turns.opinion: math has no function no_such_function (install it where Segue runs, or put its folder on PYTHONPATH)"),
        ("voices: {openai: marin}", "line: {auto_gian: true}", '16: agents.reception.line.auto_gian: unknown key "auto_gian" (did you mean "auto_gain"?)'),
        ("voices: {openai: marin}", "line: {auto_gain: loud}", "16: agents.reception.line.auto_gain: must be true or false"),
        ("        url: https://tools.example.org/order\n", "", "20: agents.reception.tools[0].url: is required (only hang_up is built in)"),
        ("https://tools.example.org/order", "tools.example.org", "23: agents.reception.tools[0].url: is not an address (for example https://host/path)"),
        ("https://tools.example.org/order", "https://me:pw@tools.example.org/o", "23: agents.reception.tools[0].url: carries a name or password (credentials go into api_key or headers)"),
        ("{type: object, properties: {order: {type: string}}}", "{type: string}", "22: agents.reception.tools[0].parameters: must be a JSON Schema with type: object"),
        ("timeout: 5", "timeout: 1h", "24: agents.reception.tools[0].timeout: must be between 100ms and 5m (a bare number is in seconds)"),
        ("agent: reception", "agent: receptoin", '26: edges.media_ws.agent: unknown agent "receptoin" (did you mean "reception"?)'),
        ("127.0.0.1:8080", "8080", "26: edges.media_ws.listen: must be HOST:PORT, for example 127.0.0.1:8080"),
        ("mode: full", "mode: everything", "27: record.mode: must be one of: 'full', 'events' or 'off'"),
        ("max_calls: 100", "max_calls: many", "28: limits.max_calls: must be a whole number"),
        ("max_calls: 100", "max_calls: true", "28: limits.max_calls: must be a whole number"),
        ("max_calls: 100", "max_calls: 0", "28: limits.max_calls: must be at least 1"),
        ("max_calls: 100", "max_calls: 100, max_calls: 5", "28: limits.max_calls: is there twice (first on line 28) (keep one of them)"),
        ("kind: gemini", "kind: gemnii", '5: providers.gemini.kind: unknown kind "gemnii" (did you mean "gemini"?)'),
        ("api_key: k3-gemini-key", "api_key: \"\"", "5: providers.gemini.api_key: is empty or missing (give api_key, or headers that carry the credential; behind a url of your own both may be left out)"),
        ("api_key: k3-gemini-key", "api_key: “k3”", "5: providers.gemini.api_key: holds characters that no key has (a line break or a typographic quote, perhaps)"),
        ("endpoint: \"https://one.example.com\", ", "", "4: providers.azure.endpoint: is required for azure_voice_live (the resource's https:// address, or set url)"),
        ("api_key: k3-gemini-key", "api_key: k, url: ws://gateway.example.com/x", "5: providers.gemini.url: is unencrypted (ws://) and not on this machine (use wss://)"),
        ("api_key: k3-gemini-key", "api_key: k, url: \"wss://h/x?api_key=abc\"", "5: providers.gemini.url: carries a credential in its query (credentials go into api_key or headers)"),
        ("api_key: k3-gemini-key", "api_key: k, headers: {X-A: [1]}", "5: providers.gemini.headers.X-A: must be text; put it in quotes"),
        ("https://voice.example.org", "voice.example.org", "1: public_url: is not an address (for example https://host/path)"),
        ("  reception:\n", "  front desk:\n", "13: agents.front desk: may hold letters, digits, - and _ only, 64 at most"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(old: str, new: str, expected: str) -> None:
    assert broken(old, new) == expected


def test_a_missing_variable_names_itself_and_its_key() -> None:
    assert problems(GOOD, {"TWILIO_AUTH_TOKEN": "t0ken-of-twilio"}) == [
        Problem(
            ("providers", "openai", "api_key"),
            3,
            "needs the environment variable OPENAI_API_KEY, which is not set",
            "set it, or give a default: ${OPENAI_API_KEY:-…}",
        )
    ]


def test_several_mistakes_come_at_once_in_the_order_of_the_file() -> None:
    text = GOOD.replace("standby: warm", "standby: hot").replace("mode: full", "moed: full").replace("kind: openai", "x: 1")
    lines = [problem.line for problem in problems(text, {})]
    assert lines == sorted(lines) and set(lines) >= {3, 9, 26, 27}


def test_every_name_that_does_not_exist_is_found_in_one_go() -> None:
    text = GOOD.replace("[openai, azure, gemini]", "[a, b]").replace("agent: reception", "agent: nobody")
    assert [problem.where for problem in problems(text)] == [
        "routes.default.providers[0]",
        "routes.default.providers[1]",
        "edges.media_ws.agent",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [", "segue.yaml:2: not valid YAML"),
        ("a: @b", "segue.yaml:1: not valid YAML"),
        ("", "segue.yaml:1: must be a mapping with providers, routes and agents"),
        ("- a\n", "segue.yaml:1: must be a mapping with providers, routes and agents"),
        ("providers: ${", "has a '${' that names no variable"),
        ("? [a, b]\n: c\n", "has a key that is not a plain word"),
        ("a: &a [*a]\n", "nested too deeply"),
        ("\x00", "not valid YAML"),
    ],
)
def test_what_is_no_configuration_at_all(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configuration.parse(text, "segue.yaml", Path("."), {})
    assert expected in str(caught.value)


def test_a_file_that_grows_through_aliases_is_refused_quickly() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    began = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        configuration.parse("\n".join(lines), "segue.yaml", Path("."), {})
    assert "repeats itself through aliases" in str(caught.value)
    assert time.monotonic() - began < 20


def test_defaults_of_variables_and_the_dollar_sign() -> None:
    text = GOOD.replace('"${OPENAI_API_KEY}"', '"${OTHER:-fall-back-key}"').replace("Speak with", "It costs $$5 or $6:")
    config = parse(text)
    key = config.providers["openai"].api_key
    assert key is not None and key.get_secret_value() == "fall-back-key"
    assert config.agents["reception"].instructions.startswith("It costs $5 or $6:")
    other = parse(text, {**ENV, "OTHER": "from-env-key"}).providers["openai"].api_key
    assert other is not None and other.get_secret_value() == "from-env-key"


def test_a_variable_takes_the_type_of_what_it_holds_only_where_it_is_not_quoted() -> None:
    text = GOOD.replace("limits: {max_calls: 100, max_duration: 60m}", "limits:\n  max_calls: ${MAX}")
    assert parse(text, {**ENV, "MAX": "7"}).limits.max_calls == 7
    assert "must be a whole number" in str(problems(text, {**ENV, "MAX": "a: [b"})[0])


def test_a_variable_between_braces_needs_quotes_and_is_told_so() -> None:
    found = problems(GOOD.replace("max_calls: 100", "max_calls: ${MAX}"))
    assert "put ${…} in quotes" in found[0].hint and found[0].line == 28


def test_a_variable_cannot_bring_structure_with_it() -> None:
    env = {**ENV, "OPENAI_API_KEY": "x}, evil: {kind: openai"}
    key = parse(GOOD, env).providers["openai"].api_key
    assert key is not None and key.get_secret_value() == "x}, evil: {kind: openai"


@pytest.mark.parametrize(
    ("written", "ms"),
    [("500ms", 500), ("1.5s", 1500), ("60m", 3_600_000), ("12h", 43_200_000), ("30d", 2_592_000_000), ("5", 5000), ("0.25", 250)],
)
def test_durations(written: str, ms: int) -> None:
    assert parse(GOOD.replace("keep: 30d", f"keep: {written}")).record.keep == ms


def test_words_that_yaml_would_take_for_truth_values() -> None:
    text = GOOD.replace("{mode: full, folder: calls, keep: 30d}", "{mode: off}").replace("turns: {hang", "silence: off\n    turns: {hang")
    config = parse(text)
    assert config.record.mode == "off"
    assert config.agents["reception"].silence is None
    assert parse(GOOD.replace("standby: warm", "fail_back: yes")).routes["default"].fail_back is True


def test_deadlines_take_milliseconds_and_durations() -> None:
    deadlines = parse(GOOD.replace("hedge: null", "deadlines: {dial: 900, first_audio: 3.5s}")).routes["default"].deadlines
    assert (deadlines.dial, deadlines.first_audio, deadlines.configured) == (900, 3500, 1000)


def test_a_listener_for_everybody_needs_a_token() -> None:
    open_door = broken('listen: "127.0.0.1:8080", agent: reception, auth_token: "${TWILIO_AUTH_TOKEN}"',
                       'listen: "0.0.0.0:8080", agent: reception')  # fmt: skip
    assert open_door.startswith("26: edges.media_ws.auth_token: 0.0.0.0:8080 can be reached from other machines")
    nameless = problems(GOOD.replace("127.0.0.1", "0.0.0.0").replace('public_url: "https://voice.example.org"', ""))
    assert [problem.where for problem in nameless] == ["public_url"]
    for host in ("[::1]", "localhost", "127.8.8.8"):
        text = GOOD.replace("127.0.0.1:8080", f"{host}:8080").replace(', auth_token: "${TWILIO_AUTH_TOKEN}"', "")
        assert parse(text).edges.media_ws is not None


def test_a_gateway_that_holds_the_credentials_itself_needs_none_of_ours() -> None:
    config = parse(GOOD.replace("api_key: k3-gemini-key", 'url: "wss://gateway.example.com/gemini"'))
    assert config.providers["gemini"].target("gemini").api_key == ""


def test_two_tokens_while_one_replaces_the_other() -> None:
    text = GOOD.replace('auth_token: "${TWILIO_AUTH_TOKEN}"', "auth_token: [first-token, second-token]")
    edge = parse(text).edges.media_ws
    assert edge is not None and [token.get_secret_value() for token in edge.auth_token] == ["first-token", "second-token"]


def test_a_phrase_of_ones_own(tmp_path: Path) -> None:
    tone = (np.random.default_rng(3).normal(0, 0.1, 16000)).astype(np.float32)
    soundfile.write(tmp_path / "mine.wav", tone, 16000)
    (tmp_path / "text.wav").write_text("this is no audio")
    soundfile.write(tmp_path / "long.wav", np.tile(tone, 40), 16000)
    assert parse(GOOD.replace("say: sorry", "say: mine.wav"), folder=tmp_path).folder == tmp_path
    assert "gone.wav: no such file" in broken("say: sorry", "say: gone.wav", folder=tmp_path)
    assert "is not a sound file that can be read" in broken("say: sorry", "say: text.wav", folder=tmp_path)
    assert "lasts 40.0 s" in broken("say: sorry", "say: long.wav", folder=tmp_path)
    soundfile.write(tmp_path / "fast.wav", tone, 96000)
    assert "unsupported rate of 96000 Hz" in broken("say: sorry", "say: fast.wav", folder=tmp_path)


def test_warnings_do_not_stop_anything() -> None:
    text = GOOD.replace("[openai, azure, gemini]", "[openai]").replace('public_url: "https://voice.example.org"\n', "")
    found = "\n".join(parse(text).warnings)
    assert "providers.azure: no route names it, so it is never dialled" in found
    assert "segue.yaml:8: routes.default.standby: warm needs a second provider" in found
    assert "public_url: is not set" in found
    message = GOOD.replace('then: transfer, transfer_to: "+15550100"', "then: take_message").replace("mode: full", "mode: events")
    (line,) = parse(message).warnings
    assert "routes.default.last_rung.then: a message can only be kept with record.mode: full" in line


def test_unreadable_files(tmp_path: Path) -> None:
    for name, content, expected in [
        ("binary.yaml", b"\xff\xfe\x00a", "is not UTF-8 text"),
        ("big.yaml", b"#" * (5 * 1024 * 1024), "is larger than 4 MiB"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            configuration.load(tmp_path / name, {})
        assert expected in str(caught.value)
    with pytest.raises(ConfigError) as absent:
        configuration.load(tmp_path / "absent.yaml", {})
    assert str(absent.value).endswith("absent.yaml: cannot be read: No such file or directory")


def test_reload_is_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "segue.yaml"
    file.write_text(GOOD)
    old = configuration.load(file, ENV)
    file.write_text(GOOD.replace("max_calls: 100", "max_calls: 3").replace("standby: warm", "standby: cold"))
    new = configuration.reload(old, file, ENV)
    assert (old.limits.max_calls, new.limits.max_calls, new.routes["default"].standby) == (100, 3, "cold")
    file.write_text(GOOD.replace("max_calls: 100", "max_calls: 3").replace("standby: warm", "standby: hot"))
    with pytest.raises(ConfigError):
        configuration.reload(new, file, ENV)
    assert new.limits.max_calls == 3
    file.write_text(GOOD.replace("8080", "9090"))
    with pytest.raises(ConfigError) as caught:
        configuration.reload(new, file, ENV)
    assert "edges.media_ws.listen: cannot change while running (restart to change it)" in str(caught.value)


@pytest.mark.parametrize(("key", "record"), [("mode", "{mode: events}"), ("folder", "{mode: full, folder: elsewhere}")])
def test_a_reload_that_would_record_otherwise_is_refused_not_ignored(tmp_path: Path, key: str, record: str) -> None:
    file = tmp_path / "segue.yaml"
    plain = "\n".join(line for line in GOOD.splitlines() if not line.startswith("record:"))
    file.write_text(plain + "\nrecord: {mode: full}\n")
    old = configuration.load(file, ENV)
    file.write_text(plain + f"\nrecord: {record}\n")
    with pytest.raises(ConfigError) as caught:
        configuration.reload(old, file, ENV)
    assert str(caught.value).count("cannot change") == 1 and f"record.{key}" in str(caught.value)


def test_what_a_reload_takes_from_running_calls() -> None:
    old = parse(GOOD)
    new = parse(GOOD.replace("[openai, azure, gemini]", "[gemini, openai]"))
    assert configuration.excluded(old, new, "reception") == ("azure",)
    assert configuration.excluded(new, old, "reception") == ()
    gone = parse(GOOD.replace("  reception:", "  other:").replace("agent: reception", "agent: other"))
    assert configuration.excluded(old, gone, "reception") == ()


def test_a_hundred_providers_and_dozens_of_agents_are_read_in_a_moment() -> None:
    lines = ["providers:"]
    lines += [f"  p{n}: {{kind: openai, model: gpt-realtime-2.1, api_key: key-number-{n}}}" for n in range(100)]
    lines += ["routes:"]
    lines += [f"  r{n}: {{providers: [{', '.join(f'p{k}' for k in range(100))}]}}" for n in range(50)]
    lines += ["agents:"]
    lines += [f"  a{n}: {{instructions: 'Be kind.', route: r{n}, tools: [hang_up]}}" for n in range(50)]
    began = time.perf_counter()
    config = parse("\n".join(lines))
    assert time.perf_counter() - began < 3
    assert len(config.providers) == 100 and len(config.agents) == 50


def test_nothing_shows_a_secret() -> None:
    config = parse(GOOD.replace("timeout: 5", f"headers: {{Authorization: Bearer {CANARY}}}"))
    shown = [repr(config), str(config), str(asdict(config)), "\n".join(config.warnings)]
    for text in shown:
        assert CANARY not in text and "twilio-canary-token" not in text and "k2-azure-key" not in text
    assert set(config.secrets()) >= {CANARY, f"Bearer {CANARY}", "twilio-canary-token", "k2-azure-key"}


@pytest.mark.parametrize(
    "text",
    [
        "providers: {a: {kind: openai, model: m, api_kye: CANARY}}",
        "providers: {a: {kind: [CANARY], model: m, api_key: [CANARY]}}",
        "providers: {a: {kind: openai, model: {x: CANARY}, headers: CANARY}}",
        "providers: {a: {kind: openai, model: m, api_key: CANARY, url: 'http://CANARY@x y'}}",
        "providers: {a: {kind: openai, model: m, api_key: {CANARY: CANARY}}}",
        "edges: {media_ws: {auth_token: {a: CANARY}, listen: 3}}",
        "providers: {a: {kind: openai, model: m, api_key: 'CANARY",
        "providers:\n  a: {api_key: CANARY\n  b: CANARY: CANARY\n",
    ],
)
def test_no_error_shows_a_secret(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configuration.parse(text.replace("CANARY", CANARY), "segue.yaml", Path("."), {})
    shown = [str(caught.value), repr(caught.value), repr(caught.value.problems)]
    cause: BaseException | None = caught.value
    while cause is not None and not cause.__suppress_context__:
        cause = cause.__cause__ or cause.__context__
        shown.append(repr(cause))
    # A key of a mapping is a name, and names are shown: in the fifth case only the value counts.
    assert not any(CANARY in line for line in shown) or "{CANARY: " in text


def test_the_embedded_configuration_takes_what_the_environment_offers() -> None:
    env = {"OPENAI_API_KEY": CANARY, "AZURE_VOICELIVE_API_KEY": "only-half"}
    assert credentialed(env) == ("openai",)
    config = embedded(env)
    assert list(config.providers) == ["openai"] and config.routes["default"].standby == "cold"
    full = {**env, "AZURE_VOICELIVE_ENDPOINT": "https://one.example.com", "GEMINI_API_KEY": "g-key-of-mine"}
    assert embedded(full).routes["default"].providers == ["openai", "azure", "gemini"]
    assert embedded(full).warnings == ()
    with pytest.raises(ValueError, match="neither"):
        embedded({})


def test_the_embedded_configuration_with_emulators_uses_no_credential() -> None:
    urls = {"openai": "ws://127.0.0.1:9001/v1/realtime", "gemini": "ws://127.0.0.1:9003/ws"}
    config = embedded({"OPENAI_API_KEY": CANARY}, urls, listen="127.0.0.1:9000")
    assert config.routes["default"].providers == ["openai", "gemini"]
    assert {name: provider.url for name, provider in config.providers.items()} == urls
    assert CANARY not in config.secrets()
    assert config.edges.media_ws is not None and config.edges.media_ws.listen == "127.0.0.1:9000"
    assert config.record.mode == "full"
