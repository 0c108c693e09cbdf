"""Reading `segue.yaml`: whole and valid, or an error that says everything that is wrong and where.

    config = load("segue.yaml")            # raises ConfigError
    newer = reload(config, "segue.yaml")   # likewise; `config` stays as it is
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path as FilePath

from bridge import config_checks
from bridge import config_fields as fields
from bridge.config_fields import Finding, Path
from bridge.config_model import Config
from bridge.config_yaml import Document, Problem, read

__all__ = ["Config", "ConfigError", "Problem", "check", "excluded", "load", "parse", "reload"]

MAX_BYTES = 4 * 1024 * 1024


class ConfigError(Exception):
    """A configuration that cannot be used. `problems` are in the order of the file; none of them shows a secret."""

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.source = source
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        super().__init__(source, len(self.problems))

    def __str__(self) -> str:
        return "\n".join(
            f"{self.source}:{problem.line}: {problem}" if problem.line else f"{self.source}: {problem}"
            for problem in self.problems
        )


def load(path: FilePath | str, environ: Mapping[str, str] | None = None) -> Config:
    """Read and check a file. Raises ConfigError, for a file that cannot be read as well. `environ` is the process's
    by default."""
    file = FilePath(path)
    try:
        raw = file.read_bytes()
        if len(raw) > MAX_BYTES:
            raise ConfigError(str(path), [Problem((), 0, f"is larger than {MAX_BYTES // 1024 // 1024} MiB")])
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(str(path), [Problem((), 0, f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise ConfigError(str(path), [Problem((), 0, "is not UTF-8 text")]) from None
    return parse(text, str(path), file.resolve().parent, environ)


def reload(old: Config, path: FilePath | str, environ: Mapping[str, str] | None = None) -> Config:
    """The configuration that replaces `old` for new calls: whole or not at all. Raises ConfigError and then `old`
    goes on. What only a restart can change is an error, too."""
    new = load(path, environ)
    before, after = _until_restart(old), _until_restart(new)
    problems = [
        Problem(path, 0, "cannot change while running", "restart to change it")
        for path, value in before.items()
        if after[path] != value
    ]
    if problems:
        raise ConfigError(new.source, problems)
    return new


def _until_restart(config: Config) -> dict[Path, object]:
    edge, record = config.edges.media_ws, config.record
    return {
        ("edges", "media_ws", "listen"): edge.listen if edge else None,
        ("record", "mode"): record.mode,
        ("record", "folder"): config.path(record.folder),
    }


def excluded(old: Config, new: Config, agent: str) -> tuple[str, ...]:
    """Providers that running calls of `agent` must leave at once: its route named them and does not any more."""
    before = old.routes[old.agents[agent].route].providers
    if agent in new.agents:
        after: Iterable[str] = new.routes[new.agents[agent].route].providers
    else:
        after = new.providers
    return tuple(name for name in before if name not in after)


def parse(text: str, source: str, folder: FilePath, environ: Mapping[str, str] | None = None) -> Config:
    """Check a configuration given as text. Raises ConfigError with everything that is wrong."""
    return check(read(text, os.environ if environ is None else environ), source, folder)


def check(document: Document, source: str, folder: FilePath) -> Config:
    """The configuration a parsed document holds. Raises ConfigError with everything that is wrong."""
    if document.problems and document.data is None:
        raise ConfigError(source, document.problems)
    if not isinstance(document.data, dict):
        nothing = Problem((), 1, "must be a mapping with providers, routes and agents")
        raise ConfigError(source, [*document.problems, nothing])
    findings: list[Finding] = []
    config: Config | None = fields.read(Config, document.data, (), findings)
    if config is None:
        raise ConfigError(source, [*document.problems, *_problems(findings, document)])
    config.locate(folder, source)
    found = _problems(config_checks.errors(config), document)
    if found or document.problems:
        raise ConfigError(source, [*document.problems, *found])
    config.warn(
        f"{source}:{document.line(path)}: {Problem(path, 0, *rest)}"
        for path, *rest in config_checks.warnings(config, date.today())
    )
    return config


def _problems(findings: Iterable[Finding], document: Document) -> list[Problem]:
    """All that are news. A variable that is missing leaves its key empty: that is one mistake, not two."""
    places = {problem.path for problem in document.problems}
    return [Problem(path, document.line(path), *rest) for path, *rest in findings if path not in places]
