"""The manual is complete: every command, option and key is in it, its examples work and its links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
import typer.main

from bridge import config as configuration
from bridge import config_fields
from bridge.cli import app
from bridge.config import Config

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
ENV = dict.fromkeys(("OPENAI_API_KEY", "AZURE_VOICELIVE_API_KEY", "GEMINI_API_KEY", "TWILIO_AUTH_TOKEN"), "a-test-key")


def keys(kind: Any) -> Iterator[str]:
    """Every key that may stand anywhere in the file."""
    if is_dataclass(kind):
        for name, inner in config_fields.keys(kind).items():
            yield name
            yield from keys(inner)
    elif get_origin(kind) is Annotated:
        yield from keys(get_args(kind)[0])
    elif get_origin(kind) is not None or isinstance(kind, type(Union)):
        for argument in get_args(kind):
            yield from keys(argument)


KEYS = sorted(set(keys(Config)))


def test_the_walk_finds_keys_of_every_depth() -> None:
    assert {"providers", "api_key", "transfer_to", "stall_gap", "hangover_ms", "prompts", "max"} <= set(KEYS)


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_documented(key: str) -> None:
    page = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    assert re.search(rf"`{key}`|^## {key}$|{{{key}:|[ ,]{key}: ", page, re.MULTILINE)


def commands() -> Iterator[tuple[str, Any]]:
    """Each command's words and what typer made of it."""
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            for inner, child in command.commands.items():
                yield f"{name} {inner}", child
        else:
            yield name, command


@pytest.mark.parametrize(("words", "command"), list(commands()), ids=[words for words, _ in commands()])
def test_every_command_and_option_is_documented(words: str, command: Any) -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    usage = re.search(rf"^    segue {words} .*?(?=\n\n|\n    segue )", page, re.MULTILINE | re.DOTALL)
    assert usage, f"docs/cli.md has no line 'segue {words} …'"
    for parameter in command.params:
        for option in (name for name in parameter.opts if name.startswith("--") and name != "--help"):
            assert option in usage.group(), f"{option} of segue {words} is not in docs/cli.md"
    assert "--json" in usage.group()
    assert command.help and command.epilog and command.epilog.startswith(f"Example: segue {words}")


def examples() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        if page.exists():
            blocks = re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
            found += [(f"{page.name}-{number}", block) for number, block in enumerate(blocks) if "agents:" in block]
    return found


@pytest.mark.parametrize(("name", "text"), examples(), ids=[name for name, _ in examples()])
def test_every_configuration_shown_is_a_good_one(name: str, text: str) -> None:
    assert configuration.parse(text, name, ROOT, ENV).warnings == ()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]*)(?:#[^)]*)?\)", text):
        if target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_design_page_counts_the_alphabets_right() -> None:
    from bridge.core import effects, events
    from providers import base

    text = " ".join((ROOT / "docs" / "design.md").read_text(encoding="utf-8").split())
    counts = [len(get_args(kind)) for kind in (events.Event, effects.Effect, base.Event, base.Command)]
    said = re.search(r"(\d+) events, (\d+) effects; between core and provider (\d+) events, (\d+) commands", text)
    assert said and [int(number) for number in said.groups()] == counts


def test_the_readme_opens_with_what_it_is_a_picture_and_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    opening = text[: text.index("## ")]
    assert "docs/switch.svg" in opening and "make run" in opening and "make test" in opening
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {"setup", "run", "demo", "test", "check", "bench", "bless"} <= set(targets)
    assert "make" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
