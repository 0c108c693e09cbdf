"""The reader of typed sections: what it takes, what it refuses, and what it says."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, field
from typing import Annotated, Any, Literal

import pytest

from bridge.config_fields import Before, Finding, Rule, Secret, Section, keys, read


@dataclass(frozen=True)
class Plain:
    width: int = 3


class Inner(Section):
    name: Annotated[str, Rule(longest=5)]
    key: Secret | None = None


class Outer(Section):
    inner: Inner
    mode: Literal["one", "two", "three"] = "one"
    count: Annotated[int, Rule(1, 9)] | None = None
    on: bool = False
    names: Annotated[list[str], Rule(filled=True)] = field(default_factory=lambda: ["a"])
    by_name: dict[Annotated[str, Rule(pattern="[a-z]+")], Inner] = field(default_factory=dict)
    pair: Annotated[tuple[int, ...], Before(lambda value: [value] if isinstance(value, int) else value)] = ()
    anything: Any = None
    plain: Plain = field(default_factory=Plain)
    _hidden: int = 0


def findings(**changes: object) -> list[Finding]:
    found: list[Finding] = []
    assert read(Outer, {"inner": {"name": "x"}, **changes}, (), found) is None
    return found


def whole(**changes: object) -> Outer:
    found: list[Finding] = []
    outer = read(Outer, {"inner": {"name": "x"}, **changes}, (), found)
    assert found == [] and isinstance(outer, Outer)
    return outer


def test_what_is_read_has_its_types_and_defaults_and_does_not_change() -> None:
    outer = whole(count="7", on="yes", pair=4, by_name={"k": {"name": "y", "key": "hush"}}, plain={"width": 5.0})
    assert (outer.count, outer.on, outer.pair, outer.plain, outer.names) == (7, True, (4,), Plain(5), ["a"])
    key = outer.by_name["k"].key
    assert key is not None and key.get_secret_value() == "hush" and "hush" not in f"{key} {key!r} {outer!r}"
    with pytest.raises(FrozenInstanceError):
        outer.count = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"inner": {}}, ("inner", "name"), "is required"),
        ({"inner": None}, ("inner",), "must be a mapping of keys"),
        ({"inner": {"name": "longer"}}, ("inner", "name"), "is longer than 5 characters"),
        ({"inner": {"name": 5}}, ("inner", "name"), "must be text; put it in quotes"),
        ({"inner": {"name": "x", "key": 5}}, ("inner", "key"), "must be text; put it in quotes"),
        ({"mode": "four"}, ("mode",), "must be one of: 'one', 'two' or 'three'"),
        ({"mode": ["one"]}, ("mode",), "must be one of: 'one', 'two' or 'three'"),
        ({"count": 0}, ("count",), "must be at least 1"),
        ({"count": 10}, ("count",), "must be at most 9"),
        ({"count": 1.5}, ("count",), "must be a whole number"),
        ({"count": True}, ("count",), "must be a whole number"),
        ({"count": float("nan")}, ("count",), "must be a whole number"),
        ({"count": float("inf")}, ("count",), "must be a whole number"),
        ({"count": "1e3"}, ("count",), "must be a whole number"),
        ({"on": "maybe"}, ("on",), "must be true or false"),
        ({"on": None}, ("on",), "must be true or false"),
        ({"names": []}, ("names",), "must not be empty"),
        ({"names": "a"}, ("names",), "must be a list"),
        ({"names": ["a", 5]}, ("names", 1), "must be text; put it in quotes"),
        ({"by_name": {"K": {"name": "y"}}}, ("by_name", "K"), "may hold letters, digits, - and _ only, 64 at most"),
        ({"by_name": {"k\n": {"name": "y"}}}, ("by_name", "k\n"), "may hold letters, digits, - and _ only, 64 at most"),
        ({"plain": {"width": "wide"}}, ("plain", "width"), "must be a whole number"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    changes: dict[str, object], path: tuple[object, ...], message: str
) -> None:
    assert findings(**changes) == [(path, message, "")]


def test_unknown_keys_are_refused_with_the_likeliest_known_one() -> None:
    assert findings(cuont=1) == [(("cuont",), 'unknown key "cuont"', 'did you mean "count"?')]
    assert findings(plain={"_hidden": 1})[0][1] == 'unknown key "_hidden"'
    assert findings(_hidden=1)[0][1] == 'unknown key "_hidden"'
    assert "_hidden" not in keys(Outer)


def test_all_mistakes_come_at_once_and_show_no_value() -> None:
    found = findings(inner={"key": 11223344, "no": 1}, count="canary", names=[55667788])
    places = {("inner", "name"), ("inner", "key"), ("inner", "no"), ("count",), ("names", 0)}
    assert {path for path, _, _ in found} == places
    assert not any(value in str(found) for value in ("11223344", "canary", "55667788"))
