"""The command line: quick help, one clear line for what a user did wrong, JSON where it is asked for."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.cli import main

Run = Callable[..., tuple[int, str, str]]

GOOD = """\
providers: {one: {kind: openai, model: gpt-realtime-2.1, api_key: "${KEY:-key-for-tests}"}}
routes: {default: {providers: [one], standby: cold}}
agents: {a: {instructions: Be kind., tools: [hang_up]}}
edges: {media_ws: {agent: a}}
"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs the command line in an empty folder; returns exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "AZURE_VOICELIVE_ENDPOINT", "AZURE_VOICELIVE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["segue", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 0 if code is None else 1), out, err

    return call


def one_line(result: tuple[int, str, str]) -> str:
    """The single line of a user error."""
    code, out, err = result
    assert code == 2 and out == "", (out, err)
    (line,) = err.splitlines()
    assert line.startswith("segue: ")
    return line.removeprefix("segue: ")


def test_help_is_quick_and_names_every_command() -> None:
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "bridge", "--help"], capture_output=True, text=True, timeout=30)
    assert time.perf_counter() - began < 5
    assert done.returncode == 0 and done.stderr == ""
    for name in ("serve", "dial", "demo", "fake", "check", "replay", "calls", "listen"):
        assert re.search(rf"^  {name} ", done.stdout, re.MULTILINE), name


def test_help_loads_nothing_heavy() -> None:
    code = "import sys; sys.argv = ['segue', '--help']; import atexit; from bridge.cli import main\n"
    code += "heavy = ('numpy', 'aiohttp', 'pydantic', 'rich', 'av')\n"
    code += "atexit.register(lambda: print([name for name in heavy if name in sys.modules]))\n"
    code += "main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout


def test_version(run: Run) -> None:
    code, out, _ = run("--version")
    assert code == 0 and re.fullmatch(r"segue \d+\.\d+\.\d+\n", out)


@pytest.mark.parametrize("words", [["nonsense"], ["check", "--no-such-option"], ["calls", "show"], ["dial"]])
def test_a_command_that_cannot_be_read(run: Run, words: list[str]) -> None:
    code, out, err = run(*words)
    assert code == 2 and out == "" and "Traceback" not in err
    assert err.splitlines()[-1].startswith("Error: ")


# ------------------------------------------------------------------------------------------------------------- check


def test_check_a_good_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "segue.yaml").write_text(GOOD)
    code, out, err = run("check", "segue.yaml")
    assert code == 0 and err == "" and out.splitlines()[0] == "segue.yaml: 1 provider, 1 route, 1 agent"
    assert "key-for-tests" not in out
    code, out, _ = run("check", "--json")
    facts = json.loads(out)
    assert code == 0 and facts["ok"] and facts["agents"] == {"a": {"route": "default", "tools": ["hang_up"]}}


def test_check_a_bad_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(GOOD.replace("standby: cold", "standby: hot").replace("agent: a", "agent: b"))
    code, out, err = run("check", "bad.yaml")
    assert code == 2 and out == ""
    first, last = err.splitlines()
    assert first.startswith("segue: bad.yaml:2: routes.default.standby: must be one of") and "1 mistake" in last
    code, out, _ = run("check", "bad.yaml", "--json")
    assert code == 2 and json.loads(out)["errors"][0]["line"] == 2


def test_check_without_a_file_looks_at_the_embedded_one(run: Run) -> None:
    code, out, _ = run("check")
    assert code == 0 and "the embedded configuration: 3 providers" in out


def test_check_a_file_that_is_not_there(run: Run) -> None:
    code, _, err = run("check", "absent.yaml")
    assert code == 2 and err.splitlines()[0] == "segue: absent.yaml: cannot be read: No such file or directory"


# ------------------------------------------------------------------------------------------------------------- calls


def test_calls_of_an_empty_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "calls").mkdir()
    assert run("calls", "list")[:2] == (0, "No calls in calls.\n")
    assert run("calls", "list", "--json")[:2] == (0, "")


def test_the_folder_of_records_is_the_configurations(run: Run, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "segue.yaml").write_text(GOOD + "record: {mode: full, folder: elsewhere}\n")
    assert "elsewhere" in "".join(run("calls", "list")[1].split())


def test_calls_that_do_not_exist(run: Run, tmp_path: Path) -> None:
    (tmp_path / "calls").mkdir()
    assert one_line(run("calls", "show", "CA1")) == "CA1: no such call in calls"
    assert "no such call" in one_line(run("calls", "show", "../etc"))
    assert one_line(run("calls", "list", "--folder", "absent")) == "absent: there is no such folder"
    assert "no call record" in one_line(run("replay", "CA1"))


# -------------------------------------------------------------------------------------------------------------- dial


