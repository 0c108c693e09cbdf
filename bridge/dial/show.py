"""A test call for people: a live line while it runs, a timeline and figures at its end."""

from __future__ import annotations

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bridge.dial.client import RATE, Call
from bridge.dial.report import Report

_EVERY = 10  # ticks of 20 ms between two redraws


class LiveView:
    """Draws the call as it goes. Use as a context manager around it."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._ticks = 0

    def __enter__(self) -> LiveView:
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.__exit__(None, None, None)

    def tick(self, call: Call) -> None:
        self._ticks += 1
        if self._ticks % _EVERY == 0:
            self._live.update(status(call), refresh=True)


def status(call: Call) -> Text:
    """The running call in one line."""
    agent = call.line is not None and call.line.playing
    line = Text(f"{call.length / RATE:6.1f} s  ")
    line.append("caller speaks" if call.caller.speaking else "caller quiet ", "cyan" if call.caller.speaking else "dim")
    line.append("  ")
    line.append("agent speaks" if agent else "agent quiet ", "green" if agent else "dim")
    line.append(f"  turn {len(call.caller.spoken)}")
    if call.counts.clears:
        line.append(f"  cleared {call.counts.clears}x", "yellow")
    if call.counts.reattached:
        line.append(f"  came back {call.counts.reattached}x", "yellow")
    return line


def summary(console: Console, report: Report) -> None:
    """The timeline of a finished call and its figures."""
    table = Table("from", "to", "who", "what", box=None, header_style="dim", pad_edge=False)
    for begin, rank, row in sorted(_rows(report), key=lambda entry: entry[:2]):
        del begin, rank
        table.add_row(*row)
    if table.row_count:
        console.print(table)
    latencies = report.latencies
    figures = [f"{report.duration / 1000:.1f} s", f"ended: {report.end}"]
    if latencies:
        figures.append(f"first audio {min(latencies)} to {max(latencies)} ms")
    if report.unanswered:
        figures.append(f"[red]unanswered: {report.unanswered}[/red]")
    figures.append(
        f"gaps {len(report.gaps)}" + (f", longest {max(g.ms for g in report.gaps)} ms" if report.gaps else "")
    )
    if report.reattached:
        figures.append(f"came back {report.reattached}x")
    console.print(" · ".join(figures))
    if not report.spoke:
        console.print("[red]The agent said nothing.[/red]")
    if report.recording:
        console.print(f"recording: {report.recording}", soft_wrap=True)


def _rows(report: Report) -> list[tuple[int, int, list[str]]]:
    rows: list[tuple[int, int, list[str]]] = []
    for number, reply in enumerate(report.replies, 1):
        answer = "[red]no answer[/red]" if reply.first_audio_ms is None else f"answered after {reply.first_audio_ms} ms"
        kind = "" if reply.kind == "turn" else f"{reply.kind.replace('_', ' ')}, "
        what = f"turn {number}: {kind}{answer}"
        rows.append((reply.began, 1, [_at(reply.began), _at(reply.ended), "[cyan]caller[/cyan]", what]))
    for begin, end in report.heard:
        rows.append((begin, 0, [_at(begin), _at(end), "[green]agent[/green]", f"{(end - begin) / 1000:.2f} s"]))
    for gap in report.gaps:
        what = f"[yellow]nobody spoke for {gap.ms} ms[/yellow]"
        rows.append((gap.at, 2, [_at(gap.at), _at(gap.at + gap.ms), "", what]))
    return rows


def _at(ms: int) -> str:
    return f"{ms / 1000:.2f}"
