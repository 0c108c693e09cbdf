"""Reading `segue.yaml`: whole and valid, or an error that says everything that is wrong and where.

    config = load("segue.yaml")            # raises ConfigError
    newer = reload(config, "segue.yaml")   # likewise; `config` stays as it is
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from pathlib import Path as FilePath
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from bridge import config_checks
from bridge.config_model import Config
from bridge.config_yaml import Document, Path, Problem, read

__all__ = ["Config", "ConfigError", "Problem", "check", "excluded", "load", "parse", "reload"]

MAX_BYTES = 4 * 1024 * 1024

# What pydantic calls it -> what a person needs to know.
_MESSAGES = {
    "missing": "is required",
    "string_type": "must be text; put it in quotes",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "model_type": "must be a mapping of keys",
    "dataclass_type": "must be a mapping of keys",
    "dict_type": "must be a mapping of keys",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "too_short": "must not be empty",
    "string_pattern_mismatch": "may hold letters, digits, - and _ only, 64 at most",
}


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
    was, now = old.edges.media_ws, new.edges.media_ws
    if (was.listen if was else None) != (now.listen if now else None):
        message = "cannot change while running"
        raise ConfigError(new.source, [Problem(("edges", "media_ws", "listen"), 0, message, "restart to move it")])
    return new


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
    try:
        config = Config.model_validate(document.data)
    except ValidationError as error:
        found = [_problem(item, document) for item in error.errors(include_url=False, include_input=False)]
        raise ConfigError(source, [*document.problems, *_unseen(found, document.problems)]) from None
    config.locate(folder, source)
    found = [Problem(path, document.line(path), *rest) for path, *rest in config_checks.errors(config)]
    if found or document.problems:
        raise ConfigError(source, [*document.problems, *_unseen(found, document.problems)])
    config.warn(
        f"{source}:{document.line(path)}: {Problem(path, 0, *rest)}"
        for path, *rest in config_checks.warnings(config, date.today())
    )
    return config


def _unseen(found: list[Problem], first: list[Problem]) -> list[Problem]:
    # A variable that is missing leaves its key empty: that is one mistake, not two.
    places = {problem.path for problem in first}
    return [problem for problem in found if problem.path not in places]


def _problem(item: Any, document: Document) -> Problem:
    kind = item["type"]
    path: Path = tuple(item["loc"])
    if path and path[-1] == "[key]":
        path = path[:-1]
    context = item.get("ctx", {})
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        known = _keys(Config, path[:-1])
        message = f'unknown key "{path[-1]}"'
        return Problem(path, document.line(path), message, config_checks.nearest(str(path[-1]), known))
    if kind == "literal_error":
        message = f"must be one of: {context['expected']}"
    elif kind == "value_error":
        message = str(context["error"])
    elif kind in ("greater_than_equal", "less_than_equal"):
        bound, side = (context["ge"], "at least") if "ge" in context else (context["le"], "at most")
        message = f"must be {side} {bound}"
    elif kind == "string_too_long":
        message = f"is longer than {context['max_length']} characters"
    else:
        message = _MESSAGES.get(kind, item["msg"])
    return Problem(path, document.line(path), message)


def _keys(kind: Any, path: Path) -> list[str]:
    """The keys that are allowed at `path` below the type `kind`; none when any are."""
    kind = _bare(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if not path:
            return list(kind.model_fields)
        field = kind.model_fields.get(str(path[0]))
        return _keys(field.annotation, path[1:]) if field else []
    if isinstance(kind, type) and is_dataclass(kind):
        return [field.name for field in fields(kind)] if not path else []
    if get_origin(kind) in (dict, list, tuple) and path:
        return _keys(get_args(kind)[1 if get_origin(kind) is dict else 0], path[1:])
    return []


def _bare(kind: Any) -> Any:
    """`kind` without Annotated and Optional."""
    while get_origin(kind) in (Annotated, Union, UnionType):
        kind = next(argument for argument in get_args(kind) if argument is not type(None))
    return kind

