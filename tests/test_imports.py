"""Imports point one way, and what decides neither waits nor looks at a clock. Read from the source, not run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(path for top in ("audio", "providers", "bridge") for path in (ROOT / top).rglob("*.py"))

# What must not be known to code that decides.
FORBIDDEN = {"asyncio", "time", "socket", "logging", "random", "aiohttp", "websockets", "aiortc"}
PURE = ("audio", "providers", "bridge.core")

# A part may import itself, and parts further down. `settings` is configuration and what is made of it. What plays the
# carrier, the provider or the listener stands beside the bridge and knows none of its inside.
RANKS = [
    {"audio"},
    {"providers"},
    {"bridge.core"},
    {"bridge.shell"},
    {"settings"},
    {"bridge.edges", "bridge.web"},
    {"bridge.app"},
    {"bridge.cli"},
]
BESIDE = {
    "bridge.fakes": {"audio"},
    "bridge.dial": {"audio"},
    "bridge.listen": {"audio"},
}
SETTINGS = ("bridge.config", "bridge.resolve", "bridge.phrases")


def part_of(module: str) -> str:
    """The part a module belongs to: `bridge.core.call` to `bridge.core`, `bridge.config_yaml` to `settings`."""
    pieces = module.split(".")
    if pieces[0] != "bridge":
        return pieces[0]
    if len(pieces) == 1:
        return "bridge"
    name = f"bridge.{pieces[1]}"
    for top in SETTINGS:
        if name == top or name.startswith(f"{top}_"):
            return "settings"
    for top in ("bridge.app", "bridge.cli", "bridge.listen"):
        if name == top or name.startswith(f"{top}_"):
            return top
    return "bridge.cli" if name in ("bridge.demo", "bridge.__main__") else name


def module_of(path: Path) -> str:
    pieces = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(pieces[:-1] if pieces[-1] == "__init__" else pieces)


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that is imported anywhere in the file, also inside functions, with its line."""
    package = module_of(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *(node.module.split(".") if node.module else [])])
            for alias in node.names:
                full = f"{module}.{alias.name}"
                yield node.lineno, full if is_module(full) else module


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def ours(module: str) -> bool:
    return module.split(".")[0] in ("audio", "providers", "bridge")


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_imports_point_one_way(path: Path) -> None:
    mine = part_of(module_of(path))
    for line, module in imported(path):
        if not ours(module) or module == "bridge":
            continue
        other = part_of(module)
        if other != mine:
            assert other in allowed(mine), f"{path.relative_to(ROOT)}:{line}: {mine} must not import {other} ({module})"


def allowed(part: str) -> set[str]:
    """The parts that `part` may import."""
    if part in BESIDE:
        return BESIDE[part]
    if part == "bridge":
        return set()
    rank = next((index for index, parts in enumerate(RANKS) if part in parts), None)
    assert rank is not None, f"{part} has no place in the order of imports: give it one in RANKS or BESIDE"
    below = set().union(*RANKS[:rank])
    return below | set(BESIDE) if part in ("bridge.cli", "bridge.app") else below


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if part_of(module_of(path)) in PURE], ids=module_of
)
def test_what_decides_has_no_loop_no_clock_no_socket(path: Path) -> None:
    for line, module in imported(path):
        top = module.split(".")[0]
        assert top not in FORBIDDEN, f"{path.relative_to(ROOT)}:{line}: {module} has no business here"


def test_the_walk_sees_what_it_should() -> None:
    found = {module for _, module in imported(ROOT / "bridge" / "core" / "plan.py")}
    assert {"audio.frame", "audio.turns", "providers.base"} <= found
    assert part_of("bridge.config_yaml") == part_of("bridge.resolve") == "settings"
    assert "bridge.shell" not in allowed("bridge.core") and "providers" in allowed("bridge.core")
    assert "bridge.core" not in allowed("bridge.fakes")
    assert allowed("bridge.shell") == {"audio", "providers", "bridge.core"}
