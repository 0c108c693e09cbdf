"""The command line. Commands import what they need when they run, so that `segue --help` answers at once.

What people did wrong is one line on stderr and exit code 2; `--json` on every command makes stdout machine-readable.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli_errors import UserError, told

if TYPE_CHECKING:
    from audio.frame import Pcm
    from bridge.config import Config
    from bridge.listen_decisions import Opinion

app = typer.Typer(
    name="segue",
    help="A voice bridge that moves a running call to the next speech model when one fails.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
calls_app = typer.Typer(
    help="What became of finished and running calls.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(calls_app, name="calls")

Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
Folder = Annotated[Path | None, typer.Option("--folder", help="Folder of call records; by default calls.")]


def main() -> None:
    """The console script."""
    told(lambda: app(prog_name="segue"))


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """A voice bridge that moves a running call to the next speech model when one fails."""
    if show:
        from importlib.metadata import version as installed

        print(f"segue {installed('segue')}")
        raise typer.Exit


@app.command(epilog="Example: segue serve --config segue.yaml")
def serve(
    file: Annotated[Path | None, typer.Argument(help="The same as --config.")] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="By default ./segue.yaml.")] = None,
    listen: Annotated[str | None, typer.Option(help="HOST:PORT, for the embedded configuration.")] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error; logs go to stderr.")] = "info",
    as_json: Json = False,
) -> None:
    """Run the bridge.

    Without a configuration it uses the providers whose credentials are in the environment, or, without any,
    emulators."""
    from bridge.cli_lean import become_server

    if file is not None and config is not None:
        raise UserError(f"two configurations, {file} and {config}: name one")
    become_server(config or file, listen, log_level, as_json)


@app.command(epilog="Example: segue check segue.yaml")
def check(
    file: Annotated[Path | None, typer.Argument(help="By default ./segue.yaml, else the embedded one.")] = None,
    as_json: Json = False,
) -> None:
    """Say everything that is wrong with a configuration, and where."""
    from bridge.cli_check import command

    raise typer.Exit(command(file, as_json))


@app.command(epilog="Example: segue dial ws://127.0.0.1:8080/twilio --audio call.wav --record out.wav")
def dial(
    target: Annotated[str, typer.Argument(help="ws(s):// of a media stream, http(s):// of its TwiML.")],
    audio: Annotated[Path | None, typer.Option(help="What the caller says; by default a test caller.")] = None,
    record: Annotated[Path | None, typer.Option(help="Stereo: caller left, agent right; .wav or .flac.")] = None,
    talk_over: Annotated[bool, typer.Option("--talk-over", help="Play the audio as it is, without waiting.")] = False,
    keys: Annotated[str, typer.Option(help='Keys: "12#" after the last turn, "3.5:9" at 3.5 s.')] = "",
    param: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, a custom parameter; may be repeated.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds after which the call is given up.")] = 180.0,
    drop: Annotated[list[float] | None, typer.Option(help="Lose the socket this many seconds in; repeatable.")] = None,
    away: Annotated[float, typer.Option(help="Seconds until the carrier comes back after --drop.")] = 0.5,
    auth_token: Annotated[str, typer.Option(envvar="TWILIO_AUTH_TOKEN", help="Sign as the carrier does.")] = "",
    as_json: Json = False,
) -> None:
    """Call a bridge as a carrier would, and measure what it hears.

    The caller waits politely for its turns. The exit code is 1 when nobody spoke."""
    from bridge.dial.client import Job
    from bridge.dial.run import DEFAULT_AUDIO, parse_keys
    from bridge.dial.run import dial as call

    if record is not None:
        if record.suffix.lower() not in (".wav", ".flac"):
            raise UserError(f"--record {record}: end it in .wav or .flac")
        record.parent.mkdir(parents=True, exist_ok=True)
    job = Job(
        target=target,
        audio=audio or DEFAULT_AUDIO,
        record=record,
        manner="talk_over" if talk_over else "polite",
        keys=parse_keys(keys),
        parameters=dict(_pair(item) for item in param or ()),
        timeout=timeout,
        drops=drop or (),
        away=away,
        auth_token=auth_token,
    )
    raise typer.Exit(call(job, as_json))


@app.command(epilog="Example: segue demo --audio call.wav")
def demo(
    audio: Annotated[Path | None, typer.Option(help="What the caller says; by default a test caller.")] = None,
    out: Annotated[Path, typer.Option(help="Where the recording and the call's record go.")] = Path("out"),
    as_json: Json = False,
) -> None:
    """Break a call on purpose and watch it survive.

    Provider one stalls in the middle of a reply, provider two answers the next turn with a rate limit. The exit code is
    1 when a turn stays without an answer."""
    from bridge.demo import command

    raise typer.Exit(command(audio, out, as_json))


@app.command(epilog="Example: segue fake openai --port 9001 --script faults.yaml --rtt 80")
def fake(
    kind: Annotated[str, typer.Argument(help="openai, azure, azure-openai or gemini.")],
    port: Annotated[int, typer.Option(help="Where to listen; 0 takes any free port.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    script: Annotated[Path | None, typer.Option(help="What to answer, what to break when; docs/fakes.md.")] = None,
    tls: Annotated[bool, typer.Option("--tls", help="Speak TLS, with a certificate of its own.")] = False,
    certificate: Annotated[Path | None, typer.Option(help="With --tls: write the certificate to trust here.")] = None,
    rtt: Annotated[float, typer.Option(help="Round trip in ms; half of it delays every message.")] = 0.0,
    save: Annotated[Path | None, typer.Option(help="Write what is received here, per connection.")] = None,
    pace: Annotated[float, typer.Option(help="How much faster than real time replies are made.")] = 4.0,
    as_json: Json = False,
) -> None:
    """Run an emulator of a provider.

    A real server with real speech, which breaks on cue. It runs until it is told to stop."""
    from bridge.cli_fake import Settings, command, kind_of

    settings = Settings(kind_of(kind), port, host, script, tls, certificate, rtt, save, pace)
    raise typer.Exit(command(settings, as_json))


@app.command(epilog="Example: segue replay calls/CA0123 --json")
def replay(
    call: Annotated[str, typer.Argument(help="A call's folder, or its name below --folder.")],
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Run a recorded call through the core again.

    Everything the call received is given to the same code at the recorded times; the exit code is 1 when what it does
    differs in a single byte."""
    from bridge.shell.record_read import CallRecord
    from bridge.shell.replay import command

    path = Path(call) if Path(call).is_dir() else record_folder(folder) / call
    CallRecord(path)
    raise typer.Exit(command(path, as_json))


