"""`segue dial`: make one call, show it, and say by the exit status whether anybody spoke."""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import orjson
from rich.console import Console

from audio.files import AudioFileError
from bridge.dial.caller import Keys
from bridge.dial.client import RATE, DialError, Job, place
from bridge.dial.report import Report
from bridge.dial.show import LiveView, summary
from bridge.dial.turns import TurnsError

DEFAULT_AUDIO: Final = Path(__file__).parent.parent / "assets" / "callers" / "caller_questions.flac"
SPOKE: Final = 0
NOBODY_SPOKE: Final = 1
BAD_USE: Final = 2

_KEYS = re.compile(r"(?:(?P<at>\d+(?:\.\d+)?):)?(?P<digits>[0-9*#A-Da-d]+)")


def dial(job: Job, as_json: bool = False) -> int:
    """Make the call and print what came of it: live and as a timeline, or as one JSON object. 0 when the agent was
    heard, 1 when nobody spoke, 2 when the call could not be made as asked."""
    try:
        if as_json:
            result = asyncio.run(made(job))
            sys.stdout.write(orjson.dumps(result.to_json()).decode() + "\n")
        else:
            console = Console()
            with LiveView(console) as view:
                result = asyncio.run(made(job, view))
            summary(console, result)
    except (DialError, TurnsError, AudioFileError) as error:
        if as_json:
            sys.stdout.write(orjson.dumps({"error": str(error)}).decode() + "\n")
        else:
            Console(stderr=True).print(f"segue dial: {error}", style="red", markup=False)
        return BAD_USE
    return SPOKE if result.spoke else NOBODY_SPOKE


async def made(job: Job, view: LiveView | None = None) -> Report:
    """`place`, with the recording's name in the report."""
    result = await place(job, view)
    return replace(result, recording=str(job.record)) if job.record and result.duration else result


def parse_keys(text: str) -> list[Keys]:
    """`"12#"` (a turn of its own after the last one), `"3.5:9"` (3.5 s into the call), or several with commas between.
    Raises DialError."""
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _KEYS.fullmatch(part)
        if match is None:
            raise DialError(f"keys {part!r}: write digits, * and #, or SECONDS:DIGITS")
        at = None if match["at"] is None else round(float(match["at"]) * RATE)
        found.append(Keys(at, match["digits"].upper()))
    return found
