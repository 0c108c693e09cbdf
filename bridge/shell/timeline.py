"""A call as a picture, in the terminal or as SVG: who spoke when, which provider, where the switches fell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from rich.console import Console
from rich.table import Table
from rich.text import Text

_TERMINAL = ("green", "magenta", "yellow", "blue", "red", "bright_cyan")
_HEX = ("#2e8b57", "#a03cb4", "#c88c00", "#3b6fd4", "#c43c3c", "#1f9aa8")
_CELLS_MS = (50, 100, 200, 250, 500, 1000, 2000, 5000, 10_000, 20_000, 60_000)
_TICKS_MS = (500, 1000, 2000, 5000, 10_000, 20_000, 60_000, 300_000, 600_000, 3_600_000, 10**9)
_CALLER_HEX, _LOCAL_HEX = "#1f78c8", "#777777"
CALLER, LOCAL = -1, -2
_MOST_ROWS = 3
_SHORT_CODE = 4  # an HTTP status or a close code; longer names say what the class says
_MARGIN = 8
_SWAP_WORDS = (
    "found in: until the trouble was noticed. silence: what of it was heard. replayed: speech that was sent again. "
    "tokens: read again by the next provider. standby: a warm one was connected all along."
)
Sign = tuple[str, str]  # what stands for a stretch without speech, and its style
_SILENCE: Sign = ("╳", "bold red")
_AWAY: Sign = ("╱", "yellow")
_HELD: Sign = ("≈", "yellow")
_SILENCE_HEX, _AWAY_HEX, _HELD_HEX = "#ff4d4d", "#e0c040", "#d9a066"


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of a lane, ms from the start of the call. `colour`: index of the provider, `CALLER` or `LOCAL`."""

    begin: float
    end: float
    colour: int
    label: str
    dim: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """What a picture shows. `marks`: switches (number from 1, ms). `away`: nothing came from the caller's line; `held`:
    no provider could be dialled."""

    duration: float
    providers: list[str]
    caller: list[Bar]
    agent: list[Bar]
    silence: list[Bar]
    away: list[Bar]
    held: list[Bar]
    marks: list[tuple[int, float]]
    local: list[tuple[str, float]]


def scene(summary: Mapping[str, Any]) -> Scene:
    """The lanes of a summary (docs/records.md)."""
    duration = max(1, summary["duration_ms"])
    providers = [entry["provider"] for entry in summary["providers"]]
    heard = [piece for exchange in summary["exchanges"] for piece in exchange["heard"]]
    texts = {piece["ask"]: piece["text"] for piece in heard if piece["text"]}
    caller = [
        Bar(
            turn["began_ms"],
            duration if turn["ended_ms"] is None else turn["ended_ms"],
            CALLER,
            turn["text"] or turn.get("digits", ""),
            dim=turn["state"] == "withdrawn",
        )
        for turn in summary["turns"]
        if turn["began_ms"] is not None
    ]
    agent = [
        Bar(
            said["began_ms"],
            duration if said["ended_ms"] is None else said["ended_ms"],
            providers.index(said["provider"]) if said["provider"] in providers else LOCAL,
            texts.get(said["ask"], ""),
        )
        for said in summary["speech"]
    ]
    swaps = summary["swaps"]
    silence = [
        Bar(max(0, swap["at_ms"] - added), swap["at_ms"], LOCAL, f"{seconds(added)} of silence")
        for swap in swaps
        if (added := swap.get("silence_ms"))
    ]
    away = _until(summary.get("line_away", ()), "without the caller's line")
    held = _until(summary.get("holds", ()), "on hold: no provider could be dialled")
    marks = [(number, swap["at_ms"]) for number, swap in enumerate(swaps, 1)]
    local = [(str(phrase.get("name", "")), phrase["at_ms"]) for phrase in summary["phrases"]]
    return Scene(duration, providers, caller, agent, silence, away, held, marks, local)


def _until(moments: Sequence[Mapping[str, Any]], what: str) -> list[Bar]:
    """What was told when it was over: `ms` before `at_ms`."""
    return [
        Bar(max(0, each["at_ms"] - each["ms"]), each["at_ms"], LOCAL, f"{seconds(each['ms'])} {what}")
        for each in moments
        if each.get("ms")
    ]


