"""The configuration that is used when nobody gives one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bridge.config import check
from bridge.config_model import Config
from bridge.config_yaml import Document, read

FILE = Path(__file__).parent / "assets" / "segue.default.yaml"

# Provider entry of the file -> the variables that all must be set for it to be used.
CREDENTIALS: Mapping[str, tuple[str, ...]] = {
    "openai": ("OPENAI_API_KEY",),
    "azure": ("AZURE_VOICELIVE_ENDPOINT", "AZURE_VOICELIVE_API_KEY"),
    "gemini": ("GEMINI_API_KEY",),
}
_KEYS = {"openai": "OPENAI_API_KEY", "azure": "AZURE_VOICELIVE_API_KEY", "gemini": "GEMINI_API_KEY"}


def credentialed(environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The provider entries of the embedded configuration that `environ` has credentials for, in route order. Empty:
    emulators are needed."""
    env = os.environ if environ is None else environ
    return tuple(name for name, needed in CREDENTIALS.items() if all(env.get(variable) for variable in needed))


def embedded(
    environ: Mapping[str, str] | None = None, emulators: Mapping[str, str] | None = None, listen: str | None = None
) -> Config:
    """The embedded configuration, relative paths counting from the working directory.

    `emulators` maps provider entries ("openai", "azure", "gemini") to the ws:// addresses of their emulators; given,
    only these are used and no credential of `environ` is. Without it the entries of `credentialed` are. `listen`
    replaces the address. Raises ConfigError, and ValueError when there is neither an emulator nor a credential.
    """
    env = dict(os.environ if environ is None else environ)
    names = tuple(emulators) if emulators else credentialed(env)
    if not names:
        raise ValueError("neither a provider's credentials nor emulators are there")
    if listen:
        env["SEGUE_LISTEN"] = listen
    for name, url in (emulators or {}).items():
        env[f"SEGUE_{name.upper()}_URL"] = url
        env[_KEYS[name]] = "emulator-key"
    document = read(FILE.read_text(encoding="utf-8"), env)
    _keep(document, names)
    return check(document, "the embedded configuration", Path.cwd())


def _keep(document: Document, names: tuple[str, ...]) -> None:
    data: Any = document.data
    data["providers"] = {name: entry for name, entry in data["providers"].items() if name in names}
    for route in data["routes"].values():
        route["providers"] = [name for name in route["providers"] if name in names]
        if len(route["providers"]) == 1:
            route["standby"] = "cold"
