"""What is installed: one distribution owns our three names, and everything a program needs at run time is in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points, packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("audio", "providers", "bridge")
SUFFIXES = {".yaml", ".flac", ".json", ".wav", ".html", ".js", ".css", ".typed"}


@pytest.mark.parametrize("name", NAMES)
def test_each_top_level_name_has_exactly_one_owner(name: str) -> None:
    assert set(packages_distributions()[name]) == {"segue"}


def test_the_console_script_is_the_command_line() -> None:
    (script,) = [entry for entry in entry_points(group="console_scripts") if entry.name == "segue"]
    assert script.value == "bridge.cli:main"


@pytest.mark.slow
def test_a_wheel_holds_every_module_and_every_asset(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in NAMES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source / file)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    built = subprocess.run(
        [*command, "--wheel-dir", str(tmp_path), str(source)], capture_output=True, text=True, timeout=120
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("segue-*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        path.relative_to(source).as_posix()
        for name in NAMES
        for path in (source / name).rglob("*")
        if path.suffix == ".py" or path.suffix in SUFFIXES
    }
    assert wanted - packed == set()
    assert {"bridge/assets/segue.default.yaml", "bridge/assets/phrases/sorry.wav", "providers/models.yaml"} <= packed
    assert {name.split("/")[0] for name in packed if not name.startswith("segue-")} == set(NAMES)
    assert any(name.endswith("/licenses/LICENSE") for name in packed)
