"""YAML with positions: plain data, the line of every key, `${VARIABLES}` expanded, and all mistakes at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

Path = tuple[str | int, ...]

_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-(?P<text>[^}]*))?\}|(?P<bad>\{))")
_MAX_DEPTH = 40
_MAX_NODES = 200_000
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a configuration. `path` as in `routes.default.providers[1]`, `line` counts from 1 (0:
    unknown). Values of the file never appear in it where they could be secret."""

    path: Path
    line: int
    message: str
    hint: str = ""

    @property
    def where(self) -> str:
        return dotted(self.path)

    def __str__(self) -> str:
        head = f"{self.where}: {self.message}" if self.path else self.message
        return f"{head} ({self.hint})" if self.hint else head


def dotted(path: Path) -> str:
    """`("a", 0, "b")` to `a[0].b`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


@dataclass
class Document:
    """What a YAML text says. `lines` maps the path of each key and list item to its line."""

    data: object = None
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """The line of `path`, or of the nearest thing around it that has one; 0 without any."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)


def read(text: str, environ: Mapping[str, str]) -> Document:
    """Parse one YAML document. Never raises: what is wrong is in `problems`, and the data is then incomplete.

    Booleans are `true` and `false` only, so that `mode: off` and a caller named `No` stay words. Plain (unquoted)
    scalars are typed after their variables are expanded; quoted ones stay text.
    """
    document = Document()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        node = yaml.compose(text, Loader=loader)
    except yaml.YAMLError as error:
        document.problems.append(_syntax(error, text))
        return document
    except (ValueError, RecursionError):
        document.problems.append(Problem((), 0, "is not readable as YAML", "is it a text file?"))
        return document
    if node is not None:
        document.data = _Builder(document, environ).build(node, ())
    return document


def _syntax(error: yaml.YAMLError, text: str) -> Problem:
    # The mark's snippet shows a piece of the file, which may hold a secret: only its place is used.
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or "is not readable as YAML"
    line, hint = (mark.line + 1, f"column {mark.column + 1}") if mark else (0, "")
    lines = text.splitlines()
    if 0 < line <= len(lines) and re.search(r"[^\"']\$\{", lines[line - 1]):
        hint += "; between { } put ${…} in quotes"
    return Problem((), line, f"not valid YAML: {what}", hint)


class _Builder:
    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self._document = document
        self._environ = environ
        self._resolver = yaml.SafeLoader("")
        self._nodes = 0

    def build(self, node: yaml.Node, path: Path) -> object:
        self._nodes += 1
        if self._nodes > _MAX_NODES or len(path) > _MAX_DEPTH:
            if self._nodes <= _MAX_NODES + 1:
                self._problem(path, node, "is nested too deeply or repeats itself through aliases")
                self._nodes = _MAX_NODES + 1
            return None
        self._document.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        data: dict[str, object] = {}
        merged: dict[str, object] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._problem(path, key, "has a key that is not a plain word")
                continue
            if key.value == "<<" and not key.style:
                sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
                for source in sources:
                    built = self.build(source, path)
                    if isinstance(built, dict):
                        merged = {**built, **merged}
                continue
            name = key.value
            here = (*path, name)
            if name in data:
                first = self._document.lines[here]
                self._problem(here, key, f"is there twice (first on line {first})", "keep one of them")
                continue
            self._document.lines[here] = key.start_mark.line + 1
            data[name] = self.build(value, here)
        return {**merged, **data}

    def _scalar(self, node: yaml.Node, path: Path) -> object:
        text = node.value
        plain = not getattr(node, "style", None)  # None or "", by loader
        expanded = self._expand(text, node, path) if "$" in text else text
        if not plain:
            return expanded
        if expanded != text and "\n" in expanded:
            return expanded
        tag = node.tag if expanded == text else self._resolve(expanded)
        if tag == "tag:yaml.org,2002:null":
            return None
        if tag == "tag:yaml.org,2002:bool":
            return _BOOLEANS.get(expanded.lower(), expanded)
        if tag == "tag:yaml.org,2002:int":
            return _number(expanded, int)
        if tag == "tag:yaml.org,2002:float":
            return _number(expanded, float)
        return expanded

    def _resolve(self, text: str) -> str:
        tag: str = self._resolver.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
        return tag

    def _expand(self, text: str, node: yaml.Node, path: Path) -> str:
        def value(match: re.Match[str]) -> str:
            if match[0] == "$$":
                return "$"
            if match["bad"]:
                hint = "write ${NAME} or ${NAME:-default}; a plain $ is $$"
                self._problem(path, node, "has a '${' that names no variable", hint)
                return ""
            found = self._environ.get(match["name"])
            if match["default"] is not None:
                return found or match["text"]
            if found is None:
                name = match["name"]
                hint = f"set it, or give a default: ${{{name}:-…}}"
                self._problem(path, node, f"needs the environment variable {name}, which is not set", hint)
                return ""
            return found

        return _VARIABLE.sub(value, text)

    def _problem(self, path: Path, node: yaml.Node, message: str, hint: str = "") -> None:
        self._document.problems.append(Problem(path, node.start_mark.line + 1, message, hint))


def _number(text: str, kind: type[int] | type[float]) -> object:
    # Sexagesimal, octal and the like of YAML 1.1 surprise people: what Python does not read the same way stays text.
    try:
        return kind(text)
    except ValueError:
        return text
