"""`segue demo`: one call through a bridge whose providers fail under it.

Provider one stalls in the middle of a reply, and provider two answers the turn after that with a rate limit. Emulators,
bridge and caller run in this process and talk over real sockets.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
from rich.console import Console

from audio.files import read_audio
from bridge import app
from bridge.cli_emulators import emulators
from bridge.cli_errors import UserError
from bridge.config import Config
from bridge.config_default import embedded
from bridge.dial.client import RATE, Job
from bridge.dial.report import Report
from bridge.dial.run import DEFAULT_AUDIO, made
from bridge.dial.show import LiveView
from bridge.dial.turns import turns_of
from bridge.shell.records import show
from bridge.shell.timeline import draw, seconds

STALL_AFTER = 8  # audio messages of the reply: about a second and a half of speech
TIMEOUT = 600.0


def scripts(turns: int) -> dict[str, Any]:
    """What the emulators do in a call of so many caller turns: a reply stalls, the next turn meets a rate limit."""
    middle = {"phase": "reply", "turn": min(2, max(1, turns - 1)), "after_deltas": STALL_AFTER, "total": 1}
    limit = {
        "type": "tokens",
        "code": "rate_limit_exceeded",
        "message": "Rate limit reached for tokens per minute. Please try again in 30s.",
    }
    return {
        "openai": {"rules": [{"when": middle, "do": {"stall": True}}]},
        # Its first reply is the continuation of the one that stalled, its second answers the next turn.
        "azure": {"rules": [{"when": {"phase": "asked", "reply": 2, "total": 1}, "do": {"fail": limit}}]},
    }


def command(audio: Path | None, out: Path, as_json: bool) -> int:
    """Make the call, print its timeline, leave `demo.wav` and the call's record in `out`. 0 when a provider failed and
    the caller was answered every time, else 1. Raises AudioFileError, TurnsError, OSError."""
    out.mkdir(parents=True, exist_ok=True)
    console = Console(quiet=as_json)
    # The failures are meant: the timeline tells of them, the log need not.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with asyncio.Runner(loop_factory=app.new_event_loop()) as runner:
        report, summary = runner.run(_demo(audio or DEFAULT_AUDIO, out, console))
    swaps = summary["totals"]["swaps"]
    survived = bool(report.spoke and swaps) and not report.unanswered and report.end == "caller done"
    if as_json:
        heard = report.to_json()
        print(json.dumps({"survived": survived, "recording": report.recording, "call": summary, "heard": heard}))
        return 0 if survived else 1
    draw(summary, console)
    _tell(report, summary, survived, out / "calls", console)
    return 0 if survived else 1


async def _demo(audio: Path, out: Path, console: Console) -> tuple[Report, dict[str, Any]]:
    sound = await asyncio.to_thread(read_audio, audio, RATE)
    turns = len(await asyncio.to_thread(turns_of, audio, sound, RATE))
    recording = out / "demo.wav"
    async with emulators(scripts(turns)) as urls:
        config = _config(urls, out)
        async with app.Bridge(config) as bridge:
            console.print(f"Bridge on ws://{bridge.address}/twilio, emulators of three providers behind it.")
            console.print(f"Calling it with {audio.name}: {turns} turns, {len(sound) / RATE:.0f} s of recording.")
            console.print("openai will stall inside a reply, azure will refuse the turn after that.\n")
            job = Job(f"ws://{bridge.address}/twilio", audio, recording, timeout=TIMEOUT)
            with LiveView(console) as view:
                report = await made(job, view)
            await bridge.drain(2000)
    summary = await asyncio.to_thread(_newest, config.path(config.record.folder), report)
    return report, summary


def _config(urls: dict[str, str], out: Path) -> Config:
    config = embedded(emulators=urls, listen="127.0.0.1:0")
    record = replace(config.record, folder=str((out / "calls").absolute()))
    return replace(config, record=record)


def _newest(folder: Path, report: Report) -> dict[str, Any]:
    """The summary of the call that was just made. Its record is finished: the bridge is closed. Raises UserError when
    there was no call."""
    calls = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    if not calls:
        raise UserError(f"no call came about: {report.end}")
    return show(folder, max(calls, key=lambda path: path.stat().st_mtime_ns).name)


def _tell(report: Report, summary: dict[str, Any], survived: bool, calls: Path, console: Console) -> None:
    totals = summary["totals"]
    gap = max((gap.ms for gap in report.gaps), default=0)
    console.print()
    console.print(
        f"{len(report.replies)} turns, {len(report.replies) - report.unanswered} answered, {totals['swaps']} switches. "
        f"Silence they added: {seconds(totals['silence_ms'])}; longest gap inside the agent's speech, measured on the "
        f"caller's side: {seconds(gap)}; speech replayed to another provider: {seconds(totals['replayed_ms'])}.",
        highlight=False,
    )
    if report.recording:
        console.print(f"Recording: {report.recording} (caller left, agent right)", soft_wrap=True, highlight=False)
    where = f"{summary['call']} --folder {calls}"
    console.print(f"The call again: segue calls show {where}; segue replay {where}", soft_wrap=True, highlight=False)
    if not survived:
        why = f"{report.end}, {report.unanswered} turns unanswered, {totals['swaps']} switches"
        console.print(f"The demonstration failed: {why}.", style="red", highlight=False)
