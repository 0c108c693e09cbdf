"""docs/failover.svg: a bar for each fault."""

from __future__ import annotations

from html import escape

from bench.failover_report import GROUPS, Row, Rows

WIDTH, LEFT, RIGHT = 860, 268, 40
LINE, TOP = 13, 64
STYLE = (
    ".g { fill: #57606a; font-weight: 600; font-size: 12px } .n { fill: #57606a; font-size: 10px } "
    ".r { stroke: #d0d7de; stroke-width: 1 }"
)
WARM, COLD = "#8250df", "#d0d7de"


def chart(table: Rows) -> str:
    """Median and worst of the silence added, warm in front of cold; faults that take no answer away are left out."""
    groups = {
        title: [fault.name for fault in faults if fault.name in table and _drawn(table[fault.name])]
        for title, faults in GROUPS.items()
    }
    groups = {title: names for title, names in groups.items() if names}
    drawn = [row for names in groups.values() for name in names for row in table[name].values()]
    worst = max((row.worst or 0 for row in drawn), default=0)
    limit = max(1000, -(-worst // 500) * 500)
    scale = (WIDTH - LEFT - RIGHT) / limit
    height = TOP + sum(LINE * len(names) + 24 for names in groups.values()) + 8
    title = "Silence added by each fault"
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        "font-family=\"system-ui, 'Segoe UI', Helvetica, Arial, sans-serif\" font-size=\"11\" role=\"img\">",
        f"  <title>{title}</title>",
        f"  <style>{STYLE}</style>",
        f'  <rect width="{WIDTH}" height="{height}" rx="10" fill="#f6f8fa"/>',
        f'  <text x="16" y="24" class="g">{title}: what the caller heard, in seconds</text>',
        f'  <rect x="16" y="34" width="16" height="7" fill="{WARM}"/>',
        '  <text x="38" y="42" class="n">warm standby, median</text>',
        f'  <rect x="156" y="34" width="16" height="7" fill="{COLD}"/>',
        '  <text x="178" y="42" class="n">cold, median</text>',
        f'  <path d="M264 34v7M256 37.5h8" stroke="{WARM}"/><text x="272" y="42" class="n">worst, warm</text>',
    ]
    for at in range(0, limit + 1, 500):
        x = LEFT + at * scale
        out.append(f'  <path class="r" d="M{x:.1f} {TOP - 8}V{height - 8}"/>')
        out.append(f'  <text class="n" x="{x:.1f}" y="{TOP - 12}" text-anchor="middle">{at / 1000:g}</text>')
    y = TOP
    for group, names in groups.items():
        out.append(f'  <text class="g" x="16" y="{y + 14}">{group}</text>')
        y += 20
        for name in names:
            out += _bars(name, table[name], y, scale)
            y += LINE
        y += 4
    out.append("</svg>")
    return "\n".join(out) + "\n"


def _drawn(pair: dict[str, Row]) -> bool:
    return any(row.worst is not None for row in pair.values())


def _bars(name: str, pair: dict[str, Row], y: int, scale: float) -> list[str]:
    out = [f'  <text x="{LEFT - 8}" y="{y + 9}" text-anchor="end">{escape(name)}</text>']
    for standby, colour, top, thick in (("cold", COLD, 1, 9), ("warm", WARM, 3, 5)):
        row = pair.get(standby)
        if row is not None and row.middle is not None:
            width = max(1.0, row.middle * scale)
            out.append(f'  <rect x="{LEFT}" y="{y + top}" width="{width:.1f}" height="{thick}" fill="{colour}"/>')
    warm = pair.get("warm")
    if warm is not None and warm.middle is not None and warm.worst is not None:
        first, last = LEFT + warm.middle * scale, LEFT + warm.worst * scale
        out.append(f'  <path d="M{first:.1f} {y + 5.5}H{last:.1f}M{last:.1f} {y + 3}v5" stroke="{WARM}" fill="none"/>')
    return out
