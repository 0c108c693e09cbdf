"""Scripts: everything has a place and a check, and mistakes are named by theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.fakes.checks import ScriptError
from bridge.fakes.script import ACTIONS, PHASES, Script, load, parse
from tests.fakes.client import ROOT


def rule(**when: Any) -> dict[str, Any]:
    return {"when": {"phase": "reply", **when}, "do": {"reset": True}}


def test_nothing_is_a_script() -> None:
    assert parse(None) == parse({}) == Script()


def test_a_whole_script() -> None:
    script = parse(
        {
            "seed": 4,
            "reply": {"seconds": 9, "pace": 2.5, "lead_ms": -1000, "chunk_ms": [20, 40]},
            "replies": [{"turn": 2, "say": "One moment."}, {"number": [3, 4], "lead_ms": "none"}],
            "caller_text": {"delay_ms": 1000, "texts": ["first", "second"]},
            "tools": [{"turn": 1, "name": "lookup", "arguments": {"a": [1]}}],
            "rules": [
                {
                    "when": {"phase": "reply", "connection": 1, "turn": [1, 2], "after_deltas": 5, "after_ms": 20},
                    "do": [{"error": {"code": "x"}}, {"close": {"code": 1011, "reason": "y"}}],
                }
            ],
        }
    )
    assert (script.reply.seconds, script.reply.lead_ms) == (9, -1000)
    assert script.style(2, [], 1).say == "One moment."
    assert script.style(1, [4], 1).lead_ms is None
    assert script.caller_text is not None
    assert script.caller_text.texts == {1: "first", 2: "second"}
    assert [do.kind for do in script.rules[0].do] == ["error", "close"]
    assert script.rules[0].turn == (1, 2)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "must be a mapping"),
        ({"sed": 1}, "sed: is not known here; known are"),
        ({"seed": "x"}, "seed: must be a whole number"),
        ({"seed": True}, "seed: must be a whole number"),
        ({"reply": {"pace": 0}}, "reply.pace: must be a number from 0.05"),
        ({"reply": {"chunk_ms": [40, 20]}}, "reply.chunk_ms: must be two numbers, the smaller one first"),
        ({"replies": {"turn": 1}}, "replies: must be a list"),
        ({"replies": [{"turn": 0.5}]}, r"replies\[0\].turn: must be a whole number"),
        ({"caller_text": {"texts": 4}}, "caller_text.texts: must be a list"),
        ({"tools": [{}]}, r"tools\[0\].name: is missing"),
        ({"rules": [{}]}, r"rules\[0\].when: is missing"),
        ({"rules": [{"when": {"phase": "reply"}}]}, r"rules\[0\].do: is missing"),
        ({"rules": [{"when": {}, "do": {"reset": True}}]}, r"rules\[0\].when.phase: is missing"),
        ({"rules": [rule(phase="later")]}, r"rules\[0\].when.phase: must be one of upgrade, session"),
        ({"rules": [rule(after=1)]}, r"rules\[0\].when.after: is not known here"),
        ({"rules": [rule(phase="idle", after_deltas=1)]}, "after_deltas: only fits the phase reply"),
        ({"rules": [{"when": {"phase": "idle"}, "do": []}]}, r"rules\[0\].do: needs at least one action"),
        ({"rules": [{"when": {"phase": "idle"}, "do": {"http": {"status": 503}}}]}, "only fits the phase upgrade"),
        ({"rules": [{"when": {"phase": "idle"}, "do": {"reset": True, "expire": True}}]}, "exactly one action, not 2"),
        ({"rules": [{"when": {"phase": "idle"}, "do": {"explode": True}}]}, r"rules\[0\].do.explode: is not known"),
        ({"rules": [{"when": {"phase": "idle"}, "do": {"close": {"code": 99}}}]}, r"do.close.code: must be a whole"),
        ({"rules": [{"when": {"phase": "idle"}, "do": [{"reset": 1}]}]}, r"rules\[0\].do\[0\].reset: can only be true"),
        ({"rules": [{"when": {"phase": "idle"}, "do": {"fail": "badly"}}]}, r"do.fail: must be"),
    ],
)
def test_mistakes_are_named(value: Any, message: str) -> None:
    with pytest.raises(ScriptError, match=message):
        parse(value)


def test_files(tmp_path: Path) -> None:
    good, json, bad, broken = (tmp_path / name for name in ("a.yaml", "a.json", "bad.yaml", "broken.yaml"))
    good.write_text("reply: {seconds: 3}\n")
    json.write_text('{"reply": {"seconds": 3}}')
    bad.write_text("reply: {second: 3}\n")
    broken.write_text("reply: [1\n")
    assert load(good) == load(json) == parse({"reply": {"seconds": 3}})
    with pytest.raises(ScriptError, match=r"bad\.yaml: reply\.second: is not known here"):
        load(bad)
    with pytest.raises(ScriptError, match=r"broken\.yaml: not readable"):
        load(broken)
    with pytest.raises(ScriptError, match=r"none\.yaml: No such file"):
        load(tmp_path / "none.yaml")


def test_the_page_describes_every_word_of_the_language() -> None:
    page = (ROOT / "docs" / "fakes.md").read_text(encoding="utf-8")
    for word in (*PHASES, *ACTIONS, *Script.__dataclass_fields__):
        assert f"`{word}`" in page, f"docs/fakes.md does not mention {word}"


def test_the_page_shows_scripts_that_are_right() -> None:
    page = (ROOT / "docs" / "fakes.md").read_text(encoding="utf-8")
    blocks = [part.split("```", 1)[0] for part in page.split("```yaml\n")[1:]]
    assert len(blocks) >= 3
    for block in blocks:
        parse(yaml.safe_load(block))
