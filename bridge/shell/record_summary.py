"""The summary of a call: what follows from its notes.

The shape of the result (schema 1) is described in docs/records.md.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from bridge.shell.record_fold import Entry, Gathered

SCHEMA = 1
TOKENS = ("input_text", "input_audio", "cached_text", "cached_audio", "output_text", "output_audio")


def summarise(notes: Iterable[Entry]) -> dict[str, Any]:
    """The part of `call.json` that follows from the notes alone. Times are in ms since the first note. Kinds it does
    not know and fields that are missing are passed over."""
    facts = Gathered()
    for note in notes:
        facts.add(note)
    return _Summary(facts).result()


class _Summary:
    """What the notes add up to."""

    def __init__(self, facts: Gathered) -> None:
        self._facts = facts

    def result(self) -> dict[str, Any]:
        turns = self._placed_turns()
        asks = [ask for ask in self._facts.asks.values() if ask["ask"]]
        lists = self._facts.lists
        swaps = [{**swap, "again": swap.get("again") or self._read_again(swap)} for swap in lists["swaps"]]
        return {
            "schema": SCHEMA,
            "agent": self._facts.head["agent"],
            "leg": self._facts.head["leg"],
            "route": self._facts.head["providers"],
            "ended": self._facts.ended,
            "duration_ms": self._facts.ms,
            "totals": self._totals(turns, swaps),
            "turns": turns,
            "exchanges": list(self._facts.exchanges.values()),
            "asks": asks,
            "links": list(self._facts.links.values()),
            "providers": self._per_provider(),
            "swaps": swaps,
            "speech": self._facts.speech,
            "faults": lists["faults"],
            "tools": list(self._facts.tools.values()),
            "usage": self._facts.usage,
            "transcript": self._transcript(turns),
            "barge_ins": lists["barge_in"],
            "cuts": lists["cut"],
            "underruns": lists["underrun"],
            "keys": lists["dtmf"],
            "silence_prompts": lists["silence_prompt"],
            "phrases": lists["phrase"],
            "last_rung": lists["last_rung"],
            "holds": self._holds(),
            "noticed": lists["noticed"],
            "opinions": lists["opinion"],
            "line_away": lists["line_away"],
        }

    def _totals(self, turns: list[dict[str, Any]], swaps: list[dict[str, Any]]) -> dict[str, Any]:
        lists = self._facts.lists
        spoken = [turn for turn in turns if turn["state"] == "ended" and turn["ended_ms"] is not None]
        return {
            "turns": sum(turn["state"] != "withdrawn" for turn in turns),
            "exchanges": len(self._facts.exchanges),
            "caller_ms": sum(turn["ended_ms"] - turn["began_ms"] for turn in spoken),
            "agent_ms": sum(ask["heard_ms"] or 0 for ask in self._facts.asks.values() if ask["ask"]),
            "swaps": len(swaps),
            "faults": len(lists["faults"]),
            "sessions": len(self._facts.links),
            "sessions_ms": sum(
                (self._facts.ms if link["closed_ms"] is None else link["closed_ms"]) - link["opened_ms"]
                for link in self._facts.links.values()
            ),
            "silence_ms": sum(swap.get("silence_ms") or 0 for swap in swaps),
            "replayed_ms": sum(swap.get("replayed_ms") or 0 for swap in swaps),
            "barge_ins": len(lists["barge_in"]),
            "cuts": len(lists["cut"]),
            "underruns": len(lists["underrun"]),
            "underrun_ms": sum(item.get("ms") or 0 for item in lists["underrun"]),
            "concealed_ms": self._facts.concealed,
            "away_ms": sum(item.get("ms") or 0 for item in lists["line_away"]),
            "hold_ms": sum(item["ms"] for item in self._holds()),
            "tokens": _add_tokens(self._facts.usage),
            "tokens_again": _add_tokens(swap["again"] for swap in swaps),
        }

    def _placed_turns(self) -> list[dict[str, Any]]:
        """Turns on the call's clock. Notes give media time, which runs from the caller's first frame and stands still
        while the leg is lost. The end of a turn is noted when it is taken in, so that its lag is the offset; a turn
        without one has the smallest lag of all."""
        least = min((turn["lag"] for turn in self._facts.turns.values() if turn["lag"] is not None), default=0)
        placed = []
        for turn in self._facts.turns.values():
            kept = {name: value for name, value in turn.items() if name not in ("lag", "exact", "noted")}
            began, ended = turn["began_ms"], turn["ended_ms"]
            offset = turn["lag"] if turn["exact"] else least
            kept["media_ms"] = None if began is None else [began, ended]
            kept["began_ms"] = turn["noted"] if began is None else began + offset
            kept["ended_ms"] = kept.pop("withdrawn_ms", None) if ended is None else ended + offset
            placed.append(kept)
        return placed

    def _holds(self) -> list[dict[str, Any]]:
        """How long nobody could be dialled, told when it was over; until the end of the call where it was not."""
        over = [{"at_ms": item["at_ms"], "ms": item.get("ms") or 0} for item in self._facts.lists["hold_over"]]
        for item in self._facts.lists["last_rung"][len(over) :]:
            over.append({"at_ms": self._facts.ms, "ms": self._facts.ms - item["at_ms"]})
        return over

    def _read_again(self, swap: Mapping[str, Any]) -> dict[str, int]:
        """What the next provider had to read once more: the input tokens of the ask it took over with. Without one
        (nothing was owed, or the caller was still speaking) it is the history, as text, of its first ask."""
        ask, names = swap["ask"], [name for name in TOKENS if "output" not in name]
        if ask is None:
            later = (
                ask for ask in self._facts.asks.values()
                if ask["provider"] == swap.get("to") and (ask["asked_ms"] or 0) >= swap["at_ms"]
            )  # fmt: skip
            ask = next(later, {"ask": None})["ask"]
            names = [name for name in names if "text" in name]
        entries = [entry for entry in self._facts.usage if ask is not None and entry.get("ask") == ask]
        read = {name: sum(entry.get(name) or 0 for entry in entries) for name in names}
        return {name: read.get(name, 0) for name in TOKENS if "output" not in name}

    def _per_provider(self) -> list[dict[str, Any]]:
        names = list(dict.fromkeys(
            [link["provider"] for link in self._facts.links.values()]
            + [ask["provider"] for ask in self._facts.asks.values() if ask["ask"]]
            + [str(usage.get("provider", "")) for usage in self._facts.usage]
        ))  # fmt: skip
        out = []
        for name in names:
            asks = [ask for ask in self._facts.asks.values() if ask["provider"] == name]
            waits = [ask["first_audio_ms"] for ask in asks if ask["first_audio_ms"] is not None]
            usage = [entry for entry in self._facts.usage if entry.get("provider") == name]
            out.append({
                "provider": name,
                "links": sum(link["provider"] == name for link in self._facts.links.values()),
                "asks": len(asks),
                "heard_ms": sum(ask["heard_ms"] or 0 for ask in asks),
                "first_audio_ms": {"median": round(statistics.median(waits)), "worst": max(waits)} if waits else None,
                "faults": sum(fault.get("provider") == name for fault in self._facts.lists["faults"]),
                "tokens": _add_tokens(usage),
                "seconds": round(sum(entry.get("seconds") or 0 for entry in usage), 3),
            })  # fmt: skip
        return out

    def _transcript(self, turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What was said, in the order it began to be heard."""
        said = []
        for turn in turns:
            if turn["state"] != "withdrawn":
                text = turn["text"] or turn.get("digits", "")
                said.append({"at_ms": turn["began_ms"], "who": "caller", "text": text})
        for exchange in self._facts.exchanges.values():
            for piece in exchange["heard"]:
                if piece["text"]:
                    began = [item["began_ms"] for item in self._facts.speech if item["ask"] == piece["ask"]]
                    said.append({
                        "at_ms": began[0] if began else exchange["opened_ms"],
                        "who": "agent",
                        "text": piece["text"],
                        "provider": piece["provider"],
                        "complete": piece["complete"],
                    })  # fmt: skip
        return sorted(said, key=lambda line: line["at_ms"])


def _add_tokens(entries: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    sums = dict.fromkeys(TOKENS, 0)
    for entry in entries:
        for name in TOKENS:
            sums[name] += entry.get(name) or 0
    return sums