def seconds(ms: float | None) -> str:
    """12 -> "12 ms", 1234 -> "1.23 s", 83000 -> "1:23"."""
    if ms is None:
        return "-"
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1000:.2f} s"
    return f"{int(ms // 60_000)}:{int(ms % 60_000 // 1000):02d}"


def _clock(ms: int, step: int) -> str:
    """A time on the ruler; with tenths where the steps are shorter than a second."""
    minutes, rest = divmod(ms, 60_000)
    return f"{minutes}:{rest / 1000:04.1f}" if step < 1000 else f"{minutes}:{rest // 1000:02d}"


# ---------------------------------------------------------------------------------------------------------- terminal


def _style(colour: int) -> str:
    return _TERMINAL[colour % len(_TERMINAL)] if colour >= 0 else {CALLER: "cyan", LOCAL: "white"}[colour]


def draw(summary: Mapping[str, Any], console: Console) -> None:
    """Print the lanes of a call, its switches, faults and transcript."""
    view = scene(summary)
    ended = summary["ended"] or "not ended"
    head = f"{summary.get('call', 'call')}  {summary['agent']}  {seconds(summary['duration_ms'])}  {ended}"
    console.print(Text(head, style="bold"))
    _draw_rows(view, console)
    console.print(_legend(view))
    if summary["swaps"]:
        console.print(_swap_table(summary["swaps"]))
        console.print(Text(_SWAP_WORDS, style="dim"))
    _draw_transcript(summary, view, console)
    console.print(Text(_totals(summary)))