@calls_app.command("list", epilog="Example: segue calls list --folder calls")
def calls_list(folder: Folder = None, as_json: Json = False) -> None:
    """One line a call."""
    from bridge.shell.records import list_command

    raise typer.Exit(list_command(record_folder(folder), as_json))


@calls_app.command("show", epilog="Example: segue calls show CA0123 --svg call.svg")
def calls_show(
    call: Annotated[str, typer.Argument(help="The call's name, as `segue calls list` shows it.")],
    folder: Folder = None,
    svg: Annotated[Path | None, typer.Option(help="Draw the timeline into this file as well.")] = None,
    as_json: Json = False,
) -> None:
    """The timeline of one call."""
    from bridge.shell.records import show, show_command

    root = record_folder(folder)
    show(root, call)
    raise typer.Exit(show_command(root, call, as_json, svg))


@app.command(epilog="Example: segue listen caller.flac --far agent.flac --json")
def listen(
    file: Annotated[Path, typer.Argument(help="The caller's recording; stereo: caller left, agent right.")],
    far: Annotated[Path | None, typer.Option(help="The agent's recording, aligned with it.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw waveform, floor, gates and decisions into this file.")] = None,
    detector: Annotated[str, typer.Option(help="webrtc, or silero with the extra of that name.")] = "webrtc",
    hangover: Annotated[int, typer.Option(help="Silence in ms that ends a turn.")] = 500,
    opinion: Annotated[str, typer.Option(help="package.module:function to ask in pauses, like turns.opinion.")] = "",
    as_json: Json = False,
) -> None:
    """Print the turns and barge-ins of a recording.

    One decision a line, as it falls; with --json {"t": seconds, "type": ...}."""
    from audio.turns import TurnSettings
    from bridge.listen import listen as hear

    if detector not in ("webrtc", "silero"):
        raise UserError(f'--detector "{detector}": webrtc or silero')
    settings = TurnSettings(hangover_ms=hangover, detector="silero" if detector == "silero" else "webrtc")
    ask = _opinion(opinion) if opinion else None
    raise typer.Exit(hear(file, far, as_json, plot, settings, ask))


def _opinion(path: str) -> Opinion:
    from bridge.shell.opinions import find, verdict

    try:
        function = find(path)
    except ValueError as error:
        raise UserError(f'--opinion "{path}": {error}') from error

    def asked(pcm: Pcm, rate: int) -> bool:
        try:
            return verdict(function(pcm, rate))
        except Exception as error:
            raise UserError(f'--opinion "{path}": {type(error).__name__}: {error}') from error

    return asked


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UserError(f'--param "{text}": write NAME=VALUE')
    return name, value


def record_folder(given: Path | None) -> Path:
    """Where records are: as given, else what ./segue.yaml says, else ./calls."""
    if given is not None:
        if not given.is_dir():
            raise UserError(f"{given}: there is no such folder")
        return given
    config = here()
    return config.path(config.record.folder) if config else Path("calls")


def here() -> Config | None:
    """./segue.yaml, when there is one and it is usable."""
    from bridge.config import ConfigError, load

    try:
        return load("segue.yaml") if Path("segue.yaml").exists() else None
    except ConfigError:
        return None
