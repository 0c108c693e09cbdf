"""Finished and running calls below a folder of records: listing and showing them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bridge.shell.record_finish import hold, iso
from bridge.shell.record_format import EVENTS, SUMMARY
from bridge.shell.record_read import CallRecord, RecordError
from bridge.shell.record_summary import SCHEMA, summarise
from bridge.shell.timeline import draw, seconds, svg

_WIDE = 110  # columns of a terminal that has room for everything


def list_calls(root: Path) -> list[dict[str, Any]]:
    """One row per call, the newest last: call, agent, started, duration_ms, ended, turns, swaps, silence_ms, providers
    (those that were asked). `ended` is null while a call runs (`running` true) and when its process died and was
    not started again (`running` false). Folders without a readable record are left out."""
    if not root.is_dir():
        return []
    rows = []
    for folder in root.iterdir():
        if not folder.is_dir() or folder.is_symlink():
            continue
        try:
            summary = show(root, folder.name)
        except RecordError:
            continue
        totals = summary["totals"]
        rows.append({
            "call": folder.name,
            "agent": summary["agent"],
            "started": summary["started"],
            "duration_ms": summary["duration_ms"],
            "ended": summary["ended"],
            "running": summary.get("running", False),
            "turns": totals["turns"],
            "swaps": totals["swaps"],
            "silence_ms": totals["silence_ms"],
            "providers": [entry["provider"] for entry in summary["providers"] if entry["asks"]],
        })  # fmt: skip
    return sorted(rows, key=lambda row: (row["started"], row["call"]))


def show(root: Path, call: str) -> dict[str, Any]:
    """The summary of a call (docs/records.md); of a running one, what is known so far, with `ended` null.

    Raises RecordError when there is no such call or its summary cannot be read.
    """
    folder = root / call
    if call in ("", "..") or Path(call).name != call or not folder.is_dir():
        raise RecordError(f"{call}: no such call in {root}")
    try:
        summary = orjson.loads((folder / SUMMARY).read_bytes())
    except FileNotFoundError:
        return _so_far(folder)
    except (OSError, orjson.JSONDecodeError) as error:
        raise RecordError(f"{folder / SUMMARY}: cannot be read ({error})") from error
    if not isinstance(summary, dict) or summary.get("schema") != SCHEMA:
        raise RecordError(f"{folder / SUMMARY}: not a summary this program knows")
    return summary


def _so_far(folder: Path) -> dict[str, Any]:
    record = CallRecord(folder)
    summary = summarise(record.notes())
    known = {"call": record.call, "started": iso(record.head["wall"]), **summary}
    known["agent"] = known["agent"] or record.head["spec"]["agent"]["name"]
    return {**known, "ended": None, "running": _is_written(folder)}


def _is_written(folder: Path) -> bool:
    """A living process still writes this record."""
    with open(folder / EVENTS, "rb") as events:
        return not hold(events.fileno())


def list_command(root: Path, as_json: bool, console: Console | None = None) -> int:
    """`segue calls list`: prints `list_calls`; 0."""
    console = console or Console()
    rows = list_calls(root)
    if as_json:
        for row in rows:
            console.out(orjson.dumps(row).decode(), highlight=False)
        return 0
    if not rows:
        console.print(f"No calls in {root}.", markup=False, highlight=False)
        return 0
    columns = ["call", "started", "length", "turns", "switches", "silence", "ended"]
    if console.width >= _WIDE:
        columns += ["agent", "providers"]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for title in columns:
        number = title in ("length", "turns", "switches", "silence")
        folded = title in ("ended", "agent", "providers")
        table.add_column(title, no_wrap=not folded, overflow="fold", justify="right" if number else "left")
    for row in rows:
        told = {
            **row,
            "started": row["started"][5:16].replace("T", " "),
            "length": seconds(row["duration_ms"]),
            "switches": row["swaps"],
            "silence": seconds(row["silence_ms"]),
            "ended": row["ended"] or ("running" if row["running"] else "died"),
            "providers": ", ".join(row["providers"]),
        }
        table.add_row(*(Text(str(told[title])) for title in columns))
    console.print(table)
    return 0


def show_command(
    root: Path, call: str, as_json: bool, picture: Path | None = None, console: Console | None = None
) -> int:
    """`segue calls show CALL [--svg FILE]`: prints the call's timeline or, as JSON, its summary; with `picture` also
    draws it as SVG. 0, or 2 when there is no such call or the picture cannot be written."""
    console = console or Console()
    try:
        summary = show(root, call)
        if picture is not None:
            picture.write_text(svg(summary), encoding="utf-8")
    except (RecordError, OSError) as error:
        if as_json:
            console.out(orjson.dumps({"error": str(error)}).decode(), highlight=False)
        else:
            console.print(str(error), style="red", markup=False, highlight=False)
        return 2
    if as_json:
        console.out(orjson.dumps(summary).decode(), highlight=False)
    else:
        draw(summary, console)
    return 0