def test_dial_what_cannot_be_dialled(run: Run) -> None:
    code, out, err = run("dial", "ftp://example.org", "--json")
    assert code == 2 and "ws://" in json.loads(out)["error"] and "Traceback" not in err
    assert one_line(run("dial", "ws://127.0.0.1:1", "--param", "name")) == '--param "name": write NAME=VALUE'
    assert "write digits" in one_line(run("dial", "ws://127.0.0.1:1", "--keys", "1%"))
    code, _, err = run("dial", "ws://127.0.0.1:1", "--audio", "absent.wav")
    assert code == 2 and "absent.wav: no such file" in " ".join(err.split())


def test_dial_checks_the_recording_before_it_calls(run: Run, tmp_path: Path) -> None:
    assert one_line(run("dial", "ws://127.0.0.1:9/x", "--record", "out.mp3")) == (
        "--record out.mp3: end it in .wav or .flac"
    )
    run("dial", "ws://127.0.0.1:9/x", "--record", "new/folder/out.wav", "--json")
    assert (tmp_path / "new" / "folder").is_dir()


def test_dial_where_nobody_listens(run: Run) -> None:
    code, out, _ = run("dial", "ws://127.0.0.1:9/twilio", "--json")
    result = json.loads(out)
    assert code == 1 and not result["spoke"] and result["end"].startswith("not connected")


# -------------------------------------------------------------------------------------------------------------- fake


def test_fake_mistakes(run: Run, tmp_path: Path) -> None:
    assert one_line(run("fake", "opnai")).startswith('there is no emulator of "opnai"; there are openai')
    (tmp_path / "script.yaml").write_text("ruls: []")
    assert "ruls" in one_line(run("fake", "openai", "--script", "script.yaml"))
    assert one_line(run("fake", "openai", "--script", "absent.yaml")).startswith("absent.yaml: No such file")


def test_fake_listens_until_it_is_told_to_stop() -> None:
    command = [sys.executable, "-m", "bridge", "fake", "openai", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert said["kind"] == "openai" and said["url"] == f"ws://127.0.0.1:{said['port']}/v1/realtime"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_listen_mistakes(run: Run, tmp_path: Path) -> None:
    assert "absent.wav: no such file" in one_line(run("listen", "absent.wav"))
    (tmp_path / "text.wav").write_text("no sound")
    assert "not a sound file" in one_line(run("listen", "text.wav"))
    assert one_line(run("listen", "text.wav", "--detector", "ear")) == '--detector "ear": webrtc or silero'


def test_listen_prints_decisions(run: Run) -> None:
    caller = Path(__file__).parent.parent / "fixtures" / "callers" / "thanks.flac"
    code, out, _ = run("listen", caller, "--json")
    events = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and events[0]["type"] == "speech_start"
    assert all(set(event) == {"t", "type"} for event in events)


def test_serve_mistakes(tmp_path: Path) -> None:
    def run(*words: str) -> tuple[int, str, str]:  # a process of its own: the server takes its place
        done = subprocess.run(
            [sys.executable, "-m", "bridge", *words], capture_output=True, text=True, timeout=30, cwd=tmp_path
        )
        return done.returncode, done.stdout, done.stderr

    assert "cannot be read" in one_line(run("serve", "--config", "absent.yaml"))
    (tmp_path / "a.yaml").write_text(GOOD)
    assert "name one" in one_line(run("serve", "a.yaml", "--config", "b.yaml"))
    assert "edges.media_ws.listen" in one_line(run("serve", "a.yaml", "--listen", "127.0.0.1:0"))
    assert "--log-level" in one_line(run("serve", "a.yaml", "--log-level", "loud"))


def test_serve_on_the_embedded_configuration_says_whom_to_call(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bridge", "serve", "--listen", "127.0.0.1:0", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=tmp_path, env=without_keys()
    ) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert said["event"] == "listening" and set(said["emulated"]) == {"openai", "azure", "gemini"}
        with urllib.request.urlopen(f"http://{said['address']}/healthz", timeout=10) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_serve_for_people_names_the_emulators_and_the_command_to_dial(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bridge", "serve", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=tmp_path, env=without_keys()
    ) as process:
        assert process.stdout is not None
        lines = []
        while not (lines and "dial ws://" in lines[-1]):
            lines.append(process.stdout.readline())
            assert lines[-1], "".join(lines)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert "EMULATORS" in "".join(lines) and "/twilio" in lines[-1]


def without_keys() -> dict[str, str]:
    """The environment as on a machine without any account."""
    names = ("OPENAI_API_KEY", "AZURE_VOICELIVE_ENDPOINT", "AZURE_VOICELIVE_API_KEY", "GEMINI_API_KEY")
    return {name: value for name, value in os.environ.items() if name not in names}


def test_a_port_in_use(run: Run) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        line = one_line(run("fake", "openai", "--port", taken.getsockname()[1]))
    assert "in use" in line or "another program" in line
