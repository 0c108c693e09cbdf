"""What is done with a record when its call is over: summary and sound files, recovery after a crash, expiry."""

from __future__ import annotations

import os
import shutil
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import orjson
import soundfile
import structlog

from bridge.core.events import LegLost
from bridge.shell.record_format import AGENT_TRACK, CALLER_TRACK, EVENTS, MEDIA, SUMMARY
from bridge.shell.record_read import CallRecord, RecordError
from bridge.shell.record_summary import SCHEMA, summarise
from bridge.shell.record_tracks import make_tracks

if sys.platform != "win32":
    import fcntl

_log = structlog.get_logger("segue.record")


def hold(file: int) -> bool:
    """Lock an open file for as long as it is open in this process; False when another process (or another opening of
    the file in this one) holds it. The system lets go of it when the process dies, however it dies."""
    if sys.platform == "win32":  # no such locks: recovery must not run there beside a live process
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def breathe() -> None:
    """Give other threads the interpreter: without it, a thread that computes makes a waiting one wait for the whole
    switch interval (5 ms), again and again."""
    time.sleep(0.0005)


def finish(folder: Path, *, unwritten: int = 0, crashed: bool = False) -> None:
    """Make `caller.flac`, `agent.flac` and, last and in one step, `call.json`. `unwritten`: bytes the disk refused.
    `crashed`: the process died during the call.

    Raises OSError when `call.json` cannot be written; sound that cannot be written is only noted.
    """
    try:
        record = CallRecord(folder)
    except RecordError as error:
        _publish(folder, _bare(folder, str(error)))
        return
    summary: dict[str, Any] = {"schema": SCHEMA, "call": record.call, "started": iso(record.head["wall"])}
    summary |= summarise(record.notes())
    _say_how_it_ended(summary, record, crashed)
    if not summary["agent"]:
        summary["agent"] = record.head["spec"]["agent"]["name"]
    tail = record.tail or {}
    about: dict[str, Any] = {
        "mode": record.head["mode"],
        "inputs": tail.get("inputs"),
        "actions": tail.get("actions"),
        "lost": tail.get("lost"),
        "unwritten_bytes": unwritten,
    }
    if record.full:
        about |= _tracks(record)
    _publish(folder, {**summary, "record": about})


def _say_how_it_ended(summary: dict[str, Any], record: CallRecord, crashed: bool) -> None:
    failure = next((line for line in record.lines if "crashed" in line), None)
    if failure is not None:
        summary["error"] = str(failure["crashed"]).strip().rpartition("\n")[2]
    if crashed:
        summary["ended"] = "crashed"
    elif summary["ended"] is None:
        summary["ended"] = "closed" if failure is None else "error"
    last = max((line["t"] for line in record.lines if "t" in line), default=record.start)
    summary["duration_ms"] = max(summary["duration_ms"], round((last - record.start) / 1_000_000))


def _tracks(record: CallRecord) -> dict[str, Any]:
    names = (CALLER_TRACK, AGENT_TRACK)
    parts = [record.folder / f"{name}.part" for name in names]
    try:
        media = record.folder / MEDIA
        lost = [line["t"] for line in record.lines if line.get("in", {}).get("type") == LegLost.__name__]
        samples = make_tracks(media, record.leg, record.start, lost, parts[0], parts[1], breathe)
        for part, name in zip(parts, names, strict=True) if samples else ():
            part.chmod(0o600)
            part.replace(record.folder / name)
    except (OSError, soundfile.LibsndfileError) as error:
        _log.error("no sound files of this call", call=record.call, error=str(error))
        for part in parts:
            part.unlink(missing_ok=True)
        return {"sound_ms": None, "sound_error": str(error)}
    return {"sound_ms": round(samples * 1000 / record.leg.rate)}


def _bare(folder: Path, why: str) -> dict[str, Any]:
    """The record of a call that died before anything readable was written."""
    started = (folder / EVENTS).stat().st_mtime
    summary = {"schema": SCHEMA, "call": folder.name, "started": iso(started), **summarise(())}
    return {**summary, "ended": "crashed", "error": why, "record": {"mode": None}}


def _publish(folder: Path, summary: dict[str, Any]) -> None:
    part = folder / f"{SUMMARY}.part"
    file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(file, "wb") as out:
        out.write(orjson.dumps(summary, default=str, option=orjson.OPT_INDENT_2))
        out.flush()
        os.fsync(file)
    part.replace(folder / SUMMARY)


def iso(wall: float) -> str:
    """Seconds since 1970 as a UTC time of day."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds")


def _call_folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    found = (path for path in root.iterdir() if path.is_dir() and not path.is_symlink())
    return sorted(path for path in found if (path / EVENTS).is_file())


def recover(root: Path) -> list[str]:
    """Finish the records of calls whose process died, as `ended: crashed`; their names. Calls that a living process
    still writes are left alone. Call it before the first call, or from a thread."""
    recovered = []
    for folder in _call_folders(root):
        if (folder / SUMMARY).exists():
            continue
        try:
            with open(folder / EVENTS, "rb") as events:
                if not hold(events.fileno()) or (folder / SUMMARY).exists():
                    continue
                finish(folder, crashed=True)
        except OSError as error:
            _log.error("call record not recovered", folder=str(folder), error=str(error))
            continue
        recovered.append(folder.name)
    return recovered


def expire(root: Path, keep: timedelta, now: float) -> list[str]:
    """Delete the records of calls that ended more than `keep` before `now` (seconds since 1970); their
    names. Running calls and folders that are no call record stay."""
    expired = []
    for folder in _call_folders(root):
        try:
            with open(folder / EVENTS, "rb") as events:
                if not hold(events.fileno()) or _age(events, now) <= keep.total_seconds():
                    continue
                shutil.rmtree(folder)
        except OSError as error:
            _log.error("call record not deleted", folder=str(folder), error=str(error))
            continue
        expired.append(folder.name)
    return expired


def _age(events: IO[bytes], now: float) -> float:
    return now - os.fstat(events.fileno()).st_mtime
