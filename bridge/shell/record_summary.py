"""The summary of a call: a fold over its notes.

The shape of the result (schema 1) is described in docs/records.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

SCHEMA = 1
TOKENS = ("input_text", "input_audio", "cached_text", "cached_audio", "output_text", "output_audio")


@dataclass(frozen=True, slots=True)
class Entry:
    """A note and when it was made (loop time, ns)."""

    now: int
    kind: str
    fields: Mapping[str, Any]


def summarise(notes: Iterable[Entry]) -> dict[str, Any]:
    """The part of `call.json` that follows from the notes alone. Times are in ms since the first note. Kinds it does
    not know and fields that are missing are passed over."""
    fold = _Fold()
    for note in notes:
        fold.add(note)
    return fold.result()


class _Fold:
    def __init__(self) -> None:
        self._start: int | None = None
        self._ms = 0
        self._head: dict[str, Any] = {"agent": "", "providers": [], "leg": ""}
        self._ended: str | None = None
        self._concealed = 0
        self._turns: dict[int, dict[str, Any]] = {}
        self._speech: list[dict[str, Any]] = []
        self._exchanges: dict[int, dict[str, Any]] = {}
        self._asks: dict[int, dict[str, Any]] = {}
        self._links: dict[int, dict[str, Any]] = {}
        self._tools: dict[int, dict[str, Any]] = {}
        self._usage: list[dict[str, Any]] = []
        self._lists: dict[str, list[dict[str, Any]]] = {
            name: []
            for name in (
                "swaps", "faults", "barge_in", "cut", "underrun", "dtmf", "silence_prompt", "phrase",
                "last_rung", "noticed", "opinion", "line_away",
            )
        }  # fmt: skip

    def add(self, note: Entry) -> None:
        if self._start is None:
            self._start = note.now
        self._ms = _ms(note.now - self._start)
        if note.kind in self._lists:
            self._lists[note.kind].append({"at_ms": self._ms, **note.fields})
        handle = self._HANDLERS.get(note.kind)
        if handle is not None:
            handle(self, note.fields)

    # --------------------------------------------------------------------------------------------------- call, turns

    def _call_started(self, fields: Mapping[str, Any]) -> None:
        for name in self._head:
            if name in fields:
                self._head[name] = fields[name]

    def _call_ended(self, fields: Mapping[str, Any]) -> None:
        self._ended = str(fields.get("reason", ""))

    def _line_covered(self, fields: Mapping[str, Any]) -> None:
        self._concealed = fields.get("ms", 0)

    def _turn(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        number = fields.get("turn", 0)
        fresh = {
            "turn": number, "kind": "speech", "state": "open", "exchange": None, "began_ms": None, "ended_ms": None,
            "provisional": False, "text": "", "lag": None, "exact": False, "noted": self._ms,
        }  # fmt: skip
        return self._turns.setdefault(number, fresh)

    def _turn_began(self, fields: Mapping[str, Any]) -> None:
        turn = self._turn(fields)
        turn |= {"began_ms": fields.get("at_ms"), "provisional": fields.get("provisional", False)}
        if turn["began_ms"] is not None:
            turn["lag"] = self._ms - turn["began_ms"]

    def _turn_ended(self, fields: Mapping[str, Any]) -> None:
        turn = self._turn(fields)
        turn |= {"state": "ended", "kind": fields.get("kind", "speech"), "ended_ms": fields.get("at_ms")}
        if fields.get("began_ms") is not None:
            turn["began_ms"] = fields["began_ms"]
        if turn["ended_ms"] is not None:
            turn |= {"lag": self._ms - turn["ended_ms"], "exact": True}
        if "digits" in fields:
            turn["digits"] = fields["digits"]
        self._join(turn)

    def _join(self, turn: dict[str, Any]) -> None:
        """A turn that no exchange was opened with belongs to the one that is open."""
        if turn["exchange"] is None:
            exchange = next((item for item in reversed(self._exchanges.values()) if item["state"] == "open"), None)
            if exchange is not None:
                self._put_into(exchange, turn["turn"])

    def _put_into(self, exchange: dict[str, Any], number: int) -> None:
        if number not in exchange["turns"]:
            exchange["turns"].append(number)
        if number in self._turns:
            self._turns[number]["exchange"] = exchange["exchange"]

    def _turn_withdrawn(self, fields: Mapping[str, Any]) -> None:
        self._turn(fields).update(state="withdrawn", why=fields.get("why", ""), withdrawn_ms=self._ms)

    def _caller_text(self, fields: Mapping[str, Any]) -> None:
        self._turn(fields).update(text=fields.get("text", ""), text_from=fields.get("provider", ""))

    # ------------------------------------------------------------------------------------------ exchanges, asks, heard

    def _exchange(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        number = fields.get("exchange", 0)
        fresh = {
            "exchange": number, "kind": "speech", "state": "open", "turns": [], "opened_ms": self._ms,
            "settled_ms": None, "asks": [], "heard": [],
        }  # fmt: skip
        return self._exchanges.setdefault(number, fresh)

    def _exchange_opened(self, fields: Mapping[str, Any]) -> None:
        exchange = self._exchange(fields)
        exchange["kind"] = fields.get("kind", exchange["kind"])
        for turn in fields.get("turns", ()):
            self._put_into(exchange, turn)

    def _exchange_reopened(self, fields: Mapping[str, Any]) -> None:
        self._exchange(fields).update(state="open", settled_ms=None)

    def _exchange_settled(self, fields: Mapping[str, Any]) -> None:
        self._exchange(fields).update(state=fields.get("state", ""), settled_ms=self._ms)

    def _ask(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        number = fields.get("ask", 0)
        fresh = {
            "ask": number, "exchange": fields.get("exchange"), "provider": fields.get("provider", ""),
            "link": fields.get("link"), "continuation": fields.get("continuation", False), "asked_ms": self._ms,
            "first_audio_ms": None, "heard_ms": 0,
        }  # fmt: skip
        return self._asks.setdefault(number, fresh)

    def _asked(self, fields: Mapping[str, Any]) -> None:
        ask = self._ask(fields)
        if ask["exchange"] is not None:
            asks = self._exchange(fields)["asks"]
            if ask["ask"] not in asks:
                asks.append(ask["ask"])

    def _first_audio(self, fields: Mapping[str, Any]) -> None:
        self._ask(fields)["first_audio_ms"] = fields.get("after_ms")

    def _agent_began(self, fields: Mapping[str, Any]) -> None:
        number = fields.get("ask", 0)
        provider = self._ask(fields)["provider"] if number else ""
        self._speech.append({
            "ask": number, "provider": fields.get("provider", provider), "began_ms": self._ms, "ended_ms": None,
            "heard_ms": None,
        })  # fmt: skip

    def _agent_ended(self, fields: Mapping[str, Any]) -> None:
        for speech in reversed(self._speech):
            if speech["ask"] == fields.get("ask", 0) and speech["ended_ms"] is None:
                speech.update(ended_ms=self._ms, heard_ms=fields.get("heard_ms"))
                return

    def _heard(self, fields: Mapping[str, Any]) -> None:
        piece = {name: fields.get(name) for name in ("ask", "provider", "text", "heard_ms", "complete")}
        self._exchange(fields)["heard"].append(piece)
        self._ask(fields)["heard_ms"] = fields.get("heard_ms", 0)

    # ------------------------------------------------------------------------------------------ links, faults, swaps

    def _link(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        number = fields.get("link", 0)
        fresh = {
            "link": number, "provider": fields.get("provider", ""), "purpose": "", "opened_ms": self._ms,
            "ready_ms": None, "closed_ms": None, "why": "",
        }  # fmt: skip
        return self._links.setdefault(number, fresh)

    def _link_opened(self, fields: Mapping[str, Any]) -> None:
        self._link(fields)["purpose"] = fields.get("purpose", "")

    def _link_ready(self, fields: Mapping[str, Any]) -> None:
        self._link(fields)["ready_ms"] = self._ms

    def _link_closed(self, fields: Mapping[str, Any]) -> None:
        self._link(fields).update(closed_ms=self._ms, why=fields.get("why", ""))

    def _fault(self, fields: Mapping[str, Any]) -> None:
        self._lists["faults"].append({"at_ms": self._ms, **fields})

    def _swap(self, fields: Mapping[str, Any]) -> None:
        asks = (
            ask for ask in reversed(self._asks.values())
            if ask["provider"] == fields.get("to") and ask["exchange"] == fields.get("exchange")
        )  # fmt: skip
        ask = next(asks, None)
        self._lists["swaps"].append({"at_ms": self._ms, "ask": None if ask is None else ask["ask"], **fields})

    # ------------------------------------------------------------------------------------------------- tools, usage

    def _tool(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        number = fields.get("call", 0)
        fresh = {
            "call": number, "name": fields.get("name", ""), "provider": fields.get("provider", ""),
            "called_ms": self._ms, "status": "running" if number else "built in", "after_ms": None,
        }  # fmt: skip
        return self._tools.setdefault(number, fresh)

    def _tool_called(self, fields: Mapping[str, Any]) -> None:
        self._tool(fields)

    def _tool_done(self, fields: Mapping[str, Any]) -> None:
        self._tool(fields).update(status=fields.get("status", ""), after_ms=fields.get("after_ms"))

    def _used(self, fields: Mapping[str, Any]) -> None:
        self._usage.append(dict(fields))

    # ------------------------------------------------------------------------------------------------------- result

    def result(self) -> dict[str, Any]:
        turns = self._placed_turns()
        asks = [ask for ask in self._asks.values() if ask["ask"]]
        lists = self._lists
        swaps = [{**swap, "again": swap.get("again") or self._read_again(swap)} for swap in lists["swaps"]]
        return {
            "schema": SCHEMA,
            "agent": self._head["agent"],
            "leg": self._head["leg"],
            "route": self._head["providers"],
            "ended": self._ended,
            "duration_ms": self._ms,
            "totals": self._totals(turns, swaps),
            "turns": turns,
            "exchanges": list(self._exchanges.values()),
            "asks": asks,
            "links": list(self._links.values()),
            "providers": self._per_provider(),
            "swaps": swaps,
            "speech": self._speech,
            "faults": lists["faults"],
            "tools": list(self._tools.values()),
            "usage": self._usage,
            "transcript": self._transcript(turns),
            "barge_ins": lists["barge_in"],
            "cuts": lists["cut"],
            "underruns": lists["underrun"],
            "keys": lists["dtmf"],
            "silence_prompts": lists["silence_prompt"],
            "phrases": lists["phrase"],
            "last_rung": lists["last_rung"],
            "noticed": lists["noticed"],
            "opinions": lists["opinion"],
            "line_away": lists["line_away"],
        }

    def _totals(self, turns: list[dict[str, Any]], swaps: list[dict[str, Any]]) -> dict[str, Any]:
        lists = self._lists
        spoken = [turn for turn in turns if turn["state"] == "ended" and turn["ended_ms"] is not None]
        return {
            "turns": sum(turn["state"] != "withdrawn" for turn in turns),
            "exchanges": len(self._exchanges),
            "caller_ms": sum(turn["ended_ms"] - turn["began_ms"] for turn in spoken),
            "agent_ms": sum(ask["heard_ms"] or 0 for ask in self._asks.values() if ask["ask"]),
            "swaps": len(swaps),
            "faults": len(lists["faults"]),
            "sessions": len(self._links),
            "sessions_ms": sum(
                (self._ms if link["closed_ms"] is None else link["closed_ms"]) - link["opened_ms"]
                for link in self._links.values()
            ),
            "silence_ms": sum(swap.get("silence_ms") or 0 for swap in swaps),
            "replayed_ms": sum(swap.get("replayed_ms") or 0 for swap in swaps),
            "barge_ins": len(lists["barge_in"]),
            "cuts": len(lists["cut"]),
            "underruns": len(lists["underrun"]),
            "underrun_ms": sum(item.get("ms") or 0 for item in lists["underrun"]),
            "concealed_ms": self._concealed,
            "away_ms": sum(item.get("ms") or 0 for item in lists["line_away"]),
            "tokens": _add_tokens(self._usage),
            "tokens_again": _add_tokens(swap["again"] for swap in swaps),
        }

    def _placed_turns(self) -> list[dict[str, Any]]:
        """Turns on the call's clock. Notes give media time, which runs from the caller's first frame and stands still
        while the leg is lost. The end of a turn is noted when it is taken in, so that its lag is the offset; a turn
        without one has the smallest lag of all."""
        least = min((turn["lag"] for turn in self._turns.values() if turn["lag"] is not None), default=0)
        placed = []
        for turn in self._turns.values():
            kept = {name: value for name, value in turn.items() if name not in ("lag", "exact", "noted")}
            began, ended = turn["began_ms"], turn["ended_ms"]
            offset = turn["lag"] if turn["exact"] else least
            kept["media_ms"] = None if began is None else [began, ended]
            kept["began_ms"] = turn["noted"] if began is None else began + offset
            kept["ended_ms"] = kept.pop("withdrawn_ms", None) if ended is None else ended + offset
            placed.append(kept)
        return placed

    def _read_again(self, swap: Mapping[str, Any]) -> dict[str, int]:
        """What the next provider had to read once more: the input tokens of the ask it took over with. Without one
        (nothing was owed, or the caller was still speaking) it is the history, as text, of its first ask."""
        ask, names = swap["ask"], [name for name in TOKENS if "output" not in name]
        if ask is None:
            later = (
                ask for ask in self._asks.values()
                if ask["provider"] == swap.get("to") and (ask["asked_ms"] or 0) >= swap["at_ms"]
            )  # fmt: skip
            ask = next(later, {"ask": None})["ask"]
            names = [name for name in names if "text" in name]
        entries = [entry for entry in self._usage if ask is not None and entry.get("ask") == ask]
        read = {name: sum(entry.get(name) or 0 for entry in entries) for name in names}
        return {name: read.get(name, 0) for name in TOKENS if "output" not in name}

    def _per_provider(self) -> list[dict[str, Any]]:
        names = list(dict.fromkeys(
            [link["provider"] for link in self._links.values()]
            + [ask["provider"] for ask in self._asks.values() if ask["ask"]]
            + [str(usage.get("provider", "")) for usage in self._usage]
        ))  # fmt: skip
        out = []
        for name in names:
            asks = [ask for ask in self._asks.values() if ask["provider"] == name]
            waits = [ask["first_audio_ms"] for ask in asks if ask["first_audio_ms"] is not None]
            usage = [entry for entry in self._usage if entry.get("provider") == name]
            out.append({
                "provider": name,
                "links": sum(link["provider"] == name for link in self._links.values()),
                "asks": len(asks),
                "heard_ms": sum(ask["heard_ms"] or 0 for ask in asks),
                "first_audio_ms": {"median": round(_median(waits)), "worst": max(waits)} if waits else None,
                "faults": sum(fault.get("provider") == name for fault in self._lists["faults"]),
                "tokens": _add_tokens(usage),
                "seconds": round(sum(entry.get("seconds") or 0 for entry in usage), 3),
            })  # fmt: skip
        return out

    def _transcript(self, turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What was said, in the order it began to be heard."""
        said = []
        for turn in turns:
            text = turn["text"] or turn.get("digits", "")
            if text and turn["state"] != "withdrawn":
                said.append({"at_ms": turn["began_ms"], "who": "caller", "text": text})
        for exchange in self._exchanges.values():
            for piece in exchange["heard"]:
                if piece["text"]:
                    began = [item["began_ms"] for item in self._speech if item["ask"] == piece["ask"]]
                    said.append({
                        "at_ms": began[0] if began else exchange["opened_ms"],
                        "who": "agent",
                        "text": piece["text"],
                        "provider": piece["provider"],
                        "complete": piece["complete"],
                    })  # fmt: skip
        return sorted(said, key=lambda line: line["at_ms"])

    _HANDLERS: Mapping[str, Callable[[_Fold, Mapping[str, Any]], None]] = {
        "call_started": _call_started,
        "call_ended": _call_ended,
        "concealed": _line_covered,
        "turn_began": _turn_began,
        "turn_ended": _turn_ended,
        "turn_withdrawn": _turn_withdrawn,
        "caller_text": _caller_text,
        "exchange_opened": _exchange_opened,
        "exchange_reopened": _exchange_reopened,
        "exchange_settled": _exchange_settled,
        "asked": _asked,
        "first_audio": _first_audio,
        "agent_began": _agent_began,
        "agent_ended": _agent_ended,
        "heard": _heard,
        "link_opened": _link_opened,
        "link_ready": _link_ready,
        "link_closed": _link_closed,
        "fault": _fault,
        "swap": _swap,
        "tool_called": _tool_called,
        "tool_done": _tool_done,
        "usage": _used,
    }


def _add_tokens(entries: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    sums = dict.fromkeys(TOKENS, 0)
    for entry in entries:
        for name in TOKENS:
            sums[name] += entry.get(name) or 0
    return sums


def _ms(ns: int) -> int:
    return round(ns / 1_000_000)


def _median(values: list[int]) -> float:
    """Of at least one. The module of the standard library would bring fractions and decimals into every server."""
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