def _draw_rows(view: Scene, console: Console) -> None:
    width = max(20, console.width - _MARGIN - 1)
    cell = next((ms for ms in _CELLS_MS if view.duration <= ms * width * _MOST_ROWS), _CELLS_MS[-1])
    begin = 0
    while begin < view.duration:
        cells = min(width, int((view.duration - begin) // cell) + 1)
        console.print(_ruler(begin, cell, cells))
        console.print(_lane("caller", view.caller, [(view.away, _AWAY)], begin, cell, cells))
        console.print(_lane("agent", view.agent, [(view.silence, _SILENCE), (view.held, _HELD)], begin, cell, cells))
        marks = _marks(view, begin, cell, cells)
        if marks is not None:
            console.print(marks)
        begin += cells * cell


def _ruler(begin: int, cell: int, cells: int) -> Text:
    line = [" "] * cells
    step = next(ms for ms in _TICKS_MS if ms >= cell * 10)
    tick = -(-begin // step) * step
    while tick < begin + cells * cell:
        label = "╷" + _clock(tick, step)
        at = (tick - begin) // cell
        if at + len(label) <= cells:
            line[at : at + len(label)] = label
        tick += step
    return Text(" " * _MARGIN + "".join(line), style="dim")


def _lane(
    name: str, bars: Sequence[Bar], gaps: Sequence[tuple[Sequence[Bar], Sign]], begin: int, cell: int, cells: int
) -> Text:
    """`gaps`: what there was where nobody spoke, the first one first."""
    line = Text(f"{name:<{_MARGIN}}")
    for index in range(cells):
        left, right = begin + index * cell, begin + (index + 1) * cell
        bar = next((bar for bar in bars if bar.begin < right and bar.end > left), None)
        if bar is not None:
            line.append("░" if bar.dim else "█", style=_style(bar.colour))
            continue
        found = (sign for stretch, sign in gaps if any(gap.begin < right and gap.end > left for gap in stretch))
        line.append(*next(found, ("·", "dim")))
    return line


def _marks(view: Scene, begin: int, cell: int, cells: int) -> Text | None:
    line = [" "] * (cells + 8)
    found = False
    named = [(at, f"▲{number}") for number, at in view.marks] + [(at, f"♪{name}") for name, at in view.local]
    for at, label in sorted(named):
        index = int((at - begin) // cell)
        if 0 <= index < cells:
            line[index : index + len(label)] = label
            found = True
    return Text(" " * _MARGIN + "".join(line).rstrip(), style="bold red") if found else None


def _legend(view: Scene) -> Text:
    line = Text(" " * _MARGIN)
    line.append("█ caller  ", style="cyan")
    for index, name in enumerate(view.providers):
        line.append(f"█ {name}  ", style=_TERMINAL[index % len(_TERMINAL)])
    if view.marks:
        line.append("▲ switch  ", style="bold red")
    for stretch, (glyph, style), what in (
        (view.silence, _SILENCE, "silence added"), (view.away, _AWAY, "line away"), (view.held, _HELD, "on hold"),
    ):  # fmt: skip
        if stretch:
            line.append(f"{glyph} {what}  ", style=style)
    if view.local:
        line.append("♪ local message", style="bold red")
    return line


def _swap_table(swaps: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(
        box=None, pad_edge=False, padding=(0, 1, 0, 0), title="switches", title_justify="left", title_style="bold"
    )
    for title in ("", "at", "switch", "cause", "found in", "silence", "replayed", "tokens", "standby"):
        table.add_column(title, overflow="fold")
    for number, swap in enumerate(swaps, 1):
        kind, code = str(swap.get("class") or ""), str(swap.get("code") or "")
        cause = f"{kind} {code}".strip() if len(code) <= _SHORT_CODE else kind or code  # "overloaded 1011"
        table.add_row(*(
            Text(text)
            for text in (
                f"▲{number}", seconds(swap["at_ms"]), f"{swap.get('from') or '-'} → {swap.get('to') or '-'}", cause,
                seconds(swap.get("detection_ms")), seconds(swap.get("silence_ms")), seconds(swap.get("replayed_ms")),
                str(sum((swap.get("again") or {}).get(name) or 0 for name in ("input_text", "input_audio"))),
                "warm" if swap.get("warm") else "cold",
            )
        ))  # fmt: skip
    return table


def _draw_transcript(summary: Mapping[str, Any], view: Scene, console: Console) -> None:
    if not summary["transcript"]:
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    for said in summary["transcript"]:
        provider = said.get("provider")
        colour = view.providers.index(provider) if provider in view.providers else CALLER
        style = _style(colour)
        text = Text(said["text"] if said.get("complete", True) else f"{said['text']} …")
        if not said["text"]:
            text = Text("(nobody has told the words)", style="dim")
        table.add_row(Text(seconds(said["at_ms"]), style="dim"), Text(provider or said["who"], style=style), text)
    console.print(table)


def _totals(summary: Mapping[str, Any]) -> str:
    totals = summary["totals"]
    parts = [
        _count(totals["turns"], "turn"),
        _count(totals["swaps"], "switch"),
        f"{seconds(totals['silence_ms'])} of silence added",
        f"{seconds(totals['replayed_ms'])} of speech replayed",
    ]
    if totals.get("sessions", 1) > 1:
        parts.append(f"{totals['sessions']} sessions, open for {seconds(totals['sessions_ms'])} in all")
    if totals.get("away_ms"):
        parts.append(f"line away for {seconds(totals['away_ms'])}")
    if totals.get("hold_ms"):
        parts.append(f"on hold for {seconds(totals['hold_ms'])}")
    if totals["faults"]:
        parts.append(_count(totals["faults"], "fault"))
    again = sum(totals["tokens_again"][name] for name in ("input_text", "input_audio", "output_text", "output_audio"))
    if again:
        parts.append(f"{_count(again, 'token')} spent again")
    return ", ".join(parts)


def _count(number: int, what: str) -> str:
    if number == 1:
        return f"1 {what}"
    return f"{number} {what}{'es' if what.endswith('ch') else 's'}"


# --------------------------------------------------------------------------------------------------------------- SVG


def svg(summary: Mapping[str, Any]) -> str:
    """The lanes of a call as one self-contained SVG document."""
    view = scene(summary)
    left, right = 70, 20
    plot = min(6000.0, max(760.0, view.duration / 1000 * 24))
    scale = plot / view.duration
    width, height = plot + left + right, 220
    title = f"{summary.get('call', 'call')} · {summary['agent']} · {seconds(view.duration)} · {summary['ended']}"
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" '
        f'viewBox="0 0 {width:.0f} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width:.0f}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="14" font-weight="bold" fill="#222">{escape(title)}</text>',
    ]
    out += _svg_axis(view, left, plot, scale)
    for name, y in (("caller", 84), ("agent", 128)):
        out.append(f'<text x="12" y="{y + 4}" fill="#444">{name}</text>')
        out.append(f'<line x1="{left}" x2="{left + plot:.0f}" y1="{y}" y2="{y}" stroke="#ddd"/>')
    out += [_svg_bar(bar, left, scale, 72, _CALLER_HEX) for bar in view.caller]
    out += [_svg_bar(bar, left, scale, 116, _HELD_HEX) for bar in view.held]
    out += [_svg_bar(bar, left, scale, 116, _hex(bar.colour)) for bar in view.agent]
    out += [_svg_bar(bar, left, scale, 72, _AWAY_HEX) for bar in view.away]
    out += [_svg_bar(bar, left, scale, 116, _SILENCE_HEX) for bar in view.silence]
    out += _svg_marks(view, summary, left, scale)
    out += _svg_legend(view, left, height - 18)
    out.append("</svg>")
    return "\n".join(out) + "\n"


def _hex(colour: int) -> str:
    return _HEX[colour % len(_HEX)] if colour >= 0 else _LOCAL_HEX


def _svg_axis(view: Scene, left: float, plot: float, scale: float) -> list[str]:
    step = next(ms for ms in _TICKS_MS if ms * scale >= 60)
    out = []
    for tick in range(0, int(view.duration) + 1, step):
        x = left + tick * scale
        out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="52" y2="160" stroke="#eee"/>')
        label = _clock(tick, step)
        out.append(f'<text x="{x:.1f}" y="48" fill="#888" font-size="10" text-anchor="middle">{label}</text>')
    return out


def _svg_bar(bar: Bar, left: float, scale: float, y: int, colour: str) -> str:
    width = max(1.0, (bar.end - bar.begin) * scale)
    shade = ' fill-opacity="0.4"' if bar.dim else ""
    title = f"{seconds(bar.begin)} to {seconds(bar.end)}: {bar.label}" if bar.label else seconds(bar.end - bar.begin)
    return (
        f'<rect x="{left + bar.begin * scale:.1f}" y="{y}" width="{width:.1f}" height="24" rx="2" '
        f'fill="{colour}"{shade}><title>{escape(title)}</title></rect>'
    )


def _svg_marks(view: Scene, summary: Mapping[str, Any], left: float, scale: float) -> list[str]:
    out = []
    for (number, at), swap in zip(view.marks, summary["swaps"], strict=True):
        x = left + at * scale
        title = (
            f"{swap.get('from') or '-'} to {swap.get('to') or '-'}: {swap.get('class', '')} {swap.get('reason', '')}, "
            f"{seconds(swap.get('silence_ms'))} of silence, {seconds(swap.get('replayed_ms'))} replayed"
        )
        out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="58" y2="158" stroke="#d00000" stroke-dasharray="3 2"/>')
        out.append(
            f'<text x="{x:.1f}" y="172" fill="#d00000" font-size="11" text-anchor="middle">▲{number}'
            f"<title>{escape(title)}</title></text>"
        )
    for name, at in view.local:
        out.append(f'<text x="{left + at * scale:.1f}" y="112" fill="#d00000" font-size="11">♪ {escape(name)}</text>')
    return out


def _svg_legend(view: Scene, left: float, y: float) -> list[str]:
    entries = [("caller", _CALLER_HEX)] + [(name, _hex(index)) for index, name in enumerate(view.providers)]
    for stretch, name, colour in (
        (view.silence, "silence added", _SILENCE_HEX), (view.away, "line away", _AWAY_HEX),
        (view.held, "on hold", _HELD_HEX),
    ):  # fmt: skip
        if stretch:
            entries.append((name, colour))
    out, x = [], left
    for name, colour in entries:
        out.append(f'<rect x="{x:.0f}" y="{y - 10:.0f}" width="12" height="12" rx="2" fill="{colour}"/>')
        out.append(f'<text x="{x + 17:.0f}" y="{y:.0f}" fill="#444">{escape(name)}</text>')
        x += 34 + 7 * len(name)
    return out
